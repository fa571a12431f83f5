"""How a version of an object becomes bytes and back. Pure.

A version is the sorted set member `key 00 order record`:

    key      UTF-8, without NUL
    order    8 bytes, big-endian: 2^64 - 1 - the number of the change, so that the newest version comes first
    record   offset  size
             0       1     format of the body, now 1
             1       1     flags: 1 null version, 2 delete marker, 4 layout in a key of its own, 8 object lock
             2       8     size, big-endian
             10      8     modified, milliseconds, big-endian
             18      1+n   ETag (`pack_etag`)
             …       16    with flag 4: the layout's id
             …       9     with flag 8: lock bits (1 governance, 2 compliance, 4 legal hold on, 8 off), and until
                           when it is retained, milliseconds, big-endian
             …             body: msgpack map, small integer -> field, empty fields left out

The scripts read key, order and everything before the body (see `prelude.lua`); those can therefore not change
with the format, which is that of the body alone. A newer format is refused.
"""

from struct import Struct
from typing import Any

from gateway.index.errors import UnsupportedFormat
from gateway.index.layout_encoding import layout_fields, layout_from_fields
from gateway.index.packing import (
    DECODE_ERRORS,
    FORMAT,
    check_format,
    compact_hex,
    corrupt,
    expand_hex,
    pack,
    pack_checksum,
    pack_encryption,
    pack_headers,
    pack_pairs,
    unpack,
    unpack_checksum,
    unpack_encryption,
    unpack_headers,
    unpack_pairs,
)
from gateway.index.records import NO_LOCK, NULL_VERSION, LockMode, ObjectLock, ObjectRecord

FLAG_NULL_VERSION = 1
FLAG_DELETE_MARKER = 2
FLAG_LAYOUT_KEY = 4
FLAG_LOCK = 8
_KNOWN_FLAGS = FLAG_NULL_VERSION | FLAG_DELETE_MARKER | FLAG_LAYOUT_KEY | FLAG_LOCK

_LOCK = Struct(">BQ")
_LOCK_MODES = (LockMode.NONE, LockMode.GOVERNANCE, LockMode.COMPLIANCE)
_LOCK_MODE_BITS, _HOLD_ON, _HOLD_OFF = 3, 4, 8

ORDER_SIZE = 8
_FIXED = Struct(">BBQQ")
_ORDER_BASE = (1 << 64) - 1
_ETAG_IS_TEXT = 0x80  # or-ed to the length of the text, at most 127 bytes
_LAYOUT_REF_SIZE = 16

# Fields of the body. The numbers are stored: never reuse one.
_OWNER, _HEADERS, _METADATA, _CHECKSUM, _TAGS, _LAYOUT, _ACL, _ENCRYPTION = range(8)


def order_of(sequence: int) -> bytes:
    """The sort key of a version that was written by the change of this number."""
    return (_ORDER_BASE - sequence).to_bytes(ORDER_SIZE)


def sequence_of(order: bytes) -> int:
    """The inverse of `order_of`."""
    return _ORDER_BASE - int.from_bytes(order)


def version_id_of(sequence: int) -> str:
    """The S3 version id of a version that was written by the change of this number."""
    return f"{sequence:016x}"


def order_of_version_id(version_id: str) -> bytes | None:
    """The sort key that a version id stands for; None for text that cannot be a version id of ours."""
    packed = compact_hex(version_id)
    if not isinstance(packed, bytes) or len(packed) != ORDER_SIZE:
        return None
    return order_of(int.from_bytes(packed))


def pack_etag(etag: str) -> bytes:
    """A length byte and the ETag; the usual forms (MD5, MD5 and `-parts`) take 16 and 18 bytes."""
    digest, dash, count = etag.partition("-")
    packed = compact_hex(digest)
    if isinstance(packed, bytes) and len(packed) == 16:
        if not dash:
            return b"\x10" + packed
        if count.isascii() and count.isdecimal() and str(int(count[:6])) == count and 0 < int(count) < 65536:
            return b"\x12" + packed + int(count).to_bytes(2)
    text = etag.encode()
    if len(text) >= _ETAG_IS_TEXT:
        raise ValueError("an ETag has at most 127 bytes")
    return bytes([_ETAG_IS_TEXT | len(text)]) + text


def _unpack_etag(data: bytes, at: int) -> tuple[str, int]:
    length = data[at] & ~_ETAG_IS_TEXT
    end = at + 1 + length
    packed = data[at + 1 : end]
    if len(packed) != length:
        raise ValueError("truncated ETag")
    if data[at] & _ETAG_IS_TEXT:
        return packed.decode(), end
    if length == 16:
        return packed.hex(), end
    return f"{packed[:16].hex()}-{int.from_bytes(packed[16:])}", end


def encode_object(record: ObjectRecord) -> bytes:
    """The `record` of a version. With `layout_ref` (32 hexadecimal digits) extents and parts are left out.

    Whether it is the null version is added by the script, which alone knows the bucket's state.
    """
    body: dict[int, Any] = {_OWNER: compact_hex(record.owner_id)}
    if record.headers:
        body[_HEADERS] = pack_headers(record.headers)
    if record.metadata:
        body[_METADATA] = pack_pairs(record.metadata)
    if record.checksum is not None:
        body[_CHECKSUM] = pack_checksum(record.checksum)
    if record.tags:
        body[_TAGS] = pack_pairs(record.tags)
    if record.acl:
        body[_ACL] = record.acl
    if record.encryption is not None:
        body[_ENCRYPTION] = pack_encryption(record.encryption)
    flags, reference = (FLAG_DELETE_MARKER if record.delete_marker else 0), b""
    if record.layout_ref is not None:
        flags |= FLAG_LAYOUT_KEY
        reference = bytes.fromhex(record.layout_ref)
        if len(reference) != _LAYOUT_REF_SIZE:
            raise ValueError(f"not a layout id: {record.layout_ref!r}")
    elif record.extents or record.parts:
        body[_LAYOUT] = layout_fields(record.extents, record.parts)
    lock = b""
    if record.lock != NO_LOCK:
        flags |= FLAG_LOCK
        lock = pack_lock(record.lock)
    fixed = _FIXED.pack(FORMAT, flags, record.size_bytes, record.modified_ms)
    return b"".join((fixed, pack_etag(record.etag), reference, lock, pack(body)))


def pack_lock(lock: ObjectLock) -> bytes:
    """9 bytes, as the module says."""
    hold = 0 if lock.legal_hold is None else _HOLD_ON if lock.legal_hold else _HOLD_OFF
    return _LOCK.pack(_LOCK_MODES.index(lock.mode) | hold, lock.retain_until_ms)


def unpack_lock(packed: bytes, at: int = 0) -> ObjectLock:
    """The inverse of `pack_lock`."""
    bits, retain_until_ms = _LOCK.unpack_from(packed, at)
    hold = True if bits & _HOLD_ON else False if bits & _HOLD_OFF else None
    return ObjectLock(mode=_LOCK_MODES[bits & _LOCK_MODE_BITS], retain_until_ms=retain_until_ms, legal_hold=hold)


def decode_object(order: bytes, data: bytes, *, with_layout: bool = True) -> ObjectRecord:
    """The version that `encode_object` made, with the sequence number that its order stands for.

    Without the layout, extents and parts stay empty: half the time. Raises UnsupportedFormat, CorruptRecord.
    """
    try:
        return _decode_object(sequence_of(order), data, with_layout)
    except DECODE_ERRORS as error:
        corrupt("object record", data, error)


def decode_version(member: bytes, *, with_layout: bool = True) -> tuple[str, ObjectRecord]:
    """Key and record of a member of the `objects` set. Raises UnsupportedFormat, CorruptRecord."""
    key, _, rest = member.partition(b"\0")
    return key.decode(), decode_object(rest[:ORDER_SIZE], rest[ORDER_SIZE:], with_layout=with_layout)


def _decode_object(sequence: int, data: bytes, with_layout: bool) -> ObjectRecord:
    format_number, flags, size_bytes, modified_ms = _FIXED.unpack_from(data)
    check_format(format_number)
    if flags & ~_KNOWN_FLAGS:
        raise UnsupportedFormat(f"a record has flags {flags:#x}")
    etag, at = _unpack_etag(data, _FIXED.size)
    layout_ref = None
    if flags & FLAG_LAYOUT_KEY:
        layout_ref = data[at : at + _LAYOUT_REF_SIZE].hex()
        at += _LAYOUT_REF_SIZE
    lock = NO_LOCK
    if flags & FLAG_LOCK:
        lock = unpack_lock(data, at)
        at += _LOCK.size
    body = unpack(data[at:])
    extents, parts = layout_from_fields(body[_LAYOUT]) if with_layout and _LAYOUT in body else ((), ())
    return ObjectRecord(
        version_id=NULL_VERSION if flags & FLAG_NULL_VERSION else version_id_of(sequence),
        etag=etag,
        size_bytes=size_bytes,
        modified_ms=modified_ms,
        owner_id=expand_hex(body[_OWNER]),
        headers=unpack_headers(body[_HEADERS]) if _HEADERS in body else (),
        metadata=unpack_pairs(body[_METADATA]) if _METADATA in body else (),
        checksum=unpack_checksum(body[_CHECKSUM]) if _CHECKSUM in body else None,
        tags=unpack_pairs(body[_TAGS]) if _TAGS in body else (),
        delete_marker=bool(flags & FLAG_DELETE_MARKER),
        extents=extents,
        parts=parts,
        layout_ref=layout_ref,
        acl=body.get(_ACL, ""),
        sequence=sequence,
        lock=lock,
        encryption=unpack_encryption(body[_ENCRYPTION]) if _ENCRYPTION in body else None,
    )
