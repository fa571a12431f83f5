"""Power lost at every single change of the disk: what was acknowledged is there whole, what is there is whole."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from storagenode import identity
from storagenode.blobfile import BLOCK_BYTES
from storagenode.blobstore import BlobStore
from storagenode.packstore import PackLimits
from tests.storagenode.simulated_disk import Crash, SimulatedDisk
from tests.storagenode.support import NO_PACKS, NOW_MS, ORIGIN, blob_id, content, open_store, read_all

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

    def __init__(self, disk: SimulatedDisk, limits: PackLimits) -> None:
        self.disk = disk
        self.limits = limits
        self.stores: list[BlobStore] = []
        self.acknowledged: set[str] = set()
        self.deleted: set[str] = set()
        self.uncertain: str | None = None

    def open(self) -> BlobStore:
        store = BlobStore(
            self.disk,
            DIRECTORY,
            clock_ms=lambda: NOW_MS,
            reserve_bytes=0,
            pack_limits=self.limits,
            random_bytes=bytes,
            background=False,
        )
        self.stores.append(store)
        identity.establish(self.disk, DIRECTORY, bytes)
        return store

    def close(self) -> None:
        """End the threads of all stores."""
        for store in self.stores:
            with contextlib.suppress(Crash):
                store.close()
        self.stores.clear()

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
        self.close()


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


def changes_of(run: Callable[[Client], None], limits: PackLimits) -> int:
    client = Client(SimulatedDisk(), limits)
    run(client)
    changes = client.disk.changes
    client.close()
    return changes


forms = pytest.mark.parametrize("limits", [NO_PACKS, PackLimits()], ids=["files", "packs"])


@forms
def test_a_crash_at_any_change_loses_nothing_acknowledged_and_leaves_nothing_torn(limits: PackLimits) -> None:
    total = changes_of(life, limits)
    assert total > 30
    for at in range(total + 1):
        client = Client(SimulatedDisk(), limits)
        client.disk.crash_at = at
        try:
            life(client)
        except Crash:
            pass
        else:
            assert at == total
        client.close()
        client.disk.crash()
        client.check()


@forms
def test_the_first_blob_of_a_new_directory_survives_without_help_from_other_files(limits: PackLimits) -> None:
    disk = SimulatedDisk()
    client = Client(disk, limits)
    client.stores.append(open_store(Path(DIRECTORY), disk, packs=limits))
    client.stores[0].put(blob_id(1), ORIGIN, [BLOBS[blob_id(1)]])
    client.close()
    disk.crash()
    store = open_store(Path(DIRECTORY), disk, packs=limits)
    assert read_all(store, blob_id(1)) == BLOBS[blob_id(1)]
    store.close()


@forms
def test_a_second_crash_during_recovery_is_no_worse(limits: PackLimits) -> None:
    for at in range(changes_of(life, limits)):
        for again in range(6):
            client = Client(SimulatedDisk(), limits)
            client.disk.crash_at = at
            with pytest.raises(Crash):
                life(client)
            client.close()
            client.disk.crash()
            client.disk.crash_at = client.disk.changes + again
            with contextlib.suppress(Crash):
                client.open()
            client.close()
            client.disk.crash()
            client.check()


def test_a_put_repeated_after_its_process_died_makes_the_first_one_durable() -> None:
    disk = SimulatedDisk()
    client = Client(disk, NO_PACKS)
    store = client.open()
    client.put(store, blob_id(1))
    # The process dies, between the rename and the fsync of the directory; the machine goes on.
    disk.crash_at = disk.changes + 4
    with pytest.raises(Crash):
        store.put(blob_id(2), ORIGIN, [BLOBS[blob_id(2)]])
    client.close()
    disk.crash_at = None
    store = client.open()
    assert store.stat(blob_id(2))
    client.put(store, blob_id(2))
    # Now the machine dies.
    client.close()
    disk.crash()
    client.check()
