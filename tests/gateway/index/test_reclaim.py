"""The reclaim queue, condemned writes and leases."""

import asyncio

import pytest

from gateway.index import keys, reclaim
from gateway.index.connection import Connection
from gateway.index.errors import OlderThanIndex
from gateway.index.records import Deletion, Origin, ReclaimKind, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import (
    NOW_MS,
    OWNER,
    begun_upload,
    make_bucket,
    put,
    stored_object,
    stored_part,
    write_id,
)
from tests.harness.opened_index import open_new

BUCKET = "photos"
ORIGIN = Origin(bucket=BUCKET, key="k")


@pytest.fixture
async def photos(index: Index) -> Index:
    await make_bucket(index, BUCKET)
    return index


async def remove(index: Index, key: str) -> None:
    await index.delete_object(BUCKET, Deletion(key=key), owner_id=OWNER, now_ms=NOW_MS)


async def test_an_entry_carries_the_whole_old_record(photos: Index) -> None:
    await put(photos, "k")
    _, before = await photos.get_object(BUCKET, "k")
    await remove(photos, "k")

    (entry,) = await photos.due_reclaims(grace_ms=0, limit=10)

    assert (entry.kind, entry.bucket, entry.key, entry.record) == (ReclaimKind.OBJECT, BUCKET, "k", before)


async def test_nothing_is_due_within_the_grace(photos: Index) -> None:
    await put(photos, "k", "k")

    assert await photos.due_reclaims(grace_ms=60_000, limit=10) == []
    assert len(await photos.due_reclaims(grace_ms=0, limit=10)) == 1


async def test_an_entry_is_handed_out_once_until_its_worker_is_taken_for_dead(
    photos: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(photos, *["k"] * 6)

    first = await photos.due_reclaims(grace_ms=0, limit=3)
    second = await photos.due_reclaims(grace_ms=0, limit=3)
    none_left = await photos.due_reclaims(grace_ms=0, limit=3)
    monkeypatch.setattr(reclaim, "_HAND_OUT_AGAIN_MS", 0)
    again = await photos.due_reclaims(grace_ms=0, limit=10)

    assert (len(first), len(second), none_left) == (3, 2, [])
    assert {entry.reference for entry in first + second} == {entry.reference for entry in again}


async def test_finishing_removes_every_trace(photos: Index, connection: Connection) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1, 6400, segments=64))
    await remove(photos, "k")
    (entry,) = await photos.due_reclaims(grace_ms=0, limit=10)
    extents = [extent async for extent in photos.extents_of(entry)]

    first, second = await photos.finish_reclaim(entry), await photos.finish_reclaim(entry)

    assert (first, second) == (True, False)
    assert extents == list(stored_object(1, 6400, segments=64).extents)
    left = set(await connection.command("KEYS", "*"))
    bucket_keys = {keys.buckets(), keys.owned_buckets(), keys.bucket(BUCKET), keys.sequence(), keys.born()}
    journal = {keys.journal(), keys.journal_stream(), keys.pending()}
    assert left == {name.encode() for name in bucket_keys | journal}


async def test_the_same_key_may_wait_many_times(photos: Index) -> None:
    for number in range(20):
        await photos.put_object(BUCKET, "k", stored_object(number))
    await remove(photos, "k")

    entries = await photos.due_reclaims(grace_ms=0, limit=100)

    assert {entry.record.etag for entry in entries if entry.record} == {stored_object(n).etag for n in range(20)}


async def test_entries_of_an_aborted_upload_are_read_in_pages(photos: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reclaim, "_PARTS_A_PAGE", 3)
    upload = await photos.create_upload(BUCKET, begun_upload("k"))
    for number in range(1, 8):
        await photos.put_part(BUCKET, "k", upload.upload_id, stored_part(number, number))
    await photos.abort_upload(BUCKET, "k", upload.upload_id)

    (entry,) = await photos.due_reclaims(grace_ms=0, limit=10)

    assert [extent.write_id async for extent in photos.extents_of(entry)] == [write_id(n) for n in range(1, 8)]


async def test_a_write_that_nothing_refers_to_is_condemned(photos: Index) -> None:
    await put(photos, "k", "other")

    assert await photos.condemn(write_id(77), ORIGIN)
    assert await photos.condemn(write_id(77), ORIGIN)
    assert await photos.condemn(write_id(78), Origin(bucket="missing", key="k"))


async def test_a_write_from_before_the_index_is_never_condemned(photos: Index, connection: Connection) -> None:
    old = f"{1:032x}"
    with pytest.raises(OlderThanIndex):
        await photos.condemn(old, ORIGIN)
    await open_new(connection)
    with pytest.raises(OlderThanIndex):
        await photos.condemn(write_id(77), ORIGIN)


@pytest.mark.parametrize("segments", [1, 64])
@pytest.mark.parametrize("state", ["current", "noncurrent", "trash", "handed out"])
async def test_a_write_of_a_version_is_not_condemned(photos: Index, segments: int, state: str) -> None:
    if state == "noncurrent":
        await photos.set_versioning(BUCKET, Versioning.ENABLED)
    await photos.put_object(BUCKET, "k", stored_object(5, 6400, segments=segments))
    if state != "current":
        await photos.put_object(BUCKET, "k", stored_object(6))
    if state == "handed out":
        assert len(await photos.due_reclaims(grace_ms=0, limit=10)) == 1

    assert not await photos.condemn(write_id(5), ORIGIN)


async def test_a_key_with_very_many_entries_blocks_nobody(photos: Index, connection: Connection) -> None:
    """What would take the server long to look through counts as referenced."""
    entries = [argument for number in range(5001) for argument in (0, f"{BUCKET}\0k\0{number:08d}\1record")]
    await connection.command("ZADD", keys.trash(), *entries)

    assert not await photos.condemn(write_id(77), ORIGIN)
    assert await photos.condemn(write_id(77), Origin(bucket=BUCKET, key="other"))


async def test_a_write_can_be_condemned_when_its_reclaim_is_finished(photos: Index) -> None:
    await put(photos, "k")
    await remove(photos, "k")
    (entry,) = await photos.due_reclaims(grace_ms=0, limit=10)
    assert not await photos.condemn(write_id(1), ORIGIN)
    await photos.finish_reclaim(entry)

    assert await photos.condemn(write_id(1), ORIGIN)


@pytest.mark.parametrize("state", ["under way", "replaced", "aborted", "left out"])
async def test_a_write_of_a_part_is_not_condemned(photos: Index, state: str) -> None:
    upload = await photos.create_upload(BUCKET, begun_upload("k"))
    origin = Origin(bucket=BUCKET, key="k", upload_id=upload.upload_id, part_number=1)
    await photos.put_part(BUCKET, "k", upload.upload_id, stored_part(1, 5))
    if state == "replaced":
        await photos.put_part(BUCKET, "k", upload.upload_id, stored_part(1, 6))
    elif state == "aborted":
        await photos.abort_upload(BUCKET, "k", upload.upload_id)
    elif state == "left out":
        page = await photos.all_parts(BUCKET, "k", upload.upload_id)
        await photos.complete_upload(
            *(BUCKET, "k", upload.upload_id, stored_object(9)),
            revision=page.revision,
            unused=[part.extent for part in page.parts],
        )

    assert not await photos.condemn(write_id(5), origin)
    assert await photos.condemn(write_id(7), origin)


async def test_a_leased_write_is_not_condemned(photos: Index) -> None:
    await photos.keep_lease(write_id(5), ttl_ms=60_000)
    held = await photos.condemn(write_id(5), ORIGIN)
    await photos.drop_lease(write_id(5))
    dropped = await photos.condemn(write_id(5), ORIGIN)

    assert (held, dropped) == (False, True)


async def test_a_lease_ends_by_itself(photos: Index) -> None:
    await photos.keep_lease(write_id(5), ttl_ms=1)
    async with asyncio.timeout(5):
        while not await photos.condemn(write_id(5), ORIGIN):
            pass


async def test_condemned_marks_are_forgotten_when_they_have_expired(
    photos: Index, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reclaim, "_CONDEMNED_MS", -1)
    await photos.condemn(write_id(5), ORIGIN)
    await photos.condemn(write_id(6), ORIGIN)

    assert await connection.command("ZRANGE", keys.condemned(), 0, -1) == [bytes.fromhex(write_id(6))]


async def test_one_holder_at_a_time_has_a_worker_lease(index: Index) -> None:
    assert await index.try_lease("reclaim", "a", ttl_ms=60_000)
    assert await index.try_lease("reclaim", "a", ttl_ms=60_000)
    assert not await index.try_lease("reclaim", "b", ttl_ms=60_000)
    assert await index.try_lease("scrub", "b", ttl_ms=60_000)

    await index.release_lease("reclaim", "b")
    assert not await index.try_lease("reclaim", "b", ttl_ms=60_000)
    await index.release_lease("reclaim", "a")
    assert await index.try_lease("reclaim", "b", ttl_ms=1)
    async with asyncio.timeout(5):
        while not await index.try_lease("reclaim", "a", ttl_ms=60_000):
            pass
