"""The audit: goes through the whole index, queues what has too few copies or lies where it shall not, and counts.

It runs once a day, and whenever something has changed that may concern every object: a node was lost for longer than
the grace, came back, is to be drained or removed, was added, or other numbers of copies are wanted. Where it stands is
kept in the index server, so a worker that takes over goes on there; a server that was lost only makes it begin anew.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from gateway.index.index_walk import WalkedRecord, WalkStep
from gateway.index.records import BucketRecord, Segment
from gateway.index.repair_records import (
    Census,
    NodeHolding,
    PlaceKind,
    RepairReason,
    RepairReport,
    SegmentRef,
    class_of,
)
from gateway.index.store import Index
from gateway.workers.node_watch import NodeWatch, Standing
from gateway.workers.replica_plan import is_in_one_zone

PERIOD_MS = 24 * 3600 * 1000
MOST_QUEUED = 100_000
"""Items, of about 300 bytes: with more the audit waits for repair to come by."""

STEPS_A_SAVE = 10
DRAIN_PERIOD_MS = 60_000
"""Between audits while a node drains on which something is left: of writes that had begun before, say."""

_PROGRESS = "audit"

WantedCopies = Callable[[BucketRecord], int]

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Count:
    """The census under way."""

    objects: Counter[int] = field(default_factory=Counter)
    bytes: Counter[int] = field(default_factory=Counter)
    short_objects: int = 0
    short_bytes: int = 0
    part_bytes: int = 0
    node_segments: Counter[str] = field(default_factory=Counter)
    node_bytes: Counter[str] = field(default_factory=Counter)

    def packed(self) -> str:
        """JSON, for the progress."""
        return json.dumps(
            [
                *(list(one.items()) for one in (self.objects, self.bytes, self.node_segments, self.node_bytes)),
                [self.short_objects, self.short_bytes, self.part_bytes],
            ]
        )

    @classmethod
    def unpacked(cls, text: str) -> "Count":
        """The inverse of `packed`."""
        objects, sizes, node_segments, node_bytes, numbers = json.loads(text)
        return cls(
            objects=Counter(dict(objects)),
            bytes=Counter(dict(sizes)),
            node_segments=Counter(dict(node_segments)),
            node_bytes=Counter(dict(node_bytes)),
            short_objects=numbers[0],
            short_bytes=numbers[1],
            part_bytes=numbers[2],
        )

    def census(self, *, started_ms: int, ended_ms: int) -> Census:
        """What was counted."""
        return Census(
            started_ms=started_ms,
            ended_ms=ended_ms,
            objects_by_copies=dict(self.objects),
            bytes_by_copies=dict(self.bytes),
            short_objects=self.short_objects,
            short_bytes=self.short_bytes,
            part_bytes=self.part_bytes,
            nodes={
                node_id: NodeHolding(segments=segments, size_bytes=self.node_bytes[node_id])
                for node_id, segments in self.node_segments.items()
            },
        )


@dataclass(slots=True, kw_only=True)
class _Walk:
    """An audit under way."""

    ground: str
    """What it was begun for: fingerprint of the nodes and of what is wanted."""
    started_ms: int
    cursor: bytes = b""
    count: Count = field(default_factory=Count)


class Auditor:
    """`run_once` begins an audit where one is due, or goes on with the one under way."""

    def __init__(
        self,
        index: Index,
        watch: NodeWatch,
        *,
        wanted_copies: WantedCopies,
        policy: Callable[[], str] = lambda: "",
        most_queued: int = MOST_QUEUED,
    ) -> None:
        """`policy` tells in words how many copies are wanted by default: the audit is repeated when it changes."""
        self._index = index
        self._watch = watch
        self._wanted_copies = wanted_copies
        self._policy = policy
        self._most_queued = most_queued

    async def run_once(self) -> Census | None:
        """The census, when an audit came to its end in this pass. Raises IndexUnavailable."""
        await self._watch.membership.refresh()
        walk = await self._walk_to_do()
        if walk is None:
            return None
        steps = 0
        while True:
            step = await self._index.walk(walk.cursor)
            queued = await self._index.queue_repairs(self._look(step, walk.count))
            walk.cursor, steps = step.cursor, steps + 1
            if not walk.cursor:
                return await self._end(walk)
            await asyncio.sleep(0)
            if queued and await self._index.repairs_waiting() >= self._most_queued:
                await self._save(walk)
                return None
            if steps % STEPS_A_SAVE == 0:
                await self._save(walk)
                await self._watch.membership.refresh(maximum_age_s=1.0)
                if walk.ground != await self._ground():
                    return None  # the next pass begins anew

    async def _walk_to_do(self) -> _Walk | None:
        progress = await self._index.progress(_PROGRESS)
        ground = await self._ground()
        now_ms = self._watch.membership.now_ms()
        if progress.get("walking") == "1" and progress.get("ground") == ground:
            if await self._index.repairs_waiting() >= self._most_queued // 2:
                return None
            return _Walk(
                ground=ground,
                started_ms=int(progress["started_ms"]),
                cursor=bytes.fromhex(progress["cursor"]),
                count=Count.unpacked(progress["count"]),
            )
        if progress.get("walking") == "0" and progress.get("ground") == ground:
            age_ms = now_ms - int(progress["started_ms"])
            if age_ms < (await self._period_ms()):
                return None
        _log.info("audit begins", ground=ground)
        return _Walk(ground=ground, started_ms=now_ms)

    async def _period_ms(self) -> int:
        draining = {node.node_id for node in self._watch.membership.nodes() if node.draining}
        if not draining or await self._index.repairs_waiting():
            return PERIOD_MS
        # Writes that had begun before the drain may be committed at any time.
        census = await self._index.census()
        left = census is None or any(census.nodes.get(node_id) for node_id in draining)
        since_ms = max(node.state_since_ms for node in self._watch.membership.nodes() if node.draining)
        young = census is None or census.started_ms < since_ms + SETTLED_AFTER_MS
        return DRAIN_PERIOD_MS if left or young else PERIOD_MS

    async def _ground(self) -> str:
        return f"{self._watch.fingerprint()} wanted {self._policy()} {await self._index.audit_request()}"

    async def _save(self, walk: _Walk) -> None:
        await self._index.save_progress(
            _PROGRESS,
            {
                "walking": "1",
                "ground": walk.ground,
                "started_ms": str(walk.started_ms),
                "cursor": walk.cursor.hex(),
                "count": walk.count.packed(),
            },
        )

    async def _end(self, walk: _Walk) -> Census:
        census = walk.count.census(started_ms=walk.started_ms, ended_ms=self._watch.membership.now_ms())
        await self._index.store_census(census)
        await self._index.save_progress(
            _PROGRESS, {"walking": "0", "ground": walk.ground, "started_ms": str(walk.started_ms)}
        )
        _log.info(
            "audit done",
            objects=census.object_count,
            bytes=census.byte_count,
            short=census.short_objects,
            lost=census.lost_objects,
        )
        return census

    def _look(self, step: WalkStep, count: Count) -> list[RepairReport]:
        """Count the records of a step; what is to be repaired of them."""
        reports: list[RepairReport] = []
        standings: dict[str, Standing] = {}
        usable = self._watch.usable()
        zones = {node.zone for node in usable}
        wanted = self._wanted_copies(step.bucket) if step.bucket is not None else 0
        for record in step.records:
            fewest, short = wanted, False
            for extent in record.extents:
                for segment in extent.segments:
                    for node_id in segment.nodes:
                        count.node_segments[node_id] += 1
                        count.node_bytes[node_id] += segment.size_bytes
                    if record.kind is PlaceKind.TRASH:
                        continue
                    for node_id in segment.nodes:
                        if node_id not in standings:
                            standings[node_id] = self._watch.standing(node_id)
                    live = sum(standings[node_id] in (Standing.LIVE, Standing.LEAVING) for node_id in segment.nodes)
                    fewest, short = min(fewest, live), short or live < wanted
                    reasons = self._reasons(segment, standings, wanted, len(usable), zones)
                    if reasons:
                        reports.append(_report(record, extent.write_id, segment, reasons, live, wanted))
            _count(record, fewest, short, count)
        return reports

    def _reasons(
        self, segment: Segment, standings: dict[str, Standing], wanted: int, usable_count: int, zones: set[str]
    ) -> RepairReason:
        staying = [one for one in segment.nodes if standings[one] in (Standing.LIVE, Standing.AWAY)]
        reasons = RepairReason(0)
        if any(standings[one] is Standing.LEAVING for one in segment.nodes):
            reasons |= RepairReason.DRAINING
        if len(staying) < min(wanted, usable_count):
            reasons |= RepairReason.TOO_FEW
        if len(staying) > wanted:
            reasons |= RepairReason.SURPLUS
        if any(standings[one] is Standing.GONE for one in segment.nodes) and (reasons or len(staying) >= wanted):
            reasons |= RepairReason.NODE_LOST
        if len(zones) > 1 and len(staying) >= min(wanted, usable_count):
            nodes = [self._watch.membership.node(one) for one in staying]
            if is_in_one_zone([node.zone for node in nodes if node is not None]):
                reasons |= RepairReason.MISPLACED
        return reasons


SETTLED_AFTER_MS = 2 * 60 * 1000
"""From then on after the beginning of a drain, every write that was under way holds a lease or has been committed."""


def _report(
    record: WalkedRecord, write_id: str, segment: Segment, reasons: RepairReason, live: int, wanted: int
) -> RepairReport:
    return RepairReport(
        segment=SegmentRef(write_id=write_id, number=segment.number),
        origin=record.origin,
        reasons=reasons,
        repair_class=class_of(copies_left=live, wanted=wanted),
        copies_left=live,
        size_bytes=segment.size_bytes,
    )


def _count(record: WalkedRecord, fewest: int, short: bool, count: Count) -> None:
    size_bytes = sum(extent.size_bytes for extent in record.extents)
    if record.kind is PlaceKind.PART:
        count.part_bytes += size_bytes
    elif record.kind is PlaceKind.OBJECT:
        count.objects[fewest] += 1
        count.bytes[fewest] += size_bytes
        count.short_objects += short
        count.short_bytes += size_bytes if short else 0
