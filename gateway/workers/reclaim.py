"""Giving back the bytes that nothing refers to any more, once their grace is over.

The index queues them in the script that unreferences them and hands out what is due. An entry whose node is away
is kept in mind and tried again in the next passes, and no other entry waits for it; should this worker end, the
index hands the entry out again by itself.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from gateway.index.records import Extent, ReclaimEntry
from gateway.index.store import Index
from gateway.placement.membership import Membership
from gateway.workers.deletion import BlobDeleter, all_of
from storagenode.client import NodeClient
from storagenode.protocol import blob_id

ENTRIES_AT_ONCE = 32

MAXIMUM_UNFINISHED = 10_000
"""Kept in mind; what is more is handed out again by the index after some minutes."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class ReclaimResult:
    """What one pass did."""

    finished: int = 0
    unfinished: int = 0
    blobs_deleted: int = 0
    bytes_deleted: int = 0


class Reclaimer:
    """`run_once` works off everything that is due."""

    def __init__(
        self, index: Index, client: NodeClient, membership: Membership, *, grace_s: float, node_timeout_s: float
    ) -> None:
        self._index = index
        self._client = client
        self._membership = membership
        self._grace_ms = int(grace_s * 1000)
        self._node_timeout_s = node_timeout_s
        self._unfinished: dict[bytes, ReclaimEntry] = {}
        self._started_at = asyncio.get_running_loop().time()

    async def run_once(self) -> ReclaimResult:
        """One pass over what is due. Raises IndexUnavailable, with what was done so far done."""
        result = ReclaimResult()
        await self._membership.refresh()
        deleter = BlobDeleter(self._client, self._membership, unknown_nodes_are_gone=self._knows_every_node())
        for entries in _batches(list(self._unfinished.values())):
            await all_of(self._reclaim(entry, deleter, result) for entry in entries)
        while entries := await self._index.due_reclaims(grace_ms=self._grace_ms, limit=ENTRIES_AT_ONCE):
            await all_of(self._reclaim(entry, deleter, result) for entry in entries)
        if result.finished or result.unfinished:
            _log.info(
                "reclaimed",
                entries=result.finished,
                waiting=result.unfinished,
                blobs=result.blobs_deleted,
                bytes=result.bytes_deleted,
            )
        return result

    def _knows_every_node(self) -> bool:
        """Whether each node has had the time to say that it exists, should the table have been lost."""
        running_s = asyncio.get_running_loop().time() - self._started_at
        return running_s > self._node_timeout_s and bool(self._membership.nodes())

    async def _reclaim(self, entry: ReclaimEntry, deleter: BlobDeleter, result: ReclaimResult) -> None:
        complete = True
        async for extent in self._index.extents_of(entry):
            complete &= await self._delete_extent(extent, deleter, result)
        if not complete:
            result.unfinished += 1
            if len(self._unfinished) < MAXIMUM_UNFINISHED:
                self._unfinished[entry.reference] = entry
            return
        await self._index.finish_reclaim(entry)
        self._unfinished.pop(entry.reference, None)
        result.finished += 1

    async def _delete_extent(self, extent: Extent, deleter: BlobDeleter, result: ReclaimResult) -> bool:
        complete = True
        for segment in extent.segments:
            name = blob_id(extent.write_id, segment.number)
            done = await deleter.delete((node_id, name) for node_id in segment.nodes)
            result.blobs_deleted += done.deleted
            result.bytes_deleted += done.deleted * segment.size_bytes
            complete &= not done.failed
        return complete


def _batches(entries: list[ReclaimEntry]) -> Iterator[list[ReclaimEntry]]:
    for start in range(0, len(entries), ENTRIES_AT_ONCE):
        yield entries[start : start + ENTRIES_AT_ONCE]
