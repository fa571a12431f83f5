"""Committing, reading and deleting objects: the scripts on a real server."""

import asyncio

import pytest

from gateway.index.connection import Connection
from gateway.index.errors import (
    ConditionFailed,
    IndexRefusal,
    NoSuchBucket,
    NoSuchKey,
    WriteCondemned,
)
from gateway.index.layout_encoding import INLINE_PIECES
from gateway.index.records import (
    DeleteResult,
    Deletion,
    ObjectPart,
    ObjectRecord,
    Origin,
    ReclaimKind,
    Versioning,
    WriteCheck,
)
from gateway.index.store import Index
from tests.gateway.index.making import (
    NOW_MS,
    OTHER_OWNER,
    OWNER,
    begun_upload,
    etag,
    make_bucket,
    put,
    stored_object,
    write_id,
)

BUCKET = "photos"
ODD_KEYS = ["a", "a//b", "a/../b", "dir/", "%2F", "a+b c", "\x01", "a\x7f", "é", "\U0001f600", "k" * 1024, "null", "*"]


@pytest.fixture
async def photos(index: Index) -> Index:
    await make_bucket(index, BUCKET)
    return index


async def read(index: Index, key: str, version_id: str | None = None) -> ObjectRecord | None:
    return (await index.get_object(BUCKET, key, version_id))[1]


async def counts(index: Index) -> tuple[int, int]:
    bucket = await index.get_bucket(BUCKET)
    return bucket.object_count, bucket.byte_count


async def delete(index: Index, key: str, version_id: str | None = None) -> DeleteResult:
    return await index.delete_object(
        BUCKET, Deletion(key=key, version_id=version_id), owner_id=OWNER, now_ms=NOW_MS + 9
    )


async def discarded(index: Index) -> list[ObjectRecord]:
    """What waits for reclaim, in the order of its etags."""
    entries = await index.due_reclaims(grace_ms=0, limit=1000)
    assert all(entry.kind is ReclaimKind.OBJECT for entry in entries)
    return sorted((entry.record for entry in entries if entry.record), key=lambda record: record.etag)


@pytest.mark.parametrize("key", ODD_KEYS)
async def test_an_object_is_read_back_as_it_was_put(photos: Index, key: str) -> None:
    result = await photos.put_object(BUCKET, key, stored_object(7))

    bucket, record = await photos.get_object(BUCKET, key)

    assert record is not None
    assert (record.etag, record.version_id, record.sequence) == (etag(7), "null", result.sequence)
    assert record.extents == stored_object(7).extents
    assert record.metadata == (("colour", "blå"),)
    assert (bucket.object_count, bucket.byte_count) == (1, 100)
    assert result.version_id is None
    assert not result.replaced


async def test_neighbouring_keys_do_not_disturb_each_other(photos: Index) -> None:
    for number, key in enumerate(ODD_KEYS):
        await photos.put_object(BUCKET, key, stored_object(number))

    assert [getattr(await read(photos, key), "etag", None) for key in ODD_KEYS] == [
        etag(n) for n in range(len(ODD_KEYS))
    ]
    assert await read(photos, "a/") is None
    assert await read(photos, "a/.") is None


async def test_replacing_keeps_counts_exact_and_queues_the_old_bytes(photos: Index) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1, 100))
    result = await photos.put_object(BUCKET, "k", stored_object(2, 40))

    assert result.replaced
    assert await counts(photos) == (1, 40)
    (old,) = await discarded(photos)
    assert (old.etag, old.extents) == (etag(1), stored_object(1, 100).extents)


async def test_put_and_get_need_the_bucket(index: Index) -> None:
    with pytest.raises(NoSuchBucket):
        await index.put_object("missing", "k", stored_object())
    with pytest.raises(NoSuchBucket):
        await index.get_object("missing", "k")


async def test_put_refuses_a_bucket_that_was_made_anew_under_its_name(photos: Index) -> None:
    before = await photos.get_bucket(BUCKET)
    await photos.delete_bucket(BUCKET)
    await make_bucket(photos, BUCKET)

    with pytest.raises(NoSuchBucket):
        await photos.put_object(BUCKET, "k", stored_object(), check=WriteCheck(bucket_id=before.bucket_id))
    with pytest.raises(NoSuchBucket):
        await photos.create_upload(BUCKET, begun_upload("k"), bucket_id=before.bucket_id)
    after = await photos.get_bucket(BUCKET)
    await photos.put_object(BUCKET, "k", stored_object(), check=WriteCheck(bucket_id=after.bucket_id))


@pytest.mark.parametrize(
    ("present", "check", "expected"),
    [
        (False, WriteCheck(if_none_match=True), None),
        (True, WriteCheck(if_none_match=True), "If-None-Match"),
        (True, WriteCheck(if_match=etag(1)), None),
        (True, WriteCheck(if_match="*"), None),
        (True, WriteCheck(if_match=etag(2)), "If-Match"),
        (True, WriteCheck(if_match=etag(1) + "-2"), "If-Match"),
        (True, WriteCheck(if_match="x" * 500), "If-Match"),
        (True, WriteCheck(if_match=""), "If-Match"),
        (False, WriteCheck(if_match=etag(1)), NoSuchKey),
        (False, WriteCheck(if_match="*"), NoSuchKey),
    ],
)
async def test_conditions_of_a_put(
    photos: Index, present: bool, check: WriteCheck, expected: str | type[IndexRefusal] | None
) -> None:
    if present:
        await put(photos, "k")

    if expected is None:
        await photos.put_object(BUCKET, "k", stored_object(2), check=check)
    elif isinstance(expected, str):
        with pytest.raises(ConditionFailed) as failed:
            await photos.put_object(BUCKET, "k", stored_object(2), check=check)
        assert failed.value.condition == expected
        assert await counts(photos) == (1, 100)
    else:
        with pytest.raises(expected):
            await photos.put_object(BUCKET, "k", stored_object(2), check=check)


async def test_one_of_many_concurrent_conditional_puts_wins(photos: Index) -> None:
    puts = [
        photos.put_object(BUCKET, "k", stored_object(number), check=WriteCheck(if_none_match=True))
        for number in range(50)
    ]
    results = await asyncio.gather(*puts, return_exceptions=True)

    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert await counts(photos) == (1, 100)


async def test_a_condemned_write_cannot_be_committed(photos: Index) -> None:
    assert await photos.condemn(write_id(5), Origin(bucket=BUCKET, key="k"))

    with pytest.raises(WriteCondemned):
        await photos.put_object(BUCKET, "k", stored_object(5))
    await photos.put_object(BUCKET, "k", stored_object(6))


async def test_a_large_layout_lies_in_a_key_of_its_own(photos: Index, connection: Connection) -> None:
    record = stored_object(1, 6400, segments=64)
    await photos.put_object(BUCKET, "k", record)

    stored = await read(photos, "k")
    _, light = await photos.get_object(BUCKET, "k", with_layout=False)
    listed = (await photos.list_objects(BUCKET)).objects[0].record
    fresh = await Index(connection).get_object(BUCKET, "k")

    assert stored is not None
    assert light is not None
    assert stored.extents == record.extents
    assert stored.layout_ref is not None
    assert light.extents == listed.extents == ()
    assert fresh[1] == stored
    assert len(await connection.command("KEYS", "*layout:*")) == 1


@pytest.mark.parametrize("over", [0, 1])
async def test_the_layout_moves_out_beyond_the_limit(photos: Index, connection: Connection, over: int) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1, 3200, segments=INLINE_PIECES + over))

    assert len(await connection.command("KEYS", "*layout:*")) == over


async def test_a_copied_record_does_not_keep_the_layout_of_its_source(photos: Index) -> None:
    await photos.put_object(BUCKET, "large", stored_object(1, 6400, segments=64))
    source = await read(photos, "large")
    assert source is not None
    await photos.put_object(
        BUCKET,
        "small",
        ObjectRecord(etag=etag(3), size_bytes=0, modified_ms=0, owner_id=OWNER, layout_ref=source.layout_ref),
    )

    copy = await read(photos, "small")

    assert copy is not None
    assert copy.layout_ref is None
    assert copy.extents == ()


async def test_parts_are_kept(photos: Index) -> None:
    parts = (ObjectPart(number=1, size_bytes=60), ObjectPart(number=7, size_bytes=40, checksum="AAAAAA=="))
    await photos.put_object(
        BUCKET, "k", ObjectRecord(etag=etag(1) + "-2", size_bytes=100, modified_ms=0, owner_id=OWNER, parts=parts)
    )

    record = await read(photos, "k")

    assert record is not None
    assert (record.parts, record.etag) == (parts, etag(1) + "-2")


async def test_delete_removes_and_queues(photos: Index) -> None:
    await put(photos, "k")

    first = await delete(photos, "k")
    second = await delete(photos, "k")

    assert (first.existed, first.delete_marker, first.version_id) == (True, False, None)
    assert first.sequence > 0
    assert second == DeleteResult(version_id=None, delete_marker=False, existed=False, sequence=0)
    assert await read(photos, "k") is None
    assert await counts(photos) == (0, 0)
    assert [record.etag for record in await discarded(photos)] == [etag(1)]


@pytest.mark.parametrize(
    ("deletion", "expected"),
    [
        (Deletion(key="k", if_match=etag(1)), None),
        (Deletion(key="k", if_match="*"), None),
        (Deletion(key="k", if_match=etag(2)), ConditionFailed),
        (Deletion(key="k", if_size_bytes=100), None),
        (Deletion(key="k", if_size_bytes=0), ConditionFailed),
        (Deletion(key="k", if_modified_s=NOW_MS // 1000), None),
        (Deletion(key="k", if_modified_s=NOW_MS // 1000 + 1), ConditionFailed),
        (Deletion(key="missing", if_match="*"), NoSuchKey),
        (Deletion(key="missing", if_size_bytes=0), NoSuchKey),
    ],
)
async def test_conditions_of_a_delete(photos: Index, deletion: Deletion, expected: type[IndexRefusal] | None) -> None:
    await put(photos, "k")

    if expected is None:
        assert (await photos.delete_object(BUCKET, deletion, owner_id=OWNER, now_ms=0)).existed
    else:
        with pytest.raises(expected):
            await photos.delete_object(BUCKET, deletion, owner_id=OWNER, now_ms=0)
        assert await counts(photos) == (1, 100)


async def test_many_deletions_are_answered_one_by_one(photos: Index) -> None:
    await put(photos, *[f"k{number}" for number in range(1000)])
    deletions = [Deletion(key=f"k{number}") for number in range(997)]
    deletions += [Deletion(key="k0"), Deletion(key="k998", if_match=etag(9)), Deletion(key="absent")]

    results = await photos.delete_objects(BUCKET, deletions, owner_id=OWNER, now_ms=0)

    assert [isinstance(result, DeleteResult) and result.existed for result in results] == [True] * 997 + [False] * 3
    assert isinstance(results[998], ConditionFailed)
    assert await counts(photos) == (3, 300)
    with pytest.raises(ValueError, match="at most"):
        await photos.delete_objects(BUCKET, [Deletion(key="k")] * 1001, owner_id=OWNER, now_ms=0)


async def test_delete_is_for_the_bucket_that_the_caller_was_allowed_to_change(photos: Index) -> None:
    allowed = (await photos.get_bucket(BUCKET)).bucket_id
    await photos.delete_bucket(BUCKET)
    await make_bucket(photos, BUCKET, OTHER_OWNER)
    await put(photos, "k")

    with pytest.raises(NoSuchBucket):
        await photos.delete_objects(BUCKET, [Deletion(key="k")], owner_id=OWNER, now_ms=0, bucket_id=allowed)
    with pytest.raises(NoSuchBucket):
        await photos.delete_object(BUCKET, Deletion(key="k"), owner_id=OWNER, now_ms=0, bucket_id=allowed)

    present = (await photos.get_bucket(BUCKET)).bucket_id
    deleted = await photos.delete_object(BUCKET, Deletion(key="k"), owner_id=OWNER, now_ms=0, bucket_id=present)
    assert deleted.existed


async def test_versions_are_kept_while_versioning_is_on(photos: Index) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1, 10))
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    second = await photos.put_object(BUCKET, "k", stored_object(2, 20))
    third = await photos.put_object(BUCKET, "k", stored_object(3, 30))

    assert second.version_id not in (None, "null", third.version_id)
    assert [
        getattr(await read(photos, "k", version), "etag", None) for version in (None, second.version_id, "null")
    ] == [etag(3), etag(2), etag(1)]
    assert await read(photos, "k", "0" * 16) is None
    assert await read(photos, "k", "no version") is None
    assert await counts(photos) == (3, 60)
    assert await discarded(photos) == []


async def test_a_delete_marker_hides_an_object_and_its_removal_shows_it(photos: Index) -> None:
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    await put(photos, "k")

    marker = await delete(photos, "k")
    hidden = await read(photos, "k")
    removed = await delete(photos, "k", marker.version_id)
    shown = await read(photos, "k")

    assert marker.delete_marker
    assert marker.existed
    assert hidden is not None
    assert (hidden.delete_marker, hidden.version_id, hidden.owner_id) == (True, marker.version_id, OWNER)
    assert (removed.delete_marker, removed.version_id) == (True, marker.version_id)
    assert shown is not None
    assert not shown.delete_marker
    assert await counts(photos) == (1, 100)


async def test_conditions_see_no_object_under_a_delete_marker(photos: Index) -> None:
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    await put(photos, "k")
    await delete(photos, "k")

    with pytest.raises(NoSuchKey):
        await photos.put_object(BUCKET, "k", stored_object(2), check=WriteCheck(if_match="*"))
    await photos.put_object(BUCKET, "k", stored_object(2), check=WriteCheck(if_none_match=True))


async def test_suspended_versioning_replaces_the_null_version_only(photos: Index) -> None:
    await photos.put_object(BUCKET, "k", stored_object(1, 10))
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    kept = await photos.put_object(BUCKET, "k", stored_object(2, 20))
    await photos.set_versioning(BUCKET, Versioning.SUSPENDED)

    result = await photos.put_object(BUCKET, "k", stored_object(3, 30))
    assert (result.version_id, result.replaced) == ("null", True)
    assert await counts(photos) == (2, 50)
    assert [record.etag for record in await discarded(photos)] == [etag(1)]

    marker = await delete(photos, "k")
    assert (marker.version_id, marker.delete_marker) == ("null", True)
    assert await counts(photos) == (1, 20)
    assert (await read(photos, "k", kept.version_id)) is not None
    null = await read(photos, "k", "null")
    assert null is not None
    assert null.delete_marker


async def test_deleting_a_version_removes_it_alone(photos: Index) -> None:
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    first = await photos.put_object(BUCKET, "k", stored_object(1))
    await photos.put_object(BUCKET, "k", stored_object(2))

    result = await delete(photos, "k", first.version_id)
    again = await delete(photos, "k", first.version_id)

    assert (result.version_id, result.existed, result.delete_marker) == (first.version_id, True, False)
    assert not again.existed
    assert getattr(await read(photos, "k"), "etag", None) == etag(2)
    assert await counts(photos) == (1, 100)


async def test_sequence_numbers_have_no_gaps(photos: Index) -> None:
    start = (await photos.put_object(BUCKET, "a", stored_object())).sequence

    results = await asyncio.gather(*[photos.put_object(BUCKET, f"k{n % 3}", stored_object(n)) for n in range(20)])
    deleted = await photos.delete_objects(BUCKET, [Deletion(key="a"), Deletion(key="k0")], owner_id=OWNER, now_ms=0)

    numbers = [result.sequence for result in results] + [
        result.sequence for result in deleted if isinstance(result, DeleteResult)
    ]
    assert sorted(numbers) == list(range(start + 1, start + 23))
