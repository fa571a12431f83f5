"""The free-space reserve."""

import pytest

from storagenode.disk import Disk, DiskSpace
from storagenode.errors import NodeFull
from storagenode.space import SpaceLedger, default_reserve_bytes

MIB = 1 << 20
GIB = 1 << 30


class SizedDisk(Disk):
    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes

    def space(self, path: str) -> DiskSpace:
        return DiskSpace(capacity_bytes=10 * MIB, free_bytes=self.free_bytes)


def test_the_default_reserve_is_one_gib_or_five_percent() -> None:
    assert default_reserve_bytes(100 * GIB) == GIB
    assert default_reserve_bytes(10 * GIB) == GIB // 2
    assert SpaceLedger(SizedDisk(0), "/").reserve_bytes == MIB // 2


def test_a_write_that_would_break_into_the_reserve_is_refused() -> None:
    ledger = SpaceLedger(SizedDisk(3 * MIB), "/", reserve_bytes=MIB)
    assert ledger.measure().free_bytes == 2 * MIB
    ledger.promise(2 * MIB).release()
    with pytest.raises(NodeFull):
        ledger.promise(2 * MIB + 1)


def test_writes_in_flight_count_until_they_are_written_or_given_up() -> None:
    disk = SizedDisk(4 * MIB)
    ledger = SpaceLedger(disk, "/", reserve_bytes=0)
    first = ledger.promise(3 * MIB)
    with pytest.raises(NodeFull):
        ledger.promise(2 * MIB)
    first.spend(2 * MIB)
    disk.free_bytes -= 2 * MIB  # now the file system counts them
    assert ledger.measure().free_bytes == MIB
    with pytest.raises(NodeFull):
        ledger.promise(2 * MIB)
    first.release()
    first.release()
    assert ledger.measure().free_bytes == 2 * MIB
    ledger.promise(2 * MIB)


def test_space_never_looks_negative() -> None:
    assert SpaceLedger(SizedDisk(10), "/", reserve_bytes=MIB).measure().free_bytes == 0


def test_the_journal_may_use_half_of_the_reserve() -> None:
    ledger = SpaceLedger(SizedDisk(3 * MIB), "/", reserve_bytes=2 * MIB)
    with pytest.raises(NodeFull):
        ledger.promise(MIB + 1)
    with pytest.raises(NodeFull):
        ledger.promise_journal(2 * MIB + 1)
    promise = ledger.promise_journal(2 * MIB)
    assert ledger.measure().free_bytes == 0
    promise.release()
    assert ledger.measure().free_bytes == MIB
