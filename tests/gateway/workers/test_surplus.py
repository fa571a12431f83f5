"""Copies that no record names: of nodes that return, of repairs that were killed midway; and none that is named."""

import pytest

from gateway.datapath import Origin
from gateway.datapath.origin import pack_origin
from gateway.index import keys
from gateway.index.repair_records import RepairReason, SegmentRef
from storagenode.client import NodeUnreachable
from storagenode.protocol import blob_id, new_write_id
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.objects import create_upload, delete_object, put_object, put_part
from tests.gateway.workers.repairing import Repair, nodes_in_record, nodes_with_blob


@pytest.fixture
def cluster(cluster_of_four: Cluster) -> Cluster:
    return cluster_of_four


@pytest.fixture
def repair(cluster: Cluster) -> Repair:
    return Repair(cluster, wanted=lambda bucket: 2)


async def test_a_node_that_returns_gives_back_what_was_repaired_around_it(cluster: Cluster, repair: Repair) -> None:
    extents = {f"k{number}": await put_object(cluster, f"k{number}", bytes([number])) for number in range(10)}
    dead = cluster.node(extents["k0"].segments[0].nodes[0])
    dead.stop()
    await repair.auditor.run_once()
    assert (await repair.worker.run_once()).failed == 0
    await repair.sweeper.run_once()  # notes that it is gone
    dead.start()
    await cluster.know_all_nodes()
    await put_object(cluster, "new", b"named here, perhaps")
    result = await repair.sweeper.run_once()
    hit = [key for key, extent in extents.items() if dead.node_id in extent.segments[0].nodes]
    assert result.found == len(hit) > 0
    assert await repair.disposal.delete_released() == len(hit)
    for key, extent in extents.items():
        assert await nodes_with_blob(cluster, extent) == (await nodes_in_record(cluster, key))[0]
    assert (await repair.sweeper.run_once()).checked == 0  # once


async def test_whatever_is_named_stays(cluster: Cluster, repair: Repair) -> None:
    await put_object(cluster, "k", b"object")
    await put_object(cluster, "deleted", b"in the trash")
    await delete_object(cluster, "deleted")
    upload_id = await create_upload(cluster, "u")
    await put_part(cluster, "u", upload_id, 1, b"part")
    aborted = await create_upload(cluster, "v")
    await put_part(cluster, "v", aborted, 1, b"part")
    await cluster.index.abort_upload("b", "v", aborted)
    await cluster.write(b"not committed, or not yet", origin=Origin(bucket="b", key="w"))
    before = await cluster.blob_count()
    result = await repair.sweeper.run_once()
    assert (result.checked, result.found) == (before, 0)
    assert await repair.disposal.delete_released() == 0
    assert await cluster.blob_count() == before


async def test_snapshots_and_blobs_of_unknown_origin_stay(cluster: Cluster, repair: Repair) -> None:
    write_id = new_write_id(1000, bytes(10))
    address = cluster.nodes[0].address
    origins = [b"unknown", pack_origin(Origin(bucket="", key="snapshot"), write_id=write_id, size_bytes=1)]
    for number, origin in enumerate(origins):
        await cluster.client.put(address, blob_id(write_id, number), size_bytes=1, origin=origin, body=b"x")
    assert (await repair.sweeper.run_once()).found == 0


async def test_a_copy_made_by_a_worker_that_was_killed_is_found(cluster: Cluster, repair: Repair) -> None:
    extent = await put_object(cluster, "k", b"body")
    spare = next(node for node in cluster.nodes if node.node_id not in extent.segments[0].nodes)
    origin = pack_origin(Origin(bucket="b", key="k"), write_id=extent.write_id, size_bytes=4)
    await cluster.client.put(spare.address, blob_id(extent.write_id, 0), size_bytes=4, origin=origin, body=b"body")
    assert (await repair.sweeper.run_once()).found == 1
    assert await repair.disposal.delete_released() == 1
    assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)


async def test_a_young_blob_is_left_alone(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 2, orphan_grace_s=3600)
    await put_object(cluster, "k", b"body")
    assert (await repair.sweeper.run_once()).checked == 0


async def test_a_copy_that_cannot_be_deleted_now_is_tried_again_and_cannot_be_named(
    cluster: Cluster, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = await put_object(cluster, "k", b"body")
    leaving = cluster.node(extent.segments[0].nodes[0])
    await repair.drain(leaving)
    await repair.report("k", extent, RepairReason.DRAINING)
    assert (await repair.worker.run_once()).done == 1

    async def unreachable(*_: object, **__: object) -> bool:
        raise NodeUnreachable("away")

    with monkeypatch.context() as patch:
        patch.setattr(cluster.client, "delete", unreachable)
        assert await repair.disposal.delete_released() == 0
    assert await repair.disposal.delete_released() == 0  # for ten minutes
    ((member, _),) = [await cluster.connection.command("ZRANGE", keys.releasing(), 0, -1, "WITHSCORES")]
    await cluster.connection.command("ZADD", keys.releasing(), 1, member)
    assert await repair.disposal.delete_released() == 1
    assert await nodes_with_blob(cluster, extent) == (await nodes_in_record(cluster, "k"))[0]


async def test_a_worker_that_slept_too_long_deletes_nothing(
    cluster: Cluster, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = await put_object(cluster, "k", b"body")
    leaving = cluster.node(extent.segments[0].nodes[0])
    await repair.drain(leaving)
    await repair.report("k", extent, RepairReason.DRAINING)
    await repair.worker.run_once()
    repair.disposal._clock = repair.clock
    take = cluster.index.take_released

    async def slowly(*, grace_ms: int, limit: int) -> object:
        taken = await take(grace_ms=grace_ms, limit=limit)
        repair.clock.now += 61
        return taken

    monkeypatch.setattr(cluster.index, "take_released", slowly)
    assert await repair.disposal.delete_released() == 0
    assert leaving.node_id in await nodes_with_blob(cluster, extent)


async def test_copies_made_in_vain_are_given_up_whatever_became_of_the_record(cluster: Cluster, repair: Repair) -> None:
    extent = await put_object(cluster, "k", b"body")
    segment = SegmentRef(write_id=extent.write_id, number=0)
    origin = Origin(bucket="b", key="k")
    everywhere = [node.node_id for node in cluster.nodes]
    await repair.disposal.give_up(segment, origin, everywhere)  # those that are named stay
    await repair.disposal.delete_released()
    assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)
    await delete_object(cluster, "k")
    await repair.disposal.give_up(segment, origin, everywhere)
    await repair.disposal.delete_released()
    assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)
    for entry in await cluster.index.due_reclaims(grace_ms=0, limit=10):
        await cluster.index.finish_reclaim(entry)
    await repair.disposal.give_up(segment, origin, everywhere)
    assert await nodes_with_blob(cluster, extent) == set()
