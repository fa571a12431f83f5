"""What a gateway process says about its index when it starts."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.index.connection import connect
from gateway.server import warn_unless_persistent
from tests.harness.redis_server import RedisServer


@pytest.mark.parametrize(
    ("appendonly", "appendfsync", "warned"),
    [(False, "always", "appendonly no"), (True, "everysec", None), (True, "always", None)],
)
async def test_index_kept_in_memory_alone_is_warned_of(appendonly: bool, appendfsync: str, warned: str | None) -> None:
    with RedisServer(appendonly=appendonly, appendfsync=appendfsync) as server, capture_logs() as logs:
        connection = connect(server.address)
        await warn_unless_persistent(connection)
        await connection.close()
    reasons = [str(entry["reason"]) for entry in logs]
    assert len(reasons) == (warned is not None)
    assert all(warned is not None and warned in reason for reason in reasons)


async def test_index_that_is_away_stops_no_gateway(tmp_path: Path) -> None:
    connection = connect(f"unix:{tmp_path}/nobody.sock")
    with capture_logs() as logs:
        await warn_unless_persistent(connection)
    await connection.close()
    assert [entry["event"] for entry in logs] == ["whether the index server is persistent could not be asked"]
