"""The journal on a real index server and real storage nodes: what was acknowledged outlives whatever befalls Redis."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.index.errors import IndexFailure
from gateway.index.store import Index
from gateway.journal.opening import OpenIndex, open_index
from gateway.settings import GatewaySettings
from tests.gateway.datapath.cluster import SECRET, NodeProcess
from tests.gateway.index.making import make_bucket, put
from tests.harness.redis_server import RedisServer

OPEN_TIMEOUT_S = 40.0
BUCKET = "photos"


class Place:
    """A Redis with an append-only file, and three nodes."""

    def __init__(self, directory: Path, redis_directory: Path, *, appendfsync: str) -> None:
        self.redis = RedisServer(redis_directory, appendonly=True, appendfsync=appendfsync)
        self.nodes = [NodeProcess(directory / f"node-{number}", self.redis.address) for number in range(3)]

    @property
    def settings(self) -> GatewaySettings:
        return GatewaySettings(redis_host=self.redis.address, cluster_secret=SECRET, expected_nodes=3)

    def start(self) -> None:
        self.redis.start()
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait()

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
        self.redis.stop()

    def truncate_log(self, size_bytes: int) -> None:
        """What a power loss does to the end of a file that was not synced."""
        (log,) = (self.redis.directory / "appendonlydir").glob("*.incr.aof")
        with log.open("r+b") as file:
            file.truncate(max(log.stat().st_size - size_bytes, 0))


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, short_directory: Path) -> Iterator[Place]:
    made = Place(tmp_path, short_directory / "redis", appendfsync=getattr(request, "param", "everysec"))
    try:
        made.start()
        yield made
    finally:
        made.close()


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[OpenIndex]:
    async with open_index(place.settings) as index:
        await index.journal.wait_until_open(OPEN_TIMEOUT_S)
        yield index


async def write(index: Index, count: int, *, prefix: str) -> list[str]:
    """So many objects at once; the keys of those that were acknowledged."""
    acknowledged: list[str] = []

    async def one(key: str) -> None:
        with suppress(IndexFailure):
            await put(index, key)
            acknowledged.append(key)

    await asyncio.gather(*(one(f"{prefix}-{number:04}") for number in range(count)))
    return acknowledged


async def require_all(index: Index, keys: list[str]) -> None:
    for key in keys:
        assert await index.get_object(BUCKET, key) is not None, key


@pytest.mark.parametrize("place", ["no", "everysec"], indirect=True)
async def test_acknowledged_changes_survive_a_redis_that_lost_the_end_of_its_file(place: Place) -> None:
    async with opened(place) as cairn:
        await make_bucket(cairn.index)
        keys = await write(cairn.index, 50, prefix="early")
        assert len(keys) == 50
        await asyncio.sleep(1.2)  # everysec has synced these
        keys += await write(cairn.index, 200, prefix="late")
        place.redis.kill()
        place.truncate_log(60_000)
        place.redis.start()
        await asyncio.sleep(0)
        await _until_readable(cairn.index)
        await cairn.journal.wait_until_open(OPEN_TIMEOUT_S)
        await require_all(cairn.index, keys)
        keys += await write(cairn.index, 20, prefix="after")
        assert len(keys) == 270
    async with opened(place) as again:
        await require_all(again.index, keys)


async def test_acknowledged_changes_survive_flushall(place: Place) -> None:
    async with opened(place) as cairn:
        await make_bucket(cairn.index)
        keys = await write(cairn.index, 100, prefix="before")
        await cairn.raw.command("FLUSHALL")
        keys += await write(cairn.index, 10, prefix="unaware")
        await _until_readable(cairn.index)
        await cairn.journal.wait_until_open(OPEN_TIMEOUT_S)
        await require_all(cairn.index, keys)
        assert len(await write(cairn.index, 10, prefix="after")) == 10


async def test_acknowledged_changes_survive_the_replacement_of_redis_by_an_empty_one(place: Place) -> None:
    async with opened(place) as cairn, open_index(place.settings) as other:
        await other.journal.wait_until_open(OPEN_TIMEOUT_S)
        await make_bucket(cairn.index)
        keys = await write(cairn.index, 60, prefix="one")
        keys += await write(other.index, 60, prefix="two")
        place.redis.kill()
        shutil.rmtree(place.redis.directory)
        place.redis.start()
        for one in (cairn, other):
            await _until_readable(one.index)
            await one.journal.wait_until_open(OPEN_TIMEOUT_S)
            await require_all(one.index, keys)
            assert len(await write(one.index, 5, prefix=f"after-{one is cairn}")) == 5


async def test_changes_go_on_when_a_node_of_the_journal_dies(place: Place) -> None:
    async with opened(place) as cairn:
        await make_bucket(cairn.index)
        keys = await write(cairn.index, 30, prefix="before")
        place.nodes[0].kill()
        keys += await write(cairn.index, 30, prefix="without")
        place.redis.kill()
        place.redis.start()
        await _until_readable(cairn.index)
        await cairn.journal.wait_until_open(OPEN_TIMEOUT_S)
        assert len(keys) == 60
        await require_all(cairn.index, keys)


async def _until_readable(index: Index) -> None:
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        while True:
            try:
                await index.get_object(BUCKET, "nothing")
                return
            except IndexFailure:
                await asyncio.sleep(0.05)
