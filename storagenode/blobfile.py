"""The format of a blob file, pure: bytes in, bytes out, no I/O.

A blob file is a header, the blob's bytes in one piece, and a footer. All numbers are big-endian.

    header   0   8  magic "CAIRNBLB"
             8   2  format version, 1
            10   4  H, bytes of the whole header
            14   4  B, bytes of a block
            18   8  L, bytes of the blob
            26  41  blob id, ASCII
            67   5  zero
            72      origin, the opaque back pointer: H - 80 bytes
           H-8   8  XXH3-64 of the header so far
    data     H   L  the blob
    footer H+L      XXH3-64 of each block, 8 bytes each: N = ceil(L / B) of them; only the last block is short
           -40  16  digest: XXH3-128 of the blob
           -24   8  the header's checksum once more, so that a footer fits one header only
           -16   8  magic "CAIRNEND"
            -8   8  XXH3-64 of the footer so far

The file is exactly H + L + 8 N + 40 bytes long. The data lie in one piece so that a range is a plain pread,
and the checksums behind them so that a blob is written in one pass. A block's checksum is seeded with the
blob id and the block's number: a block that a disk wrote to, or read from, the wrong place is found out
though it is whole in itself. Of every future version the first 14 bytes and the checksum at the header's
end stay, so that a newer file is known from a damaged one. No bit of the file is outside some checksum.

History: version 1, the first.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

from storagenode.disk import Buffer
from storagenode.protocol import DIGEST_BYTES, ORIGIN_LIMIT_BYTES, BlobInfo, is_blob_id

BLOCK_BYTES = 128 * 1024
"""Checksum grain of new files, and so the least that a range read touches. XXH3 runs at 48 GB/s from 64 KiB
on; at 128 KiB a blob of 64 MiB has a table of 4 KiB, one page."""

_MAGIC = b"CAIRNBLB"
_END_MAGIC = b"CAIRNEND"
_VERSION = 1
_START = struct.Struct(">8sHI")
_FIXED = struct.Struct(">8sHIIQ41s5x")
_CHECKSUM = struct.Struct(">Q")
_TRAILER = struct.Struct(f">{DIGEST_BYTES}sQ8sQ")
_MASK = (1 << 64) - 1

HEADER_LIMIT_BYTES = _FIXED.size + ORIGIN_LIMIT_BYTES + _CHECKSUM.size


class Damaged(Exception):
    """The bytes of a blob file are not what was written."""


class UnknownFormat(Exception):
    """A whole file of a format version that this program does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where things are in one blob file; all that is known before or after its data."""

    blob_id: str
    origin: bytes
    size_bytes: int  # of the blob
    block_bytes: int
    header_checksum: int

    @property
    def header_bytes(self) -> int:
        return _FIXED.size + len(self.origin) + _CHECKSUM.size

    @property
    def block_count(self) -> int:
        return -(-self.size_bytes // self.block_bytes)

    @property
    def footer_offset(self) -> int:
        return self.header_bytes + self.size_bytes

    @property
    def footer_bytes(self) -> int:
        return self.block_count * _CHECKSUM.size + _TRAILER.size

    @property
    def file_bytes(self) -> int:
        return self.footer_offset + self.footer_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What the footer of a file holds."""

    checksums: tuple[int, ...]
    digest: bytes


def check_storable(blob_id: str, origin: bytes) -> None:
    """Raises ValueError for an id or origin that cannot be stored."""
    if not is_blob_id(blob_id):
        raise ValueError(f"not a blob id: {blob_id!r}")
    if len(origin) > ORIGIN_LIMIT_BYTES:
        raise ValueError(f"an origin has at most {ORIGIN_LIMIT_BYTES} bytes, not {len(origin)}")


def make_header(blob_id: str, origin: bytes, size_bytes: int) -> tuple[Layout, bytes]:
    """The layout of a new blob file, and its header. Raises ValueError for an id or origin that cannot be stored."""
    check_storable(blob_id, origin)
    header_bytes = _FIXED.size + len(origin) + _CHECKSUM.size
    start = _FIXED.pack(_MAGIC, _VERSION, header_bytes, BLOCK_BYTES, size_bytes, blob_id.encode()) + origin
    checksum = xxhash.xxh3_64_intdigest(start)
    layout = Layout(
        blob_id=blob_id,
        origin=origin,
        size_bytes=size_bytes,
        block_bytes=BLOCK_BYTES,
        header_checksum=checksum,
    )
    return layout, start + _CHECKSUM.pack(checksum)


def header_bytes(start: bytes) -> int:
    """How long the header is that begins with `start` (at least 14 bytes). Raises Damaged."""
    if len(start) < _START.size:
        raise Damaged("shorter than a header")
    magic, _version, length = _START.unpack_from(start)
    if magic != _MAGIC:
        raise Damaged("no blob file's magic")
    if not _START.size + _CHECKSUM.size <= length <= 16 * HEADER_LIMIT_BYTES:
        raise Damaged(f"a header of {length} bytes")
    return int(length)


def parse_header(header: bytes, blob_id: str) -> Layout:
    """The layout told by a whole header of the blob expected. Raises Damaged, UnknownFormat."""
    start, stored = header[: -_CHECKSUM.size], header[-_CHECKSUM.size :]
    (checksum,) = _CHECKSUM.unpack(stored)
    if xxhash.xxh3_64_intdigest(start) != checksum:
        raise Damaged("header checksum")
    _magic, version, _length = _START.unpack_from(start)
    if version != _VERSION:
        raise UnknownFormat(f"blob file of format version {version}")
    *_, block_bytes, size_bytes, name = _FIXED.unpack_from(start)
    if name != blob_id.encode():
        raise Damaged(f"the header is that of {name!r}")
    return Layout(
        blob_id=blob_id,
        origin=start[_FIXED.size :],
        size_bytes=size_bytes,
        block_bytes=block_bytes,
        header_checksum=checksum,
    )


def make_footer(layout: Layout, footer: Footer) -> bytes:
    """The bytes behind the data."""
    table = struct.pack(f">{len(footer.checksums)}Q", *footer.checksums)
    body = table + _TRAILER.pack(footer.digest, layout.header_checksum, _END_MAGIC, 0)[: -_CHECKSUM.size]
    return body + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(body))


def parse_footer(footer: bytes, layout: Layout) -> Footer:
    """Raises Damaged."""
    if len(footer) != layout.footer_bytes:
        raise Damaged("shorter than its footer")
    digest, header_checksum, magic, checksum = _TRAILER.unpack_from(footer, len(footer) - _TRAILER.size)
    if xxhash.xxh3_64_intdigest(memoryview(footer)[: -_CHECKSUM.size]) != checksum:
        raise Damaged("footer checksum")
    if magic != _END_MAGIC or header_checksum != layout.header_checksum:
        raise Damaged("the footer is not this header's")
    return Footer(checksums=struct.unpack_from(f">{layout.block_count}Q", footer), digest=digest)


def info(layout: Layout, footer: Footer, *, durable_ms: int = 0) -> BlobInfo:
    return BlobInfo(
        blob_id=layout.blob_id,
        size_bytes=layout.size_bytes,
        origin=layout.origin,
        digest=footer.digest,
        durable_ms=durable_ms,
    )


def find_damage(layout: Layout, footer: Footer, first_block: int, span: memoryview) -> int | None:
    """The number of the first bad block among those that `span` should hold whole, from first_block on, or None."""
    seed = _seed(layout.blob_id)
    for number, start in enumerate(range(0, len(span), layout.block_bytes), first_block):
        checksum = xxhash.xxh3_64_intdigest(span[start : start + layout.block_bytes], seed=(seed + number) & _MASK)
        if checksum != footer.checksums[number]:
            return number
    return None


class BlockHasher:
    """Takes a blob's bytes in pieces of any size and makes its footer."""

    def __init__(self, layout: Layout) -> None:
        self._block_bytes = layout.block_bytes
        self._seed = _seed(layout.blob_id)
        self._checksums: list[int] = []
        self._digest = xxhash.xxh3_128()
        self._block = xxhash.xxh3_64(seed=self._seed)
        self._filled = 0  # bytes of the current block
        self.size_bytes = 0

    def update(self, pieces: Iterable[Buffer]) -> None:
        for piece in pieces:
            self._digest.update(piece)
            self.size_bytes += len(piece)
            rest = memoryview(piece)
            while len(rest):
                part = rest[: self._block_bytes - self._filled]
                self._block.update(part)
                self._filled += len(part)
                rest = rest[len(part) :]
                if self._filled == self._block_bytes:
                    self._end_block()

    def finish(self) -> Footer:
        if self._filled:
            self._end_block()
        return Footer(checksums=tuple(self._checksums), digest=self._digest.digest())

    def _end_block(self) -> None:
        self._checksums.append(self._block.intdigest())
        self._block = xxhash.xxh3_64(seed=(self._seed + len(self._checksums)) & _MASK)
        self._filled = 0


def _seed(blob_id: str) -> int:
    return xxhash.xxh3_64_intdigest(blob_id.encode())
