"""A cluster with an index for the tests of the workers; no task may fail unseen."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.index import keys
from gateway.index.connection import connect
from tests.gateway.datapath.cluster import Cluster, Processes, open_cluster, running_processes

OWNER = "owner"


@pytest.fixture(autouse=True)
async def no_unseen_failures() -> AsyncIterator[None]:
    """Fails a test in which a task or callback failed and nobody looked."""
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert not unseen


@pytest.fixture(scope="package")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("three"), nodes=3) as processes:
        yield processes


@pytest.fixture
async def cluster(three_nodes: Processes) -> AsyncIterator[Cluster]:
    """Three nodes, two replicas, and a bucket `b` in an otherwise empty index."""
    await _empty_the_index(three_nodes)
    async with open_cluster(three_nodes, replicas=2) as cluster:
        await cluster.index.create_bucket("b", OWNER, "r", now_ms=1, limit=10)
        yield cluster


async def _empty_the_index(processes: Processes) -> None:
    """All but the node table, for which one would have to wait."""
    connection = connect(processes.redis.address)
    for name in await connection.command("KEYS", "*"):
        if name != keys.nodes().encode():
            await connection.command("DEL", name)
    await connection.close()
