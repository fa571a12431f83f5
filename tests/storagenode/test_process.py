"""Real node processes: started, told to stop, killed, orphaned, and their heartbeats."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from storagenode.client import BlobNotFound, NodeClient, NodeUnreachable
from storagenode.heartbeat import NODES_KEY
from tests.harness.redis_server import RedisServer
from tests.storagenode.journal.support import E1, FIRST, HEADER, SEGMENT, entries
from tests.storagenode.support import NOW_MS, ORIGIN, SECRET, blob_files, blob_id, content

PROJECT = Path(__file__).parents[2]
WAIT_S = 30.0


class Process:
    """One `python -m MODULE`, killed at the end if it still runs."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env={**inherited, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.node_id = self.address = ""

    def listen(self) -> "Process":
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        words = line.split()
        assert words[:2] == ["cairn", "node"], line + self.errors()
        assert words[3:5] == ["listening", "on"]
        self.node_id, self.address = words[2], words[5]
        return self

    def send(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        return self._process.wait(WAIT_S)

    def output_end(self) -> str:
        """What is left of standard output once every process that holds it is gone."""
        assert self._process.stdout is not None
        return self._process.stdout.read()

    def errors(self) -> str:
        assert self._process.stderr is not None
        self._process.wait(WAIT_S)
        return self._process.stderr.read()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


def environment(directory: Path, redis_host: str = "unix:/nowhere", **more: str) -> dict[str, str]:
    return {
        "BASE_STORAGE_PATH": str(directory),
        "CAIRN_CLUSTER_SECRET": SECRET.decode(),
        "REDIS_HOST": redis_host,
        "NODE_HEARTBEAT_INTERVAL": "0.1",
        **more,
    }


@contextlib.contextmanager
def running(*arguments: str, **variables: str) -> Iterator[Process]:
    process = Process(*(arguments or ("-m", "storagenode")), **variables)
    try:
        yield process
    finally:
        process.close()


async def test_a_node_serves_keeps_its_name_and_blobs_and_stops_cleanly(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there" / "yet"
    for number in (signal.SIGTERM, signal.SIGINT):
        with running(**environment(directory)) as process:
            process.listen()
            async with NodeClient(SECRET) as client:
                stored = await client.put(process.address, blob_id(), size_bytes=4, origin=ORIGIN, body=b"data")
                assert stored.size_bytes == 4
                assert (await client.health(process.address)).node_id == process.node_id
            assert process.send(number) == 0
            assert json.loads((directory / "node.json").read_text())["node_id"] == process.node_id


async def test_a_request_under_way_is_finished_when_the_node_is_told_to_stop(tmp_path: Path) -> None:
    with running(**environment(tmp_path)) as process:
        process.listen()
        halfway, stopping = asyncio.Event(), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield bytes(4 << 20)
            halfway.set()
            await stopping.wait()
            yield bytes(1 << 20)

        async with NodeClient(SECRET) as client:
            upload = asyncio.create_task(
                client.put(process.address, blob_id(), size_bytes=5 << 20, origin=ORIGIN, body=body())
            )
            await halfway.wait()
            stopped = asyncio.create_task(asyncio.to_thread(process.send, signal.SIGTERM))
            host, _, port = process.address.rpartition(":")
            with contextlib.suppress(OSError):
                while True:  # until it no longer takes connections
                    _, writer = await asyncio.open_connection(host, int(port))
                    writer.transport.abort()
            stopping.set()
            assert (await upload).size_bytes == 5 << 20
        assert await stopped == 0
    assert len(blob_files(tmp_path)) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"CAIRN_CLUSTER_SECRET": ""}, "CAIRN_CLUSTER_SECRET must be set"),
        ({"BASE_STORAGE_PATH": ""}, "BASE_STORAGE_PATH must be set"),
        ({"BASE_STORAGE_PATH": "/dev/null/x"}, "/dev/null"),
        ({"CAIRN_NODE_HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1:0"),
        ({"CAIRN_PARENT_PID": "1"}, "process 1 is gone"),
    ],
)
def test_a_node_that_cannot_start_says_why(tmp_path: Path, change: dict[str, str], told: str) -> None:
    with running(**{**environment(tmp_path), **change}) as process:
        assert process.wait() == 1
        assert told in process.errors()


def test_a_second_node_on_the_same_directory_or_port_says_so(tmp_path: Path) -> None:
    with running(**environment(tmp_path / "1")) as first:
        first.listen()
        with running(**environment(tmp_path / "1")) as second:
            assert second.wait() == 1
            assert "another node is running" in second.errors()
        port = first.address.rpartition(":")[2]
        with running(**environment(tmp_path / "2", CAIRN_NODE_PORT=port)) as third:
            assert third.wait() == 1
            assert "cannot listen" in third.errors()


ORPHAN_MAKER = """
import os, subprocess, sys
os.environ["CAIRN_PARENT_PID"] = str(os.getpid())
subprocess.Popen([sys.executable, "-m", "storagenode"]).wait()
"""


def test_a_node_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    with running("-c", ORPHAN_MAKER, **environment(tmp_path)) as parent:
        parent.listen()
        assert parent.send(signal.SIGKILL) == -signal.SIGKILL
        assert parent.output_end() == ""  # the node held the other end
        with running(**environment(tmp_path)) as successor:
            successor.listen()


# --- heartbeats -------------------------------------------------------------------------------------------


def beats(server: RedisServer) -> dict[str, dict[str, Any]]:
    with Redis(unix_socket_path=str(server.socket_path)) as redis:
        found: dict[bytes, bytes] = redis.hgetall(NODES_KEY)
        return {name.decode(): json.loads(beat) for name, beat in found.items()}


async def next_beat(server: RedisServer, node_id: str, after: float = 0.0) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        while True:
            beat = beats(server).get(node_id)
            if beat and beat["heartbeat_at"] > after:
                return beat
            await asyncio.sleep(0.02)


async def test_heartbeats_tell_where_and_how_a_node_is_until_it_says_goodbye(tmp_path: Path) -> None:
    with RedisServer() as server:
        variables = environment(tmp_path, server.address, CAIRN_ZONE="rack1")
        with running(**variables) as process:
            process.listen()
            first = await next_beat(server, process.node_id)
            assert first["address"] == process.address
            assert first["zone"] == "rack1"
            assert first["accepting"]
            assert "stopped" not in first
            assert 0 < first["free_bytes"] < first["capacity_bytes"]
            assert set(first["scrub"]) == {"round", "fraction", "expected_end_ms", "damaged"}
            await next_beat(server, process.node_id, first["heartbeat_at"])
            assert process.send(signal.SIGTERM) == 0
            last = beats(server)[process.node_id]
            assert last["stopped"]
            assert not last["accepting"]


async def test_a_node_without_its_directory_or_space_takes_no_blobs(tmp_path: Path) -> None:
    with RedisServer() as server:
        full = environment(tmp_path / "1", server.address, CAIRN_NODE_RESERVE_BYTES=str(1 << 60))
        with running(**full) as process:
            process.listen()
            beat = await next_beat(server, process.node_id)
            assert (beat["accepting"], beat["free_bytes"]) == (False, 0)
        with running(**environment(tmp_path / "2", server.address)) as process:
            process.listen()
            assert (await next_beat(server, process.node_id))["accepting"]
            (tmp_path / "2" / "node.json").unlink()
            async with asyncio.timeout(WAIT_S):
                after = 0.0
                while (beat := await next_beat(server, process.node_id, after))["accepting"]:
                    after = beat["heartbeat_at"]


async def test_a_node_serves_while_redis_is_away_and_is_known_again_when_it_is_back(tmp_path: Path) -> None:
    server = RedisServer()
    try:
        with running(**environment(tmp_path, server.address)) as process:
            process.listen()
            async with NodeClient(SECRET) as client:
                await client.put(process.address, blob_id(), size_bytes=4, origin=ORIGIN, body=b"data")
                server.start()
                await next_beat(server, process.node_id)
                server.kill()
                assert (await client.stat(process.address, blob_id())).size_bytes == 4
                server.start()
                await next_beat(server, process.node_id)
            assert process.send(signal.SIGTERM) == 0
    finally:
        server.stop()


async def test_a_node_that_the_table_forgot_registers_at_once_and_not_with_its_next_heartbeat(tmp_path: Path) -> None:
    server = RedisServer()
    try:
        server.start()
        variables = {**environment(tmp_path, server.address), "NODE_HEARTBEAT_INTERVAL": "600"}
        with running(**variables) as process:
            process.listen()
            await next_beat(server, process.node_id)
            with Redis(unix_socket_path=str(server.socket_path)) as redis:  # wiped
                redis.flushall()
            await next_beat(server, process.node_id)
            server.kill()  # replaced by an empty one
            server.start()
            await next_beat(server, process.node_id)
            killed_at = beats(server)[process.node_id]["heartbeat_at"]
        with running(**variables) as process:  # the node was killed and starts again
            await next_beat(server, process.listen().node_id, killed_at)
    finally:
        server.stop()


# --- killed between steps ---------------------------------------------------------------------------------

PUT_STEPS = 14
"""More changes than a put makes: the last runs must come to the acknowledgement."""


async def check(client: NodeClient, address: str, acknowledged: dict[str, bytes], tried: set[str]) -> None:
    listed = await client.list(address, after="", before_ms=1 << 48, limit=1000)
    assert {info.blob_id for info in listed} >= acknowledged.keys()
    assert {info.blob_id for info in listed} <= tried
    for info in listed:
        async with client.get(address, info.blob_id, offset=0, length=info.size_bytes) as stream:
            data = b"".join([chunk async for chunk in stream])
        assert data == content(info.size_bytes, info.blob_id.encode())


@pytest.mark.parametrize("size_bytes", [100, 3_000_000])
async def test_a_node_killed_between_any_two_steps_of_a_put_keeps_what_it_acknowledged(
    tmp_path: Path, size_bytes: int
) -> None:
    acknowledged: dict[str, bytes] = {}
    tried: set[str] = set()
    async with NodeClient(SECRET) as client:
        for step in range(PUT_STEPS):
            # Times far apart, so that each put also makes its directories.
            name = blob_id(step, at_ms=NOW_MS + step * 86_400_000)
            with running("-m", "tests.storagenode.killing_node", str(tmp_path), str(step)) as process:
                process.listen()
                # A compaction in the background may have begun by now.
                assert [path for path in (tmp_path / "tmp").iterdir() if path.suffix not in (".pack", ".index")] == []
                await check(client, process.address, acknowledged, tried)
                tried.add(name)
                data = content(size_bytes, name.encode())
                try:
                    await client.put(process.address, name, size_bytes=size_bytes, origin=ORIGIN, body=data)
                except NodeUnreachable:
                    assert process.wait() == -signal.SIGKILL
                else:
                    acknowledged[name] = data
    assert 2 <= len(acknowledged) <= PUT_STEPS - 3


@pytest.mark.parametrize(("size_bytes", "steps"), [(4, (True, True, True, False)), (100_000, (True, False))])
async def test_a_node_killed_between_the_steps_of_a_delete_deletes_or_keeps(
    tmp_path: Path, size_bytes: int, steps: tuple[bool, ...]
) -> None:
    """The steps of a small blob's delete: unlink a file, of which there is none, make a pack, write, fsync."""
    async with NodeClient(SECRET) as client:
        for step, kept in enumerate(steps):
            with running(**environment(tmp_path)) as process:
                process.listen()
                body = content(size_bytes)
                await client.put(process.address, blob_id(), size_bytes=size_bytes, origin=ORIGIN, body=body)
                process.send(signal.SIGTERM)
            with running("-m", "tests.storagenode.killing_node", str(tmp_path), str(step)) as process:
                process.listen()
                with pytest.raises(NodeUnreachable):
                    await client.delete(process.address, blob_id())
            with running(**environment(tmp_path)) as process:
                process.listen()
                if kept:
                    assert (await client.stat(process.address, blob_id())).size_bytes == size_bytes
                else:
                    with pytest.raises(BlobNotFound):
                        await client.stat(process.address, blob_id())


APPEND_STEPS = 5
"""More changes than an append makes (the entries, the fsync, the mark)."""


async def test_a_node_killed_between_any_two_steps_of_an_append_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    acknowledged = FIRST - 1
    async with NodeClient(SECRET) as client:
        with running(**environment(tmp_path)) as process:
            process.listen()
            await client.journal.promise(process.address, E1)
            await client.journal.create(process.address, HEADER)
        answers = 0
        for step in range(APPEND_STEPS):
            with running("-m", "tests.storagenode.killing_node", str(tmp_path), str(step)) as process:
                process.listen()
                status = await client.journal.status(process.address)
                assert status.promised_epoch == E1
                assert acknowledged <= (last := status.segments[0].last_sequence)
                read = await client.journal.read(process.address, SEGMENT, after=0, limit_bytes=1 << 20)
                assert read == list(zip(range(FIRST, last + 1), entries(FIRST, last), strict=True))
                try:
                    acknowledged = await client.journal.append(
                        process.address,
                        SEGMENT,
                        epoch=E1,
                        watermark=acknowledged,
                        first_sequence=acknowledged + 1,
                        entries=entries(acknowledged + 1, acknowledged + 7),
                    )
                    answers += 1
                except NodeUnreachable:
                    assert process.wait() == -signal.SIGKILL
    assert 1 <= answers < APPEND_STEPS
