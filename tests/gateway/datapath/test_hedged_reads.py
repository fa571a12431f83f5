"""Reads that ask a second replica when the first is slow or falls silent, in virtual time."""

import random

import pytest

from gateway.datapath.damage import Damage
from gateway.datapath.errors import BytesUnavailable
from gateway.datapath.hedging import HedgeLimits, Hedging
from gateway.datapath.reader import STALL_S, ExtentReader, plan
from gateway.index.records import Extent, Segment
from storagenode.protocol import blob_id
from tests.gateway.datapath.fakes import CHUNK_BYTES, FakeClient, FakeMembership, FakeNode
from tests.harness.virtual_time import in_virtual_time, now

SIZE_BYTES = 4 * CHUNK_BYTES
LIMITS = HedgeLimits(unknown_s=0.1, gap_s=0.2, burst=10.0)
FAST_S = 0.01
IDLE_S = 30.0


class Bench:
    """One blob of four chunks on every node, read over and over."""

    def __init__(self, nodes: int, *, limits: HedgeLimits = LIMITS) -> None:
        self.nodes = [FakeNode(node_id=f"n{number}", seconds_to_first_byte=FAST_S) for number in range(nodes)]
        self.membership = FakeMembership(self.nodes)
        self.membership._clock = now
        self.hedging = Hedging(limits)
        self.damages: list[Damage] = []
        self.reader = ExtentReader(
            FakeClient(self.nodes, idle_timeout_s=IDLE_S),
            self.membership,
            damage=self.damages.append,
            hedging=self.hedging,
            clock=now,
            random_source=random.Random(7),
        )
        self.body = random.Random(1).randbytes(SIZE_BYTES)
        ids = tuple(node.node_id for node in self.nodes)
        self.extent = Extent(write_id="a" * 32, segments=(Segment(number=0, size_bytes=SIZE_BYTES, nodes=ids),))
        for node in self.nodes:
            node.blobs[blob_id("a" * 32, 0)] = self.body

    async def read(self) -> float:
        """Read the blob, compare it, and tell how many seconds it took."""
        began = now()
        chunks = self.reader.read(plan([self.extent], 0, SIZE_BYTES))
        assert b"".join([chunk async for chunk in chunks]) == self.body
        assert all(node.open_streams == 0 for node in self.nodes)
        return now() - began

    @property
    def asked(self) -> int:
        return sum(len(node.gets) for node in self.nodes)


@in_virtual_time
async def test_nothing_is_asked_twice_while_all_are_in_time() -> None:
    bench = Bench(3)
    for _ in range(100):
        assert await bench.read() == pytest.approx(FAST_S)
    assert bench.asked == 100


@in_virtual_time
async def test_slow_replica_gets_company_at_the_bound_and_the_faster_one_delivers() -> None:
    bench = Bench(2)
    bench.nodes[0].seconds_to_first_byte = 5.0
    times = [await bench.read() for _ in range(10)]
    assert max(times) == pytest.approx(LIMITS.unknown_s + FAST_S)
    assert bench.asked > 10
    assert bench.damages == []


@in_virtual_time
async def test_the_first_replica_wins_when_it_is_faster_than_its_company_after_all() -> None:
    bench = Bench(2)
    for node in bench.nodes:
        node.seconds_to_first_byte = 0.15
    assert await bench.read() == pytest.approx(0.15)
    assert bench.asked == 2
    assert not any(bench.membership.suspects(node.node_id) for node in bench.nodes)


@in_virtual_time
async def test_silent_node_is_avoided_after_three_lost_races() -> None:
    bench = Bench(2)
    bench.nodes[0].silent = True
    for _ in range(40):
        await bench.read()
    assert len(bench.nodes[0].gets) == Hedging.LOSSES_TO_DOUBT
    assert bench.membership.suspects("n0")


@in_virtual_time
async def test_hedges_stay_within_the_budget_when_all_nodes_are_slow() -> None:
    bench = Bench(3)
    for node in bench.nodes:
        node.seconds_to_first_byte = 1.5  # beyond every bound
    reads = 400
    for _ in range(reads):
        assert await bench.read() <= 1.5 + 1e-6
    assert reads < bench.asked <= reads * (1 + LIMITS.share) + LIMITS.burst


@in_virtual_time
async def test_replica_that_falls_silent_midway_is_left_at_the_offset_reached() -> None:
    bench = Bench(2)
    bench.nodes[0].stalls_get_at = bench.nodes[1].stalls_get_at = 2 * CHUNK_BYTES
    reading = bench.reader.read(plan([bench.extent], 0, SIZE_BYTES))
    received = b"".join([await anext(reading) for _ in range(2)])
    (first,) = [node for node in bench.nodes if node.gets]
    (other,) = [node for node in bench.nodes if not node.gets]
    other.stalls_get_at = None
    began = now()
    received += await anext(reading)
    assert now() - began == pytest.approx(LIMITS.gap_s + 0.01 + FAST_S)  # and the pause granted to ourselves
    received += b"".join([chunk async for chunk in reading])
    assert received == bench.body
    assert other.gets == [(blob_id("a" * 32, 0), 2 * CHUNK_BYTES, 2 * CHUNK_BYTES)]
    assert first.open_streams == other.open_streams == 0


@in_virtual_time
async def test_silence_midway_is_waited_out_where_the_stream_goes_on_before_its_company_answers() -> None:
    bench = Bench(2)
    for node in bench.nodes:
        node.stalls_get_at, node.seconds_to_first_byte = CHUNK_BYTES, 1.0
    reading = bench.reader.read(plan([bench.extent], 0, SIZE_BYTES))
    received = await anext(reading)
    for node in bench.nodes:
        node.woken.set()
    received += b"".join([chunk async for chunk in reading])
    assert received == bench.body
    assert bench.asked <= 2 + 1


@in_virtual_time
async def test_damage_found_by_the_company_is_reported_and_the_slow_replica_is_waited_for() -> None:
    bench = Bench(2)
    bench.nodes[0].seconds_to_first_byte = 0.3
    bench.nodes[1].corrupt = True
    times = [await bench.read() for _ in range(10)]
    assert max(times) == pytest.approx(0.3 + FAST_S)  # the damaged copy was met first
    assert min(times) == pytest.approx(0.3)
    assert {damage.node_id for damage in bench.damages} == {"n1"}
    assert not bench.membership.suspects("n0")


@in_virtual_time
async def test_without_budget_a_silent_replica_is_left_after_the_stall_time() -> None:
    bench = Bench(2, limits=HedgeLimits(unknown_s=0.1, burst=0.0, share=0.0))
    bench.nodes[0].silent = True
    times = [await bench.read() for _ in range(10)]
    assert max(times) == pytest.approx(STALL_S + FAST_S)
    assert bench.membership.suspects("n0")


@in_virtual_time
async def test_two_silent_replicas_of_three_cost_no_more_than_the_stall_time() -> None:
    bench = Bench(3)
    for node in bench.nodes[:2]:
        node.silent = True
    times = [await bench.read() for _ in range(10)]
    assert max(times) <= STALL_S + 2 * LIMITS.unknown_s + FAST_S + 0.01


@in_virtual_time
async def test_replicas_that_are_all_silent_end_the_read_in_bounded_time() -> None:
    bench = Bench(2)
    for node in bench.nodes:
        node.silent = True
    began = now()
    with pytest.raises(BytesUnavailable):
        await bench.read()
    assert now() - began < IDLE_S + 3 * STALL_S


@in_virtual_time
async def test_leaving_during_a_race_ends_both_requests() -> None:
    bench = Bench(2)
    for node in bench.nodes:
        node.seconds_to_first_byte = 1.0
    reading = bench.reader.read(plan([bench.extent], 0, SIZE_BYTES))
    assert await anext(reading) == bench.body[:CHUNK_BYTES]
    assert bench.asked == 2
    await reading.aclose()
    assert all(node.open_streams == 0 for node in bench.nodes)
