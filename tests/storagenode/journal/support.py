"""What the tests of a node's journal share: headers, seals, entries, and a store over any disk."""

import hashlib

from storagenode import journal_protocol as protocol
from storagenode.disk import Disk
from storagenode.journal.store import Append, JournalStore
from storagenode.journal_protocol import Seal, SegmentHeader, SegmentStatus
from storagenode.space import SpaceLedger
from tests.storagenode.simulated_disk import SimulatedDisk

FIRST = 101


def epoch(counter: int) -> int:
    """The epoch of this counter that a proposer with the random bits 7 would choose."""
    return counter << 32 | 7


E1, E2, E3 = epoch(1), epoch(2), epoch(3)


def header(at_epoch: int = E1, first_sequence: int = FIRST, **changed: str) -> SegmentHeader:
    return SegmentHeader(
        segment_id=protocol.segment_id(at_epoch, first_sequence),
        epoch=at_epoch,
        first_sequence=first_sequence,
        nodes=("0123456789abcdef", "b" * 16, "c" * 16),
        quorum=2,
        incarnation=changed.get("incarnation", "run:replication"),
        opened_at=first_sequence - 1,
    )


HEADER = header()
SEGMENT = HEADER.segment_id


def seal(at_epoch: int = E2, end_sequence: int = FIRST + 9) -> Seal:
    return Seal(epoch=at_epoch, end_sequence=end_sequence, next=header(at_epoch, end_sequence + 1))


def entry(sequence: int) -> bytes:
    """The one right content of an entry, of 0 to 255 bytes."""
    name = sequence.to_bytes(8)
    return hashlib.shake_128(name).digest(hashlib.sha256(name).digest()[0])


def entries(first: int, last: int) -> list[bytes]:
    return [entry(sequence) for sequence in range(first, last + 1)]


def append(first: int, last: int, *, at_epoch: int = E1, watermark: int = 0, segment_id: str = SEGMENT) -> Append:
    """An append of the entries from `first` to `last`; of none when last is first - 1."""
    return append_of(first, entries(first, last), at_epoch=at_epoch, watermark=watermark, segment_id=segment_id)


def append_of(
    first: int, contents: list[bytes], *, at_epoch: int = E1, watermark: int = 0, segment_id: str = SEGMENT
) -> Append:
    """An append of entries with any contents."""
    body = protocol.frame_entries(segment_id, first, contents)
    return Append(
        segment_id=segment_id,
        epoch=at_epoch,
        watermark=watermark,
        first_sequence=first,
        frames=list(protocol.parse_entries(segment_id, body)),
    )


def open_journal(disk: Disk, directory: str = "/d", *, reserve_bytes: int = 0) -> JournalStore:
    return JournalStore(disk, directory, SpaceLedger(disk, directory, reserve_bytes))


def reopened(disk: SimulatedDisk) -> JournalStore:
    """The store as it is after a power loss."""
    disk.crash()
    return open_journal(disk)


def expected(first: int, last: int) -> dict[int, bytes]:
    """What read_all() gives of a segment with the entries from `first` to `last`."""
    return dict(zip(range(first, last + 1), entries(first, last), strict=True))


def segment_status(store: JournalStore, segment_id: str = SEGMENT) -> SegmentStatus:
    return {one.header.segment_id: one for one in store.status().segments}[segment_id]


def read_all(store: JournalStore, segment_id: str = SEGMENT, *, limit_bytes: int = 1000) -> dict[int, bytes]:
    """Every entry that can be read, page by page, none of them twice."""
    found: dict[int, bytes] = {}
    after = 0
    while frames := store.read(segment_id, after, limit_bytes):
        for frame in frames:
            assert frame.sequence > after
            after = frame.sequence
            found[after] = frame.payload
    return found
