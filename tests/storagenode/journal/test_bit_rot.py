"""Damage to a segment's file: every entry that is read is right, and one that is missing is owned up to."""

import random
from collections.abc import Callable, Iterator

import pytest

from storagenode.errors import NodeFailed
from storagenode.journal.segment_format import CHUNK_BYTES, MARK_BYTES
from storagenode.journal.store import JournalStore
from tests.storagenode.journal.support import (
    FIRST,
    HEADER,
    SEGMENT,
    append,
    append_of,
    entry,
    open_journal,
    read_all,
    segment_status,
)
from tests.storagenode.simulated_disk import SimulatedDisk

LOG = f"/d/journal/segments/{SEGMENT}.log"
LAST = FIRST + 99
RIGHT = {sequence: entry(sequence) for sequence in range(FIRST, LAST + 1)}


def written() -> SimulatedDisk:
    """A disk with one segment of a hundred entries, appended in groups of growing size."""
    disk = SimulatedDisk()
    store = open_journal(disk)
    store.create(HEADER)
    last, size = FIRST - 1, 1
    while last < LAST:
        upto = min(last + size, LAST)
        last, size = store.append(append(last + 1, upto, watermark=last)), size + 3
    disk.crash()
    store = open_journal(disk)  # the mark behind the last group is on disk now
    assert read_all(store) == RIGHT
    return disk


@pytest.fixture(scope="module")
def whole() -> bytes:
    return written().content(LOG)


def damaged_disk(content: bytes) -> SimulatedDisk:
    disk = SimulatedDisk()
    open_journal(disk).create(HEADER)
    disk.set_content(LOG, content)
    return disk


def check(store: JournalStore) -> None:
    found = read_all(store, limit_bytes=3000)
    assert found.items() <= RIGHT.items()
    status = segment_status(store)
    assert status.last_sequence == LAST
    assert found == RIGHT or status.damaged
    if status.damaged:
        with pytest.raises(NodeFailed):
            store.append(append(LAST + 1, LAST + 1))
    else:
        assert store.append(append(LAST + 1, LAST + 1)) == LAST + 1


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flips(content: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    """The place of a byte, and the content with one bit of it flipped: here and there, and in the last entry."""
    chance = random.Random(20261125)
    for _ in range(count):
        bit = chance.randrange(8 * len(content))
        yield bit // 8, flipped(content, bit)
    at = len(content) - MARK_BYTES - 1
    yield at, flipped(content, 8 * at)


def test_a_flipped_bit_costs_one_entry_at_most_and_is_owned_up_to(whole: bytes) -> None:
    costs = set()
    for at, content in flips(whole, 200):
        store = open_journal(damaged_disk(content))
        # A damaged mark at the end is taken for a torn one: nothing is missed with it.
        assert segment_status(store).damaged is (at < len(content) - MARK_BYTES)
        costs.add(len(RIGHT) - len(read_all(store)))
        check(store)
    assert costs == {0, 1}


def test_a_bit_flipped_under_an_open_segment_is_found_by_the_read(whole: bytes) -> None:
    store_disk = damaged_disk(whole)
    for _, content in flips(whole, 120):
        store_disk.set_content(LOG, whole)
        store = open_journal(store_disk)
        store_disk.set_content(LOG, content)
        check(store)


def test_damage_in_any_number_of_places_never_gives_wrong_bytes(whole: bytes) -> None:
    chance = random.Random(7)
    for _ in range(80):
        content = bytearray(whole)
        for _ in range(chance.randint(2, 12)):
            start = chance.randrange(len(content))
            size = chance.choice([1, 2, 30, 512])
            match chance.randrange(3):
                case 0:
                    content[start : start + size] = chance.randbytes(len(content[start : start + size]))
                case 1:
                    content[start : start + size] = bytes(len(content[start : start + size]))
                case _:  # bytes that belong elsewhere
                    source = chance.randrange(len(content) - size)
                    content[start : start + size] = content[source : source + size]
        store = open_journal(damaged_disk(bytes(content)))
        if store.status().segments:
            assert read_all(store).items() <= RIGHT.items()


def test_a_file_cut_anywhere_gives_its_whole_entries_and_goes_on(whole: bytes) -> None:
    for size in range(2 * len(whole) // 3, len(whole), 7):
        disk = damaged_disk(whole[:size])
        store = open_journal(disk)
        found = read_all(store)
        last = segment_status(store).last_sequence
        assert found == {sequence: RIGHT[sequence] for sequence in range(FIRST, last + 1)}
        assert not segment_status(store).damaged
        if last < LAST:
            assert store.append(append(last + 1, LAST)) == LAST
            disk.crash()
            assert read_all(open_journal(disk)) == RIGHT


def test_a_torn_group_is_cut_with_what_is_behind_the_tear(whole: bytes) -> None:
    """Sectors reach the disk in any order: a sound entry behind a tear was not acknowledged, nor is it missed."""
    disk = damaged_disk(whole)
    store = open_journal(disk)
    store.append(append(LAST + 1, LAST + 3))
    content = bytearray(disk.content(LOG)[:-MARK_BYTES])  # without the mark
    content[len(whole) + 5] ^= 1
    store = open_journal(damaged_disk(bytes(content)))
    assert read_all(store) == RIGHT
    assert not segment_status(store).damaged
    assert store.append(append(LAST + 1, LAST + 3)) == LAST + 3


def test_entries_written_twice_are_read_once_and_are_damage(whole: bytes) -> None:
    mark = whole[-MARK_BYTES:]
    twice = whole + whole[-2000:][whole[-2000:].index(b"CJF\x01") :] + mark
    store = open_journal(damaged_disk(twice))
    assert read_all(store) == RIGHT
    assert segment_status(store).damaged


def test_sectors_that_cannot_be_read_are_a_hole() -> None:
    disk = written()
    content = disk.content(LOG)
    assert len(content) > 3 * 4096
    whole_read, asked = disk.read, []

    def read(descriptor: int, offset: int, size_bytes: int) -> bytes:
        if offset < 2 * 4096 and offset + size_bytes > 4096 and disk.size(descriptor) == len(content):
            asked.append(size_bytes)
            raise OSError(5, "Input/output error")
        return whole_read(descriptor, offset, size_bytes)

    disk.read = read  # type: ignore[method-assign]
    store = open_journal(disk)
    check(store)
    assert segment_status(store).damaged
    assert 40 < len(read_all(store)) < len(RIGHT)
    assert asked


LONG: dict[str, Callable[[bytes], bytes]] = {
    "whole": lambda content: content,
    "length": lambda content: content.replace(b"\x00\x00\x03\xe8", b"\x00\xf0\x03\xe8", 1),
}


@pytest.mark.parametrize("damage", LONG)
def test_entries_longer_than_what_is_read_at_once_are_found_also_behind_a_damaged_length(damage: str) -> None:
    sizes = [1000, CHUNK_BYTES, 3 * CHUNK_BYTES + 5, 1000, 10]
    disk = SimulatedDisk()
    store = open_journal(disk)
    store.create(HEADER)
    for sequence, size in enumerate(sizes, FIRST):
        store.append(append_of(sequence, [bytes([sequence]) * size]))
    disk.set_content(LOG, LONG[damage](disk.content(LOG)))
    store = open_journal(disk)
    expected = {sequence: bytes([sequence]) * size for sequence, size in enumerate(sizes, FIRST)}
    if damage == "length":
        del expected[FIRST]
    assert read_all(store) == expected
    assert segment_status(store).damaged is (damage == "length")
