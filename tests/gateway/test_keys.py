"""gateway.keys: the key files are private, whole, and made once."""

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.keys import KeyFileError, ensure_keys, new_access_key, new_secret_key, read_keys


def test_key_files_are_made_with_private_modes(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "keys"
    ensure_keys(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == {"root.json": 0o600, "master.key": 0o600, "cluster.key": 0o600}


def test_keys_stay_as_they_were_made(tmp_path: Path) -> None:
    made = ensure_keys(tmp_path)
    assert ensure_keys(tmp_path) == made == read_keys(tmp_path)
    assert len(base64.b64decode(made.master_key)) == 32
    assert len(bytes.fromhex(made.cluster_secret)) == 32


def test_missing_key_file_is_made_beside_existing_ones(tmp_path: Path) -> None:
    made = ensure_keys(tmp_path)
    (tmp_path / "cluster.key").unlink()
    again = ensure_keys(tmp_path)
    assert again.master_key == made.master_key
    assert again.cluster_secret not in ("", made.cluster_secret)


def test_concurrent_makers_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ensure_keys(tmp_path / "keys"), range(8)))
    assert len({(keys.master_key, keys.cluster_secret, keys.root_access_key) for keys in made}) == 1
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["cluster.key", "master.key", "root.json"]


def test_no_files_mean_empty_keys(tmp_path: Path) -> None:
    keys = read_keys(tmp_path / "nowhere")
    assert (keys.root_access_key, keys.root_secret_key, keys.master_key, keys.cluster_secret) == ("", "", "", "")


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"format": 2, "access_key": "a", "secret_key": "b"})])
def test_root_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "root.json").write_text(text)
    with pytest.raises(KeyFileError, match=r"root\.json"):
        read_keys(tmp_path)


def test_secrets_are_not_in_the_repr(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path)
    for secret in (keys.root_secret_key, keys.master_key, keys.cluster_secret):
        assert secret not in repr(keys)


def test_new_keys_need_no_quoting() -> None:
    assert len(new_access_key()) == 20
    assert new_access_key().isalnum()
    assert len(new_secret_key()) == 40
    assert new_secret_key().isalnum()
    assert new_secret_key() != new_secret_key()
