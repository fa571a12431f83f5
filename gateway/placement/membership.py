"""The node table: which storage nodes there are, where, how full, alive or not, and lately hard to reach.

Reads what the nodes' heartbeats write into Redis, and what an administrator said of nodes; keeps no state there. While
Redis is away the last table stands, so that reads under way go on. Suspicion (failures seen by this process) is local
and short-lived.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import structlog

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import IndexFailure
from gateway.index.node_states import NodeState, parse_node_states
from gateway.placement.rendezvous import Candidate

REFRESH_INTERVAL_S = 1.0

FIRST_SUSPICION_S = 2.0
"""After one failure; doubled by each further one in a row. A restarting node is back in about that time."""

LONGEST_SUSPICION_S = 30.0
"""Bounds how long a node that is back stays unused; heartbeats decide about longer absences."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Candidate):
    """One storage node as of its last heartbeat. Its weight is its free space."""

    address: str
    """host:port of its internal protocol."""
    capacity_bytes: int
    free_bytes: int
    accepting: bool
    """It takes new blobs: not draining, not full, not stopping."""
    stopped: bool
    """It said goodbye."""
    live: bool
    """Its last heartbeat was within NODE_TIMEOUT by Redis's clock, and it did not say goodbye."""
    boot: str = ""
    """Differs for each start of its process."""
    silent_s: float = 0.0
    """Since its last heartbeat, by Redis's clock."""
    draining: bool = False
    """An administrator wants everything moved away from it: it takes no new blobs."""
    removed: bool = False
    """An administrator took it out of the cluster; while it answers, bytes may still be read from it."""
    state_since_ms: int = 0
    """Since when it is draining or removed, by Redis's clock."""


@dataclass(slots=True, kw_only=True)
class _Suspicion:
    failures: int
    until: float
    process: tuple[str, str] | None
    """Address and boot of what failed: a node that has others by now was started again."""


class Membership:
    """The table, refreshed every second while started and whenever asked."""

    def __init__(
        self,
        connection: Connection,
        *,
        node_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives monotonic seconds, `wall_clock` those since the epoch."""
        self._connection = connection
        self._node_timeout_s = node_timeout_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._ahead_s = 0.0
        self._nodes: dict[str, Node] = {}
        self._removed: set[str] = set()
        self._read_at = float("-inf")
        self._suspicions: dict[str, _Suspicion] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._loop_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Read the table once and keep it fresh. Without Redis it starts empty and keeps trying."""
        try:
            await self.refresh()
        except IndexFailure as error:
            _log.warning("node table unreadable", error=str(error))
        self._loop_task = asyncio.create_task(self._refresh_forever(), name="membership")

    async def aclose(self) -> None:
        tasks = [task for task in (self._loop_task, self._refreshing) if task is not None]
        self._loop_task = self._refreshing = None
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, IndexFailure):
                await task

    async def refresh(self, *, maximum_age_s: float = 0.0) -> None:
        """Read the table unless it is younger than `maximum_age_s`; callers at the same time share one read.

        Raises IndexUnavailable.
        """
        if self._clock() - self._read_at < maximum_age_s:
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read_table(), name="membership-read")
        # Shielded: one caller that is cancelled must not take the read from the others.
        await asyncio.shield(self._refreshing)

    async def refresh_if_possible(self, *, maximum_age_s: float = 0.0) -> None:
        """Like `refresh`, but while Redis is away the old table has to do."""
        with contextlib.suppress(IndexFailure):
            await self.refresh(maximum_age_s=maximum_age_s)

    def nodes(self) -> list[Node]:
        """Every node that ever registered and was not removed, dead ones included."""
        return [node for node in self._nodes.values() if not node.removed]

    def node(self, node_id: str) -> Node | None:
        """One of `nodes`, or a removed one whose heartbeat is still in the table."""
        return self._nodes.get(node_id)

    def removed_nodes(self) -> list[Node]:
        """Those that an administrator took out of the cluster and that are still in the table."""
        return [node for node in self._nodes.values() if node.removed]

    def was_removed(self, node_id: str) -> bool:
        """Whether an administrator took the node out of the cluster, be it still in the table or not."""
        return node_id in self._removed

    def expected_nodes(self) -> list[Node]:
        """The nodes that the cluster is made of: all but those that said goodbye or are to leave. One that died still
        counts, or its death would lower how many copies a write must reach.
        """
        return [node for node in self._nodes.values() if not (node.stopped or node.draining or node.removed)]

    def live_nodes(self) -> list[Node]:
        return [node for node in self._nodes.values() if node.live and not node.removed]

    def writable_nodes(self, size_bytes: int) -> list[Node]:
        """Live nodes that accept new blobs and have room for one of `size_bytes`; suspects included."""
        return [node for node in self._nodes.values() if node.live and node.accepting and node.free_bytes >= size_bytes]

    def now_ms(self) -> int:
        """Milliseconds since the epoch by Redis's clock, as of the last refresh.

        Write ids are made from this: they are ordered, and aged by the orphan worker, in one time for all
        gateways, however wrong their own clocks are.
        """
        return int((self._wall_clock() + self._ahead_s) * 1000)

    def suspects(self, node_id: str) -> bool:
        """Whether the node failed so recently that it is better avoided."""
        suspicion = self._suspicions.get(node_id)
        if suspicion is None or self._clock() >= suspicion.until:
            return False
        return suspicion.process == self._process_of(node_id)

    def node_failed(self, node_id: str) -> None:
        """A connection to the node failed, broke or stalled."""
        process = self._process_of(node_id)
        suspicion = self._suspicions.get(node_id)
        if suspicion is None or suspicion.process != process:
            suspicion = self._suspicions[node_id] = _Suspicion(failures=0, until=0.0, process=process)
        if self._clock() < suspicion.until:
            return  # of the same outage: many requests notice it at once
        suspicion.until = self._clock() + min(FIRST_SUSPICION_S * 2**suspicion.failures, LONGEST_SUSPICION_S)
        suspicion.failures += 1

    def node_answered(self, node_id: str) -> None:
        """The node did what it was asked."""
        self._suspicions.pop(node_id, None)

    def _process_of(self, node_id: str) -> tuple[str, str] | None:
        node = self._nodes.get(node_id)
        return (node.address, node.boot) if node is not None else None

    async def _refresh_forever(self) -> None:
        reachable = True
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            try:
                await self.refresh(maximum_age_s=REFRESH_INTERVAL_S / 2)
            except IndexFailure as error:
                if reachable:
                    _log.warning("node table unreadable, the last one stands", error=str(error))
                reachable = False
            else:
                reachable = True

    async def _read_table(self) -> None:
        asked_at = self._wall_clock()
        seconds, microseconds = await self._connection.command("TIME")
        now_s = int(seconds) + int(microseconds) / 1e6
        self._ahead_s = now_s - (asked_at + self._wall_clock()) / 2
        heartbeats = await self._connection.command("HVALS", keys.nodes())
        states = parse_node_states(await self._connection.command("HGETALL", keys.node_states()))
        self._removed = {node_id for node_id, (state, _) in states.items() if state is NodeState.REMOVED}
        nodes = (_with_state(node, states.get(node.node_id)) for node in self._parse_table(heartbeats, now_s))
        self._nodes = {node.node_id: node for node in nodes}
        self._read_at = self._clock()

    def _parse_table(self, heartbeats: Iterable[Any], now_s: float) -> Iterable[Node]:
        for heartbeat in heartbeats:
            try:
                yield parse_heartbeat(heartbeat, now_s=now_s, node_timeout_s=self._node_timeout_s)
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("heartbeat not understood", error=str(error), heartbeat=str(heartbeat)[:200])


def parse_heartbeat(heartbeat: str | bytes, *, now_s: float, node_timeout_s: float) -> Node:
    """One value of the node table; `now_s` is Redis's time, which also stamps heartbeats.

    Raises ValueError, KeyError or TypeError for anything else than a heartbeat.
    """
    fields = json.loads(heartbeat)
    if not isinstance(fields, dict):
        raise TypeError("a heartbeat is a JSON object")
    stopped = bool(fields.get("stopped", False))
    return Node(
        node_id=str(fields["node_id"]),
        weight=float(fields["free_bytes"]),
        address=str(fields["address"]),
        zone=str(fields["zone"]),
        capacity_bytes=int(fields["capacity_bytes"]),
        free_bytes=int(fields["free_bytes"]),
        accepting=bool(fields["accepting"]) and not stopped,
        stopped=stopped,
        live=not stopped and now_s - float(fields["heartbeat_at"]) <= node_timeout_s,
        boot=str(fields.get("boot", "")),
        silent_s=max(now_s - float(fields["heartbeat_at"]), 0.0),
    )


def _with_state(node: Node, state: tuple[NodeState, int] | None) -> Node:
    if state is None:
        return node
    return replace(
        node,
        accepting=False,
        draining=state[0] is NodeState.DRAINING,
        removed=state[0] is NodeState.REMOVED,
        state_since_ms=state[1],
    )
