"""Gathers the status of a cluster: each section by itself, so that what is down hides nothing but itself.

Everything is read over a connection without a guard, and from the nodes directly: a status must come also while the
index is not open. Every question has a time limit; a section that fails is named with its reason.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.index import keys
from gateway.index.accounting import Holding, reclaim_account
from gateway.index.connection import Connection, check_durability
from gateway.index.errors import IndexFailure
from gateway.index.event_targets import EventCursor, EventFailure
from gateway.index.journal_feed import JournalFeed, JournalState
from gateway.index.repair_records import RepairClass, RepairItem
from gateway.index.store import Index
from gateway.placement.membership import Membership, Node
from gateway.settings import GatewaySettings
from gateway.status.advice import repair_advice
from gateway.status.journal import ask_journal, journal_report
from gateway.status.nodes import ask_nodes, node_reports
from gateway.status.report import (
    IndexReport,
    JournalReport,
    NodeReport,
    ReclaimReport,
    RedundancyReport,
    RepairFailure,
    RepairsReport,
    Waiting,
)
from storagenode.client import NodeClient, NodeError
from storagenode.protocol import blob_id

SECTION_TIMEOUT_S = 10.0
TRASH_ENTRIES = 50_000
"""Looked at of the trash: about a second."""
RECLAIM_FAILS_AFTER_MS = 5 * 60 * 1000
"""What a worker was handed that long ago and did not finish."""

WORKER_LEASE = "background"

_Value = TypeVar("_Value")


@dataclass(slots=True, kw_only=True)
class Gathered:
    """All that was found out; None is unknown, and then `unknown` tells why."""

    at_ms: int
    nodes: Sequence[NodeReport] = ()
    nodes_from_index: bool = False
    index: IndexReport | None = None
    journal: JournalReport | None = None
    redundancy: RedundancyReport | None = None
    repairs: RepairsReport | None = None
    reclaim: ReclaimReport | None = None
    event_cursors: Mapping[str, EventCursor] = field(default_factory=dict)
    event_failures: Mapping[str, EventFailure] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)


class StatusCollector:
    """`collect` asks everybody once. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        settings: GatewaySettings,
        connection: Connection,
        client: NodeClient,
        *,
        clock: Callable[[], float],
        addresses: Sequence[str] = (),
        timeout_s: float = SECTION_TIMEOUT_S,
    ) -> None:
        """`addresses`: nodes (host:port) to be asked even where the index does not tell of them."""
        self._settings = settings
        self._connection = connection
        self._client = client
        self._clock = clock
        self._addresses = addresses
        self._timeout_s = timeout_s
        self._index = Index(connection)
        self._membership = Membership(connection, node_timeout_s=settings.node_timeout_s, wall_clock=clock, clock=clock)

    async def collect(self) -> Gathered:
        """Raises nothing that it can name in the report."""
        found = Gathered(at_ms=int(self._clock() * 1000))
        table = await self._section(found, "nodes", self._read_table())
        found.nodes_from_index = table is not None
        if table is not None:
            found.at_ms = self._membership.now_ms()
        known = list(table or ())
        (asked, answers), state = await asyncio.gather(
            asyncio.gather(
                ask_nodes(self._client, known, self._addresses), ask_journal(self._client, known, self._addresses)
            ),
            self._ask_index_server(found),
        )
        found.nodes = node_reports(known, asked)
        if state is not None:
            by_node = {node.node_id: answers[node.address] for node in known if node.address in answers}
            found.journal = journal_report(state, by_node, now_ms=found.at_ms)
        return found

    async def _ask_index_server(self, found: Gathered) -> JournalState | None:
        """Fill in what the index server knows; returns how its journal stands."""
        state, found.index, found.redundancy, found.repairs, found.reclaim, events = await asyncio.gather(
            self._section(found, "journal", JournalFeed(self._connection).read_state()),
            self._section(found, "index", self._ask_index()),
            self._section(found, "redundancy", self._ask_census()),
            self._section(found, "repairs", self._ask_repairs()),
            self._section(found, "reclaim", self._ask_reclaim()),
            self._section(found, "events", self._ask_events()),
        )
        found.event_cursors, found.event_failures = events or ({}, {})
        return state

    async def _section(self, found: Gathered, name: str, question: Awaitable[_Value]) -> _Value | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await question
        except TimeoutError:
            found.unknown[name] = f"no answer within {self._timeout_s:g} s"
        except (IndexFailure, NodeError) as error:
            found.unknown[name] = str(error) or type(error).__name__
        return None

    async def _read_table(self) -> list[Node]:
        await self._membership.refresh()
        return [*self._membership.nodes(), *self._membership.removed_nodes()]

    async def _ask_index(self) -> IndexReport:
        fields: dict[str, str] = {}
        for section in ("server", "memory", "replication"):
            text: bytes = await self._connection.command("INFO", section)
            pairs = (line.partition(":") for line in text.decode().splitlines() if not line.startswith("#"))
            fields |= {name: value for name, _, value in pairs}
        lease = await self._connection.command("EXISTS", keys.worker_lease(WORKER_LEASE))
        return IndexReport(
            address=self._connection.address,
            is_master=fields.get("role") == "master",
            version=fields.get("valkey_version") or fields.get("redis_version", ""),
            used_bytes=int(fields.get("used_memory", 0)),
            maximum_bytes=int(fields.get("maxmemory", 0)),
            durability=await check_durability(self._connection) or "",
            worker_active=bool(lease),
        )

    async def _ask_census(self) -> RedundancyReport | None:
        census = await self._index.census()
        if census is None:
            return None
        return RedundancyReport(
            age_s=max(0.0, (self._now_ms() - census.ended_ms) / 1000),
            objects=census.object_count,
            size_bytes=census.byte_count,
            objects_by_copies=dict(census.objects_by_copies),
            bytes_by_copies=dict(census.bytes_by_copies),
            short_objects=census.short_objects,
            short_bytes=census.short_bytes,
            lost_objects=census.lost_objects,
            lost_bytes=census.lost_bytes,
        )

    async def _ask_repairs(self) -> RepairsReport:
        backlog = await self._index.repair_backlog()
        rate = self._settings.repair_rate_bytes_s
        oldest = None if backlog.oldest_ms is None else max(0.0, (self._now_ms() - backlog.oldest_ms) / 1000)
        return RepairsReport(
            items=backlog.items,
            items_by_class={one.name.lower(): backlog.by_class.get(one, 0) for one in RepairClass},
            size_bytes=backlog.size_bytes,
            complete=backlog.complete,
            oldest_s=oldest,
            rate_limit_bytes_s=rate,
            time_left_s=backlog.size_bytes / rate if rate and backlog.complete else None,
            failing=tuple([_failure(item) for item in backlog.failing]),
        )

    async def _ask_reclaim(self) -> ReclaimReport:
        account = await reclaim_account(
            self._connection,
            grace_ms=int(self._settings.reclaim_grace_s * 1000),
            failing_after_ms=RECLAIM_FAILS_AFTER_MS,
            limit=TRASH_ENTRIES,
        )
        released = [await self._connection.command("ZCARD", name) for name in (keys.released(), keys.releasing())]
        return ReclaimReport(
            grace_s=self._settings.reclaim_grace_s,
            within_grace=_waiting(account.waiting),
            due=_waiting(account.due),
            under_way=_waiting(account.handed_out),
            failing=_waiting(account.failing),
            released_copies=sum(released),
            complete=account.complete,
        )

    async def _ask_events(self) -> tuple[dict[str, EventCursor], dict[str, EventFailure]]:
        return await self._index.event_cursors(), await self._index.event_failures()

    def _now_ms(self) -> int:
        return self._membership.now_ms()


def _waiting(holding: Holding) -> Waiting:
    return Waiting(entries=holding.entries, size_bytes=holding.stored_bytes)


def _failure(item: RepairItem) -> RepairFailure:
    return RepairFailure(
        bucket=item.origin.bucket,
        key=item.origin.key,
        blob_id=blob_id(item.segment.write_id, item.segment.number),
        copies_left=item.copies_left,
        attempts=item.attempts,
        last_error=item.last_error,
        advice=repair_advice(item.last_error),
    )
