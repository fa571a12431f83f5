"""Buckets: creating, listing, removing."""

import pytest

from gateway.index import buckets, keys
from gateway.index.connection import Connection
from gateway.index.errors import BucketExists, BucketNotEmpty, NoSuchBucket, TooManyBuckets
from gateway.index.records import Deletion, ReclaimKind, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import (
    NOW_MS,
    OTHER_OWNER,
    OWNER,
    begun_upload,
    make_bucket,
    put,
    stored_part,
    write_id,
)


async def test_a_bucket_is_read_back_as_it_was_made(index: Index) -> None:
    made = await index.create_bucket("photos", OWNER, "eu-north-1", now_ms=NOW_MS, limit=1)

    assert await index.get_bucket("photos") == made
    assert (made.name, made.owner_id, made.region, made.created_ms) == ("photos", OWNER, "eu-north-1", NOW_MS)
    assert (made.versioning, made.object_count, made.byte_count) == (Versioning.UNVERSIONED, 0, 0)


async def test_a_name_is_taken_once_and_the_refusal_tells_the_owner(index: Index) -> None:
    await make_bucket(index)

    with pytest.raises(BucketExists) as refused:
        await index.create_bucket("photos", OTHER_OWNER, "us-east-1", now_ms=NOW_MS, limit=1)
    assert refused.value.owner_id == OWNER


async def test_an_owner_has_no_more_buckets_than_its_limit(index: Index) -> None:
    await make_bucket(index, "one")
    await make_bucket(index, "two", OTHER_OWNER)

    with pytest.raises(TooManyBuckets):
        await index.create_bucket("three", OWNER, "us-east-1", now_ms=NOW_MS, limit=1)
    await index.create_bucket("three", OWNER, "us-east-1", now_ms=NOW_MS, limit=2)


async def test_an_unknown_bucket_is_refused(index: Index) -> None:
    with pytest.raises(NoSuchBucket):
        await index.get_bucket("missing")
    with pytest.raises(NoSuchBucket):
        await index.delete_bucket("missing")
    with pytest.raises(NoSuchBucket):
        await index.set_versioning("missing", Versioning.ENABLED)


async def test_versioning_is_never_taken_back(index: Index) -> None:
    await make_bucket(index)
    await index.set_versioning("photos", Versioning.SUSPENDED)

    assert (await index.get_bucket("photos")).versioning is Versioning.SUSPENDED
    with pytest.raises(ValueError, match="suspended"):
        await index.set_versioning("photos", Versioning.UNVERSIONED)


async def test_a_bucket_with_an_object_or_a_marker_is_not_deleted(index: Index) -> None:
    await make_bucket(index)
    await put(index, "k")
    with pytest.raises(BucketNotEmpty):
        await index.delete_bucket("photos")

    await index.delete_object("photos", Deletion(key="k"), owner_id=OWNER, now_ms=NOW_MS)
    await index.set_versioning("photos", Versioning.ENABLED)
    await index.delete_object("photos", Deletion(key="k"), owner_id=OWNER, now_ms=NOW_MS)
    with pytest.raises(BucketNotEmpty):
        await index.delete_bucket("photos")


async def test_deleting_a_bucket_leaves_no_key_but_what_waits_for_reclaim(index: Index, connection: Connection) -> None:
    await make_bucket(index)
    await put(index, "k")
    await index.delete_object("photos", Deletion(key="k"), owner_id=OWNER, now_ms=NOW_MS)

    await index.delete_bucket("photos")

    left = set(await connection.command("KEYS", "*"))
    journal = {keys.journal(), keys.journal_stream(), keys.pending()}
    assert left == {name.encode() for name in {keys.sequence(), keys.born(), keys.reclaim(), keys.trash(), *journal}}
    assert (await index.list_buckets(OWNER)).buckets == ()
    with pytest.raises(NoSuchBucket):
        await index.get_bucket("photos")


async def test_deleting_a_bucket_aborts_its_uploads_in_steps(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "_UPLOADS_A_CALL", 3)
    await make_bucket(index)
    for number in range(7):
        upload = await index.create_upload("photos", begun_upload("same key"))
        await index.put_part("photos", "same key", upload.upload_id, stored_part(1, number))

    await index.delete_bucket("photos")

    entries = await index.due_reclaims(grace_ms=0, limit=100)
    assert [entry.kind for entry in entries] == [ReclaimKind.UPLOAD] * 7
    ids = {extent.write_id for entry in entries async for extent in index.extents_of(entry)}
    assert ids == {write_id(number) for number in range(7)}


async def test_buckets_are_listed_by_owner_prefix_and_page(index: Index) -> None:
    for name in ("alpha", "beta", "beta-2", "gamma"):
        await make_bucket(index, name)
    await make_bucket(index, "beta-1", OTHER_OWNER)

    async def listed(owner: str | None = OWNER, prefix: str = "", after: str = "", limit: int = 10) -> list[str]:
        page = await index.list_buckets(owner, prefix=prefix, after=after, limit=limit)
        return [bucket.name for bucket in page.buckets] + ["…"] * page.truncated

    assert await listed() == ["alpha", "beta", "beta-2", "gamma"]
    assert await listed(None) == ["alpha", "beta", "beta-1", "beta-2", "gamma"]
    assert await listed(prefix="beta") == ["beta", "beta-2"]
    assert await listed(limit=2) == ["alpha", "beta", "…"]
    assert await listed(after="beta", limit=2) == ["beta-2", "gamma"]
    assert await listed(after="beta", prefix="beta") == ["beta-2"]
    assert await listed(None, after="bet") == ["beta", "beta-1", "beta-2", "gamma"]
    assert await listed(prefix="\0") == []
    assert await listed(limit=0) == []
    assert await listed("nobody") == []


async def test_a_bucket_carries_the_configuration_that_its_requests_ask_for(index: Index) -> None:
    await make_bucket(index)
    bucket = await index.get_bucket("photos")

    await index.set_bucket_config("photos", "policy", b"{}", bucket_id=bucket.bucket_id)
    await index.set_bucket_config("photos", "inventory", b"\x00kept")

    assert (await index.get_bucket("photos")).configs == {"policy": b"{}"}
    assert (await index.get_object("photos", "key"))[0].configs == {"policy": b"{}"}
    assert await index.get_bucket_config("photos", "inventory") == b"\x00kept"

    await index.set_bucket_config("photos", "policy", None)
    assert (await index.get_bucket("photos")).configs == {}


async def test_a_bucket_begins_with_the_configuration_that_it_is_given(index: Index) -> None:
    configs = {"acl": b"a", "ownership": b"o", "inventory": b"t"}
    made = await index.create_bucket("photos", OWNER, "us-east-1", now_ms=NOW_MS, limit=1, configs=configs)

    assert made == await index.get_bucket("photos")
    assert made.configs == {"acl": b"a", "ownership": b"o"}
    assert await index.get_bucket_config("photos", "inventory") == b"t"


async def test_configuration_is_not_written_to_another_bucket_of_the_same_name(index: Index) -> None:
    await make_bucket(index)
    old = await index.get_bucket("photos")
    await index.delete_bucket("photos")
    await make_bucket(index)

    with pytest.raises(NoSuchBucket):
        await index.set_bucket_config("photos", "policy", b"{}", bucket_id=old.bucket_id)
    with pytest.raises(NoSuchBucket):
        await index.get_bucket_config("missing", "policy")
    assert (await index.get_bucket("photos")).configs == {}
