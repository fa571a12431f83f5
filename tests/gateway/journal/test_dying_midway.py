"""A process dies behind each single call that it makes of a node while it opens the index or changes the segment."""

import asyncio

import pytest

from tests.gateway.journal.simulation import FakeRedis, World, make_process, running
from tests.harness.virtual_time import run_in_virtual_time

LEASE_S = 20.0
"""By then the lease of a dead process is over."""


async def _die(world: World, name: str, calls: int, *, after_s: float) -> bool:
    """Run a process that stops for ever after so many calls; whether it got that far."""
    process = make_process(world, name)
    process.nodes.changes_left = calls
    loop_task = asyncio.create_task(process.journal.__aenter__())
    await loop_task
    await asyncio.sleep(after_s)
    # Killed: nothing of it is tidied up, its lease among others.
    process.raw.drop("killed")
    process.feed.drop("killed")
    died = process.nodes.changes_left == 0
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task() and task.get_name().startswith(("journal", "recovery")):
            task.cancel()
    await asyncio.sleep(0)
    return died


@pytest.mark.parametrize("redis", ["lagging", "empty", "ahead"])
def test_process_that_dies_while_it_opens_the_index_costs_nothing(redis: str) -> None:
    deaths = 0
    for calls in range(40):

        async def test(world: World, calls: int = calls) -> bool:
            async with running(world, "g0") as first:
                await first.is_open()
                for number in range(8):
                    await first.change(b"%d" % number)
            old = world.redis
            old.up = False
            if redis == "empty":
                world.redis = FakeRedis(identity="empty")
            else:
                world.redis = old.lagging_copy("promoted", 5 if redis == "lagging" else 8)
                world.redis.up = True
            if redis == "ahead":
                world.redis.commit(b"never acknowledged")
            died = await _die(world, "dying", calls, after_s=3.0)
            world.redis.lease = ("", 0.0)
            async with running(world, "g1") as second:
                await second.is_open()
                await second.change(b"after")
            world.check(world.redis, "at the end")
            assert not world.violations
            return died

        deaths += run_in_virtual_time(test(World(calls, nodes=3)))
    assert deaths > 15


def test_process_that_dies_while_it_changes_the_segment_costs_nothing() -> None:
    deaths = 0
    for calls in range(40):

        async def test(world: World, calls: int = calls) -> bool:
            async with running(world, "g0") as first:
                await first.is_open()
                for number in range(8):
                    await first.change(b"%d" % number)
            world.redis.commit(b"left behind")
            world.nodes["n0"].up = False
            died = await _die(world, "dying", calls, after_s=3.0)
            world.nodes["n0"].up = True
            old = world.redis
            async with running(world, "g1") as second:
                await second.is_open()
                await second.change(b"after")
                world.redis = old.lagging_copy("promoted", 3)
                old.up = False
                await asyncio.sleep(1)
                await second.is_open()
                await second.change(b"after all")
            world.check(world.redis, "at the end")
            assert not world.violations
            return died

        deaths += run_in_virtual_time(test(World(calls, nodes=4)))
    assert deaths > 15
