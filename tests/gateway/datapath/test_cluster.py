"""The data path over real storage node processes: round trips, and nodes killed or paused midway."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.datapath import SEGMENT_BYTES, BytesUnavailable, NotEnoughNodes, Origin, WriteFailed
from gateway.datapath.damage import DamageKind
from gateway.datapath.origin import unpack_origin
from gateway.datapath.segment import Patience
from gateway.datapath.window import WINDOW_BYTES
from gateway.index.records import Extent
from tests.gateway.datapath.cluster import Cluster, NodeProcess, Processes, open_cluster, running_processes

MIB = 1 << 20
BLOCK_BYTES = 512 * 1024
PATIENCE = Patience(stall_s=0.4, straggler_s=0.4)


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("three"), nodes=3) as processes:
        yield processes


@pytest.fixture(scope="module")
def four_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("four"), nodes=4) as processes:
        yield processes


@pytest.fixture
async def cluster(three_nodes: Processes) -> AsyncIterator[Cluster]:
    """Three nodes, three replicas."""
    async with open_cluster(three_nodes, replicas=3, patience=PATIENCE) as cluster:
        yield cluster


def body_of(size_bytes: int) -> bytes:
    return random.Random(size_bytes).randbytes(size_bytes)


async def start_write(cluster: Cluster, body: bytes, pause_at: int) -> tuple[asyncio.Task[Extent], asyncio.Event]:
    """Begin to write, stop before the byte `pause_at`, and go on when the event is set."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> Extent:
        async with cluster.datapath.open_write(origin=Origin(bucket="b", key="k"), size_bytes=len(body)) as writer:
            for start in range(0, len(body), BLOCK_BYTES):
                if start >= pause_at and not reached.is_set():
                    reached.set()
                    await go_on.wait()
                await writer.write(body[start : start + BLOCK_BYTES])
            return await writer.finish()

    writing = asyncio.create_task(write())
    await reached.wait()
    return writing, go_on


@pytest.mark.parametrize("replicas", [1, 2, 3])
async def test_what_was_written_is_read_whole_and_in_ranges(four_nodes: Processes, replicas: int) -> None:
    async with open_cluster(four_nodes, replicas=replicas, patience=PATIENCE) as cluster:
        await _check_round_trips(cluster, replicas)


async def _check_round_trips(cluster: Cluster, replicas: int) -> None:
    body = body_of(SEGMENT_BYTES + 3 * MIB + 17)
    extents = [await cluster.write(body), await cluster.write(b"x"), await cluster.write(b"")]
    assert [[len(segment.nodes) for segment in extent.segments] for extent in extents] == [
        [replicas, replicas],
        [replicas],
        [],
    ]
    whole = body + b"x"
    for offset, length in [
        (0, len(whole)),
        (SEGMENT_BYTES - 5, 10),
        (SEGMENT_BYTES, 1),
        (len(body) - 3, 4),
        (12_345_678, 2 * MIB + 1),
    ]:
        chunks = cluster.datapath.read(extents, offset, length)
        assert b"".join([chunk async for chunk in chunks]) == whole[offset : offset + length]
    assert await cluster.blob_count() == 3 * replicas
    assert cluster.damages == []


async def test_each_replica_carries_the_back_pointer(cluster: Cluster) -> None:
    origin = Origin(bucket="büche", key="a//b\n\U0001f600", upload_id="u", part_number=9)
    extent = await cluster.write(b"abc", origin=origin)
    for node in cluster.nodes:
        (info,) = await cluster.blobs(node)
        stored = unpack_origin(info.origin)
        assert (stored.origin, stored.write_id, stored.size_bytes) == (origin, extent.write_id, 3)


async def test_many_small_objects_at_once(cluster: Cluster) -> None:
    bodies = [random.Random(number).randbytes(number * 37) for number in range(60)]
    extents = await asyncio.gather(*(cluster.write(body) for body in bodies))
    assert await asyncio.gather(*(cluster.read(extent) for extent in extents)) == bodies


async def test_write_goes_on_when_a_node_is_killed_midway(cluster: Cluster) -> None:
    body = body_of(SEGMENT_BYTES + 5 * MIB)
    writing, go_on = await start_write(cluster, body, SEGMENT_BYTES // 2)
    cluster.nodes[0].kill()
    go_on.set()
    extent = await writing
    survivors = {node.node_id for node in cluster.nodes[1:]}
    assert [set(segment.nodes) for segment in extent.segments] == [survivors, survivors]
    assert {damage.kind for damage in cluster.damages} == {DamageKind.TOO_FEW, DamageKind.STRAY}
    assert await cluster.read(extent) == body


async def test_write_fails_when_the_majority_is_killed_midway_and_what_is_left_is_deleted(
    cluster: Cluster,
) -> None:
    writing, go_on = await start_write(cluster, body_of(SEGMENT_BYTES + 5 * MIB), SEGMENT_BYTES + 3 * MIB)
    for node in cluster.nodes[:2]:
        node.kill()
    go_on.set()
    with pytest.raises((WriteFailed, NotEnoughNodes)):
        await writing
    await cluster.datapath.idle()
    assert await cluster.blobs(cluster.nodes[2]) == []


async def test_small_write_needs_no_luck_when_a_node_has_just_been_killed(
    four_nodes: Processes,
) -> None:
    async with open_cluster(four_nodes, patience=PATIENCE) as cluster:
        await asyncio.gather(*(cluster.write(b"warm up the connections") for _ in range(8)))
        cluster.nodes[0].kill()
        extents = await asyncio.gather(*(cluster.write(b"y" * number) for number in range(1, 40)))
        assert {len(extent.segments[0].nodes) for extent in extents} == {3}
        for extent in extents:
            assert cluster.nodes[0].node_id not in extent.segments[0].nodes


async def test_write_leaves_a_node_that_stopped_taking_bytes(cluster: Cluster) -> None:
    body = body_of(40 * MIB)
    writing, go_on = await start_write(cluster, body, 10 * MIB)
    cluster.nodes[0].pause()
    go_on.set()
    extent = await asyncio.wait_for(writing, 20)
    assert set(extent.segments[0].nodes) == {node.node_id for node in cluster.nodes[1:]}
    assert await cluster.read(extent) == body
    cluster.nodes[0].resume()


async def test_small_write_is_acknowledged_by_the_majority_when_a_node_hangs(cluster: Cluster) -> None:
    await cluster.write(b"warm up the connections")
    cluster.nodes[0].pause()
    extent = await asyncio.wait_for(cluster.write(b"x"), 20)
    assert len(extent.segments[0].nodes) == 2
    assert cluster.membership.suspects(cluster.nodes[0].node_id)
    cluster.nodes[0].resume()


async def test_abandoned_write_leaves_no_blob_behind(cluster: Cluster) -> None:
    writing, _ = await start_write(cluster, body_of(SEGMENT_BYTES + 5 * MIB), SEGMENT_BYTES + 3 * MIB)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await cluster.datapath.idle()
    assert await cluster.blob_count() == 0


async def test_discarded_write_is_gone(cluster: Cluster) -> None:
    extent = await cluster.write(body_of(SEGMENT_BYTES + 1))
    assert await cluster.blob_count() == 6
    cluster.datapath.discard([extent])
    await cluster.datapath.idle()
    assert await cluster.blob_count() == 0


async def test_read_goes_on_when_the_node_is_killed_midway(cluster: Cluster) -> None:
    body = body_of(SEGMENT_BYTES)
    extent = await cluster.write(body)
    for killed in cluster.nodes[:2]:
        received = bytearray()
        async with contextlib.aclosing(cluster.datapath.read([extent], 0, len(body))) as chunks:
            async for chunk in chunks:
                received += chunk
                if len(received) >= 5 * MIB:
                    killed.kill()
        assert received == body
    assert cluster.damages == []


async def test_read_leaves_a_node_that_hangs_midway(cluster: Cluster) -> None:
    body = body_of(SEGMENT_BYTES)
    extent = await cluster.write(body)
    cluster.datapath._reader._stall_s = 0.4
    received = bytearray()
    async with contextlib.aclosing(cluster.datapath.read([extent], 0, len(body))) as chunks:
        async for chunk in chunks:
            if not received:
                for node in cluster.nodes[:2]:
                    node.pause()
            received += chunk
    assert received == body
    for node in cluster.nodes[:2]:
        node.resume()


async def test_single_copy_is_read_to_its_end_when_its_node_restarts_midway(three_nodes: Processes) -> None:
    body = body_of(SEGMENT_BYTES)
    async with open_cluster(three_nodes, replicas=1, patience=PATIENCE) as cluster:
        extent = await cluster.write(body)
        holder = cluster.node(extent.segments[0].nodes[0])
        received = bytearray()
        async with contextlib.aclosing(cluster.datapath.read([extent], 0, len(body))) as chunks:
            async for chunk in chunks:
                if not received:
                    holder.kill()
                    holder.start()
                    await cluster.know_all_nodes()
                received += chunk
        assert received == body


async def test_bytes_are_unavailable_when_all_their_nodes_are_gone(cluster: Cluster) -> None:
    extent = await cluster.write(b"x" * 100)
    for node in cluster.nodes:
        node.kill()
    with pytest.raises(BytesUnavailable):
        await cluster.read(extent)


async def test_damaged_and_missing_replicas_are_reported_and_the_good_one_is_read(cluster: Cluster) -> None:
    body = body_of(3 * MIB)
    extent = await cluster.write(body)
    damaged, emptied = cluster.nodes[:2]
    _flip_a_bit(damaged, len(body))
    (info,) = await cluster.blobs(emptied)
    await cluster.client.delete(emptied.address, info.blob_id)
    while len({damage.node_id for damage in cluster.damages}) < 2:
        assert await cluster.read(extent) == body
    first = {damage.node_id: damage.kind for damage in reversed(cluster.damages)}
    # A damaged blob goes into quarantine, so the second read finds it missing there.
    assert first == {damaged.node_id: DamageKind.CORRUPT, emptied.node_id: DamageKind.MISSING}


async def test_leaving_a_read_early_gives_the_connection_up(cluster: Cluster) -> None:
    body = body_of(SEGMENT_BYTES + WINDOW_BYTES)
    extent = await cluster.write(body)
    for _ in range(3):
        async with contextlib.aclosing(cluster.datapath.read([extent], 0, len(body))) as chunks:
            assert body.startswith(await anext(chunks))
    assert await cluster.read(extent) == body


async def test_a_write_is_refused_before_anything_is_sent_when_nodes_stopped(cluster: Cluster) -> None:
    for node in cluster.nodes[:2]:
        node.stop()
    await cluster.membership.refresh()
    with pytest.raises(NotEnoughNodes):
        await cluster.write(b"x")


def _flip_a_bit(node: NodeProcess, size_bytes: int) -> None:
    """In the middle of the one blob of about this size that the node holds."""
    (path,) = [
        path
        for path in node.directory.rglob("*")
        if path.is_file() and size_bytes <= path.stat().st_size < 2 * size_bytes
    ]
    with path.open("r+b") as file:
        file.seek(size_bytes // 2)
        byte = file.read(1)[0]
        file.seek(size_bytes // 2)
        file.write(bytes([byte ^ 0x10]))
