"""How long a write waits for nodes that give nothing back, in virtual time: bounded, wherever another node exists."""

import asyncio
import random
from collections.abc import Callable

import pytest

from gateway.datapath import DataPath, Origin, WriteFailed
from gateway.datapath import writer as writer_module
from gateway.datapath.segment import Patience
from gateway.datapath.window import WINDOW_BYTES
from gateway.index.records import Extent
from storagenode.protocol import blob_id
from tests.gateway.datapath.fakes import FakeClient, FakeMembership, FakeNode
from tests.harness.virtual_time import in_virtual_time, now

MIB = 1 << 20
BLOCK_BYTES = 256 * 1024
SEGMENT_BYTES = 8 * MIB
IDLE_S = 30.0
PATIENCE = Patience()
TICK_S = PATIENCE.tick_s
DEAD_S = PATIENCE.quiet_s + PATIENCE.probe_s


class Bench:
    """A data path with its default patience over fake nodes."""

    def __init__(self, nodes: int, *, replicas: int, write_quorum: int | None = None, idle_s: float = IDLE_S) -> None:
        self.nodes = [FakeNode(node_id=f"n{number}") for number in range(nodes)]
        self.membership = FakeMembership(self.nodes)
        self.membership._clock = now
        self.replicas, self.write_quorum = replicas, write_quorum
        self.datapath = DataPath(
            client=FakeClient(self.nodes, idle_timeout_s=idle_s),
            membership=self.membership,
            replicas_for=lambda _: replicas,
            keep_lease=_no_lease,
            orphan_grace_s=3600.0,
            clock=now,
            random_bytes=random.Random(3).randbytes,
        )

    async def write(self, size_bytes: int, *, after_bytes: Callable[[int], None] | None = None) -> tuple[Extent, float]:
        """Write so many bytes; the extent and the seconds it took. `after_bytes` is told of each block."""
        began = now()
        body = random.Random(size_bytes).randbytes(size_bytes)
        async with self.datapath.open_write(
            origin=Origin(bucket="b", key="k"),
            size_bytes=size_bytes,
            replicas=self.replicas,
            write_quorum=self.write_quorum,
        ) as writer:
            for start in range(0, size_bytes, BLOCK_BYTES):
                await writer.write(body[start : start + BLOCK_BYTES])
                if after_bytes is not None:
                    after_bytes(start + BLOCK_BYTES)
            extent = await writer.finish()
        took = now() - began
        for node in self.nodes:
            if node.node_id in extent.segments[0].nodes:
                assert node.blobs[blob_id(extent.write_id, 0)] == body[:SEGMENT_BYTES]
        return extent, took

    def used(self) -> list[FakeNode]:
        return [node for node in self.nodes if node.puts]


async def _no_lease(write_id: str, ttl_s: float) -> None:
    pass


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", SEGMENT_BYTES)


@in_virtual_time
async def test_nodes_that_refuse_cost_no_time() -> None:
    bench = Bench(5, replicas=3)
    bench.nodes[0].refuses = bench.nodes[1].refuses = True
    extent, took = await bench.write(1000)
    assert took < 0.001
    assert set(extent.segments[0].nodes) == {"n2", "n3", "n4"}


@pytest.mark.parametrize("size_bytes", [1, WINDOW_BYTES, 2 * WINDOW_BYTES])
@pytest.mark.parametrize("write_quorum", [2, 3])
@in_virtual_time
async def test_silent_nodes_are_replaced_while_all_can_be_sent_again(size_bytes: int, write_quorum: int) -> None:
    bench = Bench(5, replicas=3, write_quorum=write_quorum)
    bench.nodes[0].silent = bench.nodes[1].silent = True
    extent, took = await bench.write(size_bytes)
    assert took <= 2 * (DEAD_S + TICK_S)  # twice, should the first replacement be the other silent one
    assert set(extent.segments[0].nodes) == {"n2", "n3", "n4"}


@in_virtual_time
async def test_silent_node_costs_the_next_writes_nothing() -> None:
    bench = Bench(4, replicas=3)
    bench.nodes[0].silent = True
    times = [(await bench.write(1000))[1] for _ in range(20)]
    assert sum(took > 0.001 for took in times) == 1
    assert bench.nodes[0].pings == 1


@in_virtual_time
async def test_node_that_falls_silent_after_taking_the_last_byte_is_replaced() -> None:
    bench = Bench(2, replicas=1)
    dying = bench.nodes[0]
    dying.stalls_put_at = 1

    async def fall_silent() -> None:
        await dying.stalled.wait()
        dying.silent = True

    falling = asyncio.create_task(fall_silent())
    took_longest = 0.0
    while not dying.puts:
        extent, took = await bench.write(1000)
        assert extent.segments[0].nodes == ("n1",)
        took_longest = max(took_longest, took)
    await falling
    assert PATIENCE.quiet_s + PATIENCE.probe_s <= took_longest <= DEAD_S + 2 * TICK_S


@in_virtual_time
async def test_node_whose_disk_hangs_gets_company_and_the_first_to_acknowledge_counts() -> None:
    bench = Bench(2, replicas=1)
    for node in bench.nodes:
        node.stalls_put_at = 1  # takes all, answers pings, and does not acknowledge
    bench.nodes[1].stalls_put_at = None
    took_longest = 0.0
    for _ in range(8):
        extent, took = await bench.write(1000)
        assert extent.segments[0].nodes == ("n1",)
        took_longest = max(took_longest, took)
    assert PATIENCE.stall_s <= took_longest <= PATIENCE.stall_s + 2 * TICK_S
    assert bench.nodes[0].pings >= 1


@in_virtual_time
async def test_no_more_copies_are_kept_than_wanted_when_the_slow_nodes_acknowledge_too() -> None:
    bench = Bench(4, replicas=2)
    answered = asyncio.Event()
    for node in bench.nodes:
        node.holds_acknowledgement = answered
    asyncio.get_running_loop().call_later(PATIENCE.stall_s + 1.0, answered.set)
    extent, _ = await bench.write(1000)
    await bench.datapath.idle()
    assert len(bench.used()) == 4
    assert len(extent.segments[0].nodes) == 2
    assert {node.node_id for node in bench.nodes if node.blobs} == set(extent.segments[0].nodes)


@in_virtual_time
async def test_slow_node_that_breaks_after_all_is_not_replaced_a_second_time() -> None:
    bench = Bench(3, replicas=1, idle_s=PATIENCE.stall_s + 0.5)
    for node in bench.nodes:
        node.stalls_put_at = 1

    def let_the_others_work() -> None:
        for node in bench.nodes:
            if not node.puts:
                node.stalls_put_at, node.seconds_per_block = None, 1.5

    asyncio.get_running_loop().call_later(0.1, let_the_others_work)
    await bench.write(1000)
    assert len(bench.used()) == 2


@in_virtual_time
async def test_write_that_lost_its_quorum_midway_fails_in_bounded_time_where_other_nodes_exist() -> None:
    bench = Bench(4, replicas=2)

    def fall_silent(sent_bytes: int) -> None:
        if sent_bytes == WINDOW_BYTES + MIB:
            for node in bench.used()[:1]:
                node.silent, node.stalls_put_at = True, 1

    began = now()
    with pytest.raises(WriteFailed, match="gave no sign of life"):
        await bench.write(SEGMENT_BYTES, after_bytes=fall_silent)
    assert now() - began <= PATIENCE.stall_s + PATIENCE.probe_s + 2 * TICK_S
    (dead,) = [node.node_id for node in bench.nodes if node.silent]
    extent, took = await bench.write(1000)
    assert took < 0.001
    assert dead not in extent.segments[0].nodes


@in_virtual_time
async def test_needed_node_is_waited_for_where_there_is_no_other() -> None:
    bench = Bench(2, replicas=2)

    def fall_silent(sent_bytes: int) -> None:
        if sent_bytes == WINDOW_BYTES + MIB:
            bench.nodes[0].silent, bench.nodes[0].stalls_put_at = True, 1

    began = now()
    with pytest.raises(WriteFailed, match="idle"):
        await bench.write(SEGMENT_BYTES, after_bytes=fall_silent)
    assert IDLE_S <= now() - began <= IDLE_S + 1.0


@in_virtual_time
async def test_slow_disk_midway_is_no_reason_to_fail_while_its_node_answers() -> None:
    bench = Bench(4, replicas=2)

    def slow_down(sent_bytes: int) -> None:
        if sent_bytes == WINDOW_BYTES + MIB:
            slow = bench.used()[0]
            slow.seconds_per_block = 6.0
            asyncio.get_running_loop().call_later(1.0, setattr, slow, "seconds_per_block", 0.0)

    extent, took = await bench.write(SEGMENT_BYTES, after_bytes=slow_down)
    assert len(extent.segments[0].nodes) == 2
    assert took > 5.0


@in_virtual_time
async def test_replica_beyond_the_quorum_is_waited_for_no_longer_than_a_straggler() -> None:
    bench = Bench(3, replicas=3)
    bench.nodes[0].stalls_put_at = 1
    extent, took = await bench.write(1000)
    assert set(extent.segments[0].nodes) == {"n1", "n2"}
    assert took <= PATIENCE.straggler_s + 2 * TICK_S


@pytest.mark.parametrize("write_quorum", [2, 3])
@in_virtual_time
async def test_write_is_acknowledged_by_no_fewer_than_its_quorum(write_quorum: int) -> None:
    bench = Bench(3, replicas=3, write_quorum=write_quorum)
    bench.nodes[0].full = True
    if write_quorum == 2:
        extent, _ = await bench.write(1000)
        assert len(extent.segments[0].nodes) == 2
    else:
        with pytest.raises(WriteFailed, match="short of the 3"):
            await bench.write(1000)
