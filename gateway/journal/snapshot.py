"""The snapshots of a cluster: when one is due, which are kept, what is left of others, and the journal behind them.

One pass finds its state on the nodes alone, so that a worker may be killed anywhere and the next goes on:

- a snapshot that was begun and not completed within a grace is doomed, so are complete ones behind the newest two;
- of a doomed one first every manifest says so, then its chunks go, then its manifests, which so outlive the chunks;
- the journal is given back behind the older of the newest two that are sound, that is complete and readable, with
  their manifest and each of their chunks on a majority of the nodes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from gateway.index.errors import IndexFailure
from gateway.index.journal_feed import JournalFeed
from gateway.journal.catalogue import drop_everywhere, manifests_by_node, put_everywhere
from gateway.journal.snapshot_format import Manifest, SnapshotState, newest
from gateway.journal.snapshot_writer import SnapshotFailed, SnapshotWriter, majority
from gateway.journal.trim import trim_journal
from gateway.placement.membership import Membership
from storagenode.client import BlobInfo, NodeClient, NodeError
from storagenode.protocol import LIST_LIMIT, blob_id

SNAPSHOTS_KEPT = 2

FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0
"""After an attempt that failed, doubled by each further one: what it leaves on nodes that are away adds up."""

_WRITE_ID_DIGITS = 32
_LAST_SEGMENT = 0xFFFF_FFFF
_FOREVER_MS = 1 << 47
_QUESTIONS_AT_ONCE = 32

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPolicy:
    """When a snapshot is due: after so many changes or so long after the last one, if there was a change at all."""

    entries: int
    interval_s: float
    leftover_grace_s: float
    """How old an incomplete snapshot must be to count as left behind."""


@dataclass(slots=True, kw_only=True)
class SnapshotResult:
    """What one pass did."""

    taken: Manifest | None = None
    removed: list[str] = field(default_factory=list)
    segments_dropped: int = 0
    """Copies of segments of the journal, on all nodes together."""


class SnapshotKeeper:
    """`run_once` is a worker's job."""

    def __init__(
        self,
        writer: SnapshotWriter,
        feed: JournalFeed,
        client: NodeClient,
        membership: Membership,
        *,
        policy: SnapshotPolicy,
        roll: Callable[[], Awaitable[None]] | None = None,
        needed_from: Callable[[int], Awaitable[int | None]] | None = None,
    ) -> None:
        """`roll` ends the journal's open segment, so that a later snapshot can have it given back.

        `needed_from` is given the number of the last change and tells behind which one the journal still has readers.
        """
        self._roll = roll
        self._needed_from = needed_from
        self._writer = writer
        self._feed = feed
        self._client = client
        self._membership = membership
        self._policy = policy
        self._failures = 0
        self._not_before_ms = 0

    async def run_once(self) -> SnapshotResult:
        """One pass. Raises IndexUnavailable, IndexFault, SnapshotFailed; a node that fails is left to the next."""
        result = SnapshotResult()
        await self._membership.refresh()
        if self._membership.now_ms() >= self._not_before_ms and await self._is_due():
            result.taken = await self._try_to_take()
            if self._roll is not None:
                await self._roll()
        view = await self._view()
        await self._spread(view)
        sound = [one for one in view.complete if await self._is_sound(one, view)] if self._has_work(view) else []
        for manifest in self._superfluous(view, sound):
            if await self._remove(manifest, view):
                result.removed.append(manifest.snapshot_id)
        result.segments_dropped = await self._trim(sound, view)
        return result

    async def take(self) -> Manifest:
        """A snapshot now, due or not. Raises as `run_once`; what is left of one that failed is removed at once."""
        begun: list[Manifest] = []
        try:
            return await self._writer.take(on_begun=begun.append)
        except (SnapshotFailed, IndexFailure):
            # Should this fail too, a later pass finds it.
            for manifest in begun:
                with suppress(IndexFailure):
                    await self._remove(manifest, await self._view())
            raise

    async def _try_to_take(self) -> Manifest:
        try:
            taken = await self.take()
        except (SnapshotFailed, IndexFailure):
            pause_s = min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S)
            self._failures = min(self._failures + 1, 10)
            self._not_before_ms = self._membership.now_ms() + int(pause_s * 1000)
            raise
        self._failures = 0
        return taken

    async def _is_due(self) -> bool:
        state = await self._feed.read_state()
        if state.sequence is None or state.opened != state.identity:
            return False
        view = await self._view()
        if not view.complete:
            # At once: an index that came from an older release has no journal that leads to it.
            return state.sequence > 0
        if any(self._names_leaving(manifest) for manifest in view.complete[:SNAPSHOTS_KEPT]):
            return True
        last = view.complete[0]
        changes = state.sequence - last.start_sequence
        age_s = (self._membership.now_ms() - last.created_ms) / 1000
        return changes >= self._policy.entries or (changes > 0 and age_s >= self._policy.interval_s)

    def _names_leaving(self, manifest: Manifest) -> bool:
        """Whether a part of it lies on a node that is to leave, or has left; a new one goes to none of those."""
        for node_id in {node_id for chunk in manifest.chunks for node_id in chunk.nodes}:
            node = self._membership.node(node_id)
            if self._membership.was_removed(node_id) or (node is not None and node.draining):
                return True
        return False

    async def _view(self) -> "_View":
        await self._membership.refresh_if_possible()
        nodes = {node.node_id: node.address for node in self._membership.live_nodes()}
        by_node = await manifests_by_node(self._client, nodes)
        manifests = newest(manifest for found in by_node.values() for manifest in found.values())
        expected = {node.node_id for node in self._membership.expected_nodes()}
        return _View(nodes=nodes, expected=expected, by_node=by_node, manifests=manifests)

    async def _spread(self, view: "_View") -> None:
        """Give every complete manifest to the live nodes that do not have it as it is."""
        for manifest in view.complete:
            missing = {
                node_id: view.nodes[node_id]
                for node_id, found in view.by_node.items()
                if found.get(manifest.snapshot_id) != manifest
            }
            for node_id in await put_everywhere(self._client, missing, manifest):
                view.by_node[node_id][manifest.snapshot_id] = manifest

    def _has_work(self, view: "_View") -> bool:
        """Whether something may be given up for which the newest two must be sound."""
        return len(view.complete) >= SNAPSHOTS_KEPT

    def _superfluous(self, view: "_View", sound: list[Manifest]) -> list[Manifest]:
        begun_before_ms = self._membership.now_ms() - int(self._policy.leftover_grace_s * 1000)
        doomed = [one for one in view.manifests.values() if one.state is SnapshotState.DOOMED]
        left = [
            one
            for one in view.manifests.values()
            if one.state is SnapshotState.BEGUN and one.begun_ms < begun_before_ms
        ]
        behind = []
        if len(sound) >= SNAPSHOTS_KEPT:
            older = sound[SNAPSHOTS_KEPT - 1]
            behind = view.complete[view.complete.index(older) + 1 :]
        return [*doomed, *left, *behind]

    async def _is_sound(self, manifest: Manifest, view: "_View") -> bool:
        """Whether the snapshot outlives the loss of any minority of the nodes."""
        having = sum(found.get(manifest.snapshot_id) == manifest for found in view.by_node.values())
        if having < majority(len(view.expected)):
            return False
        turn = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def has(node_id: str, number: int) -> bool:
            address = view.nodes.get(node_id)
            if address is None:
                return False
            async with turn:
                try:
                    info = await self._client.stat(address, manifest.blob_id(number), node_id=node_id)
                except NodeError:
                    return False
            return info.digest == manifest.chunks[number].digest

        for number, chunk in enumerate(manifest.chunks):
            copies = sum(await asyncio.gather(*(has(node_id, number) for node_id in chunk.nodes)))
            if copies < majority(len(chunk.nodes)):
                _log.warning("snapshot not sound", snapshot=manifest.snapshot_id, chunk=number, copies=copies)
                return False
        return True

    async def _remove(self, manifest: Manifest, view: "_View") -> bool:
        """Delete a snapshot; False when some of it is left for a later pass."""
        doomed = replace(manifest, state=SnapshotState.DOOMED)
        told = await put_everywhere(self._client, view.nodes, doomed)
        # As long as a node that answers would call it complete, its chunks stay.
        if told != set(view.nodes):
            return False
        everywhere = view.expected <= set(view.nodes)
        for node_id, address in view.nodes.items():
            everywhere &= await self._delete_chunks(manifest.snapshot_id, node_id, address)
        if not everywhere:
            return False
        gone = await drop_everywhere(self._client, view.nodes, manifest.snapshot_id)
        _log.info("snapshot removed", snapshot=manifest.snapshot_id, sequence=manifest.start_sequence)
        return gone

    async def _delete_chunks(self, snapshot_id: str, node_id: str, address: str) -> bool:
        """Whether nothing of the snapshot is left on the node."""
        try:
            async for info in blobs_of_write(self._client, address, snapshot_id):
                await self._client.delete(address, info.blob_id)
        except NodeError as error:
            _log.warning("snapshot's chunks not deleted", node=node_id, snapshot=snapshot_id, error=str(error))
            return False
        return True

    async def _trim(self, sound: list[Manifest], view: "_View") -> int:
        if len(sound) < SNAPSHOTS_KEPT:
            return 0
        state = await self._feed.read_state()
        if state.opened != state.identity:
            return 0
        older = sound[SNAPSHOTS_KEPT - 1]
        kept_after = older.start_sequence
        if self._needed_from is not None and (needed := await self._needed_from(state.watermark)) is not None:
            kept_after = min(kept_after, needed)
        return await trim_journal(self._client, view.nodes, open_segment=state.segment, kept_after=kept_after)


@dataclass(slots=True, kw_only=True)
class _View:
    """What the nodes say at the moment."""

    nodes: Mapping[str, str]
    """Addresses of the live nodes."""
    expected: set[str]
    """All nodes but those that said goodbye."""
    by_node: dict[str, dict[str, Manifest]]
    manifests: dict[str, Manifest]

    @property
    def complete(self) -> list[Manifest]:
        """Newest first."""
        return [one for one in self.manifests.values() if one.state is SnapshotState.COMPLETE]


async def blobs_of_write(client: NodeClient, address: str, write_id: str) -> AsyncIterator[BlobInfo]:
    """The blobs of one write on one node. Raises NodeError."""
    cursor = blob_id(f"{int(write_id, 16) - 1:0{_WRITE_ID_DIGITS}x}", _LAST_SEGMENT)
    while page := await client.list(address, after=cursor, before_ms=_FOREVER_MS, limit=LIST_LIMIT):
        for info in page:
            if not info.blob_id.startswith(write_id):
                return
            yield info
        cursor = page[-1].blob_id
