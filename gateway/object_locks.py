"""Object lock between requests and records: a bucket's configuration, the lock of a write, the members of an answer."""

from dataclasses import replace
from datetime import UTC, datetime

import msgpack

from gateway.context import Context, Input, Output
from gateway.index.records import NO_LOCK, BucketRecord, LockMode, ObjectLock
from s3compat.errors import S3Error
from s3compat.object_lock import HEADERS, DefaultRetention, Retention, hold_of_write, retention_of_write

#: The name of the configuration document: msgpack [format, mode, days, years], the mode nil where there is no default.
OBJECT_LOCK = "object-lock"
_FORMAT = 1


def has_object_lock(bucket: BucketRecord) -> bool:
    """Whether versions in the bucket can be locked."""
    return OBJECT_LOCK in bucket.configs


def encode_default(default: DefaultRetention | None) -> bytes:
    """The document of a bucket with object lock."""
    fields = (None, 0, 0) if default is None else (default.mode, default.days, default.years)
    packed: bytes = msgpack.packb((_FORMAT, *fields))
    return packed


def default_retention(bucket: BucketRecord) -> DefaultRetention | None:
    """What new objects of the bucket get where their writer says nothing."""
    document = bucket.configs.get(OBJECT_LOCK)
    if document is None:
        return None
    _, mode, days, years = msgpack.unpackb(document)
    return None if mode is None else DefaultRetention(mode=mode, days=days, years=years)


def require_object_lock(bucket: BucketRecord) -> None:
    """Raise InvalidRequest for a bucket without object lock."""
    if not has_object_lock(bucket):
        raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")


def lock_of_write(context: Context, params: Input, *, bound_to_body: bool = True) -> ObjectLock:
    """The lock of an object that is written now: what the headers ask for, else the bucket's default.

    A body that is to be locked must come with a digest (`bound_to_body`). Raises InvalidRequest, InvalidArgument.
    """
    bucket, headers = context.target_bucket, context.request.headers
    if any(name in headers for name in HEADERS):
        require_object_lock(bucket)
        if bound_to_body and "content-md5" not in headers and context.payload.requested_checksum is None:
            raise S3Error(
                "InvalidRequest",
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock "
                "parameters",
            )
    stated = retention_of_write(params.get("ObjectLockMode"), params.get("ObjectLockRetainUntilDate"), context.now)
    hold = hold_of_write(params.get("ObjectLockLegalHoldStatus"))
    default = default_retention(bucket)
    if stated is None and default is not None:
        stated = default.from_now(context.now)
    return with_retention(replace(NO_LOCK, legal_hold=hold), stated)


def with_retention(lock: ObjectLock, retention: Retention | None) -> ObjectLock:
    """The lock with this retention in place of its own."""
    if retention is None:
        return replace(lock, mode=LockMode.NONE, retain_until_ms=0)
    return replace(lock, mode=LockMode(retention.mode), retain_until_ms=int(retention.until.timestamp() * 1000))


def retention_of(lock: ObjectLock) -> Retention | None:
    """The retention of a lock, also one that has run out."""
    if lock.mode is LockMode.NONE:
        return None
    return Retention(mode=lock.mode.value, until=datetime.fromtimestamp(lock.retain_until_ms / 1000, UTC))


def lock_members(lock: ObjectLock) -> Output:
    """A lock under the member names of GetObject and HeadObject."""
    if lock == NO_LOCK:
        return {}
    members: Output = {}
    retention = retention_of(lock)
    if retention is not None:
        members |= {"ObjectLockMode": retention.mode, "ObjectLockRetainUntilDate": retention.until}
    if lock.legal_hold is not None:
        members["ObjectLockLegalHoldStatus"] = "ON" if lock.legal_hold else "OFF"
    return members
