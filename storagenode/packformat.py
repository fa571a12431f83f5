"""The format of pack files, pure: bytes in, bytes out, no I/O.

Many small blobs share one append-only file, so that one fsync serves all that were written together. All
numbers are big-endian.

    DIR/packs/<first>-<last>-<generation>-<salt>.pack       four numbers of 16 hex digits
    DIR/packs/<first>-<last>-<generation>-<salt>.index      made from the pack (packindex.py)

A pack stands at one place of the node's order of writes, `last`; compaction writes the live entries of neighbours
anew, in one pack that takes the places first to last and a higher generation, so a name alone tells which
packs it replaces. `salt` is random and seeds every checksum together with the offset: a pack uploaded as a blob, or
a sector that went astray, is never taken for entries of this pack. All this stands in the name because a name does
not rot with a sector; the header only repeats it.

    header   0   8  magic "CAIRNPAK"
             8   2  format version, 1
            10   6  zero
            16  32  first, last, generation, salt
            48   8  XXH3-64 of the header so far

    entry    0   4  magic "\\xc5rnE"
             4   1  kind: 1 put, 2 delete, 3 end of the pack
             5   3  zero
             8  20  blob id: 16 bytes of the write id, 4 of the segment
            28   4  O, bytes of the origin
            32   4  L, bytes of the blob
            36   8  Unix ms at which it was written
            44   8  offset at which the batch began that this entry was written with
            52  16  XXH3-128 of the blob
            68   O  origin
          68+O   8  XXH3-64 of the entry so far, seeded
          76+O   L  the blob
        76+O+L  20  blob id
               +4   kind, zero
               +4   bytes of the whole entry, 116 + O + L
               +4   magic "rnE\\xc5"
               +8   XXH3-64 of these 32 bytes, seeded

Everything before an entry's batch was fsynced before that batch was written. So a bad stretch before the last batch
was acknowledged once and is damage; one within the last batch is a write torn by a crash, which nobody was
promised. The trailer repeats id, kind and length: an entry whose header is damaged is still known by its trailer,
so that its blob is reported damaged and not missing, and a delete holds while either of them is sound.

History: version 1, the first.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import xxhash

from storagenode.blobfile import Damaged
from storagenode.disk import Buffer
from storagenode.protocol import DIGEST_BYTES, ORIGIN_LIMIT_BYTES, BlobInfo

SMALL_BLOB_BYTES = 64 * 1024
"""Blobs up to here go to packs. An fsync of a file and its directory costs as much as writing some 100 KiB; larger
blobs gain little from sharing one, and compaction would copy them again and again."""

PACK_BYTES = 64 * 1024 * 1024
"""A pack is sealed when it has reached this. Recovery and compaction hold one pack in memory, and no more."""

PACK_ENTRIES = 32 * 1024
"""A pack is sealed at so many entries too: the index of the open pack is in memory, some 250 bytes an entry."""

ID_BYTES = 20

_MAGIC = b"CAIRNPAK"
_VERSION = 1
_HEADER = struct.Struct(">8sH6x4Q")
_ENTRY = struct.Struct(f">4sB3x{ID_BYTES}sIIQQ{DIGEST_BYTES}s")
_TRAILER = struct.Struct(f">{ID_BYTES}sB3xI4s")
_CHECKSUM = struct.Struct(">Q")
_ENTRY_MAGIC = b"\xc5rnE"
_TRAILER_MAGIC = b"rnE\xc5"
_MASK = (1 << 64) - 1
_TRAILER_SEED = 1 << 62
_TRAILER_BYTES = _TRAILER.size + _CHECKSUM.size
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{16})\.pack")

HEADER_BYTES = _HEADER.size + _CHECKSUM.size
ENTRY_OVERHEAD_BYTES = _ENTRY.size + _CHECKSUM.size + _TRAILER_BYTES
PREFIX_LIMIT_BYTES = _ENTRY.size + ORIGIN_LIMIT_BYTES + _CHECKSUM.size
"""The most that stands in an entry before the blob's bytes."""


class UnknownPack(OSError):
    """A pack written by a newer program: starting without it would look like the loss of its blobs."""


class Kind(IntEnum):
    """What an entry says of its id."""

    PUT = 1
    DELETE = 2
    END = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PackName:
    """What the name of a pack says; see above."""

    first: int
    last: int
    generation: int
    salt: int

    def __str__(self) -> str:
        return f"{self.first:016x}-{self.last:016x}-{self.generation:016x}-{self.salt:016x}"

    def replaces(self, other: "PackName") -> bool:
        """Whether all that counts in the other pack stands in this one."""
        wider = self.first < other.first or self.last > other.last
        return self.first <= other.first and other.last <= self.last and (wider or self.generation > other.generation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an entry lies in its pack."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The part of an entry before the blob's bytes, verified."""

    kind: Kind
    key: bytes
    origin: bytes
    size_bytes: int
    time_ms: int
    batch: int
    digest: bytes

    @property
    def prefix_bytes(self) -> int:
        return _ENTRY.size + len(self.origin) + _CHECKSUM.size

    @property
    def entry_bytes(self) -> int:
        return ENTRY_OVERHEAD_BYTES + len(self.origin) + self.size_bytes

    @property
    def info(self) -> BlobInfo:
        return BlobInfo(
            blob_id=id_of(self.key),
            size_bytes=self.size_bytes,
            origin=self.origin,
            digest=self.digest,
            durable_ms=self.time_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A stretch of a pack as a scan sees it; `key` is None where even the id is lost."""

    place: Place
    kind: Kind | None
    key: bytes | None
    sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """All that a pack file holds."""

    entries: Sequence[Found]  # in order; without what a crash tore
    end: int  # of the last entry; behind it there is nothing that was acknowledged
    torn: Sequence[Place]


def key_of(blob_id: str) -> bytes:
    """The 20 bytes of a blob id; they sort as the ids do."""
    return bytes.fromhex(blob_id[:32] + blob_id[33:])


def id_of(key: bytes) -> str:
    text = key.hex()
    return f"{text[:32]}-{text[32:]}"


def parse_name(name: str) -> PackName | None:
    """What a file name says, or None when it is no pack's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    first, last, generation, salt = (int(number, 16) for number in match.groups())
    return PackName(first=first, last=last, generation=generation, salt=salt)


def make_header(name: PackName) -> bytes:
    start = _HEADER.pack(_MAGIC, _VERSION, name.first, name.last, name.generation, name.salt)
    return start + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(start))


def check_header(header: bytes, name: PackName) -> None:
    """Raises UnknownPack for a newer version, Damaged for any other header than that of `name`."""
    if len(header) != HEADER_BYTES:
        raise Damaged("shorter than a pack's header")
    magic, version, *numbers = _HEADER.unpack_from(header)
    if (xxhash.xxh3_64_intdigest(header[: _HEADER.size]),) != _CHECKSUM.unpack_from(header, _HEADER.size):
        raise Damaged("header checksum of a pack")
    if magic == _MAGIC and version != _VERSION:
        raise UnknownPack(0, f"pack {name} has format version {version}")
    if magic != _MAGIC or numbers != [name.first, name.last, name.generation, name.salt]:
        raise Damaged("the header of another pack")


def entry_bytes(origin_bytes: int, size_bytes: int) -> int:
    """How long the entry of a blob is."""
    return ENTRY_OVERHEAD_BYTES + origin_bytes + size_bytes


def make_entry(
    name: PackName,
    offset: int,
    *,
    kind: Kind,
    key: bytes,
    time_ms: int,
    batch: int,
    origin: bytes = b"",
    pieces: Sequence[Buffer] = (),
    size_bytes: int = 0,
    digest: bytes = bytes(DIGEST_BYTES),
) -> list[Buffer]:
    """The buffers of an entry to be written at `offset`."""
    start = _ENTRY.pack(_ENTRY_MAGIC, kind, key, len(origin), size_bytes, time_ms, batch, digest) + origin
    checksum = xxhash.xxh3_64_intdigest(start, seed=_seed(name, offset))
    trailer = _TRAILER.pack(key, kind, entry_bytes(len(origin), size_bytes), _TRAILER_MAGIC)
    trailer += _CHECKSUM.pack(xxhash.xxh3_64_intdigest(trailer, seed=_seed(name, offset) ^ _TRAILER_SEED))
    return [start + _CHECKSUM.pack(checksum), *pieces, trailer]


def parse_prefix(start: Buffer, name: PackName, offset: int) -> Prefix | None:
    """The part before the blob's bytes of the entry at `offset`; None when `start` does not reach so far.

    Raises Damaged.
    """
    if len(start) < _ENTRY.size:
        return None
    magic, kind, key, origin_bytes, size_bytes, time_ms, batch, digest = _ENTRY.unpack_from(start)
    if magic != _ENTRY_MAGIC or origin_bytes > ORIGIN_LIMIT_BYTES:
        raise Damaged("no entry's magic")
    end = _ENTRY.size + origin_bytes
    if len(start) < end + _CHECKSUM.size:
        return None
    (checksum,) = _CHECKSUM.unpack_from(start, end)
    if xxhash.xxh3_64_intdigest(memoryview(start)[:end], seed=_seed(name, offset)) != checksum:
        raise Damaged("entry checksum")
    if kind not in (Kind.PUT, Kind.DELETE, Kind.END):
        raise UnknownPack(0, f"pack {name} has an entry of kind {kind}")
    return Prefix(
        kind=Kind(kind),
        key=key,
        origin=bytes(start[_ENTRY.size : end]),
        size_bytes=size_bytes,
        time_ms=time_ms,
        batch=batch,
        digest=digest,
    )


def parse_entry(entry: memoryview, name: PackName, offset: int) -> tuple[Prefix, memoryview]:
    """A whole entry, verified to its last bit, and the bytes of its blob. Raises Damaged."""
    prefix = parse_prefix(entry, name, offset)
    if prefix is None or len(entry) < prefix.entry_bytes:
        raise Damaged("shorter than its entry")
    payload = entry[prefix.prefix_bytes : prefix.prefix_bytes + prefix.size_bytes]
    trailer = _parse_trailer(entry[: prefix.entry_bytes], name, offset)
    if trailer != (prefix.key, prefix.kind, prefix.entry_bytes):
        raise Damaged("the trailer is not this entry's")
    if prefix.kind is Kind.PUT and xxhash.xxh3_128_digest(payload) != prefix.digest:
        raise Damaged("digest of the blob")
    return prefix, payload


def scan(image: bytes, name: PackName, *, sealed: bool) -> Scan:
    """Everything in a pack file, damaged entries among it. Raises UnknownPack.

    Of a pack that was `sealed` nothing is taken for torn: all of it was durable. The header is not looked at: the
    name says the same.
    """
    view = memoryview(image)
    found: list[Found] = []
    bad: list[Found] = []
    offset, end, last_batch = min(HEADER_BYTES, len(image)), HEADER_BYTES, HEADER_BYTES
    while offset < len(image):
        prefix = _sound_prefix(view, name, offset)
        if prefix is None or offset + prefix.entry_bytes > len(image):
            following = _next_sound(image, name, offset + 1)
            bad += _by_trailers(view, name, offset, following)
            offset = following
            continue
        place = Place(offset=offset, length=prefix.entry_bytes)
        sound = _is_sound(view, name, place)
        (found if sound else bad).append(Found(place=place, kind=prefix.kind, key=prefix.key, sound=sound))
        offset += prefix.entry_bytes
        if sound:
            end, last_batch = offset, max(last_batch, prefix.batch)
    if sealed:
        end = last_batch = len(image)
    damaged = [one for one in bad if one.place.offset < last_batch]
    torn = [one.place for one in bad if one.place.offset >= last_batch]
    return Scan(entries=sorted([*found, *damaged], key=_by_offset), end=end, torn=torn)


def _by_offset(found: Found) -> int:
    return found.place.offset


def _seed(name: PackName, offset: int) -> int:
    return (name.salt + offset) & _MASK


def _parse_trailer(entry: memoryview, name: PackName, offset: int) -> tuple[bytes, int, int]:
    trailer = entry[len(entry) - _TRAILER_BYTES :]
    key, kind, length, magic = _TRAILER.unpack_from(trailer)
    (checksum,) = _CHECKSUM.unpack_from(trailer, _TRAILER.size)
    seed = _seed(name, offset) ^ _TRAILER_SEED
    if magic != _TRAILER_MAGIC or xxhash.xxh3_64_intdigest(trailer[: _TRAILER.size], seed=seed) != checksum:
        raise Damaged("trailer checksum")
    return key, kind, length


def _sound_prefix(view: memoryview, name: PackName, offset: int) -> Prefix | None:
    try:
        return parse_prefix(view[offset : offset + PREFIX_LIMIT_BYTES], name, offset)
    except Damaged:
        return None


def _is_sound(view: memoryview, name: PackName, place: Place) -> bool:
    try:
        parse_entry(view[place.offset : place.offset + place.length], name, place.offset)
    except Damaged:
        return False
    return True


def _next_sound(image: bytes, name: PackName, start: int) -> int:
    """Where the next sound entry begins, or the end of the file."""
    view = memoryview(image)
    while (start := image.find(_ENTRY_MAGIC, start)) >= 0:
        if _sound_prefix(view, name, start) is not None:
            return start
        start += 1
    return len(image)


def _by_trailers(view: memoryview, name: PackName, start: int, end: int) -> Iterator[Found]:
    """The entries of a stretch without a sound prefix, found backwards from its end."""
    while end > start:
        trailer = _trailer_before(view, name, start, end)
        if trailer is None:
            yield Found(place=Place(offset=start, length=end - start), kind=None, key=None, sound=False)
            return
        key, kind, length = trailer
        yield Found(place=Place(offset=end - length, length=length), kind=kind, key=key, sound=False)
        end -= length


def _trailer_before(view: memoryview, name: PackName, start: int, end: int) -> tuple[bytes, Kind, int] | None:
    if end - start < ENTRY_OVERHEAD_BYTES:
        return None
    _key, _kind, length, _magic = _TRAILER.unpack_from(view, end - _TRAILER_BYTES)
    if not ENTRY_OVERHEAD_BYTES <= length <= end - start:
        return None
    try:
        key, kind, _length = _parse_trailer(view[end - length : end], name, end - length)
    except Damaged:
        return None
    return key, Kind(kind), length
