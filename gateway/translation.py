"""The one boundary where failures of the index and of the data path become S3 errors."""

import structlog

from gateway.datapath.errors import BytesUnavailable, DataPathError, NotEnoughNodes, WriteFailed
from gateway.index.errors import (
    BucketExists,
    BucketNotEmpty,
    ConditionFailed,
    IndexFailure,
    IndexUnavailable,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    ObjectLocked,
    QuotaExceeded,
    TooManyBuckets,
    UploadChanged,
    VersioningRequired,
    WriteCondemned,
)
from s3compat.errors import S3Error

log = structlog.get_logger("cairn.gateway")

#: Seconds that a client is asked to wait when the index or too many nodes are away.
RETRY_AFTER_S = 1

_CODES: dict[type[Exception], str] = {
    BucketExists: "BucketAlreadyExists",
    BucketNotEmpty: "BucketNotEmpty",
    TooManyBuckets: "TooManyBuckets",
    NoSuchKey: "NoSuchKey",
    NoSuchUpload: "NoSuchUpload",
    QuotaExceeded: "QuotaExceeded",
    ObjectLocked: "AccessDenied",
    VersioningRequired: "InvalidBucketState",
    UploadChanged: "ConditionalRequestConflict",
    # The bytes were given up while the client was still sending: it must send them again.
    WriteCondemned: "SlowDown",
    IndexUnavailable: "ServiceUnavailable",
    NotEnoughNodes: "SlowDown",
    WriteFailed: "SlowDown",
    BytesUnavailable: "ServiceUnavailable",
}


def to_s3_error(failure: IndexFailure | DataPathError) -> S3Error:
    """The S3 error for a failure below; what has no S3 meaning is logged and an InternalError."""
    if isinstance(failure, ConditionFailed):
        return S3Error("PreconditionFailed", Condition=failure.condition)
    if isinstance(failure, NoSuchBucket):
        # A refusal names what it is about: BUCKET or BUCKET/KEY.
        return S3Error("NoSuchBucket", BucketName=str(failure).partition("/")[0])
    code = next((_CODES[kind] for kind in type(failure).__mro__ if kind in _CODES), None)
    if code is None:
        log.error("failure without an S3 meaning", exc_info=failure)
        return S3Error("InternalError")
    if code in ("SlowDown", "ServiceUnavailable"):
        log.warning("not available", error=repr(failure))
        return S3Error(code, headers={"Retry-After": str(RETRY_AFTER_S)})
    return S3Error(code)
