"""Throwing an index away and making it anew from the nodes, because an administrator says so.

What clients were told stays: it is durable in the journal, and that is looked at before anything is thrown away. While
it lasts the server says that no index is open on it, so gateways answer 503 and wait; they need not be stopped.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from gateway.index.connection import Connection, connect
from gateway.index.journal_feed import JournalFeed, RestoreClaim
from gateway.journal.catalogue import read_manifests
from gateway.journal.chain import chain_up_to, views_of
from gateway.journal.change_segment import SegmentChanger
from gateway.journal.failures import RaceLost
from gateway.journal.opening import MembershipRoster, holds_bytes, settled_after_s
from gateway.journal.placing import Placing
from gateway.journal.progress import Progress
from gateway.journal.recovery import LEASE_TTL_S, Recovery
from gateway.journal.restore import restore_newest
from gateway.journal.snapshot_format import Manifest, SnapshotState
from gateway.placement.membership import Membership
from gateway.settings import GatewaySettings
from storagenode.client import NodeClient, NodeError
from storagenode.journal_protocol import unpack_header

_RETRY_S = 0.5
_QUESTIONS_AT_ONCE = 32

Say = Callable[[str], None]


class RebuildRefused(Exception):
    """The index is left as it is; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an index would be rebuilt from."""

    snapshot: Manifest | None
    entries: int
    """To be replayed."""
    watermark: int


class Rebuilder:
    """`plan`, then `run`."""

    def __init__(
        self, raw: Connection, membership: Membership, client: NodeClient, *, settings: GatewaySettings
    ) -> None:
        self._raw = raw
        self._feed = JournalFeed(raw)
        self._membership = membership
        self._client = client
        self._settings = settings
        self._holder = secrets.token_hex(16)
        self._changer = SegmentChanger(
            client.journal,
            MembershipRoster(membership),
            Placing(replicas=settings.journal_replicas),
            random_bits=secrets.randbits,
        )

    async def plan(self) -> Plan | None:
        """What there is to rebuild from; None where the server holds no index, whose recovery is under way or blocked.

        Raises RebuildRefused where the nodes do not have all of it, IndexUnavailable.
        """
        state = await self._feed.read_state()
        if state.sequence is None or state.opened != state.identity or not state.segment:
            return None
        views = views_of(await self._changer.survey())
        chain = chain_up_to(views, unpack_header(state.segment), state.watermark)
        for link in chain:
            view = views.get(link.header.segment_id)
            if view is None or not view.is_readable:
                raise RebuildRefused(f"too few nodes have segment {link.header.segment_id} of the journal")
        begins_after = chain[0].header.first_sequence - 1
        for manifest in (await read_manifests(self._client, self._addresses)).values():
            usable = manifest.state is SnapshotState.COMPLETE and manifest.start_sequence >= begins_after
            if usable and await self._has_all_chunks(manifest):
                entries = state.watermark - manifest.start_sequence
                return Plan(snapshot=manifest, entries=entries, watermark=state.watermark)
        if begins_after:
            raise RebuildRefused(f"the journal begins behind change {begins_after} and no snapshot leads there")
        return Plan(snapshot=None, entries=state.watermark, watermark=state.watermark)

    async def run(self, *, say: Say) -> None:
        """Empty the index and recover it. Raises RebuildRefused, JournalBlocked, IndexUnavailable, IndexFault."""
        if not await self._feed.try_recovery_lease(self._holder, ttl_ms=int(LEASE_TTL_S * 1000)):
            raise RebuildRefused("another process is opening the index at this moment")
        say("emptying the index")
        await self._feed.begin_restore(RestoreClaim(token=self._holder))
        await self.recover(say=say)

    async def recover(self, *, say: Say) -> None:
        """Open an index that is not open, or wait until another process has. Raises as `run`."""

        async def restore(tell: Say, claim: RestoreClaim) -> int:
            def progress(made: Progress) -> None:
                tell(f"{made.stage.value}: {100 * made.done // max(made.total, 1)} %")

            return await restore_newest(self._feed, claim, self._client, self._addresses, progress=progress)

        recovery = Recovery(
            feed=self._feed,
            changer=self._changer,
            nodes=self._client.journal,
            roster=MembershipRoster(self._membership),
            restore=restore,
            holds_bytes=partial(holds_bytes, self._client),
            expected_nodes=self._settings.expected_nodes,
            settled_after_s=settled_after_s(self._settings),
            holder=self._holder,
        )
        while True:
            try:
                await recovery.run(superseded=(), say=say)
            except RaceLost as error:
                say(str(error))
                await asyncio.sleep(_RETRY_S)
            else:
                return

    @property
    def _addresses(self) -> Mapping[str, str]:
        return {node.node_id: node.address for node in self._membership.live_nodes()}

    async def _has_all_chunks(self, manifest: Manifest) -> bool:
        turn = asyncio.Semaphore(_QUESTIONS_AT_ONCE)
        addresses = self._addresses

        async def is_there(number: int) -> bool:
            for node_id in manifest.chunks[number].nodes:
                with contextlib.suppress(NodeError, KeyError):
                    async with turn:
                        info = await self._client.stat(addresses[node_id], manifest.blob_id(number))
                    if info.digest == manifest.chunks[number].digest:
                        return True
            return False

        return all(await asyncio.gather(*map(is_there, range(len(manifest.chunks)))))


@contextlib.asynccontextmanager
async def open_rebuilder(settings: GatewaySettings) -> AsyncIterator[Rebuilder]:
    """A rebuilder with connections of its own. Raises IndexUnavailable."""
    async with contextlib.AsyncExitStack() as stack:
        raw = connect(settings.redis_host, settings.redis_port, password=settings.redis_password)
        stack.push_async_callback(raw.close)
        membership = await stack.enter_async_context(Membership(raw, node_timeout_s=settings.node_timeout_s))
        await membership.refresh(maximum_age_s=1.0)
        client = await stack.enter_async_context(NodeClient(settings.cluster_secret.encode()))
        yield Rebuilder(raw, membership, client, settings=settings)
