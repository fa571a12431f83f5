"""The journal's part of the internal protocol: names, records, and the frame that an entry travels and lies in.

Pure: no sockets, no files, no clock. The node, its client and the gateway's journal are built on this file.

    GET    /v1/journal                                              -> JournalStatus
    PUT    /v1/journal/promise?epoch=                               -> JournalStatus
    PUT    /v1/journal/segments/{segment_id}                        body: SegmentHeader
    POST   /v1/journal/segments/{segment_id}/entries?epoch=&watermark=&first=
                                                                    body: frames -> the last durable sequence
    GET    /v1/journal/segments/{segment_id}/entries?after=&limit_bytes=   -> frames
    PUT    /v1/journal/segments/{segment_id}/seal                   body: Seal
    DELETE /v1/journal/segments/{segment_id}                        -> whether there was such a segment
    GET    /v1/journal/manifests                                    -> list of name and body
    PUT    /v1/journal/manifests/{name}                             body: the manifest
    DELETE /v1/journal/manifests/{name}                             -> whether there was such a manifest

Every body is named by its SHA-256 in the query (`body=`), and so bound by the request's signature. Every answer
ends in 16 bytes of XXH3-128 over what comes before: a damaged number in a status would be believed.

An entry is framed once, by the client that appends it; the node verifies the frame, writes it as it came and sends
it as it lies, and the client that reads it verifies it again. All numbers are big-endian:

    0   4  magic "CJF" and the format version, 1
    4   8  XXH3-64 of all that follows, seeded with the XXH3-64 of the frame's owner
    12  1  kind (FrameKind)
    13  3  zero
    16  4  L, bytes of the payload
    20  8  sequence: of the entry; other kinds have a meaning of their own for it
    28  L  payload

The owner is the segment's id (or the name of whatever else the frame belongs to), so a frame that a disk read from
the wrong place, or that was sent to the wrong segment, is no frame. The magic is there to find the next frame
behind a damaged one.

History: version 1, the first.
"""

import enum
import hashlib
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import xxhash

JOURNAL_PATH = "/v1/journal"
PROMISE_PATH = f"{JOURNAL_PATH}/promise"
SEGMENTS_PATH = f"{JOURNAL_PATH}/segments"
MANIFESTS_PATH = f"{JOURNAL_PATH}/manifests"

BODY_LIMIT_BYTES = 32 * 1024 * 1024
"""The most that one append may carry, frames included."""

READ_LIMIT_BYTES = 8 * 1024 * 1024
"""The most that one read is asked for; its answer may be longer by one entry."""

MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024

ANSWER_CHECKSUM_BYTES = 16

FRAME_MAGIC = b"CJF\x01"
_FRAME_HEADER = struct.Struct(">4sQB3xIQ")
_CHECKSUMMED = struct.Struct(">B3xIQ")  # the header from behind the checksum on
_CHECKSUMMED_FROM = _FRAME_HEADER.size - _CHECKSUMMED.size
FRAME_HEADER_BYTES = _FRAME_HEADER.size

MAX_SEQUENCE = (1 << 63) - 1
MAX_EPOCH = (1 << 64) - 1

_RECORD_FORMAT = 1
_SEGMENT_ID = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")
_MANIFEST_NAME = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z._-]{0,127}")


# --- names ------------------------------------------------------------------------------------------------


def segment_id(epoch: int, first_sequence: int) -> str:
    """`<16 hex digits of the epoch>-<16 of the first sequence>`: in order of age within one chain."""
    if not 0 <= epoch <= MAX_EPOCH:
        raise ValueError(f"an epoch has 64 bits, not {epoch}")
    if not 1 <= first_sequence <= MAX_SEQUENCE:
        raise ValueError(f"a sequence has 63 bits and is not 0: {first_sequence}")
    return f"{epoch:016x}-{first_sequence:016x}"


def is_segment_id(text: str) -> bool:
    """Whether text is a segment id, exactly (and so safe as a file name)."""
    return _SEGMENT_ID.fullmatch(text) is not None


def is_manifest_name(text: str) -> bool:
    """Whether text may name a manifest: 1 to 128 letters, digits, `_`, `-` and, not in front, dots."""
    return _MANIFEST_NAME.fullmatch(text) is not None


def body_digest(body: bytes) -> str:
    """What names a request's body in its query."""
    return hashlib.sha256(body).hexdigest()


# --- records ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """What a segment of the journal is; the same on each of its nodes, never changed."""

    segment_id: str  # segment_id(epoch, first_sequence)
    epoch: int  # 64 bits: a counter << 32 | 32 random bits, so that two proposers never share one
    first_sequence: int
    nodes: tuple[str, ...]  # node ids
    quorum: int  # W of R = len(nodes)
    incarnation: str  # the Redis server for which it was opened
    opened_at: int  # the sequence at which that incarnation began


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The end of a segment and what follows it: the value that single-decree Paxos agrees on for each segment."""

    epoch: int  # of the proposer
    end_sequence: int
    next: SegmentHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentStatus:
    """A segment as one node knows it."""

    header: SegmentHeader
    #: The highest sequence that this node made durable, first_sequence - 1 when there is none. When the segment is
    #: damaged, some of the entries up to it cannot be read here any more.
    last_sequence: int
    watermark: int  # the highest that an append told this node of; after a power loss perhaps an earlier one
    seal: Seal | None
    #: Bytes of the segment, or of its seal, are not what was written. A node that says so takes no more appends to
    #: the segment, and its silence about a seal means nothing.
    damaged: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatus:
    """All that a node knows of the journal."""

    promised_epoch: int  # 0: none
    segments: tuple[SegmentStatus, ...]  # in order of segment id


def pack_header(header: SegmentHeader) -> bytes:
    """For files, requests and Redis; the same bytes for equal headers."""
    packed: bytes = msgpack.packb(_header_fields(header))
    return packed


def unpack_header(payload: bytes) -> SegmentHeader:
    """Raises ValueError when payload is not what pack_header made."""
    return _header(_decode(payload))


def pack_seal(seal: Seal) -> bytes:
    packed: bytes = msgpack.packb(_seal_fields(seal))
    return packed


def unpack_seal(payload: bytes) -> Seal:
    """Raises ValueError when payload is not what pack_seal made."""
    return _seal(_decode(payload))


def pack_status(status: JournalStatus) -> bytes:
    segments = [
        [
            _header_fields(one.header),
            one.last_sequence,
            one.watermark,
            None if one.seal is None else _seal_fields(one.seal),
            one.damaged,
        ]
        for one in status.segments
    ]
    packed: bytes = msgpack.packb([_RECORD_FORMAT, status.promised_epoch, segments])
    return packed


def unpack_status(payload: bytes) -> JournalStatus:
    """Raises ValueError when payload is not what pack_status made."""
    match _decode(payload):
        case [1, int(promised), [*segments]]:
            return JournalStatus(promised_epoch=promised, segments=tuple(_segment_status(one) for one in segments))
        case _:
            raise ValueError("not a journal status")


def _segment_status(fields: Any) -> SegmentStatus:
    match fields:
        case [header, int(last), int(watermark), seal, bool(damaged)]:
            return SegmentStatus(
                header=_header(header),
                last_sequence=last,
                watermark=watermark,
                seal=None if seal is None else _seal(seal),
                damaged=damaged,
            )
        case _:
            raise ValueError("not a segment status")


def _header_fields(header: SegmentHeader) -> list[Any]:
    return [
        _RECORD_FORMAT,
        header.segment_id,
        header.epoch,
        header.first_sequence,
        list(header.nodes),
        header.quorum,
        header.incarnation,
        header.opened_at,
    ]


def _header(fields: Any) -> SegmentHeader:
    match fields:
        case [1, str(name), int(epoch), int(first), [*nodes], int(quorum), str(incarnation), int(opened_at)] if (
            all(isinstance(node, str) for node in nodes)
            and name == segment_id(epoch, first)
            and 1 <= quorum <= len(nodes)
        ):
            return SegmentHeader(
                segment_id=name,
                epoch=epoch,
                first_sequence=first,
                nodes=tuple(nodes),
                quorum=quorum,
                incarnation=incarnation,
                opened_at=opened_at,
            )
        case _:
            raise ValueError("not a segment header")


def _seal_fields(seal: Seal) -> list[Any]:
    return [_RECORD_FORMAT, seal.epoch, seal.end_sequence, _header_fields(seal.next)]


def _seal(fields: Any) -> Seal:
    match fields:
        case [1, int(epoch), int(end_sequence), following] if 0 <= epoch <= MAX_EPOCH:
            return Seal(epoch=epoch, end_sequence=end_sequence, next=_header(following))
        case _:
            raise ValueError("not a seal")


def _decode(payload: bytes) -> Any:
    """Raises ValueError on anything that is not one msgpack value."""
    return msgpack.unpackb(payload)


# --- frames -----------------------------------------------------------------------------------------------


class FrameKind(enum.IntEnum):
    """What a frame holds, and what its sequence means."""

    HEADER = 1  # a SegmentHeader; its first sequence
    ENTRY = 2  # an entry of the journal; its own sequence
    MARK = 3  # a watermark, 8 bytes; every entry up to this sequence, and every byte before, was fsynced
    SEAL = 4  # a Seal, in a file of its own; its end sequence
    PROMISE = 5  # nothing; the epoch promised
    MANIFEST = 6  # the manifest; 0


class FrameDamaged(Exception):
    """Bytes that should be a frame are none."""


class FrameIncomplete(FrameDamaged):
    """The bytes end before the frame does, which would have `size_bytes`, as far as is known."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the bytes end within a frame of {size_bytes}")
        self.size_bytes = size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, verified."""

    kind: FrameKind
    sequence: int
    raw: bytes  # the whole of it

    @property
    def payload(self) -> bytes:
        return self.raw[FRAME_HEADER_BYTES:]


def owner_seed(owner: str) -> int:
    """What the checksums of an owner's frames are seeded with."""
    return xxhash.xxh3_64_intdigest(owner.encode())


def make_frame(seed: int, kind: FrameKind, sequence: int, payload: bytes) -> bytes:
    """Raises ValueError when the payload is too long or the sequence has more than 64 bits."""
    if len(payload) > BODY_LIMIT_BYTES:
        raise ValueError(f"a payload has at most {BODY_LIMIT_BYTES} bytes, not {len(payload)}")
    try:
        rest = _CHECKSUMMED.pack(kind, len(payload), sequence) + payload
    except struct.error as error:
        raise ValueError(f"no sequence: {sequence}") from error
    return FRAME_MAGIC + xxhash.xxh3_64_digest(rest, seed=seed) + rest


def parse_frame(seed: int, buffer: bytes | memoryview, start: int) -> Frame:
    """The frame at `start` of the buffer. Raises FrameDamaged, or FrameIncomplete when the buffer ends within it."""
    if start + FRAME_HEADER_BYTES > len(buffer):
        raise FrameIncomplete(FRAME_HEADER_BYTES)
    magic, checksum, kind, length, sequence = _FRAME_HEADER.unpack_from(buffer, start)
    if magic != FRAME_MAGIC or length > BODY_LIMIT_BYTES:
        raise FrameDamaged("no frame's magic")
    size_bytes = FRAME_HEADER_BYTES + length
    if start + size_bytes > len(buffer):
        raise FrameIncomplete(size_bytes)
    raw = bytes(buffer[start : start + size_bytes])
    if xxhash.xxh3_64_intdigest(memoryview(raw)[_CHECKSUMMED_FROM:], seed=seed) != checksum:
        raise FrameDamaged("frame checksum")
    try:
        return Frame(kind=FrameKind(kind), sequence=sequence, raw=raw)
    except ValueError as error:
        raise FrameDamaged(f"a frame of kind {kind}") from error


def frame_entries(segment_id: str, first_sequence: int, entries: Iterable[bytes]) -> bytes:
    """The body of an append."""
    seed = owner_seed(segment_id)
    return b"".join(
        make_frame(seed, FrameKind.ENTRY, sequence, entry) for sequence, entry in enumerate(entries, first_sequence)
    )


def parse_entries(segment_id: str, body: bytes) -> Iterator[Frame]:
    """The frames of a body that holds nothing but entries in rising order. Raises FrameDamaged."""
    seed, at, last = owner_seed(segment_id), 0, -1
    while at < len(body):
        frame = parse_frame(seed, body, at)
        if frame.kind is not FrameKind.ENTRY or frame.sequence <= last:
            raise FrameDamaged(f"a frame of kind {frame.kind} and sequence {frame.sequence} behind {last}")
        yield frame
        at, last = at + len(frame.raw), frame.sequence


# --- answers ----------------------------------------------------------------------------------------------


def seal_answer(payload: bytes) -> bytes:
    """An answer's bytes with their checksum behind."""
    return payload + xxhash.xxh3_128_digest(payload)


def open_answer(answer: bytes) -> bytes:
    """The bytes that seal_answer was given. Raises ValueError when they are not."""
    payload, checksum = answer[:-ANSWER_CHECKSUM_BYTES], answer[-ANSWER_CHECKSUM_BYTES:]
    if len(checksum) != ANSWER_CHECKSUM_BYTES or xxhash.xxh3_128_digest(payload) != checksum:
        raise ValueError("the answer was damaged on its way")
    return payload
