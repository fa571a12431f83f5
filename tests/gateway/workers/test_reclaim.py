"""Bytes that lost their last reference are given back after their grace, all of them and nothing else."""

import pytest

from gateway.index import keys
from gateway.workers.reclaim import Reclaimer
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.objects import (
    complete_upload,
    create_upload,
    delete_object,
    put_object,
    put_part,
)

REPLICAS = 2


def reclaimer(cluster: Cluster, *, grace_s: float = 0.0, node_timeout_s: float = 1000.0) -> Reclaimer:
    return Reclaimer(cluster.index, cluster.client, cluster.membership, grace_s=grace_s, node_timeout_s=node_timeout_s)


async def test_bytes_of_replaced_and_deleted_objects_go_and_those_in_use_stay(cluster: Cluster) -> None:
    await put_object(cluster, "replaced", b"old")
    await put_object(cluster, "deleted", b"old too")
    await put_object(cluster, "kept", b"kept")
    await put_object(cluster, "replaced", b"new")
    await delete_object(cluster, "deleted")
    assert await cluster.blob_count() == 4 * REPLICAS
    result = await reclaimer(cluster).run_once()
    assert (result.finished, result.unfinished) == (2, 0)
    assert (result.blobs_deleted, result.bytes_deleted) == (2 * REPLICAS, 10 * REPLICAS)
    assert await cluster.blob_count() == 2 * REPLICAS
    for key, body in (("replaced", b"new"), ("kept", b"kept")):
        _, record = await cluster.index.get_object("b", key)
        assert record is not None
        assert await cluster.read(*record.extents) == body


async def test_nothing_goes_within_its_grace(cluster: Cluster) -> None:
    extent = await put_object(cluster, "k", b"old")
    await put_object(cluster, "k", b"new")
    result = await reclaimer(cluster, grace_s=3600).run_once()
    assert result.finished == 0
    assert await cluster.read(extent) == b"old"


async def test_aborted_upload_gives_its_parts_back(cluster: Cluster) -> None:
    upload_id = await create_upload(cluster, "k")
    for number in range(1, 40):
        await put_part(cluster, "k", upload_id, number, b"part")
    await cluster.index.abort_upload("b", "k", upload_id)
    result = await reclaimer(cluster).run_once()
    assert result.blobs_deleted == 39 * REPLICAS
    assert await cluster.blob_count() == 0


async def test_completed_upload_keeps_its_parts_and_gives_back_replaced_and_unused_ones(cluster: Cluster) -> None:
    upload_id = await create_upload(cluster, "k")
    for number, body in [(1, b"first"), (2, b"left out"), (3, b"third, replaced"), (3, b"third")]:
        await put_part(cluster, "k", upload_id, number, body)
    await complete_upload(cluster, "k", upload_id, 1, 3)
    await reclaimer(cluster).run_once()
    assert await cluster.blob_count() == 2 * REPLICAS
    _, record = await cluster.index.get_object("b", "k")
    assert record is not None
    assert await cluster.read(*record.extents) == b"firstthird"


async def test_large_object_with_a_layout_of_its_own_is_given_back_whole(cluster: Cluster) -> None:
    upload_id = await create_upload(cluster, "k")
    for number in range(1, 61):
        await put_part(cluster, "k", upload_id, number, b"part")
    await complete_upload(cluster, "k", upload_id, *range(1, 61))
    await reclaimer(cluster).run_once()
    assert await cluster.blob_count() == 60 * REPLICAS
    await delete_object(cluster, "k")
    await reclaimer(cluster).run_once()
    assert await cluster.blob_count() == 0


async def test_an_entry_whose_node_is_away_waits_and_the_others_go_on(cluster: Cluster) -> None:
    extents = {f"k{number}": await put_object(cluster, f"k{number}", b"x") for number in range(12)}
    away = cluster.nodes[0]
    touched = {key for key, extent in extents.items() if away.node_id in extent.segments[0].nodes}
    assert 0 < len(touched) < 12
    away.kill()
    for key in extents:
        await delete_object(cluster, key)
    worker = reclaimer(cluster)
    result = await worker.run_once()
    assert (result.finished, result.unfinished) == (12 - len(touched), len(touched))
    assert (await worker.run_once()).unfinished == len(touched)
    assert await cluster.blob_count() == 0  # of the nodes that run
    away.start()
    await cluster.know_all_nodes()
    assert len(await cluster.blobs(away)) == len(touched)
    result = await worker.run_once()
    assert (result.finished, result.unfinished) == (len(touched), 0)
    assert (await worker.run_once()).finished == 0
    assert await cluster.blob_count() == 0


@pytest.mark.parametrize(("node_timeout_s", "finished"), [(1000.0, 0), (0.0, 1)])
async def test_a_node_that_nobody_knows_counts_as_removed_only_after_each_had_time_to_register(
    cluster: Cluster, node_timeout_s: float, finished: int
) -> None:
    extent = await put_object(cluster, "k", b"x")
    gone = cluster.node(extent.segments[0].nodes[0])
    gone.kill()
    await cluster.connection.command("HDEL", keys.nodes(), gone.node_id)
    await delete_object(cluster, "k")
    result = await reclaimer(cluster, node_timeout_s=node_timeout_s).run_once()
    assert result.finished == finished


async def test_a_worker_that_is_killed_midway_leaves_the_entry_to_the_next(cluster: Cluster) -> None:
    await put_object(cluster, "k", b"x")
    await delete_object(cluster, "k")
    assert len(await cluster.index.due_reclaims(grace_ms=0, limit=10)) == 1  # taken, and never finished
    assert (await reclaimer(cluster).run_once()).finished == 0
    await _let_ten_minutes_pass(cluster)
    assert (await reclaimer(cluster).run_once()).finished == 1
    assert await cluster.blob_count() == 0


async def _let_ten_minutes_pass(cluster: Cluster) -> None:
    """By the index's books: what was handed out and not finished is due again."""
    for member in await cluster.connection.command("ZRANGE", keys.reclaiming(), 0, -1):
        await cluster.connection.command("ZADD", keys.reclaiming(), 0, member)
