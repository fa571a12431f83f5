"""The jobs of repair, put together for the worker process."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.index.records import BucketRecord
from gateway.index.store import Index
from gateway.placement.membership import Membership
from gateway.redundancy import replicas_of
from gateway.settings import GatewaySettings
from gateway.workers.audit import Auditor
from gateway.workers.copying import Copier
from gateway.workers.node_watch import NodeWatch
from gateway.workers.rebalance import Rebalancer
from gateway.workers.repair import RepairWorker
from gateway.workers.surplus import CopyDisposal, SurplusSweeper
from storagenode.client import NodeClient

POLL_S = 5.0
"""How soon repair notices what was queued, and the audit what has become of the nodes."""


def repair_jobs(
    settings: GatewaySettings, index: Index, client: NodeClient, membership: Membership
) -> dict[str, Callable[[], Awaitable[object]]]:
    """Jobs by name, as `runner.Worker` takes them."""
    watch = NodeWatch(membership, node_timeout_s=settings.node_timeout_s, grace_s=settings.repair_grace_s)
    wanted = wanted_copies(settings, membership)
    disposal = CopyDisposal(index, client, watch, grace_s=settings.reclaim_grace_s)
    repairer = RepairWorker(
        index,
        Copier(client, watch),
        watch,
        disposal,
        wanted_copies=wanted,
        rate_bytes_s=settings.repair_rate_bytes_s,
        orphan_grace_s=settings.orphan_grace_s,
    )
    auditor = Auditor(
        index,
        watch,
        wanted_copies=wanted,
        # That of new writes: what was written while a node restarted has fewer copies than are wanted afterwards.
        policy=lambda: str(settings.replicas_for(len(membership.expected_nodes()))),
    )
    rebalancer = Rebalancer(index, watch, wanted_copies=wanted)
    sweeper = SurplusSweeper(index, client, watch, orphan_grace_s=settings.orphan_grace_s)
    poll_s = min(POLL_S, settings.reclaim_interval_s)
    return {
        "repair": _polling(repairer.run_once, poll_s),
        "audit": _polling(auditor.run_once, poll_s),
        "rebalance": _polling(rebalancer.run_once, poll_s),
        "surplus": sweeper.run_once,
        "released copies": disposal.delete_released,
    }


def wanted_copies(settings: GatewaySettings, membership: Membership) -> Callable[[BucketRecord], int]:
    """How many copies each blob of a bucket is to have, in the cluster as it is at the moment of asking.

    A node that was stopped counts, unlike for new writes: for a restart no copy is given up and made again. One that
    stays away for good is for an administrator to remove.
    """

    def wanted(bucket: BucketRecord) -> int:
        return replicas_of(bucket, sum(not node.draining for node in membership.nodes()), settings)

    return wanted


def _polling(job: Callable[[], Awaitable[object]], poll_s: float) -> Callable[[], Awaitable[object]]:
    """A pass that does not end: for what shall begin sooner than the worker's interval."""

    async def passes() -> None:
        while True:
            await job()
            await asyncio.sleep(poll_s)

    return passes
