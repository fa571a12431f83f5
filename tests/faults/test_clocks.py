"""Clocks that are an hour wrong, on nodes, gateways, the worker and the index server: what each of them decides."""

import datetime
import http.client
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from tests.cluster.content import blocks, content
from tests.faults.clocks import clock, sign_by, skewed_index_server
from tests.faults.cluster import FaultCluster, wait_until
from tests.faults.ledger import LARGE_BYTES, SMALL_BYTES
from tests.harness.cluster import ClusterPlan

HOUR_S = 3600
BEGUN_BYTES = 68 * 1024**2
"""More than a segment of 64 MiB, which is finished only when the next one is begun."""
#: Of each process, seconds; the others go right.
AHEAD_S = {"node-1": HOUR_S, "node-2": -HOUR_S, "gateway-1": HOUR_S, "gateway-2": -HOUR_S, "worker-1": HOUR_S}
#: Longer than the test, shorter than what the clocks are wrong by.
GRACES = {
    "CAIRN_RECLAIM_GRACE_S": "900",
    "CAIRN_ORPHAN_GRACE_S": "900",
    "CAIRN_RECLAIM_INTERVAL_S": "0.2",
    "CAIRN_REPAIR_GRACE_S": "900",
}
ROUNDS_S = 1.5
"""Some passes of the worker."""

Clients = tuple[Any, Any]


@pytest.fixture(scope="module")
def server_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return skewed_index_server(tmp_path_factory.mktemp("program") / "index-server", 0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, server_program: Path) -> Iterator[FaultCluster]:
    plan = ClusterPlan(
        nodes=3,
        gateways=2,
        workers=1,
        replicas=3,
        redis_fsync="everysec",
        redis_binary=server_program,
        environment=GRACES,
    )
    environments = {name: clock(ahead_s) for name, ahead_s in AHEAD_S.items()}
    with FaultCluster(plan, tmp_path_factory.mktemp("clocks"), environments=environments) as running:
        yield running


@pytest.fixture
def clients(cluster: FaultCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """Of the gateway that is ahead, and of the one that is behind."""
    ahead, behind = cluster.client(0, read_timeout=30), cluster.client(1, read_timeout=30)
    sign_by(ahead, AHEAD_S["gateway-1"], monkeypatch)
    sign_by(behind, AHEAD_S["gateway-2"], monkeypatch)
    yield ahead, behind
    ahead.close()
    behind.close()


def test_request_is_judged_by_the_clock_of_its_gateway(cluster: FaultCluster) -> None:
    for number in (0, 1):
        right = cluster.client(number)
        with pytest.raises(botocore.exceptions.ClientError, match="RequestTimeTooSkewed"):
            right.list_buckets()
        right.close()


def put_versions(clients: Clients, bucket: str, count: int, first: int = 0) -> list[str]:
    """Versions of one key, through one gateway after the other; their ids, each looked at through the other one."""
    made: list[str] = []
    for number in range(first, first + count):
        one, other = clients[number % 2], clients[1 - number % 2]
        size_bytes = (SMALL_BYTES, LARGE_BYTES)[number // 2 % 2]
        body = content(size_bytes, str(number).encode())
        made.append(one.put_object(Bucket=bucket, Key="key", Body=body)["VersionId"])
        assert other.get_object(Bucket=bucket, Key="key")["Body"].read() == body
    return made


def listed(client: Any, bucket: str) -> list[str]:
    """The version ids, oldest first."""
    return [found["VersionId"] for found in client.list_object_versions(Bucket=bucket)["Versions"]][::-1]


def make_versioned(clients: Clients, bucket: str) -> None:
    clients[0].create_bucket(Bucket=bucket)
    clients[1].put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def test_versions_are_in_the_order_of_their_writes_and_so_is_the_journal(
    cluster: FaultCluster, clients: Clients
) -> None:
    make_versioned(clients, "ordered")
    made = put_versions(clients, "ordered", 8)
    assert listed(clients[0], "ordered") == made
    cluster.wipe_redis()
    cluster.await_ready()
    assert listed(clients[0], "ordered") == listed(clients[1], "ordered") == made
    made += put_versions(clients, "ordered", 2, first=8)
    assert listed(clients[1], "ordered") == made


def test_graces_are_not_cut_short(cluster: FaultCluster, clients: Clients) -> None:
    """Neither of bytes that were replaced or deleted, nor of an upload under way: its first segment is on the nodes for
    some passes of the worker before a record names it.
    """
    for client, bucket in zip(clients, ("grace-ahead", "grace-behind"), strict=True):
        client.create_bucket(Bucket=bucket)
        for key in ("replaced", "deleted"):
            client.put_object(Bucket=bucket, Key=key, Body=content(LARGE_BYTES))
        client.put_object(Bucket=bucket, Key="replaced", Body=content(SMALL_BYTES))
        client.delete_object(Bucket=bucket, Key="deleted")
    held = [cluster.held(node) for node in cluster.nodes]

    def has_first_segment() -> bool:
        return all(cluster.held(node) - before for node, before in zip(cluster.nodes, held, strict=True))

    def body() -> Iterator[bytes]:
        yield from blocks(BEGUN_BYTES)
        wait_until(has_first_segment, "the first segment is on all nodes", timeout_s=20)
        time.sleep(ROUNDS_S)
        yield b"the end"

    behind = clients[1]
    assert put(behind, "grace-behind", body(), BEGUN_BYTES + 7) == (200, b"")
    found = behind.get_object(Bucket="grace-behind", Key="slow", Range="bytes=-7")
    assert found["Body"].read() == b"the end"
    for node, before in zip(cluster.nodes, held, strict=True):
        assert before <= cluster.held(node), node.name


def put(client: Any, bucket: str, body: Iterator[bytes], size_bytes: int) -> tuple[int, bytes]:
    """A PUT whose body is made as it goes; its answer."""
    named = {"Bucket": bucket, "Key": "slow"}
    place = urllib.parse.urlsplit(client.generate_presigned_url("put_object", Params=named, ExpiresIn=3 * HOUR_S))
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    connection.request("PUT", f"{place.path}?{place.query}", body, {"Content-Length": str(size_bytes)})
    answer = connection.getresponse()
    told = answer.status, answer.read()
    connection.close()
    return told


def test_index_server_decides_whether_a_retention_is_over(clients: Clients) -> None:
    """That a date to come is given, the gateway decides by its own clock: here the one that is behind."""
    ahead, behind = clients
    behind.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    now = datetime.datetime.now(datetime.UTC)
    versions = {
        is_over: behind.put_object(
            Bucket="locked",
            Key="key",
            Body=b"x",
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=now + datetime.timedelta(minutes=-30 if is_over else 30),
        )["VersionId"]
        for is_over in (True, False)
    }
    for client in clients:
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.delete_object(Bucket="locked", Key="key", VersionId=versions[False])
    behind.delete_object(Bucket="locked", Key="key", VersionId=versions[True])
    assert listed(ahead, "locked") == [versions[False]]


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_index_server_comes_back_with_another_clock(
    cluster: FaultCluster, clients: Clients, server_program: Path, ahead_s: int
) -> None:
    bucket = f"jump{ahead_s}"
    make_versioned(clients, bucket)
    made = put_versions(clients, bucket, 3)
    cluster.redis.kill()
    skewed_index_server(server_program, ahead_s)
    cluster.redis.start()
    cluster.await_ready()
    made += put_versions(clients, bucket, 3, first=3)
    assert listed(clients[0], bucket) == made
    clients[0].delete_object(Bucket=bucket, Key="key")
    assert clients[1].list_object_versions(Bucket=bucket)["DeleteMarkers"][0]["IsLatest"]
    for number, version in enumerate(made):
        body = content((SMALL_BYTES, LARGE_BYTES)[number // 2 % 2], str(number).encode())
        found = clients[number % 2].get_object(Bucket=bucket, Key="key", VersionId=version)
        assert found["Body"].read() == body
