"""`cairn serve` as a process: what it prints, refuses, restarts, keeps, and leaves behind."""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gateway.supervisor import roles
from tests.harness import tools
from tests.harness.cairn import CairnServer, ServerFailed, clean_environment
from tests.harness.redis_server import RedisServer

SOON_S = 30.0
ROLES = ("index", "node", "worker", "gateway")


def eventually(holds: Callable[[], bool]) -> None:
    """For what only another process can tell; polls, and fails after a while."""
    deadline = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < deadline, "did not become true"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CairnServer]:
    """A server of this module's, whose children a test may kill."""
    with CairnServer.start(tmp_path_factory.mktemp("serve") / "data") as server:
        yield server


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[CairnServer]:
    """A server that the test may end."""
    with CairnServer.start(tmp_path / "data") as server:
        yield server


def all_processes(server: CairnServer) -> list[psutil.Process]:
    return [psutil.Process(server.pid), *(child for role in ROLES for child in server.processes(role))]


def put_and_get(server: CairnServer, key: str, body: bytes = b"stone") -> None:
    client = server.client(retries={"max_attempts": 5})
    with contextlib.closing(client):
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket="serve-test")
        client.put_object(Bucket="serve-test", Key=key, Body=body)
        assert client.get_object(Bucket="serve-test", Key=key)["Body"].read() == body


def get(server: CairnServer, key: str) -> bytes:
    with contextlib.closing(server.client()) as client:
        body: bytes = client.get_object(Bucket="serve-test", Key=key)["Body"].read()
        return body


def test_stop_is_orderly_leaves_no_process_and_keeps_the_objects(tmp_path: Path) -> None:
    with CairnServer.start(tmp_path / "data", "--nodes", "2", "--workers", "2") as server:
        assert [len(server.processes(role)) for role in ROLES] == [1, 2, 1, 2]
        put_and_get(server, "kept", b"x" * 100_000)
        processes = all_processes(server)
        assert server.stop() == 0
        assert not any(process.is_running() for process in processes)
        assert "died" not in server.read_log()
    with CairnServer.start(tmp_path / "data") as again:
        assert len(again.processes("node")) == 2, "all nodes of the directory are started"
        assert get(again, "kept") == b"x" * 100_000
        assert (again.access_key, again.secret_key) == (server.access_key, server.secret_key)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signal_stops_it_cleanly(mortal: CairnServer, number: signal.Signals) -> None:
    processes = all_processes(mortal)
    mortal.process.send_signal(number)
    assert mortal.process.wait(SOON_S) == 0
    assert not any(process.is_running() for process in processes)


def test_signal_during_the_start_stops_it(tmp_path: Path) -> None:
    command = serve_command(tmp_path, "--port", "0")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        supervisor = psutil.Process(process.pid)
        eventually(lambda: bool(supervisor.children()))
        children = supervisor.children()
        process.terminate()
        assert process.wait(SOON_S) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert not any(child.is_running() for child in children)


def test_second_signal_kills_what_does_not_stop(mortal: CairnServer) -> None:
    processes = all_processes(mortal)
    (gateway,) = mortal.processes("gateway")
    gateway.suspend()
    # Two kinds, since a signal that is pending is not queued a second time.
    mortal.process.send_signal(signal.SIGINT)
    mortal.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert mortal.process.wait(SOON_S) == 0
    assert time.monotonic() - started < roles.GATEWAY_STOP_TIMEOUT_S
    assert not any(process.is_running() for process in processes)


def test_killed_supervisor_leaves_no_orphan_and_nothing_is_lost(mortal: CairnServer) -> None:
    put_and_get(mortal, "before the kill")
    processes = all_processes(mortal)
    os.kill(mortal.pid, signal.SIGKILL)
    mortal.process.wait()
    gone, alive = psutil.wait_procs(processes[1:], timeout=SOON_S)
    assert not alive
    assert len(gone) == len(ROLES)
    with CairnServer.start(mortal.data_dir) as again:
        assert get(again, "before the kill") == b"stone"


@pytest.mark.parametrize("role", ROLES)
def test_killed_child_is_started_again(own: CairnServer, role: str) -> None:
    put_and_get(own, f"before the {role} died")
    (victim,) = own.processes(role)
    victim.kill()
    eventually(lambda: any(process.pid != victim.pid for process in own.processes(role)))
    eventually(lambda: ready(own) == 200)
    put_and_get(own, f"after the {role} died")
    assert get(own, f"before the {role} died") == b"stone"
    assert "child died, starting it again" in own.read_log()


def ready(server: CairnServer) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SOON_S)
    try:
        connection.request("GET", "/-/health/ready")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def test_second_serve_on_the_same_directory_is_refused(own: CairnServer) -> None:
    with pytest.raises(ServerFailed) as refused:
        CairnServer.start(own.data_dir)
    assert f"is in use by another cairn serve (process {own.pid})" in str(refused.value)
    assert own.process.poll() is None


def test_taken_port_is_refused_with_status_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = tools.run(*serve_command(tmp_path, "--port", str(port)), expect=1)
    assert f"cairn: port {port} of 127.0.0.1 is taken" in done.stderr.decode()
    assert done.stdout == b""


def serve_command(directory: Path, *arguments: str) -> list[str]:
    return [str(tools.beside_python("cairn")), "serve", "--data", str(directory / "data"), *arguments]


def test_bad_flag_is_refused_with_status_1(tmp_path: Path) -> None:
    done = tools.run(*serve_command(tmp_path, "--replicas", "many"), expect=1)
    assert done.stderr == b"cairn: --replicas: expected a whole number, not 'many'\n"
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--replicas", "3"), "cairn: 3 replicas need at least 2 storage nodes, not 1\n"),
        (("--tls-cert", "none.pem", "--tls-key", "none.pem"), "cairn: TLS certificate none.pem with key none.pem: "),
        (("--tls-cert", "none.pem"), "cairn: a TLS certificate and its key are given together or not at all\n"),
    ],
)
def test_what_could_never_work_is_refused_before_anything_starts(
    tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    done = tools.run(*serve_command(tmp_path, "--port", "0", *flags), expect=1)
    assert done.stderr.decode().startswith(message)
    assert not (tmp_path / "data" / "index").exists()


def test_child_that_cannot_start_ends_it_with_its_words(tmp_path: Path) -> None:
    nodes = tmp_path / "data" / "nodes" / "1"
    nodes.mkdir(parents=True)
    (nodes / "node.json").write_text("damaged")
    done = tools.run(*serve_command(tmp_path, "--port", "0"), expect=1)
    message = done.stderr.decode()
    assert "cairn: node-1 ended with status 1 before it was ready" in message
    assert "Traceback" not in message.partition("cairn: node-1 ended")[2]


def test_keys_are_private_and_can_be_overridden(tmp_path: Path) -> None:
    given = {"CAIRN_ROOT_ACCESS_KEY": "GIVENKEY", "CAIRN_ROOT_SECRET_KEY": "given-secret"}
    with CairnServer.start(tmp_path / "data", env=given) as server:
        put_and_get(server, "with given keys")
        assert "GIVENKEY" in server.banner
    for path in (tmp_path / "data" / "keys").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_no_secret_is_logged(own: CairnServer) -> None:
    put_and_get(own, "x")
    log = own.read_log()
    keys = own.data_dir / "keys"
    root = json.loads((keys / "root.json").read_text())
    for secret in (root["secret_key"], (keys / "master.key").read_text(), (keys / "cluster.key").read_text()):
        assert secret.strip() not in log


def test_log_lines_name_their_process(tmp_path: Path) -> None:
    with CairnServer.start(tmp_path / "data", env={"DEBUG": "on"}) as server:
        put_and_get(server, "x")
        server.stop()
        lines = server.read_log().splitlines()
    assert any(line.startswith("index     | ") for line in lines), "DEBUG shows the index server's notices"
    for line in lines:
        assert re.match(r"(index|node-1|gateway-1|worker) +\| |\{", line), line


def test_legacy_routes_are_open_on_loopback_and_it_says_so(own: CairnServer, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("through the old door")
    assert "need no credentials" in own.banner
    curl = tools.curl()
    tools.run(curl, "-sSf", "-X", "POST", "-F", f"file=@{tmp_path}/x.txt", f"{own.endpoint}/upload")
    assert tools.run(curl, "-sSf", f"{own.endpoint}/blob/x.txt").stdout == b"through the old door"


def test_legacy_routes_stay_closed_when_told_so(tmp_path: Path) -> None:
    with CairnServer.start(tmp_path / "data", env={"CAIRN_LEGACY_ANONYMOUS": "off"}) as server:
        assert "need no credentials" not in server.banner
        done = tools.run(
            tools.curl(), "-s", "-o", os.devnull, "-w", "%{http_code}", f"{server.endpoint}/blob/x", expect=None
        )
        assert done.stdout == b"401"


def test_legacy_routes_stay_closed_on_other_addresses(tmp_path: Path) -> None:
    with CairnServer.start(tmp_path / "data", "--host", "0.0.0.0") as server:
        assert "need no credentials" not in server.banner
        assert server.endpoint == f"http://127.0.0.1:{server.port}"


def test_it_serves_over_tls(tmp_path: Path) -> None:
    with CairnServer.start(tmp_path / "data", tls=True) as server:
        assert server.endpoint.startswith("https://")
        put_and_get(server, "encrypted on the way")


def test_external_redis_is_used_when_set(tmp_path: Path) -> None:
    with RedisServer(password="pass-word") as redis:
        env = {"REDIS_HOST": redis.address, "REDIS_PASSWORD": redis.password, "CAIRN_EXPECTED_NODES": "3"}
        with CairnServer.start(tmp_path / "data", "--nodes", "3", env=env):
            pass
        with CairnServer.start(tmp_path / "data", "--nodes", "2", env=env) as server:
            assert "3 nodes hold data here and only 2 are started" in server.banner
            assert server.processes("index") == []
            put_and_get(server, "in another redis")
        assert not (tmp_path / "data" / "index" / "address").exists()


def test_data_directory_may_have_a_long_path_with_spaces(tmp_path: Path) -> None:
    directory = tmp_path / ("a long name " * 9) / "data"
    with CairnServer.start(directory) as server:
        put_and_get(server, "x")
        put_and_get(server, "y")


def test_pasted_lines_work(own: CairnServer, tmp_path: Path) -> None:
    """All commands of the banner in one shell, from a directory that holds the README.md they upload."""
    (tmp_path / "README.md").write_text("read me")
    commands = own.banner.partition("# aws\n")[2].splitlines()
    # The file that was uploaded must not lie where curl -O writes.
    script = "\n".join(["set -e", *commands]).replace("curl -O", "rm README.md\ncurl -O")
    path = [str(tools.aws_v2().parent), str(tools.rclone().parent), os.environ["PATH"]]
    done = tools.run(
        "bash", "-c", script, cwd=tmp_path, env=clean_environment() | {"PATH": ":".join(path), "HOME": str(tmp_path)}
    )
    printed = done.stdout.decode()
    assert "make_bucket: first-bucket" in printed
    assert "'Name': 'first-bucket'" in printed
    assert "<ListAllMyBucketsResult" in printed
    assert (tmp_path / "README.md").read_text() == "read me"


def test_users_work_while_it_serves(own: CairnServer) -> None:
    cairn = tools.beside_python("cairn")
    data = ("--data", str(own.data_dir))
    env = own.client_environment()
    added = tools.run(
        cairn, "user", "add", "alice", "--access-key", "ALICEKEY", "--secret-key", "alice-secret", *data, env=env
    )
    assert b"access key  ALICEKEY\nsecret key  alice-secret\n" in added.stdout
    with contextlib.closing(own.client_for("ALICEKEY", "alice-secret")) as alice:
        alice.create_bucket(Bucket="alices")
        assert [bucket["Name"] for bucket in alice.list_buckets()["Buckets"]] == ["alices"]
        alice.delete_bucket(Bucket="alices")
    again = tools.run(cairn, "user", "add", "alice", *data, env=env, expect=1)
    assert again.stderr.startswith(b"cairn: alice: ")
    listed = tools.run(cairn, "user", "list", *data, env=env).stdout.decode()
    assert [line.split("\t")[:2] for line in listed.splitlines()] == [["alice", "ALICEKEY"]]
    assert "alice-secret" not in listed
    tools.run(cairn, "user", "remove", "alice", *data, env=env)
    assert tools.run(cairn, "user", "list", *data, env=env).stdout == b""
    gone = tools.run(cairn, "user", "remove", "alice", *data, env=env, expect=1)
    assert gone.stderr == b"cairn: there is no user 'alice'\n"


def test_closed_standard_error_does_not_stop_it(tmp_path: Path) -> None:
    """Whoever read its log has gone; the store goes on."""
    command = serve_command(tmp_path, "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stderr.close()
            assert select.select([process.stdout], [], [], SOON_S)[0], "it printed nothing"
            endpoint = process.stdout.readline().split()[-1].decode()
            tools.run(tools.curl(), "-sSf", f"{endpoint}/-/health/ready")
            process.terminate()
            assert process.wait(SOON_S) == 0
        finally:
            process.kill()
