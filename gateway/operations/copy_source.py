"""The source of CopyObject and UploadPartCopy: parsed, authorized, found, held against its conditions."""

from dataclasses import dataclass
from urllib.parse import unquote_plus

from gateway.condition_values import Subject
from gateway.context import Context, Input, Output
from gateway.index.records import BucketRecord, ObjectRecord
from gateway.operations.times import whole_seconds
from gateway.operations.versioning import check_version_id
from s3compat.conditions import CopySourceConditions, evaluate_copy_source
from s3compat.errors import S3Error
from s3compat.names import check_bucket_name


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySource:
    """The object version that is copied."""

    bucket: BucketRecord
    key: str
    version_id: str | None
    record: ObjectRecord

    def is_current(self, context: Context) -> bool:
        """Whether the copy would go onto the very version it comes from."""
        same = self.bucket.name == context.target_bucket.name and self.key == context.key
        return same and self.version_id is None

    def version_member(self) -> Output:
        """x-amz-copy-source-version-id, where the source bucket has versions."""
        return {"CopySourceVersionId": self.record.version_id} if self.bucket.versioning else {}


def parse_copy_source(text: str) -> tuple[str, str, str | None]:
    """Bucket, key and version id of x-amz-copy-source: ``[/]bucket/key[?versionId=id]``, URL-encoded.

    As at AWS a ``+`` that is not encoded is a space (github.com/aws/aws-cli issue 614); s5cmd writes spaces so.

    Raises InvalidArgument.
    """
    path, _, query = text.partition("?")
    version_id = query.removeprefix("versionId=") if query.startswith("versionId=") else None
    if query and version_id is None:
        path = text
    try:
        decoded = unquote_plus(path.encode("latin-1").decode("utf-8"), errors="strict").removeprefix("/")
    except UnicodeDecodeError as malformed:
        raise _malformed(text) from malformed
    bucket, slash, key = decoded.partition("/")
    if not bucket or not slash or not key or "\0" in key or version_id == "":
        raise _malformed(text)
    check_bucket_name(bucket)
    return bucket, key, version_id


def _malformed(text: str) -> S3Error:
    return S3Error(
        "InvalidArgument",
        "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        ArgumentName="x-amz-copy-source",
        ArgumentValue=text,
    )


async def find_source(context: Context, params: Input, *, with_tags: bool = False) -> CopySource:
    """The source of a copy, whose tags may go along.

    Raises NoSuchBucket, NoSuchKey, NoSuchVersion, AccessDenied, PreconditionFailed.
    """
    name, key, version_id = parse_copy_source(params["CopySource"])
    check_version_id(version_id)
    bucket, record = await context.index.get_object(name, key, version_id)
    context.access.require_source(
        Subject(
            bucket=bucket,
            key=key,
            version_id=version_id,
            record=None if record is None or record.delete_marker else record,
        ),
        Subject(bucket=context.target_bucket, key=context.key),
        with_tags=with_tags,
    )
    if record is None and version_id is not None:
        raise S3Error("NoSuchVersion", Key=key, VersionId=version_id)
    if record is None or (record.delete_marker and version_id is None):
        raise S3Error("NoSuchKey", Key=key)
    if record.delete_marker:
        raise S3Error("InvalidRequest", "The source of a copy request may not specifically refer to a delete marker.")
    evaluate_copy_source(
        CopySourceConditions.from_headers(context.request.headers, now=context.now),
        etag=record.etag,
        modified=whole_seconds(record.modified_ms),
    )
    return CopySource(bucket=bucket, key=key, version_id=version_id, record=record)
