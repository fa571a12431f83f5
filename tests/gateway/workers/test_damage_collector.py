"""Every damage that a node found is queued for repair, once, whatever dies in between."""

from pathlib import Path

import pytest

from gateway.index.errors import IndexUnavailable
from gateway.index.records import Extent, Origin
from gateway.index.repair_records import RepairClass, RepairItem, RepairReason
from gateway.workers.damage_collector import DamageCollector
from storagenode.client import BlobCorrupt, NodeError
from tests.gateway.datapath.cluster import Cluster, NodeProcess
from tests.gateway.workers.objects import complete_upload, create_upload, delete_object, put_object, put_part


def collector(cluster: Cluster, **options: int) -> DamageCollector:
    return DamageCollector(cluster.index, cluster.connection, cluster.client, cluster.membership, **options)


def blob_file(node: NodeProcess, blob: str) -> Path:
    (path,) = (node.directory / "blobs").rglob(blob)
    return path


def flip(path: Path, offset: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[offset] ^= 1
    path.write_bytes(damaged)


async def damage(cluster: Cluster, extent: Extent, copy: int = 0, *, header: bool = False) -> NodeProcess:
    """Flip a bit of one copy, and have its node meet it."""
    node = cluster.node(extent.segments[0].nodes[copy])
    blob = f"{extent.write_id}-{extent.segments[0].number:08x}"
    path = blob_file(node, blob)
    flip(path, 30 if header else path.stat().st_size // 2)
    with pytest.raises(BlobCorrupt):
        await read_blob(cluster, node, blob, extent.segments[0].size_bytes)
    return node


async def read_blob(cluster: Cluster, node: NodeProcess, blob: str, size_bytes: int) -> None:
    async with cluster.client.get(node.address, blob, offset=0, length=size_bytes) as stream:
        async for _ in stream:
            pass


async def queued(cluster: Cluster) -> list[RepairItem]:
    return await cluster.index.take_repairs(limit=100, lease_ms=60_000)


async def skip_what_is_there(cluster: Cluster) -> None:
    """The nodes serve several tests, and their lists are never emptied."""
    await collector(cluster).run_once()
    assert not await queued(cluster)


BODY = b"0123456789" * 10_000
"""Large enough for a file of its own on a node."""


async def test_a_damaged_copy_is_queued_once(cluster: Cluster) -> None:
    await skip_what_is_there(cluster)
    extent = await put_object(cluster, "k", BODY)
    await damage(cluster, extent)
    result = await collector(cluster).run_once()
    assert (result.entries, result.queued, result.unreferenced) == (1, 1, 0)
    (item,) = await queued(cluster)
    assert (item.segment.write_id, item.segment.number) == (extent.write_id, 0)
    assert item.origin == Origin(bucket="b", key="k")
    assert (item.reasons, item.copies_left, item.size_bytes) == (RepairReason.CORRUPT, 1, len(BODY))
    assert item.repair_class is RepairClass.LAST_COPY
    await cluster.index.finish_repairs([item])
    assert (await collector(cluster).run_once()).entries == 0  # as after a restart of the worker
    assert not await queued(cluster)


@pytest.mark.parametrize("of_a_part", [True, False])
async def test_a_part_is_found_by_its_origin_before_and_after_completion(cluster: Cluster, of_a_part: bool) -> None:
    await skip_what_is_there(cluster)
    upload = await create_upload(cluster, "k")
    extent = await put_part(cluster, "k", upload, 3, BODY)
    if not of_a_part:
        await complete_upload(cluster, "k", upload, 3)
    await damage(cluster, extent)
    await collector(cluster).run_once()
    (item,) = await queued(cluster)
    assert item.origin == Origin(bucket="b", key="k", upload_id=upload, part_number=3)


async def test_a_damaged_header_is_explained_by_another_copy(cluster: Cluster) -> None:
    await skip_what_is_there(cluster)
    extent = await put_object(cluster, "k", BODY)
    node = await damage(cluster, extent, header=True)
    (entry,) = (await cluster.client.damaged(node.address, after="", limit=1000))[-1:]
    assert entry.origin == b""
    await collector(cluster).run_once()
    assert [item.segment.write_id for item in await queued(cluster)] == [extent.write_id]


@pytest.mark.parametrize("of_a_part", [True, False])
async def test_when_no_copy_tells_its_origin_the_index_is_searched(cluster: Cluster, of_a_part: bool) -> None:
    await skip_what_is_there(cluster)
    await put_object(cluster, "other", BODY)
    if of_a_part:
        extent = await put_part(cluster, "k", await create_upload(cluster, "k"), 3, BODY)
    else:
        extent = await put_object(cluster, "k", BODY)
    for copy in (0, 1):
        await damage(cluster, extent, copy, header=True)
    result = await collector(cluster).run_once()
    assert (result.entries, result.queued) == (2, 2)
    (item,) = await queued(cluster)  # both copies are one segment
    assert (item.segment.write_id, item.origin.key) == (extent.write_id, "k")


async def test_what_nothing_wants_any_more_is_passed_over(cluster: Cluster) -> None:
    await skip_what_is_there(cluster)
    deleted = await put_object(cluster, "deleted", BODY)
    orphan = await cluster.write(BODY, origin=Origin(bucket="b", key="never committed"))
    elsewhere = await cluster.write(BODY, origin=Origin(bucket="gone", key="of a bucket that is not there"))
    for extent in (deleted, orphan, elsewhere):
        await damage(cluster, extent)
    await delete_object(cluster, "deleted")
    result = await collector(cluster).run_once()
    assert (result.entries, result.queued, result.unreferenced) == (3, 0, 3)
    assert not await queued(cluster)


async def test_pages_are_read_to_the_end(cluster: Cluster) -> None:
    await skip_what_is_there(cluster)
    extents = [await put_object(cluster, f"k{number}", BODY) for number in range(5)]
    for extent in extents:
        await damage(cluster, extent)
    result = await collector(cluster, page_limit=2).run_once()
    assert result.entries == 5
    assert {item.segment.write_id for item in await queued(cluster)} == {extent.write_id for extent in extents}


async def test_a_worker_that_dies_before_the_cursor_moved_queues_again_and_loses_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await skip_what_is_there(cluster)
    extent = await put_object(cluster, "k", BODY)
    await damage(cluster, extent)

    async def die(*_: object) -> None:
        raise IndexUnavailable("gone", maybe_applied=False)

    with monkeypatch.context() as patch:
        patch.setattr(cluster.index, "save_progress", die)
        with pytest.raises(IndexUnavailable):
            await collector(cluster).run_once()
    await collector(cluster).run_once()
    assert len(await queued(cluster)) == 1


async def test_a_node_that_is_away_is_read_when_it_is_back_and_others_do_not_wait(cluster: Cluster) -> None:
    await skip_what_is_there(cluster)
    extents = [await put_object(cluster, f"k{number}", BODY) for number in range(6)]
    away = await damage(cluster, extents[0])
    here = next(extent for extent in extents[1:] if extent.segments[0].nodes[0] != away.node_id)
    await damage(cluster, here)
    away.kill()
    await collector(cluster).run_once()
    (item,) = await queued(cluster)
    assert item.segment.write_id == here.write_id
    away.start()
    await cluster.know_all_nodes()
    await collector(cluster).run_once()
    (item,) = await queued(cluster)
    assert item.segment.write_id == extents[0].write_id


async def test_what_was_found_before_a_restart_of_the_node_is_still_listed(cluster: Cluster) -> None:
    await skip_what_is_there(cluster)
    extent = await put_object(cluster, "k", BODY)
    node = await damage(cluster, extent)
    node.kill()
    with pytest.raises(NodeError):
        await cluster.client.damaged(node.address, after="", limit=10)
    node.start()
    await cluster.know_all_nodes()
    await collector(cluster).run_once()
    assert [item.segment.write_id for item in await queued(cluster)] == [extent.write_id]
