"""A small cluster for tests: a real index server, real storage node processes, and the data path over them."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.datapath import DataPath, Origin
from gateway.datapath.damage import Damage
from gateway.datapath.segment import Patience
from gateway.index import keys
from gateway.index.connection import Connection, connect
from gateway.index.records import Extent
from gateway.index.store import Index
from gateway.placement.membership import Membership
from storagenode.client import BlobInfo, NodeClient
from tests.harness.opened_index import open_as_it_is
from tests.harness.redis_server import RedisServer

PROJECT = Path(__file__).resolve().parents[3]
SECRET = "the secret of the test cluster"
NODE_TIMEOUT_S = 90.0


class NodeProcess:
    """One `python -m storagenode`; dies with the test process."""

    def __init__(self, directory: Path, redis_host: str, *, zone: str = "") -> None:
        self.directory = directory
        self.node_id = ""
        self.address = ""
        self._environment = {
            **os.environ,
            "BASE_STORAGE_PATH": str(directory),
            "CAIRN_CLUSTER_SECRET": SECRET,
            "CAIRN_NODE_PORT": "0",
            "CAIRN_ZONE": zone,
            "REDIS_HOST": redis_host,
            "NODE_HEARTBEAT_INTERVAL": "1",
            "CAIRN_PARENT_PID": str(os.getpid()),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        """Start the process, or another one on the same directory; `wait` for it before use."""
        with self.directory.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "storagenode"],
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def wait(self) -> None:
        """Until it listens."""
        assert self._process
        assert self._process.stdout
        words = self._process.stdout.readline().decode().split()
        assert words[:2] == ["cairn", "node"], self.directory.with_suffix(".log").read_text()
        self.node_id, self.address = words[2], words[-1]

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """`spawn` and `wait`."""
        self.spawn()
        self.wait()

    def kill(self) -> None:
        """SIGKILL; does nothing to a node that is not running."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait()
        assert process.stdout
        process.stdout.close()

    def lose_directory(self) -> None:
        """Kill it and start it on an empty directory, at the same address: it has another node id then."""
        self.kill()
        shutil.rmtree(self.directory)
        self._environment["CAIRN_NODE_PORT"] = self.address.rpartition(":")[2]
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)


@dataclass(slots=True, kw_only=True)
class Processes:
    """An index server and storage nodes, for several tests after one another."""

    redis: RedisServer
    nodes: list[NodeProcess]

    def restore(self) -> None:
        """Start again what a test has killed, wake what it has paused."""
        stopped = [node for node in self.nodes if not node.is_running]
        for node in stopped:
            node.spawn()
        for node in stopped:
            node.wait()
        for node in self.nodes:
            node.resume()


@contextlib.contextmanager
def running_processes(directory: Path, *, nodes: int, zones: Sequence[str] = ("",)) -> Iterator[Processes]:
    """A server and so many nodes under `directory`, in these zones in turn."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        members = [
            NodeProcess(directory / f"node-{number}", redis.address, zone=zones[number % len(zones)])
            for number in range(nodes)
        ]
        for member in members:
            stack.callback(member.kill)
            member.spawn()
        for member in members:
            member.wait()
        yield Processes(redis=redis, nodes=members)


@dataclass(slots=True, kw_only=True)
class Cluster:
    """Everything of one test; made by `open_cluster`."""

    redis: RedisServer
    connection: Connection
    index: Index
    nodes: list[NodeProcess]
    client: NodeClient
    membership: Membership
    datapath: DataPath
    damages: list[Damage]

    def node(self, node_id: str) -> NodeProcess:
        return next(node for node in self.nodes if node.node_id == node_id)

    async def write(self, body: bytes, *, origin: Origin | None = None, block_bytes: int = 512 * 1024) -> Extent:
        """Store a body as one extent."""
        origin = origin or Origin(bucket="b", key="k")
        async with self.datapath.open_write(origin=origin, size_bytes=len(body)) as writer:
            for start in range(0, len(body), block_bytes):
                await writer.write(body[start : start + block_bytes])
            return await writer.finish()

    async def read(self, *extents: Extent) -> bytes:
        """All bytes of the extents."""
        length = sum(extent.size_bytes for extent in extents)
        async with contextlib.aclosing(self.datapath.read(extents, 0, length)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def blobs(self, node: NodeProcess) -> list[BlobInfo]:
        """Everything that the node holds."""
        found: list[BlobInfo] = []
        while page := await self.client.list(
            node.address, after=found[-1].blob_id if found else "", before_ms=1 << 47, limit=1000
        ):
            found += page
        return found

    async def blob_count(self) -> int:
        """Of all nodes that run."""
        return sum([len(await self.blobs(node)) for node in self.nodes if node.is_running])

    async def wipe(self) -> None:
        """Delete every blob of every node."""
        for node in self.nodes:
            for info in await self.blobs(node):
                await self.client.delete(node.address, info.blob_id)

    async def know_all_nodes(self) -> None:
        """Wait until the node table has every node at its present address."""
        async with asyncio.timeout(20):
            while {node.address for node in self.membership.live_nodes()} != {node.address for node in self.nodes}:
                await asyncio.sleep(0.01)
                await self.membership.refresh()


@contextlib.asynccontextmanager
async def open_cluster(
    processes: Processes, *, replicas: int = 0, patience: Patience | None = None
) -> AsyncIterator[Cluster]:
    """The data path over all nodes, which run and are empty; `replicas` 0: as many as nodes, up to 3."""
    # Not in a thread: with its thread a node would lose its parent (PR_SET_PDEATHSIG).
    processes.restore()
    async with contextlib.AsyncExitStack() as stack:
        connection = connect(processes.redis.address)
        stack.push_async_callback(connection.close)
        await open_as_it_is(connection)
        index = Index(connection)
        membership = await stack.enter_async_context(Membership(connection, node_timeout_s=NODE_TIMEOUT_S))
        client = await stack.enter_async_context(
            NodeClient(SECRET.encode(), connect_timeout_s=1.0, idle_timeout_s=10.0)
        )
        damages: list[Damage] = []
        datapath = DataPath(
            client=client,
            membership=membership,
            replicas_for=lambda live: replicas or max(1, min(3, live)),
            keep_lease=lambda write_id, ttl_s: index.keep_lease(write_id, ttl_ms=int(ttl_s * 1000)),
            orphan_grace_s=3600.0,
            damage=damages.append,
            patience=patience,
        )
        stack.push_async_callback(datapath.aclose)
        cluster = Cluster(
            redis=processes.redis,
            connection=connection,
            index=index,
            nodes=processes.nodes,
            client=client,
            membership=membership,
            datapath=datapath,
            damages=damages,
        )
        await connection.command("DEL", keys.node_states())  # what an earlier test said of nodes
        await cluster.know_all_nodes()
        await cluster.wipe()
        yield cluster
