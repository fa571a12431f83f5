"""Changing on which nodes bytes lie: finding records by origin, moves by compare-and-set, copies given up."""

from dataclasses import replace

import pytest

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import CopyReleased, NoSuchBucket, ObjectChanged, UploadChanged
from gateway.index.node_states import NodeState, parse_node_states
from gateway.index.records import Deletion, Extent, ObjectPart, ObjectRecord, Origin, Versioning
from gateway.index.repair_records import Copy, Place, PlaceKind, SegmentRef
from gateway.index.store import Index
from tests.gateway.index.making import (
    NODES,
    NOW_MS,
    OWNER,
    begun_upload,
    extent,
    make_bucket,
    stored_object,
    stored_part,
    write_id,
)

ORIGIN = Origin(bucket="photos", key="k")
NEW_NODES = (NODES[4], NODES[0])


def copy(write: int, number: int, node_id: str) -> Copy:
    return Copy(segment=SegmentRef(write_id=write_id(write), number=number), node_id=node_id)


async def find(index: Index, write: int = 1, origin: Origin = ORIGIN) -> Place:
    place = await index.find_extent(write_id(write), origin)
    assert place
    return place


async def move(
    index: Index, place: Place, number: int = 0, nodes: tuple[str, ...] = NEW_NODES, *, write: int = 1
) -> int:
    segment = SegmentRef(write_id=write_id(write), number=number)
    before = place.nodes_of(segment)
    assert before
    return await index.move_replicas(
        place,
        {segment: nodes},
        added=[Copy(segment=segment, node_id=node) for node in nodes if node not in before],
        removed=[Copy(segment=segment, node_id=node) for node in before if node not in nodes],
    )


async def current(index: Index, version_id: str | None = None) -> ObjectRecord:
    _, record = await index.get_object("photos", "k", version_id)
    assert record
    return record


def with_nodes(one: Extent, number: int, nodes: tuple[str, ...]) -> Extent:
    return replace(
        one, segments=tuple(replace(s, nodes=nodes if s.number == number else s.nodes) for s in one.segments)
    )


@pytest.mark.parametrize("segments", [1, 3, 100])
@pytest.mark.parametrize("versioning", [Versioning.UNVERSIONED, Versioning.ENABLED, Versioning.SUSPENDED])
async def test_a_move_changes_the_nodes_of_one_segment_and_nothing_else(
    index: Index, segments: int, versioning: Versioning
) -> None:
    await make_bucket(index)
    if versioning:
        await index.set_versioning("photos", versioning)
    await index.put_object("photos", "k", stored_object(1, 100 * segments, segments=segments))
    bucket, before = await index.get_object("photos", "k")
    assert before
    await move(index, await find(index), segments - 1)
    bucket_after, after = await index.get_object("photos", "k")
    assert after
    expected = with_nodes(before.extents[0], segments - 1, NEW_NODES)
    assert after == replace(before, extents=(expected,), layout_ref=after.layout_ref)
    assert bucket_after == bucket
    assert (after.layout_ref is None) == (before.layout_ref is None)


async def test_an_older_version_is_found_and_moved(index: Index) -> None:
    await make_bucket(index)
    await index.set_versioning("photos", Versioning.ENABLED)
    results = [await index.put_object("photos", "k", stored_object(number)) for number in range(1, 5)]
    await move(index, await find(index, 2), write=2)
    for number, result in enumerate(results, 1):
        record = await current(index, result.version_id)
        nodes = NEW_NODES if number == 2 else NODES[:3]
        assert record.extents[0].segments[0].nodes == nodes
        assert record.etag == stored_object(number).etag


async def test_a_write_is_found_among_more_versions_than_one_call_looks_at(index: Index) -> None:
    await make_bucket(index)
    await index.set_versioning("photos", Versioning.ENABLED)
    for number in range(1, 1003):
        await index.put_object("photos", "k", stored_object(number))
    for number in (1, 2, 500, 1002):
        assert (await find(index, number)).extents[0].write_id == write_id(number)
    assert await index.find_extent(write_id(2000), ORIGIN) is None


async def test_a_layout_never_changes_under_its_name_and_the_old_one_goes_by_itself(
    index: Index, connection: Connection
) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1, 100 * 64, segments=64))
    reader = Index(connection)
    before = (await reader.get_object("photos", "k"))[1]  # keeps the layout it has read
    assert before
    assert before.layout_ref
    old = await connection.command("GET", keys.layout("photos", before.layout_ref))
    await move(index, await find(index), 7)
    after = (await reader.get_object("photos", "k"))[1]
    assert after
    assert after.extents[0].segments[7].nodes == NEW_NODES
    assert await connection.command("GET", keys.layout("photos", before.layout_ref)) == old
    assert 0 < await connection.command("PTTL", keys.layout("photos", before.layout_ref)) <= 600_000
    assert await connection.command("PTTL", keys.layout("photos", after.layout_ref or "")) == -1


async def test_one_extent_of_several_is_moved(index: Index) -> None:
    await make_bucket(index)
    parts = tuple(ObjectPart(number=number, size_bytes=100) for number in (1, 2, 3))
    record = replace(stored_object(1, 300), extents=(extent(5), extent(6), extent(7)), parts=parts)
    await index.put_object("photos", "k", record)
    await move(index, await find(index, 6), write=6)
    after = await current(index)
    assert after.extents == (extent(5), with_nodes(extent(6), 0, NEW_NODES), extent(7))
    assert after.parts == parts


async def test_a_move_of_a_record_that_was_changed_is_refused(index: Index) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1))
    place = await find(index)
    await index.update_object("photos", "k", None, lambda record: replace(record, tags=(("a", "b"),)))
    with pytest.raises(ObjectChanged):
        await move(index, place)
    await move(index, await find(index))
    assert (await current(index)).tags == (("a", "b"),)


@pytest.mark.parametrize("segments", [1, 64])
async def test_a_move_of_a_record_that_was_replaced_is_refused(
    index: Index, connection: Connection, segments: int
) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1, 100 * segments, segments=segments))
    place = await find(index)
    await index.put_object("photos", "k", stored_object(2))
    before = await connection.command("GET", keys.sequence())
    with pytest.raises(ObjectChanged):
        await move(index, place)
    assert await connection.command("GET", keys.sequence()) == before
    assert await connection.command("ZCARD", keys.released()) == 0
    assert (await find(index)).kind is PlaceKind.TRASH
    assert (await find(index, 1)).extents == place.extents


async def test_of_two_moves_of_one_reading_the_second_is_refused(index: Index) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1, 100 * 64, segments=64))
    place = await find(index)
    await move(index, place, 0)
    with pytest.raises(ObjectChanged):
        await move(index, place, 1)


async def test_a_move_in_a_bucket_that_is_another_by_now_is_refused(index: Index) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1))
    place = await find(index)
    with pytest.raises(NoSuchBucket):
        await index.move_replicas(place, {}, added=[], removed=[], bucket_id=12345)


async def test_a_part_is_moved_and_whoever_is_completing_reads_again(index: Index) -> None:
    await make_bucket(index)
    upload = await index.create_upload("photos", begun_upload("k"))
    for number in (1, 2):
        await index.put_part("photos", "k", upload.upload_id, stored_part(number, 20 + number))
    origin = Origin(bucket="photos", key="k", upload_id=upload.upload_id, part_number=2)
    stale = await index.all_parts("photos", "k", upload.upload_id)
    place = await find(index, 22, origin)
    assert place.kind is PlaceKind.PART
    await move(index, place, write=22)
    fresh = await index.all_parts("photos", "k", upload.upload_id)
    assert fresh.parts == (stale.parts[0], replace(stale.parts[1], extent=with_nodes(extent(22), 0, NEW_NODES)))
    record = replace(stored_object(1, 200), extents=tuple(part.extent for part in stale.parts))
    with pytest.raises(UploadChanged):
        await index.complete_upload("photos", "k", upload.upload_id, record, revision=stale.revision)
    with pytest.raises(ObjectChanged):
        await move(index, place, write=22)
    record = replace(record, extents=tuple(part.extent for part in fresh.parts))
    await index.complete_upload("photos", "k", upload.upload_id, record, revision=fresh.revision)
    found = await find(index, 22, origin)  # by the origin of the part, in the object
    assert (found.kind, found.nodes_of(copy(22, 0, "").segment)) == (PlaceKind.OBJECT, NEW_NODES)
    await move(index, found, 0, NODES[:2], write=22)
    assert (await current(index)).extents[1].segments[0].nodes == NODES[:2]


async def test_parts_of_an_aborted_upload_are_named_but_not_moved(index: Index) -> None:
    await make_bucket(index)
    upload = await index.create_upload("photos", begun_upload("k"))
    await index.put_part("photos", "k", upload.upload_id, stored_part(1, 21))
    origin = Origin(bucket="photos", key="k", upload_id=upload.upload_id, part_number=1)
    place = await find(index, 21, origin)
    await index.abort_upload("photos", "k", upload.upload_id)
    with pytest.raises(ObjectChanged):
        await move(index, place, write=21)
    assert (await find(index, 21, origin)).kind is PlaceKind.ABORTED


@pytest.mark.parametrize("segments", [1, 64])
async def test_what_waits_in_the_trash_is_found_there(index: Index, segments: int) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1, 100 * segments, segments=segments))
    await index.delete_object("photos", Deletion(key="k"), owner_id=OWNER, now_ms=NOW_MS)
    place = await find(index)
    assert (place.kind, len(place.extents[0].segments)) == (PlaceKind.TRASH, segments)
    with pytest.raises(ValueError, match="not repaired"):
        await move(index, place)


async def test_a_write_is_found_in_more_trash_than_one_call_looks_at(index: Index) -> None:
    await make_bucket(index)
    for number in range(1, 1202):
        await index.put_object("photos", "k", stored_object(number))
    for number in (1, 600, 1200):
        place = await find(index, number)
        assert (place.kind, place.extents[0].write_id) == (PlaceKind.TRASH, write_id(number))
    assert await index.find_extent(write_id(2000), ORIGIN) is None


async def test_nothing_is_found_of_other_keys_and_buckets(index: Index) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1))
    for origin in (Origin(bucket="photos", key="kk"), Origin(bucket="none", key="k"), Origin(bucket="", key="k")):
        assert await index.find_extent(write_id(1), origin) is None


async def test_copies_that_are_no_longer_named_are_handed_out_after_their_grace(index: Index) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1))
    await move(index, await find(index))
    gone = {copy(1, 0, NODES[1]), copy(1, 0, NODES[2])}
    assert await index.take_released(grace_ms=60_000, limit=10) == []
    assert set(await index.take_released(grace_ms=0, limit=10)) == gone
    assert await index.take_released(grace_ms=0, limit=10) == []  # for ten minutes
    await index.finish_released(gone)
    await index.finish_released(gone)


async def test_copies_that_a_dead_worker_took_are_handed_out_again(index: Index, connection: Connection) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1))
    await move(index, await find(index))
    taken = await index.take_released(grace_ms=0, limit=10)
    for one in taken:
        await connection.command("ZADD", keys.releasing(), 1, one.packed())
    assert set(await index.take_released(grace_ms=0, limit=10)) == set(taken)


async def test_a_node_is_not_named_again_while_its_copy_is_deleted(index: Index) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1))
    await move(index, await find(index))
    taken = await index.take_released(grace_ms=0, limit=10)
    with pytest.raises(CopyReleased):
        await move(index, await find(index), 0, NODES[:3])
    assert (await current(index)).extents[0].segments[0].nodes == NEW_NODES
    await index.finish_released(taken)
    await move(index, await find(index), 0, NODES[:3])


async def test_a_copy_that_is_named_again_before_its_deletion_stays(index: Index) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1))
    await move(index, await find(index))
    await move(index, await find(index), 0, NODES[:3])
    assert await index.take_released(grace_ms=0, limit=10) == [copy(1, 0, NODES[4])]


async def test_a_copy_is_released_only_of_the_record_that_was_read(index: Index) -> None:
    await make_bucket(index)
    await index.put_object("photos", "k", stored_object(1))
    place = await find(index)
    surplus = copy(1, 0, NODES[4])
    assert await index.release_copies(place, [surplus]) == 1
    assert await index.release_copies(place, [surplus]) == 0
    with pytest.raises(ValueError, match="names"):
        await index.release_copies(place, [copy(1, 0, NODES[0])])
    await move(index, place)  # names it
    with pytest.raises(ObjectChanged):
        await index.release_copies(place, [surplus])
    assert surplus not in await index.take_released(grace_ms=0, limit=10)


@pytest.mark.parametrize("kind", [PlaceKind.PART, PlaceKind.ABORTED, PlaceKind.TRASH])
async def test_copies_are_released_whatever_names_the_others(index: Index, kind: PlaceKind) -> None:
    await make_bucket(index)
    origin, write = ORIGIN, 1
    if kind is PlaceKind.TRASH:
        await index.put_object("photos", "k", stored_object(1))
        await index.delete_object("photos", Deletion(key="k"), owner_id=OWNER, now_ms=NOW_MS)
    else:
        upload = await index.create_upload("photos", begun_upload("k"))
        await index.put_part("photos", "k", upload.upload_id, stored_part(1, 1))
        origin = Origin(bucket="photos", key="k", upload_id=upload.upload_id, part_number=1)
        if kind is PlaceKind.ABORTED:
            await index.abort_upload("photos", "k", upload.upload_id)
    place = await find(index, write, origin)
    assert place.kind is kind
    assert await index.release_copies(place, [copy(1, 0, NODES[4])]) == 1


async def test_states_of_nodes_are_kept_with_their_time(index: Index, connection: Connection) -> None:
    assert await index.node_states() == {}
    await index.set_node_state("n1", NodeState.DRAINING, now_ms=7)
    await index.set_node_state("n2", NodeState.REMOVED, now_ms=8)
    assert await index.node_states() == {"n1": (NodeState.DRAINING, 7), "n2": (NodeState.REMOVED, 8)}
    before = await connection.command("GET", keys.sequence())
    await index.set_node_state("n1", NodeState.DRAINING, now_ms=7)
    assert await connection.command("GET", keys.sequence()) == before
    await index.set_node_state("n1", None, now_ms=9)
    await index.set_node_state("n3", None, now_ms=9)
    assert await index.node_states() == {"n2": (NodeState.REMOVED, 8)}


def test_states_of_a_newer_release_are_left_out() -> None:
    reply = [b"a", b"draining 5", b"b", b"resting 5", b"c", b"removed", b"d", b""]
    assert parse_node_states(reply) == {"a": (NodeState.DRAINING, 5)}
