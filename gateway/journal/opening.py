"""The index with its journal, as gateways, workers and commands use it: everything that must stand together."""

import contextlib
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.index.connection import Connection, connect
from gateway.index.journal_feed import JournalFeed, RestoreClaim
from gateway.index.store import Index
from gateway.journal.change_segment import SegmentChanger
from gateway.journal.founding import SETTLED_AFTER_S
from gateway.journal.journal import Journal
from gateway.journal.nodes import JournalNode
from gateway.journal.placing import Placing
from gateway.journal.progress import Progress
from gateway.journal.recovery import Recovery
from gateway.journal.restore import restore_newest
from gateway.placement.membership import Membership
from gateway.settings import GatewaySettings
from storagenode.client import NodeClient, node_at

_FOREVER_MS = 1 << 47


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIndex:
    """What `open_index` gives. The index may not be open yet: `journal.condition` tells."""

    index: Index
    connection: Connection
    """Guarded: for what clients see and workers decide."""
    raw: Connection
    """Without a guard: for leases, the node table, snapshots."""
    feed: JournalFeed
    """Over the guarded connection."""
    membership: Membership
    client: NodeClient
    journal: Journal


class MembershipRoster:
    """The node table as the journal looks at it."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    def nodes(self) -> Sequence[JournalNode]:
        return [
            JournalNode(
                node_id=node.node_id,
                zone=node.zone,
                weight=1.0,
                address=node_at(node.node_id, node.address),
                live=node.live,
                accepting=node.accepting,
                expected=not (node.stopped or node.draining or node.removed),
                suspect=self._membership.suspects(node.node_id),
                removed=node.removed,
            )
            for node in (*self._membership.nodes(), *self._membership.removed_nodes())
        ]

    def failed(self, node_id: str) -> None:
        self._membership.node_failed(node_id)

    async def refresh(self) -> None:
        await self._membership.refresh_if_possible()


@contextlib.asynccontextmanager
async def open_index(settings: GatewaySettings) -> AsyncIterator[OpenIndex]:
    """Connect, and keep the journal going until the end. Returns at once: the index opens when it can."""
    async with contextlib.AsyncExitStack() as stack:
        raw = connect(settings.redis_host, settings.redis_port, password=settings.redis_password)
        stack.push_async_callback(raw.close)
        journal: Journal | None = None

        def on_not_open() -> None:
            if journal is not None:
                journal.not_open()

        guarded = connect(
            settings.redis_host,
            settings.redis_port,
            password=settings.redis_password,
            guarded=True,
            on_not_open=on_not_open,
        )
        stack.push_async_callback(guarded.close)
        membership = await stack.enter_async_context(Membership(raw, node_timeout_s=settings.node_timeout_s))
        client = await stack.enter_async_context(NodeClient(settings.cluster_secret.encode()))
        feed = JournalFeed(guarded)
        journal = _make_journal(settings, guarded, raw, feed, membership, client)
        guarded.attach(journal)
        await stack.enter_async_context(journal)
        yield OpenIndex(
            index=Index(guarded),
            connection=guarded,
            raw=raw,
            feed=feed,
            membership=membership,
            client=client,
            journal=journal,
        )


def _make_journal(
    settings: GatewaySettings,
    guarded: Connection,
    raw: Connection,
    feed: JournalFeed,
    membership: Membership,
    client: NodeClient,
) -> Journal:
    roster = MembershipRoster(membership)
    placing = Placing(replicas=settings.journal_replicas)
    changer = SegmentChanger(client.journal, roster, placing, random_bits=secrets.randbits)
    raw_feed = JournalFeed(raw)

    async def restore(say: Callable[[str], None], claim: RestoreClaim) -> int:
        def progress(made: Progress) -> None:
            share = 100 * made.done // made.total if made.total else 100
            say(f"{made.stage.value}: {share} %")

        return await restore_newest(raw_feed, claim, client, _live(membership), progress=progress)

    recovery = Recovery(
        feed=raw_feed,
        changer=changer,
        nodes=client.journal,
        roster=roster,
        restore=restore,
        holds_bytes=partial(holds_bytes, client),
        expected_nodes=settings.expected_nodes,
        settled_after_s=settled_after_s(settings),
    )
    return Journal(
        connection=guarded,
        feed=feed,
        changer=changer,
        recovery=recovery,
        nodes=client.journal,
        roster=roster,
        placing=placing,
        timeout_s=settings.journal_timeout_s,
        random=random.random,
    )


async def holds_bytes(client: NodeClient, address: str) -> bool:
    """Whether a node has blobs, or manifests of snapshots. Raises NodeError."""
    blobs = await client.list(address, after="", before_ms=_FOREVER_MS, limit=1)
    return bool(blobs) or bool(await client.journal.manifests(address))


def settled_after_s(settings: GatewaySettings) -> float:
    """How long a node that lives may go unheard, at the most, after the node table was lost."""
    return max(SETTLED_AFTER_S, 2 * settings.node_heartbeat_interval_s)


def _live(membership: Membership) -> Mapping[str, str]:
    return {node.node_id: node.address for node in membership.nodes() if not node.stopped}
