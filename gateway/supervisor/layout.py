"""The data directory of `cairn serve`, its lock, and the socket that gateways accept on.

DIR/lock      held with flock by the supervisor and its children; holds the supervisor's pid as text
DIR/keys/     see gateway/keys.py
DIR/index/    the embedded server's append-only file, and `address`: where its socket is ("unix:/path")
DIR/nodes/N/  what storage node N stores
"""

import errno
import fcntl
import hashlib
import os
import socket
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

#: sun_path holds 108 bytes on Linux and 104 elsewhere, the final NUL included.
UNIX_SOCKET_PATH_LIMIT_BYTES = 103

#: Connections that wait while gateways start again; the kernel caps it at net.core.somaxconn.
LISTEN_BACKLOG = 2048

#: After a supervisor was killed: how long to wait for its children to end, and how often to look, in seconds.
_LEFTOVERS_WAIT_S = 5.0
_LEFTOVERS_POLL_S = 0.05


class StartRefused(Exception):
    """`cairn serve` cannot run here; the message tells its user why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDirectory:
    """Paths under one data directory."""

    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def index_address(self) -> Path:
        return self.index / "address"

    def node(self, number: int) -> Path:
        return self.root / "nodes" / str(number)

    def node_numbers(self) -> list[int]:
        """Numbers of the nodes that have a directory, ascending."""
        nodes = self.root / "nodes"
        names = [entry.name for entry in nodes.iterdir()] if nodes.is_dir() else []
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def create(self, node_count: int) -> None:
        """Make the directories that are missing. Raises StartRefused."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.index.mkdir(mode=0o700, exist_ok=True)
            for number in range(1, node_count + 1):
                self.node(number).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartRefused(f"cannot make the data directory: {error}") from error

    def acquire_lock(self) -> int:
        """Lock the directory and return the descriptor that holds the lock. Raises StartRefused.

        Children inherit the descriptor, so the directory is free only when the last of them has gone. When
        the supervisor was killed they are on their way out, and are waited for.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartRefused(f"cannot use {self.root}: {error}") from error
        deadline = time.monotonic() + _LEFTOVERS_WAIT_S
        while not _try_lock(descriptor):
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            if _is_alive(holder) or time.monotonic() > deadline:
                os.close(descriptor)
                raise StartRefused(f"{self.root} is in use by another cairn serve (process {holder or '?'})")
            time.sleep(_LEFTOVERS_POLL_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def index_socket(self) -> Path:
        """Where the embedded server's socket goes: into index/, or a private directory if that is too long.

        Raises StartRefused where the private directory belongs to somebody else.
        """
        path = self.index.absolute() / "valkey.sock"
        if len(os.fsencode(path)) <= UNIX_SOCKET_PATH_LIMIT_BYTES:
            return path
        digest = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:16]
        directory = Path(tempfile.gettempdir()) / f"cairn-{os.getuid()}-{digest}"
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
        private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
        if not private:
            raise StartRefused(f"{directory} is not a private directory of this user; remove it")
        return directory / "valkey.sock"

    def remove_index_socket(self, path: Path) -> None:
        """Clear away what `index_socket` has made outside the data directory, once the server has stopped."""
        if path.parent != self.index.absolute():
            path.unlink(missing_ok=True)
            path.parent.rmdir()

    def write_index_address(self, address: str) -> None:
        """Leave the address for the commands that find a running index through this directory."""
        temporary = self.index_address.with_name(".address")
        temporary.write_text(address + "\n", encoding="utf-8")
        temporary.replace(self.index_address)

    def forget_index_address(self) -> None:
        """No embedded server runs here: another Redis is used."""
        self.index_address.unlink(missing_ok=True)

    def read_index_address(self) -> str:
        """`unix:/path` of the embedded server that was last started here. Raises StartRefused if none was."""
        try:
            return self.index_address.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise StartRefused(f"{self.root} holds no index: start cairn serve there first") from error


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket on the first address of `host`. Raises StartRefused."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartRefused(f"cannot listen on {host}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(LISTEN_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartRefused(f"port {port} of {host} is taken; choose another with --port") from error
        raise StartRefused(f"cannot listen on port {port} of {host}: {error.strerror}") from error
    return listener


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    """Whether the process runs; an unreadable pid (its writer is just starting) counts as running."""
    if not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
