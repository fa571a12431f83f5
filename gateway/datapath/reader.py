"""Reading a range of an object: over its extents and segments, each from whichever replica gives the bytes.

A replica that is slower than nearly all reads of its size lately gets company (hedging.py): the same bytes are asked of
another one, and whoever delivers first goes on alone. So does one that falls silent midway. A replica that dies or
finds its copy damaged is left for another one at the same offset. The next segment is opened before the current one
ends. Which bytes make up an object is the record's business.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.datapath.damage import Damage, DamageKind, DamageSink, log_damage
from gateway.datapath.errors import BytesUnavailable
from gateway.datapath.hedging import Hedging
from gateway.datapath.replica import ROUNDS, Attempts, ReplicaStream, end
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

SECOND_ROUND_DELAY_S = 0.2
"""Enough for a connection that a restarting node refused; the first round already found no other way."""

STALL_S = 3.0
"""How long a silent node is waited for while another replica is left, hedged or not: a disk that is busy takes a
second. Longer, and it counts as a failure of the node."""

OWN_PAUSE_S = 0.01
"""A stream that seems to have been silent is given this long: perhaps it was this process that did nothing."""

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


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One piece under way."""

    piece: Piece
    attempts: Attempts
    done_bytes: int = 0
    racing: dict[asyncio.Task[bytes], ReplicaStream] = field(default_factory=dict)
    """Who was asked for the next bytes and has not answered, in the order of asking."""
    may_hedge: bool = True
    """Of the race under way: at most one hedge, and none once the budget said no."""

    @property
    def offset(self) -> int:
        return self.piece.offset + self.done_bytes

    @property
    def left_bytes(self) -> int:
        return self.piece.length - self.done_bytes

    @property
    def has_alternative(self) -> bool:
        """Whether something else can be done than to wait."""
        return bool(self.attempts.queue) or self.attempts.is_last_round

    def race(self, stream: ReplicaStream) -> None:
        """Wait for the next bytes of this stream too."""
        step = stream.next_chunk() if stream.has_delivered else stream.first_chunk()
        self.racing[asyncio.create_task(step, name="read")] = stream

    async def leave(self, tasks: Sequence[asyncio.Task[bytes]]) -> None:
        """Wait no longer for these."""
        streams = [self.racing.pop(task) for task in tasks]
        await end(tasks)
        for stream in streams:
            await stream.aclose()


class ExtentReader:
    """Streams pieces from nodes; one for the whole process."""

    def __init__(
        self,
        client: NodeClient,
        membership: Membership,
        *,
        damage: DamageSink = log_damage,
        hedging: Hedging | None = None,
        stall_s: float = STALL_S,
        clock: Callable[[], float] = time.monotonic,
        random_source: random.Random | None = None,
    ) -> None:
        """`clock` gives seconds and goes as fast as the event loop's."""
        self._client = client
        self._membership = membership
        self._damage = damage
        self._hedging = hedging or Hedging()
        self._stall_s = stall_s
        self._clock = clock
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
        reading = _Reading(piece=piece, attempts=Attempts(piece.nodes))
        current: ReplicaStream | None = None
        try:
            while reading.left_bytes:
                current, chunk = await self._next_bytes(reading, current)
                reading.done_bytes += len(chunk)
                reading.attempts.progressed()
                yield chunk
            if current is not None:
                self._membership.node_answered(current.node.node_id)
        finally:
            if current is not None:
                await current.aclose()

    async def _next_bytes(self, reading: _Reading, current: ReplicaStream | None) -> tuple[ReplicaStream, bytes]:
        """The bytes at the offset reached: from the stream that gave the last ones, unless it fails or falls silent."""
        if current is None:
            return await self._race(reading, None)
        current.quiet_since = self._clock()
        gap_s = self._hedging.limits.gap_s if reading.has_alternative else None
        try:
            # Without a task, which would cost more than all else here; cancelled, the stream has lost nothing.
            async with asyncio.timeout(gap_s):
                return current, _some(await current.next_chunk())
        except TimeoutError:
            current.quiet_since += OWN_PAUSE_S
            return await self._race(reading, current)
        except NodeError as error:
            self._note_failure(reading, current, error)
            await current.aclose()
        return await self._race(reading, None)

    async def _race(self, reading: _Reading, held: ReplicaStream | None) -> tuple[ReplicaStream, bytes]:
        """The next bytes and who delivered them; `held` gave those before and takes part. Raises BytesUnavailable."""
        reading.may_hedge = True
        if held is not None:
            reading.race(held)
        try:
            while True:
                if not reading.racing:
                    self._ask(reading, await self._next_node(reading))
                    self._hedging.began()
                for task in await self._first_done(reading):
                    stream = reading.racing.pop(task)
                    try:
                        chunk = _some(task.result())
                    except NodeError as error:
                        self._note_failure(reading, stream, error)
                        await stream.aclose()
                        continue
                    self._note_race(reading, stream, held)
                    return stream, chunk
        finally:
            await reading.leave(list(reading.racing))

    def _ask(self, reading: _Reading, node: Node) -> None:
        stream = self._client.get(
            node.address,
            reading.piece.blob_id,
            offset=reading.offset,
            length=reading.left_bytes,
            node_id=node.node_id,
        )
        reading.race(ReplicaStream(node, stream, asked_at=self._clock()))

    async def _first_done(self, reading: _Reading) -> list[asyncio.Task[bytes]]:
        """Those who answered, first asked first; none when it was time to hedge or to give a replica up."""
        hedge_at, give_up_at = self._hedge_at(reading), self._give_up_at(reading)
        moments = [moment for moment in (hedge_at, give_up_at) if moment is not None]
        timeout_s = max(min(moments) - self._clock(), 0.0) if moments else None
        done, _ = await asyncio.wait(reading.racing, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        now = self._clock()
        if not done and hedge_at is not None and now >= hedge_at:
            self._hedge(reading)
        elif not done and give_up_at is not None and now >= give_up_at:
            await self._give_up(reading, now)
        return [task for task in reading.racing if task in done]

    def _hedge_at(self, reading: _Reading) -> float | None:
        if len(reading.racing) != 1 or not reading.may_hedge or self._company(reading) is None:
            return None
        (stream,) = reading.racing.values()
        hedging = self._hedging
        bound_s = hedging.limits.gap_s if stream.has_delivered else hedging.bound_s(reading.left_bytes)
        return stream.quiet_since + bound_s

    def _give_up_at(self, reading: _Reading) -> float | None:
        # While there is another replica to turn to, none is waited for as long as NodeClient would; nor in the last
        # round, where each has been waited for: an S3 client gives up after a minute without an answer.
        if not reading.has_alternative:
            return None
        return min(stream.quiet_since for stream in reading.racing.values()) + self._stall_s

    def _company(self, reading: _Reading) -> Node | None:
        """A replica nothing is to be said against, to be asked beside the one that is silent."""
        for node_id in reading.attempts.queue:
            node = self._membership.node(node_id)
            if node is not None and self._doubt(node_id) == 0:
                return node
        return None

    def _hedge(self, reading: _Reading) -> None:
        node = self._company(reading)
        if node is None or not self._hedging.may_hedge():
            reading.may_hedge = False
            return
        reading.attempts.queue.remove(node.node_id)
        self._ask(reading, node)

    async def _give_up(self, reading: _Reading, now: float) -> None:
        """Leave those that have been silent for too long."""
        late = [task for task, one in reading.racing.items() if now >= one.quiet_since + self._stall_s]
        for task in late:
            self._note_failure(reading, reading.racing[task], NodeUnreachable(f"nothing came for {self._stall_s} s"))
        await reading.leave(late)

    def _note_race(self, reading: _Reading, won: ReplicaStream, held: ReplicaStream | None) -> None:
        """Remember how long the first bytes took, and who was too slow."""
        now, length = self._clock(), reading.left_bytes
        if won is not held:
            self._hedging.delivered(won.node.node_id, length, now - won.asked_at)
        for stream in reading.racing.values():
            node_id = stream.node.node_id
            if stream.asked_at >= won.asked_at:
                reading.attempts.queue.append(node_id)  # it was asked later, and is as good as before
                continue
            reading.attempts.retry.append(node_id)
            is_doubtful = (
                self._hedging.fell_silent(node_id)
                if stream is held
                else self._hedging.lost(node_id, length, now - stream.asked_at)
            )
            if is_doubtful:
                _log.warning("replica is slow", blob=reading.piece.blob_id, node=node_id)
                self._membership.node_failed(node_id)

    async def _next_node(self, reading: _Reading) -> Node:
        """The node to try next. Raises BytesUnavailable when there is none left."""
        attempts = reading.attempts
        while True:
            while attempts.queue:
                node_id = attempts.queue.popleft()
                if self._membership.node(node_id) is None:
                    await self._membership.refresh_if_possible(maximum_age_s=0.5)
                if node := self._membership.node(node_id):
                    return node
                attempts.reasons.append(f"{node_id}: no such node")
            if not attempts.rounds_left or not attempts.retry:
                raise BytesUnavailable(
                    reading.piece.blob_id, offset=reading.offset, reasons="; ".join(attempts.reasons)
                )
            if attempts.rounds_left < ROUNDS:
                await asyncio.sleep(SECOND_ROUND_DELAY_S)
                # A node that was restarted may have another address now.
                await self._membership.refresh_if_possible()
            attempts.next_round(self._ordered(attempts.retry))

    def _ordered(self, node_ids: Iterable[str]) -> list[str]:
        """Live nodes first, at random among equals; then suspects, then those without a heartbeat."""
        shuffled = list(node_ids)
        self._random.shuffle(shuffled)
        return sorted(shuffled, key=self._doubt)

    def _doubt(self, node_id: str) -> int:
        node = self._membership.node(node_id)
        # A node that has lost only its way to Redis still serves: no reason to leave it out.
        return 2 if node is None or not node.live else int(self._membership.suspects(node_id))

    def _note_failure(self, reading: _Reading, stream: ReplicaStream, error: NodeError) -> None:
        node_id, attempts, name = stream.node.node_id, reading.attempts, reading.piece.blob_id
        attempts.reasons.append(f"{node_id}: {type(error).__name__}: {error}")
        kind = _DAMAGE.get(type(error))
        if kind is not None:
            self._damage(Damage(blob_id=name, node_id=node_id, kind=kind, nodes=reading.piece.nodes))
            return
        _log.warning("replica left", blob=name, node=node_id, error=attempts.reasons[-1])
        if isinstance(error, NodeUnreachable):
            self._membership.node_failed(node_id)
        attempts.retry.append(node_id)


def _some(chunk: bytes) -> bytes:
    """A chunk that is not the end, which is not reached before the piece is complete. Raises NodeUnreachable."""
    if not chunk:
        raise NodeUnreachable("the answer ended early")
    return chunk


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
