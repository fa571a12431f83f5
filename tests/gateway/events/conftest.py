"""An index on a real server, opened by hand, for the tests of what is told of its changes."""

from collections.abc import AsyncIterator

import pytest

from gateway.index.connection import Connection, connect
from gateway.index.store import Index
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer, running_server

server = pytest.fixture(scope="package")(running_server)


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[Connection]:
    opened = connect(server.address)
    await open_new(opened)
    yield opened
    await opened.close()


@pytest.fixture
def index(connection: Connection) -> Index:
    return Index(connection)
