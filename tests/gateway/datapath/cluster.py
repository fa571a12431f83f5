"""A small cluster for tests: a real index server, real storage node processes, and the data path over them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from gateway.datapath import DataPath, Origin
from gateway.datapath.damage import Damage
from gateway.datapath.segment import Patience
from gateway.index.connection import Connection, connect
from gateway.index.records import Extent
from gateway.index.store import Index
from gateway.placement.membership import Membership
from storagenode.client import BlobInfo, NodeClient
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

    def start(self) -> None:
        """Start, or start again, on the same directory; returns when it listens."""
        with self.directory.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "storagenode"],
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout
        words = self._process.stdout.readline().decode().split()
        assert words[:2] == ["cairn", "node"], self.directory.with_suffix(".log").read_text()
        self.node_id, self.address = words[2], words[-1]

    def kill(self) -> None:
        """SIGKILL; does nothing to a node that is not running."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()
        self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)


@dataclass(slots=True, kw_only=True)
class Cluster:
    """Everything of one test; made by `running_cluster`."""

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
        return sum([len(await self.blobs(node)) for node in self.nodes])


@contextlib.asynccontextmanager
async def running_cluster(
    directory: Path, *, nodes: int, replicas: int = 0, patience: Patience | None = None
) -> AsyncIterator[Cluster]:
    """So many nodes under `directory`, known to the membership; `replicas` 0: as many as nodes, up to 3."""
    with contextlib.ExitStack() as processes:
        redis = processes.enter_context(RedisServer())
        members = [NodeProcess(directory / f"node-{number}", redis.address) for number in range(nodes)]
        for member in members:
            processes.callback(member.kill)
            member.start()
        async with contextlib.AsyncExitStack() as stack:
            connection = connect(redis.address)
            stack.push_async_callback(connection.close)
            index = Index(connection)
            membership = await stack.enter_async_context(
                Membership(connection, node_timeout_s=NODE_TIMEOUT_S)
            )
            while len(membership.live_nodes()) < nodes:
                await membership.refresh()
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
            yield Cluster(
                redis=redis,
                connection=connection,
                index=index,
                nodes=members,
                client=client,
                membership=membership,
                datapath=datapath,
                damages=damages,
            )
