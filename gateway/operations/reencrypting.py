"""UpdateObjectEncryption: an object's data key goes under another key of the ring, its bytes stay as they are.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_UpdateObjectEncryption.html

It is how objects follow a key that was rotated, or leave one. ETag, checksums and dates stay, as AWS says.
"""

from dataclasses import replace

from gateway.context import Answer, Context, Input
from gateway.index.encryption_record import Encryption, EncryptionMode
from gateway.index.records import ObjectLock, ObjectRecord
from gateway.object_locks import retention_of
from gateway.operations.encrypting import rewrapped
from gateway.operations.reading import find_object, there
from s3compat.encryption import Method, WantedEncryption
from s3compat.errors import S3Error

_TYPE_MISSING = (
    "Requests that modify an object encryption configuration require a valid new encryption type. Valid values are "
    "SSEKMS. Modify the request to specify SSE-KMS for the updated encryption type, and then try again."
)
_ARN_MISSING = (
    "Requests that modify an object's encryption type to SSE-KMS require an Amazon Web Services KMS key Amazon "
    "Resource Name (ARN). Modify the request to specify a KMS key ARN, and then try again."
)
_UNENCRYPTED = (
    "The UpdateObjectEncryption operation doesn't supported unencrypted source objects. Only source objects encrypted "
    "with SSE-S3 or SSE-KMS are supported."
)
_UNDER_CUSTOMER_KEY = (
    "The UpdateObjectEncryption operation doesn't support source objects with the encryption type DSSE-KMS or SSE-C. "
    "Only source objects encrypted with SSE-S3 or SSE-KMS are supported."
)
_LOCKED = (
    "The encryption type for the specified object can't be updated because that object is protected by S3 Object Lock."
)


async def update_object_encryption(context: Context, params: Input) -> Answer:
    """UpdateObjectEncryption.

    Raises InvalidRequest (what is wanted, or what the object is), AccessDenied (a lock holds), KMS.NotFoundException,
    NoSuchKey, NoSuchVersion, MethodNotAllowed, OperationAborted (changed by another meanwhile).
    """
    wanted = _wanted(params)
    version_id: str | None = params.get("VersionId")
    present = _managed(context, await find_object(context, params))
    changed = await rewrapped(context, present, wanted)

    def change(record: ObjectRecord) -> ObjectRecord:
        if _managed(context, there(context, version_id, record)) != present:
            raise S3Error("OperationAborted")
        return replace(record, encryption=changed)

    bucket = context.target_bucket
    updated = await context.index.update_object(
        bucket.name, context.key, version_id, change, bucket_id=bucket.bucket_id
    )
    there(context, version_id, updated)
    return Answer()


def _wanted(params: Input) -> WantedEncryption:
    stated = (params.get("ObjectEncryption") or {}).get("SSEKMS")
    if stated is None:
        raise S3Error("InvalidRequest", _TYPE_MISSING)
    arn = stated.get("KMSKeyArn") or ""
    if not arn.startswith("arn:"):
        raise S3Error("InvalidRequest", _ARN_MISSING)
    return WantedEncryption(method=Method.SSE_KMS, kms_key_id=arn, bucket_key=bool(stated.get("BucketKeyEnabled")))


def _managed(context: Context, record: ObjectRecord) -> Encryption:
    """How an object is encrypted that this operation may change. Raises InvalidRequest, AccessDenied."""
    encryption = record.encryption
    if encryption is None:
        raise S3Error("InvalidRequest", _UNENCRYPTED)
    if encryption.mode is EncryptionMode.SSE_C:
        raise S3Error("InvalidRequest", _UNDER_CUSTOMER_KEY)
    if _is_locked(context, record.lock):
        raise S3Error("AccessDenied", _LOCKED)
    return encryption


def _is_locked(context: Context, lock: ObjectLock) -> bool:
    retention = retention_of(lock)
    return bool(lock.legal_hold) or (retention is not None and retention.holds(context.now))
