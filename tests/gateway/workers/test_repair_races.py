"""Repair while others change the same records, and while its worker dies or is slow."""

import asyncio
from dataclasses import replace

import pytest

from gateway.index import keys
from gateway.index.errors import IndexUnavailable
from gateway.index.repair_records import RepairReason
from gateway.index.store import Index
from gateway.workers.pacing import Pace
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.objects import (
    delete_object,
    put_object,
)
from tests.gateway.workers.repairing import Repair, lose, nodes_in_record, nodes_with_blob

MISSING, CORRUPT, TOO_FEW = RepairReason.MISSING, RepairReason.CORRUPT, RepairReason.TOO_FEW


@pytest.fixture
def cluster(cluster_of_four: Cluster) -> Cluster:
    return cluster_of_four


@pytest.fixture
def repair(cluster: Cluster) -> Repair:
    return Repair(cluster, wanted=lambda bucket: 2)


@pytest.mark.parametrize("outcome", ["replaced", "deleted", "tagged"])
async def test_a_record_that_changes_during_the_copy(
    cluster: Cluster, repair: Repair, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = await put_object(cluster, "k", b"body")
    leaving = cluster.node(extent.segments[0].nodes[0])
    await repair.drain(leaving)
    await repair.report("k", extent, RepairReason.DRAINING)
    copy = repair.copier.copy

    async def interfere(*arguments: object) -> None:
        await copy(*arguments)  # type: ignore[arg-type]
        if outcome == "replaced":
            await put_object(cluster, "k", b"other")
        elif outcome == "deleted":
            await delete_object(cluster, "k")
        else:
            await cluster.index.update_object("b", "k", None, lambda record: replace(record, tags=(("a", "b"),)))

    monkeypatch.setattr(repair.copier, "copy", interfere)
    assert (await repair.worker.run_once()).done == 1
    await repair.disposal.delete_released()
    if outcome == "tagged":
        (nodes,) = await nodes_in_record(cluster, "k")
        assert leaving.node_id not in nodes
        assert await nodes_with_blob(cluster, extent) == nodes
    else:
        # The new copy is gone; the others wait in the trash for undelete.
        assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)


async def test_a_copy_put_back_into_a_record_that_vanished_is_deleted(
    cluster: Cluster, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = await put_object(cluster, "k", b"body")
    await lose(cluster, extent)
    await repair.report("k", extent, MISSING)
    copy = repair.copier.copy

    async def interfere(*arguments: object) -> None:
        await copy(*arguments)  # type: ignore[arg-type]
        await delete_object(cluster, "k")
        for entry in await cluster.index.due_reclaims(grace_ms=0, limit=10):
            await cluster.index.finish_reclaim(entry)  # its worker has deleted what there was before the copy

    monkeypatch.setattr(repair.copier, "copy", interfere)
    await repair.worker.run_once()
    assert extent.segments[0].nodes[0] not in await nodes_with_blob(cluster, extent)


async def test_killed_before_the_record_was_changed_it_is_done_over(
    cluster: Cluster, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = await put_object(cluster, "k", b"body")
    leaving = cluster.node(extent.segments[0].nodes[0])
    await repair.drain(leaving)
    await repair.report("k", extent, RepairReason.DRAINING)

    async def away(*_: object, **__: object) -> int:
        raise IndexUnavailable("gone", maybe_applied=True)

    with monkeypatch.context() as patch:
        patch.setattr(Index, "move_replicas", away)
        with pytest.raises(IndexUnavailable):
            await repair.worker.run_once()
    assert (await repair.worker.run_once()).done == 0  # its lease stands
    await cluster.connection.command("DEL", keys.repairs_taken())
    assert (await repair.worker.run_once()).done == 1
    await repair.disposal.delete_released()
    (nodes,) = await nodes_in_record(cluster, "k")
    assert leaving.node_id not in nodes
    assert await nodes_with_blob(cluster, extent) == nodes


async def test_a_lease_is_renewed_while_a_slow_batch_is_worked_on(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 3)
    repair.worker._lease_ms = 300
    repair.worker._pace = Pace(400_000.0)
    extent = await put_object(cluster, "k", bytes(400_000))
    await repair.report("k", extent, TOO_FEW)
    running = asyncio.create_task(repair.worker.run_once())
    while not await cluster.connection.command("ZCARD", keys.repairs_taken()):
        await asyncio.sleep(0.01)
    while await cluster.index.repairs_waiting():
        assert await cluster.index.take_repairs(limit=5, lease_ms=1000) == []
        await asyncio.sleep(0.02)
    assert (await running).done == 1
