"""Power lost at every single change of the disk: what was acknowledged is there whole, what is there is whole."""

import contextlib
from collections.abc import Callable

import pytest

from storagenode import identity
from storagenode.blobfile import BLOCK_BYTES
from storagenode.blobstore import BlobStore
from tests.storagenode.simulated_disk import Crash, SimulatedDisk
from tests.storagenode.support import NOW_MS, ORIGIN, blob_id, content, read_all

DIRECTORY = "/d/new/node"
OLD_MS = NOW_MS - 30 * 86_400_000
BLOBS = {
    blob_id(1): content(100, b"1"),
    blob_id(2): content(BLOCK_BYTES + 1, b"2"),
    blob_id(3, at_ms=OLD_MS): content(0),
    blob_id(4, at_ms=OLD_MS): content(5, b"4"),
}


class Client:
    """Puts, deletes and remembers what it was told."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.acknowledged: set[str] = set()
        self.deleted: set[str] = set()
        self.uncertain: str | None = None

    def open(self) -> BlobStore:
        store = BlobStore(self.disk, DIRECTORY, clock_ms=lambda: NOW_MS, reserve_bytes=0)
        identity.establish(self.disk, DIRECTORY, bytes)
        return store

    def put(self, store: BlobStore, name: str) -> None:
        self.uncertain = name
        store.put(name, ORIGIN, [BLOBS[name]])
        self.acknowledged.add(name)
        self.deleted.discard(name)
        self.uncertain = None

    def delete(self, store: BlobStore, name: str) -> None:
        self.uncertain = name
        self.acknowledged.discard(name)
        store.delete(name)
        self.deleted.add(name)
        self.uncertain = None

    def check(self) -> None:
        store = self.open()
        assert self.disk.names(f"{DIRECTORY}/tmp") == []
        assert self.disk.names(f"{DIRECTORY}/quarantine") == []
        listed = {info.blob_id for info in store.list(after="", before_ms=NOW_MS + 1, limit=100)}
        assert listed >= self.acknowledged
        assert not listed & (self.deleted - {self.uncertain})
        for name in listed:
            assert read_all(store, name) == BLOBS[name]


def life(client: Client) -> None:
    """First start, puts, a repeated put, deletes that empty directories, and a put into a pruned one."""
    store = client.open()
    for name in BLOBS:
        client.put(store, name)
    client.put(store, blob_id(1))
    for number in (3, 4):
        client.delete(store, blob_id(number, at_ms=OLD_MS))
    client.put(store, blob_id(3, at_ms=OLD_MS))
    client.delete(store, blob_id(2))


def changes_of(run: Callable[[Client], None]) -> int:
    client = Client(SimulatedDisk())
    run(client)
    return client.disk.changes


def test_a_crash_at_any_change_loses_nothing_acknowledged_and_leaves_nothing_torn() -> None:
    total = changes_of(life)
    assert total > 40
    for at in range(total + 1):
        client = Client(SimulatedDisk())
        client.disk.crash_at = at
        try:
            life(client)
        except Crash:
            pass
        else:
            assert at == total
        client.disk.crash()
        client.check()


def test_the_first_blob_of_a_new_directory_survives_without_help_from_other_files() -> None:
    disk = SimulatedDisk()
    store = BlobStore(disk, DIRECTORY, clock_ms=lambda: NOW_MS, reserve_bytes=0)
    store.put(blob_id(1), ORIGIN, [BLOBS[blob_id(1)]])
    disk.crash()
    store = BlobStore(disk, DIRECTORY, clock_ms=lambda: NOW_MS, reserve_bytes=0)
    assert read_all(store, blob_id(1)) == BLOBS[blob_id(1)]


def test_a_second_crash_during_recovery_is_no_worse() -> None:
    for at in range(changes_of(life)):
        for again in range(6):
            client = Client(SimulatedDisk())
            client.disk.crash_at = at
            with pytest.raises(Crash):
                life(client)
            client.disk.crash()
            client.disk.crash_at = client.disk.changes + again
            with contextlib.suppress(Crash):
                client.open()
            client.disk.crash()
            client.check()


def test_a_put_repeated_after_its_process_died_makes_the_first_one_durable() -> None:
    disk = SimulatedDisk()
    client = Client(disk)
    store = client.open()
    client.put(store, blob_id(1))
    # The process dies, between the rename and the fsync of the directory; the machine goes on.
    disk.crash_at = disk.changes + 4
    with pytest.raises(Crash):
        store.put(blob_id(2), ORIGIN, [BLOBS[blob_id(2)]])
    disk.crash_at = None
    store = client.open()
    assert store.stat(blob_id(2))
    client.put(store, blob_id(2))
    # Now the machine dies.
    disk.crash()
    client.check()
