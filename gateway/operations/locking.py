"""Object lock of a bucket, retention and legal hold of a version.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLockConfiguration.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLegalHold.html

Whether a locked version may go is decided in the index's scripts, not here.
"""

from collections.abc import Callable
from dataclasses import replace

from gateway.context import Answer, Context, Input, Output
from gateway.index.records import ObjectLock, ObjectRecord
from gateway.object_locks import (
    OBJECT_LOCK,
    default_retention,
    encode_default,
    has_object_lock,
    require_object_lock,
    retention_of,
    with_retention,
)
from gateway.operations.reading import find_object, there
from gateway.operations.versioning import check_version_id
from s3compat.errors import S3Error
from s3compat.object_lock import check_change, parse_configuration, parse_retention


async def put_object_lock_configuration(context: Context, params: Input) -> Answer:
    """PutObjectLockConfiguration, also of a bucket that has had none.

    Raises InvalidBucketState (not versioning), MalformedXML, InvalidRetentionPeriod.
    """
    document = params.get("ObjectLockConfiguration")
    if document is None:
        raise S3Error("MalformedXML")
    bucket = context.target_bucket
    stored = encode_default(parse_configuration(document))
    await context.index.set_bucket_config(bucket.name, OBJECT_LOCK, stored, bucket_id=bucket.bucket_id)
    return Answer()


async def get_object_lock_configuration(context: Context, params: Input) -> Answer:
    """GetObjectLockConfiguration. Raises ObjectLockConfigurationNotFoundError."""
    bucket = context.target_bucket
    if not has_object_lock(bucket):
        raise S3Error("ObjectLockConfigurationNotFoundError", BucketName=bucket.name)
    configuration: Output = {"ObjectLockEnabled": "Enabled"}
    default = default_retention(bucket)
    if default is not None:
        length = {"Days": default.days} if default.days else {"Years": default.years}
        configuration["Rule"] = {"DefaultRetention": {"Mode": default.mode, **length}}
    return Answer(output={"ObjectLockConfiguration": configuration})


async def put_object_retention(context: Context, params: Input) -> Answer:
    """PutObjectRetention: an empty document takes the retention away.

    Raises InvalidRequest (no object lock), AccessDenied (what holds may only be extended), MalformedXML,
    InvalidArgument, NoSuchKey, NoSuchVersion, MethodNotAllowed.
    """
    require_object_lock(context.target_bucket)
    wanted = parse_retention(_document(params, "Retention"), context.now)
    bypass = bool(params.get("BypassGovernanceRetention"))

    def change(lock: ObjectLock) -> ObjectLock:
        check_change(retention_of(lock), wanted, now=context.now, bypass=bypass)
        return with_retention(lock, wanted)

    return await _change_lock(context, params, change)


async def get_object_retention(context: Context, params: Input) -> Answer:
    """GetObjectRetention. Raises NoSuchObjectLockConfiguration, InvalidRequest (no object lock)."""
    require_object_lock(context.target_bucket)
    retention = retention_of((await find_object(context, params)).lock)
    if retention is None:
        raise S3Error("NoSuchObjectLockConfiguration")
    return Answer(output={"Retention": {"Mode": retention.mode, "RetainUntilDate": retention.until}})


async def put_object_legal_hold(context: Context, params: Input) -> Answer:
    """PutObjectLegalHold. Raises InvalidRequest (no object lock), MalformedXML, NoSuchKey, NoSuchVersion."""
    require_object_lock(context.target_bucket)
    status = _document(params, "LegalHold").get("Status")
    if status not in ("ON", "OFF"):
        raise S3Error("MalformedXML")
    return await _change_lock(context, params, lambda lock: replace(lock, legal_hold=status == "ON"))


async def get_object_legal_hold(context: Context, params: Input) -> Answer:
    """GetObjectLegalHold. Raises NoSuchObjectLockConfiguration (never set), InvalidRequest (no object lock)."""
    require_object_lock(context.target_bucket)
    hold = (await find_object(context, params)).lock.legal_hold
    if hold is None:
        raise S3Error("NoSuchObjectLockConfiguration")
    return Answer(output={"LegalHold": {"Status": "ON" if hold else "OFF"}})


async def _change_lock(context: Context, params: Input, change: Callable[[ObjectLock], ObjectLock]) -> Answer:
    version_id: str | None = params.get("VersionId")
    check_version_id(version_id)

    def apply(record: ObjectRecord) -> ObjectRecord:
        present = there(context, version_id, record)
        return replace(present, lock=change(present.lock))

    bucket = context.target_bucket
    changed = await context.index.update_object(bucket.name, context.key, version_id, apply, bucket_id=bucket.bucket_id)
    there(context, version_id, changed)
    return Answer()


def _document(params: Input, member: str) -> Input:
    document: Input | None = params.get(member)
    if document is None:
        raise S3Error("MalformedXML")
    return document
