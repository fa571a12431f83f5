"""Repair that cannot be done, or not yet: what waits, what backs off, who else is asked."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.index.repair_records import RepairReason
from storagenode.client import NodeFull, NodeUnreachable
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.objects import (
    commit,
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


async def test_a_write_that_is_not_committed_yet_is_waited_for(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 3, orphan_grace_s=3600)
    extent = await cluster.write(b"soon")
    await repair.report("k", extent, TOO_FEW)
    result = await repair.worker.run_once()
    assert (result.done, result.failed, result.waiting) == (0, 0, 1)
    await commit(cluster, "k", extent)
    await cluster.index.hurry_repairs()
    assert (await repair.worker.run_once()).copies_made == 1


async def test_a_long_write_is_waited_for_by_its_lease(cluster: Cluster, repair: Repair) -> None:
    extent = await cluster.write(b"slow")
    await cluster.index.keep_lease(extent.write_id, ttl_ms=60_000)
    await repair.report("k", extent, TOO_FEW)
    assert (await repair.worker.run_once()).waiting == 1
    await cluster.index.drop_lease(extent.write_id)
    await cluster.index.hurry_repairs()
    assert (await repair.worker.run_once()).done == 1


async def test_an_item_that_fails_stops_no_other_and_is_tried_again_when_a_node_comes(
    cluster: Cluster, repair: Repair
) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 4)
    spare = cluster.nodes[0]
    spare.stop()
    await cluster.membership.refresh()
    extent = await put_object(cluster, "k", b"body")
    good = await put_object(cluster, "good", b"good")
    await lose(cluster, good)
    await repair.report("k", extent, TOO_FEW)
    await repair.report("good", good, MISSING)
    result = await repair.worker.run_once()
    assert result.failed == 2
    assert len(await nodes_with_blob(cluster, extent)) == 3  # as far as it goes
    (nodes,) = await nodes_in_record(cluster, "k")
    assert len(nodes) == 3
    backlog = await cluster.index.repair_backlog()
    assert {item.last_error for item in backlog.failing} == {
        "2 copies more are wanted, 1 of 4 nodes could take it",
        "3 copies more are wanted, 2 of 4 nodes could take it",
    }
    assert (await repair.worker.run_once()).failed == 0  # each backs off
    spare.start()
    await cluster.know_all_nodes()
    assert (await repair.worker.run_once()).done == 2
    (nodes,) = await nodes_in_record(cluster, "k")
    assert nodes == {node.node_id for node in cluster.nodes}


async def test_backing_off_doubles_up_to_an_hour(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 2)
    repair.worker._first_backoff_ms = 10_000
    extent = await put_object(cluster, "k", b"body")
    await repair.report("k", extent, MISSING)
    (item,) = await cluster.index.take_repairs(limit=1, lease_ms=1)
    delays = [repair.worker._backoff_ms(replace(item, attempts=attempts)) for attempts in (0, 1, 2, 9, 1000)]
    assert delays == [10_000, 20_000, 40_000, 3_600_000, 3_600_000]


async def test_when_the_first_choice_refuses_another_node_is_taken(
    cluster: Cluster, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = await put_object(cluster, "k", b"body")
    refused: list[str] = []
    put = cluster.client.put

    async def refuse_once(address: str, name: str, **rest: object) -> object:
        if not refused:
            refused.append(address)
            raise NodeFull("full")
        return await put(address, name, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cluster.client, "put", refuse_once)
    leaving = cluster.node(extent.segments[0].nodes[0])
    await repair.drain(leaving)
    await repair.report("k", extent, RepairReason.DRAINING)
    assert (await repair.worker.run_once()).done == 1
    (nodes,) = await nodes_in_record(cluster, "k")
    assert refused[0] not in {cluster.node(node_id).address for node_id in nodes}


async def test_when_one_source_breaks_the_other_is_read(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 3)
    extent = await put_object(cluster, "k", b"body")
    first = cluster.node(extent.segments[0].nodes[0])
    get = cluster.client.get

    def break_first(address: str, name: str, **rest: Any) -> object:
        if address == first.address:
            raise NodeUnreachable("broken")
        return get(address, name, **rest)

    monkeypatch.setattr(cluster.client, "get", break_first)
    await repair.report("k", extent, TOO_FEW)
    with pytest.raises(NodeUnreachable):
        cluster.client.get(first.address, "x", offset=0, length=1)
    assert (await repair.worker.run_once()).done == 1
    assert len(await nodes_with_blob(cluster, extent)) == 3


async def test_nothing_is_given_up_while_no_good_copy_can_be_read(cluster: Cluster, repair: Repair) -> None:
    extent = await put_object(cluster, "k", b"body")
    for node_id in extent.segments[0].nodes:
        cluster.node(node_id).stop()
    await cluster.membership.refresh()
    await repair.report("k", extent, RepairReason.NODE_LOST)
    result = await repair.worker.run_once()
    assert (result.done, result.failed) == (0, 1)
    (nodes,) = await nodes_in_record(cluster, "k")
    assert nodes == set(extent.segments[0].nodes)
    (item,) = (await cluster.index.repair_backlog()).failing
    assert (item.attempts, item.copies_left, item.last_error) == (1, 0, "no good copy can be read at present")
