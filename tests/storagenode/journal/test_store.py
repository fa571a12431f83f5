"""What a node's journal holds: appended, read, told, created and dropped; gaps, repetition, fsync before the answer."""

from collections.abc import Callable

import pytest

from storagenode.errors import (
    InvalidRequest,
    NodeError,
    NodeFailed,
    SegmentGap,
    SegmentNotFound,
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


# --- what is appended is read -----------------------------------------------------------------------------


def test_a_new_node_promised_nothing_and_holds_nothing(store: JournalStore) -> None:
    assert store.status().promised_epoch == 0
    assert store.status().segments == ()


@pytest.mark.usefixtures("segment")
def test_what_was_appended_is_read_from_any_place(store: JournalStore) -> None:
    last = FIRST - 1
    for size in (1, 2, 63, 64, 65, 200):
        assert store.append(append(last + 1, last + size)) == last + size
        last += size
    assert read_all(store) == expected(FIRST, last)
    for after in range(FIRST - 2, last + 1):
        frames = store.read(SEGMENT, after, 1)
        assert [frame.sequence for frame in frames] == ([max(after + 1, FIRST)] if after < last else [])
    assert segment_status(store).last_sequence == last


@pytest.mark.usefixtures("segment")
def test_a_read_stops_at_its_limit_but_gives_one_entry_at_least(store: JournalStore) -> None:
    store.append(append(FIRST, FIRST + 99))
    sizes = [len(frame.raw) for frame in store.read(SEGMENT, 0, 1 << 20)]
    assert len(sizes) == 100
    for count in range(1, 100):
        assert len(store.read(SEGMENT, 0, sum(sizes[:count]))) == count
        assert len(store.read(SEGMENT, 0, sum(sizes[:count]) - 1)) == max(1, count - 1)


def test_an_empty_segment_ends_before_its_first_sequence(store: JournalStore) -> None:
    for first in (1, FIRST):
        store.create(header(E1, first))
        status = segment_status(store, header(E1, first).segment_id)
        assert (status.last_sequence, status.watermark) == (first - 1, first - 1)
        assert (status.seal, status.damaged) == (None, False)


def test_segments_are_told_in_the_order_of_their_ids(store: JournalStore, disk: SimulatedDisk) -> None:
    headers = [header(E1, 1), header(E1, FIRST), header(E2, 50)]
    for one in reversed(headers):
        store.create(one)
    assert [one.header for one in store.status().segments] == headers
    assert [one.header for one in reopened(disk).status().segments] == headers


@pytest.mark.usefixtures("segment")
def test_appends_of_one_group_may_build_on_each_other_and_share_one_fsync(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    other = header(E1, 7)
    store.create(other)
    before = disk.changes
    outcomes = store.append_all(
        [
            append(FIRST, FIRST + 4),
            append(7, 7, segment_id=other.segment_id),
            append(FIRST + 3, FIRST + 8),
            append(FIRST + 10, FIRST + 12),
            append(FIRST + 9, FIRST + 9),
        ]
    )
    gap = outcomes.pop(3)
    assert isinstance(gap, SegmentGap)
    assert outcomes == [FIRST + 9, 7, FIRST + 9, FIRST + 9]
    assert disk.changes - before == 2 * 3  # for each segment: the entries, the fsync, the mark
    assert read_all(store) == expected(FIRST, FIRST + 9)


# --- rule: a gap is refused -------------------------------------------------------------------------------


@pytest.mark.usefixtures("segment")
def test_an_append_that_leaves_a_gap_is_refused_and_told_the_last_sequence(store: JournalStore) -> None:
    for first, last in ((FIRST + 1, FIRST - 1), (FIRST + 4, FIRST + 2)):
        with pytest.raises(SegmentGap) as caught:
            store.append(append(first, first))
        assert caught.value.last_sequence == last
        store.append(append(FIRST, FIRST + 2))
    assert read_all(store) == expected(FIRST, FIRST + 2)


@pytest.mark.usefixtures("segment")
def test_entries_before_the_first_of_the_segment_are_refused(store: JournalStore) -> None:
    with pytest.raises(InvalidRequest):
        store.append(append(FIRST - 1, FIRST + 1))
    assert read_all(store) == {}


# --- rule: appends are idempotent by sequence -------------------------------------------------------------


@pytest.mark.usefixtures("segment")
def test_entries_that_are_here_are_passed_over(store: JournalStore, disk: SimulatedDisk) -> None:
    store.append(append(FIRST, FIRST + 4))
    size, before = len(disk.content(LOG)), disk.changes
    assert store.append(append(FIRST + 1, FIRST + 3)) == FIRST + 4
    assert (len(disk.content(LOG)), disk.changes) == (size, before)
    assert store.append(append(FIRST, FIRST + 6)) == FIRST + 6
    assert read_all(store) == expected(FIRST, FIRST + 6)
    assert read_all(reopened(disk)) == expected(FIRST, FIRST + 6)


# --- rule: what is acknowledged is durable ----------------------------------------------------------------


def test_every_answer_comes_after_the_fsync(disk: SimulatedDisk) -> None:
    open_journal(disk).promise(E1)
    assert reopened(disk).status().promised_epoch == E1
    open_journal(disk).create(HEADER)
    assert segment_status(reopened(disk)).header == HEADER
    open_journal(disk).append(append(FIRST, FIRST + 2))
    store = reopened(disk)
    assert read_all(store) == expected(FIRST, FIRST + 2)
    store.seal(SEGMENT, seal())
    assert segment_status(reopened(disk)).seal == seal()
    assert open_journal(disk).drop(SEGMENT)
    assert reopened(disk).status().segments == ()


@pytest.mark.usefixtures("segment")
def test_what_is_not_durable_is_not_read(store: JournalStore, disk: SimulatedDisk) -> None:
    store.append(append(FIRST, FIRST))
    seen: list[dict[int, bytes]] = []
    fsync = disk.fdatasync

    def look(descriptor: int) -> None:
        seen.append(read_all(store))
        assert segment_status(store).last_sequence == FIRST
        fsync(descriptor)

    disk.fdatasync = look  # type: ignore[method-assign]
    store.append(append(FIRST + 1, FIRST + 2))
    assert seen == [expected(FIRST, FIRST)]


# --- watermarks -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("segment")
def test_the_watermark_is_the_highest_that_was_told_and_lasts_with_the_next_append(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    store.append(append(FIRST, FIRST + 2, watermark=FIRST + 1))
    store.append(append(FIRST + 3, FIRST + 3, watermark=FIRST))
    assert segment_status(store).watermark == FIRST + 1
    assert store.append(append(FIRST + 4, FIRST + 3, watermark=FIRST + 3)) == FIRST + 3
    assert segment_status(store).watermark == FIRST + 3
    store.append(append(FIRST + 4, FIRST + 4))
    store = reopened(disk)
    assert segment_status(store).watermark == FIRST + 3


# --- creating and dropping --------------------------------------------------------------------------------


@pytest.mark.usefixtures("segment")
def test_creating_a_segment_again_keeps_it_and_another_of_its_id_is_refused(store: JournalStore) -> None:
    store.append(append(FIRST, FIRST))
    store.create(HEADER)
    with pytest.raises(InvalidRequest):
        store.create(header(incarnation="another"))
    assert read_all(store) == expected(FIRST, FIRST)


def test_creating_a_segment_again_after_a_failure_makes_it_durable(store: JournalStore, disk: SimulatedDisk) -> None:
    for failing in range(5):
        disk.fail_at = disk.changes + failing
        with pytest.raises(NodeFailed):
            store.create(HEADER)
    store.create(HEADER)
    assert segment_status(reopened(disk)).header == HEADER


def test_what_is_not_here_is_not_found(store: JournalStore) -> None:
    store.promise(E1)
    calls: list[Callable[[], object]] = [
        lambda: store.append(append(FIRST, FIRST)),
        lambda: store.read(SEGMENT, 0, 1),
        lambda: store.seal(SEGMENT, seal()),
    ]
    for call in calls:
        with pytest.raises(SegmentNotFound):
            call()
    assert store.drop(SEGMENT) is False


@pytest.mark.usefixtures("segment")
def test_a_dropped_segment_is_gone_with_its_seal(store: JournalStore, disk: SimulatedDisk) -> None:
    store.append(append(FIRST, FIRST))
    store.seal(SEGMENT, seal(E1))
    assert store.drop(SEGMENT)
    assert disk.names("/d/journal/segments") == []
    store.create(HEADER)
    assert segment_status(store).seal is None
    assert read_all(reopened(disk)) == {}


@pytest.mark.usefixtures("segment")
def test_a_segment_created_again_does_not_inherit_the_seal_of_one_whose_removal_was_cut_short(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    store.seal(SEGMENT, seal(E1))
    disk.fail_at = disk.changes + 2  # the removal of the seal
    with pytest.raises(NodeFailed):
        store.drop(SEGMENT)
    store.create(HEADER)
    assert segment_status(store).seal is None
    assert segment_status(reopened(disk)).seal is None


def test_a_file_that_tells_nothing_stays_and_is_no_segment(disk: SimulatedDisk) -> None:
    open_journal(disk).create(HEADER)
    disk.set_content(LOG, b"nothing")
    store = open_journal(disk)
    assert store.status().segments == ()
    calls: list[Callable[[], object]] = [
        lambda: store.create(HEADER),
        lambda: store.append(append(FIRST, FIRST)),
        lambda: store.read(SEGMENT, 0, 1),
    ]
    for call in calls:
        with pytest.raises(NodeFailed, match="cannot be read"):
            call()
    assert disk.content(LOG) == b"nothing"
    assert store.drop(SEGMENT)
    store.create(HEADER)


def test_errors_of_a_group_are_told_to_each_for_itself(store: JournalStore) -> None:
    store.promise(E1)
    outcomes = store.append_all([append(FIRST, FIRST), append(FIRST, FIRST)])
    assert all(isinstance(outcome, NodeError) for outcome in outcomes)
    assert outcomes[0] is not outcomes[1]
