"""Repair over real nodes: what it makes good, what it leaves alone, and that nothing it does loses a copy."""

import random

import pytest

from gateway.datapath import SEGMENT_BYTES
from gateway.index import keys
from gateway.index.records import Deletion, Versioning
from gateway.index.repair_records import RepairReason
from storagenode.protocol import blob_id
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.objects import (
    OWNER,
    complete_upload,
    create_upload,
    delete_object,
    put_object,
    put_part,
)
from tests.gateway.workers.repairing import Repair, lose, nodes_in_record, nodes_with_blob

MISSING, CORRUPT, TOO_FEW = RepairReason.MISSING, RepairReason.CORRUPT, RepairReason.TOO_FEW


@pytest.fixture
def cluster(cluster_of_four: Cluster) -> Cluster:
    return cluster_of_four


@pytest.fixture
def repair(cluster: Cluster) -> Repair:
    return Repair(cluster, wanted=lambda bucket: 2)


async def test_a_copy_that_its_node_lost_is_put_back_there(cluster: Cluster, repair: Repair) -> None:
    extent = await put_object(cluster, "k", b"body")
    await lose(cluster, extent)
    before = (await cluster.index.get_object("b", "k"))[1]
    await repair.report("k", extent, MISSING)
    result = await repair.worker.run_once()
    assert (result.done, result.failed, result.copies_made, result.bytes_copied) == (1, 0, 1, 4)
    assert (await cluster.index.get_object("b", "k"))[1] == before
    assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)
    assert await cluster.index.repairs_waiting() == 0


async def test_a_copy_on_a_dead_node_is_made_elsewhere(cluster: Cluster, repair: Repair) -> None:
    extent = await put_object(cluster, "k", b"body")
    dead, alive = (cluster.node(node_id) for node_id in extent.segments[0].nodes)
    dead.stop()
    await cluster.membership.refresh()
    await repair.report("k", extent, RepairReason.NODE_LOST)
    assert (await repair.worker.run_once()).copies_made == 1
    (nodes,) = await nodes_in_record(cluster, "k")
    assert dead.node_id not in nodes
    assert alive.node_id in nodes
    assert len(nodes) == 2
    assert await nodes_with_blob(cluster, extent) == nodes
    assert await cluster.read(extent) == b"body"


async def test_a_node_that_is_only_away_keeps_its_place(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 2)
    repair.watch._patience_s = 3600.0
    extent = await put_object(cluster, "k", b"body")
    cluster.node(extent.segments[0].nodes[0]).stop()
    await cluster.membership.refresh()
    await repair.report("k", extent, MISSING)
    result = await repair.worker.run_once()
    assert (result.done, result.failed, result.waiting, result.copies_made) == (0, 0, 1, 0)
    (nodes,) = await nodes_in_record(cluster, "k")
    assert nodes == set(extent.segments[0].nodes)


async def test_a_write_of_too_few_copies_gets_the_others(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 4)
    extent = await put_object(cluster, "k", b"body")
    await repair.report("k", extent, TOO_FEW)
    assert (await repair.worker.run_once()).copies_made == 2
    (nodes,) = await nodes_in_record(cluster, "k")
    assert nodes == await nodes_with_blob(cluster, extent) == {node.node_id for node in cluster.nodes}


async def test_too_many_copies_are_given_up_after_a_grace(cluster: Cluster) -> None:
    extent = await put_object(cluster, "k", b"body")
    repair = Repair(cluster, wanted=lambda bucket: 1, grace_s=3600)
    await repair.report("k", extent, RepairReason.SURPLUS)
    assert (await repair.worker.run_once()).done == 1
    (nodes,) = await nodes_in_record(cluster, "k")
    assert len(nodes) == 1
    assert await repair.disposal.delete_released() == 0
    assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)
    assert await Repair(cluster, wanted=lambda bucket: 1).disposal.delete_released() == 1
    assert await nodes_with_blob(cluster, extent) == nodes


async def test_a_damaged_copy_is_found_by_reading_and_replaced(cluster: Cluster, repair: Repair) -> None:
    body = random.Random(1).randbytes(300_000)
    extent = await put_object(cluster, "k", body)
    node = cluster.node(extent.segments[0].nodes[1])
    (path,) = [path for path in node.directory.rglob(f"{extent.write_id}*") if path.is_file()]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    await repair.report("k", extent, CORRUPT)
    assert (await repair.worker.run_once()).copies_made == 1
    for node_id in extent.segments[0].nodes:
        chunks = cluster.client.get(
            cluster.node(node_id).address, blob_id(extent.write_id, 0), offset=0, length=len(body)
        )
        async with chunks as stream:
            assert b"".join([chunk async for chunk in stream]) == body


@pytest.mark.parametrize("segments", [3, 40])
async def test_all_segments_of_a_large_object_move_at_once(
    cluster: Cluster, repair: Repair, segments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.datapath.writer.SEGMENT_BYTES", 1000)
    extent = await put_object(cluster, "k", random.Random(2).randbytes(1000 * segments - 1))
    assert len(extent.segments) == segments
    leaving = cluster.node(extent.segments[0].nodes[0])
    await repair.drain(leaving)
    await repair.report("k", extent, RepairReason.DRAINING)
    before = int(await cluster.connection.command("GET", keys.sequence()))
    result = await repair.worker.run_once()
    assert (result.done, result.failed) == (segments, 0)
    assert int(await cluster.connection.command("GET", keys.sequence())) == before + 2  # one move, one end
    for number, nodes in enumerate(await nodes_in_record(cluster, "k")):
        assert leaving.node_id not in nodes
        assert len(nodes) == 2
        assert nodes <= await nodes_with_blob(cluster, extent, number)


async def test_two_segments_of_64_mib_are_copied_without_being_held(cluster: Cluster, repair: Repair) -> None:
    extent = await put_object(cluster, "k", bytes(SEGMENT_BYTES + 5))
    await lose(cluster, extent, 0)
    await repair.report("k", extent, MISSING)
    assert (await repair.worker.run_once()).bytes_copied == SEGMENT_BYTES
    assert await nodes_with_blob(cluster, extent, 0) == set(extent.segments[0].nodes)


async def test_parts_of_an_upload_under_way_are_repaired_and_complete(cluster: Cluster, repair: Repair) -> None:
    upload_id = await create_upload(cluster, "k")
    extents = [await put_part(cluster, "k", upload_id, number, bytes([number])) for number in (1, 2)]
    leaving = cluster.node(extents[0].segments[0].nodes[0])
    await repair.drain(leaving)
    for number, extent in enumerate(extents, 1):
        await repair.report("k", extent, RepairReason.DRAINING, upload_id=upload_id, part=number)
    assert (await repair.worker.run_once()).done == 2
    await complete_upload(cluster, "k", upload_id, 1, 2)
    for nodes in await nodes_in_record(cluster, "k"):
        assert leaving.node_id not in nodes
        assert len(nodes) == 2
    _, record = await cluster.index.get_object("b", "k")
    assert record
    leaving.stop()
    assert await cluster.read(*record.extents) == b"\x01\x02"


async def test_an_item_queued_for_a_part_is_found_in_the_object_it_became(cluster: Cluster, repair: Repair) -> None:
    upload_id = await create_upload(cluster, "k")
    extent = await put_part(cluster, "k", upload_id, 1, b"part")
    await complete_upload(cluster, "k", upload_id, 1)
    await lose(cluster, extent)
    await repair.report("k", extent, MISSING, upload_id=upload_id, part=1)
    assert (await repair.worker.run_once()).copies_made == 1
    assert await nodes_with_blob(cluster, extent) == set(extent.segments[0].nodes)


async def test_every_version_is_repaired(cluster: Cluster, repair: Repair) -> None:
    await cluster.index.set_versioning("b", Versioning.ENABLED)
    extents = [await put_object(cluster, "k", bytes([number])) for number in range(3)]
    await delete_object(cluster, "k")  # a marker over them
    for extent in extents:
        await lose(cluster, extent)
        await repair.report("k", extent, MISSING)
    assert (await repair.worker.run_once()).copies_made == 3
    for extent in extents:
        assert len(await nodes_with_blob(cluster, extent)) == 2


async def test_what_was_deleted_needs_no_repair(cluster: Cluster, repair: Repair) -> None:
    extents = [await put_object(cluster, key, b"body") for key in ("trash", "bucket")]
    upload_id = await create_upload(cluster, "aborted")
    part = await put_part(cluster, "aborted", upload_id, 1, b"part")
    for extent in (*extents, part):
        await lose(cluster, extent)
    await repair.report("trash", extents[0], MISSING)
    await repair.report("bucket", extents[1], MISSING)
    await repair.report("aborted", part, MISSING, upload_id=upload_id, part=1)
    for key in ("trash", "bucket"):
        await cluster.index.delete_object("b", Deletion(key=key), owner_id=OWNER, now_ms=2)
    await cluster.index.abort_upload("b", "aborted", upload_id)
    result = await repair.worker.run_once()
    assert (result.done, result.copies_made) == (3, 0)
