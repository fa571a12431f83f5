"""`cairn bucket redundancy`, `cairn object show` and `cairn undelete`, over real nodes and a real index."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway import bucket_commands, object_commands
from gateway.cli_options import CommandRefused
from gateway.command_services import CommandServices
from gateway.datapath import DataPath
from gateway.index.records import Deletion, ObjectRecord, Versioning
from gateway.index.store import Index
from gateway.journal.opening import open_index
from gateway.redundancy import REDUNDANCY, Redundancy
from gateway.settings import GatewaySettings
from storagenode.protocol import blob_id
from tests.gateway.datapath.cluster import (
    SECRET,
    Cluster,
    NodeProcess,
    Processes,
    running_processes,
)
from tests.harness import tools
from tests.harness.cairn import clean_environment

KEY = "a/ä b.jpg"
OWNER = "ab" * 32
NOW_MS = 1_790_000_000_123
BODY = b"0123456789" * 100_000


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("nodes"), nodes=3, zones=("a", "b")) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One test's bucket on the cluster that all share."""

    cluster: Cluster
    index: Index
    services: CommandServices
    bucket: str


@pytest.fixture
async def place(processes: Processes, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    settings = GatewaySettings(redis_host=processes.redis.address, cluster_secret=SECRET, expected_nodes=3)
    async with open_index(settings) as opened:
        await opened.journal.wait_until_open(20.0)
        datapath = DataPath(
            client=opened.client,
            membership=opened.membership,
            replicas_for=lambda _: 3,
            keep_lease=lambda write_id, ttl_s: opened.index.keep_lease(write_id, ttl_ms=int(ttl_s * 1000)),
            orphan_grace_s=3600.0,
        )
        cluster = Cluster(
            redis=processes.redis,
            connection=opened.connection,
            index=opened.index,
            nodes=processes.nodes,
            client=opened.client,
            membership=opened.membership,
            datapath=datapath,
            damages=[],
        )
        bucket = f"photos-{abs(hash(request.node.name))}"
        await opened.index.create_bucket(bucket, OWNER, "us-east-1", now_ms=NOW_MS, limit=1000)
        services = CommandServices(
            settings=settings, index=opened.index, membership=opened.membership, client=opened.client
        )
        yield Place(cluster=cluster, index=opened.index, services=services, bucket=bucket)
        await datapath.aclose()


async def put(place: Place, body: bytes, etag: str) -> ObjectRecord:
    extent = await place.cluster.write(body)
    record = ObjectRecord(etag=etag, size_bytes=len(body), modified_ms=NOW_MS, owner_id=OWNER, extents=(extent,))
    await place.index.put_object(place.bucket, KEY, record)
    return record


async def cairn(place: Place, *arguments: str, expect: int = 0, **more: str) -> str:
    """What the command prints to standard output, or, when it fails with 1, to standard error."""
    environment = {
        "REDIS_HOST": place.cluster.redis.address,
        "CAIRN_CLUSTER_SECRET": SECRET,
        "CAIRN_LOG_FORMAT": "json",
        "BASE_STORAGE_PATH": "/nonexistent",
        **more,
    }
    done = await asyncio.to_thread(
        tools.run,
        *(sys.executable, "-m", "gateway.cli", *arguments),
        env=clean_environment() | environment,
        expect=expect,
    )
    return (done.stderr if expect == 1 else done.stdout).decode()


async def test_redundancy_that_changed_has_everything_audited_at_once(place: Place) -> None:
    await bucket_commands.set_redundancy(place.services, place.bucket, replicas=2, write_quorum=None)
    first = await place.index.audit_request()
    assert first.endswith(f"redundancy of {place.bucket}")
    await bucket_commands.reset_redundancy(place.services, place.bucket)
    assert await place.index.audit_request() != first


async def test_redundancy_is_set_shown_and_reset(place: Place) -> None:
    shown = await cairn(place, "bucket", "redundancy", place.bucket, "--replicas", "2", "--json")
    assert json.loads(shown) == {"replicas": 2, "write_quorum": 2, "stated": True, "nodes": 3}
    bucket = await place.index.get_bucket(place.bucket)
    assert bucket.configs[REDUNDANCY] == b'{"format":1,"replicas":2,"write_quorum":2}'
    shown = await cairn(place, "bucket", "redundancy", place.bucket)
    assert shown.split() == ["replicas", "2", "write", "quorum", "2", "set", "by", "the", "bucket"]
    report = await bucket_commands.reset_redundancy(place.services, place.bucket)
    assert (report.redundancy, report.stated) == (Redundancy(replicas=3, write_quorum=2), False)
    assert REDUNDANCY not in (await place.index.get_bucket(place.bucket)).configs


@pytest.mark.parametrize(
    ("replicas", "write_quorum", "words"),
    [(3, 1, "majority"), (17, None, "at most 16"), (7, None, "the cluster has 3 nodes")],
)
async def test_redundancy_that_cannot_hold_is_refused(
    place: Place, replicas: int, write_quorum: int | None, words: str
) -> None:
    with pytest.raises(CommandRefused, match=words):
        await bucket_commands.set_redundancy(place.services, place.bucket, replicas=replicas, write_quorum=write_quorum)
    assert REDUNDANCY not in (await place.index.get_bucket(place.bucket)).configs


async def test_every_copy_of_an_object_is_shown_with_its_state(place: Place) -> None:
    record = await put(place, BODY, "e1")
    name = blob_id(record.extents[0].write_id, 0)
    began_ms = (await place.cluster.connection.command("TIME"))[0]

    whole = await show(place)

    (segment,) = whole["segments"]
    assert (segment["blob_id"], segment["offset"], segment["size_bytes"]) == (name, 0, len(BODY))
    assert {copy["node_id"] for copy in segment["copies"]} == {node.node_id for node in place.cluster.nodes}
    assert {copy["zone"] for copy in segment["copies"]} == {"a", "b"}
    for copy in segment["copies"]:
        assert copy["address"] == place.cluster.node(copy["node_id"]).address
        assert abs(copy["durable_ms"] - int(began_ms) * 1000) < 60_000
    assert states(whole) == {"ok"}
    text = await cairn(place, "object", "show", place.bucket, KEY, "--quick")
    assert text.count("  present  ") == text.count("durable since 20") == 3
    assert name in text


async def test_damaged_missing_and_unreachable_copies_are_told_apart(place: Place) -> None:
    record = await put(place, BODY, "e1")
    damaged, emptied, dead = place.cluster.nodes
    _flip_a_bit(damaged, blob_id(record.extents[0].write_id, 0))
    await place.cluster.client.delete(emptied.address, blob_id(record.extents[0].write_id, 0))
    dead.pause()
    try:
        shown = await show(place, expect=2)
    finally:
        dead.resume()
    found = {copy["node_id"]: copy["state"] for copy in shown["segments"][0]["copies"]}
    assert found == {damaged.node_id: "corrupt", emptied.node_id: "missing", dead.node_id: "unreachable"}


async def test_bucket_or_object_that_is_not_there_is_told(place: Place) -> None:
    services = place.services
    for call in (
        bucket_commands.show_redundancy(services, "absent"),
        object_commands.find_object(services, "absent", "x", None),
        object_commands.list_trashed(services, "absent", "x"),
        object_commands.undelete(services, "absent", "x", None),
    ):
        with pytest.raises(CommandRefused, match="there is no bucket 'absent'"):
            await call
    assert "there is no object 'x'" in await cairn(place, "object", "show", place.bucket, "x", expect=1)


async def test_delete_marker_and_versioned_bucket_are_told(place: Place) -> None:
    await place.index.set_versioning(place.bucket, Versioning.ENABLED)
    await place.index.delete_object(place.bucket, Deletion(key=KEY), owner_id=OWNER, now_ms=NOW_MS)
    with pytest.raises(CommandRefused, match="delete marker"):
        await object_commands.find_object(place.services, place.bucket, KEY, None)
    with pytest.raises(CommandRefused, match="keeps versions"):
        await object_commands.undelete(place.services, place.bucket, KEY, None)


async def test_deleted_object_comes_back_with_its_bytes(place: Place) -> None:
    await put(place, b"first", "e1")
    await put(place, b"second", "e2")
    await place.index.delete_object(place.bucket, Deletion(key=KEY), owner_id=OWNER, now_ms=NOW_MS)

    listed = json.loads(
        await cairn(place, "undelete", place.bucket, KEY, "--list", "--json", CAIRN_RECLAIM_GRACE_S="7")
    )
    assert [(one["etag"], one["size_bytes"]) for one in listed] == [("e2", 6), ("e1", 5)]
    assert {one["gone_ms"] - one["trashed_ms"] for one in listed} == {7000}
    assert await content(place) is None

    assert "6 bytes" in await cairn(place, "undelete", place.bucket, KEY)
    assert await content(place) == b"second"
    await object_commands.undelete(place.services, place.bucket, KEY, listed[1]["sequence"])
    assert await content(place) == b"first"
    assert len(await object_commands.list_trashed(place.services, place.bucket, KEY)) == 1
    with pytest.raises(CommandRefused, match="nothing to bring back"):
        await object_commands.undelete(place.services, place.bucket, KEY, 1)


async def show(place: Place, *flags: str, expect: int = 0) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(
        await cairn(place, "object", "show", place.bucket, KEY, "--json", *flags, expect=expect)
    )
    return shown


def states(shown: dict[str, Any]) -> set[str]:
    return {copy["state"] for segment in shown["segments"] for copy in segment["copies"]}


async def content(place: Place) -> bytes | None:
    _, record = await place.index.get_object(place.bucket, KEY)
    return None if record is None else await place.cluster.read(*record.extents)


def _flip_a_bit(node: NodeProcess, name: str) -> None:
    """In the middle of the blob of this name, which has a file of its own."""
    (path,) = [path for path in node.directory.rglob(f"*{name}*") if path.is_file()]
    at = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))
