"""node.json."""

from pathlib import Path

import pytest

from storagenode import identity
from storagenode.disk import Disk
from storagenode.identity import UnknownDirectory
from tests.storagenode.support import FaultyDisk


@pytest.fixture
def directory(tmp_path: Path) -> str:
    (tmp_path / "tmp").mkdir()
    return str(tmp_path)


def test_an_id_is_made_once(directory: str) -> None:
    made = identity.establish(Disk(), directory, bytes)
    assert made == "0" * 16
    assert identity.establish(Disk(), directory, lambda size: b"\xff" * size) == made
    assert identity.is_present(Disk(), directory)


def test_the_id_is_durable_before_it_is_used(directory: str) -> None:
    disk = FaultyDisk()
    identity.establish(disk, directory, bytes)
    assert disk.calls == ["create", "write", "fsync", "rename", "fsync_directory"]


BAD_ID = '{"format": 1, "node_id": "../x"}'
NEWER = '{"format": 2, "node_id": "0000000000000000"}'


@pytest.mark.parametrize("text", ["", "{", "[]", BAD_ID, NEWER])
def test_a_directory_that_is_not_understood_is_refused(directory: str, text: str) -> None:
    Path(directory, "node.json").write_text(text)
    with pytest.raises(UnknownDirectory):
        identity.establish(Disk(), directory, bytes)
