"""Blobs that no record refers to are found and deleted once they are old enough, and only those."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.datapath import Origin
from gateway.datapath.origin import pack_origin
from gateway.index import keys
from gateway.index.errors import IndexUnavailable, WriteCondemned
from gateway.journal.catalogue import drop_everywhere, put_everywhere
from gateway.journal.snapshot_format import Manifest, SnapshotState
from gateway.workers import orphans as orphans_module
from gateway.workers.orphans import OrphanSweeper, SweepResult
from storagenode.protocol import blob_id, new_write_id
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.objects import (
    OWNER,
    commit,
    complete_upload,
    create_upload,
    delete_object,
    empty_index,
    put_object,
    put_part,
)

REPLICAS = 2


def sweeper(cluster: Cluster, *, grace_s: float = 0.0, page_limit: int = 1000) -> OrphanSweeper:
    return OrphanSweeper(
        cluster.index,
        cluster.connection,
        cluster.client,
        cluster.membership,
        grace_s=grace_s,
        page_limit=page_limit,
    )


async def sweep(cluster: Cluster, *, grace_s: float = 0.0, page_limit: int = 1000) -> SweepResult:
    """One pass, a moment after whatever was written before it."""
    await asyncio.sleep(0.002)
    return await sweeper(cluster, grace_s=grace_s, page_limit=page_limit).run_once()


async def orphan(cluster: Cluster, *, key: str = "k", write_id: str | None = None, segment: int = 0) -> str:
    """A blob on every node that looks as if its gateway had been killed before the commit; its write id."""
    write_id = write_id or new_write_id(cluster.membership.now_ms(), bytes(10))
    origin = pack_origin(Origin(bucket="b", key=key), write_id=write_id, size_bytes=1)
    for node in cluster.nodes:
        await cluster.client.put(node.address, blob_id(write_id, segment), size_bytes=1, origin=origin, body=b"o")
    return write_id


async def test_orphans_go_and_whatever_is_referenced_stays(cluster: Cluster) -> None:
    await put_object(cluster, "object", b"x")
    await put_object(cluster, "replaced", b"in the trash, for undelete")
    await put_object(cluster, "replaced", b"y")
    upload_id = await create_upload(cluster, "upload")
    await put_part(cluster, "upload", upload_id, 1, b"part of an upload under way")
    done = await create_upload(cluster, "done")
    for number in range(1, 50):
        await put_part(cluster, "done", done, number, b"z")
    await complete_upload(cluster, "done", done, *range(1, 50))
    kept = await cluster.blob_count()
    await cluster.write(b"never committed", origin=Origin(bucket="b", key="lost"))
    await cluster.write(b"of a bucket that is gone", origin=Origin(bucket="gone", key="k"))
    await cluster.write(
        b"of an upload that is gone",
        origin=Origin(bucket="b", key="upload", upload_id="0" * 32, part_number=1),
    )
    result = await sweep(cluster)
    assert result.deleted == 3 * REPLICAS
    assert await cluster.blob_count() == kept


async def test_a_young_blob_is_left_alone(cluster: Cluster) -> None:
    extent = await cluster.write(b"about to be committed")
    assert (await sweep(cluster, grace_s=3600)).checked == 0
    await commit(cluster, "k", extent)


async def test_what_was_swept_can_no_longer_be_committed(cluster: Cluster) -> None:
    extent = await cluster.write(b"very late", origin=Origin(bucket="b", key="k"))
    assert (await sweep(cluster)).deleted == REPLICAS
    with pytest.raises(WriteCondemned):
        await commit(cluster, "k", extent)


async def test_each_blob_is_looked_at_once_even_by_another_worker(cluster: Cluster) -> None:
    for number in range(5):
        await put_object(cluster, f"k{number}", b"x")
    assert (await sweep(cluster)).checked == 5 * REPLICAS
    assert (await sweep(cluster)).checked == 0
    await put_object(cluster, "new", b"x")
    assert (await sweep(cluster)).checked == REPLICAS


async def test_small_pages_lead_to_the_same(cluster: Cluster) -> None:
    for number in range(7):
        await put_object(cluster, f"k{number}", b"x")
        await cluster.write(b"orphan")
    result = await sweep(cluster, page_limit=2)
    assert (result.checked, result.deleted) == (14 * REPLICAS, 7 * REPLICAS)


async def test_a_write_that_lasts_longer_than_the_grace_is_spared_and_its_late_blobs_are_found(
    cluster: Cluster,
) -> None:
    write_id = await orphan(cluster)
    await cluster.index.keep_lease(write_id, ttl_ms=60_000)
    assert (await sweep(cluster)).deleted == 0
    await orphan(cluster, write_id=write_id, segment=1)  # behind every cursor
    assert (await sweep(cluster)).deleted == 0
    await cluster.index.drop_lease(write_id)  # as it runs out when the gateway is killed
    assert (await sweep(cluster)).deleted == 2 * len(cluster.nodes)
    assert await cluster.blob_count() == 0
    assert not await _revisits(cluster)


async def test_a_lease_that_ran_out_is_none_though_no_later_lease_swept_it_away(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans_module, "LEASE_SLACK_MS", 0)
    write_id = await orphan(cluster)
    await cluster.index.keep_lease(write_id, ttl_ms=300)
    assert (await sweep(cluster)).deleted == 0
    assert await _revisits(cluster)
    await asyncio.sleep(0.31)
    assert (await sweep(cluster)).deleted == len(cluster.nodes)
    assert not await _revisits(cluster)


async def test_a_long_write_that_was_committed_in_the_end_stays(cluster: Cluster) -> None:
    extent = await cluster.write(b"slow", origin=Origin(bucket="b", key="k"))
    await cluster.index.keep_lease(extent.write_id, ttl_ms=60_000)
    await sweep(cluster)
    await commit(cluster, "k", extent)
    await cluster.index.drop_lease(extent.write_id)
    assert (await sweep(cluster)).deleted == 0
    assert await cluster.read(extent) == b"slow"
    assert not await _revisits(cluster)


async def test_a_node_that_is_away_is_swept_when_it_returns(cluster: Cluster) -> None:
    await orphan(cluster)
    away = cluster.nodes[0]
    away.kill()
    assert (await sweep(cluster)).deleted == len(cluster.nodes) - 1
    away.start()
    await cluster.know_all_nodes()
    assert (await sweep(cluster)).deleted == 1
    assert await cluster.blob_count() == 0


async def test_a_write_to_revisit_is_kept_in_mind_until_every_node_was_asked(cluster: Cluster) -> None:
    write_id = await orphan(cluster)
    await cluster.index.keep_lease(write_id, ttl_ms=60_000)
    await sweep(cluster)
    away = cluster.nodes[0]
    away.kill()
    await cluster.index.drop_lease(write_id)
    await sweep(cluster)
    assert await _revisits(cluster)
    away.start()
    await cluster.know_all_nodes()
    await sweep(cluster)
    assert not await _revisits(cluster)
    assert await cluster.blob_count() == 0


async def test_a_full_sweep_finds_blobs_that_appeared_behind_the_cursor(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = new_write_id(cluster.membership.now_ms(), bytes(10))
    await asyncio.sleep(0.002)
    await orphan(cluster)
    await sweep(cluster)
    await orphan(cluster, write_id=old)
    assert (await sweep(cluster)).deleted == 0
    monkeypatch.setattr(orphans_module, "FULL_SWEEP_PERIOD_MS", 0)
    assert (await sweep(cluster)).deleted == len(cluster.nodes)


@pytest.mark.parametrize(
    "origin",
    [
        lambda write_id: b"",
        lambda write_id: b"\xff garbage",
        lambda write_id: b"\x91\x63",  # of a format of the future
        lambda write_id: bytes.fromhex("9701") + b"\xa3abc\xa1b\xa1k\xc0\xc0\x01",  # of another write
    ],
)
async def test_a_blob_that_cannot_be_explained_is_not_deleted(cluster: Cluster, origin: Callable[[str], bytes]) -> None:
    write_id = new_write_id(cluster.membership.now_ms(), bytes(10))
    node = cluster.nodes[0]
    await cluster.client.put(node.address, blob_id(write_id, 0), size_bytes=1, origin=origin(write_id), body=b"?")
    result = await sweep(cluster)
    assert (result.checked, result.deleted) == (1, 0)
    assert await cluster.blob_count() == 1


async def test_without_the_index_nothing_is_deleted_and_nothing_is_skipped(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_object(cluster, "k", b"x")
    await orphan(cluster)

    async def away(*_: object) -> bool:
        raise IndexUnavailable("away", maybe_applied=True)

    with monkeypatch.context() as patch:
        patch.setattr(cluster.index, "condemn", away)
        with pytest.raises(IndexUnavailable):
            await sweep(cluster)
    assert (await sweep(cluster)).deleted == len(cluster.nodes)


async def test_blobs_of_an_index_that_was_lost_are_kept(cluster: Cluster) -> None:
    for number in range(3):
        await put_object(cluster, f"k{number}", b"all that is left")
    await empty_index(cluster)
    result = await sweep(cluster)
    assert (result.deleted, result.unexplained) == (0, 3)
    await empty_index(cluster)
    await cluster.index.create_bucket("b", OWNER, "r", now_ms=1, limit=10)
    result = await sweep(cluster)
    assert (result.deleted, result.unexplained) == (0, 3)
    assert await cluster.blob_count() == 3 * REPLICAS


async def test_objects_deleted_and_reclaimed_before_the_sweep_are_no_trouble(cluster: Cluster) -> None:
    await put_object(cluster, "k", b"x")
    await delete_object(cluster, "k")
    assert (await sweep(cluster)).deleted == 0  # in the trash: the reclaim worker's
    assert await cluster.blob_count() == REPLICAS


async def _revisits(cluster: Cluster) -> list[bytes]:
    fields: list[bytes] = await cluster.connection.command("HKEYS", keys.orphan_sweep())
    return [field for field in fields if field.startswith(b"revisit:")]


async def test_chunks_of_a_snapshot_stay_while_any_node_knows_it_and_go_when_none_does(cluster: Cluster) -> None:
    write_id = new_write_id(cluster.membership.now_ms(), bytes(10))
    node = cluster.nodes[0]
    origin = pack_origin(Origin(bucket="", key=write_id), write_id=write_id, size_bytes=1)
    await cluster.client.put(node.address, blob_id(write_id, 0), size_bytes=1, origin=origin, body=b"c")
    begun = Manifest(snapshot_id=write_id, state=SnapshotState.BEGUN, start_sequence=1, end_sequence=0, created_ms=1)
    other = {cluster.nodes[2].node_id: cluster.nodes[2].address}
    await put_everywhere(cluster.client, other, begun)
    assert (await sweep(cluster)).deleted == 0
    assert await drop_everywhere(cluster.client, other, write_id)
    await cluster.connection.command("DEL", keys.orphan_sweep())
    assert (await sweep(cluster)).deleted == 1
