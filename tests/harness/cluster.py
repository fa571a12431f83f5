"""A real cluster for tests: Redis, storage nodes, gateways and workers as processes of their own, each of which can be
killed, paused and started again, with a breakable link on every way that crosses a network in a real one.

    client -> gateway -> [link] -> node          every node advertises its link's port
    gateway, worker, node -> [link] -> Redis     one link for each of them
"""

import base64
import contextlib
import http.client
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.config

from tests.harness.cairn import clean_environment
from tests.harness.links import Links
from tests.harness.redis_server import RedisServer
from tests.harness.role_process import RoleProcess

READY_TIMEOUT_S = 60.0
ACCESS_KEY, SECRET_KEY, REGION = "stormroot", "storm-secret-key", "us-east-1"
CLUSTER_SECRET = "secret-of-the-cluster"
#: Below the ports that the kernel gives to clients, so that a restarted server finds its port free.
PORTS = range(20_000, 32_000)

#: Heartbeats, graces and rounds of seconds instead of minutes and hours.
QUICK = {
    "NODE_HEARTBEAT_INTERVAL": "0.5",
    "NODE_TIMEOUT": "5",
    "CAIRN_RECLAIM_GRACE_S": "6",
    "CAIRN_ORPHAN_GRACE_S": "8",
    "CAIRN_RECLAIM_INTERVAL_S": "1",
    "CAIRN_BODY_TIMEOUT_S": "10",
}


class NotReady(Exception):
    """The cluster did not become ready in time; the message says what is missing and ends with the logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """What a cluster is made of."""

    nodes: int = 4
    gateways: int = 2
    workers: int = 1
    replicas: int = 3
    redis_fsync: str = "always"
    redis_binary: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Cluster:
    """`with Cluster(plan, directory) as cluster:` starts it and waits until it is ready; no process is left behind.

    All processes must be started by one thread that outlives them: they die with it.
    """

    def __init__(self, plan: ClusterPlan, directory: Path) -> None:
        self.plan = plan
        self.directory = directory
        self._redis_directory = Path(tempfile.mkdtemp(prefix="cairn-cluster-"))  # short: it holds a unix socket
        ports = iter(free_ports(1 + plan.nodes + plan.gateways))
        self.redis = RedisServer(
            self._redis_directory / "redis",
            port=next(ports),
            appendonly=True,
            appendfsync=plan.redis_fsync,
            binary=plan.redis_binary,
        )
        self.links = Links()
        self.nodes = [self._node(number, next(ports)) for number in range(1, plan.nodes + 1)]
        self._gateway_ports = [next(ports) for _ in range(plan.gateways)]
        self.gateways = [
            self._role(f"gateway-{number}", "gateway", {"CAIRN_HOST": "127.0.0.1", "CAIRN_PORT": str(port)})
            for number, port in enumerate(self._gateway_ports, 1)
        ]
        self.workers = [self._role(f"worker-{number}", "worker", {}) for number in range(1, plan.workers + 1)]

    @property
    def processes(self) -> list[RoleProcess]:
        """All but Redis, in the order in which they are started."""
        return [*self.nodes, *self.workers, *self.gateways]

    @property
    def link_names(self) -> list[str]:
        """Every link: the names of the nodes, and PROCESS>redis."""
        return [*(node.name for node in self.nodes), *(f"{process.name}>redis" for process in self.processes)]

    @property
    def endpoints(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._gateway_ports]

    def node_directory(self, node: RoleProcess) -> Path:
        return self.directory / node.name

    def client(self, gateway: int = 0, **config: Any) -> Any:
        """A boto3 client of one gateway as root, without retries; keywords go to botocore's Config."""
        settings = {"retries": {"max_attempts": 0}, "s3": {"addressing_style": "path"}} | config
        return boto3.client(
            "s3",
            endpoint_url=self.endpoints[gateway],
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=botocore.config.Config(**settings),
        )

    def start(self) -> None:
        """Start everything and wait until it is ready. Raises NotReady."""
        self.redis.start()
        for process in self.processes:
            process.start()
        self.await_ready()

    def await_ready(self, timeout_s: float = READY_TIMEOUT_S, *, restart: bool = True) -> None:
        """Wait until every gateway says that it can read and write, starting what fell meanwhile. Raises NotReady."""
        deadline = time.monotonic() + timeout_s
        for number, port in enumerate(self._gateway_ports):
            while (reason := readiness(port)) is not None:
                if time.monotonic() > deadline:
                    raise NotReady(f"{self.gateways[number].name}: {reason}\n{self.gateways[number].last_lines(20)}")
                if restart:
                    self.restart_the_fallen()
                time.sleep(0.05)

    def restart_the_fallen(self) -> None:
        """Start what ended without having been asked to, as a supervisor would."""
        for process in self.processes:
            if not process.is_running:
                process.start()

    def heal(self) -> None:
        """Every link open, every process awake and running."""
        for name in self.link_names:
            self.links.heal(name)
        with contextlib.suppress(AssertionError, ProcessLookupError):
            self.redis.resume()
        for process in self.processes:
            process.resume()
        self.restart_the_fallen()

    def remove_node_directory(self, node: RoleProcess) -> None:
        """Kill a node and remove every byte that it held; it may be started again as an empty one."""
        node.kill()
        shutil.rmtree(self.node_directory(node), ignore_errors=True)

    def wipe_redis(self) -> None:
        """Kill Redis and start an empty one in its place."""
        self.redis.kill()
        shutil.rmtree(self.redis.directory, ignore_errors=True)
        self.redis.start()

    def close(self) -> None:
        """Kill everything."""
        for process in self.processes:
            process.kill()
        self.redis.kill()
        self.links.close()
        shutil.rmtree(self._redis_directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _node(self, number: int, port: int) -> RoleProcess:
        name = f"node-{number}"
        variables = {
            "BASE_STORAGE_PATH": str(self.directory / name),
            "CAIRN_NODE_HOST": "127.0.0.1",
            "CAIRN_NODE_PORT": str(port),
            "CAIRN_NODE_ADVERTISE": f"127.0.0.1:{self.links.open(name, port)}",
            "CAIRN_ZONE": name,
        }
        return self._role(name, "node", variables)

    def _role(self, name: str, role: str, variables: Mapping[str, str]) -> RoleProcess:
        self.directory.mkdir(parents=True, exist_ok=True)
        shared = {
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(self.links.open(f"{name}>redis", self.redis.port)),
            "BASE_STORAGE_PATH": str(self.directory / f"{name}-files"),
            "CAIRN_CLUSTER_SECRET": CLUSTER_SECRET,
            "CAIRN_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
            "CAIRN_ROOT_ACCESS_KEY": ACCESS_KEY,
            "CAIRN_ROOT_SECRET_KEY": SECRET_KEY,
            "CAIRN_REPLICAS": str(self.plan.replicas),
            "CAIRN_EXPECTED_NODES": str(self.plan.nodes),
            "CAIRN_LOG_FORMAT": "text",
        }
        environment = clean_environment() | shared | QUICK | dict(self.plan.environment) | dict(variables)
        return RoleProcess(name, role, environment, self.directory / f"{name}.log")


def readiness(port: int) -> str | None:
    """Why the gateway at this port of 127.0.0.1 is not ready, or None when it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/-/health/ready")
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
    return None if answer.status == 200 else body


def free_ports(count: int, draw: Callable[[range], int] = random.choice) -> list[int]:
    """So many different ports of 127.0.0.1 on which nobody listens at the moment."""
    found: set[int] = set()
    while len(found) < count:
        port = draw(PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)
