"""One real server a module, flushed before each test, and an index on it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.index.connection import Connection, connect
from gateway.index.store import Index
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[Connection]:
    opened = connect(server.address)
    await open_new(opened)
    yield opened
    await opened.close()


@pytest.fixture
def index(connection: Connection) -> Index:
    return Index(connection)
