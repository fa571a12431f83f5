"""The node table over a real server: liveness by the server's clock, suspicion, life without the server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.index import keys
from gateway.index.connection import Connection, connect
from gateway.index.errors import IndexUnavailable
from gateway.placement.membership import (
    FIRST_SUSPICION_S,
    LONGEST_SUSPICION_S,
    Membership,
    parse_heartbeat,
)
from tests.harness.redis_server import RedisServer

NODE_TIMEOUT_S = 90.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def connection(redis_server: RedisServer) -> AsyncIterator[Connection]:
    connection = connect(redis_server.address)
    yield connection
    await connection.close()


def heartbeat(node_id: str = "n1", **changes: Any) -> str:
    fields: dict[str, Any] = {
        "node_id": node_id,
        "address": "10.0.0.1:9000",
        "zone": "z1",
        "capacity_bytes": 1000,
        "free_bytes": 400,
        "accepting": True,
        "heartbeat_at": 0.0,
    }
    return json.dumps(fields | changes)


async def beat(connection: Connection, node_id: str, *, age_s: float = 0.0, **changes: Any) -> None:
    seconds, _ = await connection.command("TIME")
    text = heartbeat(node_id, heartbeat_at=int(seconds) - age_s, **changes)
    await connection.command("HSET", keys.nodes(), node_id, text)


async def test_a_node_is_live_until_its_heartbeat_is_older_than_the_timeout(connection: Connection) -> None:
    await beat(connection, "fresh")
    await beat(connection, "late", age_s=NODE_TIMEOUT_S - 10)
    await beat(connection, "dead", age_s=NODE_TIMEOUT_S + 10)
    await beat(connection, "stopped", stopped=True)
    # This process's clocks are an hour off; the server's decides.
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S, wall_clock=lambda: 3600.0)
    await membership.refresh()
    assert {node.node_id for node in membership.live_nodes()} == {"fresh", "late"}
    assert {node.node_id for node in membership.nodes()} == {"fresh", "late", "dead", "stopped"}
    # A death does not lower how many copies a write must reach; a goodbye does.
    assert {node.node_id for node in membership.expected_nodes()} == {"fresh", "late", "dead"}


async def test_only_accepting_live_nodes_with_room_are_written_to(connection: Connection) -> None:
    await beat(connection, "roomy", free_bytes=100)
    await beat(connection, "small", free_bytes=99)
    await beat(connection, "draining", free_bytes=1000, accepting=False)
    await beat(connection, "dead", free_bytes=1000, age_s=1000)
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S)
    await membership.refresh()
    assert [node.node_id for node in membership.writable_nodes(100)] == ["roomy"]


async def test_a_draining_node_takes_no_new_blobs_and_is_no_longer_counted_on(connection: Connection) -> None:
    for node_id in ("n1", "n2", "n3"):
        await beat(connection, node_id)
    await connection.command("HSET", keys.node_states(), "n2", "draining 77", "n9", "draining 78")
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S)
    await membership.refresh()
    assert {node.node_id for node in membership.writable_nodes(1)} == {"n1", "n3"}
    assert {node.node_id for node in membership.expected_nodes()} == {"n1", "n3"}
    assert {node.node_id for node in membership.live_nodes()} == {"n1", "n2", "n3"}
    node = membership.node("n2")
    assert node
    assert (node.draining, node.removed, node.accepting, node.state_since_ms) == (True, False, False, 77)
    await connection.command("HDEL", keys.node_states(), "n2")
    await membership.refresh()
    assert {node.node_id for node in membership.writable_nodes(1)} == {"n1", "n2", "n3"}


async def test_a_removed_node_is_only_read_from(connection: Connection) -> None:
    await beat(connection, "n1")
    await beat(connection, "n2")
    await connection.command("HSET", keys.node_states(), "n2", "removed 77")
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S)
    await membership.refresh()
    for nodes in (
        membership.nodes(),
        membership.live_nodes(),
        membership.expected_nodes(),
        membership.writable_nodes(1),
    ):
        assert [node.node_id for node in nodes] == ["n1"]
    assert [node.node_id for node in membership.removed_nodes()] == ["n2"]
    node = membership.node("n2")
    assert node
    assert node.live


@pytest.mark.parametrize("again", [{"address": "10.0.0.1:9001"}, {"boot": "second"}])
async def test_a_node_that_was_started_again_is_not_suspected(connection: Connection, again: dict[str, Any]) -> None:
    await beat(connection, "n1", boot="first")
    clock = Clock()
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S, clock=clock)
    await membership.refresh()
    membership.node_failed("n1")
    await membership.refresh()
    assert membership.suspects("n1")
    await beat(connection, "n1", **{"boot": "first"} | again)
    await membership.refresh()
    assert not membership.suspects("n1")
    membership.node_failed("n1")
    assert membership.suspects("n1")
    clock.now += FIRST_SUSPICION_S  # failures of the process before do not count
    assert not membership.suspects("n1")


async def test_how_long_a_node_is_silent_is_told_by_the_servers_clock(connection: Connection) -> None:
    await beat(connection, "dead", age_s=500)
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S, wall_clock=lambda: 3600.0)
    await membership.refresh()
    node = membership.node("dead")
    assert node
    assert 499 <= node.silent_s <= 502


async def test_heartbeats_that_cannot_be_understood_are_left_out(connection: Connection) -> None:
    await beat(connection, "good")
    for number, garbage in enumerate(["", "{", "[]", "7", '{"node_id": "x"}', heartbeat(capacity_bytes="much")]):
        await connection.command("HSET", keys.nodes(), f"bad{number}", garbage)
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S)
    await membership.refresh()
    assert [node.node_id for node in membership.nodes()] == ["good"]


async def test_the_last_table_stands_while_the_server_is_away(
    redis_server: RedisServer, connection: Connection
) -> None:
    await beat(connection, "n1")
    async with Membership(connection, node_timeout_s=NODE_TIMEOUT_S) as membership:
        redis_server.kill()
        with pytest.raises(IndexUnavailable):
            await membership.refresh()
        await membership.refresh_if_possible()
        assert [node.node_id for node in membership.live_nodes()] == ["n1"]
        redis_server.start()
        await beat(connection, "n2")
        await membership.refresh()
        assert [node.node_id for node in membership.live_nodes()] == ["n2"]


async def test_it_starts_empty_without_a_server_and_fills_when_there_is_one(
    redis_server: RedisServer, connection: Connection
) -> None:
    redis_server.kill()
    async with Membership(connection, node_timeout_s=NODE_TIMEOUT_S) as membership:
        assert membership.nodes() == []
        redis_server.start()
        await beat(connection, "n1")
        async with asyncio.timeout(10):
            while not membership.nodes():
                await asyncio.sleep(0.02)


async def test_callers_at_the_same_time_share_one_read(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[Any] = []
    command = connection.command

    async def counted(*arguments: Any) -> Any:
        commands.append(arguments[0])
        return await command(*arguments)

    monkeypatch.setattr(connection, "command", counted)
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S)
    await asyncio.gather(*(membership.refresh() for _ in range(20)))
    assert commands == ["TIME", "HVALS", "HGETALL"]
    await membership.refresh(maximum_age_s=60)
    assert commands == ["TIME", "HVALS", "HGETALL"]


async def test_one_cancelled_caller_does_not_take_the_read_from_the_others(connection: Connection) -> None:
    await beat(connection, "n1")
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S)
    first = asyncio.create_task(membership.refresh())
    second = asyncio.create_task(membership.refresh())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert [node.node_id for node in membership.nodes()] == ["n1"]


async def test_now_is_the_servers_time_whatever_this_process_believes(connection: Connection) -> None:
    skewed = Clock()
    membership = Membership(connection, node_timeout_s=NODE_TIMEOUT_S, wall_clock=skewed)
    await membership.refresh()
    seconds, _ = await connection.command("TIME")
    skewed.now += 2.5
    assert membership.now_ms() / 1000 == pytest.approx(int(seconds) + 2.5, abs=2)


def test_suspicion_ends_by_itself_and_grows_with_failures_in_a_row() -> None:
    clock = Clock()
    membership = Membership(connect("unix:/nowhere"), node_timeout_s=NODE_TIMEOUT_S, clock=clock)
    for expected_s in (FIRST_SUSPICION_S, FIRST_SUSPICION_S * 2, FIRST_SUSPICION_S * 4):
        for _ in range(5):  # many requests notice one outage
            membership.node_failed("n")
        assert membership.suspects("n")
        clock.now += expected_s
        assert not membership.suspects("n")
    for _ in range(20):
        membership.node_failed("n")
        clock.now += LONGEST_SUSPICION_S
        assert not membership.suspects("n")
    membership.node_failed("n")
    membership.node_answered("n")
    assert not membership.suspects("n")
    membership.node_failed("n")
    clock.now += FIRST_SUSPICION_S
    assert not membership.suspects("n")


@pytest.mark.parametrize(("age_s", "live"), [(0, True), (90, True), (90.01, False), (-3600, True)])
def test_liveness_by_age_of_the_heartbeat(age_s: float, live: bool) -> None:
    node = parse_heartbeat(heartbeat(heartbeat_at=5000 - age_s), now_s=5000, node_timeout_s=90)
    assert node.live is live


def test_a_node_that_stopped_neither_lives_nor_accepts() -> None:
    node = parse_heartbeat(heartbeat(heartbeat_at=5000, stopped=True), now_s=5000, node_timeout_s=90)
    assert (node.live, node.accepting, node.stopped) == (False, False, True)
