"""Power lost at every single change of the disk while packs are written, sealed, indexed, compacted and recovered."""

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from storagenode import identity
from storagenode.blobstore import BlobStore
from storagenode.errors import NodeError, NodeFailed
from storagenode.packedblob import PackedWriter
from storagenode.packstore import PackLimits
from tests.storagenode.simulated_disk import Crash, SimulatedDisk
from tests.storagenode.support import NOW_MS, ORIGIN, blob_id, content, read_all

DIRECTORY = "/d/node"
LIMITS = PackLimits(small_blob_bytes=4000, pack_bytes=3000, pack_entries=12)


def blob(number: int) -> bytes:
    """Of many sizes: none, less than a sector, more than one, a file of its own."""
    return content((0, 90, 700, 1500, 5000)[number % 5], bytes([number]))


def settle(store: BlobStore) -> None:
    """Return when the writer of packs has nothing left to do, a seal perhaps; it takes up one thing after another."""
    store._packs.delete(blob_id(999))


class Client:
    """Puts, deletes and remembers what it was told."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.acknowledged: set[str] = set()
        self.deleted: set[str] = set()
        self.uncertain: set[str] = set()
        self.contents: dict[str, bytes] = {}
        self.stores: list[BlobStore] = []
        self.salts = random.Random(1)

    def open(self) -> BlobStore:
        store = BlobStore(
            self.disk,
            DIRECTORY,
            clock_ms=lambda: NOW_MS,
            reserve_bytes=0,
            pack_limits=LIMITS,
            random_bytes=self.salts.randbytes,
            background=False,
        )
        self.stores.append(store)
        identity.establish(self.disk, DIRECTORY, bytes)
        return store

    def put(self, store: BlobStore, *numbers: int) -> None:
        """Several at once are written by one write and one fsync."""
        names = [blob_id(number) for number in numbers]
        self.contents |= {name: blob(number) for name, number in zip(names, numbers, strict=True)}
        self.uncertain.update(names)
        if len(names) == 1:
            store.put(names[0], ORIGIN, [self.contents[names[0]]])
        else:
            self._put_together(store, names)
        settle(store)
        self.acknowledged.update(names)
        self.deleted.difference_update(names)
        self.uncertain.difference_update(names)

    def _put_together(self, store: BlobStore, names: Sequence[str]) -> None:
        puts = []
        for name in names:
            writer = store.begin(name, ORIGIN, len(self.contents[name]))
            assert isinstance(writer, PackedWriter)
            writer.write([self.contents[name]])
            puts.append(writer.finish())
        store._packs._writer.submit(*puts)
        for put in puts:
            put.future.result()

    def delete(self, store: BlobStore, *numbers: int) -> None:
        for number in numbers:
            name = blob_id(number)
            self.uncertain.add(name)
            self.acknowledged.discard(name)
            store.delete(name)
            settle(store)
            self.deleted.add(name)
            self.uncertain.discard(name)

    def kill(self) -> None:
        """End the threads; nothing of what closing does reaches the disk."""
        self.disk.crash_at = self.disk.changes
        self.close()
        self.disk.crash_at = None

    def close(self) -> None:
        for store in self.stores:
            with contextlib.suppress(Crash):
                store.close()
        self.stores.clear()

    def check(self) -> None:
        store = self.open()
        assert self.disk.names(f"{DIRECTORY}/tmp") == []
        assert self.disk.names(f"{DIRECTORY}/quarantine") == []
        infos = store.list(after="", before_ms=NOW_MS + 1, limit=100)
        listed = {info.blob_id for info in infos}
        assert len(listed) == len(infos)
        assert listed >= self.acknowledged
        assert not listed & (self.deleted - self.uncertain)
        for info in infos:
            assert read_all(store, info.blob_id) == self.contents[info.blob_id]
            assert info.size_bytes == len(self.contents[info.blob_id])
        for name in self.deleted - self.uncertain:
            with pytest.raises(NodeError):
                store.stat(name)
        store.close()


@pytest.fixture
def clients() -> Iterator[Callable[[SimulatedDisk], Client]]:
    made: list[Client] = []

    def make(disk: SimulatedDisk) -> Client:
        made.append(Client(disk))
        return made[-1]

    yield make
    for client in made:
        client.close()


def life(client: Client) -> None:
    """Groups, seals, deletes of what lies in older packs, indexes, compactions, restarts, the same ids again."""
    store = client.open()
    client.put(store, 1, 2, 5, 6)
    client.put(store, 3)
    client.put(store, 4)
    client.put(store, 7, 8)
    client.delete(store, 2, 3)
    store.maintain()
    client.put(store, 2)
    client.put(store, 11, 13)
    client.put(store, 1)
    client.delete(store, 1, 6, 5, 8)
    store.maintain()
    client.put(store, 18, 21, 22)
    store.close()
    store = client.open()
    client.delete(store, 7, 11, 13)
    client.put(store, 13, 23)
    client.put(store, 3, 28)
    client.delete(store, 2, 13, 18, 4)
    client.put(store, 33, 38)
    store.maintain()
    client.delete(store, 33, 38, 21)
    client.put(store, 43)
    store.maintain()
    client.delete(store, 22, 23, 3, 28, 43)
    client.put(store, 46, 47, 48)
    store.maintain()
    client.put(store, 51, 52, 53)
    store.maintain()


def broken_life(client: Client, at: int) -> bool:
    """Whether it was broken off before the given change."""
    client.disk.crash_at = at
    try:
        life(client)
    except (Crash, NodeFailed, RuntimeError):
        assert client.disk.changes == at  # a thread that met the crash before is not there any more
        return True
    return False


@pytest.fixture(scope="module")
def total() -> int:
    client = Client(SimulatedDisk())
    life(client)
    compactions, changes = client.stores[-1]._packs._packs.compactions, client.disk.changes
    client.close()
    assert compactions >= 1
    return changes


def test_a_crash_at_any_change_loses_nothing_acknowledged_and_brings_nothing_back(
    total: int, clients: Callable[[SimulatedDisk], Client]
) -> None:
    for at in range(total + 1):
        client = clients(SimulatedDisk())
        assert broken_life(client, at) == (at < total)
        client.close()
        client.disk.crash()
        client.check()
        client.close()


@pytest.mark.parametrize("seed", range(2))
def test_a_torn_crash_is_no_worse(total: int, clients: Callable[[SimulatedDisk], Client], seed: int) -> None:
    chance = random.Random(seed)
    for at in range(total):
        client = clients(SimulatedDisk())
        broken_life(client, at)
        client.close()
        client.disk.crash(chance, scattered=seed % 2 == 1)
        client.check()
        client.close()


def test_a_second_crash_at_any_change_of_recovery_is_no_worse(
    total: int, clients: Callable[[SimulatedDisk], Client]
) -> None:
    chance = random.Random(7)
    for at in range(0, total, 29):
        again = 0
        while True:
            client = clients(SimulatedDisk())
            broken_life(client, at)
            client.close()
            client.disk.crash(random.Random(at))
            client.disk.crash_at = client.disk.changes + again
            try:
                client.open().maintain()
            except Crash:
                again += 1
            else:
                break
            finally:
                client.close()
                client.disk.crash(chance)
                client.check()


def test_a_process_that_dies_and_then_the_machine_lose_nothing(
    total: int, clients: Callable[[SimulatedDisk], Client]
) -> None:
    """What only the page cache holds is found by the next process, and must be durable before it is relied upon."""
    for at in range(total):
        client = clients(SimulatedDisk())
        broken_life(client, at)
        client.close()
        client.disk.stop()
        store = client.open()
        for name in sorted(client.uncertain):
            number = next(n for n in range(60) if blob_id(n) == name)
            (client.put if at % 2 else client.delete)(store, number)
        client.kill()
        client.disk.crash()
        client.check()
        client.close()


def test_a_call_that_fails_anywhere_fails_its_operation_and_nothing_else(
    total: int, clients: Callable[[SimulatedDisk], Client]
) -> None:
    for at in range(20, total):
        client = clients(SimulatedDisk())
        client.disk.fail_at = at
        store = client.open() if at > 30 else None
        with contextlib.suppress(NodeError, OSError):
            life_after(client, store)
        client.kill()
        client.disk.crash(random.Random(at))
        client.check()
        client.close()


def life_after(client: Client, store: BlobStore | None) -> None:
    """life(), in which failures are met and gone past: each operation that is acknowledged holds."""
    store = store or client.open()
    steps: list[Callable[[], None]] = [
        lambda: client.put(store, 1, 2, 5, 6),
        lambda: client.put(store, 3),
        lambda: client.put(store, 4),
        lambda: client.put(store, 7, 8),
        lambda: client.delete(store, 2),
        lambda: client.delete(store, 3),
        store.maintain,
        lambda: client.put(store, 2),
        lambda: client.put(store, 3),
        lambda: client.put(store, 3),
        lambda: client.put(store, 11, 13),
        lambda: client.delete(store, 1),
        lambda: client.delete(store, 6),
        lambda: client.delete(store, 5),
        lambda: client.delete(store, 8),
        lambda: client.delete(store, 8),
        store.maintain,
        lambda: client.put(store, 18, 21, 22),
        lambda: client.put(store, 8),
    ]
    for step in steps:
        with contextlib.suppress(NodeError):
            step()


@pytest.mark.parametrize("kept", [(), (3,)])
def test_packs_that_compaction_replaces_go_and_come_as_one(
    clients: Callable[[SimulatedDisk], Client], kept: tuple[int, ...]
) -> None:
    """A pack of puts and the pack of their deletes become nothing, or little: puts must not outlive their deletes,
    nor packs go before what replaces them has come."""
    numbers = (1, 2, 6, 7, 11, 12, 16, 17, 21, 22, 26, 27)

    def vanish(client: Client) -> None:
        store = client.open()
        client.put(store, *numbers, *kept)
        client.delete(store, *numbers)
        store.maintain()
        assert len(client.disk.names(f"{DIRECTORY}/packs")) == 2 * len(kept)

    whole = clients(SimulatedDisk())
    vanish(whole)
    changes = whole.disk.changes
    for at in range(changes - 16, changes + 1):
        for seed in range(20):
            client = clients(SimulatedDisk())
            client.disk.crash_at = at
            with contextlib.suppress(Crash):
                vanish(client)
            client.kill()
            client.disk.crash(random.Random(seed), scattered=True)
            client.check()
            client.close()
