"""The journal over nodes and servers in memory: the rules that make it safe, one by one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.index.errors import IndexNotOpen, IndexUnavailable
from gateway.journal.state import Phase
from storagenode.journal_protocol import unpack_header
from tests.gateway.journal.simulation import FakeRedis, World, running
from tests.harness.virtual_time import run_in_virtual_time

Test = Callable[[World], Coroutine[Any, Any, None]]


def simulated(test: Test, *, nodes: int = 3, seed: int = 1) -> World:
    """Run a test in a world of its own; nothing acknowledged may be missing where an index was opened."""
    world = World(seed, nodes=nodes)
    run_in_virtual_time(test(world))
    assert not world.violations
    return world


def now() -> float:
    return asyncio.get_running_loop().time()


def holders(world: World, *sequences: int) -> set[str]:
    """The nodes that have every one of these entries, in whatever segment."""
    return {
        node.node_id
        for node in world.nodes.values()
        if all(any(sequence in one.entries for one in node.segments.values()) for sequence in sequences)
    }


def open_segment_nodes(world: World) -> set[str]:
    return set(unpack_header(world.redis.segment).nodes)


# --- a contiguous prefix ----------------------------------------------------------------------------------


def test_change_is_acknowledged_once_it_and_all_before_it_are_on_a_majority() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            for number in range(1, 21):
                assert await gateway.change(b"%d" % number) == number
                assert len(holders(world, *range(1, number + 1))) >= 2

    simulated(test)


def test_node_that_lagged_counts_only_when_it_has_what_it_missed() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            first, second, third = world.nodes.values()
            second.up = False
            for number in range(1, 11):
                await gateway.change(b"%d" % number)
            assert holders(world, 5) == {first.node_id, third.node_id}
            third.up, second.up = False, True
            while True:
                try:
                    sequence = await gateway.change(b"late")
                    break
                except IndexUnavailable:
                    await asyncio.sleep(0.1)
            assert holders(world, *range(1, sequence + 1)) >= {first.node_id, second.node_id}

    simulated(test)


def test_node_that_lags_is_caught_up_by_a_process_that_did_not_see_it_fall_behind() -> None:
    async def test(world: World) -> None:
        first, second, third = world.nodes.values()
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            second.up = False
            for number in range(1, 11):
                await gateway.change(b"%d" % number)
            await asyncio.sleep(2)
        third.up, second.up = False, True
        async with running(world, "g2") as gateway:
            await gateway.is_open()
            assert await gateway.change(b"late") == 11
            assert holders(world, *range(1, 12)) == {first.node_id, second.node_id}

    simulated(test)


def test_nothing_is_acknowledged_while_a_minority_of_nodes_lives() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            await gateway.change(b"1")
            for node_id in ("n0", "n1"):
                world.nodes[node_id].up = False
            with pytest.raises(IndexUnavailable) as failed:
                await gateway.change(b"2")
            assert failed.value.maybe_applied
            with pytest.raises(IndexUnavailable) as refused:
                await gateway.change(b"3")  # known by now to have no prospect: not even sent
            assert not refused.value.maybe_applied
            assert gateway.journal.condition.phase is Phase.BLOCKED
            world.nodes["n0"].up = world.nodes["n1"].up = True
            await asyncio.sleep(5)
            assert await gateway.change(b"4") == 3

    simulated(test)


# --- readers help -----------------------------------------------------------------------------------------


def test_reader_makes_durable_what_a_dead_gateway_left_behind() -> None:
    async def test(world: World) -> None:
        async with running(world, "g2") as reader:
            await reader.is_open()
            await asyncio.sleep(0.3)
            seen = world.redis.commit(b"left behind")
            began = now()
            await reader.journal.reach(seen, incarnation=world.redis.incarnation)
            assert now() - began < 0.2
            assert len(holders(world, seen)) >= 2

    simulated(test)


def test_what_a_dead_gateway_left_behind_is_shipped_though_nobody_reads() -> None:
    async def test(world: World) -> None:
        async with running(world, "g2") as idle:
            await idle.is_open()
            await asyncio.sleep(0.5)
            seen = world.redis.commit(b"left behind")
            await asyncio.sleep(2.5)
            assert len(holders(world, seen)) >= 2
            assert world.redis.watermark == seen

    simulated(test)


# --- segments ---------------------------------------------------------------------------------------------


def test_segment_moves_to_other_nodes_at_once_when_one_fails() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway, running(world, "g2") as other:
            await gateway.is_open()
            await other.is_open()
            await gateway.change(b"1")
            failed = sorted(open_segment_nodes(world))[0]
            world.nodes[failed].up = False
            began = now()
            await gateway.change(b"2")
            await other.change(b"3")
            assert now() - began < 1.0
            await asyncio.sleep(3)
            assert failed not in open_segment_nodes(world)
            assert len(open_segment_nodes(world)) == 3
            await other.change(b"4")

    simulated(test, nodes=4)


def test_segment_spreads_when_the_cluster_grows() -> None:
    async def test(world: World) -> None:
        world.nodes["n1"].registered = world.nodes["n2"].registered = False
        async with running(world, "g1", expected_nodes=1) as gateway:
            await gateway.is_open()
            await gateway.change(b"1")
            assert len(open_segment_nodes(world)) == 1
            world.nodes["n1"].registered = world.nodes["n2"].registered = True
            await asyncio.sleep(4)
            assert len(open_segment_nodes(world)) == 3
            await gateway.change(b"2")
            assert len(holders(world, 2)) >= 2

    simulated(test)


def test_node_that_drains_leaves_the_segment() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            leaving = sorted(open_segment_nodes(world))[0]
            world.nodes[leaving].accepting = False
            await asyncio.sleep(4)
            assert leaving not in open_segment_nodes(world)
            assert len(open_segment_nodes(world)) == 3

    simulated(test, nodes=4)


def test_node_whose_fsync_failed_comes_back_in_another_segment() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            segment = unpack_header(world.redis.segment)
            world.nodes["n1"].segments[segment.segment_id].broken = True
            await gateway.change(b"1")
            await asyncio.sleep(6)
            assert unpack_header(world.redis.segment).epoch > segment.epoch
            await gateway.change(b"2")
            await asyncio.sleep(1)
            assert holders(world, 2) == {"n0", "n1", "n2"}

    simulated(test)


# --- knowing that Redis is not what it was ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_forgotten_gateway_on_a_forgotten_master_acknowledges_nothing(seed: int) -> None:
    async def test(world: World) -> None:
        async with running(world, "forgotten", timeout_s=5.0) as forgotten:
            await forgotten.is_open()
            for number in range(5):
                await forgotten.change(b"%d" % number)
            old = world.redis
            forgotten.feed.pinned = forgotten.raw.pinned = old
            world.redis = old.lagging_copy("promoted", 3)
            async with running(world, "g2") as gateway:
                await gateway.is_open()
                with pytest.raises(IndexUnavailable):
                    await forgotten.change(b"of the forgotten")
                assert await gateway.change(b"of the new") == 6
                with pytest.raises(IndexUnavailable):
                    await forgotten.change(b"of the forgotten again")
            world.check(world.redis, "at the end")

    simulated(test, seed=seed)


def test_forgotten_gateway_that_has_nothing_to_write_stops_serving_reads() -> None:
    async def test(world: World) -> None:
        async with running(world, "forgotten") as forgotten:
            await forgotten.is_open()
            await asyncio.sleep(3)  # by then it has told the nodes all that it has to tell
            old = world.redis
            forgotten.feed.pinned = forgotten.raw.pinned = old
            world.redis = old.lagging_copy("promoted", 0)
            async with running(world, "g2") as gateway:
                await gateway.is_open()
                epoch = unpack_header(world.redis.segment).epoch
                await asyncio.sleep(3)
                with pytest.raises(IndexNotOpen):
                    await forgotten.feed.read_state()
                assert forgotten.journal.condition.phase is Phase.BLOCKED
                assert "taken over" in forgotten.journal.condition.reason
                await asyncio.sleep(10)
                assert unpack_header(world.redis.segment).epoch == epoch  # and disturbs nobody

    simulated(test)


def test_lagging_replica_is_caught_up_before_it_is_opened() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            for number in range(10):
                await gateway.change(b"%d" % number)
            old, world.redis = world.redis, world.redis.lagging_copy("promoted", 4)
            old.up = False
            await asyncio.sleep(1)
            await gateway.is_open()
            assert await gateway.change(b"after") == 11
            world.check(world.redis, "at the end")

    simulated(test)


def test_old_master_that_went_on_alone_forgets_what_it_did_there() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            for number in range(5):
                await gateway.change(b"%d" % number)
        old = world.redis
        world.redis = old.lagging_copy("promoted", 5)
        for content in (b"alone 1", b"alone 2", b"alone 3"):
            old.commit(content)
        async with running(world, "g2") as gateway:
            await gateway.is_open()
            await gateway.change(b"together 1")
            await gateway.change(b"together 2")
            world.redis.up = False
            world.redis = old.lagging_copy("returned", 8)
            await asyncio.sleep(1)
            await gateway.is_open()
            assert await gateway.change(b"together 3") == 8
            world.check(world.redis, "at the end")
            assert b"alone 3" not in world.redis.history.values()

    simulated(test)


@pytest.mark.parametrize("snapshot", [0, 6])
def test_empty_server_is_restored_before_it_is_opened(snapshot: int) -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            for number in range(10):
                await gateway.change(b"%d" % number)
            kept = {number: entry for number, entry in world.redis.history.items() if number <= snapshot}
            world.snapshot = lambda: (snapshot, kept)
            world.redis.up = False
            world.redis = FakeRedis(identity="another")
            await asyncio.sleep(1)
            await gateway.is_open()
            assert await gateway.change(b"after") == 11
            world.check(world.redis, "at the end")

    simulated(test)


def test_change_that_was_under_way_when_the_index_was_emptied_is_not_acknowledged() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            await gateway.change(b"1")
            incarnation = world.redis.incarnation
            sequence = world.redis.commit(b"never shipped")
            world.redis = FakeRedis(identity=world.redis.identity)  # FLUSHALL
            gateway.feed.drop("as the index does when a script says NOTOPEN")
            async with running(world, "g2") as other:
                await other.is_open()
                assert await other.change(b"another") == sequence
                await gateway.is_open()
                await asyncio.sleep(3)  # it serves the new incarnation by now, in which the number is durable
                assert gateway.journal.watermark >= sequence
                with pytest.raises(IndexUnavailable) as failed:
                    await gateway.journal.reach(sequence, incarnation=incarnation)
                assert failed.value.maybe_applied

    simulated(test)


def test_server_of_another_cluster_is_left_alone() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            await gateway.change(b"1")
            world.redis.up = False
            world.redis = FakeRedis(identity="foreign", sequence=3, history={1: b"a", 2: b"b", 3: b"c"})
            await asyncio.sleep(3)
            assert gateway.journal.condition.phase is Phase.BLOCKED
            assert world.redis.history[3] == b"c"
            assert not world.redis.opened

    simulated(test)


def test_index_without_a_journal_is_taken_over() -> None:
    async def test(world: World) -> None:
        world.redis.sequence = 7
        world.redis.history = dict.fromkeys(range(1, 8), b"old")
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            assert await gateway.change(b"new") == 8
            assert len(world.redis.history) == 8

    simulated(test)


def test_nothing_is_founded_where_a_journal_may_exist_on_nodes_that_are_away() -> None:
    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            await gateway.change(b"1")
            away = open_segment_nodes(world)
            await asyncio.sleep(2)
        for node_id in away:
            world.nodes[node_id].up = world.nodes[node_id].registered = False
        world.redis = FakeRedis(identity="empty")
        async with running(world, "g2", expected_nodes=1) as other:
            await asyncio.sleep(20)
            assert other.journal.condition.phase is Phase.BLOCKED
            for node_id in away:
                world.nodes[node_id].up = world.nodes[node_id].registered = True
            await other.is_open()
            world.check(world.redis, "at the end")

    simulated(test, nodes=5)
