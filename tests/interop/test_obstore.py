"""obstore: the Rust crate object_store, as data tools use it."""

from typing import Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, NotModifiedError, PreconditionError
from obstore.store import S3Store

from tests.harness.cairn import CairnServer
from tests.interop.support import MIB, SIZES_BYTES


@pytest.fixture
def store(cairn: CairnServer, bucket: str) -> Any:
    return S3Store(
        bucket,
        endpoint=cairn.endpoint,
        access_key_id=cairn.access_key,
        secret_access_key=cairn.secret_key,
        region=cairn.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )


def read(store: Any, key: str) -> bytes:
    return bytes(obstore.get(store, key).bytes())


def test_objects_of_all_sizes(store: Any) -> None:
    for size_bytes in (*SIZES_BYTES, 21 * MIB):
        content = bytes(size_bytes)
        obstore.put(store, f"dir/{size_bytes}", content)
        assert read(store, f"dir/{size_bytes}") == content
        assert obstore.head(store, f"dir/{size_bytes}")["size"] == size_bytes


def test_ranges(store: Any) -> None:
    obstore.put(store, "k", b"0123456789")
    assert bytes(obstore.get_range(store, "k", start=2, end=5)) == b"234"
    assert [bytes(part) for part in obstore.get_ranges(store, "k", starts=[0, 8], ends=[1, 10])] == [b"0", b"89"]
    assert bytes(obstore.get(store, "k", options={"range": {"suffix": 3}}).bytes()) == b"789"
    assert bytes(obstore.get(store, "k", options={"range": {"offset": 7}}).bytes()) == b"789"


def test_listing(store: Any) -> None:
    keys = ["a", "a b/ü+", "dir/1", "dir/2", "dir/deep/3"]
    for key in keys:
        obstore.put(store, key, b"x")
    listed = [entry["path"] for page in obstore.list(store, chunk_size=2) for entry in page]
    assert listed == keys
    folded = obstore.list_with_delimiter(store, "dir")
    assert [entry["path"] for entry in folded["objects"]] == ["dir/1", "dir/2"]
    assert folded["common_prefixes"] == ["dir/deep"]
    after = [entry["path"] for page in obstore.list(store, offset="dir/1") for entry in page]
    assert after == ["dir/2", "dir/deep/3"]


def test_copy_rename_delete(store: Any) -> None:
    obstore.put(store, "a b/ü+", b"x", attributes={"Content-Type": "text/x-test", "colour": "grey"})
    obstore.copy(store, "a b/ü+", "copy")
    obstore.rename(store, "copy", "renamed")
    attributes = obstore.get(store, "renamed").attributes
    assert (attributes["Content-Type"], attributes["colour"]) == ("text/x-test", "grey")
    obstore.delete(store, ["a b/ü+", "renamed"])
    assert [entry for page in obstore.list(store) for entry in page] == []
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "renamed")


def test_conditional_writes_and_reads(store: Any) -> None:
    first = obstore.put(store, "k", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "k", b"2", mode="create")
    second = obstore.put(store, "k", b"2", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, "k", b"3", mode={"e_tag": first["e_tag"]})
    with pytest.raises(NotModifiedError):
        obstore.get(store, "k", options={"if_none_match": second["e_tag"]})
    assert read(store, "k") == b"2"


def test_stream_is_uploaded_in_parts(store: Any) -> None:
    with obstore.open_writer(store, "stream", buffer_size=6 * MIB) as writer:
        for number in range(14):
            writer.write(bytes([number]) * MIB)
    assert read(store, "stream") == b"".join(bytes([number]) * MIB for number in range(14))
