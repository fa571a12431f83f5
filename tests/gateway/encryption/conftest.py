"""An index of its own for each test, on one server a module."""

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.index.connection import connect
from gateway.index.store import Index
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
async def index(server: RedisServer) -> AsyncIterator[Index]:
    opened = connect(server.address)
    await open_new(opened)
    yield Index(opened)
    await opened.close()
