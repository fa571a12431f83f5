"""Repair: works off the queue of segments that have too few good copies, or have them in the wrong places.

For each item the record is read as it is now; its copies are looked at on their nodes; what is missing is copied from a
good one; then one script gives the record its new nodes, if it is still the record that was read, and only from then on
copies may go that it no longer names. An interruption anywhere leaves at most a copy too many, which the sweep for
surplus copies finds, and an item whose lease ends. So every step may be done again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.index.errors import CopyReleased, IndexUnavailable, NoSuchBucket, ObjectChanged
from gateway.index.records import BucketRecord
from gateway.index.repair_records import (
    Copy,
    Place,
    PlaceKind,
    RepairClass,
    RepairItem,
    RepairReason,
    SegmentRef,
    class_of,
)
from gateway.index.store import Index
from gateway.placement.membership import Node
from gateway.workers.copying import Copier, CopyFailed, Inspection, SourceFailed
from gateway.workers.node_watch import NodeWatch
from gateway.workers.pacing import Pace
from gateway.workers.replica_plan import nodes_after, plan_copies, plan_rebalance
from gateway.workers.surplus import CopyDisposal
from storagenode.client import NodeError
from storagenode.protocol import blob_id, blob_time_ms

ITEMS_AT_ONCE = 4
ITEMS_A_BATCH = 64
"""Items that were queued together are mostly of the same objects, whose records are then changed once for all."""

LEASE_MS = 60_000
FIRST_BACKOFF_MS = 10_000
LONGEST_BACKOFF_MS = 3_600_000
AWAY_DELAY_MS = 60_000
"""Until a node that is away is asked for again."""

SHORTEST_WAIT_MS = 1_000
"""For the record of a write: as long again as the write is old, between this and AWAY_DELAY_MS."""

MOVE_ATTEMPTS = 5

WantedCopies = Callable[[BucketRecord], int]

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class RepairResult:
    """What one pass did."""

    done: int = 0
    failed: int = 0
    waiting: int = 0
    copies_made: int = 0
    bytes_copied: int = 0


@dataclass(slots=True, kw_only=True)
class _Work:
    """One item on its way."""

    item: RepairItem
    place: Place | None = None
    wanted: int = 0
    made: list[Node] = field(default_factory=list)
    belongs_on: tuple[str, ...] = ()
    """Of a rebalance: where the segment is to lie."""
    nodes: tuple[str, ...] | None = None
    """What the record is to name; None: as it does."""
    removed: list[Copy] = field(default_factory=list)
    copies_left: int = 0
    postpone_ms: int | None = None
    error: str = ""

    @property
    def segment(self) -> SegmentRef:
        return self.item.segment


class RepairWorker:
    """`run_once` works off what is due."""

    def __init__(
        self,
        index: Index,
        copier: Copier,
        watch: NodeWatch,
        disposal: CopyDisposal,
        *,
        wanted_copies: WantedCopies,
        rate_bytes_s: float,
        orphan_grace_s: float,
        lease_ms: int = LEASE_MS,
        first_backoff_ms: int = FIRST_BACKOFF_MS,
    ) -> None:
        self._index = index
        self._copier = copier
        self._watch = watch
        self._disposal = disposal
        self._wanted_copies = wanted_copies
        self._pace = Pace(rate_bytes_s)
        self._move_pace = Pace(rate_bytes_s)
        self._rate_bytes_s = rate_bytes_s
        self._orphan_grace_ms = int(orphan_grace_s * 1000)
        self._lease_ms = lease_ms
        self._first_backoff_ms = first_backoff_ms
        self._known_nodes: set[str] | None = None

    async def run_once(self) -> RepairResult:
        """One pass over what is due. Raises IndexUnavailable, with what was done so far done."""
        result = RepairResult()
        await self._watch.membership.refresh()
        await self._hurry_for_new_nodes()
        order = await self._index.rebalance_order()
        self._move_pace.rate_bytes_s = min(order.rate_bytes_s if order else self._rate_bytes_s, self._rate_bytes_s)
        while items := await self._index.take_repairs(limit=ITEMS_A_BATCH, lease_ms=self._lease_ms):
            await self._watch.membership.refresh(maximum_age_s=1.0)
            async with self._holding(items):
                await self._repair_batch([_Work(item=item) for item in items], result)
        if result.done or result.failed:
            _log.info("repaired", segments=result.done, failed=result.failed, bytes=result.bytes_copied)
        return result

    async def _hurry_for_new_nodes(self) -> None:
        """What failed for want of a node shall not wait out its delay when there is one more, or may be: this worker
        has not seen who was there before.
        """
        present = {node.node_id for node in self._watch.membership.writable_nodes(0)}
        is_news = self._known_nodes is None or bool(present - self._known_nodes)
        if is_news and (hurried := await self._index.hurry_repairs()):
            _log.info("a node has come, repairs that wait are tried again", items=hurried)
        self._known_nodes = present

    @contextlib.asynccontextmanager
    async def _holding(self, items: Sequence[RepairItem]) -> AsyncIterator[None]:
        """Renew the leases of a batch while it is worked on."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._lease_ms / 3000)
                with contextlib.suppress(IndexUnavailable):  # at worst another worker does the same work
                    await self._index.renew_repairs(items, lease_ms=self._lease_ms)

        renewing = asyncio.create_task(renew(), name="repair leases")
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _repair_batch(self, works: Sequence[_Work], result: RepairResult) -> None:
        turn = asyncio.Semaphore(ITEMS_AT_ONCE)

        async def prepare(work: _Work) -> None:
            async with turn:
                try:
                    await self._prepare(work, result)
                except (NodeError, CopyFailed, SourceFailed) as error:
                    work.error = str(error) or repr(error)

        # Every one to its end, so that none goes on behind the back of a batch that was given up.
        outcomes = await asyncio.gather(*(prepare(work) for work in works), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        for group in _by_record(works):
            await self._commit(group)
        for work in works:
            if work.item.reasons & RepairReason.STRAY and work.postpone_ms is None:
                await self._give_up_strays(work)
        await self._settle(works, result)

    async def _prepare(self, work: _Work, result: RepairResult) -> None:
        """Make the copies that one item needs, and decide what its record is to say."""
        item, segment = work.item, work.segment
        work.copies_left = item.copies_left
        place = await self._index.find_extent(segment.write_id, item.origin)
        if place is None:
            await self._wait_for_record(work)
            return
        named = place.find(segment)
        if place.kind in (PlaceKind.TRASH, PlaceKind.ABORTED) or named is None:
            return
        bucket = await self._bucket(place.bucket)
        if bucket is None:
            return
        work.place, work.wanted = place, self._wanted_copies(bucket)
        verify = self._pace if item.reasons & RepairReason.CORRUPT else None
        seen = await self._copier.inspect(segment, named.size_bytes, named.nodes, verify=verify)
        work.copies_left = len(seen.good)
        await self._make_copies(work, seen, result)
        self._decide(work, named.nodes, seen)

    async def _make_copies(self, work: _Work, seen: Inspection, result: RepairResult) -> None:
        segment, found = work.segment, seen.found
        size_bytes = seen.info.size_bytes if seen.info is not None else work.item.size_bytes
        suspects = self._watch.membership.suspects
        candidates = [one for one in self._watch.membership.writable_nodes(size_bytes) if not suspects(one.node_id)]
        plan = plan_copies(segment, found, work.wanted, candidates)
        pace = self._pace
        if not plan.count and work.item.reasons & RepairReason.REBALANCE:
            belongs_on = self._watch.placement_by_capacity(segment, work.wanted, size_bytes)
            work.belongs_on = tuple([node.node_id for node in belongs_on])
            plan = plan_rebalance(found, belongs_on)
            pace = self._move_pace
        if plan.count and seen.info is None:
            raise CopyFailed("no good copy can be read at present")
        for target in plan.targets:
            if len(work.made) == plan.count:
                break
            if await self._copy_to(target, work, seen, pace):
                result.copies_made += 1
                result.bytes_copied += size_bytes
        if len(work.made) < plan.count and not work.error:
            takers = f"{len(plan.targets)} of {len(self._watch.membership.nodes())} nodes could take it"
            work.error = f"{plan.count} copies more are wanted, {takers}"

    async def _copy_to(self, target: Node, work: _Work, seen: Inspection, pace: Pace) -> bool:
        """Whether a copy was made on the target, from whichever good one gives the bytes."""
        assert seen.info is not None
        for source in seen.good:
            try:
                await self._copier.copy(source, target, seen.info, pace)
            except SourceFailed as failure:
                work.error = str(failure)
            except NodeError as error:
                work.error = f"{target.node_id}: {error!r}"
                return False
            else:
                work.made.append(target)
                work.error = ""
                return True
        return False

    def _decide(self, work: _Work, named: tuple[str, ...], seen: Inspection) -> None:
        """What the record is to name, and what may then go."""
        nodes = nodes_after(work.segment, seen.found, work.made, work.wanted, belongs_on=work.belongs_on)
        good = {node.node_id for node in seen.good} | {node.node_id for node in work.made}
        work.copies_left = len(good & set(nodes))
        if set(nodes) != set(named):
            work.nodes = nodes
            work.removed = [Copy(segment=work.segment, node_id=one) for one in named if one in good - set(nodes)]
        if work.error:
            return
        if len(good & set(nodes)) < work.wanted:
            work.postpone_ms = AWAY_DELAY_MS

    async def _wait_for_record(self, work: _Work) -> None:
        """Nothing refers to the write: it is over, or not yet committed."""
        age_ms = self._watch.membership.now_ms() - blob_time_ms(work.segment.write_id)
        if age_ms < self._orphan_grace_ms or await self._index.is_under_way(work.segment.write_id):
            work.postpone_ms = min(max(age_ms, SHORTEST_WAIT_MS), AWAY_DELAY_MS)

    async def _give_up_strays(self, work: _Work) -> None:
        """Copies on nodes that the record does not name: after the repair, which may have had a use for them."""
        holders, is_complete = await self._copier.holders(work.segment)
        if holders:
            await self._disposal.give_up(work.segment, work.item.origin, holders)
        if not is_complete:
            work.postpone_ms = AWAY_DELAY_MS

    async def _bucket(self, name: str) -> BucketRecord | None:
        try:
            return await self._index.get_bucket(name)
        except NoSuchBucket:
            return None

    async def _commit(self, group: Sequence[_Work]) -> None:
        """Give one record its new nodes, if it still names for these segments what it named."""
        place = group[0].place
        assert place is not None
        moving = [work for work in group if work.nodes is not None]
        for _ in range(MOVE_ATTEMPTS):
            if not moving:
                break
            try:
                await self._index.move_replicas(
                    place,
                    {work.segment: work.nodes for work in moving if work.nodes is not None},
                    added=[Copy(segment=work.segment, node_id=node.node_id) for work in moving for node in work.made],
                    removed=[copy for work in moving for copy in work.removed],
                )
            except CopyReleased:
                for work in moving:
                    work.error = "a copy there is just being deleted"
                break
            except (ObjectChanged, NoSuchBucket):
                place = await self._find_again(moving)
            else:
                break
            if place is None:
                break
            moving = [work for work in moving if work.place is place]
        # A copy that went back to where the record has it changed no record: it may have vanished meanwhile.
        for work in group:
            if work.made and (work.nodes is None or work not in moving or work.error or place is None):
                await self._disposal.give_up(work.segment, work.item.origin, [node.node_id for node in work.made])

    async def _find_again(self, moving: Sequence[_Work]) -> Place | None:
        """The record as it is now; `place` of those works for which what was decided still holds."""
        found: Place | None = None
        for work in moving:
            before = work.place.nodes_of(work.segment) if work.place is not None else None
            place = await self._index.find_extent(work.segment.write_id, work.item.origin)
            if place is None or place.kind in (PlaceKind.TRASH, PlaceKind.ABORTED):
                work.place = None
            elif place.nodes_of(work.segment) != before or (found is not None and place.member != found.member):
                work.place, work.error = None, "the record was changed meanwhile"
            else:
                found = found or place
                work.place = found
        return found

    async def _settle(self, works: Iterable[_Work], result: RepairResult) -> None:
        finished = []
        for work in works:
            if not work.error and work.postpone_ms is None:
                finished.append(work.item)
                continue
            result.failed += bool(work.error)
            result.waiting += not work.error
            await self._index.postpone_repair(
                work.item,
                delay_ms=self._backoff_ms(work.item) if work.error else work.postpone_ms or AWAY_DELAY_MS,
                repair_class=class_of(copies_left=work.copies_left, wanted=work.wanted)
                if work.wanted
                else RepairClass(work.item.repair_class),
                copies_left=work.copies_left,
                error=work.error,
            )
            if work.error:
                name = blob_id(work.segment.write_id, work.segment.number)
                _log.warning("segment not repaired", blob=name, attempts=work.item.attempts + 1, error=work.error)
        if finished:
            result.done += await self._index.finish_repairs(finished)

    def _backoff_ms(self, item: RepairItem) -> int:
        doubled: int = self._first_backoff_ms * 2 ** min(item.attempts, 20)
        return min(doubled, LONGEST_BACKOFF_MS)


def _by_record(works: Iterable[_Work]) -> list[list[_Work]]:
    groups: dict[tuple[str, str, bytes], list[_Work]] = {}
    for work in works:
        if work.place is not None:
            groups.setdefault((work.place.bucket, work.place.key, work.place.member), []).append(work)
    return list(groups.values())
