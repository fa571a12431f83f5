"""Ending a segment: whose seal counts, and how many nodes it needs."""

import random
from dataclasses import replace

import pytest

from gateway.journal import incarnation
from gateway.journal.change_segment import SegmentChanger
from gateway.journal.failures import JournalBlocked, Superseded
from gateway.journal.placing import Placing
from storagenode.client import NodeUnreachable
from storagenode.journal_protocol import Seal, SegmentHeader, segment_id
from tests.gateway.journal.simulation import FakeRoster, FakeSegment, NodeCalls, World
from tests.harness.virtual_time import run_in_virtual_time


class SealRefusing(NodeCalls):
    """Some nodes die when they are asked to accept a seal."""

    refusing: tuple[str, ...] = ()

    async def seal(self, address: str, segment_id: str, seal: Seal) -> None:
        if address in self.refusing:
            raise NodeUnreachable(address)
        await super().seal(address, segment_id, seal)


def header(counter: int, first: int, name: str) -> SegmentHeader:
    epoch = counter << 32
    return SegmentHeader(
        segment_id=segment_id(epoch, first),
        epoch=epoch,
        first_sequence=first,
        nodes=("n0", "n1", "n2"),
        quorum=2,
        incarnation=name,
        opened_at=first - 1,
    )


OLD = header(1, 1, incarnation.opened("r0", 1 << 32, "j"))


def world_with_a_segment() -> World:
    """Entries 1 to 5 on two of three nodes."""
    world = World(1, nodes=3)
    for node in world.nodes.values():
        node.promised = OLD.epoch
        segment = node.segments[OLD.segment_id] = FakeSegment(header=OLD, watermark=3)
        segment.entries = {number: b"%d" % number for number in range(1, 4 if node.node_id == "n2" else 6)}
    return world


def changer(world: World, nodes: NodeCalls | None = None) -> SegmentChanger:
    rng = random.Random(2)
    return SegmentChanger(nodes or NodeCalls(world), FakeRoster(world), Placing(), random_bits=rng.getrandbits)


def test_new_segment_begins_behind_the_watermark_and_has_what_follows_on_all_its_nodes() -> None:
    async def test(world: World) -> None:
        changed = await changer(world).recover("r1", None)
        assert (changed.header.first_sequence, changed.end) == (4, 5)
        for node in world.nodes.values():
            assert sorted(node.segments[changed.header.segment_id].entries) == [4, 5]
            assert node.segments[OLD.segment_id].seal is not None

    run_in_virtual_time(test(world_with_a_segment()))


def test_accepted_seal_is_completed_and_not_replaced_by_another() -> None:
    async def test(world: World) -> None:
        following = replace(header(2, 4, incarnation.opened("dead", 2 << 32, "j")), opened_at=5)
        for node in world.nodes.values():
            node.promised = following.epoch
            node.create(following)
            node.append(following.segment_id, following.epoch, 3, 4, [b"4", b"5"])
        world.nodes["n2"].seal(OLD.segment_id, Seal(epoch=following.epoch, end_sequence=5, next=following))
        changed = await changer(world).recover("r1", None)
        assert [link.header for link in changed.chain] == [OLD, following, changed.header]
        completed = [node.segments[OLD.segment_id].seal for node in world.nodes.values()]
        assert all(seal is not None and seal.next == following for seal in completed)

    run_in_virtual_time(test(world_with_a_segment()))


def test_seal_on_a_minority_ends_nothing() -> None:
    async def test(world: World) -> None:
        nodes = SealRefusing(world)
        nodes.refusing = ("n0", "n1")
        with pytest.raises(JournalBlocked, match="must accept the seal"):
            await changer(world, nodes).recover("r1", None)

    run_in_virtual_time(test(world_with_a_segment()))


@pytest.mark.parametrize("away", [("n0",), ("n1",), ("n2",)])
def test_any_majority_of_the_nodes_knows_the_end(away: tuple[str, ...]) -> None:
    async def test(world: World) -> None:
        for node_id in away:
            world.nodes[node_id].up = False
        assert (await changer(world).recover("r1", None)).end == 5

    run_in_virtual_time(test(world_with_a_segment()))


def test_minority_of_the_nodes_is_not_asked_for_the_end() -> None:
    async def test(world: World) -> None:
        for node_id in ("n0", "n1"):
            world.nodes[node_id].up = False
        with pytest.raises(JournalBlocked, match="needs 2 of its nodes, 1 answered; missing: n0, n1"):
            await changer(world).recover("r1", None)

    run_in_virtual_time(test(world_with_a_segment()))


def test_forgotten_incarnation_does_not_roll_and_disturbs_nobody() -> None:
    async def test(world: World) -> None:
        changed = await changer(world).recover("r1", None)
        with pytest.raises(Superseded):
            await changer(world).roll(OLD)
        assert {node.promised for node in world.nodes.values()} == {changed.header.epoch}

    run_in_virtual_time(test(world_with_a_segment()))
