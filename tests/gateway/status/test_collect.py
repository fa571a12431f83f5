"""A status comes from a real index server and real nodes, also while some of them are down."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from gateway.index import keys
from gateway.index.node_states import NodeState as Ordered
from gateway.index.records import Origin
from gateway.index.repair_records import Census, RepairClass, RepairReason, RepairReport, SegmentRef
from gateway.settings import GatewaySettings
from gateway.status.command import status_of
from gateway.status.report import Health, NodeState, StatusReport
from tests.gateway.datapath.cluster import SECRET, Cluster, Processes, open_cluster, running_processes
from tests.gateway.workers.objects import OWNER, delete_object, empty_index, put_object
from tests.harness.opened_index import open_as_it_is


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("status"), nodes=3) as processes:
        yield processes


@pytest.fixture
async def cluster(three_nodes: Processes) -> AsyncIterator[Cluster]:
    async with open_cluster(three_nodes, replicas=2) as cluster:
        await empty_index(cluster)
        await open_as_it_is(cluster.connection)
        await cluster.index.create_bucket("b", OWNER, "r", now_ms=1, limit=10)
        yield cluster


def settings_of(cluster: Cluster) -> GatewaySettings:
    return GatewaySettings(redis_host=cluster.redis.address, cluster_secret=SECRET)


async def status(cluster: Cluster, *addresses: str) -> StatusReport:
    return await status_of(settings_of(cluster), addresses)


def symptoms(report: StatusReport) -> set[str]:
    return {finding.symptom for finding in report.findings}


async def test_nodes_index_and_reclaim_are_told(cluster: Cluster) -> None:
    await put_object(cluster, "kept", b"x" * 1000)
    await put_object(cluster, "deleted", b"x" * 500)
    await delete_object(cluster, "deleted")
    report = await status(cluster)
    assert {node.node_id for node in report.nodes} == {node.node_id for node in cluster.nodes}
    for node in report.nodes:
        assert (node.state, node.reachable, node.accepting, node.problem) == (NodeState.LIVE, True, True, "")
        assert node.silent_s is not None
        assert node.silent_s < 60
        assert node.scrub is not None
        assert node.scrub.expected_end_ms > report.at_ms
    assert report.index is not None
    assert report.index.is_master
    assert report.index.used_bytes > 0
    assert "appendonly no" in report.index.durability
    assert report.reclaim is not None
    assert (report.reclaim.within_grace.entries, report.reclaim.within_grace.size_bytes) == (1, 1000)
    assert report.journal is not None
    assert report.journal.is_open
    assert report.journal.sequence == 4
    assert report.redundancy is None
    assert report.unknown == {}
    # The harness runs no worker.
    assert symptoms(report) == {"no-worker", "no-census", "index-not-durable"}
    assert report.health is Health.DEGRADED


async def test_census_and_repairs_are_told(cluster: Cluster) -> None:
    now_ms = int(time.time() * 1000)
    await cluster.index.store_census(
        Census(
            started_ms=now_ms - 70_000,
            ended_ms=now_ms - 60_000,
            objects_by_copies={2: 8, 1: 2},
            bytes_by_copies={2: 80, 1: 20},
            short_objects=2,
            short_bytes=20,
        )
    )
    extent = await put_object(cluster, "k", b"x")
    place = await cluster.index.find_extent(extent.write_id, Origin(bucket="b", key="k"))
    assert place is not None
    await cluster.index.queue_repairs(
        [
            RepairReport(
                segment=SegmentRef(write_id=extent.write_id, number=0),
                origin=Origin(bucket="b", key="k"),
                reasons=RepairReason.CORRUPT,
                repair_class=RepairClass.LAST_COPY,
                copies_left=1,
                size_bytes=1_000_000,
            )
        ]
    )
    (item,) = await cluster.index.take_repairs(limit=1, lease_ms=1000)
    await cluster.index.postpone_repair(
        item, delay_ms=1000, repair_class=RepairClass.LAST_COPY, copies_left=1, error="no good copy can be read"
    )
    report = await status(cluster)
    assert report.redundancy is not None
    assert 55 < report.redundancy.age_s < 90
    assert (report.redundancy.objects, report.redundancy.objects_by_copies) == (10, {2: 8, 1: 2})
    assert report.repairs is not None
    assert (report.repairs.items, report.repairs.size_bytes) == (1, 1_000_000)
    assert report.repairs.items_by_class["last_copy"] == 1
    assert report.repairs.time_left_s == pytest.approx(1_000_000 / (100 * 1024 * 1024))
    (failure,) = report.repairs.failing
    assert (failure.bucket, failure.key, failure.last_error) == ("b", "k", "no good copy can be read")
    assert "bring back" in failure.advice
    assert {"objects-short", "repairs-fail"} <= symptoms(report)


async def test_a_killed_node_is_named_and_the_rest_stands(cluster: Cluster) -> None:
    cluster.nodes[0].kill()
    report = await status(cluster)
    by_id = {node.node_id: node for node in report.nodes}
    assert not by_id[cluster.nodes[0].node_id].reachable
    assert by_id[cluster.nodes[0].node_id].problem
    assert by_id[cluster.nodes[1].node_id].reachable
    assert "node-unreachable" in symptoms(report)


async def test_a_node_long_silent_is_dead_and_a_drained_one_draining(cluster: Cluster) -> None:
    cluster.nodes[0].kill()
    await cluster.index.set_node_state(cluster.nodes[1].node_id, Ordered.DRAINING, now_ms=1)
    dead = replace(settings_of(cluster), node_timeout_s=0.001)
    report = await status_of(dead)
    states = {node.node_id: node.state for node in report.nodes}
    assert states[cluster.nodes[0].node_id] is NodeState.DEAD
    assert "node-dead" in symptoms(report)
    assert "node-silent" in symptoms(report)  # the others answer, but by this short time limit they are silent
    report = await status(cluster)
    assert {node.node_id: node.state for node in report.nodes}[cluster.nodes[1].node_id] is NodeState.DRAINING
    await cluster.index.set_node_state(cluster.nodes[1].node_id, None, now_ms=2)


async def test_a_stopped_node_that_said_goodbye_is_stopped(cluster: Cluster) -> None:
    cluster.nodes[0].stop()
    report = await status(cluster)
    (stopped,) = [node for node in report.nodes if node.node_id == cluster.nodes[0].node_id]
    assert stopped.state is NodeState.STOPPED


async def test_no_node_answering_is_unreachable(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.kill()
    report = await status(cluster)
    assert report.health is Health.UNREACHABLE
    assert "none of 3 storage nodes answers" in report.summary


async def test_with_another_secret_every_node_refuses(cluster: Cluster) -> None:
    report = await status_of(replace(settings_of(cluster), cluster_secret="another"))
    assert report.health is Health.UNREACHABLE
    assert {"wrong signature" in node.problem for node in report.nodes} == {True}


async def test_an_index_that_is_not_open_is_told(cluster: Cluster) -> None:
    await cluster.connection.command("HDEL", keys.journal(), "opened")
    report = await status(cluster)
    assert report.journal is not None
    assert not report.journal.is_open
    assert report.findings[0].symptom == "index-not-open"


async def test_without_the_index_given_nodes_are_asked(cluster: Cluster) -> None:
    away = replace(settings_of(cluster), redis_host="unix:/nowhere/redis.sock")
    node = cluster.nodes[1]
    report = await status_of(away, [node.address])
    assert report.health is Health.UNREACHABLE
    (found,) = report.nodes
    assert (found.node_id, found.reachable, found.silent_s) == (node.node_id, True, None)
    assert set(report.unknown) == {"nodes", "journal", "index", "redundancy", "repairs", "reclaim", "events"}
    assert report.findings[0].symptom == "index-unreachable"


async def test_a_damaged_record_hides_its_section_alone(cluster: Cluster) -> None:
    await cluster.connection.command("HSET", keys.repair_state(), "census", "{")
    report = await status(cluster)
    assert set(report.unknown) == {"redundancy"}
    assert report.reclaim is not None
    assert "unknown" in symptoms(report)
