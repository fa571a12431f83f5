"""Writing an extent over scripted nodes: placement, majority, replacement, dropping, aborting."""

import asyncio
import random
import time

import pytest

from gateway.datapath import Damage, DamageKind, DataPath, NotEnoughNodes, Origin, WriteFailed
from gateway.datapath import writer as writer_module
from gateway.datapath.origin import unpack_origin
from gateway.datapath.segment import Patience
from gateway.datapath.window import WINDOW_BYTES
from gateway.index.records import Extent
from storagenode.protocol import blob_id
from tests.gateway.datapath.fakes import FakeClient, FakeMembership, FakeNode

MIB = 1 << 20
BLOCK_BYTES = 256 * 1024
SEGMENT_BYTES = 4 * MIB
SHORT = Patience(stall_s=0.1, straggler_s=0.1)
ORIGIN = Origin(bucket="b", key="k", upload_id="u", part_number=7)


class Bench:
    """A data path over so many fake nodes, and what it asked of the index."""

    def __init__(self, nodes: int, *, replicas: int = 0, patience: Patience | None = None) -> None:
        self.nodes = [FakeNode(node_id=f"n{number}") for number in range(nodes)]
        self.membership = FakeMembership(self.nodes)
        self.client = FakeClient(self.nodes)
        self.leases: list[tuple[str, float]] = []
        self.damages: list[Damage] = []
        self.datapath = DataPath(
            client=self.client,
            membership=self.membership,
            replicas_for=lambda live: replicas or min(3, live),
            keep_lease=self._keep_lease,
            orphan_grace_s=400.0,
            damage=self.damages.append,
            patience=patience,
            random_bytes=random.Random(3).randbytes,
        )

    async def _keep_lease(self, write_id: str, ttl_s: float) -> None:
        self.leases.append((write_id, ttl_s))

    async def write(self, body: bytes) -> Extent:
        async with self.datapath.open_write(origin=ORIGIN, size_bytes=len(body)) as writer:
            for start in range(0, len(body), BLOCK_BYTES):
                await writer.write(body[start : start + BLOCK_BYTES])
            return await writer.finish()

    def holders(self, extent: Extent) -> list[list[FakeNode]]:
        """For each segment the nodes that hold a blob of it."""
        return [
            [node for node in self.nodes if blob_id(extent.write_id, segment.number) in node.blobs]
            for segment in extent.segments
        ]

    def assert_held(self, extent: Extent, body: bytes) -> None:
        """Every node that the extent names holds its bytes, and no other node holds any."""
        offset = 0
        for segment, holders in zip(extent.segments, self.holders(extent), strict=True):
            assert sorted(node.node_id for node in holders) == sorted(segment.nodes)
            for node in holders:
                held = node.blobs[blob_id(extent.write_id, segment.number)]
                assert held == body[offset : offset + segment.size_bytes]
            offset += segment.size_bytes
        assert offset == len(body)

    def blob_count(self) -> int:
        return sum(len(node.blobs) for node in self.nodes)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", SEGMENT_BYTES)


def body_of(size_bytes: int) -> bytes:
    return random.Random(size_bytes).randbytes(size_bytes)


SIZES = [
    1,
    BLOCK_BYTES,
    BLOCK_BYTES + 1,
    SEGMENT_BYTES - 1,
    SEGMENT_BYTES,
    SEGMENT_BYTES + 1,
    3 * SEGMENT_BYTES,
]


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
async def test_each_segment_is_held_by_as_many_nodes_as_there_are_replicas(nodes: int, size_bytes: int) -> None:
    bench, body = Bench(nodes), body_of(size_bytes)
    extent = await bench.write(body)
    bench.assert_held(extent, body)
    assert len(extent.segments) == -(-size_bytes // SEGMENT_BYTES)
    assert {len(segment.nodes) for segment in extent.segments} == {min(3, nodes)}


async def test_nothing_is_stored_for_an_empty_body() -> None:
    bench = Bench(3)
    extent = await bench.write(b"")
    assert extent.segments == ()
    assert sum(node.puts for node in bench.nodes) == 0


async def test_every_blob_carries_its_origin() -> None:
    bench = Bench(2)
    extent = await bench.write(body_of(100))
    for node in bench.nodes:
        (packed,) = node.origins.values()
        stored = unpack_origin(packed)
        assert (stored.origin, stored.write_id, stored.size_bytes) == (ORIGIN, extent.write_id, 100)


async def test_a_block_across_several_segments_is_cut_at_their_borders() -> None:
    bench, body = Bench(2), body_of(2 * SEGMENT_BYTES + 5)
    async with bench.datapath.open_write(origin=ORIGIN, size_bytes=len(body)) as writer:
        await writer.write(body[:3])
        await writer.write(body[3:])
        extent = await writer.finish()
    bench.assert_held(extent, body)


async def test_more_or_fewer_bytes_than_announced_are_refused_and_leave_nothing() -> None:
    bench = Bench(2)
    with pytest.raises(ValueError, match="announced"):
        async with bench.datapath.open_write(origin=ORIGIN, size_bytes=5) as writer:
            await writer.write(b"123456")
    with pytest.raises(ValueError, match="announced"):
        async with bench.datapath.open_write(origin=ORIGIN, size_bytes=5) as writer:
            await writer.write(b"1234")
            await writer.finish()
    await bench.datapath.aclose()
    assert bench.blob_count() == 0


# --- failures at the start, when all can still be sent again ------------------------------------------------


async def test_a_node_that_refuses_the_connection_is_replaced_at_once() -> None:
    bench, body = Bench(5), body_of(3 * SEGMENT_BYTES)
    bench.nodes[0].refuses = bench.nodes[1].refuses = True
    extent = await bench.write(body)
    bench.assert_held(extent, body)
    assert {len(segment.nodes) for segment in extent.segments} == {3}
    assert {node for segment in extent.segments for node in segment.nodes} == {"n2", "n3", "n4"}


async def test_a_node_that_refused_is_avoided_by_the_next_writes() -> None:
    bench = Bench(4)
    bench.nodes[0].refuses = True
    for _ in range(20):
        await bench.write(b"x")
    assert bench.nodes[0].puts == 1


async def test_a_full_node_is_replaced_but_not_suspected() -> None:
    bench = Bench(4)
    bench.nodes[0].full = True
    extents = [await bench.write(b"x") for _ in range(20)]
    assert bench.nodes[0].puts > 1
    assert all(len(extent.segments[0].nodes) == 3 for extent in extents)


async def test_a_node_without_room_for_the_segment_is_not_asked() -> None:
    bench = Bench(4)
    bench.nodes[0].free_bytes = 10
    bench.membership.sync()
    for _ in range(10):
        await bench.write(body_of(11))
    assert bench.nodes[0].puts == 0


async def test_a_small_write_survives_a_node_that_breaks_after_the_last_byte() -> None:
    bench, body = Bench(4), body_of(WINDOW_BYTES // 2)
    bench.nodes[0].breaks_put_at = len(body)
    for _ in range(8):
        extent = await bench.write(body)
        bench.assert_held(extent, body)
        assert len(extent.segments[0].nodes) == 3


async def test_with_three_nodes_and_one_gone_a_write_keeps_two_copies() -> None:
    bench, body = Bench(3), body_of(SEGMENT_BYTES)
    bench.nodes[2].refuses = True
    extent = await bench.write(body)
    bench.assert_held(extent, body)
    assert len(extent.segments[0].nodes) == 2


async def test_without_a_majority_of_nodes_nothing_is_sent() -> None:
    bench = Bench(3, replicas=3)
    bench.nodes[0].accepting = bench.nodes[1].live = False
    bench.membership.sync()
    with pytest.raises(NotEnoughNodes) as caught:
        await bench.write(b"x")
    assert (caught.value.available, caught.value.needed) == (1, 2)
    assert sum(node.puts for node in bench.nodes) == 0
    assert bench.membership.refreshes == 1  # it looked again before it gave up


async def test_without_any_node_the_error_says_so() -> None:
    with pytest.raises(NotEnoughNodes):
        await Bench(0, replicas=1).write(b"x")


async def test_suspects_are_asked_when_there_is_no_majority_without_them() -> None:
    bench = Bench(3)
    bench.membership.node_failed("n0")
    bench.membership.node_failed("n1")
    extent = await bench.write(b"x")
    assert "n2" in extent.segments[0].nodes
    assert len(extent.segments[0].nodes) == 2


async def test_when_all_nodes_refuse_the_write_fails_after_a_bounded_number_of_tries() -> None:
    bench = Bench(30)
    for node in bench.nodes:
        node.refuses = True
    with pytest.raises(WriteFailed, match="short of the 2"):
        await bench.write(b"x")
    assert sum(node.puts for node in bench.nodes) <= 9


# --- failures midway ----------------------------------------------------------------------------------------


async def test_a_replica_that_breaks_midway_is_dropped_while_a_majority_remains() -> None:
    bench, body = Bench(3), body_of(SEGMENT_BYTES)
    bench.nodes[1].breaks_put_at = WINDOW_BYTES + MIB
    extent = await bench.write(body)
    assert sorted(extent.segments[0].nodes) == ["n0", "n2"]


async def test_the_next_segment_goes_to_other_nodes_than_the_one_that_broke() -> None:
    bench, body = Bench(4), body_of(3 * SEGMENT_BYTES)
    bench.nodes[0].breaks_put_at = MIB
    extent = await bench.write(body)
    bench.assert_held(extent, body)
    assert bench.nodes[0].puts <= 1


async def test_the_write_fails_when_the_majority_is_lost_midway_and_leaves_nothing() -> None:
    bench, body = Bench(3), body_of(2 * SEGMENT_BYTES)
    for node in bench.nodes[:2]:
        node.breaks_put_at = SEGMENT_BYTES - MIB
    with pytest.raises(WriteFailed):
        await bench.write(body)
    await bench.datapath.aclose()
    assert bench.blob_count() == 0


async def test_a_single_replica_that_breaks_midway_fails_the_write() -> None:
    bench = Bench(2, replicas=1)
    for node in bench.nodes:
        node.breaks_put_at = WINDOW_BYTES + MIB
    with pytest.raises(WriteFailed):
        await bench.write(body_of(SEGMENT_BYTES))


async def test_a_stalled_replica_is_dropped_after_a_bounded_time() -> None:
    bench, body = Bench(3, patience=SHORT), body_of(SEGMENT_BYTES)
    bench.nodes[0].stalls_put_at = MIB
    extent = await bench.write(body)
    assert sorted(extent.segments[0].nodes) == ["n1", "n2"]
    assert bench.nodes[0].cancelled_puts == 1
    assert bench.membership.suspects("n0")


async def test_a_node_that_never_acknowledges_is_dropped_once_the_majority_has() -> None:
    bench, body = Bench(3, patience=SHORT), body_of(100)
    bench.nodes[0].holds_acknowledgement = asyncio.Event()
    extent = await bench.write(body)
    assert sorted(extent.segments[0].nodes) == ["n1", "n2"]
    assert bench.membership.suspects("n0")


async def test_a_stalled_replica_is_replaced_while_all_can_be_sent_again() -> None:
    bench, body = Bench(2, replicas=1, patience=SHORT), body_of(WINDOW_BYTES)
    bench.nodes[0].stalls_put_at = 1
    for _ in range(5):
        extent = await bench.write(body)
        assert extent.segments[0].nodes == ("n1",)
    assert bench.nodes[0].cancelled_puts == 1


async def test_a_pause_of_the_whole_process_is_not_taken_for_a_stall_of_the_nodes() -> None:
    bench, body = Bench(3, patience=SHORT), body_of(3 * SEGMENT_BYTES)
    async with bench.datapath.open_write(origin=ORIGIN, size_bytes=len(body)) as writer:
        for start in range(0, len(body), BLOCK_BYTES):
            await writer.write(body[start : start + BLOCK_BYTES])
            time.sleep(SHORT.stall_s / 2)
        extent = await writer.finish()
    bench.assert_held(extent, body)
    assert {len(segment.nodes) for segment in extent.segments} == {3}


async def test_a_node_that_is_slow_but_goes_on_is_kept() -> None:
    bench, body = Bench(3, patience=SHORT), body_of(SEGMENT_BYTES)
    bench.nodes[0].seconds_per_block = SHORT.stall_s / 3
    async with bench.datapath.open_write(origin=ORIGIN, size_bytes=len(body)) as writer:
        for start in range(0, len(body), BLOCK_BYTES):
            await writer.write(body[start : start + BLOCK_BYTES])
        bench.nodes[0].seconds_per_block = 0.0
        extent = await writer.finish()
    assert len(extent.segments[0].nodes) == 3


async def test_a_replica_that_holds_other_bytes_is_not_named() -> None:
    bench = Bench(3)
    bench.nodes[0].lies_about_digest = True
    extent = await bench.write(b"x")
    assert sorted(extent.segments[0].nodes) == ["n1", "n2"]
    await bench.datapath.aclose()
    # The other copy is repair's: a deletion now, if it came late, might take one that repair has made there.
    assert [damage.kind for damage in bench.damages] == [DamageKind.TOO_FEW, DamageKind.STRAY]


async def test_a_copy_that_cannot_be_deleted_at_once_is_reported() -> None:
    bench = Bench(5)
    bench.nodes[0].breaks_put_at = bench.nodes[1].breaks_put_at = 1
    extent = await bench.write(b"x")
    await bench.datapath.idle()
    (damage, *more) = bench.damages
    assert (damage.kind, damage.nodes, more) == (DamageKind.STRAY, extent.segments[0].nodes, [])
    assert damage.origin


async def test_two_replicas_that_disagree_fail_the_write() -> None:
    bench = Bench(2)
    bench.nodes[0].lies_about_digest = True
    with pytest.raises(WriteFailed, match="different bytes"):
        await bench.write(b"x")


# --- flow ---------------------------------------------------------------------------------------------------


async def test_memory_is_bounded_when_a_node_that_is_needed_takes_nothing() -> None:
    bench = Bench(1)
    bench.nodes[0].stalls_put_at = 1
    accepted = 0

    async def write() -> None:
        nonlocal accepted
        async with bench.datapath.open_write(origin=ORIGIN, size_bytes=SEGMENT_BYTES) as writer:
            while True:
                await writer.write(bytes(BLOCK_BYTES))
                accepted += BLOCK_BYTES

    writing = asyncio.create_task(write())
    await bench.nodes[0].stalled.wait()
    await asyncio.wait({writing}, timeout=0.2)
    assert accepted <= WINDOW_BYTES + BLOCK_BYTES
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await bench.datapath.aclose()
    assert bench.nodes[0].cancelled_puts == 1


async def test_the_stream_does_not_wait_for_the_fsync_of_the_segments_before() -> None:
    bench, body = Bench(1), body_of(5 * SEGMENT_BYTES)
    held = bench.nodes[0].holds_acknowledgement = asyncio.Event()
    async with bench.datapath.open_write(origin=ORIGIN, size_bytes=len(body)) as writer:
        await writer.write(body[: 3 * SEGMENT_BYTES])  # two settle, one is sent
        fourth = asyncio.create_task(writer.write(body[3 * SEGMENT_BYTES :]))
        done, _ = await asyncio.wait({fourth}, timeout=0.05)
        assert not done
        held.set()
        await fourth
        extent = await writer.finish()
    bench.assert_held(extent, body)
    assert bench.client.most_puts_at_once <= 3


async def test_leaving_without_finish_deletes_what_was_stored() -> None:
    bench, body = Bench(3), body_of(3 * SEGMENT_BYTES)
    with pytest.raises(RuntimeError, match="client gone"):
        async with bench.datapath.open_write(origin=ORIGIN, size_bytes=len(body)) as writer:
            await writer.write(body[: 2 * SEGMENT_BYTES + MIB])
            while bench.nodes[0].puts < 3:
                await asyncio.sleep(0)
            raise RuntimeError("client gone")
    await bench.datapath.aclose()
    assert sum(node.puts for node in bench.nodes) == 9
    assert bench.blob_count() == 0
    assert sum(node.cancelled_puts for node in bench.nodes) >= 3


async def test_a_put_that_only_waits_for_its_answer_is_let_end_before_its_blob_is_deleted() -> None:
    bench = Bench(1)
    answer = bench.nodes[0].holds_acknowledgement = asyncio.Event()
    async with bench.datapath.open_write(origin=ORIGIN, size_bytes=1) as writer:
        await writer.write(b"x")
        while not bench.nodes[0].taken_bytes:
            await asyncio.sleep(0)
    answer.set()
    await bench.datapath.idle()
    assert bench.nodes[0].cancelled_puts == 0
    assert bench.blob_count() == 0


async def test_discard_deletes_a_finished_write() -> None:
    bench = Bench(3)
    extent = await bench.write(body_of(2 * SEGMENT_BYTES))
    assert bench.blob_count() == 6
    bench.datapath.discard([extent])
    await bench.datapath.aclose()
    assert bench.blob_count() == 0


async def test_an_unexpected_error_in_a_put_ends_the_write_instead_of_hanging_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(1)

    async def defect(*_: object, **__: object) -> None:
        raise AssertionError("a defect")

    monkeypatch.setattr(bench.client, "put", defect)
    with pytest.raises(AssertionError, match="a defect"):
        await bench.write(body_of(SEGMENT_BYTES))


async def test_a_write_under_way_keeps_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(1)
    async with bench.datapath.open_write(origin=ORIGIN, size_bytes=3) as writer:
        await writer.write(b"a")
        assert bench.leases == []  # a short write needs none
        writer._lease_due = 0.0
        await writer.write(b"b")
        assert bench.leases == [(writer.write_id, 400.0)]
        await writer.write(b"c")
        assert len(bench.leases) == 1
        await writer.finish()
