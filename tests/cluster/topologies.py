"""The ways in which the index's Redis is run, and what can be done to each of them. No test lives here.

single      one server
sentinel    a master and a replica, watched by three Sentinels
cluster     three masters, one of which holds the index's slot
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import boto3
import botocore.config
import redis

from tests.harness.cluster import REGION, ClusterPlan
from tests.harness.cluster import Cluster as ProcessCluster
from tests.harness.links import Links
from tests.harness.redis_server import RedisServer
from tests.harness.redis_topologies import Clustered, Replicated
from tests.harness.role_process import RoleProcess

_SEQUENCE = "cairn:{0}:sequence"
_FAIL_OVER_TIMEOUT_S = 40.0
_POLL_S = 0.02


class Topology(Protocol):
    """Who holds the index, and how it fails."""

    @property
    def address(self) -> str:
        """The value for REDIS_HOST; empty for that of the cluster's own server."""

    def serving(self) -> RedisServer:
        """The server that clients are led to."""

    def servers(self) -> Sequence[RedisServer]:
        """All that must be down for the index to be down."""

    def settle(self) -> None:
        """Return when nothing more follows of itself from what was done before."""

    def mark(self) -> None:
        """What is written from now on will be lost."""

    def lose(self) -> None:
        """Crash what serves, and bring the index back as it was at the mark."""

    def replace(self) -> None:
        """Crash what serves, and start it without its files."""


class Single:
    """One server, that of the cluster of processes itself."""

    address = ""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._size_bytes = 0

    def serving(self) -> RedisServer:
        return self._server

    def servers(self) -> Sequence[RedisServer]:
        return [self.serving()]

    def settle(self) -> None:
        pass

    def mark(self) -> None:
        self._size_bytes = append_only_file(self.serving()).stat().st_size

    def lose(self) -> None:
        server = self.serving()
        server.kill()
        with append_only_file(server).open("r+b") as file:
            file.truncate(self._size_bytes)
        server.start()

    def replace(self) -> None:
        server = self.serving()
        server.kill()
        shutil.rmtree(server.directory / "appendonlydir")
        server.start()


class InCluster(Single):
    """The member of a Redis Cluster that owns the index's slot; the others stay."""

    def __init__(self, clustered: Clustered) -> None:
        super().__init__(clustered.owner())
        self.address = clustered.address


class WithSentinels:
    """A master that is failed over to a replica that has not kept up."""

    def __init__(self, replicated: Replicated) -> None:
        self._replicated = replicated
        self.address = replicated.address

    def serving(self) -> RedisServer:
        return self._replicated.master()

    def servers(self) -> Sequence[RedisServer]:
        return self._replicated.servers

    def settle(self) -> None:
        deadline = time.monotonic() + _FAIL_OVER_TIMEOUT_S
        while not self._is_settled():
            assert time.monotonic() < deadline, "master and replica did not come together"
            time.sleep(_POLL_S)
        self._replicated.set_patience()

    def _is_settled(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError), connected(self.serving()) as client:
            replica = client.info("replication").get("slave0", {})
            return bool(replica.get("state") == "online" and self._replicated.is_watched())
        return False

    def mark(self) -> None:
        self._replica().pause()
        # What lies in the socket would reach a replica that is awake again after its master's death.
        with connected(self.serving()) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def lose(self) -> None:
        dead, replica = self.serving(), self._replica()
        dead.kill()
        replica.resume()
        deadline = time.monotonic() + _FAIL_OVER_TIMEOUT_S
        while self._replicated.master_port() != replica.port:
            assert time.monotonic() < deadline, "the Sentinels did not promote the replica"
            time.sleep(_POLL_S)
        dead.start()

    def replace(self) -> None:
        # Not failed over, so that the replica copies its emptiness. `settle` ends the patience.
        self._replicated.set_patience(60_000)
        server = self.serving()
        server.kill()
        shutil.rmtree(server.directory / "appendonlydir")
        server.start()

    def _replica(self) -> RedisServer:
        master = self.serving()
        return next(server for server in self.servers() if server is not master)


class Place(ProcessCluster):
    """A cluster of processes on a topology. `particular` are settings of single processes, by name."""

    topology: Topology

    def __init__(
        self, plan: ClusterPlan, directory: Path, *, particular: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._particular = particular or {}
        self.environments: dict[str, Mapping[str, str]] = {}
        super().__init__(plan, directory)

    def _role(self, name: str, role: str, variables: Mapping[str, str]) -> RoleProcess:
        process = super()._role(name, role, dict(variables) | dict(self._particular.get(name, {})))
        self.environments[name] = process.environment
        return process

    def client_for(self, access_key: str, secret_key: str, **config: Any) -> Any:
        """As `client`, for a user."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoints[0],
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=REGION,
            config=botocore.config.Config(retries={"max_attempts": 0}, **config),
        )

    def logs(self) -> str:
        """Everything that the processes have logged."""
        return "\n".join(process.log.read_text(errors="replace") for process in self.processes if process.log.exists())


@contextlib.contextmanager
def running(kind: str, directory: Path) -> Iterator[Place]:
    """Two gateways, three nodes and a worker on Redis of a kind: single, sentinel, cluster; started."""
    with contextlib.ExitStack() as stack:
        topology: Topology | None = None
        if kind == "sentinel":
            topology = WithSentinels(stack.enter_context(Replicated()))
        elif kind == "cluster":
            topology = InCluster(stack.enter_context(Clustered()))
        environment = {"REDIS_HOST": topology.address} if topology else {}
        plan = ClusterPlan(nodes=3, redis_fsync="everysec", environment=environment)
        place = Place(plan, directory)
        place.topology = topology or Single(place.redis)
        yield stack.enter_context(place)


@contextlib.contextmanager
def running_apart(directory: Path) -> Iterator[tuple[Place, Callable[[], None]]]:
    """A cluster with Sentinels, and what parts the primary and the first gateway from all but the nodes and clients."""
    with contextlib.ExitStack() as stack:
        links = stack.enter_context(Links())
        replicated = stack.enter_context(Replicated(door=lambda port: links.open("door", port)))
        inside = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(replicated.servers[0].port)}
        plan = ClusterPlan(nodes=3, environment={"REDIS_HOST": replicated.address})
        place = Place(plan, directory, particular={"gateway-1": inside})
        place.topology = WithSentinels(replicated)
        yield stack.enter_context(place), lambda: links.swallow("door", requests=True, replies=True)


@contextlib.contextmanager
def connected(server: RedisServer) -> Iterator[Any]:
    """A client whose commands the types do not follow: some are typed in redis-py, some are not."""
    with redis.Redis(port=server.port) as client:
        yield client


def sequence_of(server: RedisServer) -> int:
    """How many changes the index on this server has seen."""
    with connected(server) as client:
        return int(client.get(_SEQUENCE) or 0)


def append_only_file(server: RedisServer) -> Path:
    """The one that grows now."""
    files = (server.directory / "appendonlydir").glob("*.incr.aof")
    return max(files, key=lambda path: int(path.name.split(".")[2]))
