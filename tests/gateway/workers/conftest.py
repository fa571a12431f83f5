"""A cluster with an index for the tests of the workers; no task may fail unseen."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.index import keys
from tests.gateway.datapath.cluster import Cluster, Processes, open_cluster, running_processes
from tests.gateway.workers.objects import OWNER, empty_index


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
    async with open_cluster(three_nodes, replicas=2) as cluster:
        await empty_index(cluster)
        await cluster.index.create_bucket("b", OWNER, "r", now_ms=1, limit=10)
        # The index began long ago: clocks that differ by a millisecond shall not matter here.
        await cluster.connection.command("SET", keys.born(), 1)
        yield cluster


@pytest.fixture(scope="package")
def four_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("four"), nodes=4) as processes:
        yield processes


@pytest.fixture
async def cluster_of_four(four_nodes: Processes) -> AsyncIterator[Cluster]:
    """Four nodes, two replicas, and a bucket `b` in an otherwise empty index."""
    async with open_cluster(four_nodes, replicas=2) as cluster:
        await empty_index(cluster)
        await cluster.index.create_bucket("b", OWNER, "r", now_ms=1, limit=10)
        await cluster.connection.command("SET", keys.born(), 1)
        yield cluster
