"""Disks that are really full, a node's and the index server's: refusals that say so, and nothing to repair by hand."""

import asyncio
import contextlib
import http.client
import itertools
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from storagenode.client import NodeClient, NodeFull
from storagenode.protocol import blob_id
from tests.faults.cluster import FaultCluster, wait_until
from tests.faults.ledger import LARGE_BYTES, SMALL_BYTES, Ledger
from tests.faults.small_disk import SmallDisk, small_disk
from tests.harness.cluster import CLUSTER_SECRET, ClusterPlan

MIB = 1024**2
NODE_BYTES, INDEX_BYTES = 24 * MIB, 8 * MIB
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, stack: contextlib.ExitStack) -> FaultCluster:
    """One node and an index server, each on a small disk."""
    plan = ClusterPlan(
        nodes=1,
        gateways=1,
        workers=1,
        replicas=1,
        redis_fsync="everysec",
        environment={"CAIRN_RECLAIM_GRACE_S": "1", "CAIRN_RECLAIM_INTERVAL_S": "0.3", "CAIRN_JOURNAL_TIMEOUT_S": "3"},
    )
    made = FaultCluster(plan, tmp_path_factory.mktemp("full"))
    DISKS["node"] = stack.enter_context(small_disk(made.node_directory(made.nodes[0]), NODE_BYTES))
    DISKS["index"] = stack.enter_context(small_disk(made.redis.directory, INDEX_BYTES))
    return stack.enter_context(made)


DISKS: dict[str, SmallDisk] = {}


@pytest.fixture
def node_disk(cluster: FaultCluster) -> Iterator[SmallDisk]:
    yield DISKS["node"]
    DISKS["node"].clear()


@pytest.fixture
def index_disk(cluster: FaultCluster) -> Iterator[SmallDisk]:
    yield DISKS["index"]
    DISKS["index"].clear()


@pytest.fixture
def ledger(cluster: FaultCluster) -> Iterator[Ledger]:
    client = cluster.client(read_timeout=30)
    made = Ledger(client, f"bucket-{next(NUMBERS)}")
    wait_until(lambda: made.put("small before", SMALL_BYTES), "there is room")
    wait_until(lambda: made.put("large before", LARGE_BYTES), "there is room")
    yield made
    client.close()


def test_full_node_refuses_writes_and_takes_deletes(
    cluster: FaultCluster, ledger: Ledger, node_disk: SmallDisk
) -> None:
    """Up to the reserve, of which the journal may use a half: so that there is a way back."""
    names = [f"filling {number}" for number in range(2 * NODE_BYTES // MIB)]
    taken = list(itertools.takewhile(lambda name: ledger.put(name, MIB), names))
    assert NODE_BYTES // MIB // 2 < len(taken) < NODE_BYTES // MIB
    assert "SlowDown" in ledger.refused[-1]
    ledger.check()
    assert all(ledger.delete(name) for name in taken), ledger.refused
    wait_until(lambda: ledger.put("after", 10 * MIB), "what was deleted gives room")
    ledger.check()
    assert ledger.delete("after")


def test_disk_that_fills_midway_leaves_nothing_of_the_upload(
    cluster: FaultCluster, ledger: Ledger, node_disk: SmallDisk
) -> None:
    """The node had promised the room to the upload, and somebody else took it."""
    node, size_bytes = cluster.nodes[0], 8 * MIB
    held = cluster.held(node)
    url = ledger.client.generate_presigned_url("put_object", Params={"Bucket": ledger.bucket, "Key": "midway"})
    place = urllib.parse.urlsplit(url)

    def body() -> Iterator[bytes]:
        yield bytes(size_bytes // 2)
        temporary = cluster.node_directory(node) / "tmp"
        wait_until(lambda: any(path.stat().st_size > MIB for path in temporary.iterdir()), "the upload is under way")
        node_disk.fill()
        yield bytes(size_bytes // 2)

    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    connection.request("PUT", f"{place.path}?{place.query}", body(), {"Content-Length": str(size_bytes)})
    answer = connection.getresponse()
    assert (answer.status, b"<Code>SlowDown</Code>" in answer.read()) == (503, True)
    connection.close()
    node_disk.clear()
    assert cluster.held(node) == held
    assert not list((cluster.node_directory(node) / "tmp").iterdir())
    wait_until(lambda: ledger.put("after", 8 * MIB), "there is room again")
    ledger.check()
    assert ledger.delete("after")


def test_node_whose_disk_is_full_to_the_last_byte_goes_on_when_there_is_room(
    cluster: FaultCluster, ledger: Ledger, node_disk: SmallDisk
) -> None:
    node_disk.fill()
    assert not ledger.put("small before", SMALL_BYTES)
    assert not ledger.put("new", LARGE_BYTES)
    assert ledger.read("large before") is not None
    ledger.delete("small before")
    node_disk.clear()
    wait_until(lambda: ledger.put("after", LARGE_BYTES), "it recovers by itself")
    wait_until(ledger.is_readable, "everything can be read")
    ledger.check()


def test_node_starts_and_serves_when_its_disk_is_full(
    cluster: FaultCluster, ledger: Ledger, node_disk: SmallDisk
) -> None:
    node = cluster.nodes[0]
    node_disk.fill()
    node.kill()
    node.start()
    cluster.await_answer(node)
    wait_until(ledger.is_readable, "everything can be read")
    ledger.check_bodies()
    assert not ledger.put("new", SMALL_BYTES)
    node_disk.clear()
    wait_until(lambda: ledger.put("after", LARGE_BYTES), "it recovers by itself")
    ledger.check()


def test_full_disk_of_the_index_server_stops_changes_and_no_reads(
    cluster: FaultCluster, ledger: Ledger, index_disk: SmallDisk
) -> None:
    index_disk.fill()
    numbers = itertools.count()
    wait_until(lambda: not ledger.put(f"during {next(numbers)}", SMALL_BYTES), "the server notices")
    assert not ledger.delete("small before")
    ledger.check()
    index_disk.clear()
    wait_until(lambda: ledger.put("after", SMALL_BYTES), "it recovers by itself")
    ledger.check()
    cluster.redis.kill()
    cluster.redis.start()
    cluster.await_ready()
    ledger.check_eventually()


def test_write_lands_on_another_node_when_one_is_full(tmp_path: Path) -> None:
    """Also while gateways do not know yet, and the journal goes on without that node."""
    plan = ClusterPlan(nodes=3, gateways=1, workers=0, replicas=1, redis_fsync="everysec")
    cluster = FaultCluster(plan, tmp_path / "cluster")
    with contextlib.ExitStack() as stack:
        disks = [stack.enter_context(small_disk(cluster.node_directory(node), NODE_BYTES)) for node in cluster.nodes]
        stack.enter_context(cluster)
        client = cluster.client(read_timeout=30)
        ledger = Ledger(client, "bucket")
        disks[0].fill()
        with pytest.raises(NodeFull):
            asyncio.run(put_directly(cluster.address(cluster.nodes[0])))
        held = cluster.held(cluster.nodes[0])
        for number in range(20):
            assert ledger.put(f"{number}", (SMALL_BYTES, LARGE_BYTES)[number % 2]), ledger.refused
        assert cluster.held(cluster.nodes[0]) == held
        ledger.check()
        client.close()


async def put_directly(address: str) -> None:
    async with NodeClient(CLUSTER_SECRET.encode()) as client:
        blob = blob_id("0" * 32, 0)
        await client.put(address, blob, size_bytes=LARGE_BYTES, origin=b"test", body=bytes(LARGE_BYTES))
