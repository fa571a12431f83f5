"""Which segments of the journal are given back: those behind two sound snapshots, and none that a replay may need."""

from itertools import pairwise

import pytest

from gateway.index import keys
from gateway.journal.trim import needed_segments, trim_journal
from storagenode.journal_protocol import (
    JournalStatus,
    Seal,
    SegmentHeader,
    SegmentStatus,
    pack_header,
    segment_id,
)
from tests.gateway.index.making import make_bucket, put
from tests.gateway.journal.memory_nodes import MemoryNodes, MemorySegment
from tests.gateway.journal.rebuilding import Rebuilding, keeper, manifests, other_server, rebuilding, server

__all__ = ["other_server", "rebuilding", "server"]

NODES = ("a", "b", "c")


def header(epoch: int, first_sequence: int) -> SegmentHeader:
    return SegmentHeader(
        segment_id=segment_id(epoch, first_sequence),
        epoch=epoch,
        first_sequence=first_sequence,
        nodes=NODES,
        quorum=2,
        incarnation="i",
        opened_at=0,
    )


def chain(*first_sequences: int) -> list[SegmentHeader]:
    """Segments of epochs 10, 20, …"""
    return [header(10 * number, first) for number, first in enumerate(first_sequences, 1)]


def spread(nodes: MemoryNodes, segments: list[SegmentHeader]) -> None:
    """Every segment on every node, each but the last sealed with the next."""
    for node in nodes.nodes.values():
        for before, after in pairwise(segments):
            seal = Seal(epoch=after.epoch, end_sequence=after.first_sequence - 1, next=after)
            node.segments[before.segment_id] = MemorySegment(before, seal=seal)
        node.segments[segments[-1].segment_id] = MemorySegment(segments[-1])


def held(nodes: MemoryNodes, name: str = "a") -> list[int]:
    """The first sequences of the segments that a node holds."""
    return sorted(segment.header.first_sequence for segment in nodes.nodes[name].segments.values())


async def trim(nodes: MemoryNodes, last: SegmentHeader, kept_after: int) -> int:
    return await trim_journal(nodes.client(), nodes.addresses, open_segment=pack_header(last), kept_after=kept_after)


@pytest.mark.parametrize(
    ("kept_after", "left"),
    [
        (0, [1, 101, 201]),
        (99, [1, 101, 201]),
        (100, [101, 201]),  # the change after it is the first of the second segment
        (199, [101, 201]),
        (200, [201]),
        (10_000, [201]),  # the open segment stays
    ],
)
async def test_segments_wholly_behind_go(kept_after: int, left: list[int]) -> None:
    nodes, segments = MemoryNodes(*NODES), chain(1, 101, 201)
    spread(nodes, segments)
    assert await trim(nodes, segments[-1], kept_after) == 3 * (3 - len(left))
    assert all(held(nodes, name) == left for name in NODES)


async def test_one_copy_of_a_seal_is_enough_to_follow_the_chain() -> None:
    nodes, segments = MemoryNodes(*NODES), chain(1, 101, 201)
    spread(nodes, segments)
    for name in ("a", "b"):
        for segment in nodes.nodes[name].segments.values():
            segment.seal = None
    await trim(nodes, segments[-1], 150)
    assert held(nodes) == [101, 201]


async def test_nothing_goes_when_the_chain_cannot_be_followed_far_enough() -> None:
    nodes, segments = MemoryNodes(*NODES), chain(1, 101, 201, 301)
    spread(nodes, segments)
    for node in nodes.nodes.values():
        del node.segments[segments[2].segment_id]
    assert await trim(nodes, segments[-1], 150) == 0
    assert held(nodes) == [1, 101, 301]


async def test_segment_that_was_proposed_and_never_agreed_on_goes() -> None:
    nodes, segments = MemoryNodes(*NODES), chain(1, 101, 201)
    spread(nodes, segments)
    stray = header(25, 150)
    nodes.nodes["b"].segments[stray.segment_id] = MemorySegment(stray)
    await trim(nodes, segments[-1], 150)
    assert held(nodes, "b") == [101, 201]


async def test_segment_of_a_later_epoch_than_the_open_one_stays() -> None:
    nodes, segments = MemoryNodes(*NODES), chain(1, 101)
    spread(nodes, segments)
    coming = header(99, 150)
    nodes.nodes["b"].segments[coming.segment_id] = MemorySegment(coming)
    await trim(nodes, segments[-1], 150)
    assert held(nodes, "b") == [101, 150]


async def test_node_that_is_away_is_trimmed_when_it_is_back() -> None:
    nodes, segments = MemoryNodes(*NODES), chain(1, 101)
    spread(nodes, segments)
    nodes.nodes["c"].down = True
    assert await trim(nodes, segments[-1], 100) == 2
    nodes.nodes["c"].down = False
    assert await trim(nodes, segments[-1], 100) == 1
    assert held(nodes, "c") == [101]


async def test_nothing_goes_while_the_index_names_no_open_segment() -> None:
    nodes, segments = MemoryNodes(*NODES), chain(1, 101)
    spread(nodes, segments)
    dropped = await trim_journal(nodes.client(), nodes.addresses, open_segment=b"", kept_after=1000)
    assert dropped == 0


def test_chain_is_needed_back_to_the_change_after_the_snapshot() -> None:
    first, second, third = chain(1, 101, 201)
    statuses = [
        JournalStatus(
            promised_epoch=0,
            segments=tuple(
                SegmentStatus(
                    header=before,
                    last_sequence=0,
                    watermark=0,
                    seal=Seal(epoch=after.epoch, end_sequence=0, next=after),
                    damaged=False,
                )
                for before, after in ((first, second), (second, third))
            ),
        )
    ]
    assert needed_segments(third, statuses, kept_after=150) == {second.segment_id, third.segment_id}
    assert needed_segments(third, [], kept_after=150) is None


async def journaled(rebuilding: Rebuilding, *first_sequences: int) -> list[SegmentHeader]:
    segments = chain(*first_sequences)
    spread(rebuilding.nodes, segments)
    await rebuilding.connection.command("HSET", keys.journal(), "segment", pack_header(segments[-1]))
    return segments


async def two_snapshots(rebuilding: Rebuilding) -> tuple[int, int]:
    """At changes 4 and 7; returns their numbers."""
    await make_bucket(rebuilding.index)
    await put(rebuilding.index, "k", "l", "m")
    first = await rebuilding.writer().take()
    await put(rebuilding.index, "n", "o", "p")
    second = await rebuilding.writer().take()
    return first.start_sequence, second.start_sequence


async def test_pass_trims_behind_the_older_of_two_snapshots_and_not_behind_the_newer(rebuilding: Rebuilding) -> None:
    assert await two_snapshots(rebuilding) == (4, 7)
    await journaled(rebuilding, 1, 5, 8)
    result = await keeper(rebuilding, entries=1000, interval_s=3600.0).run_once()
    assert result.segments_dropped == 3
    assert held(rebuilding.nodes) == [5, 8]


async def test_pass_trims_nothing_behind_a_single_snapshot(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    await rebuilding.writer().take()
    await put(rebuilding.index, "k")
    await journaled(rebuilding, 1, 2)
    assert (await keeper(rebuilding, entries=1000, interval_s=3600.0).run_once()).segments_dropped == 0
    assert held(rebuilding.nodes) == [1, 2]


@pytest.mark.parametrize("damage", ["chunk", "manifest", "node gone"])
async def test_pass_trims_nothing_while_a_snapshot_is_not_on_a_majority(rebuilding: Rebuilding, damage: str) -> None:
    await two_snapshots(rebuilding)
    await journaled(rebuilding, 1, 5, 8)
    newest = (await manifests(rebuilding))[0]
    if damage == "chunk":
        del rebuilding.nodes.nodes[newest.chunks[0].nodes[0]].blobs[newest.blob_id(0)]
    elif damage == "manifest":
        for name in ("b", "c"):
            rebuilding.nodes.nodes[name].manifests.clear()
            rebuilding.nodes.nodes[name].takes_manifests = False
    else:
        rebuilding.nodes.nodes[newest.chunks[0].nodes[0]].down = True
        await rebuilding.register()
    assert (await keeper(rebuilding, entries=1000, interval_s=3600.0).run_once()).segments_dropped == 0
    assert all(held(rebuilding.nodes, name) == [1, 5, 8] for name in NODES)


async def test_pass_trims_nothing_for_an_index_that_is_not_open(rebuilding: Rebuilding) -> None:
    await two_snapshots(rebuilding)
    await journaled(rebuilding, 1, 5, 8)
    await rebuilding.connection.command("HSET", keys.journal(), "opened", "another server")
    assert (await keeper(rebuilding, entries=1000, interval_s=3600.0).run_once()).segments_dropped == 0


@pytest.mark.parametrize(("needed", "left"), [(2, [1, 5, 8]), (5, [5, 8]), (1000, [5, 8]), (None, [5, 8])])
async def test_pass_keeps_what_other_readers_of_the_journal_need(
    rebuilding: Rebuilding, needed: int | None, left: list[int]
) -> None:
    await two_snapshots(rebuilding)
    await journaled(rebuilding, 1, 5, 8)

    async def needed_from(sequence: int) -> int | None:
        return needed

    await keeper(rebuilding, entries=1000, interval_s=3600.0, needed_from=needed_from).run_once()
    assert held(rebuilding.nodes) == left
