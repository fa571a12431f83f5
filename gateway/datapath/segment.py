"""The writing of one segment to its replicas at the same time: launch, replace, drop, settle.

A replica that fails while all blocks sent so far are still in the window is replaced by another node and sent
everything again; later ones are dropped while a majority remains. A replica that takes nothing for a while is
dropped too, as long as it is not needed for the majority; NodeClient's own timeouts bound the rest.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from gateway.datapath.cleanup import BlobAt
from gateway.datapath.damage import DamageSink, log_damage
from gateway.datapath.errors import NotEnoughNodes, WriteFailed
from gateway.datapath.window import WINDOW_BYTES, BlockWindow, Cursor
from gateway.index.records import Segment
from gateway.placement.membership import Membership, Node
from gateway.placement.rendezvous import choose
from storagenode.client import NodeClient, NodeError, NodeFailed, NodeUnreachable, StoredBlob
from storagenode.protocol import blob_id

MAXIMUM_TRIES_PER_REPLICA = 3
"""A write that finds no room on three times the nodes it needs says so, and does not try a hundred more."""

CHECKS = 4
"""In how many steps patience runs out: a pause of this very process, however long, uses up only one."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a write waits for a node that it could do without, in seconds."""

    stall_s: float = 5.0
    """Without taking a block that is there to be taken."""
    straggler_s: float = 3.0
    """For acknowledgements beyond the majority; an fsync of 64 MiB on a busy disk takes a second or two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteJob:
    """What all segments of one write share."""

    write_id: str
    origin: bytes
    replicas: int
    client: NodeClient
    membership: Membership
    patience: Patience = field(default_factory=Patience)
    damage: DamageSink = log_damage
    clock: Callable[[], float] = time.monotonic

    @property
    def quorum(self) -> int:
        """A majority of the replicas."""
        return self.replicas // 2 + 1


@dataclass(slots=True, kw_only=True, eq=False)
class _Replica:
    node: Node
    cursor: Cursor
    seen_position: int = -1
    strikes: int = 0
    """Checks in a row that found the cursor at `seen_position` with blocks to take."""
    task: asyncio.Task[None] | None = None
    stored: StoredBlob | None = None


class SegmentWrite:
    """One segment under way: `start`, `push` each block, `settle`; or `abort` at any time."""

    def __init__(self, job: WriteJob, *, number: int, size_bytes: int) -> None:
        self.number = number
        self.size_bytes = size_bytes
        self.pushed_bytes = 0
        self._job = job
        self._blob_id = blob_id(job.write_id, number)
        self._changed = asyncio.Event()
        self._window = BlockWindow(limit_bytes=WINDOW_BYTES, on_space=self._changed.set)
        self._running: list[_Replica] = []
        self._stored: list[_Replica] = []
        self._tried: dict[str, asyncio.Task[None]] = {}  # by node id, every node that got a put
        self._failure: BaseException | None = None
        self._reasons: list[str] = []
        self._checked_at = job.clock()
        self._most_tries = job.replicas * MAXIMUM_TRIES_PER_REPLICA

    async def start(self, block: bytes) -> None:
        """Choose nodes and begin to send with the first block. Raises NotEnoughNodes."""
        self.pushed_bytes = len(block)
        self._window.append(block)
        if len(block) == self.size_bytes:
            self._window.close()
        nodes = self._pick(self._job.replicas, needed=self._job.quorum)
        if len(nodes) < self._job.quorum:
            await self._job.membership.refresh_if_possible(maximum_age_s=0.1)
            nodes = self._pick(self._job.replicas, needed=self._job.quorum)
        if len(nodes) < self._job.quorum:
            raise NotEnoughNodes(available=len(nodes), needed=self._job.quorum)
        for node in nodes:
            self._launch(node)

    async def push(self, block: bytes) -> None:
        """Hand on a further block; waits while the slowest replica is a window behind. Raises WriteFailed."""
        self.pushed_bytes += len(block)
        self._window.append(block)
        self._raise_failure()
        while self._window.full:
            if await self._wait(self._job.patience.stall_s):
                self._drop_stalled()

    async def settle(self) -> Segment:
        """All blocks were pushed: wait for the acknowledgements. Raises WriteFailed."""
        self._window.close()
        self._raise_failure()
        while self._running and len(self._stored) < self._job.quorum:
            if await self._wait(self._job.patience.stall_s):
                self._drop_stalled()
        for _ in range(CHECKS):
            while self._running and not await self._wait(self._job.patience.straggler_s):
                pass
        self._drop_stragglers()
        self._raise_failure()
        return self._agreed()

    def abort(self) -> tuple[list[BlobAt], list[asyncio.Task[None]]]:
        """Stop sending; gives the blobs that may be on nodes and the tasks that are ending."""
        for replica in self._running:
            # A put that is only waiting for its answer is let end: the node would store the blob anyway, and
            # perhaps only after it was told to delete it.
            if replica.task is not None and not self._window.sent_all(replica.cursor):
                replica.task.cancel()
        return [(node_id, self._blob_id) for node_id in self._tried], list(self._tried.values())

    def leftovers(self, segment: Segment) -> list[BlobAt]:
        """After `settle`: blobs that may be on nodes which are not among those of the segment."""
        return [(node_id, self._blob_id) for node_id in self._tried if node_id not in segment.nodes]

    def _pick(self, count: int, *, needed: int) -> list[Node]:
        """Up to `count` nodes not tried yet; ones that failed lately only to make up `needed`."""
        membership = self._job.membership
        untried = [node for node in membership.writable_nodes(self.size_bytes) if node.node_id not in self._tried]
        trusted = [node for node in untried if not membership.suspects(node.node_id)]
        picked = self._choose(trusted, count)
        if len(picked) < needed:
            others = [node for node in untried if membership.suspects(node.node_id)]
            picked += self._choose(others, needed - len(picked))
        return picked

    def _choose(self, nodes: list[Node], count: int) -> list[Node]:
        zones = [replica.node.zone for replica in (*self._running, *self._stored)]
        return choose(self._job.write_id, self.number, nodes, count, taken_zones=zones)

    def _launch(self, node: Node) -> None:
        replica = _Replica(node=node, cursor=self._window.open_cursor())
        replica.task = asyncio.create_task(self._store(replica), name=f"put {self._blob_id}")
        replica.task.add_done_callback(self._note_crash)
        self._running.append(replica)
        self._tried[node.node_id] = replica.task

    async def _store(self, replica: _Replica) -> None:
        # A small object is handed over whole: header and body then leave in one segment of TCP.
        body = self._window.take_whole(replica.cursor) or replica.cursor
        try:
            replica.stored = await self._job.client.put(
                replica.node.address,
                self._blob_id,
                size_bytes=self.size_bytes,
                origin=self._job.origin,
                body=body,
            )
        except NodeError as error:
            if isinstance(error, NodeUnreachable | NodeFailed):
                self._job.membership.node_failed(replica.node.node_id)
            self._lose(replica, f"{type(error).__name__}: {error}")
            return
        self._job.membership.node_answered(replica.node.node_id)
        if replica not in self._running:
            return  # dropped while the answer was already on its way to this task
        self._running.remove(replica)
        self._stored.append(replica)
        self._window.drop_cursor(replica.cursor)
        self._changed.set()

    def _lose(self, replica: _Replica, reason: str, *, replace: bool = True) -> None:
        """The replica failed or was dropped: put another node in its place, or see whether enough remain."""
        if replica not in self._running:
            return
        _log.warning("replica lost", blob=self._blob_id, node=replica.node.node_id, reason=reason)
        self._reasons.append(f"{replica.node.node_id}: {reason}")
        self._running.remove(replica)
        missing = self._job.quorum - len(self._running) - len(self._stored)
        if replace and self._window.replayable and len(self._tried) < self._most_tries:
            for node in self._pick(1, needed=min(missing, 1)):
                self._launch(node)
                missing -= 1
        self._window.drop_cursor(replica.cursor)
        if missing > 0 and self._failure is None:
            self._failure = WriteFailed(
                f"blob {self._blob_id}: {missing} replicas short of a majority: {'; '.join(self._reasons)}"
            )
        self._changed.set()

    def _drop_stalled(self) -> None:
        """Drop replicas that take nothing, as long as they are not needed or can be replaced."""
        for replica in list(self._running):
            position = replica.cursor.position
            moved = position != replica.seen_position or self._window.exhausted(replica.cursor)
            replica.seen_position, replica.strikes = position, 0 if moved else replica.strikes + 1
            if replica.strikes < CHECKS:
                continue
            spare = len(self._running) + len(self._stored) > self._job.quorum
            if spare or (self._window.replayable and self._pick(1, needed=1)):
                self._job.membership.node_failed(replica.node.node_id)
                self._drop(replica, "took nothing for too long")

    def _drop_stragglers(self) -> None:
        for replica in list(self._running):
            self._job.membership.node_failed(replica.node.node_id)
            self._drop(replica, "did not acknowledge long after the majority had", replace=False)

    def _drop(self, replica: _Replica, reason: str, *, replace: bool = True) -> None:
        if replica.task is not None:
            replica.task.cancel()
        self._lose(replica, reason, replace=replace)

    def _note_crash(self, task: asyncio.Task[None]) -> None:
        """Whatever is not a NodeError is a fault of ours; it must end the write and not hang it."""
        if not task.cancelled() and (crash := task.exception()) is not None:
            self._failure = self._failure or crash
            self._changed.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _wait(self, patience_s: float) -> bool:
        """Wait until something changed or it is time for the next of the CHECKS into which `patience_s` is cut.

        True when it is time. Raises what has ended the write.
        """
        due = self._checked_at + patience_s / CHECKS
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(due - self._job.clock(), 0.0)):
                await self._changed.wait()
        self._raise_failure()
        if (now := self._job.clock()) < due:
            return False
        self._checked_at = now
        return True

    def _agreed(self) -> Segment:
        """The replicas that hold the same bytes; NodeClient compared each with what was sent."""
        held = Counter((one.stored.size_bytes, one.stored.digest) for one in self._stored if one.stored)
        (agreed, count), *_ = held.most_common(1) or [((0, b""), 0)]
        if agreed[0] != self.size_bytes or count < self._job.quorum:
            raise WriteFailed(f"blob {self._blob_id}: replicas hold different bytes")
        nodes = [
            one.node.node_id
            for one in self._stored
            if one.stored and (one.stored.size_bytes, one.stored.digest) == agreed
        ]
        return Segment(number=self.number, size_bytes=self.size_bytes, nodes=tuple(nodes))
