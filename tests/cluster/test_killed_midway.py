"""PUTs and GETs during which one of the parties is killed: the client, the gateway, a storage node."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.content import content
from tests.cluster.support import (
    MIB,
    kill_and_await_successor,
    published_files,
    start,
    stored_bytes,
    wait_until,
    wait_until_nodes_listen,
    wait_until_nothing_is_stored,
)
from tests.harness.cairn import CairnServer
from tests.interop.signer import UNSIGNED
from tests.interop.wire import Closed, Connection, connect, signed_request

#: More than one segment of 64 MiB, so that one is complete on its nodes while the next is being written.
LARGE_BYTES = 80 * MIB
#: Enough to be sure that the first segment is complete when as much has been taken.
PAST_FIRST_SEGMENT_BYTES = 72 * MIB
READ_FIRST_BYTES = MIB

#: Sends a file to a port of this machine and then waits, in the middle of its request.
STALLING_CLIENT = """
import signal, socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
with open(sys.argv[2], "rb") as file:
    connection.sendfile(file)
signal.pause()
"""

Start = Callable[[int], CairnServer]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts a server of as many nodes as replicas, once for each number in this file."""
    running: dict[int, CairnServer] = {}

    def get(replicas: int) -> CairnServer:
        if replicas not in running:
            place = tmp_path_factory.mktemp(f"replicas-{replicas}")
            running[replicas] = start(place, nodes=replicas, replicas=replicas)
            client = running[replicas].client()
            client.create_bucket(Bucket="bucket")
            client.close()
        return running[replicas]

    yield get
    for server in running.values():
        server.__exit__(None, None, None)


@pytest.fixture
def s3(cluster: Start) -> Iterator[Callable[[int], Any]]:
    """Clients for the servers, without retries: what fails shall be seen."""
    made: list[Any] = []

    def get(replicas: int) -> Any:
        made.append(cluster(replicas).client())
        return made[-1]

    yield get
    for client in made:
        client.close()


def begin_put(server: CairnServer, connection: Connection, body: bytes, key: str) -> None:
    """Send the head of a PUT of `body`, and none of it."""
    headers = {"Content-Length": str(len(body))}
    connection.send(signed_request(server, "PUT", f"/bucket/{key}", b"", headers, payload_hash=UNSIGNED))


def test_killed_client_leaves_nothing(cluster: Start, s3: Callable[[int], Any], tmp_path: Path) -> None:
    server = cluster(2)
    sent = tmp_path / "sent"
    headers = {"Content-Length": str(LARGE_BYTES)}
    head = signed_request(server, "PUT", "/bucket/killed-client", b"", headers, payload_hash=UNSIGNED)
    sent.write_bytes(head + content(PAST_FIRST_SEGMENT_BYTES))
    client = subprocess.Popen([sys.executable, "-c", STALLING_CLIENT, str(server.port), sent])
    wait_until(lambda: len(published_files(server)) >= 2, "the first segment on both nodes")
    assert client.poll() is None
    client.kill()
    client.wait()
    wait_until_nothing_is_stored(server)
    assert s3(2).list_objects_v2(Bucket="bucket")["KeyCount"] == 0


def test_killed_gateway_leaves_nothing(cluster: Start, s3: Callable[[int], Any]) -> None:
    server = cluster(2)
    body = content(LARGE_BYTES)
    with connect(server) as connection:
        begin_put(server, connection, body, "killed-gateway")
        connection.send(body[:PAST_FIRST_SEGMENT_BYTES])
        wait_until(lambda: len(published_files(server)) >= 2, "the first segment on both nodes")
        kill_and_await_successor(server, *server.processes("gateway"))
        with pytest.raises((Closed, OSError)):
            connection.send(body[PAST_FIRST_SEGMENT_BYTES:])
            connection.answer()
    wait_until_nothing_is_stored(server)
    assert s3(2).list_objects_v2(Bucket="bucket")["KeyCount"] == 0


@pytest.mark.parametrize("replicas", [2, 3])
def test_get_goes_on_when_nodes_are_killed(cluster: Start, s3: Callable[[int], Any], replicas: int) -> None:
    """All nodes but one are killed while a GET runs, each node in turn being the one that is left."""
    server, client = cluster(replicas), s3(replicas)
    body = content(LARGE_BYTES)
    client.put_object(Bucket="bucket", Key="read", Body=body)
    digest = hashlib.sha256(body).hexdigest()
    starts = server.read_log().count("listening on")
    for survivor in range(replicas):
        answer = client.get_object(Bucket="bucket", Key="read")
        got = hashlib.sha256(answer["Body"].read(READ_FIRST_BYTES))
        nodes = server.processes("node")
        kill_and_await_successor(server, *(node for number, node in enumerate(nodes) if number != survivor))
        while block := answer["Body"].read(MIB):
            got.update(block)
        assert got.hexdigest() == digest
        starts += replicas - 1
        wait_until_nodes_listen(server, starts)
    client.delete_object(Bucket="bucket", Key="read")
    wait_until_nothing_is_stored(server)


def test_put_goes_on_when_one_of_three_nodes_is_killed(cluster: Start, s3: Callable[[int], Any]) -> None:
    server, client = cluster(3), s3(3)
    body = content(LARGE_BYTES, b"put")
    starts = server.read_log().count("listening on")
    for half in (30 * MIB, PAST_FIRST_SEGMENT_BYTES):
        wait_until_all_nodes_are_written_to(server, client, 3)
        with connect(server) as connection:
            begin_put(server, connection, body, "written")
            connection.send(body[:half])
            wait_until(lambda half=half: stored_bytes(server) > half, "bytes on the nodes")  # type: ignore[misc]
            kill_and_await_successor(server, server.processes("node")[0])
            connection.send(body[half:])
            answer = connection.answer()
        assert answer.status == 200, answer
        starts += 1
        wait_until_nodes_listen(server, starts)
        assert client.get_object(Bucket="bucket", Key="written")["Body"].read() == body
        client.delete_object(Bucket="bucket", Key="written")
        wait_until_nothing_is_stored(server)


def wait_until_all_nodes_are_written_to(server: CairnServer, client: Any, replicas: int) -> None:
    """A gateway avoids a node for a while after it failed: wait until that is over."""

    def has_all_replicas() -> bool:
        client.put_object(Bucket="bucket", Key="probe", Body=content(MIB))  # large enough for a file of its own
        found = len(published_files(server))
        client.delete_object(Bucket="bucket", Key="probe")
        wait_until_nothing_is_stored(server)
        return found == replicas

    wait_until(has_all_replicas, f"{replicas} replicas of a new object")


def test_put_to_too_few_nodes_is_refused_and_leaves_nothing(cluster: Start, s3: Callable[[int], Any]) -> None:
    """One of two nodes is killed: no majority, so the client must not be told that all is well."""
    server, client = cluster(2), s3(2)
    body = content(30 * MIB, b"refused")
    starts = server.read_log().count("listening on")
    victim = server.processes("node")[0]
    with connect(server) as connection:
        begin_put(server, connection, body, "refused")
        connection.send(body[: 20 * MIB])
        wait_until(lambda: stored_bytes(server) > 20 * MIB, "bytes on the nodes")
        kill_and_await_successor(server, victim)
        connection.send(body[20 * MIB :])
        answer = connection.answer()
    wait_until_nodes_listen(server, starts + 1)
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="bucket").get("Contents", ())]
    if answer.status == 200:  # the node was back in time to be written to again
        assert keys == ["refused"]
    elif answer.code == "SlowDown":  # too few nodes took the bytes: nothing was committed
        assert keys == []
    else:  # the journal's nodes were too few: refused beforehand, or committed and not known to be durable in time
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    for key in keys:
        assert client.get_object(Bucket="bucket", Key=key)["Body"].read() == body
        client.delete_object(Bucket="bucket", Key=key)
    wait_until_nothing_is_stored(server)
