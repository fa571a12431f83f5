"""Repair over real nodes: what it makes good, what it leaves alone, and that nothing it does loses a copy."""

import asyncio
import random
from dataclasses import replace

import pytest

from gateway.datapath import SEGMENT_BYTES
from gateway.index import keys
from gateway.index.errors import IndexUnavailable
from gateway.index.records import Deletion, Extent, Versioning
from gateway.index.repair_records import RepairReason
from gateway.index.store import Index
from gateway.workers.pacing import Pace
from storagenode.client import NodeFull, NodeUnreachable
from storagenode.protocol import blob_id
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.objects import (
    OWNER,
    commit,
    complete_upload,
    create_upload,
    delete_object,
    put_object,
    put_part,
)
from tests.gateway.workers.repairing import Repair, nodes_in_record, nodes_with_blob

MISSING, CORRUPT, TOO_FEW = RepairReason.MISSING, RepairReason.CORRUPT, RepairReason.TOO_FEW


@pytest.fixture
def cluster(cluster_of_four: Cluster) -> Cluster:
    return cluster_of_four


@pytest.fixture
def repair(cluster: Cluster) -> Repair:
    return Repair(cluster, wanted=lambda bucket: 2)


async def lose(cluster: Cluster, extent: Extent, number: int = 0) -> str:
    """Delete the first copy of a segment behind everybody's back; the node that had it."""
    node_id = extent.segments[number].nodes[0]
    await cluster.client.delete(cluster.node(node_id).address, blob_id(extent.write_id, number))
    return node_id


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

    def break_first(address: str, name: str, **rest: int) -> object:
        if address == first.address:
            raise NodeUnreachable("broken")
        return get(address, name, **rest)

    monkeypatch.setattr(cluster.client, "get", break_first)
    await repair.report("k", extent, TOO_FEW)
    with pytest.raises(NodeUnreachable):
        cluster.client.get(first.address, "x", offset=0, length=1)
    assert (await repair.worker.run_once()).done == 1
    assert len(await nodes_with_blob(cluster, extent)) == 3


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
