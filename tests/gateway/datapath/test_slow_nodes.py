"""Real nodes that refuse, are stopped (SIGSTOP) or accept and say nothing: bounded writes, hedged reads, zones."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.datapath import DataPath, Origin
from gateway.datapath import writer as writer_module
from gateway.index import keys
from gateway.index.records import Extent
from storagenode.client import BlobStream
from tests.gateway.datapath.cluster import Cluster, Processes, open_cluster, running_processes

MIB = 1 << 20
LONGEST_WRITE_S = 5.0
ORIGIN = Origin(bucket="b", key="k")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("zoned"), nodes=4, zones=("a", "b")) as running:
        yield running


@pytest.fixture
async def cluster(processes: Processes) -> AsyncIterator[Cluster]:
    """Four nodes in two zones, two copies, the patience that a gateway has."""
    async with open_cluster(processes, replicas=2) as opened:
        yield opened
        for node in processes.nodes:
            if node.is_running:
                node.resume()


def body_of(size_bytes: int) -> bytes:
    return random.Random(size_bytes).randbytes(size_bytes)


def assert_spread(cluster: Cluster, extent: Extent) -> None:
    for segment in extent.segments:
        zones = [node.zone for node in cluster.membership.nodes() if node.node_id in segment.nodes]
        assert sorted(zones) == ["a", "b"]


async def timed_write(datapath: DataPath, body: bytes, *, replicas: int, write_quorum: int) -> tuple[Extent, float]:
    began = time.monotonic()
    async with datapath.open_write(
        origin=ORIGIN, size_bytes=len(body), replicas=replicas, write_quorum=write_quorum
    ) as writer:
        await writer.write(body)
        extent = await writer.finish()
    return extent, time.monotonic() - began


async def test_two_copies_lie_in_both_zones(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", MIB)
    extent = await cluster.write(body_of(12 * MIB))
    assert len(extent.segments) == 12
    assert_spread(cluster, extent)
    for _ in range(10):
        assert_spread(cluster, await cluster.write(b"x"))


@pytest.mark.parametrize("number", [0, 1])
async def test_killed_node_is_replaced_at_once_by_one_of_its_zone(cluster: Cluster, number: int) -> None:
    cluster.nodes[number].kill()
    for _ in range(8):
        extent, took = await timed_write(cluster.datapath, b"x" * 1000, replicas=2, write_quorum=2)
        assert_spread(cluster, extent)
        assert took < 1.0


@pytest.mark.parametrize("size_bytes", [1000, 2 * MIB])
async def test_stopped_node_is_replaced_within_bounds_by_one_of_its_zone(cluster: Cluster, size_bytes: int) -> None:
    body = body_of(size_bytes)
    for _ in range(4):
        await cluster.write(body)  # with open connections, so that the stop hits one in use
    cluster.nodes[0].pause()
    longest = 0.0
    for _ in range(8):
        extent, took = await timed_write(cluster.datapath, body, replicas=2, write_quorum=2)
        assert_spread(cluster, extent)
        assert cluster.nodes[0].node_id not in extent.segments[0].nodes
        longest = max(longest, took)
    assert longest < LONGEST_WRITE_S
    cluster.nodes[0].resume()


@pytest.mark.parametrize("write_quorum", [2, 3])
async def test_node_that_accepts_and_says_nothing_is_replaced_within_bounds(
    cluster: Cluster, write_quorum: int
) -> None:
    async with mute_node(cluster) as mute_id:
        longest = 0.0
        for _ in range(8):
            extent, took = await timed_write(cluster.datapath, b"x" * 1000, replicas=3, write_quorum=write_quorum)
            assert len(extent.segments[0].nodes) == 3
            assert mute_id not in extent.segments[0].nodes
            longest = max(longest, took)
        assert longest < LONGEST_WRITE_S
        assert cluster.membership.suspects(mute_id)


async def test_reads_turn_to_another_replica_when_a_node_is_stopped(cluster: Cluster) -> None:
    body = body_of(300_000)
    extent = await cluster.write(body)
    for _ in range(30):
        assert await cluster.read(extent) == body
    stopped = cluster.node(extent.segments[0].nodes[0])
    stopped.pause()
    times = []
    for _ in range(30):
        began = time.monotonic()
        assert await cluster.read(extent) == body
        times.append(time.monotonic() - began)
    assert max(times) < 1.5  # the longest bound is a second, and no read waits for the stall time
    assert sum(times) < 6.0
    assert cluster.membership.suspects(stopped.node_id)
    stopped.resume()


async def test_read_goes_on_elsewhere_when_its_node_is_stopped_midway(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = body_of(48 * MIB)
    extent = await cluster.write(body)
    asked: list[str] = []
    get = cluster.client.get

    def recorded(address: str, blob_id: str, *, offset: int, length: int, node_id: str | None) -> BlobStream:
        asked.append(address)
        return get(address, blob_id, offset=offset, length=length, node_id=node_id)

    monkeypatch.setattr(cluster.client, "get", recorded)
    received = bytearray()
    longest, began = 0.0, time.monotonic()
    async with contextlib.aclosing(cluster.datapath.read([extent], 0, len(body))) as chunks:
        async for chunk in chunks:
            longest = max(longest, time.monotonic() - began)
            if not received:
                next(node for node in cluster.nodes if node.address == asked[0]).pause()
            received += chunk
            began = time.monotonic()
    assert received == body
    assert len(set(asked)) == 2
    assert longest < 1.5
    assert cluster.damages == []


@contextlib.asynccontextmanager
async def mute_node(cluster: Cluster) -> AsyncIterator[str]:
    """A registered node, emptier than all others, that takes connections and never answers."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    mute_id = "f" * 32
    (beat, *_) = await cluster.connection.command("HVALS", keys.nodes())
    heartbeat = {**json.loads(beat), "node_id": mute_id, "address": f"127.0.0.1:{port}", "free_bytes": 1 << 50}
    await cluster.connection.command("HSET", keys.nodes(), mute_id, json.dumps(heartbeat))
    await cluster.membership.refresh()
    try:
        yield mute_id
    finally:
        await cluster.connection.command("HDEL", keys.nodes(), mute_id)
        server.close()
        for writer in writers:
            writer.close()
