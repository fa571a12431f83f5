"""A journal is founded only where it is certain that there is none; two that were founded apart stop."""

import asyncio

import pytest

from gateway.index.errors import IndexNotOpen, IndexUnavailable
from gateway.journal import incarnation
from gateway.journal.change_segment import SegmentChanger
from gateway.journal.failures import JournalBlocked, RaceLost
from gateway.journal.placing import Placing
from gateway.journal.state import Phase
from tests.gateway.journal.simulation import (
    SETTLED_AFTER_S,
    FakeNode,
    FakeRedis,
    FakeRoster,
    NodeCalls,
    World,
    running,
)
from tests.harness.virtual_time import run_in_virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


async def write_and_lose(world: World, lost: str, *, registered: bool) -> None:
    """Make changes, then lose the index server and one node's directory; a new node is there in its place."""
    async with running(world, "g0") as gateway:
        await gateway.is_open()
        for number in range(5):
            await gateway.change(b"%d" % number)
        await asyncio.sleep(2)
    for node in world.nodes.values():
        node.registered = registered
    del world.nodes[lost]
    world.nodes["new"] = FakeNode(node_id="new")
    world.redis.up = False
    world.redis = FakeRedis(identity="empty")


def register(world: World) -> None:
    for node in world.nodes.values():
        node.registered = True


def test_new_cluster_of_known_size_opens_at_once() -> None:
    async def test(world: World) -> None:
        began = now()
        async with running(world, "g1", expected_nodes=3) as gateway:
            await gateway.is_open()
            assert now() - began < 1.0

    run_in_virtual_time(test(World(1, nodes=3)))


def test_new_cluster_of_unknown_size_waits_for_nodes_that_may_follow() -> None:
    async def test(world: World) -> None:
        began = now()
        world.nodes["n2"].registered = False
        async with running(world, "g1", expected_nodes=0) as gateway:
            await asyncio.sleep(SETTLED_AFTER_S / 2)
            assert "CAIRN_EXPECTED_NODES" in gateway.journal.condition.reason
            world.nodes["n2"].registered = True
            await gateway.is_open()
            assert 1.5 * SETTLED_AFTER_S < now() - began < 1.5 * SETTLED_AFTER_S + 2.0

    run_in_virtual_time(test(World(1, nodes=3)))


def test_index_and_one_node_are_lost_at_once_and_the_empty_node_is_heard_first() -> None:
    async def test(world: World) -> None:
        await write_and_lose(world, "n0", registered=False)
        async with running(world, "g1", expected_nodes=0) as gateway:
            await asyncio.sleep(0.8 * SETTLED_AFTER_S)
            register(world)
            await gateway.is_open()
            assert len(world.acknowledged) == 5
            world.check(world.redis, "at the end")

    world = World(1, nodes=3)
    run_in_virtual_time(test(world))
    assert not world.violations


def test_nothing_is_founded_while_a_node_in_the_table_is_silent() -> None:
    async def test(world: World) -> None:
        await write_and_lose(world, "n0", registered=True)
        for name in ("n1", "n2"):
            world.nodes[name].up = False
        async with running(world, "g1", expected_nodes=0) as gateway:
            await asyncio.sleep(3 * SETTLED_AFTER_S)
            assert "do not answer: n1, n2" in gateway.journal.condition.reason
            for node in world.nodes.values():
                node.up = True
            await gateway.is_open()
            world.check(world.redis, "at the end")

    world = World(1, nodes=3)
    run_in_virtual_time(test(world))
    assert not world.violations


@pytest.mark.parametrize("expected_nodes", [0, 3])
def test_nothing_is_founded_for_an_empty_index_where_a_node_holds_bytes(expected_nodes: int) -> None:
    async def test(world: World) -> None:
        world.nodes["n1"].holds_bytes = True
        async with running(world, "g1", expected_nodes=expected_nodes) as gateway:
            await asyncio.sleep(2 * SETTLED_AFTER_S)
            assert gateway.journal.condition.phase is Phase.BLOCKED
            assert "hold bytes of an index that is not here: n1" in gateway.journal.condition.reason
            assert not any(node.segments for node in world.nodes.values())

    run_in_virtual_time(test(World(1, nodes=3)))


def test_index_without_a_journal_is_taken_over_though_nodes_hold_its_bytes() -> None:
    async def test(world: World) -> None:
        world.redis.sequence, world.redis.history = 7, dict.fromkeys(range(1, 8), b"old")
        for node in world.nodes.values():
            node.holds_bytes = True
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            assert await gateway.change(b"new") == 8

    run_in_virtual_time(test(World(1, nodes=3)))


@pytest.mark.parametrize("expected_nodes", [0, 5])
def test_index_is_wiped_while_a_node_is_away_for_good(expected_nodes: int) -> None:
    """Those that register are one less than expected, and the first of them knows nothing."""

    async def test(world: World) -> None:
        await write_and_lose(world, "n0", registered=False)
        async with running(world, "g1", expected_nodes=expected_nodes) as gateway:
            await asyncio.sleep(1)
            assert "have registered" in gateway.journal.condition.reason
            register(world)
            began = now()
            await gateway.is_open()
            assert now() - began < 5.0
            world.check(world.redis, "at the end")

    world = World(1, nodes=4)
    run_in_virtual_time(test(world))
    assert not world.violations


# --- two journals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("accepting", [True, False])
def test_journal_that_was_founded_beside_an_older_one_stops_when_that_is_heard(accepting: bool) -> None:
    """Also where the nodes that are heard take no segments, and nobody would ask them for more than a status."""

    async def test(world: World) -> None:
        await write_and_lose(world, "n0", registered=False)
        older, world.acknowledged = world.acknowledged, {}
        async with running(world, "g1", expected_nodes=0) as gateway, running(world, "g2", expected_nodes=0) as idle:
            await gateway.is_open()  # longer than anybody had to wait for
            await gateway.change(b"of the second journal")
            served = world.redis.incarnation
            register(world)
            world.nodes["n1"].accepting = world.nodes["n2"].accepting = accepting
            await asyncio.sleep(3)
            for process in (gateway, idle):
                condition = process.journal.condition
                assert condition.phase is Phase.BLOCKED
                assert "two journals" in condition.reason
                assert "up to entry 1 on new" in condition.reason
                assert "up to entry 5 on n1, n2" in condition.reason
                with pytest.raises(IndexNotOpen):
                    process.journal.recognise(served)  # readers are sent away too
                with pytest.raises(IndexUnavailable):
                    await process.change(b"refused")
            world.redis.identity = "restarted"
            await asyncio.sleep(5)
            async with running(world, "g3") as third:
                await asyncio.sleep(5)
                assert "two journals" in third.journal.condition.reason
        # Whoever is in charge gives up the second: its node goes, the index server is emptied.
        assert any(node.entries for node in world.nodes["new"].segments.values())
        del world.nodes["new"]
        world.redis = FakeRedis(identity="emptied")
        world.acknowledged = older
        async with running(world, "g4", expected_nodes=2) as fourth:
            await fourth.is_open()
            assert await fourth.change(b"on") == 6
            world.check(world.redis, "at the end")

    world = World(1, nodes=3)
    run_in_virtual_time(test(world))
    assert not world.violations


def test_second_journal_goes_on_when_the_nodes_of_the_other_are_taken_away() -> None:
    async def test(world: World) -> None:
        await write_and_lose(world, "n0", registered=False)
        world.acknowledged = {}
        async with running(world, "g1", expected_nodes=0) as gateway:
            await gateway.is_open()
            await gateway.change(b"1")
            register(world)
            await asyncio.sleep(3)
            assert gateway.journal.condition.phase is Phase.BLOCKED
            del world.nodes["n1"], world.nodes["n2"]
            await gateway.is_open()
            assert await gateway.change(b"2") == 2

    world = World(1, nodes=3)
    run_in_virtual_time(test(world))
    assert not world.violations


# --- the changer's part -----------------------------------------------------------------------------------


def changer_of(world: World) -> SegmentChanger:
    return SegmentChanger(NodeCalls(world), FakeRoster(world), Placing(), random_bits=world.random.getrandbits)


def test_founding_is_lost_to_nodes_that_came_between_two_looks() -> None:
    async def test(world: World) -> None:
        changer = changer_of(world)
        assert not any(status.promised_epoch for status in (await changer.survey()).values())
        world.nodes["n1"].promised = 9 << 32
        with pytest.raises(RaceLost):
            await changer.found("r", 0)

    run_in_virtual_time(test(World(1, nodes=3)))


def test_founding_gives_up_where_attempts_have_used_up_the_epochs() -> None:
    async def test(world: World) -> None:
        world.nodes["n1"].promised = (1 << 32) - 1
        with pytest.raises(JournalBlocked, match="too many attempts"):
            await changer_of(world).found("r", 0)

    run_in_virtual_time(test(World(1, nodes=3)))


def test_founding_needs_the_promise_of_every_node() -> None:
    async def test(world: World) -> None:
        world.nodes["n1"].up = False
        with pytest.raises(JournalBlocked, match="do not answer: n1"):
            await changer_of(world).found("r", 0)
        assert not any(node.segments for node in world.nodes.values())

    run_in_virtual_time(test(World(1, nodes=3)))


def test_name_of_an_incarnation_tells_its_journal() -> None:
    assert incarnation.journal_of(incarnation.founded("run:replication", 7, "j")) == "j"
    assert incarnation.journal_of(incarnation.opened("run:replication", 7, "j")) == "j"
    assert incarnation.journal_of("run:replication/opened/0000000100000000") == ""
