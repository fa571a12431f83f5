"""Finding blobs that no record refers to: of uploads that broke off, of gateways that were killed midway.

Blob ids are ordered by the time at which their write began. So each node's blobs are gone through once, in that
order, when they are older than the grace, and a cursor for each node tells how far that went. Whether a blob is
wanted the index decides, and in the same step it forbids the write to be committed later (Index.condemn).

Two kinds of blobs appear behind the cursor: those of writes that last longer than the grace, which are known by
their lease, noted before the cursor passes their time, and looked at on all nodes when the lease is gone; and
those of a node that was away or restored, which a full sweep finds, begun now and then from the first blob.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import structlog

from gateway.datapath.origin import OriginError, unpack_origin
from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import OlderThanIndex
from gateway.index.store import Index
from gateway.journal.catalogue import snapshot_ids
from gateway.placement.membership import Membership, Node
from gateway.workers.deletion import BlobDeleter, all_of
from gateway.workers.sweep_state import SweepState, SweepStateStore
from storagenode.client import BlobInfo, NodeClient, NodeError
from storagenode.protocol import LIST_LIMIT, blob_id, blob_time_ms

FULL_SWEEP_PERIOD_MS = 7 * 24 * 3600 * 1000
"""A blob costs about 0.1 ms of the index: a hundred million of them some hours in a week."""

QUESTIONS_AT_ONCE = 32

LEASE_SLACK_MS = 1000
"""A lease is over for us this long after it is over for the index, which is asked about the write only once. Leases
that ran out stay in the table until another one is taken, which may be never."""

VERDICTS_KEPT = 100_000
"""The nodes are gone through at about the same pace, so that one question serves all replicas of a write."""

_WRITE_ID_DIGITS = 32
_LAST_SEGMENT = 0xFFFF_FFFF

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class SweepResult:
    """What one pass did, on all nodes together."""

    checked: int = 0
    deleted: int = 0
    unexplained: int = 0
    """Writes from before this index began: left alone, since they are all that is left of their objects."""


class OrphanSweeper:
    """`run_once` goes on from the cursors up to the blobs that are younger than the grace."""

    def __init__(
        self,
        index: Index,
        connection: Connection,
        client: NodeClient,
        membership: Membership,
        *,
        grace_s: float,
        page_limit: int = LIST_LIMIT,
    ) -> None:
        self._index = index
        self._connection = connection
        self._client = client
        self._membership = membership
        self._grace_ms = int(grace_s * 1000)
        self._page_limit = page_limit
        self._store = SweepStateStore(connection)

    async def run_once(self) -> SweepResult:
        """One pass over all live nodes. Raises IndexUnavailable; a node that fails is left until the next."""
        await self._membership.refresh()
        now_ms = self._membership.now_ms()
        sweep = _Pass(
            deleter=BlobDeleter(self._client, self._membership, unknown_nodes_are_gone=False),
            before_ms=now_ms - self._grace_ms,
            now_ms=now_ms,
        )
        state = await self._store.load()
        leased = await self._note_long_writes(state, sweep)
        nodes = self._membership.live_nodes()
        await all_of(self._sweep_node(node, state, sweep) for node in nodes)
        for write_id in sorted(state.revisits - leased):
            await self._revisit(write_id, nodes, sweep)
        if sweep.result.deleted:
            _log.info("orphans deleted", blobs=sweep.result.deleted, checked=sweep.result.checked)
        if sweep.result.unexplained:
            _log.error("blobs from before this index began are kept: was it emptied?", writes=sweep.result.unexplained)
        return sweep.result

    async def _note_long_writes(self, state: SweepState, sweep: "_Pass") -> set[str]:
        """The writes under way; those whose time the cursors are about to pass are noted for later."""
        members: list[bytes] = await self._connection.command(
            "ZRANGEBYSCORE", keys.write_leases(), sweep.now_ms - LEASE_SLACK_MS, "+inf"
        )
        leased = {member.hex() for member in members}
        for write_id in leased - state.revisits:
            if blob_time_ms(write_id) < sweep.before_ms:
                await self._store.add_revisit(write_id)
                state.revisits.add(write_id)
        return leased

    async def _sweep_node(self, node: Node, state: SweepState, sweep: "_Pass") -> None:
        progress = state.node(node.node_id)
        if sweep.now_ms - progress.started_ms >= FULL_SWEEP_PERIOD_MS:
            await self._store.save_start(node.node_id, sweep.now_ms)
            progress.cursor = ""
        try:
            while page := await self._list(node, progress.cursor, sweep.before_ms):
                await self._check(node, page, sweep)
                progress.cursor = page[-1].blob_id
                await self._store.save_cursor(node.node_id, progress.cursor)
        except NodeError as error:
            _log.warning("node not swept to its end", node=node.node_id, error=repr(error))

    async def _revisit(self, write_id: str, nodes: Sequence[Node], sweep: "_Pass") -> None:
        """Check the blobs of a write that has ended since, wherever they are."""
        after = blob_id(f"{int(write_id, 16) - 1:0{_WRITE_ID_DIGITS}x}", _LAST_SEGMENT)
        everywhere = len(nodes) == len(self._membership.nodes())
        for node in nodes:
            cursor = after
            try:
                while page := await self._list(node, cursor, sweep.before_ms):
                    ours = [info for info in page if info.blob_id.startswith(write_id)]
                    await self._check(node, ours, sweep)
                    if len(ours) < len(page):
                        break
                    cursor = page[-1].blob_id
            except NodeError as error:
                _log.warning("write not looked for", node=node.node_id, write_id=write_id, error=repr(error))
                everywhere = False
        if everywhere:
            await self._store.drop_revisit(write_id)

    async def _list(self, node: Node, after: str, before_ms: int) -> list[BlobInfo]:
        return await self._client.list(
            node.address, after=after, before_ms=before_ms, limit=self._page_limit, node_id=node.node_id
        )

    async def _check(self, node: Node, page: Iterable[BlobInfo], sweep: "_Pass") -> None:
        """Delete those of the node's blobs that nothing refers to. Raises NodeError when one is left."""
        by_write: dict[str, list[BlobInfo]] = {}
        for info in page:
            by_write.setdefault(info.blob_id[:_WRITE_ID_DIGITS], []).append(info)
        turn = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def check_write(write_id: str, infos: list[BlobInfo]) -> None:
            async with turn:
                sweep.result.checked += len(infos)
                if not await self._is_orphan(node, write_id, infos[0], sweep):
                    return
                done = await sweep.deleter.delete((node.node_id, info.blob_id) for info in infos)
                sweep.result.deleted += done.deleted
                if done.failed:
                    raise NodeError(f"{done.failed} orphans could not be deleted")

        await all_of(check_write(*item) for item in by_write.items())

    async def _is_orphan(self, node: Node, write_id: str, info: BlobInfo, sweep: "_Pass") -> bool:
        known = sweep.verdicts.get(write_id)
        if known is not None:
            return known
        try:
            claimed = unpack_origin(info.origin)
        except OriginError as error:
            # What cannot be explained is never deleted.
            _log.error("blob of unknown origin", node=node.node_id, blob=info.blob_id, error=str(error))
            return False
        if claimed.write_id != write_id:
            _log.error("blob of another write's origin", node=node.node_id, blob=info.blob_id)
            return False
        if not claimed.origin.bucket:
            return not await self._may_be_of_snapshot(write_id, sweep)
        try:
            verdict = await self._index.condemn(write_id, claimed.origin)
        except OlderThanIndex:
            verdict = False
            if write_id not in sweep.verdicts:  # another replica's question may have been answered meanwhile
                sweep.result.unexplained += 1
        if len(sweep.verdicts) >= VERDICTS_KEPT:
            sweep.verdicts.clear()
        sweep.verdicts[write_id] = verdict
        return verdict

    async def _may_be_of_snapshot(self, write_id: str, sweep: "_Pass") -> bool:
        """Yes unless every node has been asked and none has a manifest of it, which is written before its blobs."""
        if sweep.snapshots is None:
            nodes = {node.node_id: node.address for node in self._membership.live_nodes()}
            if any(node.node_id not in nodes for node in self._membership.nodes()):
                return True
            sweep.snapshots = await snapshot_ids(self._client, nodes)
        return write_id in sweep.snapshots


class _Pass:
    """What one pass over all nodes shares."""

    __slots__ = ("before_ms", "deleter", "now_ms", "result", "snapshots", "verdicts")

    def __init__(self, *, deleter: BlobDeleter, before_ms: int, now_ms: int) -> None:
        self.deleter = deleter
        self.before_ms = before_ms
        self.now_ms = now_ms
        self.result = SweepResult()
        self.snapshots: set[str] | None = None
        """The ids of all snapshots, once they were asked for."""
        self.verdicts: dict[str, bool] = {}
        """By write id: condemned or not, as the index said during this pass."""
