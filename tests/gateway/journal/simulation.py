"""A cluster in memory for the journal: nodes, index servers and processes, all of which can fail between any two steps.

Every call waits a random while before it takes effect and another before its answer comes; in between the caller may be
killed, the node may die, the server may be lost. The clock is virtual (tests/harness/virtual_time.py) and randomness
seeded, so a seed is one interleaving for ever.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gateway.index.errors import IndexNotOpen, IndexUnavailable
from gateway.index.journal_feed import ENTRIES_KEPT, JournalState, ReplayGap, RestoreClaim
from gateway.journal.change_segment import SegmentChanger
from gateway.journal.journal import Journal
from gateway.journal.nodes import JournalNode
from gateway.journal.placing import Placing
from gateway.journal.recovery import Recovery
from storagenode.client import (
    InvalidRequest,
    JournalFenced,
    NodeFailed,
    NodeUnreachable,
    SegmentGap,
    SegmentNotFound,
    SegmentSealed,
)
from storagenode.journal_protocol import JournalStatus, Seal, SegmentHeader, SegmentStatus

_Answer = TypeVar("_Answer")

SETTLED_AFTER_S = 10.0
"""Without a number of nodes to expect."""


@dataclass(slots=True, kw_only=True)
class FakeSegment:
    header: SegmentHeader
    entries: dict[int, bytes] = field(default_factory=dict)
    watermark: int = 0
    seal: Seal | None = None
    broken: bool = False
    """A fsync of it failed."""

    @property
    def last(self) -> int:
        return max(self.entries, default=self.header.first_sequence - 1)


@dataclass(slots=True, kw_only=True)
class FakeNode:
    """One node's durable state; every effect is atomic and durable at once."""

    node_id: str
    up: bool = True
    registered: bool = True
    accepting: bool = True
    holds_bytes: bool = False
    promised: int = 0
    segments: dict[str, FakeSegment] = field(default_factory=dict)
    fences: bool = True
    """False takes the fencing out, to see a test fail."""

    def status(self) -> JournalStatus:
        found = [
            SegmentStatus(
                header=one.header, last_sequence=one.last, watermark=one.watermark, seal=one.seal, damaged=False
            )
            for _, one in sorted(self.segments.items())
        ]
        return JournalStatus(promised_epoch=self.promised, segments=tuple(found))

    def require(self, epoch: int) -> None:
        if epoch < self.promised and self.fences:
            raise JournalFenced(self.promised)

    def promise(self, epoch: int) -> JournalStatus:
        self.require(epoch)
        self.promised = max(self.promised, epoch)
        return self.status()

    def create(self, header: SegmentHeader) -> None:
        self.require(header.epoch)
        present = self.segments.setdefault(header.segment_id, FakeSegment(header=header))
        if present.header != header:
            raise InvalidRequest("another header")

    def append(self, segment_id: str, epoch: int, watermark: int, first: int, entries: Sequence[bytes]) -> int:
        segment = self._segment(segment_id)
        if epoch != segment.header.epoch:
            raise InvalidRequest("another epoch")
        self.require(epoch)
        if segment.seal is not None:
            raise SegmentSealed("sealed")
        if segment.broken:
            raise NodeFailed("a fsync failed")
        if first > segment.last + 1:
            raise SegmentGap(segment.last)
        segment.watermark = max(segment.watermark, watermark)
        for sequence, entry in enumerate(entries, first):
            segment.entries.setdefault(sequence, entry)
        return segment.last

    def read(self, segment_id: str, after: int) -> list[tuple[int, bytes]]:
        return sorted(item for item in self._segment(segment_id).entries.items() if item[0] > after)[:5]

    def seal(self, segment_id: str, seal: Seal) -> None:
        segment = self._segment(segment_id)
        self.require(seal.epoch)
        self.promised = max(self.promised, seal.epoch)
        segment.seal = seal

    def _segment(self, segment_id: str) -> FakeSegment:
        if segment_id not in self.segments:
            raise SegmentNotFound(segment_id)
        return self.segments[segment_id]


@dataclass(slots=True, kw_only=True)
class FakeRedis:
    """One index server; its state is the list of entries' contents, which is what a real one's is a function of."""

    identity: str
    up: bool = True
    sequence: int | None = None
    restored: int | None = None
    restored_by: str = ""
    opened: str = ""
    incarnation: str = ""
    epoch: int = 0
    segment: bytes = b""
    watermark: int = 0
    history: dict[int, bytes] = field(default_factory=dict)
    stream: dict[int, bytes] = field(default_factory=dict)
    lease: tuple[str, float] = ("", 0.0)

    def commit(self, content: bytes) -> int:
        if self.sequence is None:
            raise IndexNotOpen("empty")
        self.sequence += 1
        self.history[self.sequence] = self.stream[self.sequence] = content
        return self.sequence

    def lagging_copy(self, identity: str, sequence: int) -> "FakeRedis":
        """A replica that has seen no more than change `sequence`, promoted."""
        if self.sequence is None:  # empty, or an index is being restored on it
            return replace(
                self, identity=identity, history=dict(self.history), stream=dict(self.stream), lease=("", 0.0)
            )
        kept = min(sequence, self.sequence)
        return replace(
            self,
            identity=identity,
            sequence=kept,
            watermark=min(self.watermark, kept),
            history={number: entry for number, entry in self.history.items() if number <= kept},
            stream={number: entry for number, entry in self.stream.items() if number <= kept},
            lease=("", 0.0),
        )


class World:
    """Everything of one run."""

    def __init__(self, seed: int, *, nodes: int, delay_s: float = 0.01) -> None:
        self.random = random.Random(seed)
        self.nodes = {f"n{number}": FakeNode(node_id=f"n{number}") for number in range(nodes)}
        self.redis = FakeRedis(identity="r0")
        self.delay_s = delay_s
        self.acknowledged: dict[int, bytes] = {}
        """What clients were told is safe, by number of the change."""
        self.openings: list[str] = []
        """The incarnations, in order."""
        self.violations: list[str] = []
        self.snapshot: Callable[[], tuple[int, dict[int, bytes]]] = lambda: (0, {})

    async def pause(self) -> None:
        await asyncio.sleep(self.random.random() * self.delay_s)

    def acknowledge(self, sequence: int, content: bytes, who: str) -> None:
        """A client hears of a change."""
        if self.acknowledged.setdefault(sequence, content) != content:
            self.violations.append(f"{who}: change {sequence} acknowledged as {content!r} and as another")

    def check(self, redis: FakeRedis, when: str) -> None:
        """Everything acknowledged is in the server's history, under its number."""
        for sequence, content in self.acknowledged.items():
            if redis.history.get(sequence) != content:
                found = redis.history.get(sequence)
                self.violations.append(f"{when}: change {sequence} was {content!r}, is {found!r}")


class NodeCalls:
    """JournalNodes of one process; an address is the node's id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.changes_left: int | None = None
        """After so many changes of nodes the process does nothing any more, as if it were killed there."""

    async def status(self, address: str) -> JournalStatus:
        return await self._call(address, lambda node: node.status())

    async def promise(self, address: str, epoch: int) -> JournalStatus:
        return await self._call(address, lambda node: node.promise(epoch))

    async def create(self, address: str, header: SegmentHeader) -> None:
        await self._call(address, lambda node: node.create(header))

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
        sent = list(entries)
        return await self._call(address, lambda node: node.append(segment_id, epoch, watermark, first_sequence, sent))

    async def read(self, address: str, segment_id: str, *, after: int, limit_bytes: int) -> list[tuple[int, bytes]]:
        return await self._call(address, lambda node: node.read(segment_id, after))

    async def seal(self, address: str, segment_id: str, seal: Seal) -> None:
        await self._call(address, lambda node: node.seal(segment_id, seal))

    async def holds_bytes(self, address: str) -> bool:
        return await self._call(address, lambda node: node.holds_bytes)

    async def _call(self, address: str, effect: Callable[[FakeNode], _Answer]) -> _Answer:
        await self._world.pause()
        node = self._world.nodes[address]
        if not node.up:
            raise NodeUnreachable(address)
        if self.changes_left is not None:
            if self.changes_left == 0:
                await asyncio.Event().wait()
            self.changes_left -= 1
        answer = effect(node)
        await self._world.pause()
        if not node.up:
            raise NodeUnreachable(address)
        return answer


class FakeRoster:
    """The node table of one process, with suspicions of its own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._suspects: dict[str, float] = {}

    def nodes(self) -> list[JournalNode]:
        now = asyncio.get_running_loop().time()
        return [
            JournalNode(
                node_id=node.node_id,
                zone=node.node_id,
                weight=1.0,
                address=node.node_id,
                live=True,
                accepting=node.accepting,
                expected=True,
                suspect=self._suspects.get(node.node_id, -1.0) > now,
            )
            for node in self._world.nodes.values()
            if node.registered
        ]

    async def refresh(self) -> None:
        await self._world.pause()

    def failed(self, node_id: str) -> None:
        self._suspects[node_id] = asyncio.get_running_loop().time() + 2.0


class FakeFeed:
    """A connection of one process to an index server: guarded, it is bound to one server and incarnation at a time."""

    def __init__(self, world: World, *, guarded: bool) -> None:
        self._world = world
        self._guarded = guarded
        self._server: FakeRedis | None = None
        self.incarnation = ""
        self.pinned: FakeRedis | None = None
        """A process that still finds a server that is the master for nobody else."""
        self.recognise: Callable[[str], None] = lambda _: None

    def drop(self, reason: str) -> None:
        self._server, self.incarnation = None, ""

    def server(self) -> FakeRedis:
        """The server that a call reaches now. Raises IndexUnavailable, IndexNotOpen."""
        target = self.pinned or self._world.redis
        if self._server is None or not self._server.up or not self._guarded:
            if not target.up:
                raise IndexUnavailable("away", maybe_applied=False)
            if self._guarded:
                if target.opened != target.identity:
                    raise IndexNotOpen("not opened")
                self.recognise(target.incarnation)
            self._server, self.incarnation = target, target.incarnation
        return self._server

    async def commit(self, content: bytes) -> tuple[int, str]:
        """A change; its number and incarnation."""
        return await self._call(lambda redis: (redis.commit(content), self.incarnation))

    async def read_state(self) -> JournalState:
        return await self._call(
            lambda redis: JournalState(
                identity=redis.identity,
                is_master=True,
                opened=redis.opened,
                incarnation=redis.incarnation,
                epoch=redis.epoch,
                segment=redis.segment,
                watermark=redis.watermark,
                sequence=redis.sequence,
                restored=redis.restored,
            )
        )

    async def entries(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        def look(redis: FakeRedis) -> list[tuple[int, bytes]]:
            found: list[tuple[int, bytes]] = []
            while len(found) < limit and after + 1 + len(found) in redis.stream:
                number = after + 1 + len(found)
                found.append((number, redis.stream[number]))
            return found

        return await self._call(look)

    async def advance(self, *, epoch: int, watermark: int) -> bool:
        def note(redis: FakeRedis) -> bool:
            if redis.epoch != epoch:
                return False
            redis.watermark = max(redis.watermark, watermark)
            for number in [number for number in redis.stream if number <= redis.watermark - ENTRIES_KEPT]:
                del redis.stream[number]
            return True

        return await self._call(note)

    async def set_segment(self, *, old_epoch: int, epoch: int, segment: bytes) -> bool:
        def note(redis: FakeRedis) -> bool:
            if redis.epoch != old_epoch:
                return False
            redis.epoch, redis.segment = epoch, segment
            return True

        return await self._call(note)

    async def open(
        self,
        *,
        identity: str,
        incarnation: str,
        epoch: int,
        segment: bytes,
        watermark: int,
        old_epoch: int | None = None,
        token: str = "",
    ) -> bool:
        def note(redis: FakeRedis) -> bool:
            if old_epoch is not None and redis.epoch != old_epoch:
                return False
            if redis.restored is not None and token and token != redis.restored_by:
                return False
            at = redis.restored if redis.restored is not None else redis.sequence or 0
            if at < watermark:
                raise IndexNotOpen("emptied meanwhile")
            if redis.restored is not None:
                redis.sequence, redis.restored, redis.stream = redis.restored, None, {}
            elif redis.sequence is None:
                redis.sequence = watermark
            redis.opened, redis.incarnation = identity, incarnation
            redis.epoch, redis.segment, redis.watermark = epoch, segment, watermark
            if redis.identity == identity:
                self._world.openings.append(incarnation)
                self._world.check(redis, incarnation)
            return True

        return await self._call(note)

    async def replay(self, entries: Sequence[tuple[int, bytes]], claim: RestoreClaim) -> int:
        def apply(redis: FakeRedis) -> int:
            if redis.restored is not None:
                self._require_claim(redis, claim)
            elif redis.sequence is None or redis.epoch != claim.old_epoch:
                raise IndexNotOpen("another recovery came first")
            at = redis.restored if redis.restored is not None else redis.sequence or 0
            for number, content in entries:
                if number > at + 1:
                    raise ReplayGap(str(number))
                if number == at + 1:
                    redis.history[number] = content
                    at = number
            if redis.restored is not None:
                redis.restored = at
            else:
                redis.sequence = at
            return at

        return await self._call(apply)

    async def begin_restore(self, claim: RestoreClaim) -> None:
        def wipe(redis: FakeRedis) -> None:
            if redis.epoch != claim.old_epoch:
                raise IndexNotOpen("another recovery came first")
            redis.sequence, redis.opened, redis.restored, redis.restored_by = None, "", 0, claim.token
            redis.history, redis.stream = {}, {}

        await self._call(wipe)

    async def load(self, history: dict[int, bytes], claim: RestoreClaim) -> None:
        """What a snapshot has."""

        def fill(redis: FakeRedis) -> None:
            self._require_claim(redis, claim)
            redis.history.update(history)

        await self._call(fill)

    async def end_restore(self, sequence: int, claim: RestoreClaim) -> None:
        def note(redis: FakeRedis) -> None:
            self._require_claim(redis, claim)
            redis.restored = sequence

        await self._call(note)

    def _require_claim(self, redis: FakeRedis, claim: RestoreClaim) -> None:
        if redis.restored is None or redis.restored_by != claim.token:
            raise IndexNotOpen("another recovery came first, or it was emptied meanwhile")

    async def try_recovery_lease(self, holder: str, *, ttl_ms: int) -> bool:
        now = asyncio.get_running_loop().time()

        def take(redis: FakeRedis) -> bool:
            if redis.lease[0] not in ("", holder) and redis.lease[1] > now:
                return False
            redis.lease = (holder, now + ttl_ms / 1000)
            return True

        return await self._call(take)

    async def release_recovery_lease(self, holder: str) -> None:
        def leave(redis: FakeRedis) -> None:
            if redis.lease[0] == holder:
                redis.lease = ("", 0.0)

        await self._call(leave)

    async def _call(self, effect: Callable[[FakeRedis], _Answer]) -> _Answer:
        await self._world.pause()
        redis = self.server()
        answer = effect(redis)
        await self._world.pause()
        if not redis.up:
            self.drop("lost")
            raise IndexUnavailable("lost", maybe_applied=True)
        return answer


@dataclass(slots=True, kw_only=True)
class Process:
    """One gateway."""

    name: str
    world: World
    feed: FakeFeed
    raw: FakeFeed
    nodes: NodeCalls
    journal: Journal

    async def change(self, content: bytes) -> int:
        """Make a change and return its number once it is acknowledged. Raises IndexUnavailable."""
        self.journal.admit()
        sequence, incarnation = await self.feed.commit(content)
        await self.journal.reach(sequence, incarnation=incarnation)
        self.world.acknowledge(sequence, content, self.name)
        return sequence

    async def is_open(self, timeout_s: float = 60.0) -> None:
        await self.journal.wait_until_open(timeout_s)


def make_process(world: World, name: str, *, expected_nodes: int | None = None, timeout_s: float = 10.0) -> Process:
    """A process that is not started: enter its journal. It expects all nodes unless it is told how many; 0: unknown."""
    rng = random.Random(world.random.random())
    nodes, roster, placing = NodeCalls(world), FakeRoster(world), Placing()
    feed, raw = FakeFeed(world, guarded=True), FakeFeed(world, guarded=False)
    changer = SegmentChanger(nodes, roster, placing, random_bits=rng.getrandbits)

    async def restore(_say: Callable[[str], None], claim: RestoreClaim) -> int:
        sequence, history = world.snapshot()
        if not sequence:
            return 0
        await raw.begin_restore(claim)
        await raw.load(history, claim)
        await raw.end_restore(sequence, claim)
        return sequence

    recovery = Recovery(
        feed=raw,
        changer=changer,
        nodes=nodes,
        roster=roster,
        restore=restore,
        holds_bytes=nodes.holds_bytes,
        expected_nodes=len(world.nodes) if expected_nodes is None else expected_nodes,
        settled_after_s=SETTLED_AFTER_S,
        holder=name,
    )
    journal = Journal(
        connection=feed,
        feed=feed,
        changer=changer,
        recovery=recovery,
        nodes=nodes,
        roster=roster,
        placing=placing,
        timeout_s=timeout_s,
        random=rng.random,
    )
    feed.recognise = journal.recognise
    return Process(name=name, world=world, feed=feed, raw=raw, nodes=nodes, journal=journal)


@asynccontextmanager
async def running(
    world: World, name: str, *, expected_nodes: int | None = None, timeout_s: float = 10.0
) -> AsyncIterator[Process]:
    """A process that lives as long as the block."""
    process = make_process(world, name, expected_nodes=expected_nodes, timeout_s=timeout_s)
    async with process.journal:
        yield process
