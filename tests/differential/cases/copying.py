"""CopyObject and UploadPartCopy."""

from datetime import UTC, datetime
from typing import Any

from tests.differential.case import MISSING_BUCKET, OTHER_BUCKET, OWN_BUCKET, Case, answered, case, get, head, put, s3

_PAST = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
_FUTURE = datetime(2097, 2, 3, 4, 5, 6, tzinfo=UTC)
_OTHER_ETAG = '"00000000000000000000000000000000"'
_PLAIN = put("from", b"0123456789", ContentType="text/plain", Metadata={"colour": "green"}, CacheControl="no-store")
_IN_OTHER = put("from", Bucket=OTHER_BUCKET)


def _copy(key: str = "to", **arguments: Any) -> Case:
    return case(_PLAIN, s3("copy_object", Key=key, CopySource=source("from"), **arguments), head(key), get(key))


def source(key: str, bucket: object = OWN_BUCKET) -> dict[str, object]:
    """A CopySource as boto3 takes it."""
    return {"Bucket": bucket, "Key": key}


def _part_copy(**arguments: Any) -> Case:
    return case(
        _PLAIN,
        s3("create_multipart_upload", Key="to"),
        s3(
            "upload_part_copy",
            Key="to",
            UploadId=answered(1, "UploadId"),
            PartNumber=1,
            CopySource=source("from"),
            **arguments,
        ),
        s3("list_parts", Key="to", UploadId=answered(1, "UploadId")),
    )


COPYING: dict[str, Case] = {
    "copy": _copy(),
    "copy with new metadata": _copy(MetadataDirective="REPLACE", Metadata={"shape": "round"}, ContentType="a/b"),
    "copy with metadata but no directive": _copy(Metadata={"shape": "round"}),
    "unknown directive": _copy(MetadataDirective="KEEP"),
    "onto itself": _copy("from"),
    "onto itself with new metadata": _copy("from", MetadataDirective="REPLACE", Metadata={"shape": "round"}),
    "from another bucket": case(
        s3("create_bucket", Bucket=OTHER_BUCKET),
        _IN_OTHER,
        s3("copy_object", Key="to", CopySource=source("from", OTHER_BUCKET)),
        get("to"),
    ),
    "from an absent key": case(s3("copy_object", Key="to", CopySource=source("absent"))),
    "from a missing bucket": case(s3("copy_object", Key="to", CopySource=source("k", MISSING_BUCKET))),
    "into a missing bucket": case(
        _PLAIN, s3("copy_object", Key="to", Bucket=MISSING_BUCKET, CopySource=source("from", OTHER_BUCKET))
    ),
    "from an odd key": case(put("a b+c%/d"), s3("copy_object", Key="to", CopySource=source("a b+c%/d")), get("to")),
    "source without a key": case(s3("copy_object", Key="to", CopySource="nothing-here")),
    "source if-match holds": case(
        _PLAIN,
        s3("copy_object", Key="to", CopySource=source("from"), CopySourceIfMatch=answered(0, "ETag")),
        head("to"),
    ),
    "source if-match fails": _copy(CopySourceIfMatch=_OTHER_ETAG),
    "source if-none-match holds": _copy(CopySourceIfNoneMatch=_OTHER_ETAG),
    "source if-none-match fails": case(
        _PLAIN,
        s3("copy_object", Key="to", CopySource=source("from"), CopySourceIfNoneMatch=answered(0, "ETag")),
        head("to"),
    ),
    "source if-modified-since holds": _copy(CopySourceIfModifiedSince=_PAST),
    "source if-unmodified-since holds": _copy(CopySourceIfUnmodifiedSince=_FUTURE),
    "source if-unmodified-since fails": _copy(CopySourceIfUnmodifiedSince=_PAST),
    "of a storage class": _copy(StorageClass="STANDARD_IA"),
    "with a checksum": case(
        _PLAIN,
        s3("copy_object", Key="to", CopySource=source("from"), ChecksumAlgorithm="SHA256"),
        head("to", ChecksumMode="ENABLED"),
    ),
    "a part": _part_copy(),
    "a part of a range": _part_copy(CopySourceRange="bytes=2-5"),
    "a part of a range behind the end": _part_copy(CopySourceRange="bytes=5-20"),
    "a part of a malformed range": _part_copy(CopySourceRange="2-5"),
    "a part from an absent key": case(
        s3("create_multipart_upload", Key="to"),
        s3(
            "upload_part_copy",
            Key="to",
            UploadId=answered(0, "UploadId"),
            PartNumber=1,
            CopySource=source("absent"),
        ),
    ),
}
