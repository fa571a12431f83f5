"""What a snapshot of the index looks like on the nodes. Pure.

A snapshot is a set of chunks, which are blobs of one write, and a manifest, a document of the nodes' journal store.
It is fuzzy: it was read while the index changed, between the changes `start_sequence` and `end_sequence`. Entries of
the journal carry resulting values, so replaying everything after `start_sequence` over it gives the exact state.

A chunk is
    offset  size
    0       4     "CSN1"
    4             zlib: msgpack values one after the other, each a row:
                    [1, key, [member, …]]                     members of a sorted set whose scores are 0
                    [2, key, [score, member, score, …]]       members of a sorted set
                    [3, key, [field, value, …]]               fields of a hash
                    [4, key, [member, …]]                     members of a set
                    [5, key, value, expires_ms]               a string; 0: it has no time to live
Rows may come in any order and more than once. Keys, members and values are bytes; scores are as the server prints them.

A manifest is
    0       16    XXH3-128 of what follows
    16            msgpack: [format, snapshot id, state, start, end, created ms, chunks, keys, members], chunks being
                  [size, digest, nodes] each, in the order of their segment numbers
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgpack
import xxhash

from storagenode.protocol import DIGEST_BYTES, blob_id, blob_time_ms

FORMAT = 1
MAGIC = b"CSN1"

CHUNK_BYTES = 8 * 1024 * 1024
"""Of rows before compression. The last row may overshoot it: by a page of members, or by one large value."""

_COMPRESSION = 1
"""Records are mostly random ids: level 1 takes a quarter off at 100 MiB/s, level 6 little more at a third of that."""

_MOST_INFLATED_BYTES = 1 << 30
"""A chunk that claims more is damaged."""


class SnapshotDamaged(Exception):
    """The bytes are no chunk or manifest that this release understands, or not those that were written."""


class SnapshotState(IntEnum):
    """Where a snapshot stands; of the copies of a manifest the greatest state holds."""

    BEGUN = 1
    """Chunks are being written, or whoever wrote them is gone."""
    COMPLETE = 2
    """Every chunk is stored and the journal is durable past its end: it can be restored."""
    DOOMED = 3
    """Its chunks are being deleted."""


class RowKind(IntEnum):
    """The first field of a row."""

    LEXICAL = 1
    SCORED = 2
    HASH = 3
    SET = 4
    STRING = 5


Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotChunk:
    """One blob of a snapshot, and where it is."""

    size_bytes: int
    digest: bytes
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a snapshot consists of. `snapshot_id` is the write id of its chunks, and so ordered by time."""

    snapshot_id: str
    state: SnapshotState
    start_sequence: int
    end_sequence: int
    created_ms: int
    chunks: tuple[SnapshotChunk, ...] = ()
    key_count: int = 0
    member_count: int = 0

    def blob_id(self, number: int) -> str:
        """The name of the chunk of this number."""
        return blob_id(self.snapshot_id, number)

    @property
    def size_bytes(self) -> int:
        """Of all chunks, each once."""
        return sum(chunk.size_bytes for chunk in self.chunks)

    @property
    def begun_ms(self) -> int:
        """When it was begun, by Redis's clock."""
        return blob_time_ms(self.snapshot_id)


def pack_manifest(manifest: Manifest) -> bytes:
    """See above."""
    body: bytes = msgpack.packb(
        [
            FORMAT,
            manifest.snapshot_id,
            int(manifest.state),
            manifest.start_sequence,
            manifest.end_sequence,
            manifest.created_ms,
            [[chunk.size_bytes, chunk.digest, list(chunk.nodes)] for chunk in manifest.chunks],
            manifest.key_count,
            manifest.member_count,
        ]
    )
    return xxhash.xxh3_128_digest(body) + body


def unpack_manifest(packed: bytes) -> Manifest:
    """The inverse of `pack_manifest`. Raises SnapshotDamaged."""
    body = packed[DIGEST_BYTES:]
    if xxhash.xxh3_128_digest(body) != packed[:DIGEST_BYTES]:
        raise SnapshotDamaged("a manifest does not match its checksum")
    try:
        format_number, snapshot_id, state, start, end, created_ms, chunks, key_count, member_count = msgpack.unpackb(
            body
        )
        if format_number != FORMAT:
            raise SnapshotDamaged(f"a manifest has format {format_number}, this release reads {FORMAT}")
        return Manifest(
            snapshot_id=snapshot_id,
            state=SnapshotState(state),
            start_sequence=start,
            end_sequence=end,
            created_ms=created_ms,
            chunks=tuple(SnapshotChunk(size_bytes=size, digest=digest, nodes=tuple(at)) for size, digest, at in chunks),
            key_count=key_count,
            member_count=member_count,
        )
    except (ValueError, TypeError) as error:
        raise SnapshotDamaged(f"a manifest does not parse: {error}") from error


def newest(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    """Of each snapshot the manifest of the greatest state, by snapshot id, newest snapshot first."""
    found: dict[str, Manifest] = {}
    for manifest in manifests:
        known = found.get(manifest.snapshot_id)
        if known is None or manifest.state > known.state:
            found[manifest.snapshot_id] = manifest
    return dict(sorted(found.items(), key=lambda item: (item[1].start_sequence, item[0]), reverse=True))


class ChunkBuilder:
    """Collects rows until they are worth a chunk."""

    def __init__(self, limit_bytes: int = CHUNK_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._packer = msgpack.Packer()
        self._packed: list[bytes] = []
        self._size_bytes = 0

    @property
    def is_full(self) -> bool:
        return self._size_bytes >= self._limit_bytes

    def __bool__(self) -> bool:
        return bool(self._packed)

    def add(self, row: Row) -> None:
        """One more row."""
        packed: bytes = self._packer.pack(row)
        self._packed.append(packed)
        self._size_bytes += len(packed)

    def take(self) -> list[bytes]:
        """The packed rows so far; the builder is empty afterwards."""
        packed, self._packed, self._size_bytes = self._packed, [], 0
        return packed


def compress_rows(packed: Sequence[bytes]) -> bytes:
    """The chunk of these packed rows. Takes some 0.1 s: call it in a thread."""
    deflate = zlib.compressobj(_COMPRESSION)
    return b"".join([MAGIC, *(deflate.compress(row) for row in packed), deflate.flush()])


def rows_of(chunk: bytes) -> Iterator[Row]:
    """The rows of a chunk. Raises SnapshotDamaged."""
    if chunk[: len(MAGIC)] != MAGIC:
        raise SnapshotDamaged("not a chunk of a snapshot")
    inflate = zlib.decompressobj()
    try:
        rows = inflate.decompress(chunk[len(MAGIC) :], _MOST_INFLATED_BYTES)
    except zlib.error as error:
        raise SnapshotDamaged(f"a chunk does not inflate: {error}") from error
    if not inflate.eof:
        raise SnapshotDamaged("a chunk ends early")
    unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(rows)))
    unpacker.feed(rows)
    try:
        yield from (tuple(row) for row in unpacker)
    except (ValueError, TypeError) as error:
        raise SnapshotDamaged(f"a chunk does not parse: {error}") from error


def command_of(row: Row) -> tuple[Any, ...]:
    """The Redis command that puts a row where it was. Raises SnapshotDamaged."""
    match row:
        case (RowKind.LEXICAL, bytes(key), list(members)):
            scored: list[bytes] = [b"0"] * (2 * len(members))
            scored[1::2] = members
            return ("ZADD", key, *scored)
        case (RowKind.SCORED, bytes(key), list(pairs)):
            return ("ZADD", key, *pairs)
        case (RowKind.HASH, bytes(key), list(pairs)):
            return ("HSET", key, *pairs)
        case (RowKind.SET, bytes(key), list(members)):
            return ("SADD", key, *members)
        case (RowKind.STRING, bytes(key), bytes(value), int(expires_ms)):
            return ("SET", key, value, "PXAT", expires_ms) if expires_ms else ("SET", key, value)
    raise SnapshotDamaged(f"a row of an unknown kind: {row[:1]!r}")
