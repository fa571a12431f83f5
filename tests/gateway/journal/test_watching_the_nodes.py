"""What a gateway that has nothing to write notices of the journal's nodes by itself."""

import asyncio

import pytest

from gateway.index.errors import IndexNotOpen, IndexUnavailable
from gateway.journal.state import Phase
from tests.gateway.journal.simulation import World, running
from tests.harness.virtual_time import run_in_virtual_time


def test_change_is_refused_before_it_is_sent_once_a_majority_of_nodes_was_seen_to_be_away() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            await gateway.change(b"1")
            await asyncio.sleep(3)  # by then it has told the nodes all that it has to tell
            world.nodes["n0"].up = world.nodes["n1"].up = False
            await asyncio.sleep(4)
            assert gateway.journal.condition.phase is Phase.BLOCKED
            with pytest.raises(IndexUnavailable) as refused:
                await gateway.change(b"2")
            assert not refused.value.maybe_applied
            assert world.redis.sequence == 1
            world.nodes["n0"].up = True
            await asyncio.sleep(4)
            assert await gateway.change(b"3") == 2

    world = World(1, nodes=3)
    run_in_virtual_time(test(world))
    assert not world.violations


@pytest.mark.parametrize("away", ["n0", "n1", "n2"])
def test_forgotten_gateway_stops_serving_reads_though_a_node_is_away(away: str) -> None:
    async def test(world: World) -> None:
        async with running(world, "forgotten") as forgotten:
            await forgotten.is_open()
            world.nodes[away].up = False
            await forgotten.change(b"1")
            await asyncio.sleep(3)
            old = world.redis
            forgotten.feed.pinned = forgotten.raw.pinned = old
            world.redis = old.lagging_copy("promoted", 1)
            async with running(world, "g2") as gateway:
                await gateway.is_open()
                await asyncio.sleep(4)
                with pytest.raises(IndexNotOpen):
                    await forgotten.feed.read_state()

    world = World(1, nodes=3)
    run_in_virtual_time(test(world))
    assert not world.violations
