"""Copies on nodes that a write turned away from: remembered by the write, given up by repair, never a named one."""

import pytest

from gateway.datapath import Damage, DamageKind, Origin
from gateway.datapath.origin import pack_origin
from gateway.datapath.repair_reports import RepairReporter
from gateway.index.records import Extent
from gateway.index.repair_records import RepairClass, RepairReason
from storagenode.protocol import blob_id
from tests.gateway.datapath.cluster import Cluster, NodeProcess
from tests.gateway.workers.objects import commit, delete_object, put_object
from tests.gateway.workers.repairing import Repair, nodes_in_record, nodes_with_blob


@pytest.fixture
def cluster(cluster_of_four: Cluster) -> Cluster:
    return cluster_of_four


@pytest.fixture
def repair(cluster: Cluster) -> Repair:
    return Repair(cluster, wanted=lambda bucket: 2)


async def leave_stray(cluster: Cluster, extent: Extent) -> NodeProcess:
    """Put the first segment on a node that has not got it, as a straggler does after its write was over."""
    named = extent.segments[0].nodes
    spare = next(node for node in cluster.nodes if node.node_id not in named)
    name = blob_id(extent.write_id, 0)
    async with cluster.client.get(cluster.node(named[0]).address, name, offset=0, length=4) as stream:
        body = b"".join([chunk async for chunk in stream])
    origin = pack_origin(Origin(bucket="b", key="k"), write_id=extent.write_id, size_bytes=4)
    await cluster.client.put(spare.address, name, size_bytes=4, origin=origin, body=body)
    return spare


async def test_a_stray_copy_is_given_up_once_its_write_is_committed(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 2, orphan_grace_s=3600)
    extent = await cluster.write(b"body")
    stray = await leave_stray(cluster, extent)
    await repair.report("k", extent, RepairReason.STRAY)
    assert (await repair.worker.run_once()).waiting == 1  # nothing names it yet
    await commit(cluster, "k", extent)
    await cluster.index.hurry_repairs()
    assert (await repair.worker.run_once()).done == 1
    assert await repair.disposal.delete_released() == 1
    assert stray.node_id not in await nodes_with_blob(cluster, extent)
    assert await nodes_with_blob(cluster, extent) == (await nodes_in_record(cluster, "k"))[0]


async def test_a_stray_copy_that_repair_has_a_use_for_stays(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 4)
    extent = await put_object(cluster, "k", b"body")
    await leave_stray(cluster, extent)
    await repair.report("k", extent, RepairReason.STRAY | RepairReason.TOO_FEW)
    assert (await repair.worker.run_once()).done == 1
    assert await repair.disposal.delete_released() == 0
    everywhere = {node.node_id for node in cluster.nodes}
    assert await nodes_with_blob(cluster, extent) == (await nodes_in_record(cluster, "k"))[0] == everywhere


async def test_a_stray_copy_of_what_was_deleted_since_is_given_up_too(cluster: Cluster, repair: Repair) -> None:
    extent = await put_object(cluster, "k", b"body")
    stray = await leave_stray(cluster, extent)
    await delete_object(cluster, "k")
    await repair.report("k", extent, RepairReason.STRAY)
    assert (await repair.worker.run_once()).done == 1
    assert await repair.disposal.delete_released() == 1
    assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)  # for an undelete
    await leave_stray(cluster, extent)
    for entry in await cluster.index.due_reclaims(grace_ms=0, limit=10):
        await cluster.index.finish_reclaim(entry)
    await repair.report("k", extent, RepairReason.STRAY)
    assert (await repair.worker.run_once()).done == 1
    assert stray.node_id not in await nodes_with_blob(cluster, extent)


async def test_a_node_that_is_away_is_asked_when_it_is_back(cluster: Cluster, repair: Repair) -> None:
    repair.watch._patience_s = 3600.0
    extent = await put_object(cluster, "k", b"body")
    stray = await leave_stray(cluster, extent)
    stray.stop()
    await cluster.membership.refresh()
    await repair.report("k", extent, RepairReason.STRAY)
    assert (await repair.worker.run_once()).waiting == 1
    stray.start()
    await cluster.know_all_nodes()
    assert (await repair.worker.run_once()).done == 1
    assert await repair.disposal.delete_released() == 1
    assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)


async def test_a_write_that_could_not_delete_a_copy_has_it_remembered_in_the_index(
    cluster: Cluster, repair: Repair
) -> None:
    await repair.worker.run_once()  # it has met all nodes: nothing is hurried
    extent = await put_object(cluster, "k", b"body")
    stray = await leave_stray(cluster, extent)
    damage = Damage(
        blob_id=blob_id(extent.write_id, 0),
        kind=DamageKind.STRAY,
        nodes=extent.segments[0].nodes,
        origin=pack_origin(Origin(bucket="b", key="k"), write_id=extent.write_id, size_bytes=4),
        size_bytes=4,
    )
    async with RepairReporter(cluster.index, cluster.client, cluster.membership, gather_s=0.0) as reporter:
        reporter(damage)
        reporter(damage)
    assert (await repair.worker.run_once()).done == 0  # the write may yet be committed
    await cluster.index.hurry_repairs()
    (item,) = await cluster.index.take_repairs(limit=5, lease_ms=1)
    assert (item.reasons, item.repair_class) == (RepairReason.STRAY, RepairClass.MOVE)
    while not (await repair.worker.run_once()).done:
        pass
    assert await repair.disposal.delete_released() == 1
    assert stray.node_id not in await nodes_with_blob(cluster, extent)
