"""One replica of a range while it is read, and the order in which replicas are tried."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from gateway.placement.membership import Node
from storagenode.client import BlobStream

ROUNDS = 2
"""A node that could not be reached is tried once more after all others, from where the stream then stands."""


class ReplicaStream:
    """The bytes of a range from one node, chunk by chunk. Used by one task at a time; `aclose` when done."""

    __slots__ = ("_chunks", "_entered", "_stream", "asked_at", "node", "quiet_since")

    def __init__(self, node: Node, stream: BlobStream, *, asked_at: float) -> None:
        self.node = node
        self.asked_at = self.quiet_since = asked_at
        self._stream = stream
        self._entered = False
        self._chunks: AsyncIterator[bytes] | None = None

    @property
    def has_delivered(self) -> bool:
        """Whether it is past its first bytes."""
        return self._chunks is not None

    async def first_chunk(self) -> bytes:
        """Ask the node, and wait for its first bytes; not to be cancelled and called again. Raises NodeError."""
        await self._stream.__aenter__()
        self._entered = True
        chunks = aiter(self._stream)
        chunk = await anext(chunks, b"")
        self._chunks = chunks
        return chunk

    async def next_chunk(self) -> bytes:
        """The next bytes, none at the end. May be cancelled and called again: nothing gets lost. Raises NodeError."""
        assert self._chunks is not None
        return await anext(self._chunks, b"")

    async def aclose(self) -> None:
        """Give the connection back, or up when bytes are still to come on it."""
        if self._entered:
            self._entered = False
            await self._stream.__aexit__(None, None, None)


class Attempts:
    """Which replicas of a piece are still to be tried, and why the others were left."""

    __slots__ = ("queue", "reasons", "retry", "rounds_left")

    def __init__(self, node_ids: Iterable[str]) -> None:
        self.retry = list(node_ids)
        """To be tried in the next round: all at first, then those that may yet recover."""
        self.queue: deque[str] = deque()
        self.reasons: list[str] = []
        self.rounds_left = ROUNDS

    @property
    def is_last_round(self) -> bool:
        return self.rounds_left == 0

    def next_round(self, ordered: Iterable[str]) -> None:
        self.queue = deque(ordered)
        self.retry = []
        self.rounds_left -= 1

    def progressed(self) -> None:
        """Bytes came: a connection that breaks now and then does not use up the rounds."""
        self.rounds_left = ROUNDS - 1


async def end(tasks: Iterable[asyncio.Task[bytes]]) -> None:
    """Cancel tasks and wait until they have ended; how they ended does not matter any more."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.gather(*ending, return_exceptions=True)
