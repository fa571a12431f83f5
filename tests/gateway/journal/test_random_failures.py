"""Everything fails at random moments; nothing that was acknowledged is missing from an index that is opened later."""

import asyncio
import contextlib
import itertools
import os
import random

import pytest

from gateway.index.errors import IndexFailure
from tests.gateway.journal.simulation import FakeRedis, Process, World, make_process
from tests.harness.virtual_time import run_in_virtual_time

SEEDS = range(int(os.environ.get("CAIRN_TEST_JOURNAL_SEEDS", "12")))
STEPS = 60
WRITERS = 3


class Storm:
    """Processes, their writers, and what happens to them."""

    def __init__(self, seed: int, *, nodes: int) -> None:
        self.random = random.Random(seed)
        self.world = World(seed, nodes=nodes)
        self.processes: dict[str, tuple[Process, list[asyncio.Task[None]]]] = {}
        self.names = (f"g{number}" for number in itertools.count())
        self.identities = (f"r{number}" for number in itertools.count(1))
        self.told: list[str] = []
        self.old_masters: list[FakeRedis] = []

    async def run(self) -> None:
        await self.start_process()
        await self.start_process()
        await asyncio.sleep(3)
        for _ in range(STEPS):
            event = self.random.choice(
                [
                    self.start_process,
                    self.kill_process,
                    self.node_dies,
                    self.node_returns,
                    self.node_returns,
                    self.fsync_fails,
                    self.fail_over,
                    self.old_master_returns,
                    self.wipe,
                    self.flush,
                    self.nothing,
                ]
            )
            self.told.append(event.__name__)
            await event()
            await asyncio.sleep(self.random.choice([0.005, 0.05, 0.5, 3.0]))
            assert not self.world.violations, (self.world.violations, self.told)
        await self.settle()

    async def settle(self) -> None:
        """All comes back, and is open before long."""
        for node in self.world.nodes.values():
            node.up = True
        for name in list(self.processes):
            await self.kill(name)
        await self.start_process()
        (process, _), *_ = self.processes.values()
        await process.journal.wait_until_open(120)
        await self.kill(process.name)
        assert not self.world.violations, (self.world.violations, self.told)
        self.world.check(self.world.redis, "at the end")
        assert not self.world.violations, (self.world.violations, self.told)

    async def nothing(self) -> None:
        pass

    async def start_process(self) -> None:
        if len(self.processes) >= 4:
            return
        process = make_process(self.world, next(self.names))
        await process.journal.__aenter__()
        writers = [asyncio.create_task(self._write(process, number)) for number in range(WRITERS)]
        self.processes[process.name] = (process, writers)

    async def kill_process(self) -> None:
        if self.processes:
            await self.kill(self.random.choice(list(self.processes)))

    async def kill(self, name: str) -> None:
        process, writers = self.processes.pop(name)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        await process.journal.__aexit__()

    async def node_dies(self) -> None:
        node = self.random.choice(list(self.world.nodes.values()))
        node.up = False

    async def node_returns(self) -> None:
        for node in self.world.nodes.values():
            node.up = True

    async def fsync_fails(self) -> None:
        node = self.random.choice(list(self.world.nodes.values()))
        if node.segments:
            node.segments[max(node.segments)].broken = True

    async def fail_over(self) -> None:
        """A replica that lags takes over; some processes do not notice and go on with the old master."""
        old = self.world.redis
        self.old_masters.append(old)
        lag = self.random.choice([0, 1, 3, 10])
        self.world.redis = old.lagging_copy(next(self.identities), max((old.sequence or 0) - lag, 0))
        if self.random.random() < 0.5:
            old.up = False
        for process, _ in self.processes.values():
            process.feed.pinned = old if old.up and self.random.random() < 0.5 else None
            process.raw.pinned = process.feed.pinned

    async def old_master_returns(self) -> None:
        """One that was failed over from comes back with what it did alone, and is the master again."""
        self.world.redis.up = False
        self.old_masters.append(self.world.redis)
        returned = self.random.choice(self.old_masters)
        self.world.redis = returned.lagging_copy(next(self.identities), returned.sequence or 0)
        self.world.redis.up = True

    async def wipe(self) -> None:
        self.world.redis.up = False
        self.world.redis = FakeRedis(identity=next(self.identities))

    async def flush(self) -> None:
        """FLUSHALL: the same server, empty."""
        redis = self.world.redis
        redis.sequence, redis.restored, redis.opened, redis.incarnation = None, None, "", ""
        redis.epoch, redis.segment, redis.watermark, redis.lease = 0, b"", 0, ("", 0.0)
        redis.history, redis.stream = {}, {}

    async def _write(self, process: Process, writer: int) -> None:
        for number in itertools.count():
            with contextlib.suppress(IndexFailure):
                await process.change(f"{process.name}-{writer}-{number}".encode())
            await asyncio.sleep(self.random.random() * 0.1)


@pytest.mark.parametrize("nodes", [1, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_acknowledged_is_lost(seed: int, nodes: int) -> None:
    run_in_virtual_time(Storm(seed, nodes=nodes).run())
