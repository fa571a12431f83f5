"""Copies are spread over zones, also those that take the place of others; scripted nodes, in virtual time."""

import random
from collections.abc import Callable

import pytest

from gateway.datapath import DataPath, Origin
from gateway.datapath import writer as writer_module
from gateway.index.records import Extent
from tests.gateway.datapath.fakes import FakeClient, FakeMembership, FakeNode
from tests.harness.virtual_time import in_virtual_time, now

SEGMENT_BYTES = 64 * 1024
OBJECTS = 40


class Bench:
    """Four nodes in two zones, two copies of everything."""

    def __init__(self, *, free_bytes: tuple[int, ...] = (1 << 40,) * 4) -> None:
        self.nodes = [
            FakeNode(node_id=f"n{number}", zone="ab"[number % 2], free_bytes=free)
            for number, free in enumerate(free_bytes)
        ]
        self.zones = {node.node_id: node.zone for node in self.nodes}
        self.membership = FakeMembership(self.nodes)
        self.membership._clock = now
        self.datapath = DataPath(
            client=FakeClient(self.nodes, idle_timeout_s=30.0),
            membership=self.membership,
            replicas_for=lambda _: 2,
            keep_lease=_no_lease,
            orphan_grace_s=3600.0,
            clock=now,
            random_bytes=random.Random(11).randbytes,
        )

    async def write(self, size_bytes: int = 3 * SEGMENT_BYTES + 1) -> Extent:
        async with self.datapath.open_write(origin=Origin(bucket="b", key="k"), size_bytes=size_bytes) as writer:
            await writer.write(bytes(size_bytes))
            return await writer.finish()

    def assert_spread(self, extent: Extent) -> None:
        for segment in extent.segments:
            assert sorted(self.zones[node_id] for node_id in segment.nodes) == ["a", "b"]


async def _no_lease(write_id: str, ttl_s: float) -> None:
    pass


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", SEGMENT_BYTES)


@in_virtual_time
async def test_every_segment_is_in_both_zones() -> None:
    bench = Bench()
    for _ in range(OBJECTS):
        bench.assert_spread(await bench.write())
    assert min(node.puts for node in bench.nodes) > OBJECTS  # a share for each


@in_virtual_time
async def test_a_small_zone_gets_a_copy_of_everything() -> None:
    bench = Bench(free_bytes=(1 << 44, 1 << 30, 1 << 44, 1 << 30))
    for _ in range(OBJECTS):
        bench.assert_spread(await bench.write())


def _refuse(node: FakeNode) -> None:
    node.refuses = True


def _fall_silent(node: FakeNode) -> None:
    node.silent = True


def _fill(node: FakeNode) -> None:
    node.full = True


def _hang_on_the_disk(node: FakeNode) -> None:
    node.stalls_put_at = 1


@pytest.mark.parametrize("fail", [_refuse, _fall_silent, _fill, _hang_on_the_disk])
@pytest.mark.parametrize("number", range(4))
@in_virtual_time
async def test_the_node_that_takes_the_place_of_another_is_in_its_zone(
    fail: Callable[[FakeNode], None], number: int
) -> None:
    bench = Bench()
    fail(bench.nodes[number])
    for _ in range(OBJECTS):
        bench.assert_spread(await bench.write(1000))
    assert bench.nodes[number].puts
    assert not bench.nodes[number].blobs


@in_virtual_time
async def test_with_a_whole_zone_gone_both_copies_go_to_the_other() -> None:
    bench = Bench()
    for node in bench.nodes:
        node.refuses = node.zone == "a"
    extent = await bench.write(1000)
    assert {bench.zones[node_id] for node_id in extent.segments[0].nodes} == {"b"}
    assert len(extent.segments[0].nodes) == 2
