"""Reads and the word of the nodes: relied on while another incarnation cannot be open, and not a moment longer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.index.errors import IndexUnavailable
from gateway.journal.vouching import LEASE_S, OPENING_DELAY_S
from tests.gateway.journal.simulation import World, running
from tests.harness.virtual_time import run_in_virtual_time

Test = Callable[[World], Coroutine[Any, Any, None]]


def simulated(test: Test, *, nodes: int = 3) -> None:
    world = World(1, nodes=nodes)
    run_in_virtual_time(test(world))
    assert not world.violations


def now() -> float:
    return asyncio.get_running_loop().time()


def test_readers_do_not_wait_while_nothing_happens() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            await asyncio.sleep(LEASE_S)
            for _ in range(100):
                assert gateway.journal.is_vouched(world.redis.incarnation)
                await asyncio.sleep(0.07)

    simulated(test)


@pytest.mark.parametrize("lag", [0.0, 0.1, 0.2, 0.3, 0.35])
def test_no_read_of_a_forgotten_gateway_is_good_once_another_incarnation_is_open(lag: float) -> None:
    async def test(world: World) -> None:
        async with running(world, "forgotten") as forgotten:
            await forgotten.is_open()
            await asyncio.sleep(3 + lag)
            old = world.redis
            incarnation = old.incarnation
            forgotten.feed.pinned = forgotten.raw.pinned = old
            world.redis = old.lagging_copy("promoted", 0)
            async with running(world, "g2") as gateway:
                while world.redis.incarnation == incarnation:
                    await asyncio.sleep(0.001)
                assert not forgotten.journal.is_vouched(incarnation)
                with pytest.raises(IndexUnavailable):
                    await forgotten.journal.vouch(incarnation)
                await gateway.is_open()

    simulated(test)


def test_an_opening_waits_for_longer_than_any_word_is_relied_on() -> None:
    assert OPENING_DELAY_S > LEASE_S


def test_the_first_index_of_a_cluster_is_opened_without_waiting_for_readers() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            begun = now()
            await gateway.is_open()
            first_s = now() - begun
            old, world.redis = world.redis, world.redis.lagging_copy("promoted", 0)
            old.up = False
            begun, incarnation = now(), old.incarnation
            while world.redis.incarnation == incarnation:
                await asyncio.sleep(0.001)
            assert first_s < OPENING_DELAY_S < now() - begun

    simulated(test)


def test_where_too_few_nodes_can_be_asked_reads_go_on_without_their_word() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            incarnation = world.redis.incarnation
            for node in list(world.nodes.values())[:2]:
                node.up = False
            await asyncio.sleep(10)
            assert not gateway.journal.is_vouched(incarnation)
            begun = now()
            await gateway.journal.vouch(incarnation)
            assert now() - begun <= 1.0

    simulated(test)
