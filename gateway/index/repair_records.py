"""What repair keeps in the index: items of its queue, the copies that are to go, the census. Pure.

Times are milliseconds since the epoch by the index server's clock, sizes are bytes.

An item of the queue is a field of a hash. Its name is the segment (20 bytes: write id, then its number big-endian); its
value is read and written by the scripts too (repair_queue.lua):

    offset  size
    0       1     format, now 1
    1       1     class: which queue it waits in, 1 is served first
    2       1     copies left when it was last reported, at most 255
    3       2     reasons, or-ed
    5       4     attempts that failed
    9       4     revision: counts reports, so that one that comes during a repair is not lost with its end
    13      8     queued at
    21      8     next attempt not before
    29      8     size of the segment
    37      4     length of the origin
    41            origin (msgpack: bucket, key, upload id, part number), then the last error in UTF-8

A copy (one segment on one node) that is to be deleted is named by the segment and the node's id behind it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum, IntFlag, StrEnum
from struct import Struct
from typing import Any

from gateway.index.packing import DECODE_ERRORS, corrupt, pack, unpack
from gateway.index.records import Extent, ObjectRecord, Origin, PartRecord, Segment

ITEM_FORMAT = 1
_HEADER = Struct(">BBBHIIQQQI")
_WRITE_ID_BYTES = 16
_SEGMENT_BYTES = 20
CENSUS_FORMAT = 1


class RepairReason(IntFlag):
    """Why a segment is looked at. The numbers are stored: do not change them."""

    TOO_FEW = 1
    MISSING = 2
    CORRUPT = 4
    NODE_LOST = 8
    DRAINING = 16
    MISPLACED = 32  # all copies in one zone, though there are more
    REBALANCE = 64
    SURPLUS = 128
    STRAY = 256  # nodes that the record does not name may have it: of a write that turned away from them


class RepairClass(IntEnum):
    """The queues, in the order in which they are served. The numbers are stored."""

    LAST_COPY = 1
    SHORT = 2
    ENOUGH = 3  # fewer copies than wanted, three or more left
    MOVE = 4  # nothing is missing


def class_of(*, copies_left: int, wanted: int) -> RepairClass:
    """The queue of a segment with so many good copies."""
    if copies_left >= wanted:
        return RepairClass.MOVE
    return RepairClass(min(max(copies_left, 1), RepairClass.ENOUGH))


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRef:
    """One segment of one write: what a blob id names."""

    write_id: str
    number: int

    def packed(self) -> bytes:
        """20 bytes."""
        return bytes.fromhex(self.write_id) + self.number.to_bytes(4)

    @classmethod
    def unpacked(cls, packed: bytes) -> "SegmentRef":
        """The inverse of `packed`. Raises ValueError."""
        if len(packed) != _SEGMENT_BYTES:
            raise ValueError(f"a segment has {_SEGMENT_BYTES} bytes, not {len(packed)}")
        return cls(write_id=packed[:_WRITE_ID_BYTES].hex(), number=int.from_bytes(packed[_WRITE_ID_BYTES:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A segment on a node."""

    segment: SegmentRef
    node_id: str

    def packed(self) -> bytes:
        return self.segment.packed() + self.node_id.encode()

    @classmethod
    def unpacked(cls, packed: bytes) -> "Copy":
        """The inverse of `packed`. Raises ValueError."""
        return cls(segment=SegmentRef.unpacked(packed[:_SEGMENT_BYTES]), node_id=packed[_SEGMENT_BYTES:].decode())


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairReport:
    """Something was seen that may need repair; `delay_ms` is how long to leave it alone first."""

    segment: SegmentRef
    origin: Origin
    reasons: RepairReason
    repair_class: RepairClass
    copies_left: int
    size_bytes: int
    delay_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairItem:
    """An item of the queue."""

    segment: SegmentRef
    origin: Origin
    reasons: RepairReason
    repair_class: RepairClass
    copies_left: int
    size_bytes: int
    attempts: int
    revision: int
    queued_ms: int
    due_ms: int
    last_error: str


def pack_item_origin(origin: Origin) -> bytes:
    """The origin within an item."""
    return pack([origin.bucket, origin.key, origin.upload_id or "", origin.part_number or 0])


def decode_item(name: bytes, value: bytes) -> RepairItem:
    """An item of the hash. Raises CorruptRecord."""
    try:
        kind, klass, copies, reasons, attempts, revision, queued, due, size, length = _HEADER.unpack_from(value)
        if kind != ITEM_FORMAT:
            raise ValueError(f"format {kind}")
        bucket, key, upload_id, part = unpack(value[_HEADER.size : _HEADER.size + length])
        return RepairItem(
            segment=SegmentRef.unpacked(name),
            origin=Origin(bucket=bucket, key=key, upload_id=upload_id or None, part_number=part or None),
            reasons=RepairReason(reasons),
            repair_class=RepairClass(klass),
            copies_left=copies,
            size_bytes=size,
            attempts=attempts,
            revision=revision,
            queued_ms=queued,
            due_ms=due,
            last_error=value[_HEADER.size + length :].decode(errors="replace"),
        )
    except DECODE_ERRORS as error:
        corrupt("repair item", value, error)


class PlaceKind(StrEnum):
    """What refers to an extent."""

    OBJECT = "object"
    PART = "part"
    ABORTED = "aborted"  # a part of an upload that waits for reclaim
    TRASH = "trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the index names an extent, as it was read: the ground on which a move is decided, and compared again."""

    kind: PlaceKind
    bucket: str
    key: str
    upload_id: str
    member: bytes
    layout: bytes | None
    extents: tuple[Extent, ...]
    """All of the record's, that of the write among them."""
    record: ObjectRecord | None = None  # with its extents, of OBJECT
    part: PartRecord | None = None  # of PART and ABORTED

    def find(self, segment: SegmentRef) -> Segment | None:
        """One segment of the record."""
        for extent in self.extents:
            if extent.write_id == segment.write_id:
                return next((one for one in extent.segments if one.number == segment.number), None)
        return None

    def nodes_of(self, segment: SegmentRef) -> tuple[str, ...] | None:
        """The nodes of one segment; None where the record has no such segment."""
        found = self.find(segment)
        return found.nodes if found is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHolding:
    """What records name on one node."""

    segments: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many copies there are of everything, as of one walk over the index that ended at `ended_ms`.

    An object (each version counts) has as many copies as that of its segments with the fewest, on nodes that live; the
    key 0 is what cannot be read at present. `short_*` have fewer copies than wanted; bytes are counted once each.
    """

    started_ms: int
    ended_ms: int
    objects_by_copies: Mapping[int, int] = field(default_factory=dict, hash=False)
    bytes_by_copies: Mapping[int, int] = field(default_factory=dict, hash=False)
    short_objects: int = 0
    short_bytes: int = 0
    part_bytes: int = 0
    """Of uploads under way."""
    nodes: Mapping[str, NodeHolding] = field(default_factory=dict, hash=False)
    """What objects, parts and the trash name on each node."""

    @property
    def object_count(self) -> int:
        return sum(self.objects_by_copies.values())

    @property
    def byte_count(self) -> int:
        return sum(self.bytes_by_copies.values())

    @property
    def lost_objects(self) -> int:
        return self.objects_by_copies.get(0, 0)

    @property
    def lost_bytes(self) -> int:
        return self.bytes_by_copies.get(0, 0)


def encode_census(census: Census) -> str:
    """JSON with the format's number."""
    return json.dumps({"format": CENSUS_FORMAT} | asdict(census), separators=(",", ":"))


def decode_census(text: bytes) -> Census:
    """The inverse of `encode_census`. Raises CorruptRecord."""
    try:
        fields: dict[str, Any] = json.loads(text)
        if fields.pop("format") != CENSUS_FORMAT:
            raise ValueError("of another format")
        for name in ("objects_by_copies", "bytes_by_copies"):
            fields[name] = {int(copies): count for copies, count in fields[name].items()}
        fields["nodes"] = {node_id: NodeHolding(**holding) for node_id, holding in fields["nodes"].items()}
        return Census(**fields)
    except DECODE_ERRORS as error:
        corrupt("census", text, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairBacklog:
    """What waits to be repaired, for people to look at."""

    items: int
    by_class: Mapping[RepairClass, int] = field(hash=False)
    size_bytes: int
    """Of the items that were looked at (`complete` tells whether that is all)."""
    oldest_ms: int | None
    failing: tuple[RepairItem, ...]
    """Some that failed lately, with their last errors."""
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RebalanceOrder:
    """A rebalance that an administrator asked for and that is not finished. `cursor` is the walk's."""

    rate_bytes_s: int
    ordered_ms: int
    cursor: bytes = b""
