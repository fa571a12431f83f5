"""Rebalance: moves copies to where placement by capacity would have them, when nodes were added or filled unevenly.

An administrator orders it, with a rate. The index is gone through once; what lies elsewhere is queued for repair, which
moves it at that rate. Placement of new blobs goes by free space, and so fills an added node by itself, only slowly.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.index.index_walk import WalkedRecord
from gateway.index.records import BucketRecord, Segment
from gateway.index.repair_records import PlaceKind, RepairClass, RepairReason, RepairReport, SegmentRef
from gateway.index.store import Index
from gateway.workers.node_watch import NodeWatch, Standing

MOST_QUEUED = 10_000

WantedCopies = Callable[[BucketRecord], int]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misplaced:
    """A segment that placement by capacity would have elsewhere."""

    record: WalkedRecord
    segment: SegmentRef
    size_bytes: int
    leaves: tuple[str, ...]
    goes_to: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Forecast:
    """What a rebalance would do, in bytes by node id."""

    now: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    moved_bytes: int = 0
    moved_copies: int = 0


class Rebalancer:
    """`run_once` carries on an order, `forecast` only looks."""

    def __init__(
        self, index: Index, watch: NodeWatch, *, wanted_copies: WantedCopies, most_queued: int = MOST_QUEUED
    ) -> None:
        self._index = index
        self._watch = watch
        self._wanted_copies = wanted_copies
        self._most_queued = most_queued

    async def run_once(self) -> int:
        """Queue what is misplaced until enough waits; returns how many segments. Raises IndexUnavailable."""
        order = await self._index.rebalance_order()
        if order is None:
            return 0
        await self._watch.membership.refresh()
        if any(self._watch.standing(node.node_id) is not Standing.LIVE for node in self._watch.usable()):
            return 0  # a node is away: what it holds is not to be moved for that
        cursor, queued = order.cursor, 0
        while await self._index.repairs_waiting() < self._most_queued:
            step = await self._index.walk(cursor)
            found = self._misplaced(step.bucket, step.records)
            queued += await self._index.queue_repairs([_report(one) for one in found])
            cursor = step.cursor
            if not cursor:
                await self._index.end_rebalance()
                _log.info("rebalance queued to its end")
                break
            await self._index.save_rebalance_cursor(cursor)
        return queued

    async def forecast(self) -> Forecast:
        """Go through the whole index and change nothing. Raises IndexUnavailable."""
        await self._watch.membership.refresh()
        forecast = Forecast()
        async for bucket, records in self._steps():
            for record in records:
                for extent in record.extents:
                    for segment in extent.segments:
                        for node_id in segment.nodes:
                            forecast.now[node_id] += segment.size_bytes
                            forecast.after[node_id] += segment.size_bytes
            for one in self._misplaced(bucket, records):
                for node_id in one.leaves:
                    forecast.after[node_id] -= one.size_bytes
                for node_id in one.goes_to:
                    forecast.after[node_id] += one.size_bytes
                forecast.moved_copies += len(one.goes_to)
                forecast.moved_bytes += one.size_bytes * len(one.goes_to)
        return forecast

    async def _steps(self) -> AsyncIterator[tuple[BucketRecord | None, Sequence[WalkedRecord]]]:
        cursor = b""
        while True:
            step = await self._index.walk(cursor)
            yield step.bucket, step.records
            cursor = step.cursor
            if not cursor:
                return

    def _misplaced(self, bucket: BucketRecord | None, records: Sequence[WalkedRecord]) -> list[Misplaced]:
        if bucket is None:
            return []
        wanted = self._wanted_copies(bucket)
        found = [
            self._compare(record, extent.write_id, segment, wanted)
            for record in records
            if record.kind in (PlaceKind.OBJECT, PlaceKind.PART)
            for extent in record.extents
            for segment in extent.segments
        ]
        return [one for one in found if one is not None]

    def _compare(self, record: WalkedRecord, write_id: str, segment: Segment, wanted: int) -> Misplaced | None:
        ref = SegmentRef(write_id=write_id, number=segment.number)
        target = [node.node_id for node in self._watch.placement_by_capacity(ref, wanted, segment.size_bytes)]
        # One that has too few or too many copies is the audit's.
        if len(segment.nodes) != wanted or len(target) != wanted or set(target) == set(segment.nodes):
            return None
        return Misplaced(
            record=record,
            segment=ref,
            size_bytes=segment.size_bytes,
            leaves=tuple([one for one in segment.nodes if one not in target]),
            goes_to=tuple([one for one in target if one not in segment.nodes]),
        )


def _report(one: Misplaced) -> RepairReport:
    return RepairReport(
        segment=one.segment,
        origin=one.record.origin,
        reasons=RepairReason.REBALANCE,
        repair_class=RepairClass.MOVE,
        copies_left=len(one.leaves) + len(one.goes_to),
        size_bytes=one.size_bytes,
    )
