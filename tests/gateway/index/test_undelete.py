"""Bringing objects back out of the trash."""

from dataclasses import replace

import pytest

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import KeepsVersions, NoSuchBucket, NotInTrash, QuotaExceeded
from gateway.index.journal_feed import JournalFeed
from gateway.index.records import Deletion, ObjectRecord, Origin, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, begun_upload, make_bucket, put, stored_object

BUCKET = "photos"


@pytest.fixture
async def photos(index: Index) -> Index:
    await make_bucket(index, BUCKET)
    return index


async def remove(index: Index, key: str, version_id: str | None = None) -> None:
    await index.delete_object(BUCKET, Deletion(key=key, version_id=version_id), owner_id=OWNER, now_ms=NOW_MS)


async def current(index: Index, key: str = "k") -> ObjectRecord | None:
    return (await index.get_object(BUCKET, key))[1]


def same_but_for_sequence(one: ObjectRecord | None, other: ObjectRecord | None) -> bool:
    assert one is not None
    assert other is not None
    return replace(one, sequence=0) == replace(other, sequence=0)


async def test_deleted_object_comes_back_whole_under_a_new_number(photos: Index) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1))
    before = await current(photos)
    await remove(photos, "k")
    assert await current(photos) is None

    undeleted = await photos.undelete(BUCKET, "k")

    after = await current(photos)
    assert same_but_for_sequence(before, after)
    assert after == undeleted.record
    assert before is not None
    assert undeleted.record.sequence > before.sequence
    assert not undeleted.replaced


async def test_what_came_back_is_no_longer_given_up(photos: Index) -> None:
    await put(photos, "k")
    await remove(photos, "k")
    await photos.undelete(BUCKET, "k")
    assert await photos.due_reclaims(grace_ms=0, limit=10) == []
    assert await photos.list_trashed(BUCKET, "k") == []
    with pytest.raises(NotInTrash):
        await photos.undelete(BUCKET, "k")


async def test_counts_follow(photos: Index) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1, 100))
    await photos.put_object(BUCKET, "k", stored_object(2, 7))
    await photos.undelete(BUCKET, "k")
    bucket = await photos.get_bucket(BUCKET)
    assert (bucket.object_count, bucket.byte_count) == (1, 100)
    await remove(photos, "k")
    await photos.undelete(BUCKET, "k")
    bucket = await photos.get_bucket(BUCKET)
    assert (bucket.object_count, bucket.byte_count) == (1, 100)


async def test_overwritten_object_changes_places_with_its_successor(photos: Index) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1))
    first = await current(photos)
    await photos.put_object(BUCKET, "k", stored_object(2))
    second = await current(photos)

    assert (await photos.undelete(BUCKET, "k")).replaced
    assert same_but_for_sequence(await current(photos), first)
    assert (await photos.undelete(BUCKET, "k")).replaced
    assert same_but_for_sequence(await current(photos), second)


async def test_list_shows_the_last_trashed_first_and_each_can_be_named(photos: Index) -> None:
    for number in range(1, 5):
        await photos.put_object(BUCKET, "k", stored_object(number))
    trashed = await photos.list_trashed(BUCKET, "k")
    assert [one.record.etag[-1] for one in trashed] == ["3", "2", "1"]
    assert trashed[0].trashed_ms >= trashed[2].trashed_ms > 1_700_000_000_000

    await photos.undelete(BUCKET, "k", sequence=trashed[2].record.sequence)

    found = await current(photos)
    assert found is not None
    assert found.etag[-1] == "1"
    assert [one.record.etag[-1] for one in await photos.list_trashed(BUCKET, "k")] == ["4", "3", "2"]


async def test_what_was_handed_to_a_worker_does_not_come_back(photos: Index) -> None:
    await put(photos, "k")
    await remove(photos, "k")
    before = await photos.list_trashed(BUCKET, "k")
    await photos.due_reclaims(grace_ms=0, limit=10)
    with pytest.raises(NotInTrash):
        await photos.undelete(BUCKET, "k")
    with pytest.raises(NotInTrash):
        await photos.undelete(BUCKET, "k", sequence=before[0].record.sequence)
    assert await photos.list_trashed(BUCKET, "k") == []


async def test_of_many_one_that_was_not_handed_out_comes_back(photos: Index) -> None:
    for number in range(1, 4):
        await photos.put_object(BUCKET, "k", stored_object(number))
    (handed_out,) = await photos.due_reclaims(grace_ms=0, limit=1)
    assert handed_out.record is not None
    (left,) = {"1", "2"} - {handed_out.record.etag[-1]}
    assert [one.record.etag[-1] for one in await photos.list_trashed(BUCKET, "k")] == [left]
    await photos.undelete(BUCKET, "k")
    found = await current(photos)
    assert found is not None
    assert found.etag[-1] == left


@pytest.mark.parametrize("number_of_entries", [1, 600])
async def test_other_keys_and_other_kinds_of_trash_are_not_taken_for_objects(
    photos: Index, number_of_entries: int
) -> None:
    await put(photos, "k", "k1", "kk")
    for key in ("k", "k1", "kk"):
        await remove(photos, key)
    for _ in range(number_of_entries):
        upload = await photos.create_upload(BUCKET, begun_upload("k"))
        await photos.abort_upload(BUCKET, "k", upload.upload_id)
    assert len(await photos.list_trashed(BUCKET, "k")) == 1
    await photos.undelete(BUCKET, "k")
    assert await current(photos, "k1") is None
    assert await current(photos, "kk") is None
    assert await current(photos) is not None


async def test_object_of_an_earlier_bucket_of_that_name_stays_away(photos: Index) -> None:
    await put(photos, "k")
    await remove(photos, "k")
    await photos.delete_bucket(BUCKET)
    with pytest.raises(NoSuchBucket):
        await photos.undelete(BUCKET, "k")
    await make_bucket(photos, BUCKET)
    with pytest.raises(NotInTrash):
        await photos.undelete(BUCKET, "k")
    assert await photos.list_trashed(BUCKET, "k") == []


async def test_versioned_bucket_keeps_what_was_there_by_itself(photos: Index) -> None:
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    await put(photos, "k")
    with pytest.raises(KeepsVersions):
        await photos.undelete(BUCKET, "k")


async def test_null_version_of_a_suspended_bucket_comes_back_as_such(photos: Index) -> None:
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    await photos.put_object(BUCKET, "k", stored_object(1))
    await photos.set_versioning(BUCKET, Versioning.SUSPENDED)
    await photos.put_object(BUCKET, "k", stored_object(2))
    await photos.put_object(BUCKET, "k", stored_object(3))

    await photos.undelete(BUCKET, "k")

    found = await current(photos)
    assert found is not None
    assert (found.version_id, found.etag[-1]) == ("null", "2")
    page = await photos.list_versions(BUCKET)
    assert [version.record.etag[-1] for version in page.versions] == ["2", "1"]


async def test_object_of_many_segments_keeps_its_layout(photos: Index) -> None:
    large = stored_object(1, 6400, segments=64)
    await photos.put_object(BUCKET, "k", large)
    await remove(photos, "k")
    await photos.undelete(BUCKET, "k")
    found = await current(photos)
    assert found is not None
    assert found.extents == large.extents
    await remove(photos, "k")
    (entry,) = await photos.due_reclaims(grace_ms=0, limit=10)
    assert [extent async for extent in photos.extents_of(entry)] == list(large.extents)


async def test_nothing_comes_back_beyond_the_quota_and_it_stays_in_the_trash(photos: Index) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1, 100))
    await remove(photos, "k")
    await photos.set_quota(BUCKET, size_bytes=99, objects=None)
    with pytest.raises(QuotaExceeded):
        await photos.undelete(BUCKET, "k")
    assert await current(photos) is None
    await photos.set_quota(BUCKET, size_bytes=100, objects=1)
    await photos.undelete(BUCKET, "k")
    assert await current(photos) is not None


async def test_undelete_is_journaled_as_one_change(photos: Index, connection: Connection) -> None:
    await put(photos, "k")
    await remove(photos, "k")
    before = await JournalFeed(connection).read_state()
    assert before.sequence is not None
    await photos.undelete(BUCKET, "k")
    entries = await JournalFeed(connection).entries(before.sequence, 10)
    assert [number for number, _ in entries] == [before.sequence + 1]
    assert b"undelete" in entries[0][1]
    assert await connection.command("ZCARD", keys.trash()) == 0
    assert await connection.command("ZCARD", keys.reclaim()) == 0


async def test_condemned_question_finds_what_came_back(photos: Index) -> None:
    stored = stored_object(5)
    await photos.put_object(BUCKET, "k", stored)
    await remove(photos, "k")
    await photos.undelete(BUCKET, "k")
    assert not await photos.condemn(stored.extents[0].write_id, Origin(bucket=BUCKET, key="k"))
