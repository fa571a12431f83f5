"""One real server a module, flushed before each test, and an index on it; some modules run on every topology."""

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import pytest

from gateway.index.connection import Connection, connect
from gateway.index.store import Index
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer
from tests.harness.redis_topologies import Clustered, Replicated, running_cluster, running_replicated

# What the index does there must not depend on how Redis is run.
_ON_EVERY_TOPOLOGY = ("test_buckets", "test_objects", "test_reclaim", "test_undelete", "test_uploads", "test_users")
_TOPOLOGIES = ("single", "sentinel", "cluster")


class Addressed(Protocol):
    """Any of them: `address` is the value for REDIS_HOST."""

    @property
    def address(self) -> str: ...


replicated = pytest.fixture(scope="session")(running_replicated)
clustered = pytest.fixture(scope="session")(running_cluster)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" in metafunc.fixturenames:
        everywhere = metafunc.module.__name__.rpartition(".")[2] in _ON_EVERY_TOPOLOGY
        topologies = _TOPOLOGIES if everywhere else _TOPOLOGIES[:1]
        metafunc.parametrize("server", topologies, indirect=True, scope="module")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Addressed]:
    if request.param == "single":
        with RedisServer() as running:
            yield running
    else:
        found: Replicated | Clustered = request.getfixturevalue(
            "replicated" if request.param == "sentinel" else "clustered"
        )
        yield found


@pytest.fixture
async def connection(server: Addressed) -> AsyncIterator[Connection]:
    opened = connect(server.address)
    await open_new(opened)
    yield opened
    await opened.close()


@pytest.fixture
def index(connection: Connection) -> Index:
    return Index(connection)
