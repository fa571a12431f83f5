"""gateway.supervisor: children, the data directory, the listening socket, the embedded index server."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from gateway.settings import GatewaySettings
from gateway.supervisor import attach, child, embedded_index, layout, roles
from gateway.supervisor.banner import Announcement, banner
from gateway.supervisor.child import Child, ChildFailed, ChildSpec
from gateway.supervisor.layout import DataDirectory, StartRefused, listen
from gateway.supervisor.readiness import wait_until_ready

READY = "print('ready', flush=True)"
SLEEP = "import signal; signal.pause()"


class Lines:
    """Collects the log lines of children and lets a test wait for one."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def write(self, name: str, line: str) -> None:
        self.seen.append((name, line))
        self._changed.set()

    async def wait_for(self, wanted: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(20):
            while not wanted([line for _, line in self.seen]):
                self._changed.clear()
                await self._changed.wait()


def spec(program: str, **changes: object) -> ChildSpec:
    values: dict[str, object] = {
        "name": "child-1",
        "command": [sys.executable, "-c", program],
        "environment": dict(os.environ),
        "ready_text": "ready",
    }
    return ChildSpec(**(values | changes))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(wanted: ChildSpec, lines: Lines) -> AsyncIterator[Child]:
    one = Child(wanted, lines.write)
    one.start()
    try:
        yield one
    finally:
        await one.stop()


async def test_child_is_ready_when_its_log_says_so() -> None:
    lines = Lines()
    async with running(spec(f"{READY}; {SLEEP}"), lines) as one:
        async with asyncio.timeout(20):
            await one.ready()
    assert ("child-1", "ready") in lines.seen


async def test_child_that_dies_after_it_was_ready_is_started_again() -> None:
    lines = Lines()
    async with running(spec(READY), lines) as one:
        await one.ready()
        await lines.wait_for(lambda seen: seen.count("ready") >= 3)


async def test_restarts_wait_longer_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_RESTART_DELAY_S", 0.05)
    monkeypatch.setattr(child, "LONGEST_RESTART_DELAY_S", 0.2)
    waits: list[float] = []
    wait_for = asyncio.wait_for

    async def recording(awaitable: object, timeout: float) -> object:
        waits.append(timeout)
        return await wait_for(awaitable, timeout)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "wait_for", recording)
    lines = Lines()
    async with running(spec(READY), lines):
        await lines.wait_for(lambda seen: seen.count("ready") >= 5)
    assert waits[:4] == [0.05, 0.1, 0.2, 0.2]


async def test_child_that_dies_before_it_is_ready_fails_with_its_last_lines() -> None:
    async with running(spec("print('no disk'); raise SystemExit(3)"), Lines()) as one:
        with pytest.raises(ChildFailed, match=r"child-1 ended with status 3 before it was ready\n  no disk"):
            await one.ready()


async def test_child_killed_before_it_is_ready_names_the_signal() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    async with running(spec(program), Lines()) as one:
        with pytest.raises(ChildFailed, match="was killed by SIGKILL"):
            await one.ready()


async def test_stop_terminates_and_does_not_restart() -> None:
    lines = Lines()
    async with running(spec(f"{READY}; {SLEEP}"), lines) as one:
        await one.ready()
        await one.stop()
    assert [line for _, line in lines.seen] == ["ready"]


async def test_stop_kills_a_child_that_ignores_sigterm() -> None:
    program = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}\nwhile True: signal.pause()"
    async with running(spec(program, stop_timeout_s=0.2), Lines()) as one:
        await one.ready()
        async with asyncio.timeout(20):
            await one.stop()


async def test_stop_during_the_pause_before_a_restart_is_immediate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_RESTART_DELAY_S", 600.0)
    lines = Lines()
    async with running(spec(READY), lines) as one:
        await one.ready()
        async with asyncio.timeout(20):
            await one.stop()


async def test_endless_and_unfinished_lines_are_forwarded_in_pieces() -> None:
    lines = Lines()
    program = f"import sys; {READY}; sys.stdout.write('x' * 200_000 + '\\n' + 'end'); sys.stdout.flush()"
    async with running(spec(program), lines) as one:
        await one.ready()
        await lines.wait_for(lambda seen: "end" in seen)
    texts = [line for _, line in lines.seen]
    assert "".join(texts[1 : texts.index("end")]) == "x" * 200_000
    assert max(map(len, texts)) < 2 * child.READ_SIZE_BYTES


async def test_noise_is_not_logged_but_still_read() -> None:
    lines = Lines()
    program = f"print('noise', flush=True); {READY}; {SLEEP}"
    async with running(spec(program, is_noise=lambda line: line in ("noise", "ready")), lines) as one:
        await one.ready()
    assert lines.seen == []


async def test_child_inherits_the_descriptors_it_is_given(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file:
        program = f"import os; os.write({file.fileno()}, b'from the child'); {READY}; {SLEEP}"
        async with running(spec(program, inherited=(file.fileno(),)), Lines()) as one:
            await one.ready()
    assert (tmp_path / "file").read_text() == "from the child"


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_attached_process_dies_when_its_parent_is_killed() -> None:
    grandchild = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    parent = (
        "import os, subprocess, sys, signal\n"
        f"subprocess.Popen([sys.executable, {attach.__file__!r}, str(os.getpid()), sys.executable, '-c',"
        f" {grandchild!r}])\n"
        "signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        attached = psutil.Process(int(process.stdout.readline()))
        process.kill()
        attached.wait(timeout=20)


def test_attach_ends_when_the_parent_is_another() -> None:
    command = [sys.executable, "-I", "-S", attach.__file__, "1", sys.executable, "-c", "print('ran')"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "process 1 is gone" in done.stderr


def test_attached_program_keeps_its_arguments() -> None:
    program = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "a b", ""]
    done = subprocess.run(
        [sys.executable, "-I", "-S", attach.__file__, str(os.getpid()), *program], capture_output=True, text=True
    )
    assert done.stdout == "['a b', '']\n"


def test_second_lock_of_a_directory_is_refused_with_the_holder(tmp_path: Path) -> None:
    directory = DataDirectory(root=tmp_path / "data")
    descriptor = directory.acquire_lock()
    try:
        with pytest.raises(StartRefused, match=rf"data is in use by another cairn serve \(process {os.getpid()}\)"):
            directory.acquire_lock()
    finally:
        os.close(descriptor)
    os.close(directory.acquire_lock())


def test_lock_waits_for_the_children_of_a_killed_supervisor(tmp_path: Path) -> None:
    directory = DataDirectory(root=tmp_path)
    descriptor = directory.acquire_lock()
    with subprocess.Popen(["sleep", "0.3"], pass_fds=[descriptor]):
        os.close(descriptor)
        gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
        directory.lock.write_text(gone.stdout)
        os.close(directory.acquire_lock())
    assert directory.lock.read_text() == f"{os.getpid()}\n"


def test_lock_gives_up_on_children_that_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_LEFTOVERS_WAIT_S", 0.0)
    directory = DataDirectory(root=tmp_path)
    descriptor = directory.acquire_lock()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    directory.lock.write_text(gone.stdout)
    try:
        with pytest.raises(StartRefused, match="in use"):
            directory.acquire_lock()
    finally:
        os.close(descriptor)


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartRefused, match="cannot use"):
        DataDirectory(root=tmp_path / "file" / "data").acquire_lock()
    (tmp_path / "nodes").write_text("")
    with pytest.raises(StartRefused, match="cannot make the data directory"):
        DataDirectory(root=tmp_path).create(1)


def test_layout_of_a_new_directory(tmp_path: Path) -> None:
    directory = DataDirectory(root=tmp_path / "data")
    assert directory.node_numbers() == []
    directory.create(3)
    (directory.root / "nodes" / "lost+found").mkdir()
    assert directory.node_numbers() == [1, 2, 3]
    assert directory.index.is_dir()


def test_index_socket_lies_in_the_directory_when_its_path_is_short_enough(short_directory: Path) -> None:
    directory = DataDirectory(root=short_directory)
    path = directory.index_socket()
    assert path == short_directory / "index" / "valkey.sock"
    directory.remove_index_socket(path)


def test_index_socket_goes_to_a_private_directory_when_the_path_is_too_long(
    tmp_path: Path, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(short_directory))
    directory = DataDirectory(root=tmp_path / ("long" * 30))
    path = directory.index_socket()
    assert len(os.fsencode(path)) <= layout.UNIX_SOCKET_PATH_LIMIT_BYTES
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert directory.index_socket() == path
    assert DataDirectory(root=tmp_path / ("other" * 30)).index_socket() != path
    path.touch()  # a killed server leaves its socket
    directory.remove_index_socket(path)
    assert not path.parent.exists()


def test_index_socket_refuses_a_directory_that_others_may_enter(
    tmp_path: Path, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(short_directory))
    directory = DataDirectory(root=tmp_path / ("long" * 30))
    directory.index_socket().parent.chmod(0o755)
    with pytest.raises(StartRefused, match="not a private directory"):
        directory.index_socket()


def test_index_address_is_found_through_the_directory(tmp_path: Path) -> None:
    directory = DataDirectory(root=tmp_path)
    with pytest.raises(StartRefused, match="start cairn serve there first"):
        directory.read_index_address()
    directory.create(1)
    directory.write_index_address("unix:/run/x.sock")
    assert directory.read_index_address() == "unix:/run/x.sock"


def test_taken_port_is_refused() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartRefused, match=f"port {port} of 127.0.0.1 is taken"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.1"])
def test_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(StartRefused, match="cannot listen on"):
        listen(host, 0)


async def test_embedded_server_is_durable_private_and_stops_cleanly(short_directory: Path) -> None:
    directory = DataDirectory(root=short_directory)
    directory.create(1)
    around = roles.Surroundings(
        directory=directory,
        settings=GatewaySettings(base_storage_path=short_directory),
        environment=dict(os.environ),
        lock_descriptor=directory.acquire_lock(),
    )
    lines = Lines()
    address = directory.index_socket()
    try:
        async with running(roles.index(around, address), lines) as index:
            await index.ready()
            assert await ask(address, "SET kept 1") == "+OK"
            for option, value in (
                ("appendonly", "yes"),
                ("appendfsync", "everysec"),
                ("save", ""),
                ("port", "0"),
                ("maxmemory-policy", "noeviction"),
            ):
                assert (await ask(address, f"CONFIG GET {option}", lines=5)).split("\r\n")[4] == value
            assert address.stat().st_mode & 0o777 == 0o600
            index.kill()  # as a crash; what was acknowledged is there afterwards
        async with running(roles.index(around, address), lines) as index:
            await index.ready()
            assert await ask(address, "GET kept", lines=2) == "$1\r\n1"
    finally:
        os.close(around.lock_descriptor)
    assert lines.seen == []


@pytest.mark.parametrize(
    ("line", "noise"),
    [
        ("6874:M 22 Nov 2026 23:26:15.483 * Ready to accept connections unix", True),
        ("6874:C 22 Nov 2026 23:26:15.483 # WARNING Memory overcommit must be enabled! Without it", True),
        ("6874:signal-handler (1795389976) Received SIGTERM scheduling shutdown...", True),
        ("6874:M 22 Nov 2026 23:26:16.520 # Valkey is now ready to exit, bye bye...", True),
        ("6874:M 22 Nov 2026 23:26:15.483 # Bad file format reading the append only file", False),
        ("=== VALKEY BUG REPORT START: Cut & paste starting from here ===", False),
    ],
)
def test_only_warnings_of_the_embedded_server_are_shown(line: str, noise: bool) -> None:
    assert embedded_index.is_noise(line) is noise


async def test_readiness_waits_for_the_first_200() -> None:
    statuses = [b"503 Service Unavailable", b"200 OK"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET /-/health/ready HTTP/1.1\r\n")
        writer.write(b"HTTP/1.1 " + statuses.pop(0) + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    with listen("127.0.0.1", 0) as listener:
        async with asyncio.timeout(20):
            waiting = asyncio.create_task(wait_until_ready(listener, tls=False))
            await asyncio.sleep(0)  # its connection is queued before anybody accepts
            async with await asyncio.start_server(answer, sock=listener.dup()):
                await waiting
    assert statuses == []


def test_banner_names_what_a_client_needs(tmp_path: Path) -> None:
    settings = GatewaySettings(root_access_key="AK", root_secret_key="S3CRET", legacy_anonymous=True)
    text = banner(
        Announcement(endpoint="http://127.0.0.1:9", data_directory=tmp_path, settings=settings, notes=("mind",))
    )
    assert text.startswith("Cairn serves S3 at http://127.0.0.1:9\n")
    assert text.endswith("\n\n")
    assert text.count("\n\n") == 1
    for part in ("AK", "S3CRET", "us-east-1", "aws s3 ls", "rclone lsd cairn:", "boto3.client", "/upload", "mind"):
        assert part in text
    assert "--user" not in next(line for line in text.splitlines() if line.endswith("/upload"))


def test_banner_logs_in_where_the_legacy_routes_want_it_and_trusts_the_certificate(tmp_path: Path) -> None:
    settings = GatewaySettings(
        root_access_key="AK", root_secret_key="S3CRET", tls_cert=tmp_path / "c.pem", tls_key=tmp_path / "k.pem"
    )
    text = banner(Announcement(endpoint="https://localhost:9", data_directory=tmp_path, settings=settings))
    upload = next(line for line in text.splitlines() if line.endswith("/upload"))
    assert "--user AK:S3CRET" in upload
    assert f"--cacert {tmp_path}/c.pem" in upload
    assert f"AWS_CA_BUNDLE={tmp_path}/c.pem" in text


async def ask(address: Path, command: str, lines: int = 1) -> str:
    """Send one inline command to the server and return that many lines of its answer."""
    reader, writer = await asyncio.open_unix_connection(str(address))
    writer.write(command.encode() + b"\r\n")
    answer = [(await reader.readuntil(b"\r\n")).decode().removesuffix("\r\n") for _ in range(lines)]
    writer.close()
    await writer.wait_closed()
    return "\r\n".join(answer)
