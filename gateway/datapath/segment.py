"""The writing of one segment to its replicas at the same time: launch, replace, drop, settle.

A replica that fails while all blocks sent so far are still in the window is replaced by another node and sent
everything again; later ones are dropped while a quorum remains.

A node that has gone quiet is asked for a sign of life (probe.py). How long a write waits for one that is needed, with
the default Patience and another node to turn to, for each node that it meets so:

    refuses the connection        not at all
    gives no sign of life         2 s (quiet_s + probe_s) while all can be sent again; later the write fails after
                                  4 s at most (stall_s + probe_s), so that whoever sends can turn to other nodes
    is alive, takes nothing       3 s (stall_s) while all can be sent again
    is alive, syncs for long      3 s (stall_s) until another node is asked beside it; the first to acknowledge counts

A node that is not needed is waited for 3 s beyond the quorum (straggler_s). Where there is no other node, or only a
slow disk holds up a segment of which blocks were let go, NodeClient's idle timeout (30 s) is the bound.
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
from gateway.datapath.probe import NodeProbe
from gateway.datapath.window import WINDOW_BYTES, BlockWindow, Cursor
from gateway.index.records import Segment
from gateway.placement.membership import Membership, Node
from gateway.placement.rendezvous import choose
from storagenode.client import NodeClient, NodeError, NodeFailed, NodeUnreachable, StoredBlob
from storagenode.protocol import blob_id

MAXIMUM_TRIES_PER_REPLICA = 3
"""A write that finds no room on three times the nodes it needs says so, and does not try a hundred more."""

CHECKS = 4
"""In how many steps patience runs out, at least: a pause of this very process, however long, uses up only one."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a write waits for a node that keeps it waiting, in seconds."""

    quiet_s: float = 1.0
    """Without taking a block that is there, or acknowledging the last one: the node is asked for a sign of life."""
    probe_s: float = 1.0
    """For that sign. It needs no disk, so a node that gives none is as good as dead."""
    stall_s: float = 3.0
    """As `quiet_s`, though the node is alive: another one is asked, where that is possible."""
    straggler_s: float = 3.0
    """For acknowledgements beyond the quorum; an fsync of 64 MiB on a busy disk takes a second or two."""

    @property
    def tick_s(self) -> float:
        """How often those who keep a write waiting are looked at."""
        return min(self.quiet_s, self.stall_s, self.straggler_s) / CHECKS


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteJob:
    """What all segments of one write share."""

    write_id: str
    origin: bytes
    replicas: int
    quorum: int
    """How many must have a segment durably before it counts as stored."""
    client: NodeClient
    membership: Membership
    probe: NodeProbe
    patience: Patience = field(default_factory=Patience)
    damage: DamageSink = log_damage
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True, kw_only=True, eq=False)
class _Replica:
    node: Node
    cursor: Cursor
    seen_position: int = -1
    quiet_s: float = 0.0
    """For how long the cursor has been at `seen_position` with the next step due to the node."""
    probe: asyncio.Task[bool] | None = None
    probe_due_s: float = 0.0
    """How quiet it must be before it is asked for a sign of life, the next time."""
    relieved: bool = False
    """Another node was asked beside it."""
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
            if await self._wait():
                self._look_at_the_quiet()

    async def settle(self) -> Segment:
        """All blocks were pushed: wait for the acknowledgements. Raises WriteFailed."""
        self._window.close()
        self._raise_failure()
        late_s = 0.0
        while self._running and len(self._stored) < self._job.replicas and late_s < self._job.patience.straggler_s:
            if await self._wait():
                self._look_at_the_quiet()
                late_s += self._job.patience.tick_s if len(self._stored) >= self._job.quorum else 0.0
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
        # Who is asked beside a slow replica is to be in its zone, as if that had gone already.
        zones = [replica.node.zone for replica in (*self._running, *self._stored) if not replica.relieved]
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
                node_id=replica.node.node_id,
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
        remaining = len(self._running) + len(self._stored)
        missing = self._job.quorum - remaining
        if replace and remaining < self._job.replicas and self._can_send_again:
            for node in self._pick(1, needed=min(missing, 1)):
                self._launch(node)
                missing -= 1
        self._window.drop_cursor(replica.cursor)
        if missing > 0 and self._failure is None:
            self._failure = WriteFailed(
                f"blob {self._blob_id}: {missing} replicas short of the {self._job.quorum} that are needed: "
                f"{'; '.join(self._reasons)}"
            )
        self._changed.set()

    @property
    def _can_send_again(self) -> bool:
        return self._window.replayable and len(self._tried) < self._most_tries

    def _look_at_the_quiet(self) -> None:
        """Once a tick, while the write waits: leave replicas that are dead or stalled, where that is possible."""
        patience = self._job.patience
        for replica in list(self._running):
            self._note_progress(replica)
            if replica.quiet_s >= max(patience.quiet_s, replica.probe_due_s) and replica.probe is None:
                replica.probe = self._job.probe.ask(replica.node.address)
            if replica.probe is not None and replica.probe.done():
                is_alive = not replica.probe.cancelled() and replica.probe.result()
                replica.probe, replica.probe_due_s = None, replica.quiet_s + patience.quiet_s
                if not is_alive:
                    self._leave_dead(replica)
                    continue
            if replica.quiet_s >= patience.stall_s:
                self._leave_stalled(replica)

    def _note_progress(self, replica: _Replica) -> None:
        position = replica.cursor.position
        waits_for_us = self._window.exhausted(replica.cursor) and not self._window.sent_all(replica.cursor)
        if waits_for_us or position != replica.seen_position:
            replica.seen_position, replica.quiet_s, replica.probe, replica.probe_due_s = position, 0.0, None, 0.0
        else:
            replica.quiet_s += self._job.patience.tick_s

    def _is_dispensable(self) -> bool:
        """Whether one replica less leaves a quorum, or could be made good."""
        spare = len(self._running) + len(self._stored) > self._job.quorum
        return spare or (self._can_send_again and bool(self._pick(1, needed=1)))

    def _leave_dead(self, replica: _Replica) -> None:
        """It gave no sign of life. Without it the write may fail, if other nodes can take what is sent once more."""
        is_beyond_hope = replica.quiet_s >= self._job.patience.stall_s and bool(self._pick(1, needed=0))
        if self._is_dispensable() or is_beyond_hope:
            self._job.membership.node_failed(replica.node.node_id)
            self._drop(replica, "gave no sign of life")

    def _leave_stalled(self, replica: _Replica) -> None:
        """It is alive, as far as is known, and does not get on."""
        if not self._window.sent_all(replica.cursor):
            if self._is_dispensable():
                self._job.membership.node_failed(replica.node.node_id)
                self._drop(replica, "took nothing for too long")
        elif not replica.relieved and len(self._stored) < self._job.quorum and self._can_send_again:
            replica.relieved = True  # looked at by _pick
            company = self._pick(1, needed=1)
            replica.relieved = bool(company)
            for node in company:
                self._launch(node)

    def _drop_stragglers(self) -> None:
        """Enough have acknowledged, or the others have had their time."""
        is_late = len(self._stored) < self._job.replicas
        for replica in list(self._running):
            if is_late or replica.relieved:
                self._job.membership.node_failed(replica.node.node_id)
            self._drop(replica, "did not acknowledge long after the others had", replace=False)

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

    async def _wait(self) -> bool:
        """Wait until something changed or the next tick is due; True when it is. Raises what has ended the write."""
        due = self._checked_at + self._job.patience.tick_s
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
        holders = [
            one.node for one in self._stored if one.stored and (one.stored.size_bytes, one.stored.digest) == agreed
        ]
        # One more than wanted where a node was asked beside a slow one, and both have it now.
        kept = choose(self._job.write_id, self.number, holders, self._job.replicas)
        return Segment(number=self.number, size_bytes=self.size_bytes, nodes=tuple(node.node_id for node in kept))
