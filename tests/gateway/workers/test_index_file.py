"""The keeper of the index server's file leaves a sound one alone."""

import pytest

from gateway.index.connection import connect
from gateway.workers.index_file import IndexFileKeeper
from tests.harness.redis_server import RedisServer


@pytest.mark.parametrize("appendonly", [True, False])
async def test_a_sound_file_and_a_server_without_one_are_left_alone(appendonly: bool) -> None:
    with RedisServer(appendonly=appendonly) as server:
        connection = connect(server.address)
        assert not await IndexFileKeeper(connection).run_once()
        await connection.close()
