"""Repair over a test cluster: the workers with short graces, reports by hand, what lies where."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.index.node_states import NodeState
from gateway.index.records import BucketRecord, Extent, Origin
from gateway.index.repair_records import RepairReason, RepairReport, SegmentRef, class_of
from gateway.workers.audit import Auditor
from gateway.workers.copying import Copier
from gateway.workers.node_watch import NodeWatch
from gateway.workers.rebalance import Rebalancer
from gateway.workers.repair import RepairWorker
from gateway.workers.surplus import CopyDisposal, SurplusSweeper
from storagenode.client import BlobNotFound
from storagenode.protocol import blob_id
from tests.gateway.datapath.cluster import NODE_TIMEOUT_S, Cluster, NodeProcess

FAST_BYTES_S = 10 << 30


class Clock:
    """Turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Repair:
    """Every part of repair over one cluster; nodes that are dead are so for good at once."""

    cluster: Cluster
    wanted: Callable[[BucketRecord], int]
    grace_s: float = 0.0
    orphan_grace_s: float = 0.0
    clock: Clock = field(default_factory=Clock)
    watch: NodeWatch = field(init=False)
    copier: Copier = field(init=False)
    disposal: CopyDisposal = field(init=False)
    worker: RepairWorker = field(init=False)
    auditor: Auditor = field(init=False)
    sweeper: SurplusSweeper = field(init=False)
    rebalancer: Rebalancer = field(init=False)

    def __post_init__(self) -> None:
        cluster = self.cluster
        self.watch = NodeWatch(
            cluster.membership, node_timeout_s=NODE_TIMEOUT_S, grace_s=-NODE_TIMEOUT_S, clock=self.clock
        )
        self.copier = Copier(cluster.client, self.watch)
        self.disposal = CopyDisposal(cluster.index, cluster.client, self.watch, grace_s=self.grace_s)
        self.worker = RepairWorker(
            cluster.index,
            self.copier,
            self.watch,
            self.disposal,
            wanted_copies=self.wanted,
            rate_bytes_s=FAST_BYTES_S,
            orphan_grace_s=self.orphan_grace_s,
            first_backoff_ms=3_600_000,
        )
        self.auditor = Auditor(cluster.index, self.watch, wanted_copies=self.wanted)
        self.sweeper = SurplusSweeper(
            cluster.index, cluster.client, self.watch, orphan_grace_s=self.orphan_grace_s, page_limit=7
        )
        self.rebalancer = Rebalancer(cluster.index, self.watch, wanted_copies=self.wanted)

    async def report(
        self, key: str, extent: Extent, reasons: RepairReason, *, upload_id: str | None = None, part: int | None = None
    ) -> None:
        """Queue every segment of an extent."""
        origin = Origin(bucket="b", key=key, upload_id=upload_id, part_number=part)
        reports = [
            RepairReport(
                segment=SegmentRef(write_id=extent.write_id, number=segment.number),
                origin=origin,
                reasons=reasons,
                repair_class=class_of(copies_left=1, wanted=2),
                copies_left=1,
                size_bytes=segment.size_bytes,
            )
            for segment in extent.segments
        ]
        await self.cluster.index.queue_repairs(reports)

    async def drain(self, node: NodeProcess) -> None:
        """Say that a node is draining."""
        await self.state(node, NodeState.DRAINING)

    async def state(self, node: NodeProcess, state: NodeState | None) -> None:
        """Say something of a node."""
        await self.cluster.index.set_node_state(node.node_id, state, now_ms=self.cluster.membership.now_ms())
        await self.cluster.membership.refresh()


async def lose(cluster: Cluster, extent: Extent, number: int = 0) -> str:
    """Delete the first copy of a segment behind everybody's back; the node that had it."""
    node_id = extent.segments[number].nodes[0]
    await cluster.client.delete(cluster.node(node_id).address, blob_id(extent.write_id, number))
    return node_id


async def nodes_in_record(cluster: Cluster, key: str) -> list[set[str]]:
    """By segment, over all extents of the object's current version."""
    _, record = await cluster.index.get_object("b", key)
    assert record
    return [set(segment.nodes) for extent in record.extents for segment in extent.segments]


async def nodes_with_blob(cluster: Cluster, extent: Extent, number: int = 0) -> set[str]:
    """Where a blob really is, among the nodes that run."""
    found = set()
    for node in cluster.nodes:
        if node.is_running:
            try:
                await cluster.client.stat(node.address, blob_id(extent.write_id, number))
            except BlobNotFound:
                continue
            found.add(node.node_id)
    return found
