"""Object lock in the index: no script removes a locked version, and the lock survives encoding."""

from dataclasses import replace

import pytest

from gateway.index.connection import Connection
from gateway.index.errors import ObjectLocked, VersioningRequired
from gateway.index.object_encoding import decode_object, encode_object, order_of, pack_lock, unpack_lock
from gateway.index.records import NO_LOCK, Deletion, LockMode, ObjectLock, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, begun_upload, stored_object, stored_part

BUCKET = "photos"
LATER_MS = 4_000_000_000_000
GOVERNED = ObjectLock(mode=LockMode.GOVERNANCE, retain_until_ms=LATER_MS)
COMPLIANT = ObjectLock(mode=LockMode.COMPLIANCE, retain_until_ms=LATER_MS)
RUN_OUT = ObjectLock(mode=LockMode.COMPLIANCE, retain_until_ms=1_000)
HELD = ObjectLock(legal_hold=True)
RELEASED = ObjectLock(legal_hold=False)
ALL = (GOVERNED, COMPLIANT, RUN_OUT, HELD, RELEASED, replace(GOVERNED, legal_hold=True))


@pytest.fixture
async def locking(index: Index) -> Index:
    await index.create_bucket(
        BUCKET,
        OWNER,
        "us-east-1",
        now_ms=NOW_MS,
        limit=10,
        configs={"object-lock": b"document"},
        versioning=Versioning.ENABLED,
    )
    return index


async def remove(index: Index, version_id: str | None, *, bypass: bool = False) -> bool:
    """Whether the version went."""
    deletion = Deletion(key="k", version_id=version_id, bypass_governance=bypass)
    try:
        await index.delete_object(BUCKET, deletion, owner_id=OWNER, now_ms=NOW_MS)
    except ObjectLocked:
        assert (await index.get_object(BUCKET, "k", version_id))[1] is not None
        return False
    return True


@pytest.mark.parametrize("lock", ALL)
@pytest.mark.parametrize("segments", [1, 64])
def test_a_lock_is_decoded_as_it_was_encoded(lock: ObjectLock, segments: int) -> None:
    record = replace(stored_object(3, 6400, segments=segments), lock=lock)
    if segments > 1:
        record = replace(record, layout_ref="0" * 32)

    decoded = decode_object(order_of(5), encode_object(record))

    assert decoded.lock == unpack_lock(pack_lock(lock)) == lock
    assert decoded.etag == record.etag
    assert decode_object(order_of(5), encode_object(replace(record, lock=NO_LOCK))).lock == NO_LOCK


@pytest.mark.parametrize("segments", [1, 64])
@pytest.mark.parametrize(
    ("lock", "goes", "goes_with_bypass"),
    [
        (NO_LOCK, True, True),
        (RUN_OUT, True, True),
        (RELEASED, True, True),
        (GOVERNED, False, True),
        (COMPLIANT, False, False),
        (HELD, False, False),
        (replace(GOVERNED, legal_hold=True), False, False),
        (replace(RUN_OUT, legal_hold=True), False, False),
    ],
)
async def test_a_locked_version_stays(
    locking: Index, lock: ObjectLock, goes: bool, goes_with_bypass: bool, segments: int
) -> None:
    for bypass, expected in ((False, goes), (True, goes_with_bypass)):
        record = replace(stored_object(1, 6400, segments=segments), lock=lock)
        written = await locking.put_object(BUCKET, "k", record)
        assert await remove(locking, written.version_id, bypass=bypass) is expected


async def test_a_marker_over_a_locked_version_comes_and_goes(locking: Index) -> None:
    written = await locking.put_object(BUCKET, "k", replace(stored_object(1), lock=COMPLIANT))
    deletion = Deletion(key="k")
    marker = await locking.delete_object(BUCKET, deletion, owner_id=OWNER, now_ms=NOW_MS)
    assert marker.delete_marker
    assert await remove(locking, marker.version_id)
    assert not await remove(locking, written.version_id)


async def test_the_lock_of_an_upload_is_its_objects(locking: Index) -> None:
    upload = await locking.create_upload(BUCKET, replace(begun_upload("k"), lock=HELD))
    await locking.put_part(BUCKET, "k", upload.upload_id, stored_part(1, 1))
    assert (await locking.get_upload(BUCKET, "k", upload.upload_id)).lock == HELD
    page = await locking.all_parts(BUCKET, "k", upload.upload_id)
    record = replace(stored_object(1), lock=page.upload.lock)
    done = await locking.complete_upload(BUCKET, "k", upload.upload_id, record, revision=page.revision)
    assert not await remove(locking, done.version_id)


async def test_a_changed_lock_counts_at_once(locking: Index) -> None:
    written = await locking.put_object(BUCKET, "k", stored_object(1))
    await locking.update_object(BUCKET, "k", written.version_id, lambda record: replace(record, lock=HELD))
    assert not await remove(locking, written.version_id)
    await locking.update_object(BUCKET, "k", written.version_id, lambda record: replace(record, lock=RELEASED))
    assert await remove(locking, written.version_id)


async def test_a_bucket_with_object_lock_stays_versioning(locking: Index, connection: Connection) -> None:
    with pytest.raises(VersioningRequired):
        await locking.set_versioning(BUCKET, Versioning.SUSPENDED)
    with pytest.raises(VersioningRequired):
        await locking.set_bucket_config(BUCKET, "object-lock", None)
    assert (await locking.get_bucket(BUCKET)).versioning is Versioning.ENABLED


async def test_object_lock_needs_versioning(index: Index) -> None:
    await index.create_bucket("plain", OWNER, "us-east-1", now_ms=NOW_MS, limit=10)
    with pytest.raises(VersioningRequired):
        await index.set_bucket_config("plain", "object-lock", b"document")
    await index.set_versioning("plain", Versioning.ENABLED)
    await index.set_bucket_config("plain", "object-lock", b"document")
