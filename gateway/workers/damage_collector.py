"""Turns what nodes have found damaged into repairs: each entry of each node's list, once.

A node keeps its list for good and in the order of finding; a cursor for each node tells how far it was read. The
repairs are queued before the cursor moves on, so that a worker that dies in between queues some of them once more,
which the queue takes for one report, and never leaves one out.

A damaged header does not tell whose blob it was. Then another copy is asked, which has the same origin; where there
is none, the index is gone through for the write, once for all such entries of a pass.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from gateway.datapath.origin import OriginError, unpack_origin
from gateway.index.connection import Connection
from gateway.index.errors import NoSuchBucket
from gateway.index.records import Origin
from gateway.index.references import ReferenceKind, references
from gateway.index.repair_records import Place, PlaceKind, RepairReason, RepairReport, SegmentRef, class_of
from gateway.index.store import Index
from gateway.placement.membership import Membership, Node
from gateway.workers.deletion import all_of
from storagenode.client import DamagedBlob, NodeClient, NodeError
from storagenode.protocol import LIST_LIMIT

QUESTIONS_AT_ONCE = 16

_PROGRESS = "damage"
_WRITE_ID_DIGITS = 32

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class CollectResult:
    """What one pass found."""

    entries: int = 0
    queued: int = 0
    """Segments that are to be repaired; those that were queued before included."""
    unreferenced: int = 0
    """Nothing wants the blob, or not on that node: deleted, replaced or moved since."""


@dataclass(slots=True, kw_only=True)
class _Found:
    """The entries of one page, and what is known of them."""

    node: Node
    reports: list[RepairReport] = field(default_factory=list)
    unexplained: list[DamagedBlob] = field(default_factory=list)


class DamageCollector:
    """`run_once` reads what is new in the list of every live node."""

    def __init__(
        self,
        index: Index,
        connection: Connection,
        client: NodeClient,
        membership: Membership,
        *,
        page_limit: int = LIST_LIMIT,
    ) -> None:
        self._index = index
        self._connection = connection
        self._client = client
        self._membership = membership
        self._page_limit = page_limit

    async def run_once(self) -> CollectResult:
        """One pass. Raises IndexUnavailable; a node that fails is left until the next pass."""
        await self._membership.refresh()
        result = CollectResult()
        await all_of(self._collect(node, result) for node in self._membership.live_nodes())
        if result.entries:
            _log.warning(
                "damage found",
                entries=result.entries,
                to_repair=result.queued,
                no_longer_wanted=result.unreferenced,
            )
        return result

    async def _collect(self, node: Node, result: CollectResult) -> None:
        name = f"{_PROGRESS}:{node.node_id}"
        cursor = (await self._index.progress(name)).get("cursor", "")
        try:
            while page := await self._client.damaged(
                node.address, after=cursor, limit=self._page_limit, node_id=node.node_id
            ):
                await self._queue(node, page, result)
                cursor = page[-1].cursor
                await self._index.save_progress(name, {"cursor": cursor})
        except NodeError as error:
            _log.warning("list of damage not read", node=node.node_id, error=repr(error))

    async def _queue(self, node: Node, page: Sequence[DamagedBlob], result: CollectResult) -> None:
        found = _Found(node=node)
        turn = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def explain(entry: DamagedBlob) -> None:
            async with turn:
                origin = _origin_of(entry, entry.origin) or await self._ask_others(node, entry)
                if origin is None:
                    found.unexplained.append(entry)
                else:
                    await self._report(found, entry, origin)

        await all_of(explain(entry) for entry in page)
        if found.unexplained:
            await self._search(found)
        await self._index.queue_repairs(found.reports)
        result.entries += len(page)
        result.queued += len(found.reports)
        result.unreferenced += len(page) - len(found.reports)

    async def _ask_others(self, node: Node, entry: DamagedBlob) -> Origin | None:
        """The origin as another copy has it."""
        for other in self._membership.live_nodes():
            if other.node_id == node.node_id:
                continue
            try:
                info = await self._client.stat(other.address, entry.blob_id, node_id=other.node_id)
            except NodeError:
                continue
            if (origin := _origin_of(entry, info.origin)) is not None:
                return origin
        return None

    async def _search(self, found: _Found) -> None:
        """Go through the index for writes of which no origin could be read."""
        wanted = {entry.blob_id[:_WRITE_ID_DIGITS]: entry for entry in found.unexplained}
        origins: dict[str, Origin] = {}
        async for reference in references(self._connection):
            if reference.extent.write_id in wanted and reference.kind is not ReferenceKind.TRASH:
                origins[reference.extent.write_id] = reference.origin
        for entry in found.unexplained:
            origin = origins.get(entry.blob_id[:_WRITE_ID_DIGITS])
            if origin is not None:
                await self._report(found, entry, origin)
        _log.warning("damage without a readable origin", blobs=len(found.unexplained), found=len(origins))

    async def _report(self, found: _Found, entry: DamagedBlob, origin: Origin) -> None:
        """Add what is to be repaired; nothing where the index does not want the blob on this node."""
        if not origin.bucket:
            return  # a snapshot's, which is not repaired but made anew
        write_id, _, number = entry.blob_id.partition("-")
        segment = SegmentRef(write_id=write_id, number=int(number, 16))
        try:
            place = await self._index.find_extent(write_id, origin)
        except NoSuchBucket:
            return
        wanted = _named_nodes(place, segment)
        if place is None or found.node.node_id not in wanted:
            return
        live = {node.node_id for node in self._membership.live_nodes()}
        left = len([node_id for node_id in wanted if node_id in live and node_id != found.node.node_id])
        found.reports.append(
            RepairReport(
                segment=segment,
                origin=origin,
                reasons=RepairReason.CORRUPT,
                repair_class=class_of(copies_left=left, wanted=len(wanted)),
                copies_left=left,
                size_bytes=_size_of(place, segment),
            )
        )


def _origin_of(entry: DamagedBlob, packed: bytes) -> Origin | None:
    """None for an origin that is not readable, or not this blob's."""
    try:
        claimed = unpack_origin(packed)
    except OriginError:
        return None
    return claimed.origin if entry.blob_id.startswith(claimed.write_id) else None


def _named_nodes(place: Place | None, segment: SegmentRef) -> tuple[str, ...]:
    if place is None or place.kind not in (PlaceKind.OBJECT, PlaceKind.PART):
        return ()
    return place.nodes_of(segment) or ()


def _size_of(place: Place, segment: SegmentRef) -> int:
    found = place.find(segment)
    return found.size_bytes if found is not None else 0
