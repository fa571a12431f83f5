"""An index with in-memory nodes behind it, and a second server to rebuild it on."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.index import keys
from gateway.index.connection import Connection, connect
from gateway.index.journal_feed import JournalFeed, RestoreClaim
from gateway.index.store import Index
from gateway.journal.catalogue import read_manifests
from gateway.journal.dump import state_rows
from gateway.journal.snapshot import SnapshotKeeper, SnapshotPolicy
from gateway.journal.snapshot_format import Manifest, RowKind
from gateway.journal.snapshot_writer import SnapshotWriter
from gateway.placement.membership import Membership
from tests.gateway.journal.memory_nodes import MemoryNodes
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer, running_server

State = dict[bytes, Any]

CLAIM = RestoreClaim(token="the only one")


class DurableAtOnce:
    """A journal that has everything as soon as it is asked."""

    def __init__(self) -> None:
        self.reached: list[int] = []

    def admit(self) -> None:
        pass

    def is_vouched(self, incarnation: str) -> bool:
        return True

    async def vouch(self, incarnation: str) -> None:
        """Nobody else opens anything here."""

    def recognise(self, incarnation: str) -> None:
        pass

    async def reach(self, sequence: int, *, incarnation: str) -> None:
        assert incarnation
        self.reached.append(sequence)


@dataclass(slots=True, kw_only=True)
class Rebuilding:
    """Everything of one test; made by `open_rebuilding`."""

    nodes: MemoryNodes
    connection: Connection
    index: Index
    feed: JournalFeed
    membership: Membership
    empty: Connection
    empty_feed: JournalFeed
    durability: DurableAtOnce

    def writer(self, *, replicas: int = 2, chunk_bytes: int = 2000) -> SnapshotWriter:
        return SnapshotWriter(
            self.feed,
            self.connection,
            self.nodes.client(),
            self.membership,
            durability=self.durability,
            replicas=lambda _: replicas,
            chunk_bytes=chunk_bytes,
        )

    async def register(self) -> None:
        """Have the node table say what is down."""
        seconds, _ = await self.connection.command("TIME")
        for name, node in self.nodes.nodes.items():
            heartbeat = {
                "node_id": name,
                "address": name,
                "zone": "",
                "capacity_bytes": 1 << 40,
                "free_bytes": 1 << 40,
                "accepting": True,
                "heartbeat_at": 0 if node.down else int(seconds) + 10_000,
            }
            await self.connection.command("HSET", keys.nodes(), name, json.dumps(heartbeat))
        await self.membership.refresh()

    async def replay_rest(self, after: int) -> None:
        """What the live index's stream has after a change, on the other server."""
        while entries := await self.feed.entries(after, 500):
            after = await self.empty_feed.replay(entries, CLAIM)


@contextlib.asynccontextmanager
async def open_rebuilding(server: RedisServer, other: RedisServer, *names: str) -> AsyncIterator[Rebuilding]:
    """A new index on `server`, and nothing on `other`."""
    async with contextlib.AsyncExitStack() as stack:
        connection, empty = connect(server.address), connect(other.address)
        stack.push_async_callback(connection.close)
        stack.push_async_callback(empty.close)
        await open_new(connection)
        await empty.command("FLUSHALL")
        rebuilding = Rebuilding(
            nodes=MemoryNodes(*(names or ("a", "b", "c"))),
            connection=connection,
            index=Index(connection),
            feed=JournalFeed(connection),
            membership=Membership(connection, node_timeout_s=90.0),
            empty=empty,
            empty_feed=JournalFeed(empty),
            durability=DurableAtOnce(),
        )
        await rebuilding.register()
        yield rebuilding


async def state_of(connection: Connection) -> State:
    """Every key of the state with what it holds, in a form that compares."""
    state: State = {}
    async for row in state_rows(connection):
        kind, key, *rest = row
        if kind == RowKind.STRING:
            state[key] = (rest[0], rest[1])
        elif kind in (RowKind.LEXICAL, RowKind.SET):
            state.setdefault(key, set()).update(rest[0])
        else:
            first = rest[0][::2]
            second = rest[0][1::2]
            pairs = zip(second, first, strict=True) if kind == RowKind.SCORED else zip(first, second, strict=True)
            state.setdefault(key, {}).update(pairs)
    return state


def keeper(
    rebuilding: Rebuilding,
    *,
    entries: int = 1,
    interval_s: float = 0.0,
    grace_s: float = 3600.0,
    needed_from: Callable[[int], Awaitable[int | None]] | None = None,
) -> SnapshotKeeper:
    policy = SnapshotPolicy(entries=entries, interval_s=interval_s, leftover_grace_s=grace_s)
    return SnapshotKeeper(
        *(rebuilding.writer(), rebuilding.feed, rebuilding.nodes.client(), rebuilding.membership),
        policy=policy,
        needed_from=needed_from,
    )


async def manifests(rebuilding: Rebuilding) -> list[Manifest]:
    nodes = rebuilding.nodes
    return list((await read_manifests(nodes.client(), nodes.addresses)).values())


server = pytest.fixture(scope="module")(running_server)
other_server = pytest.fixture(scope="module")(running_server)


@pytest.fixture
async def rebuilding(server: RedisServer, other_server: RedisServer) -> AsyncIterator[Rebuilding]:
    async with open_rebuilding(server, other_server) as opened:
        yield opened
