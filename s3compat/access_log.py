"""Server access logging: the configuration, the lines, the names of the objects that hold them. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLogging.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import quote

from s3compat.errors import S3Error

#: Whom a policy of the target bucket has to let write.
LOGGING_SERVICE: Final = "logging.s3.amazonaws.com"

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f"\\]')


class KeyFormat(Enum):
    """What stands between the prefix and the unique end of a log object's key."""

    SIMPLE = "simple"
    BY_EVENT_TIME = "EventTime"
    BY_DELIVERY_TIME = "DeliveryTime"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTarget:
    """Where the requests to one bucket are logged."""

    bucket: str
    prefix: str
    key_format: KeyFormat = KeyFormat.SIMPLE


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request as its line tells it; what is not known is empty or None."""

    bucket_owner_id: str
    bucket: str
    at: datetime
    remote_address: str
    requester_id: str
    request_id: str
    operation: str
    """As in logs: REST.GET.OBJECT."""
    key: str
    request_line: str
    status: int
    error_code: str
    sent_bytes: int
    object_bytes: int | None
    total_ms: int
    turnaround_ms: int | None
    referer: str
    user_agent: str
    version_id: str
    host_id: str
    signature_version: str
    authentication_type: str
    host: str
    region: str


def parse_logging(document: Mapping[str, Any]) -> LogTarget | None:
    """The target of a BucketLoggingStatus, None where it ends logging. Raises MalformedXML, InvalidArgument."""
    enabled = document.get("LoggingEnabled")
    if enabled is None:
        return None
    if not enabled["TargetBucket"]:
        raise S3Error("InvalidTargetBucketForLogging")
    stated = enabled.get("TargetObjectKeyFormat") or {}
    if "SimplePrefix" in stated and "PartitionedPrefix" in stated:
        raise S3Error("MalformedXML")
    key_format = KeyFormat.SIMPLE
    if "PartitionedPrefix" in stated:
        source = (stated["PartitionedPrefix"] or {}).get("PartitionDateSource") or KeyFormat.BY_DELIVERY_TIME.value
        key_format = KeyFormat(source)
    return LogTarget(bucket=enabled["TargetBucket"], prefix=enabled["TargetPrefix"] or "", key_format=key_format)


def encode_document(document: Mapping[str, Any]) -> bytes:
    """A document that `parse_logging` took, for storing."""
    return json.dumps(document, separators=(",", ":")).encode()


def decode_document(stored: bytes) -> dict[str, Any]:
    """The inverse of `encode_document`."""
    document: dict[str, Any] = json.loads(stored)
    return document


def log_key(target: LogTarget, *, at: datetime, unique: str, account_id: str, region: str, bucket: str) -> str:
    """The key of a log object; `at` is the time (UTC) that the format asks for, `unique` 16 hexadecimal digits.

    Partitioned by the time of events an object holds those of one day, and its key tells no more.
    """
    clock = "00-00-00" if target.key_format is KeyFormat.BY_EVENT_TIME else f"{at:%H-%M-%S}"
    end = f"{at:%Y-%m-%d}-{clock}-{unique}"
    if target.key_format is KeyFormat.SIMPLE:
        return f"{target.prefix}{end}"
    return f"{target.prefix}{account_id}/{region}/{bucket}/{at:%Y/%m/%d}/{end}"


def log_line(request: LoggedRequest) -> str:
    """One line without its end. Dashes stand for what is not known, and for what there is none of here."""
    at = request.at
    fields = (
        request.bucket_owner_id,
        request.bucket,
        f"[{at:%d}/{_MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S} +0000]",
        request.remote_address,
        request.requester_id,
        request.request_id,
        request.operation,
        quote(request.key, safe="/"),
        _quoted(request.request_line),
        str(request.status),
        request.error_code,
        str(request.sent_bytes or ""),
        "" if request.object_bytes is None else str(request.object_bytes),
        str(request.total_ms),
        "" if request.turnaround_ms is None else str(request.turnaround_ms),
        _quoted(request.referer),
        _quoted(request.user_agent),
        request.version_id,
        request.host_id,
        request.signature_version,
        "",  # cipher suite
        request.authentication_type,
        _bare(request.host),
        "",  # TLS version
        "",  # access point
        "",  # whether an ACL was required
        request.region,
    )
    return " ".join([field or "-" for field in fields])


def log_operation(operation: str, method: str) -> str:
    """An operation as logs call it; `operation` is its name in the service model, empty where none was found."""
    if not operation:
        return f"REST.{_bare(method)[:20] or '-'}.UNKNOWN"
    if operation in _SPECIAL:
        return f"REST.{_SPECIAL[operation]}"
    resource = re.sub(r"^(Get|Put|Delete|List|Head|Create)", "", operation).removeprefix("Bucket")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", resource).upper() or "BUCKET"
    return f"REST.{method}.{words}"


_SPECIAL: Final[Mapping[str, str]] = {
    "AbortMultipartUpload": "DELETE.UPLOAD",
    "CompleteMultipartUpload": "POST.UPLOAD",
    "CopyObject": "COPY.OBJECT",
    "CreateBucket": "PUT.BUCKET",
    "CreateMultipartUpload": "POST.UPLOADS",
    "DeleteBucket": "DELETE.BUCKET",
    "DeleteObjects": "POST.MULTI_OBJECT_DELETE",
    "GetBucketAcl": "GET.ACL",
    "GetBucketLifecycleConfiguration": "GET.LIFECYCLE",
    "GetBucketLogging": "GET.LOGGING_STATUS",
    "GetBucketNotificationConfiguration": "GET.NOTIFICATION",
    "GetBucketPolicy": "GET.BUCKETPOLICY",
    "DeleteBucketPolicy": "DELETE.BUCKETPOLICY",
    "GetObjectAcl": "GET.ACL",
    "ListMultipartUploads": "GET.UPLOADS",
    "ListObjectVersions": "GET.BUCKETVERSIONS",
    "ListObjects": "GET.BUCKET",
    "ListObjectsV2": "GET.BUCKET",
    "ListParts": "GET.UPLOAD",
    "PostObject": "POST.OBJECT",
    "PutBucketAcl": "PUT.ACL",
    "PutBucketLifecycleConfiguration": "PUT.LIFECYCLE",
    "PutBucketLogging": "PUT.LOGGING_STATUS",
    "PutBucketNotificationConfiguration": "PUT.NOTIFICATION",
    "PutBucketPolicy": "PUT.BUCKETPOLICY",
    "PutObjectAcl": "PUT.ACL",
    "UploadPart": "PUT.PART",
    "UploadPartCopy": "COPY.PART",
}


def _quoted(text: str) -> str:
    """In quotation marks, with what would end them or the line escaped: clients say what they like."""
    escaped = _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02X}", text)
    return f'"{escaped or "-"}"'


def _bare(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f\"]", "", text)
