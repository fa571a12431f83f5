"""Disks that fail or are full: no file is appended to behind a write that failed, and what was acknowledged is read."""

import pytest

from storagenode.errors import (
    NodeFailed,
    NodeFull,
)
from storagenode.journal.store import JournalStore
from tests.storagenode.journal.support import (
    E1,
    E2,
    FIRST,
    HEADER,
    SEGMENT,
    append,
    expected,
    header,
    open_journal,
    read_all,
    reopened,
    seal,
    segment_status,
)
from tests.storagenode.simulated_disk import SimulatedDisk

LOG = f"/d/journal/segments/{SEGMENT}.log"


# --- rule: a file whose write or fsync failed is not appended to again ------------------------------------


@pytest.mark.usefixtures("segment")
@pytest.mark.parametrize("failing", [0, 1])  # the write, the fsync
@pytest.mark.parametrize("restart", ["none", "process", "machine"])
def test_nothing_is_appended_to_a_file_behind_a_write_that_failed(
    store: JournalStore, disk: SimulatedDisk, failing: int, restart: str
) -> None:
    store.append(append(FIRST, FIRST + 2))
    disk.fail_at = disk.changes + failing
    with pytest.raises(NodeFailed):
        store.append(append(FIRST + 3, FIRST + 5))
    assert read_all(store) == expected(FIRST, FIRST + 2)
    assert segment_status(store).last_sequence == FIRST + 2
    if restart == "none":
        for first in (FIRST, FIRST + 3):
            with pytest.raises(NodeFailed):
                store.append(append(first, first))
        store.seal(SEGMENT, seal())
        return
    if restart == "machine":
        disk.crash()
    disk.stop()
    store = open_journal(disk)
    assert read_all(store).items() >= expected(FIRST, FIRST + 2).items()
    last = store.append(append(FIRST + 3, FIRST + 9))
    assert last == FIRST + 9
    # The kernel will never write what the failed fsync dropped; had the old file been used, that would be missing.
    assert read_all(reopened(disk)) == expected(FIRST, FIRST + 9)


@pytest.mark.usefixtures("segment")
def test_entries_are_acknowledged_though_the_mark_behind_them_could_not_be_written(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    disk.fail_at = disk.changes + 2
    assert store.append(append(FIRST, FIRST + 2)) == FIRST + 2
    with pytest.raises(NodeFailed):
        store.append(append(FIRST + 3, FIRST + 3))
    store = reopened(disk)
    assert store.append(append(FIRST + 3, FIRST + 3)) == FIRST + 3
    assert read_all(store) == expected(FIRST, FIRST + 3)


@pytest.mark.usefixtures("segment")
def test_all_appends_of_a_group_that_failed_fail_but_those_with_nothing_new(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    store.append(append(FIRST, FIRST))
    disk.fail_at = disk.changes + 1
    outcomes = store.append_all([append(FIRST, FIRST), append(FIRST + 1, FIRST + 1), append(FIRST + 2, FIRST + 2)])
    assert outcomes[0] == FIRST
    assert all(isinstance(outcome, NodeFailed) for outcome in outcomes[1:])
    assert outcomes[1] is not outcomes[2]


@pytest.mark.usefixtures("segment")
def test_a_file_that_was_removed_under_the_node_acknowledges_nothing(store: JournalStore, disk: SimulatedDisk) -> None:
    store.append(append(FIRST, FIRST))
    disk.unlink(LOG)
    with pytest.raises(NodeFailed):
        store.append(append(FIRST + 1, FIRST + 1))


@pytest.mark.usefixtures("segment")
def test_a_node_starts_and_tells_what_it_has_when_a_file_cannot_be_made_anew(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    disk.fail_at = disk.changes + 2
    store.append(append(FIRST, FIRST + 2))
    disk.stop()
    disk.failure = OSError(28, "No space left on device")
    disk.fail_at = disk.changes + 4  # behind the fsyncs of four directories
    store = open_journal(disk)
    assert disk.changes == disk.fail_at + 1
    assert read_all(store) == expected(FIRST, FIRST + 2)
    with pytest.raises(NodeFailed):
        store.append(append(FIRST + 3, FIRST + 3))


# --- space ------------------------------------------------------------------------------------------------


def test_the_journal_may_use_half_of_the_reserve(disk: SimulatedDisk) -> None:
    reserve_bytes = 1 << 20
    store = open_journal(disk, reserve_bytes=reserve_bytes)
    disk.free_bytes = reserve_bytes // 2 + 8192
    store.create(HEADER)
    assert store.append(append(FIRST, FIRST)) == FIRST
    disk.free_bytes = reserve_bytes // 2
    with pytest.raises(NodeFull):
        store.append(append(FIRST + 1, FIRST + 1))
    with pytest.raises(NodeFull):
        store.create(header(E1, 7))
    assert store.append(append(FIRST, FIRST)) == FIRST
    store.promise(E2)
    store.seal(SEGMENT, seal())
    assert store.drop(SEGMENT)


@pytest.mark.usefixtures("segment")
def test_a_segment_goes_on_when_there_is_room_again(store: JournalStore, disk: SimulatedDisk) -> None:
    free_bytes, disk.free_bytes = disk.free_bytes, 0
    with pytest.raises(NodeFull):
        store.append(append(FIRST, FIRST))
    disk.free_bytes = free_bytes
    assert store.append(append(FIRST, FIRST)) == FIRST


@pytest.mark.usefixtures("segment")
def test_a_disk_that_says_itself_that_it_is_full_ends_the_file(store: JournalStore, disk: SimulatedDisk) -> None:
    disk.failure = OSError(28, "No space left on device")
    disk.fail_at = disk.changes
    with pytest.raises(NodeFull):
        store.append(append(FIRST, FIRST))
    with pytest.raises(NodeFailed):
        store.append(append(FIRST, FIRST))
