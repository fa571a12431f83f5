"""Promises and seals, as a Paxos acceptor keeps them: what is of a lower epoch is refused, and nothing is forgotten."""

from collections.abc import Callable

import pytest

from storagenode.errors import (
    InvalidRequest,
    JournalFenced,
    NodeFailed,
    SegmentSealed,
)
from storagenode.journal.store import JournalStore
from tests.storagenode.journal.support import (
    E1,
    E2,
    E3,
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


# --- rule: an epoch that was promised fences all below ----------------------------------------------------

REFUSED: dict[str, Callable[[JournalStore], object]] = {
    "append": lambda store: store.append(append(FIRST, FIRST)),
    "append of nothing": lambda store: store.append(append(FIRST, FIRST - 1, watermark=FIRST)),
    "create": lambda store: store.create(header(E1, FIRST + 1)),
    "create again": lambda store: store.create(HEADER),
    "seal": lambda store: store.seal(SEGMENT, seal(E1)),
    "promise": lambda store: store.promise(E1),
}


@pytest.mark.usefixtures("segment")
@pytest.mark.parametrize("change", REFUSED)
def test_what_is_of_an_epoch_below_the_promised_one_is_refused_for_ever(
    store: JournalStore, disk: SimulatedDisk, change: str
) -> None:
    store.promise(E2)
    for one in (store, reopened(disk)):
        with pytest.raises(JournalFenced) as caught:
            REFUSED[change](one)
        assert caught.value.promised_epoch == E2
        assert read_all(one) == {}
        assert len(one.status().segments) == 1


@pytest.mark.usefixtures("segment")
def test_a_promise_of_the_same_epoch_is_kept_again_and_of_a_higher_one_taken(store: JournalStore) -> None:
    assert store.promise(E1).promised_epoch == E1
    assert store.append(append(FIRST, FIRST)) == FIRST
    assert store.promise(E3).promised_epoch == E3


@pytest.mark.usefixtures("segment")
def test_an_append_must_be_of_the_segments_own_epoch(store: JournalStore) -> None:
    with pytest.raises(InvalidRequest):
        store.append(append(FIRST, FIRST, at_epoch=E2))


def test_a_promise_that_could_not_be_stored_is_not_told_as_one_but_fences(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    store.promise(E1)
    for failing in range(5):  # create, write, fsync, rename, fsync of the directory
        store = reopened(disk)
        disk.fail_at = disk.changes + failing
        with pytest.raises(NodeFailed):
            store.promise(E2)
        assert store.status().promised_epoch == E1
        with pytest.raises(JournalFenced):
            store.create(header(E1))
    assert store.promise(E2).promised_epoch == E2
    assert reopened(disk).status().promised_epoch == E2


@pytest.mark.usefixtures("segment")
@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_node_that_lost_its_promise_takes_part_in_nothing_but_can_be_read(
    store: JournalStore, disk: SimulatedDisk, how: str
) -> None:
    store.append(append(FIRST, FIRST + 2))
    if how == "gone":
        disk.unlink("/d/journal/promise")
    else:
        disk.set_content("/d/journal/promise", bytes(8192))
    store = open_journal(disk)
    calls: list[Callable[[], object]] = [
        store.status,
        lambda: store.promise(E3),
        lambda: store.create(header(E3)),
        lambda: store.append(append(FIRST + 3, FIRST + 3)),
        lambda: store.seal(SEGMENT, seal(E3)),
    ]
    for call in calls:
        with pytest.raises(NodeFailed, match="promised is lost"):
            call()
    assert read_all(store) == expected(FIRST, FIRST + 2)
    assert store.drop(SEGMENT)


# --- rule: a seal is accepted as in Paxos -----------------------------------------------------------------


@pytest.mark.usefixtures("segment")
def test_a_sealed_segment_takes_no_entries_not_even_known_ones(store: JournalStore, disk: SimulatedDisk) -> None:
    store.append(append(FIRST, FIRST + 2))
    store.seal(SEGMENT, seal(E1, FIRST + 2))
    for one in (store, reopened(disk)):
        for first in (FIRST, FIRST + 3):
            with pytest.raises(SegmentSealed):
                one.append(append(first, first))
        assert segment_status(one).seal == seal(E1, FIRST + 2)
        assert read_all(one) == expected(FIRST, FIRST + 2)


@pytest.mark.usefixtures("segment")
def test_a_seal_replaces_one_of_a_lower_epoch_and_none_of_its_own_or_a_higher(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    store.seal(SEGMENT, seal(E2, FIRST))
    store.seal(SEGMENT, seal(E2, FIRST))
    with pytest.raises(InvalidRequest):
        store.seal(SEGMENT, seal(E2, FIRST + 1))
    store.seal(SEGMENT, seal(E3, FIRST + 2))
    with pytest.raises(JournalFenced):
        store.seal(SEGMENT, seal(E2, FIRST))
    assert segment_status(store).seal == seal(E3, FIRST + 2)
    assert segment_status(reopened(disk)).seal == seal(E3, FIRST + 2)


@pytest.mark.usefixtures("segment")
def test_a_seal_promises_its_epoch(store: JournalStore, disk: SimulatedDisk) -> None:
    store.seal(SEGMENT, seal(E2))
    for one in (store, reopened(disk)):
        assert one.status().promised_epoch == E2
        with pytest.raises(JournalFenced):
            one.create(header(E1, 7))


@pytest.mark.usefixtures("segment")
def test_a_seal_of_an_epoch_before_its_segment_makes_no_sense(store: JournalStore) -> None:
    with pytest.raises((InvalidRequest, JournalFenced)):
        store.seal(SEGMENT, seal(E1 - 1))
    assert segment_status(store).seal is None


@pytest.mark.usefixtures("segment")
def test_a_seal_that_could_not_be_stored_can_be_stored_again(store: JournalStore, disk: SimulatedDisk) -> None:
    store.promise(E2)
    for failing in range(5):
        disk.fail_at = disk.changes + failing
        with pytest.raises(NodeFailed):
            store.seal(SEGMENT, seal())
    store.seal(SEGMENT, seal())
    assert segment_status(reopened(disk)).seal == seal()


@pytest.mark.usefixtures("segment")
def test_a_seal_whose_name_may_not_be_durable_counts_but_was_not_acknowledged(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    disk.fail_at = disk.changes + 4  # the fsync of the directory
    with pytest.raises(NodeFailed):
        store.seal(SEGMENT, seal(E1))
    assert segment_status(store).seal == seal(E1)
    with pytest.raises(SegmentSealed):
        store.append(append(FIRST, FIRST))
    disk.stop()
    assert segment_status(open_journal(disk)).seal == seal(E1)
    assert segment_status(reopened(disk)).seal == seal(E1)  # who starts makes durable what it tells


@pytest.mark.usefixtures("segment")
def test_a_seal_that_was_lost_to_damage_makes_the_segment_damaged_until_the_next(
    store: JournalStore, disk: SimulatedDisk
) -> None:
    store.seal(SEGMENT, seal(E1))
    path = f"/d/journal/segments/{SEGMENT}.seal"
    one_copy = bytearray(disk.content(path))
    one_copy[30] ^= 1
    disk.set_content(path, bytes(one_copy))
    assert segment_status(open_journal(disk)).seal == seal(E1)
    disk.set_content(path, bytes(len(one_copy)))
    store = open_journal(disk)
    assert (segment_status(store).seal, segment_status(store).damaged) == (None, True)
    with pytest.raises(NodeFailed):
        store.append(append(FIRST, FIRST))
    store.seal(SEGMENT, seal(E2))
    assert (segment_status(store).seal, segment_status(store).damaged) == (seal(E2), False)
