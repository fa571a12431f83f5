"""Storage nodes in memory, for tests of what is kept on nodes and not of how it gets there.

`MemoryNodes` stands for a NodeClient: blobs, manifests and the journal of any number of nodes, each of which can be
down. Tests reach into the dictionaries to lose and damage what they like.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import xxhash

from storagenode.client import BlobInfo, BlobNotFound, NodeClient, NodeFull, NodeUnreachable, StoredBlob
from storagenode.errors import SegmentNotFound
from storagenode.journal_protocol import JournalStatus, Seal, SegmentHeader, SegmentStatus
from storagenode.protocol import blob_time_ms


@dataclass(slots=True)
class MemorySegment:
    """A segment of the journal on one node."""

    header: SegmentHeader
    entries: dict[int, bytes] = field(default_factory=dict)
    watermark: int = 0
    seal: Seal | None = None
    damaged: bool = False

    def status(self) -> SegmentStatus:
        return SegmentStatus(
            header=self.header,
            last_sequence=max(self.entries, default=self.header.first_sequence - 1),
            watermark=self.watermark,
            seal=self.seal,
            damaged=self.damaged,
        )


@dataclass(slots=True)
class MemoryNode:
    """What one node holds."""

    blobs: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """Bytes and origin by blob id."""
    manifests: dict[str, bytes] = field(default_factory=dict)
    segments: dict[str, MemorySegment] = field(default_factory=dict)
    quarantined: dict[str, bytes] = field(default_factory=dict)
    down: bool = False
    takes_manifests: bool = True


class MemoryNodes:
    """Nodes by address; the address of a node is its id."""

    def __init__(self, *names: str) -> None:
        self.nodes = {name: MemoryNode() for name in names}
        self.journal = _MemoryJournal(self)
        self.fail_puts_after: int | None = None
        """From then on every put of a blob fails."""

    def client(self) -> NodeClient:
        return cast(NodeClient, self)

    def up(self, address: str) -> MemoryNode:
        node = self.nodes[address.rpartition("@")[2]]
        if node.down:
            raise NodeUnreachable(f"{address} is down")
        return node

    @property
    def addresses(self) -> dict[str, str]:
        """Of the nodes that are up, by id."""
        return {name: name for name, node in self.nodes.items() if not node.down}

    def snapshot_blobs(self) -> set[str]:
        return {blob_id for node in self.nodes.values() for blob_id in node.blobs}

    async def put(
        self, address: str, blob_id: str, *, size_bytes: int, origin: bytes, body: bytes, node_id: str | None = None
    ) -> StoredBlob:
        node = self.up(address)
        assert node_id == address, "who stores names the node that it means"
        if self.fail_puts_after is not None:
            if self.fail_puts_after == 0:
                raise NodeUnreachable(f"{address} went away")
            self.fail_puts_after -= 1
        assert len(body) == size_bytes
        node.blobs[blob_id] = (body, origin)
        return StoredBlob(size_bytes=size_bytes, digest=xxhash.xxh3_128_digest(body))

    @contextlib.asynccontextmanager
    async def get(self, address: str, blob_id: str, *, offset: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        body, _ = self._blob(address, blob_id)

        async def pieces() -> AsyncIterator[bytes]:
            yield body[offset : offset + length]

        yield pieces()

    async def stat(self, address: str, blob_id: str, *, node_id: str | None = None) -> BlobInfo:
        body, origin = self._blob(address, blob_id)
        return _info(blob_id, body, origin)

    async def delete(self, address: str, blob_id: str) -> bool:
        return self.up(address).blobs.pop(blob_id, None) is not None

    async def quarantine(self, address: str, blob_id: str) -> bool:
        found = self.up(address).blobs.pop(blob_id, None)
        if found is not None:
            self.nodes[address].quarantined[blob_id] = found[0]
        return found is not None

    async def list(self, address: str, *, after: str, before_ms: int, limit: int) -> list[BlobInfo]:
        blobs = self.up(address).blobs
        names = sorted(name for name in blobs if name > after and blob_time_ms(name) < before_ms)
        return [_info(name, *blobs[name]) for name in names[:limit]]

    def _blob(self, address: str, blob_id: str) -> tuple[bytes, bytes]:
        node = self.up(address)
        if blob_id not in node.blobs:
            raise BlobNotFound(blob_id)
        return node.blobs[blob_id]


class _MemoryJournal:
    def __init__(self, nodes: MemoryNodes) -> None:
        self._nodes = nodes

    async def status(self, address: str) -> JournalStatus:
        segments = sorted(self._nodes.up(address).segments.items())
        return JournalStatus(promised_epoch=0, segments=tuple(segment.status() for _, segment in segments))

    async def read(self, address: str, segment_id: str, *, after: int, limit_bytes: int) -> list[tuple[int, bytes]]:
        found, size_bytes = [], 0
        for sequence, entry in sorted(self._segment(address, segment_id).entries.items()):
            if sequence > after and size_bytes < limit_bytes:
                found.append((sequence, entry))
                size_bytes += len(entry)
        return found

    async def create(self, address: str, header: SegmentHeader) -> None:
        self._nodes.up(address).segments.setdefault(header.segment_id, MemorySegment(header))

    async def append(
        self,
        address: str,
        segment_id: str,
        *,
        epoch: int,
        watermark: int,
        first_sequence: int,
        entries: Sequence[bytes],
    ) -> int:
        segment = self._segment(address, segment_id)
        for sequence, entry in enumerate(entries, first_sequence):
            segment.entries.setdefault(sequence, entry)
        segment.watermark = max(segment.watermark, watermark)
        return segment.status().last_sequence

    async def drop(self, address: str, segment_id: str) -> bool:
        return self._nodes.up(address).segments.pop(segment_id, None) is not None

    async def put_manifest(self, address: str, name: str, body: bytes) -> None:
        node = self._nodes.up(address)
        if not node.takes_manifests:
            raise NodeFull(f"{address} is full")
        node.manifests[name] = body

    async def manifests(self, address: str) -> list[tuple[str, bytes]]:
        return sorted(self._nodes.up(address).manifests.items())

    async def drop_manifest(self, address: str, name: str) -> bool:
        return self._nodes.up(address).manifests.pop(name, None) is not None

    def _segment(self, address: str, segment_id: str) -> MemorySegment:
        node = self._nodes.up(address)
        if segment_id not in node.segments:
            raise SegmentNotFound(segment_id)
        return node.segments[segment_id]


def _info(blob_id: str, body: bytes, origin: bytes) -> BlobInfo:
    return BlobInfo(blob_id=blob_id, size_bytes=len(body), origin=origin, digest=xxhash.xxh3_128_digest(body))


def copies_of(nodes: MemoryNodes, blob_id: str) -> Iterator[str]:
    """The nodes that hold a blob."""
    return (name for name, node in nodes.nodes.items() if blob_id in node.blobs)
