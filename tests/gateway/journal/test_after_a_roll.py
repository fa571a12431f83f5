"""Whoever waits for what a segment holds that has been ended meanwhile need not wait for the next change."""

import asyncio

from gateway.journal.change_segment import SegmentChanger
from gateway.journal.placing import Placing
from storagenode.journal_protocol import pack_header, unpack_header
from tests.gateway.journal.simulation import FakeRoster, NodeCalls, World, running
from tests.harness.virtual_time import run_in_virtual_time


def test_what_lies_before_the_open_segment_is_known_to_be_durable() -> None:
    """The process that made it durable died before it told the index."""

    async def test(world: World) -> None:
        async with running(world, "g1") as gateway:
            await gateway.is_open()
            for number in range(5):
                await gateway.change(b"%d" % number)
            await asyncio.sleep(2)
        changer = SegmentChanger(NodeCalls(world), FakeRoster(world), Placing(), random_bits=world.random.getrandbits)
        changed = await changer.roll(unpack_header(world.redis.segment))
        world.redis.epoch, world.redis.segment = changed.header.epoch, pack_header(changed.header)
        world.redis.watermark = 2
        assert changed.header.first_sequence == 6
        async with running(world, "g2") as other:
            await other.is_open()
            began = asyncio.get_running_loop().time()
            await other.journal.reach(5, incarnation=world.redis.incarnation)
            assert asyncio.get_running_loop().time() - began < 0.5

    run_in_virtual_time(test(World(1, nodes=3)))
