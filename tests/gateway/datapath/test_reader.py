"""Reading over scripted nodes: ranges, fail-over at the same offset, opening ahead, closing."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator

import pytest

from gateway.datapath.damage import Damage, DamageKind
from gateway.datapath.errors import BytesUnavailable
from gateway.datapath.reader import (
    OPEN_AHEAD_BYTES,
    ExtentReader,
    Piece,
    plan,
)
from gateway.index.records import Extent, Segment
from storagenode.protocol import blob_id
from tests.gateway.datapath.fakes import CHUNK_BYTES, FakeClient, FakeMembership, FakeNode

WRITE_A, WRITE_B = "a" * 32, "b" * 32


class Bench:
    """Extents on fake nodes, every replica complete, and a reader over them."""

    def __init__(self, *, nodes: int = 3, sizes: tuple[tuple[int, ...], ...] = ((300_000,),)) -> None:
        """`sizes` of the segments of each extent."""
        self.nodes = [FakeNode(node_id=f"n{number}") for number in range(nodes)]
        self.membership = FakeMembership(self.nodes)
        self.damages: list[Damage] = []
        self.reader = ExtentReader(
            FakeClient(self.nodes),
            self.membership,
            damage=self.damages.append,
            random_source=random.Random(5),
            stall_s=0.05,
        )
        self.extents = tuple(
            Extent(
                write_id=f"{number:032x}",
                segments=tuple(
                    Segment(number=at, size_bytes=size, nodes=tuple(node.node_id for node in self.nodes))
                    for at, size in enumerate(segment_sizes)
                ),
            )
            for number, segment_sizes in enumerate(sizes)
        )
        self.body = random.Random(1).randbytes(sum(map(sum, sizes)))
        offset = 0
        for extent in self.extents:
            for segment in extent.segments:
                for node in self.nodes:
                    blob = self.body[offset : offset + segment.size_bytes]
                    node.blobs[blob_id(extent.write_id, segment.number)] = blob
                offset += segment.size_bytes

    async def read(self, offset: int = 0, length: int | None = None) -> bytes:
        length = len(self.body) - offset if length is None else length
        chunks = self.reader.read(plan(self.extents, offset, length))
        body = b"".join([chunk async for chunk in chunks])
        assert all(node.open_streams == 0 for node in self.nodes)
        return body

    @property
    def asked(self) -> list[tuple[str, int, int]]:
        return [get for node in self.nodes for get in node.gets]


def extent(write_id: str, *sizes: int) -> Extent:
    segments = tuple(Segment(number=at, size_bytes=size, nodes=("n",)) for at, size in enumerate(sizes))
    return Extent(write_id=write_id, segments=segments)


def piece(write_id: str, segment: int, offset: int, length: int) -> Piece:
    return Piece(blob_id=blob_id(write_id, segment), nodes=("n",), offset=offset, length=length)


PLANS = {
    "nothing of nothing": ([], 0, 0, []),
    "nothing in the middle": ([extent(WRITE_A, 10)], 5, 0, []),
    "all": ([extent(WRITE_A, 10, 4)], 0, 14, [piece(WRITE_A, 0, 0, 10), piece(WRITE_A, 1, 0, 4)]),
    "within one": ([extent(WRITE_A, 10, 4)], 3, 5, [piece(WRITE_A, 0, 3, 5)]),
    "up to a border": ([extent(WRITE_A, 10, 4)], 3, 7, [piece(WRITE_A, 0, 3, 7)]),
    "from a border": ([extent(WRITE_A, 10, 4)], 10, 1, [piece(WRITE_A, 1, 0, 1)]),
    "the last byte": ([extent(WRITE_A, 10, 4)], 13, 1, [piece(WRITE_A, 1, 3, 1)]),
    "over extents": (
        [extent(WRITE_A, 10), extent(WRITE_B), extent(WRITE_B, 2, 3)],
        9,
        4,
        [piece(WRITE_A, 0, 9, 1), piece(WRITE_B, 0, 0, 2), piece(WRITE_B, 1, 0, 1)],
    ),
}


@pytest.mark.parametrize(("extents", "offset", "length", "expected"), PLANS.values(), ids=PLANS.keys())
def test_plan(extents: list[Extent], offset: int, length: int, expected: list[Piece]) -> None:
    assert list(plan(extents, offset, length)) == expected


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (10, 1), (11, 1), (-1, 2), (0, -1)])
def test_plan_refuses_a_range_outside_the_extents(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="range"):
        list(plan([extent(WRITE_A, 10)], offset, length))


async def test_every_range_gives_its_bytes() -> None:
    bench = Bench(sizes=((70_000, 70_000, 5), (1,), (140_000,)))
    size = len(bench.body)
    for offset, length in [(0, size), (0, 0), (size - 1, 1), (69_999, 2), (1, 139_999), (140_004, 3)]:
        assert await bench.read(offset, length) == bench.body[offset : offset + length]


async def test_reads_are_spread_over_the_replicas() -> None:
    bench = Bench()
    for _ in range(60):
        await bench.read()
    assert all(len(node.gets) > 8 for node in bench.nodes)


async def test_read_goes_on_from_another_replica_at_the_same_offset_when_a_node_breaks_midway() -> None:
    bench = Bench()
    for node in bench.nodes:
        node.breaks_get_at = [2 * CHUNK_BYTES]
    assert await bench.read() == bench.body
    assert [get[1] for get in sorted(bench.asked, key=lambda get: get[1])][:2] == [0, 2 * CHUNK_BYTES]
    assert bench.damages == []
    assert any(bench.membership.suspects(node.node_id) for node in bench.nodes)


@pytest.mark.parametrize("stall_at", [0, 2 * CHUNK_BYTES])
async def test_a_silent_replica_is_left_while_there_is_another(stall_at: int) -> None:
    bench = Bench(sizes=((300_000,), (300_000,), (300_000,)))
    for node in bench.nodes[:2]:
        node.stalls_get_at = stall_at
    assert await bench.read() == bench.body
    # At most this segment and the one opened ahead of it; from then on the node is suspected.
    assert all(len(node.gets) <= 2 for node in bench.nodes[:2])


async def test_the_last_replica_is_given_the_time_it_needs() -> None:
    bench = Bench(nodes=1)
    bench.nodes[0].stalls_get_at = CHUNK_BYTES
    chunks = bench.reader.read(plan(bench.extents, 0, len(bench.body)))
    await anext(chunks)
    second = asyncio.create_task(_pull(chunks))
    done, _ = await asyncio.wait({second}, timeout=0.3)
    assert not done
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert bench.nodes[0].open_streams == 0


async def test_replicas_that_are_all_silent_end_the_read_in_the_last_round() -> None:
    bench = Bench(nodes=2)
    for node in bench.nodes:
        node.breaks_get_at, node.stalls_get_at = [0], 0
    with pytest.raises(BytesUnavailable):
        await asyncio.wait_for(bench.read(), timeout=5)
    assert [len(node.gets) for node in bench.nodes] == [2, 2]


async def _pull(chunks: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(chunks)


async def test_a_single_replica_whose_connection_breaks_is_asked_again_for_the_rest() -> None:
    bench = Bench(nodes=1)
    bench.nodes[0].breaks_get_at = [CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES]
    assert await bench.read() == bench.body
    assert [get[1] for get in bench.asked] == [0, CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES]


@pytest.mark.parametrize("kind", [DamageKind.CORRUPT, DamageKind.MISSING])
async def test_a_damaged_replica_is_reported_and_another_one_read(kind: DamageKind) -> None:
    bench = Bench(sizes=((100_000,),) * 12)
    for node in bench.nodes[:2]:
        if kind is DamageKind.CORRUPT:
            node.corrupt = True
        else:
            node.blobs.clear()
    assert await bench.read() == bench.body
    assert {(damage.kind, damage.node_id) for damage in bench.damages} == {(kind, "n0"), (kind, "n1")}


async def test_a_dead_node_costs_one_attempt_and_is_then_asked_last() -> None:
    bench = Bench(sizes=((100_000,),) * 20)
    bench.nodes[0].refuses = True
    assert await bench.read() == bench.body
    assert len(bench.nodes[0].gets) == 1


async def test_a_node_without_heartbeat_is_still_read_when_nobody_else_has_the_bytes() -> None:
    bench = Bench(nodes=2)
    bench.nodes[0].live = False
    bench.nodes[1].blobs.clear()
    bench.membership.sync()
    assert await bench.read() == bench.body


async def test_a_node_that_the_table_does_not_know_yet_is_looked_up() -> None:
    bench = Bench(nodes=1)
    bench.membership.forget("n0")
    assert await bench.read() == bench.body
    assert bench.membership.refreshes == 1


async def test_a_node_that_moved_is_found_at_its_new_address() -> None:
    bench = Bench(nodes=2)
    bench.nodes[1].refuses = True
    bench.membership.move("n0", bench.nodes[1].address)
    assert await bench.read() == bench.body


async def test_no_replica_at_all_is_an_error_before_the_first_byte() -> None:
    bench = Bench()
    bench.nodes[0].refuses = True
    bench.nodes[1].corrupt = True
    bench.nodes[2].blobs.clear()
    async with contextlib.aclosing(bench.reader.read(plan(bench.extents, 0, 10))) as chunks:
        with pytest.raises(BytesUnavailable, match=r"refused.*") as caught:
            await anext(chunks)
    assert len(bench.nodes[0].gets) == 2  # once more, in case it was a moment's weakness
    assert all(node.node_id in str(caught.value) for node in bench.nodes)


async def test_a_record_that_names_no_known_node_is_an_error_not_a_hang() -> None:
    bench = Bench(nodes=1)
    unknown = Segment(number=0, size_bytes=5, nodes=("gone",))
    chunks = bench.reader.read(plan([Extent(write_id=WRITE_A, segments=(unknown,))], 0, 5))
    with pytest.raises(BytesUnavailable, match="no such node"):
        await anext(chunks)


async def test_the_next_segment_is_opened_before_the_present_one_ends() -> None:
    bench = Bench(nodes=1, sizes=((OPEN_AHEAD_BYTES + 3 * CHUNK_BYTES, 100_000, 100_000),))
    chunks = bench.reader.read(plan(bench.extents, 0, len(bench.body)))
    received = 0
    opened_at = 0
    async for chunk in chunks:
        received += len(chunk)
        if len(bench.asked) == 2 and not opened_at:
            opened_at = received
    assert received == len(bench.body)
    assert 3 * CHUNK_BYTES <= opened_at <= 8 * CHUNK_BYTES
    assert len(bench.asked) == 3


async def test_leaving_early_closes_the_connections_of_this_and_the_next_segment() -> None:
    bench = Bench(nodes=1, sizes=((200_000, 200_000, 200_000),))
    chunks = bench.reader.read(plan(bench.extents, 0, len(bench.body)))
    for _ in range(2):
        await anext(chunks)
    while bench.nodes[0].open_streams < 2:
        await asyncio.sleep(0)
    await chunks.aclose()
    assert bench.nodes[0].open_streams == 0
    assert len(bench.asked) == 2
