"""Snapshots: what is dumped while it changes and replayed over is what is there; what a broken-off one leaves goes."""

import asyncio

import pytest

from gateway.index import keys
from gateway.index.errors import IndexUnavailable
from gateway.index.node_states import NodeState
from gateway.journal import dump
from gateway.journal.restore import Progress, restore_newest
from gateway.journal.snapshot_format import SnapshotState
from gateway.journal.snapshot_writer import SnapshotFailed
from tests.gateway.index.making import make_bucket, put
from tests.gateway.journal.random_changes import RandomChanges
from tests.gateway.journal.rebuilding import (
    CLAIM,
    Rebuilding,
    keeper,
    manifests,
    other_server,
    rebuilding,
    server,
    state_of,
)

__all__ = ["other_server", "rebuilding", "server"]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "PAGE_MEMBERS", 5)
    monkeypatch.setattr(dump, "STRINGS_AT_ONCE", 2)


async def restored(rebuilding: Rebuilding) -> int:
    """Restore the newest snapshot on the other server and replay; where the replay began."""
    nodes = rebuilding.nodes
    after = await restore_newest(rebuilding.empty_feed, CLAIM, nodes.client(), nodes.addresses)
    await rebuilding.replay_rest(after)
    return after


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.usefixtures("small_pages")
async def test_snapshot_taken_under_changes_and_replayed_over_is_the_live_state(
    rebuilding: Rebuilding, seed: int
) -> None:
    changes = RandomChanges(rebuilding.index, seed)
    await changes.prepare()
    for _ in range(700):
        await changes.change()
    taking = asyncio.create_task(rebuilding.writer().take())
    made = 0
    while not taking.done():
        await changes.change()
        made += 1
    manifest = await taking
    for _ in range(50):
        await changes.change()
    assert made > 50
    assert manifest.end_sequence - manifest.start_sequence > 30
    assert len(manifest.chunks) > 10
    assert rebuilding.durability.reached == [manifest.end_sequence]

    assert await restored(rebuilding) == manifest.start_sequence
    live = await state_of(rebuilding.connection)
    assert len(live) > 20
    assert await state_of(rebuilding.empty) == live


async def test_snapshot_keeps_times_to_live(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    await rebuilding.connection.command("SET", keys.completed_upload("photos", "u"), "answer", "PXAT", 1 << 42)
    await rebuilding.writer().take()
    await restored(rebuilding)
    assert await rebuilding.empty.command("PEXPIRETIME", keys.completed_upload("photos", "u")) == 1 << 42


async def test_snapshot_leaves_out_leases_and_the_journals_own_books(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    await rebuilding.index.keep_lease("7" * 32, ttl_ms=60_000)
    await rebuilding.index.try_lease("background", "holder", ttl_ms=60_000)
    await rebuilding.writer().take()
    await restored(rebuilding)
    names = set(await rebuilding.empty.command("KEYS", "*"))
    assert names == {
        name.encode()
        for name in (keys.restored(), keys.bucket("photos"), keys.buckets(), keys.owned_buckets(), keys.born())
    }


@pytest.mark.usefixtures("small_pages")
async def test_restoring_tells_how_far_it_is(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    await put(rebuilding.index, *[f"k{number}" for number in range(200)])
    manifest = await rebuilding.writer().take()
    told: list[Progress] = []
    nodes = rebuilding.nodes
    await restore_newest(rebuilding.empty_feed, CLAIM, nodes.client(), nodes.addresses, progress=told.append)
    assert [one.done for one in told] == sorted(one.done for one in told)
    assert told[-1].done == told[-1].total == manifest.size_bytes


async def test_restoring_without_any_snapshot_leaves_the_index_alone(rebuilding: Rebuilding) -> None:
    nodes = rebuilding.nodes
    await rebuilding.empty.command("SET", keys.born(), 5)
    assert await restore_newest(rebuilding.empty_feed, CLAIM, nodes.client(), nodes.addresses) == 0
    assert await rebuilding.empty.command("GET", keys.born()) == b"5"


@pytest.mark.parametrize("damage", ["lost", "other bytes", "cut short", "node down"])
async def test_chunk_bad_on_one_node_is_read_from_another(rebuilding: Rebuilding, damage: str) -> None:
    await make_bucket(rebuilding.index)
    await put(rebuilding.index, *[f"k{number}" for number in range(100)])
    manifest = await rebuilding.writer().take()
    for number, chunk in enumerate(manifest.chunks):
        node = rebuilding.nodes.nodes[chunk.nodes[0]]
        body, origin = node.blobs[manifest.blob_id(number)]
        if damage == "lost":
            del node.blobs[manifest.blob_id(number)]
        elif damage == "other bytes":
            node.blobs[manifest.blob_id(number)] = (bytes([body[0]]) + b"\0" + body[2:], origin)
        elif damage == "cut short":
            node.blobs[manifest.blob_id(number)] = (body[:-1], origin)
    if damage == "node down":
        rebuilding.nodes.nodes["a"].down = True
    assert await restored(rebuilding) == manifest.start_sequence
    assert await state_of(rebuilding.empty) == await state_of(rebuilding.connection)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("damage", ["manifest", "chunk"])
async def test_newest_snapshot_damaged_everywhere_gives_way_to_the_older_one(
    rebuilding: Rebuilding, damage: str
) -> None:
    await make_bucket(rebuilding.index)
    await put(rebuilding.index, *[f"k{number}" for number in range(100)])
    older = await rebuilding.writer().take()
    await put(rebuilding.index, *[f"later{number}" for number in range(100)])
    newer = await rebuilding.writer().take()
    for node in rebuilding.nodes.nodes.values():
        if damage == "manifest":
            name = next(name for name in node.manifests if newer.snapshot_id in name)
            node.manifests[name] = node.manifests[name][:-1] + b"\xff"
        else:
            node.blobs.pop(newer.blob_id(len(newer.chunks) - 1), None)
    assert await restored(rebuilding) == older.start_sequence
    assert await state_of(rebuilding.empty) == await state_of(rebuilding.connection)


async def test_no_snapshot_readable_leaves_an_empty_index_to_be_replayed_from_the_beginning(
    rebuilding: Rebuilding,
) -> None:
    await make_bucket(rebuilding.index)
    await put(rebuilding.index, "k")
    await rebuilding.writer(chunk_bytes=1).take()
    lost = min(rebuilding.nodes.snapshot_blobs())
    for node in rebuilding.nodes.nodes.values():
        node.blobs.pop(lost, None)
    await rebuilding.empty.command("SET", keys.born(), 5)
    assert await restored(rebuilding) == 0
    assert await state_of(rebuilding.empty) == await state_of(rebuilding.connection)


@pytest.mark.parametrize("known", [True, False])
async def test_snapshot_counts_only_when_a_majority_has_its_manifest(rebuilding: Rebuilding, known: bool) -> None:
    """Nothing is begun where it is known beforehand that it would come to nothing."""
    await make_bucket(rebuilding.index)
    for name in ("b", "c"):
        rebuilding.nodes.nodes[name].down = True
    if known:
        await rebuilding.register()
    with pytest.raises(SnapshotFailed, match="1 nodes take the manifest, 2 are needed"):
        await rebuilding.writer().take()
    assert bool(await manifests(rebuilding)) is not known


async def test_chunk_goes_to_another_node_when_one_refuses(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    rebuilding.nodes.nodes["b"].down = True  # which the node table does not know yet
    manifest = await rebuilding.writer().take()
    assert all(set(chunk.nodes) == {"a", "c"} for chunk in manifest.chunks)


async def test_index_recovered_while_it_was_read_makes_no_snapshot(
    rebuilding: Rebuilding, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_bucket(rebuilding.index)
    original = rebuilding.nodes.put

    async def put_and_recover(*arguments: object, **more: object) -> object:
        await rebuilding.connection.command("HSET", keys.journal(), "incarnation", "another")
        return await original(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(rebuilding.nodes, "put", put_and_recover)
    with pytest.raises(SnapshotFailed, match="recovered"):
        await rebuilding.writer().take()
    assert all(manifest.state is not SnapshotState.COMPLETE for manifest in await manifests(rebuilding))


async def test_index_that_is_not_open_makes_no_snapshot(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    await rebuilding.connection.command("HSET", keys.journal(), "opened", "another server")
    with pytest.raises(IndexUnavailable):
        await rebuilding.writer().take()
    assert (await keeper(rebuilding).run_once()).taken is None


async def test_pass_takes_a_snapshot_when_enough_has_changed_and_not_before(rebuilding: Rebuilding) -> None:
    job = keeper(rebuilding, entries=10, interval_s=3600.0)
    assert (await job.run_once()).taken is None  # nothing was ever changed
    await make_bucket(rebuilding.index)
    assert (await job.run_once()).taken is not None  # the first one at once
    await put(rebuilding.index, *[f"k{number}" for number in range(9)])
    assert (await job.run_once()).taken is None
    await put(rebuilding.index, "one more")
    assert (await job.run_once()).taken is not None


async def test_pass_takes_a_snapshot_after_the_interval_if_anything_changed(rebuilding: Rebuilding) -> None:
    job = keeper(rebuilding, entries=1000, interval_s=0.0)
    await make_bucket(rebuilding.index)
    assert (await job.run_once()).taken is not None
    assert (await job.run_once()).taken is None
    await put(rebuilding.index, "k")
    assert (await job.run_once()).taken is not None


async def test_snapshots_leave_a_node_that_drains(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    job = keeper(rebuilding, entries=1000, interval_s=3600.0)
    await job.run_once()
    (node_id,) = (await manifests(rebuilding))[0].chunks[0].nodes[:1]
    await rebuilding.index.set_node_state(node_id, NodeState.DRAINING, now_ms=1)
    await rebuilding.register()
    passes = [await job.run_once() for _ in range(4)]
    assert [result.taken is not None for result in passes] == [True, True, False, False]
    assert rebuilding.nodes.nodes[node_id].blobs == {}
    assert len(await manifests(rebuilding)) == 2


async def test_newest_two_snapshots_stay_and_the_bytes_of_older_ones_go(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    job = keeper(rebuilding)
    taken = []
    for number in range(4):
        await put(rebuilding.index, f"k{number}")
        result = await job.run_once()
        assert result.taken
        taken.append(result.taken)
    assert [one.snapshot_id for one in await manifests(rebuilding)] == [one.snapshot_id for one in taken[:-3:-1]]
    kept = {one.blob_id(number) for one in taken[-2:] for number in range(len(one.chunks))}
    assert rebuilding.nodes.snapshot_blobs() == kept


async def test_older_snapshot_stays_while_one_of_the_newer_two_is_not_sound(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    job = keeper(rebuilding)
    first = (await job.run_once()).taken
    await put(rebuilding.index, "k")
    second = (await job.run_once()).taken
    assert first
    assert second
    del rebuilding.nodes.nodes[second.chunks[0].nodes[0]].blobs[second.blob_id(0)]
    await put(rebuilding.index, "l")
    assert not (await job.run_once()).removed
    await put(rebuilding.index, "m")
    assert set((await job.run_once()).removed) == {first.snapshot_id, second.snapshot_id}


@pytest.mark.usefixtures("small_pages")
async def test_snapshot_killed_midway_is_removed_by_a_later_pass(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    await put(rebuilding.index, *[f"k{number}" for number in range(200)])
    stored = asyncio.Event()
    original = rebuilding.nodes.put

    async def stall(*arguments: object, **more: object) -> object:
        result = await original(*arguments, **more)  # type: ignore[arg-type]
        if len(rebuilding.nodes.snapshot_blobs()) >= 3:
            stored.set()
            await asyncio.Event().wait()
        return result

    rebuilding.nodes.put = stall  # type: ignore[method-assign,assignment]
    taking = asyncio.create_task(rebuilding.writer().take())
    await asyncio.wait_for(stored.wait(), 20)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    rebuilding.nodes.put = original  # type: ignore[method-assign]
    left = rebuilding.nodes.snapshot_blobs()
    assert len(left) >= 3

    # Within its grace it may still be at work elsewhere.
    first = await keeper(rebuilding).run_once()
    assert first.taken
    assert not first.removed
    second = await keeper(rebuilding, grace_s=-1.0).run_once()
    assert len(second.removed) == 1
    assert not left & rebuilding.nodes.snapshot_blobs()
    assert await restored(rebuilding) == first.taken.start_sequence
    assert await state_of(rebuilding.empty) == await state_of(rebuilding.connection)


@pytest.mark.usefixtures("small_pages")
async def test_snapshot_that_fails_leaves_nothing(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    await put(rebuilding.index, *[f"k{number}" for number in range(200)])
    rebuilding.nodes.fail_puts_after = 5
    with pytest.raises(SnapshotFailed):
        await keeper(rebuilding).run_once()
    assert not rebuilding.nodes.snapshot_blobs()
    assert not await manifests(rebuilding)


async def test_removal_waits_for_a_node_that_is_away(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    job = keeper(rebuilding)
    first = (await job.run_once()).taken
    assert first
    for number in range(2):
        await put(rebuilding.index, f"k{number}")
        if number:
            rebuilding.nodes.nodes["b"].down = True
            await rebuilding.register()
        result = await job.run_once()
    assert not result.removed
    rebuilding.nodes.nodes["b"].down = False
    await rebuilding.register()
    await put(rebuilding.index, "k")
    assert first.snapshot_id in (await job.run_once()).removed
    ids = {manifest.snapshot_id for manifest in await manifests(rebuilding)}
    assert {blob_id[:32] for blob_id in rebuilding.nodes.snapshot_blobs()} == ids
    assert first.snapshot_id not in ids


async def test_manifest_is_given_to_a_node_that_came_back(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    rebuilding.nodes.nodes["b"].down = True
    await rebuilding.register()
    await keeper(rebuilding).run_once()
    rebuilding.nodes.nodes["b"].down = False
    await rebuilding.register()
    assert not rebuilding.nodes.nodes["b"].manifests
    await keeper(rebuilding, interval_s=3600.0, entries=1000).run_once()
    assert rebuilding.nodes.nodes["b"].manifests == rebuilding.nodes.nodes["a"].manifests


async def test_chunks_stay_while_a_node_would_still_call_the_snapshot_complete(rebuilding: Rebuilding) -> None:
    await make_bucket(rebuilding.index)
    job = keeper(rebuilding)
    first = (await job.run_once()).taken
    assert first
    await put(rebuilding.index, "k")
    await job.run_once()
    # Behind the newest two, but one node cannot be told: its disk is full.
    await put(rebuilding.index, "l")
    await rebuilding.writer().take()
    rebuilding.nodes.nodes["c"].takes_manifests = False
    later = keeper(rebuilding, entries=1000, interval_s=3600.0)
    assert (await later.run_once()).removed == []
    assert {blob_id[:32] for blob_id in rebuilding.nodes.snapshot_blobs()} >= {first.snapshot_id}
    rebuilding.nodes.nodes["c"].takes_manifests = True
    assert (await later.run_once()).removed == [first.snapshot_id]
