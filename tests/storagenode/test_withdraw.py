"""A sound blob that nobody can explain is set aside: no read finds it, nothing deletes it, its bytes stay."""

from pathlib import Path

import pytest

from storagenode.client import BlobNotFound, NodeClient
from storagenode.errors import BlobNotFound as NotFound
from tests.storagenode.support import (
    NO_PACKS,
    ORIGIN,
    SECRET,
    blob_id,
    content,
    open_store,
    read_all,
    running_node,
)


@pytest.mark.parametrize("form", ["file", "pack"])
def test_withdrawn_blob_is_in_quarantine_with_its_bytes_and_may_be_put_again(tmp_path: Path, form: str) -> None:
    store = open_store(tmp_path, packs=NO_PACKS if form == "file" else None)
    body = content(3000)
    store.put(blob_id(1), ORIGIN, [body])
    store.put(blob_id(2), ORIGIN, [content(10)])
    assert store.withdraw(blob_id(1))
    with pytest.raises(NotFound):
        store.stat(blob_id(1))
    assert [info.blob_id for info in store.list(after="", before_ms=1 << 47, limit=10)] == [blob_id(2)]
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert body in kept.read_bytes()
    (entry,) = store.quarantine.list("", 10)
    assert (entry.blob_id, entry.found_by, entry.reason) == (blob_id(1), "fsck", "unexplained")
    assert (entry.origin, entry.size_bytes) == (ORIGIN, 3000)
    store.put(blob_id(1), ORIGIN, [body])
    assert read_all(store, blob_id(1)) == body
    store.close()


def test_withdrawn_blob_stays_away_after_a_restart(tmp_path: Path) -> None:
    for name, packs in (("file", NO_PACKS), ("pack", None)):
        store = open_store(tmp_path / name, packs=packs)
        store.put(blob_id(1), ORIGIN, [content(3000)])
        assert store.withdraw(blob_id(1))
        store.close()
        store = open_store(tmp_path / name, packs=packs)
        with pytest.raises(NotFound):
            store.stat(blob_id(1))
        store.close()


def test_withdrawing_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert not store.withdraw(blob_id(1))
    assert store.quarantined == 0
    store.close()


async def test_client_has_a_node_set_a_blob_aside(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, NodeClient(SECRET) as client:
        await client.put(node.address, blob_id(), size_bytes=3, origin=ORIGIN, body=b"abc")
        assert await client.quarantine(node.address, blob_id())
        assert not await client.quarantine(node.address, blob_id())
        with pytest.raises(BlobNotFound):
            await client.stat(node.address, blob_id())
