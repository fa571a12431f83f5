"""The books: what nodes hold is what the index refers to, and each way of departing from that shows."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.datapath import Origin
from gateway.index import keys, references
from gateway.index.accounting import accounting, reclaim_account
from gateway.index.repair_records import Copy, SegmentRef
from gateway.journal.catalogue import drop_everywhere, put_everywhere
from gateway.journal.snapshot_format import Manifest, SnapshotChunk, SnapshotState
from gateway.workers.reclaim import Reclaimer
from tests.gateway.datapath.cluster import Cluster, Processes, open_cluster, running_processes
from tests.gateway.workers.objects import (
    OWNER,
    complete_upload,
    create_upload,
    delete_object,
    empty_index,
    put_object,
    put_part,
)
from tests.harness.accounting import Accounting, account
from tests.harness.opened_index import open_as_it_is

REPLICAS = 2
FAILING_AFTER_MS = 60_000


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("accounting"), nodes=3) as processes:
        yield processes


@pytest.fixture
async def cluster(three_nodes: Processes) -> AsyncIterator[Cluster]:
    async with open_cluster(three_nodes, replicas=REPLICAS) as cluster:
        await empty_index(cluster)
        await open_as_it_is(cluster.connection)
        await cluster.index.create_bucket("b", OWNER, "r", now_ms=1, limit=10)
        yield cluster


async def books(cluster: Cluster, *, ignore: tuple[str, ...] = ()) -> Accounting:
    addresses = {node.node_id: node.address for node in cluster.nodes if node.is_running}
    return await account(cluster.connection, cluster.client, addresses, ignore_missing_on=ignore)


async def store_some_of_everything(cluster: Cluster) -> None:
    """Objects, one of them of many parts, a replaced one, parts of an upload under way, an aborted upload."""
    await put_object(cluster, "kept", b"1" * 10)
    await put_object(cluster, "replaced", b"2" * 100)
    await put_object(cluster, "replaced", b"3" * 1000)
    large = await create_upload(cluster, "large")
    for number in range(1, 41):
        await put_part(cluster, "large", large, number, b"p" * number)
    await complete_upload(cluster, "large", large, *range(1, 40))  # leaves part 40 out
    under_way = await create_upload(cluster, "under way")
    await put_part(cluster, "under way", under_way, 1, b"4" * 10_000)
    aborted = await create_upload(cluster, "aborted")
    await put_part(cluster, "aborted", aborted, 1, b"5" * 100_000)
    await cluster.index.abort_upload("b", "aborted", aborted)


async def test_bytes_on_nodes_are_those_of_objects_parts_and_trash(cluster: Cluster) -> None:
    await store_some_of_everything(cluster)
    found = await books(cluster)
    assert found.balanced, found.explain()
    objects = 10 + 1000 + sum(range(1, 40))
    assert found.object_bytes == objects * REPLICAS
    assert found.part_bytes == 10_000 * REPLICAS
    assert found.trash_bytes == (100 + 40 + 100_000) * REPLICAS
    assert found.node_bytes == found.accounted_bytes
    index = await accounting(cluster.connection)
    assert index.stored_bytes == found.node_bytes
    assert (index.objects.logical_bytes, index.objects.stored_bytes) == (objects, found.object_bytes)
    assert index.objects.entries == 2 + 39
    assert (index.parts.stored_bytes, index.trash.stored_bytes) == (found.part_bytes, found.trash_bytes)


async def test_reclaim_takes_the_trash_off_the_books_and_nothing_else(cluster: Cluster) -> None:
    await store_some_of_everything(cluster)
    before = await books(cluster)
    await Reclaimer(cluster.index, cluster.client, cluster.membership, grace_s=0, node_timeout_s=1000).run_once()
    after = await books(cluster)
    assert after.balanced, after.explain()
    assert after.trash_bytes == 0
    assert after.node_bytes == before.node_bytes - before.trash_bytes


async def test_a_write_without_record_is_unreferenced(cluster: Cluster) -> None:
    await put_object(cluster, "k", b"kept")
    extent = await cluster.write(b"orphan", origin=Origin(bucket="b", key="never committed"))
    found = await books(cluster)
    assert not found.balanced
    assert found.nothing_lost
    assert {blob for _, blob in found.unreferenced} == {f"{extent.write_id}-00000000"}
    assert found.unreferenced_bytes == len(b"orphan") * REPLICAS
    assert found.node_bytes == found.accounted_bytes
    assert "b/never committed" in found.explain()


async def test_a_deleted_replica_is_missing_and_one_too_many_is_misplaced(cluster: Cluster) -> None:
    extent = await put_object(cluster, "k", b"bytes")
    (segment,) = extent.segments
    name = f"{extent.write_id}-00000000"
    info = await cluster.client.stat(cluster.node(segment.nodes[0]).address, name)
    await cluster.client.delete(cluster.node(segment.nodes[0]).address, name)
    (third,) = {node.node_id for node in cluster.nodes} - set(segment.nodes)
    address = cluster.node(third).address
    await cluster.client.put(address, name, size_bytes=5, origin=info.origin, body=b"bytes")
    found = await books(cluster)
    assert found.missing == [(segment.nodes[0], name)]
    assert found.misplaced == [(third, name)]
    assert not found.nothing_lost
    assert (await books(cluster, ignore=(segment.nodes[0],))).nothing_lost


async def test_a_copy_that_waits_for_its_deletion_is_released(cluster: Cluster) -> None:
    extent = await put_object(cluster, "k", b"bytes")
    (segment,) = extent.segments
    place = await cluster.index.find_extent(extent.write_id, Origin(bucket="b", key="k"))
    assert place is not None
    gone = Copy(segment=SegmentRef(write_id=extent.write_id, number=0), node_id=segment.nodes[1])
    await cluster.index.move_replicas(place, {gone.segment: segment.nodes[:1]}, added=(), removed=(gone,))
    found = await books(cluster)
    assert found.balanced, found.explain()
    assert (found.object_bytes, found.released_bytes) == (5, 5)
    assert found.node_bytes == found.accounted_bytes


async def test_chunks_of_snapshots_are_told_from_orphans_by_their_manifest(cluster: Cluster) -> None:
    extent = await cluster.write(b"chunk", origin=Origin(bucket="", key="snapshot"))
    (segment,) = extent.segments
    assert len((await books(cluster)).unreferenced) == REPLICAS
    manifest = Manifest(
        snapshot_id=extent.write_id,
        state=SnapshotState.COMPLETE,
        start_sequence=1,
        end_sequence=2,
        created_ms=1,
        chunks=(SnapshotChunk(size_bytes=5, digest=b"d" * 16, nodes=segment.nodes),),
    )
    addresses = {node.node_id: node.address for node in cluster.nodes}
    await put_everywhere(cluster.client, addresses, manifest)
    try:
        found = await books(cluster)
        assert found.balanced, found.explain()
        assert found.snapshot_bytes == found.node_bytes == 5 * REPLICAS
        await cluster.client.delete(addresses[segment.nodes[0]], manifest.blob_id(0))
        assert (await books(cluster)).missing == [(segment.nodes[0], manifest.blob_id(0))]
    finally:
        await drop_everywhere(cluster.client, addresses, manifest.snapshot_id)


async def test_the_walk_crosses_pages(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.gather(*(put_object(cluster, f"k{number:03}", b"x") for number in range(7)))
    one_page = {reference.key async for reference in references.references(cluster.connection)}
    for page in (1, 2, 7):
        names = references.members_of(cluster.connection, keys.objects("b"), page=page)
        assert {member.split(b"\0")[0].decode() async for member in names} == one_page
    monkeypatch.setattr(references, "PAGE_MEMBERS", 2)
    upload = await create_upload(cluster, "parts")
    for number in (1, 2, 3, 4, 5):
        await put_part(cluster, "parts", upload, number, b"12")
    assert (await accounting(cluster.connection)).parts.logical_bytes == 10


async def test_reclaim_account_tells_what_waits_from_what_is_due_and_what_fails(cluster: Cluster) -> None:
    for number, key in enumerate(("waits", "due", "taken", "fails")):
        await put_object(cluster, key, b"x" * 10**number)
        await delete_object(cluster, key)
    seconds, _ = await cluster.connection.command("TIME")
    now_ms = int(seconds) * 1000
    references_by_key = {
        member.split(b"\0")[1].decode(): member
        for member in await cluster.connection.command("ZRANGE", keys.reclaim(), 0, -1)
    }
    await cluster.connection.command("ZADD", keys.reclaim(), now_ms - 3_700_000, references_by_key["due"])
    for key, taken_ms in (("taken", now_ms), ("fails", now_ms - 2 * FAILING_AFTER_MS)):
        await cluster.connection.command("ZREM", keys.reclaim(), references_by_key[key])
        await cluster.connection.command("ZADD", keys.reclaiming(), taken_ms, references_by_key[key])
    found = await reclaim_account(cluster.connection, grace_ms=3_600_000, failing_after_ms=FAILING_AFTER_MS, limit=1000)
    holdings = (found.waiting, found.due, found.handed_out, found.failing)
    assert [(holding.entries, holding.stored_bytes) for holding in holdings] == [(1, 2), (1, 20), (1, 200), (1, 2000)]
    assert found.complete


async def test_reclaim_account_says_when_there_is_more_than_it_looked_at(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.index.accounting.PAGE_MEMBERS", 2)
    for number in range(5):
        await put_object(cluster, str(number), b"x")
        await delete_object(cluster, str(number))
    some = await reclaim_account(cluster.connection, grace_ms=3_600_000, failing_after_ms=1, limit=4)
    everything = await reclaim_account(cluster.connection, grace_ms=3_600_000, failing_after_ms=1, limit=6)
    assert (some.complete, some.waiting.entries) == (False, 4)
    assert (everything.complete, everything.waiting.entries) == (True, 5)
