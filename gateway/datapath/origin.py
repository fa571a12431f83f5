"""The back pointer that is stored with every blob: which write of which object the bytes belong to.

It lets the orphan worker ask the index whether a blob is still wanted, and lets an index be audited from the
nodes alone. Layout: a msgpack array
    [format, write id, bucket, key, upload id | nil, part number | nil, size of the whole write in bytes]
Fields are only ever appended; a reader ignores those it does not know.
"""

from dataclasses import dataclass

import msgpack

from gateway.index.records import Origin

ORIGIN_FORMAT = 1
_FIELD_COUNT = 7


class OriginError(ValueError):
    """The bytes are no origin that this version understands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobOrigin:
    """An origin as read back from a node."""

    write_id: str
    origin: Origin
    size_bytes: int
    """Of the whole write; its segments hold at most SEGMENT_BYTES each."""


def pack_origin(origin: Origin, *, write_id: str, size_bytes: int) -> bytes:
    packed: bytes = msgpack.packb(
        [
            ORIGIN_FORMAT,
            write_id,
            origin.bucket,
            origin.key,
            origin.upload_id,
            origin.part_number,
            size_bytes,
        ]
    )
    return packed


def unpack_origin(packed: bytes) -> BlobOrigin:
    """Raises OriginError."""
    try:
        fields = msgpack.unpackb(packed)
    except ValueError as error:
        raise OriginError("not msgpack") from error
    if not isinstance(fields, list) or len(fields) < _FIELD_COUNT or fields[0] != ORIGIN_FORMAT:
        raise OriginError("not an origin of a known format")
    match fields[1:_FIELD_COUNT]:
        case [str(write_id), str(bucket), str(key), str() | None, int() | None, int(size_bytes)]:
            upload_id, part_number = fields[4], fields[5]
            origin = Origin(bucket=bucket, key=key, upload_id=upload_id, part_number=part_number)
            return BlobOrigin(write_id=write_id, origin=origin, size_bytes=size_bytes)
    raise OriginError("an origin with fields of other types")
