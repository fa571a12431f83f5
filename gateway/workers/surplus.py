"""Copies that no record names: deleting those that were given up, finding those that nobody knows of.

A copy becomes surplus when a record ceases to name it, which queues it; when a repair is interrupted between copying
and committing; and when a node returns that was repaired around. The latter two are found by going through a node's
blobs: what the index names elsewhere and not here is queued, too, if the record is still the one that said so. What the
index does not name at all is the orphan worker's business.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from gateway.datapath.origin import OriginError, unpack_origin
from gateway.index.errors import ObjectChanged, OlderThanIndex
from gateway.index.records import Origin
from gateway.index.repair_records import Copy, SegmentRef
from gateway.index.store import Index
from gateway.placement.membership import Node
from gateway.workers.deletion import BlobDeleter, all_of
from gateway.workers.node_watch import NodeWatch, Standing
from storagenode.client import BlobInfo, NodeClient, NodeError
from storagenode.protocol import LIST_LIMIT, blob_id

BATCH = 64
DELETE_WITHIN_S = 60.0
"""Of taking a copy; see `Index.take_released`."""

QUESTIONS_AT_ONCE = 16
FULL_SWEEP_PERIOD_MS = 7 * 24 * 3600 * 1000
_ATTEMPTS = 5
_WRITE_ID_DIGITS = 32
_PROGRESS = "surplus"

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class SurplusResult:
    """What one pass did."""

    checked: int = 0
    found: int = 0


class CopyDisposal:
    """Gives up single copies, and deletes those whose grace is over."""

    def __init__(
        self,
        index: Index,
        client: NodeClient,
        watch: NodeWatch,
        *,
        grace_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`grace_s`: how long readers may use a record that they have read."""
        self._index = index
        self._client = client
        self._watch = watch
        self._grace_ms = int(grace_s * 1000)
        self._clock = clock

    async def delete_released(self) -> int:
        """Delete every copy whose grace is over; returns how many went. Raises IndexUnavailable."""
        await self._watch.membership.refresh()
        total = 0
        while True:
            taken_at = self._clock()
            copies = await self._index.take_released(grace_ms=self._grace_ms, limit=BATCH)
            if not copies:
                return total
            gone = await asyncio.gather(*(self._delete(copy, taken_at) for copy in copies))
            await self._index.finish_released(copy for copy, done in zip(copies, gone, strict=True) if done)
            total += sum(gone)
            if not any(gone):
                return total  # their nodes are away: they are handed out again after some minutes

    async def give_up(self, segment: SegmentRef, origin: Origin, node_ids: Sequence[str]) -> None:
        """Copies that were made in vain: delete those that no record names. Raises IndexUnavailable."""
        for _ in range(_ATTEMPTS):
            place = await self._index.find_extent(segment.write_id, origin)
            if place is None:
                if await self._condemned(segment, origin):
                    await self._delete_now(segment, node_ids)
                    return
                continue
            named = place.nodes_of(segment) or ()
            surplus = [Copy(segment=segment, node_id=node_id) for node_id in node_ids if node_id not in named]
            try:
                if surplus:
                    await self._index.release_copies(place, surplus)
                return
            except ObjectChanged:
                continue
        _log.info("copies left to the sweep", blob=blob_id(segment.write_id, segment.number), nodes=list(node_ids))

    async def _condemned(self, segment: SegmentRef, origin: Origin) -> bool:
        try:
            return await self._index.condemn(segment.write_id, origin)
        except OlderThanIndex:
            return False

    async def _delete_now(self, segment: SegmentRef, node_ids: Iterable[str]) -> None:
        deleter = BlobDeleter(self._client, self._watch.membership, unknown_nodes_are_gone=False)
        name = blob_id(segment.write_id, segment.number)
        await deleter.delete((node_id, name) for node_id in node_ids)

    async def _delete(self, copy: Copy, taken_at: float) -> bool:
        """Whether the copy is gone."""
        node = self._watch.membership.node(copy.node_id)
        if node is None or not node.live:
            # A node that comes back after all is gone through by the sweep.
            return self._watch.standing(copy.node_id) is Standing.GONE
        if self._clock() - taken_at > DELETE_WITHIN_S:
            return False
        try:
            name = blob_id(copy.segment.write_id, copy.segment.number)
            await self._client.delete(node.address, name, node_id=copy.node_id)
        except NodeError as error:
            _log.warning("surplus copy not deleted", node=copy.node_id, error=repr(error))
            return False
        return True


class SurplusSweeper:
    """Goes through the blobs of nodes that have returned, and now and then of all nodes."""

    def __init__(
        self, index: Index, client: NodeClient, watch: NodeWatch, *, orphan_grace_s: float, page_limit: int = LIST_LIMIT
    ) -> None:
        self._index = index
        self._client = client
        self._watch = watch
        self._grace_ms = int(orphan_grace_s * 1000)
        self._page_limit = page_limit

    async def run_once(self) -> SurplusResult:
        """One pass over the nodes that are due. Raises IndexUnavailable; a node that fails is left until the next."""
        await self._watch.membership.refresh()
        result = SurplusResult()
        progress = await self._index.progress(_PROGRESS)
        now_ms = self._watch.membership.now_ms()
        for node in self._watch.membership.nodes():
            standing = self._watch.standing(node.node_id)
            started = int(progress.get(f"started:{node.node_id}", "0"))
            if standing is Standing.GONE:
                progress.pop(f"started:{node.node_id}", None)
                progress[f"gone:{node.node_id}"] = "1"
            elif standing in (Standing.LIVE, Standing.LEAVING):
                returned = progress.pop(f"gone:{node.node_id}", None) is not None
                if returned or now_ms - started >= FULL_SWEEP_PERIOD_MS:
                    progress |= {f"started:{node.node_id}": str(now_ms), f"cursor:{node.node_id}": ""}
                if f"cursor:{node.node_id}" in progress:
                    await self._sweep(node, progress, now_ms, result)
        await self._index.save_progress(_PROGRESS, progress)
        if result.found:
            _log.info("surplus copies found", copies=result.found, checked=result.checked)
        return result

    async def _sweep(self, node: Node, progress: dict[str, str], now_ms: int, result: SurplusResult) -> None:
        field = f"cursor:{node.node_id}"
        before_ms = now_ms - self._grace_ms
        try:
            while page := await self._client.list(
                node.address,
                after=progress[field],
                before_ms=before_ms,
                limit=self._page_limit,
                node_id=node.node_id,
            ):
                result.checked += len(page)
                await self._check(node, page, result)
                progress[field] = page[-1].blob_id
                await self._index.save_progress(_PROGRESS, progress)
        except NodeError as error:
            _log.warning("node not swept for surplus copies", node=node.node_id, error=repr(error))
            return
        del progress[field]

    async def _check(self, node: Node, page: Sequence[BlobInfo], result: SurplusResult) -> None:
        turn = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def check(info: BlobInfo) -> None:
            async with turn:
                released = await self._release_unless_named(node, info)
                result.found += released  # not in one line: the sum would be read before the waiting

        await all_of(check(info) for info in page)

    async def _release_unless_named(self, node: Node, info: BlobInfo) -> int:
        write_id, _, number = info.blob_id.partition("-")
        segment = SegmentRef(write_id=write_id, number=int(number, 16))
        try:
            claimed = unpack_origin(info.origin)
        except OriginError:
            return 0  # what cannot be explained is left alone; the orphan worker tells of it
        if claimed.write_id != write_id or not claimed.origin.bucket:
            return 0
        place = await self._index.find_extent(write_id, claimed.origin)
        if place is None or node.node_id in (place.nodes_of(segment) or (node.node_id,)):
            return 0
        try:
            return await self._index.release_copies(place, [Copy(segment=segment, node_id=node.node_id)])
        except ObjectChanged:
            return 0
