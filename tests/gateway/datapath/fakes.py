"""Nodes in memory with scripted failures, behind NodeClient's interface; and a node table set by hand."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import xxhash

from gateway.placement.membership import Membership, Node
from storagenode.client import (
    BlobCorrupt,
    BlobNotFound,
    BlobStream,
    NodeClient,
    NodeFull,
    NodeUnreachable,
    StoredBlob,
    WrongNode,
)

CHUNK_BYTES = 64 * 1024


@dataclass(slots=True, kw_only=True)
class FakeNode:
    """One node: what it holds, how it behaves, and what happened at it. Sizes and positions in bytes."""

    node_id: str
    zone: str = "z"
    free_bytes: int = 1 << 40
    live: bool = True
    accepting: bool = True
    # behaviour
    refuses: bool = False
    silent: bool = False
    """Takes connections and requests, and answers nothing; `woken` ends that for requests under way."""
    full: bool = False
    breaks_put_at: int | None = None
    stalls_put_at: int | None = None
    seconds_per_block: float = 0.0
    holds_acknowledgement: asyncio.Event | None = None
    lies_about_digest: bool = False
    breaks_get_at: list[int] = field(default_factory=list)
    stalls_get_at: int | None = None
    seconds_to_first_byte: float = 0.0
    corrupt: bool = False
    # what is there and what happened
    blobs: dict[str, bytes] = field(default_factory=dict)
    origins: dict[str, bytes] = field(default_factory=dict)
    puts: int = 0
    gets: list[tuple[str, int, int]] = field(default_factory=list)
    open_streams: int = 0
    cancelled_puts: int = 0
    taken_bytes: int = 0
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    pings: int = 0

    @property
    def address(self) -> str:
        return f"{self.node_id}.test:1"


class FakeClient(NodeClient):
    """NodeClient over FakeNodes."""

    def __init__(self, nodes: Iterable[FakeNode], *, idle_timeout_s: float = 60.0) -> None:
        self.idle_timeout_s = idle_timeout_s
        self.by_address = {node.address: node for node in nodes}
        self.most_puts_at_once = 0
        self._puts_now = 0

    async def put(
        self,
        address: str,
        blob_id: str,
        *,
        size_bytes: int,
        origin: bytes,
        body: AsyncIterable[bytes] | bytes,
        node_id: str | None = None,
    ) -> StoredBlob:
        node = self._meant(address, node_id)
        node.puts += 1
        self._puts_now += 1
        self.most_puts_at_once = max(self.most_puts_at_once, self._puts_now)
        try:
            return await self._put(node, blob_id, size_bytes, origin, body)
        except asyncio.CancelledError:
            node.cancelled_puts += 1
            raise
        finally:
            self._puts_now -= 1

    async def _put(
        self, node: FakeNode, blob_id: str, size_bytes: int, origin: bytes, body: AsyncIterable[bytes] | bytes
    ) -> StoredBlob:
        await asyncio.sleep(0)
        if node.refuses:
            raise NodeUnreachable("refused")
        if node.full:
            raise NodeFull("full")
        if node.silent:
            await silence(node, self.idle_timeout_s)
        taken = bytearray()
        async for block in _blocks(body):
            taken += block
            node.taken_bytes += len(block)
            if node.seconds_per_block:
                await asyncio.sleep(node.seconds_per_block)
            if node.breaks_put_at is not None and len(taken) >= node.breaks_put_at:
                raise NodeUnreachable("broken")
            if node.stalls_put_at is not None and len(taken) >= node.stalls_put_at:
                node.stalled.set()
                await asyncio.sleep(self.idle_timeout_s)
                raise NodeUnreachable("idle")
        if node.holds_acknowledgement is not None:
            await node.holds_acknowledgement.wait()
        assert len(taken) == size_bytes
        node.blobs[blob_id], node.origins[blob_id] = bytes(taken), origin
        digest = b"lie" if node.lies_about_digest else xxhash.xxh3_128_digest(taken)
        return StoredBlob(size_bytes=size_bytes, digest=digest)

    async def ping(self, address: str) -> None:
        node = self.by_address[address]
        node.pings += 1
        await asyncio.sleep(0)
        if node.refuses:
            raise NodeUnreachable("refused")
        if node.silent:
            await silence(node, self.idle_timeout_s)

    def _meant(self, address: str, node_id: str | None) -> FakeNode:
        node = self.by_address[address]
        assert node_id is not None, "every call of the data path names the node that it means"
        if node_id != node.node_id:
            raise WrongNode(f"{node.node_id} answers, not {node_id}")
        return node

    def get(self, address: str, blob_id: str, *, offset: int, length: int, node_id: str | None = None) -> BlobStream:
        stream = FakeStream(self.by_address[address], blob_id, offset, length, idle_timeout_s=self.idle_timeout_s)
        stream.meet = lambda: self._meant(address, node_id)
        return stream

    async def delete(self, address: str, blob_id: str, *, node_id: str | None = None) -> bool:
        node = self._meant(address, node_id)
        if node.refuses:
            raise NodeUnreachable("refused")
        return node.blobs.pop(blob_id, None) is not None


async def silence(node: FakeNode, idle_timeout_s: float) -> None:
    """Until the node is woken. Raises NodeUnreachable when that takes too long."""
    try:
        async with asyncio.timeout(idle_timeout_s):
            await node.woken.wait()
    except TimeoutError as error:
        raise NodeUnreachable("idle") from error


async def _blocks(body: AsyncIterable[bytes] | bytes) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for block in body:
        yield block


class FakeStream(BlobStream):
    """A range of a blob in chunks of CHUNK_BYTES; a wait for one can be cancelled and taken up again."""

    meet: Callable[[], FakeNode]

    def __init__(self, node: FakeNode, blob_id: str, offset: int, length: int, *, idle_timeout_s: float) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._node, self._blob_id, self._offset, self._length = node, blob_id, offset, length
        self._position = offset
        self._break_at: int | None = None

    async def __aenter__(self) -> Self:
        self.meet()
        await asyncio.sleep(0)
        self._node.gets.append((self._blob_id, self._offset, self._length))
        if self._node.silent:
            await silence(self._node, self._idle_timeout_s)
        if self._node.seconds_to_first_byte:
            await asyncio.sleep(self._node.seconds_to_first_byte)
        if self._node.refuses:
            raise NodeUnreachable("refused")
        if self._node.corrupt:
            raise BlobCorrupt(self._blob_id)
        if self._blob_id not in self._node.blobs:
            raise BlobNotFound(self._blob_id)
        self._break_at = self._node.breaks_get_at.pop(0) if self._node.breaks_get_at else None
        self._node.open_streams += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._node.open_streams -= 1

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        start, end = self._position, self._offset + self._length
        await asyncio.sleep(0)
        if start >= end:
            raise StopAsyncIteration
        if self._break_at is not None and start >= self._break_at:
            raise NodeUnreachable("broken")
        if self._node.stalls_get_at is not None and start >= self._node.stalls_get_at:
            await silence(self._node, self._idle_timeout_s)
        self._position = min(start + CHUNK_BYTES, end)
        return self._node.blobs[self._blob_id][start : self._position]


class FakeMembership(Membership):
    """Membership over FakeNodes; `clock` is turned by hand."""

    def __init__(self, nodes: Iterable[FakeNode]) -> None:
        self.fakes = list(nodes)
        self.now = 1000.0
        self.refreshes = 0
        self._suspicions = {}
        self._clock = lambda: self.now
        self._wall_clock = lambda: self.now
        self._ahead_s = 0.0
        self.sync()

    def sync(self) -> None:
        """Take over what was changed in the fakes."""
        self._nodes = {
            fake.node_id: Node(
                node_id=fake.node_id,
                weight=float(fake.free_bytes),
                address=fake.address,
                zone=fake.zone,
                capacity_bytes=1 << 40,
                free_bytes=fake.free_bytes,
                accepting=fake.accepting,
                stopped=False,
                live=fake.live,
            )
            for fake in self.fakes
        }

    def forget(self, node_id: str) -> None:
        """Until the next refresh the table does not know the node."""
        del self._nodes[node_id]

    def move(self, node_id: str, address: str) -> None:
        self._nodes[node_id] = replace(self._nodes[node_id], address=address)

    async def refresh(self, *, maximum_age_s: float = 0.0) -> None:
        self.refreshes += 1
        self.sync()
