"""Reading a range of an object: over its extents and segments, each from whichever replica gives the bytes.

A replica that dies, stalls or finds its copy damaged midway is left for another one at the same offset. The
next segment is opened before the current one ends. Which bytes make up an object is the record's business.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from gateway.datapath.damage import Damage, DamageKind, DamageSink, log_damage
from gateway.datapath.errors import BytesUnavailable
from gateway.index.records import Extent
from gateway.placement.membership import Membership, Node
from storagenode.client import (
    BlobCorrupt,
    BlobNotFound,
    InvalidRequest,
    NodeClient,
    NodeError,
    NodeUnreachable,
)
from storagenode.protocol import blob_id

OPEN_AHEAD_BYTES = 4 * 1024 * 1024
"""The next segment is opened when this much of the current one is left: some milliseconds at full speed."""

ROUNDS = 2
"""A node that could not be reached is tried once more after all others, from where the stream then stands."""

SECOND_ROUND_DELAY_S = 0.2
"""Enough for a connection that a restarting node refused; the first round already found no other way."""

STALL_S = 5.0
"""How long a silent node is waited for while another replica is left; a disk that is busy takes a second."""

_Result = TypeVar("_Result")

_log = structlog.get_logger(__name__)


_DAMAGE: Mapping[type[NodeError], DamageKind] = {
    BlobNotFound: DamageKind.MISSING,
    BlobCorrupt: DamageKind.CORRUPT,
    InvalidRequest: DamageKind.CORRUPT,  # the copy is shorter than the record says
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A range within one blob, and who holds it."""

    blob_id: str
    nodes: tuple[str, ...]
    offset: int
    length: int


def plan(extents: Sequence[Extent], offset: int, length: int) -> Iterator[Piece]:
    """The pieces that make up `length` bytes from `offset` of the extents laid end to end.

    Raises ValueError when the range is not within them.
    """
    if offset < 0 or length < 0:
        raise ValueError("a range has no negative offset or length")
    position, end = 0, offset + length
    for extent in extents:
        for segment in extent.segments:
            start = max(offset - position, 0)
            stop = min(end - position, segment.size_bytes)
            if start < stop:
                yield Piece(
                    blob_id=blob_id(extent.write_id, segment.number),
                    nodes=segment.nodes,
                    offset=start,
                    length=stop - start,
                )
            position += segment.size_bytes
            if position >= end:
                return
    if length:
        raise ValueError(f"the range ends at byte {end}, the extents at {position}")


class ExtentReader:
    """Streams pieces from nodes; one for the whole process."""

    def __init__(
        self,
        client: NodeClient,
        membership: Membership,
        *,
        damage: DamageSink = log_damage,
        stall_s: float = STALL_S,
        random_source: random.Random | None = None,
    ) -> None:
        self._client = client
        self._membership = membership
        self._damage = damage
        self._stall_s = stall_s
        self._random = random_source or random.Random()

    async def read(self, pieces: Iterable[Piece]) -> AsyncGenerator[bytes, None]:
        """The bytes of the pieces in order. Raises BytesUnavailable, before or after some bytes."""
        current: _PieceStream | None = None
        ahead: _PieceStream | None = None
        try:
            for piece, following in _with_following(pieces):
                current, ahead = ahead or _PieceStream(self._read_piece(piece)), None
                left_bytes = piece.length
                while (chunk := await current.next_chunk()) is not None:
                    left_bytes -= len(chunk)
                    if following is not None and ahead is None and left_bytes <= OPEN_AHEAD_BYTES:
                        ahead = _PieceStream(self._read_piece(following))
                        ahead.open()
                    yield chunk
        finally:
            for stream in (current, ahead):
                if stream is not None:
                    await stream.aclose()

    async def _read_piece(self, piece: Piece) -> AsyncGenerator[bytes, None]:
        """One piece, from replica to replica until it is complete."""
        done_bytes = 0
        attempts = _Attempts(piece.nodes)
        while done_bytes < piece.length:
            node = await self._next_node(attempts)
            if node is None:
                raise BytesUnavailable(
                    piece.blob_id, offset=piece.offset + done_bytes, reasons="; ".join(attempts.reasons)
                )
            rest = self._client.get(
                node.address,
                piece.blob_id,
                offset=piece.offset + done_bytes,
                length=piece.length - done_bytes,
            )
            # While there is another replica to turn to, this one is not waited for as long as NodeClient would; nor in
            # the last round, where each has been waited for: an S3 client gives up after a minute without an answer.
            patience_s = self._stall_s if attempts.queue or attempts.is_last_round else None
            try:
                async with contextlib.AsyncExitStack() as stack:
                    stream = await _within(patience_s, stack.enter_async_context(rest))
                    chunks = aiter(stream)
                    while chunk := await _within(patience_s, anext(chunks, b"")):
                        done_bytes += len(chunk)
                        attempts.progressed()
                        yield chunk
            except NodeError as error:
                self._note_failure(piece, node, attempts, error)
            else:
                self._membership.node_answered(node.node_id)

    async def _next_node(self, attempts: "_Attempts") -> Node | None:
        """The node to try next; None when there is none left."""
        if not attempts.queue:
            if not attempts.rounds_left or not attempts.retry:
                return None
            if attempts.rounds_left < ROUNDS:
                await asyncio.sleep(SECOND_ROUND_DELAY_S)
                # A node that was restarted may have another address now.
                await self._membership.refresh_if_possible()
            attempts.next_round(self._ordered(attempts.retry))
        while attempts.queue:
            node_id = attempts.queue.popleft()
            if self._membership.node(node_id) is None:
                await self._membership.refresh_if_possible(maximum_age_s=0.5)
            if node := self._membership.node(node_id):
                return node
            attempts.reasons.append(f"{node_id}: no such node")
        return await self._next_node(attempts)

    def _ordered(self, node_ids: Iterable[str]) -> list[str]:
        """Live nodes first, at random among equals; then suspects, then those without a heartbeat."""
        shuffled = list(node_ids)
        self._random.shuffle(shuffled)
        return sorted(shuffled, key=self._doubt)

    def _doubt(self, node_id: str) -> int:
        node = self._membership.node(node_id)
        # A node that has lost only its way to Redis still serves: no reason to leave it out.
        return 2 if node is None or not node.live else int(self._membership.suspects(node_id))

    def _note_failure(self, piece: Piece, node: Node, attempts: "_Attempts", error: NodeError) -> None:
        attempts.reasons.append(f"{node.node_id}: {type(error).__name__}: {error}")
        kind = _DAMAGE.get(type(error))
        if kind is not None:
            self._damage(Damage(blob_id=piece.blob_id, node_id=node.node_id, kind=kind))
            return
        _log.warning("replica left", blob=piece.blob_id, node=node.node_id, error=attempts.reasons[-1])
        if isinstance(error, NodeUnreachable):
            self._membership.node_failed(node.node_id)
        attempts.retry.append(node.node_id)


async def _within(timeout_s: float | None, step: Awaitable[_Result]) -> _Result:
    """The result of a step. Raises NodeUnreachable when it takes longer than `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await step
    except TimeoutError as error:
        raise NodeUnreachable(f"nothing came for {timeout_s} s") from error


class _Attempts:
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


class _PieceStream:
    """A piece's chunks, the first of which may be fetched before it is wanted."""

    __slots__ = ("_chunks", "_first")

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks
        self._first: asyncio.Task[bytes | None] | None = None

    def open(self) -> None:
        """Connect and fetch the first chunk in the background."""
        self._first = asyncio.create_task(self._pull(), name="open-ahead")

    async def next_chunk(self) -> bytes | None:
        """The next chunk, None at the end."""
        if self._first is None:
            return await anext(self._chunks, None)
        first, self._first = self._first, None
        return await first

    async def aclose(self) -> None:
        """Close the connection, if one is open."""
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
        await self._chunks.aclose()

    async def _pull(self) -> bytes | None:
        return await anext(self._chunks, None)


def _with_following(pieces: Iterable[Piece]) -> Iterator[tuple[Piece, Piece | None]]:
    iterator = iter(pieces)
    piece = next(iterator, None)
    while piece is not None:
        following = next(iterator, None)
        yield piece, following
        piece = following
