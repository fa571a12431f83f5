"""Redis as it is run for availability: a master watched by Sentinels, and a cluster of three, from the real binary."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.harness.redis_server import DIE_WITH_PARENT, RedisServer, server_binary

MASTER_NAME = "cairn"
_START_TIMEOUT_S = 30.0
_POLL_S = 0.02
_DOWN_AFTER_MS = 500
_SLOTS = 16384


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now; below the range from which the kernel picks."""
    ports: list[int] = []
    candidates = iter(range(20_000 + os.getpid() % 2_000 * 5, 32_000))
    while len(ports) < count:
        port = next(candidates)
        with contextlib.suppress(OSError), socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))  # the bus of a cluster's member
            ports.append(port)
    return ports


class Replicated:
    """A master, one replica and three Sentinels. `address` is the value for REDIS_HOST.

    `door(port)` gives the port at which all but who knows better find the first server, for a link that can be cut.
    """

    def __init__(self, *, appendfsync: str = "everysec", door: Callable[[int], int] = lambda port: port) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cairn-sentinel-"))
        first, second, *self._sentinel_ports = free_ports(5)
        self._door = door(first)
        self.servers = [
            RedisServer(
                self.directory / f"server-{port}",
                port=port,
                appendonly=True,
                appendfsync=appendfsync,
                arguments=("--repl-diskless-sync-delay", "0"),
                configuration=configuration,
            )
            for port, configuration in ((first, ""), (second, f"replicaof 127.0.0.1 {self._door}\n"))
        ]
        self._sentinels: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        places = ",".join(f"127.0.0.1:{port}" for port in self._sentinel_ports)
        return f"sentinel:{MASTER_NAME}@{places}"

    def master_port(self) -> int:
        """Whom the Sentinels name."""
        with _client(self._sentinel_ports[0]) as client:
            return int(client.sentinel_get_master_addr_by_name(MASTER_NAME)[1])

    def master(self) -> RedisServer:
        port = self.master_port()
        return next(server for server in self.servers if server.port == port)

    def fail_over(self) -> None:
        """Kill the master and return when the Sentinels name another; the killed one comes back as its replica."""
        dead = self.master()
        dead.kill()
        _until(lambda: self.master_port() != dead.port)
        dead.start()
        self.wait_until_safe()

    def wait_until_safe(self) -> None:
        """Return when master and replica are in step and the Sentinels know both."""
        master_port = self.master_port()
        with _client(master_port) as client, _client(self._sentinel_ports[0]) as sentinel:
            _until(lambda: client.info("replication").get("slave0", {}).get("state") == "online")
            _until(lambda: _is_sound(sentinel))

    def set_patience(self, down_after_ms: int = _DOWN_AFTER_MS) -> None:
        """How long the Sentinels bear a master's silence before they fail it over."""
        for port in self._sentinel_ports:
            with _client(port) as sentinel:
                sentinel.sentinel_set(MASTER_NAME, "down-after-milliseconds", down_after_ms)

    def is_watched(self) -> bool:
        """Whether the Sentinels know master, replica and each other, and see nothing wrong."""
        with _client(self._sentinel_ports[0]) as sentinel:
            return _is_sound(sentinel)

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        for port in self._sentinel_ports:
            self._sentinels.append(_spawn_sentinel(self.directory, port, self._door))
        with contextlib.ExitStack() as stack:
            for port in self._sentinel_ports:
                client = stack.enter_context(_client(port))
                _until(lambda client=client: _answers(client) and _is_sound(client))  # type: ignore[misc]
        self.wait_until_safe()
        return self

    def stop(self) -> None:
        for sentinel in self._sentinels:
            sentinel.kill()
            sentinel.wait()
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Clustered:
    """A Redis Cluster of three masters. `address` is the value for REDIS_HOST."""

    def __init__(self, *, appendfsync: str = "everysec") -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cairn-cluster-"))
        self.servers = [
            RedisServer(
                self.directory / f"server-{port}",
                port=port,
                appendonly=True,
                appendfsync=appendfsync,
                arguments=("--cluster-enabled", "yes", "--cluster-node-timeout", "2000"),
            )
            for port in free_ports(3)
        ]

    @property
    def address(self) -> str:
        return "cluster:" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def owner(self) -> RedisServer:
        """The member that serves the index's slot."""
        with _client(self.servers[0].port) as client:
            slot = client.cluster("keyslot", "cairn:{0}:sequence")
        return self.servers[_share_of(int(slot))]

    def start(self) -> Self:
        with contextlib.ExitStack() as stack:
            clients = []
            for number, server in enumerate(self.servers):
                server.start()
                client = stack.enter_context(_client(server.port))
                first, last = number * _SLOTS // 3, (number + 1) * _SLOTS // 3 - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
                clients.append(client)
            for client in clients:
                _until(lambda client=client: _is_formed(client))  # type: ignore[misc]
        return self

    def stop(self) -> None:
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _client(port: int) -> Any:
    """A client whose commands the types do not follow: some are typed in redis-py, some are not."""
    return redis.Redis(port=port)


def _share_of(slot: int) -> int:
    return next(number for number in range(3) if slot < (number + 1) * _SLOTS // 3)


def _spawn_sentinel(directory: Path, port: int, master_port: int) -> subprocess.Popen[bytes]:
    home = directory / f"sentinel-{port}"
    home.mkdir()
    file = home / "sentinel.conf"
    file.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {home}\nlogfile {home}/sentinel.log\n"
        f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master_port} 2\n"
        f"sentinel down-after-milliseconds {MASTER_NAME} {_DOWN_AFTER_MS}\n"
        f"sentinel failover-timeout {MASTER_NAME} 5000\n"
    )
    command = [str(server_binary()), str(file), "--sentinel"]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _is_sound(sentinel: Any) -> bool:
    state = sentinel.sentinel_master(MASTER_NAME)
    return int(state["num-slaves"]) == 1 and int(state["num-other-sentinels"]) == 2 and not state["is_odown"]


def _is_formed(member: Any) -> bool:
    state = member.cluster("info")
    return bool(state["cluster_state"] == "ok" and state["cluster_known_nodes"] == "3")


def _answers(client: Any) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError("Redis did not get there in time")
        time.sleep(_POLL_S)


def running_replicated() -> Iterator[Replicated]:
    """For fixtures of any scope."""
    with Replicated() as running:
        yield running


def running_cluster() -> Iterator[Clustered]:
    """For fixtures of any scope."""
    with Clustered() as running:
        yield running
