"""Power lost, or the process killed, at every single change of the disk: what the journal acknowledged is there,
nothing is torn, epochs never go back, and what was told after a recovery holds after the next.
"""

import contextlib
import random
from collections.abc import Callable

import pytest

from storagenode.errors import NodeError
from storagenode.journal.manifests import ManifestStore
from storagenode.journal.store import JournalStore
from storagenode.journal_protocol import Seal, SegmentHeader
from storagenode.space import SpaceLedger
from tests.storagenode.journal.support import (
    E1,
    E2,
    E3,
    FIRST,
    append,
    entry,
    header,
    open_journal,
    read_all,
    seal,
)
from tests.storagenode.simulated_disk import Crash, SimulatedDisk

OLD, NEW = header(E1, FIRST), header(E2, FIRST + 10)
HEADERS = {one.segment_id: one for one in (OLD, NEW)}

#: How the machine or the process ends: every unsynced byte lost, chance decides, or nothing lost.
ENDS: dict[str, Callable[[SimulatedDisk], None]] = {
    "power": SimulatedDisk.crash,
    **{f"torn {seed}": lambda disk, seed=seed: disk.crash(random.Random(seed)) for seed in range(6)},  # type: ignore[misc]
    "killed": SimulatedDisk.stop,
}


class Client:
    """Changes a journal, and knows of each thing what was acknowledged and what was attempted."""

    def __init__(self) -> None:
        self.disk = SimulatedDisk()
        self.promised = self.asked = 0
        self.last: dict[str, int] = {}  # acknowledged, of segments that must be there
        self.tried: dict[str, int] = {}  # of segments that may be there
        self.seals: dict[str, list[Seal | None]] = {}  # that may be there; the first one at least
        self.manifests: dict[str, list[bytes | None]] = {}

    def open(self) -> JournalStore:
        return open_journal(self.disk)

    def promise(self, store: JournalStore, epoch: int) -> None:
        self.asked = max(self.asked, epoch)
        assert store.promise(epoch).promised_epoch == epoch
        self.promised = epoch

    def create(self, store: JournalStore, header: SegmentHeader) -> None:
        name = header.segment_id
        self.tried.setdefault(name, header.first_sequence - 1)
        self.seals.setdefault(name, [None])
        store.create(header)
        self.last.setdefault(name, header.first_sequence - 1)

    def append(self, store: JournalStore, name: str, last: int) -> None:
        """Append up to `last`, from one before where the segment is known to end."""
        first = max(self.last[name], HEADERS[name].first_sequence)
        self.tried[name] = max(self.tried[name], last)
        group = [append(first, first + 1, at_epoch=HEADERS[name].epoch, segment_id=name)]
        if first + 2 <= last:
            group.append(append(first + 2, last, at_epoch=HEADERS[name].epoch, segment_id=name))
        for outcome in store.append_all(group):
            if isinstance(outcome, NodeError):
                raise outcome
            self.last[name] = outcome

    def seal(self, store: JournalStore, name: str, value: Seal) -> None:
        self.asked = max(self.asked, value.epoch)
        self.seals[name].append(value)
        store.seal(name, value)
        self.seals[name] = [value]
        self.promised = max(self.promised, value.epoch)

    def drop(self, store: JournalStore, name: str) -> None:
        self.last.pop(name, None)
        self.seals[name].append(None)
        store.drop(name)
        del self.tried[name], self.seals[name]

    def put_manifest(self, store: JournalStore, name: str, body: bytes | None) -> None:
        """Put a manifest, or drop it if there is no body."""
        manifests = self._manifests(store)
        self.manifests.setdefault(name, [None]).append(body)
        if body is None:
            manifests.drop(name)
        else:
            manifests.put(name, body)
        self.manifests[name] = [body]

    def check(self) -> JournalStore:
        """Open, compare, and hold the node to what it tells now."""
        store = self.open()
        status = store.status()
        assert self.promised <= status.promised_epoch <= self.asked
        self.promised = status.promised_epoch
        found = {one.header.segment_id: one for one in status.segments}
        assert self.last.keys() <= found.keys() <= self.tried.keys()
        for name, one in found.items():
            assert one.header == HEADERS[name]
            assert not one.damaged
            empty = one.header.first_sequence - 1
            assert self.last.get(name, empty) <= one.last_sequence <= self.tried[name]
            expected = {sequence: entry(sequence) for sequence in range(empty + 1, one.last_sequence + 1)}
            assert read_all(store, name) == expected
            assert one.watermark <= one.last_sequence
            assert one.seal in self.seals[name]
            self.last[name] = one.last_sequence
            self.seals[name] = [one.seal]
        self._check_manifests(store)
        assert self.disk.names("/d/journal/tmp") == []
        assert {name.partition(".")[0] for name in self.disk.names("/d/journal/segments")} == found.keys()
        return store

    def _check_manifests(self, store: JournalStore) -> None:
        held = dict(self._manifests(store).list())
        for name, bodies in self.manifests.items():
            assert held.get(name) in bodies
            self.manifests[name] = [held.get(name)]

    def _manifests(self, store: JournalStore) -> ManifestStore:
        return ManifestStore(store.files, SpaceLedger(self.disk, "/d", 0))


def life(client: Client) -> None:
    """First start, two segments, the first one sealed twice and dropped, and manifests."""
    store = client.open()
    client.promise(store, E1)
    client.create(store, OLD)
    client.append(store, OLD.segment_id, FIRST + 4)
    client.append(store, OLD.segment_id, FIRST + 9)
    client.put_manifest(store, "snapshot", b"one")
    client.promise(store, E2)
    client.create(store, NEW)
    client.append(store, NEW.segment_id, FIRST + 12)
    client.seal(store, OLD.segment_id, seal(E2))
    client.seal(store, OLD.segment_id, seal(E3))
    client.put_manifest(store, "snapshot", b"two" * 3000)
    client.drop(store, OLD.segment_id)
    client.put_manifest(store, "snapshot", None)


def goes_on(client: Client, store: JournalStore) -> None:
    """What a recovered node is asked for next."""
    for name in sorted(client.last):
        if client.seals[name] == [None] and client.promised <= HEADERS[name].epoch:
            client.append(store, name, client.last[name] + 5)
    client.promise(store, client.promised + 1)


def changes_of_life() -> int:
    client = Client()
    life(client)
    return client.disk.changes


def lived_until(change: int) -> Client:
    client = Client()
    client.disk.crash_at = change
    with pytest.raises(Crash):
        life(client)
    return client


@pytest.mark.parametrize("end", ENDS)
def test_an_end_at_any_change_loses_nothing_and_tears_nothing(end: str) -> None:
    total = changes_of_life()
    assert total > 60
    for change in range(total):
        client = lived_until(change)
        ENDS[end](client.disk)
        goes_on(client, client.check())
        client.disk.crash()
        client.check()


@pytest.mark.parametrize("second", ["power", "torn 1", "killed"])
@pytest.mark.parametrize("first", ["power", "torn 0", "torn 2", "killed"])
def test_an_end_during_recovery_is_no_worse(first: str, second: str) -> None:
    for change in range(changes_of_life()):
        for again in range(12):
            client = lived_until(change)
            ENDS[first](client.disk)
            client.disk.crash_at = client.disk.changes + again
            with contextlib.suppress(Crash):
                client.open()
                again = -1
            ENDS[second](client.disk)
            goes_on(client, client.check())
            client.disk.crash()
            client.check()
            if again < 0:
                break


@pytest.mark.parametrize("end", ["power", "killed", "torn 0"])
def test_a_failure_at_any_change_and_an_end_after_it_lose_nothing(end: str) -> None:
    """As above, but the disk refuses one call; what comes after goes on as long as it can."""
    for change in range(changes_of_life()):
        client = Client()
        client.disk.fail_at = change
        with contextlib.suppress(NodeError, OSError):
            life(client)
        ENDS[end](client.disk)
        goes_on(client, client.check())
        client.disk.crash()
        client.check()
