"""The journal's thread: changes in their order, one fsync for all appends that wait, nothing left hanging."""

import threading
from collections.abc import Iterator

import pytest

from storagenode.errors import JournalFenced, NodeFailed
from storagenode.journal.store import JournalStore
from storagenode.journal.writer import JournalWriter
from tests.storagenode.journal.support import E1, E2, FIRST, HEADER, append, open_journal
from tests.storagenode.simulated_disk import SimulatedDisk

WAIT_S = 20.0


class GatedDisk(SimulatedDisk):
    """fdatasync waits while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.syncs = 0
        self.reached = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def fdatasync(self, descriptor: int) -> None:
        self.syncs += 1
        self.reached.set()
        assert self.gate.wait(WAIT_S)
        super().fdatasync(descriptor)


@pytest.fixture
def disk() -> GatedDisk:
    return GatedDisk()


@pytest.fixture
def store(disk: GatedDisk) -> JournalStore:
    store = open_journal(disk)
    store.create(HEADER)
    return store


@pytest.fixture
def writer(disk: GatedDisk, store: JournalStore) -> Iterator[JournalWriter]:
    writer = JournalWriter(store)
    yield writer
    disk.gate.set()
    writer.close()


def test_appends_that_wait_while_an_fsync_runs_share_the_next(disk: GatedDisk, writer: JournalWriter) -> None:
    disk.gate.clear()
    first = writer.append(append(FIRST, FIRST))
    assert disk.reached.wait(WAIT_S)
    others = [writer.append(append(FIRST + number, FIRST + number)) for number in range(1, 50)]
    assert not any(one.done() for one in (first, *others))
    disk.gate.set()
    assert first.result(WAIT_S) == FIRST
    assert [one.result(WAIT_S) for one in others] == [FIRST + 49] * 49
    assert disk.syncs == 2


def test_an_append_behind_a_promise_is_fenced_by_it_and_one_before_it_is_not(
    disk: GatedDisk, store: JournalStore, writer: JournalWriter
) -> None:
    disk.gate.clear()
    early = [writer.append(append(FIRST, FIRST))]
    assert disk.reached.wait(WAIT_S)
    early.append(writer.append(append(FIRST + 1, FIRST + 1)))
    promised = writer.run(lambda: store.promise(E2))
    late = writer.append(append(FIRST + 2, FIRST + 2))
    disk.gate.set()
    assert [one.result(WAIT_S) for one in early] == [FIRST, FIRST + 1]
    assert promised.result(WAIT_S).segments[0].last_sequence == FIRST + 1
    with pytest.raises(JournalFenced):
        late.result(WAIT_S)


def test_what_a_change_raises_is_raised_where_it_was_asked_for(store: JournalStore, writer: JournalWriter) -> None:
    store.promise(E2)
    with pytest.raises(JournalFenced):
        writer.run(lambda: store.promise(E1)).result(WAIT_S)
    with pytest.raises(ZeroDivisionError):
        writer.run(lambda: 1 // 0).result(WAIT_S)
    assert writer.run(lambda: store.promise(E2)).result(WAIT_S).promised_epoch == E2


def test_a_mistake_in_the_store_leaves_nobody_waiting(
    store: JournalStore, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(store, "append_all", lambda appends: 1 // 0)
        with pytest.raises(NodeFailed, match="ZeroDivisionError"):
            writer.append(append(FIRST, FIRST)).result(WAIT_S)
    assert writer.append(append(FIRST, FIRST)).result(WAIT_S) == FIRST


def test_closing_makes_what_came_before_and_refuses_what_comes_later(disk: GatedDisk, writer: JournalWriter) -> None:
    disk.gate.clear()
    waiting = [writer.append(append(FIRST, FIRST))]
    assert disk.reached.wait(WAIT_S)
    waiting.append(writer.append(append(FIRST + 1, FIRST + 1)))
    cancelled = writer.append(append(FIRST + 2, FIRST + 2))
    assert cancelled.cancel()
    closing = threading.Thread(target=writer.close)
    closing.start()
    disk.gate.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert [one.result(0) for one in waiting] == [FIRST, FIRST + 1]
    with pytest.raises(NodeFailed):
        writer.append(append(FIRST + 2, FIRST + 2)).result(0)
