"""Quotas: exact, decided where the counters are written."""

import asyncio

import pytest

from gateway.index.connection import Connection
from gateway.index.errors import QuotaExceeded
from gateway.index.records import Deletion, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, begun_upload, make_bucket, stored_object, stored_part

BUCKET = "photos"


@pytest.fixture
async def limited(index: Index) -> Index:
    """A bucket that takes 1,000 bytes and 3 objects."""
    await make_bucket(index)
    await index.set_quota(BUCKET, size_bytes=1000, objects=3)
    return index


async def put(index: Index, key: str, size_bytes: int) -> bool:
    """Whether it was taken."""
    try:
        await index.put_object(BUCKET, key, stored_object(1, size_bytes))
    except QuotaExceeded:
        return False
    return True


async def counts(index: Index) -> tuple[int, int]:
    bucket = await index.get_bucket(BUCKET)
    return bucket.object_count, bucket.byte_count


async def test_bytes_are_taken_up_to_the_quota_and_not_one_more(limited: Index) -> None:
    assert await put(limited, "a", 600)
    assert not await put(limited, "b", 401)
    assert await put(limited, "b", 400)
    assert await counts(limited) == (2, 1000)
    assert not await put(limited, "c", 1)
    assert await put(limited, "c", 0)


async def test_objects_are_taken_up_to_the_quota(limited: Index) -> None:
    assert [await put(limited, key, 1) for key in "abcd"] == [True, True, True, False]
    assert await put(limited, "a", 2)
    await limited.delete_object(BUCKET, Deletion(key="b"), owner_id=OWNER, now_ms=NOW_MS)
    assert await put(limited, "d", 1)


async def test_what_is_replaced_makes_room(limited: Index) -> None:
    assert await put(limited, "a", 900)
    assert await put(limited, "a", 1000)
    assert not await put(limited, "a", 1001)
    assert await counts(limited) == (1, 1000)


async def test_versions_count(limited: Index) -> None:
    await limited.set_versioning(BUCKET, Versioning.ENABLED)
    assert await put(limited, "a", 600)
    assert not await put(limited, "a", 600)
    await limited.delete_object(BUCKET, Deletion(key="a"), owner_id=OWNER, now_ms=NOW_MS)
    assert await counts(limited) == (1, 600)


async def test_a_bucket_over_a_new_quota_shrinks_and_does_not_grow(limited: Index) -> None:
    assert await put(limited, "a", 900)
    await limited.set_quota(BUCKET, size_bytes=500, objects=None)
    assert await put(limited, "a", 800)
    assert not await put(limited, "a", 801)
    await limited.set_quota(BUCKET, size_bytes=None, objects=None)
    assert await put(limited, "a", 10**12)
    bucket = await limited.get_bucket(BUCKET)
    assert (bucket.quota_bytes, bucket.quota_objects) == (None, None)


async def test_an_upload_that_is_refused_can_be_completed_later(limited: Index) -> None:
    upload = await limited.create_upload(BUCKET, begun_upload("k"))
    await limited.put_part(BUCKET, "k", upload.upload_id, stored_part(1, 1, 1001))
    page = await limited.all_parts(BUCKET, "k", upload.upload_id)
    record = stored_object(1, 1001)
    with pytest.raises(QuotaExceeded):
        await limited.complete_upload(BUCKET, "k", upload.upload_id, record, revision=page.revision)
    assert await counts(limited) == (0, 0)
    await limited.set_quota(BUCKET, size_bytes=2000, objects=3)
    await limited.complete_upload(BUCKET, "k", upload.upload_id, record, revision=page.revision)
    assert await counts(limited) == (1, 1001)


async def test_a_refused_write_leaves_nothing(limited: Index, connection: Connection) -> None:
    assert await put(limited, "a", 1000)
    before = await connection.command("GET", "cairn:{0}:sequence")
    assert not await put(limited, "b", 1)
    assert await connection.command("GET", "cairn:{0}:sequence") == before


async def test_writers_at_once_stay_within_it(limited: Index) -> None:
    await limited.set_quota(BUCKET, size_bytes=1000, objects=100)
    taken = await asyncio.gather(*[put(limited, f"{number}", 100) for number in range(30)])
    assert sum(taken) == 10
    assert await counts(limited) == (10, 1000)
