"""Multipart uploads: parts, completing, aborting, listing; and what they leave for reclaim."""

import asyncio

import pytest

from gateway.index.connection import Connection
from gateway.index.errors import (
    ConditionFailed,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    UploadChanged,
    WriteCondemned,
)
from gateway.index.records import (
    Extent,
    ObjectPart,
    ObjectRecord,
    Origin,
    PartPage,
    ReclaimKind,
    UploadPage,
    UploadPosition,
    UploadRecord,
    Versioning,
    WriteCheck,
)
from gateway.index.store import Index
from tests.gateway.index.making import (
    NOW_MS,
    OWNER,
    begun_upload,
    etag,
    make_bucket,
    put,
    stored_part,
    write_id,
)

BUCKET = "photos"


@pytest.fixture
async def photos(index: Index) -> Index:
    await make_bucket(index, BUCKET)
    return index


@pytest.fixture
async def upload(photos: Index) -> UploadRecord:
    return await photos.create_upload(BUCKET, begun_upload("film"))


async def put_parts(index: Index, upload: UploadRecord, *numbers: int, first_write: int = 100) -> None:
    for number in numbers:
        await index.put_part(BUCKET, upload.key, upload.upload_id, stored_part(number, first_write + number))


def assembled(page: PartPage, *numbers: int) -> tuple[ObjectRecord, list[Extent]]:
    """The object made of these parts, and the extents of the others."""
    used = [part for part in page.parts if part.part_number in numbers]
    record = ObjectRecord(
        etag=f"{etag(1)}-{len(used)}",
        size_bytes=sum(part.size_bytes for part in used),
        modified_ms=NOW_MS,
        owner_id=OWNER,
        extents=tuple(part.extent for part in used),
        parts=tuple(ObjectPart(number=part.part_number, size_bytes=part.size_bytes) for part in used),
    )
    return record, [part.extent for part in page.parts if part.part_number not in numbers]


async def complete(index: Index, upload: UploadRecord, *numbers: int, check: WriteCheck | None = None) -> ObjectRecord:
    page = await index.all_parts(BUCKET, upload.key, upload.upload_id)
    record, unused = assembled(page, *numbers)
    result = await index.complete_upload(
        BUCKET, upload.key, upload.upload_id, record, revision=page.revision, unused=unused, check=check
    )
    assert not result.replayed
    return result.record


async def reclaimed(index: Index) -> dict[ReclaimKind, set[str]]:
    """The write ids that wait for reclaim, by kind."""
    found: dict[ReclaimKind, set[str]] = {}
    for entry in await index.due_reclaims(grace_ms=0, limit=1000):
        ids = {extent.write_id async for extent in index.extents_of(entry)}
        found[entry.kind] = found.get(entry.kind, set()) | ids
    return found


async def test_an_upload_is_read_back_with_its_id(photos: Index, upload: UploadRecord) -> None:
    assert len(upload.upload_id) == 32
    assert await photos.get_upload(BUCKET, "film", upload.upload_id) == upload


@pytest.mark.parametrize("wrong", ["", "x", "0" * 32, "é", "shortened"])
async def test_an_unknown_upload_is_refused_everywhere(photos: Index, upload: UploadRecord, wrong: str) -> None:
    wrong = upload.upload_id[:-1] if wrong == "shortened" else wrong

    with pytest.raises(NoSuchUpload):
        await photos.get_upload(BUCKET, "film", wrong)
    with pytest.raises(NoSuchUpload):
        await photos.get_upload(BUCKET, "other", upload.upload_id)
    with pytest.raises(NoSuchUpload):
        await photos.put_part(BUCKET, "film", wrong, stored_part(1, 1))
    with pytest.raises(NoSuchUpload):
        await photos.abort_upload(BUCKET, "film", wrong)
    with pytest.raises(NoSuchUpload):
        await photos.complete_upload(BUCKET, "film", wrong, assembled_nothing(), revision=0)
    with pytest.raises(NoSuchBucket):
        await photos.get_upload("missing", "film", upload.upload_id)
    assert await photos.completed_upload(BUCKET, "film", wrong) is None


def assembled_nothing() -> ObjectRecord:
    return ObjectRecord(etag=etag(1), size_bytes=0, modified_ms=NOW_MS, owner_id=OWNER)


async def test_parts_are_listed_by_number_in_pages(photos: Index, upload: UploadRecord) -> None:
    await put_parts(photos, upload, 10000, 2, 1, 30)

    first = await photos.list_parts(BUCKET, "film", upload.upload_id, limit=2)
    second = await photos.list_parts(BUCKET, "film", upload.upload_id, after=2, limit=2)

    assert [part.part_number for part in first.parts] == [1, 2]
    assert [part.part_number for part in second.parts] == [30, 10000]
    assert (first.truncated, second.truncated) == (True, False)
    assert second.parts[1] == stored_part(10000, 10100)
    assert (await photos.list_parts(BUCKET, "film", upload.upload_id, limit=0)).parts == ()


async def test_a_replaced_part_is_queued_and_changes_the_revision(photos: Index, upload: UploadRecord) -> None:
    await put_parts(photos, upload, 1, 2)
    before = await photos.all_parts(BUCKET, "film", upload.upload_id)
    await put_parts(photos, upload, 2, first_write=200)

    after = await photos.all_parts(BUCKET, "film", upload.upload_id)

    assert [part.etag for part in after.parts] == [etag(101), etag(202)]
    assert after.revision > before.revision
    assert await reclaimed(photos) == {ReclaimKind.PART: {write_id(102)}}


async def test_completing_makes_the_object_and_queues_unused_parts(photos: Index, upload: UploadRecord) -> None:
    await put(photos, "film")
    await put_parts(photos, upload, 1, 2, 3)

    await complete(photos, upload, 1, 3)

    bucket, record = await photos.get_object(BUCKET, "film")
    assert record is not None
    assert [extent.write_id for extent in record.extents] == [write_id(101), write_id(103)]
    assert [part.number for part in record.parts] == [1, 3]
    assert (bucket.object_count, bucket.byte_count) == (1, 200)
    assert await reclaimed(photos) == {ReclaimKind.EXTENTS: {write_id(102)}, ReclaimKind.OBJECT: {write_id(1)}}
    with pytest.raises(NoSuchUpload):
        await photos.get_upload(BUCKET, "film", upload.upload_id)
    assert (await photos.list_uploads(BUCKET)).uploads == ()


async def test_nothing_of_an_upload_is_left_but_its_answer(
    photos: Index, upload: UploadRecord, connection: Connection
) -> None:
    await put_parts(photos, upload, 1)
    await complete(photos, upload, 1)

    (left,) = await connection.command("KEYS", f"*{upload.upload_id}*")

    assert b":completed:" in left
    assert 86_000_000 < await connection.command("PTTL", left) <= 86_400_000


async def test_a_second_completion_gets_the_answer_of_the_first(photos: Index, upload: UploadRecord) -> None:
    await put_parts(photos, upload, 1)
    first = await complete(photos, upload, 1, check=WriteCheck(if_none_match=True))
    await put(photos, "film")

    replay = await photos.complete_upload(
        BUCKET,
        "film",
        upload.upload_id,
        assembled_nothing(),
        revision=0,
        check=WriteCheck(if_none_match=True),
    )

    assert (replay.replayed, replay.record, replay.version_id) == (True, first, None)
    assert await photos.completed_upload(BUCKET, "film", upload.upload_id) == replay
    assert await photos.completed_upload(BUCKET, "other", upload.upload_id) is None
    with pytest.raises(NoSuchUpload):
        await photos.complete_upload(BUCKET, "other", upload.upload_id, assembled_nothing(), revision=0)


async def test_completing_in_a_versioned_bucket_names_the_version(photos: Index, upload: UploadRecord) -> None:
    await photos.set_versioning(BUCKET, Versioning.ENABLED)
    await put_parts(photos, upload, 1)
    await complete(photos, upload, 1)

    answer = await photos.completed_upload(BUCKET, "film", upload.upload_id)

    assert answer is not None
    assert answer.version_id == (await photos.get_object(BUCKET, "film", answer.version_id))[1].version_id  # type: ignore[union-attr]


async def test_completing_with_parts_written_since_they_were_read_is_refused(
    photos: Index, upload: UploadRecord
) -> None:
    await put_parts(photos, upload, 1)
    page = await photos.all_parts(BUCKET, "film", upload.upload_id)
    await put_parts(photos, upload, 1, first_write=200)
    record, _ = assembled(page, 1)

    with pytest.raises(UploadChanged):
        await photos.complete_upload(BUCKET, "film", upload.upload_id, record, revision=page.revision)
    assert (await photos.get_object(BUCKET, "film"))[1] is None


async def test_conditions_of_a_completion(photos: Index, upload: UploadRecord) -> None:
    await put_parts(photos, upload, 1)

    with pytest.raises(NoSuchKey):
        await complete(photos, upload, 1, check=WriteCheck(if_match=etag(1)))
    await put(photos, "film")
    with pytest.raises(ConditionFailed):
        await complete(photos, upload, 1, check=WriteCheck(if_none_match=True))
    with pytest.raises(ConditionFailed):
        await complete(photos, upload, 1, check=WriteCheck(if_match=etag(9)))
    await complete(photos, upload, 1, check=WriteCheck(if_match=etag(1)))


async def test_condemned_writes_are_refused_as_parts(photos: Index, upload: UploadRecord) -> None:
    origin = Origin(bucket=BUCKET, key="film", upload_id=upload.upload_id, part_number=1)
    assert await photos.condemn(write_id(101), origin)

    with pytest.raises(WriteCondemned):
        await put_parts(photos, upload, 1)


async def test_of_many_concurrent_completions_one_makes_the_object(photos: Index, upload: UploadRecord) -> None:
    await put_parts(photos, upload, 1)
    page = await photos.all_parts(BUCKET, "film", upload.upload_id)
    record, _ = assembled(page, 1)

    results = await asyncio.gather(
        *[photos.complete_upload(BUCKET, "film", upload.upload_id, record, revision=page.revision) for _ in range(20)]
    )

    assert sorted(result.replayed for result in results) == [False] + [True] * 19
    assert len({result.sequence for result in results}) == 1
    assert await reclaimed(photos) == {}


async def test_completing_races_with_parts_without_losing_bytes(photos: Index, upload: UploadRecord) -> None:
    await put_parts(photos, upload, 1, 2)

    async def complete_when_quiet() -> ObjectRecord:
        while True:
            try:
                return await complete(photos, upload, 1, 2)
            except UploadChanged:
                continue

    async def keep_writing() -> set[str]:
        written = set()
        for number in range(40):
            try:
                await photos.put_part(BUCKET, "film", upload.upload_id, stored_part(number % 2 + 1, 1000 + number))
            except NoSuchUpload:
                break
            written.add(write_id(1000 + number))
        return written

    written, record = await asyncio.gather(keep_writing(), complete_when_quiet())
    queued = await reclaimed(photos)
    referenced = {extent.write_id for extent in record.extents}

    assert queued.get(ReclaimKind.PART, set()) | referenced == written | {write_id(101), write_id(102)}


async def test_ten_thousand_parts_complete(photos: Index, upload: UploadRecord) -> None:
    for start in range(1, 10001, 500):
        await asyncio.gather(*[put_parts(photos, upload, number) for number in range(start, start + 500)])

    record = await complete(photos, upload, *range(1, 10001))

    assert record.extents == ()
    stored = (await photos.get_object(BUCKET, "film"))[1]
    assert stored is not None
    assert (len(stored.extents), len(stored.parts), stored.size_bytes) == (10000, 10000, 1_000_000)


async def test_aborting_queues_all_parts(photos: Index, upload: UploadRecord, connection: Connection) -> None:
    await put_parts(photos, upload, 1, 2)

    await photos.abort_upload(BUCKET, "film", upload.upload_id)

    with pytest.raises(NoSuchUpload):
        await put_parts(photos, upload, 3)
    (entry,) = await photos.due_reclaims(grace_ms=0, limit=10)
    assert entry.kind is ReclaimKind.UPLOAD
    assert {extent.write_id async for extent in photos.extents_of(entry)} == {write_id(101), write_id(102)}
    assert await photos.finish_reclaim(entry)
    assert await connection.command("KEYS", f"*{upload.upload_id}*") == []


async def begin(index: Index, *keys: str) -> list[UploadRecord]:
    return [await index.create_upload(BUCKET, begun_upload(key)) for key in keys]


def shown(page: UploadPage) -> tuple[list[tuple[str, str]], list[str]]:
    return [(upload.key, upload.upload_id) for upload in page.uploads], list(page.common_prefixes)


async def test_uploads_are_listed_by_key_and_initiation(photos: Index) -> None:
    begun = await begin(photos, "b", "a", "b", "a/x", "b")

    page = await photos.list_uploads(BUCKET)

    order = [begun[1], begun[3], begun[0], begun[2], begun[4]]
    assert list(page.uploads) == order
    assert [upload.key for upload in (await photos.list_uploads(BUCKET, prefix="a")).uploads] == ["a", "a/x"]
    assert shown(await photos.list_uploads(BUCKET, prefix="a", delimiter="/")) == (
        [("a", begun[1].upload_id)],
        ["a/"],
    )


async def test_upload_pages_go_on_behind_key_or_upload(photos: Index) -> None:
    begun = await begin(photos, "a", "a", "b/1", "b/2", "c")

    first = await photos.list_uploads(BUCKET, delimiter="/", limit=1)
    second = await photos.list_uploads(BUCKET, delimiter="/", limit=2, after=first.next)
    third = await photos.list_uploads(BUCKET, delimiter="/", limit=2, after=second.next)

    assert first.next == UploadPosition(value="a", upload_id=begun[0].upload_id)
    assert shown(second) == ([("a", begun[1].upload_id)], ["b/"])
    assert second.next == UploadPosition(value="b/", is_prefix=True)
    assert (shown(third), third.next) == (([("c", begun[4].upload_id)], []), None)
    behind_key = await photos.list_uploads(BUCKET, after=UploadPosition(value="a"))
    assert [upload.key for upload in behind_key.uploads] == ["b/1", "b/2", "c"]
    odd = await photos.list_uploads(BUCKET, after=UploadPosition(value="a", upload_id="zé"))
    assert [upload.key for upload in odd.uploads] == ["b/1", "b/2", "c"]
    assert (await photos.list_uploads(BUCKET, limit=0)).uploads == ()
