"""The worker process: one acts at a time, a job that fails is repeated, a stop is quick and orderly."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.index.connection import connect
from gateway.index.errors import IndexUnavailable
from gateway.index.store import Index
from gateway.workers.runner import LEASE_NAME, Worker
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer, running_server

TTL_S = 0.3

redis_server = pytest.fixture(scope="module")(running_server)


@pytest.fixture
async def index(redis_server: RedisServer) -> AsyncIterator[Index]:
    connection = connect(redis_server.address)
    await open_new(connection)
    yield Index(connection)
    await connection.close()


class Passes:
    """A job that counts its passes and fails in the way it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.count = 0
        self.cancelled = 0
        self.failures = list(failures)
        self.begun = asyncio.Event()
        self.blocks = False

    async def __call__(self) -> None:
        self.count += 1
        self.begun.set()
        if self.failures:
            raise self.failures.pop(0)
        if self.blocks:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled += 1

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.count < count:
                await asyncio.sleep(0.005)


def worker(index: Index, *jobs: Callable[[], Awaitable[object]]) -> Worker:
    named = {f"job-{number}": job for number, job in enumerate(jobs)}
    return Worker(index, named, interval_s=0.01, lease_ttl_s=TTL_S)


async def test_a_job_is_repeated_whatever_it_raises_and_others_do_not_notice(index: Index) -> None:
    stop = asyncio.Event()
    failing = Passes(IndexUnavailable("away", maybe_applied=False), ValueError("a defect"), KeyError("another"))
    steady = Passes()
    running = asyncio.create_task(worker(index, failing, steady).run(stop))
    await failing.reach(5)
    await steady.reach(5)
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_only_the_holder_of_the_lease_acts_and_the_next_takes_over_when_it_stops(index: Index) -> None:
    stops = asyncio.Event(), asyncio.Event()
    jobs = Passes(), Passes()
    first = asyncio.create_task(worker(index, jobs[0]).run(stops[0]))
    await jobs[0].reach(1)
    second = asyncio.create_task(worker(index, jobs[1]).run(stops[1]))
    await jobs[0].reach(jobs[0].count + 20)
    assert jobs[1].count == 0
    stops[0].set()
    await asyncio.wait_for(first, 5)
    acted = jobs[0].count
    await jobs[1].reach(3)
    assert jobs[0].count == acted
    stops[1].set()
    await asyncio.wait_for(second, 5)


async def test_a_worker_that_died_is_replaced_when_its_lease_runs_out(index: Index) -> None:
    assert await index.try_lease(LEASE_NAME, "the dead one", ttl_ms=int(TTL_S * 1000))
    stop, job = asyncio.Event(), Passes()
    running = asyncio.create_task(worker(index, job).run(stop))
    await job.reach(1)
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_a_worker_that_lost_its_lease_stops_acting(redis_server: RedisServer, index: Index) -> None:
    stop, job = asyncio.Event(), Passes()
    job.blocks = True
    running = asyncio.create_task(worker(index, job).run(stop))
    await job.reach(1)
    thief = connect(redis_server.address)
    await open_new(thief)
    assert await Index(thief).try_lease(LEASE_NAME, "the thief", ttl_ms=60_000)
    async with asyncio.timeout(10):
        while not job.cancelled:
            await asyncio.sleep(0.005)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert not await Index(thief).try_lease(LEASE_NAME, "a third", ttl_ms=60_000)
    await thief.close()


async def test_a_stop_interrupts_a_pass_and_gives_the_lease_back(index: Index) -> None:
    stop, job = asyncio.Event(), Passes()
    job.blocks = True
    running = asyncio.create_task(worker(index, job).run(stop))
    await job.begun.wait()
    stop.set()
    await asyncio.wait_for(running, 5)
    assert job.cancelled == 1
    assert await index.try_lease(LEASE_NAME, "the next", ttl_ms=1000)
