"""GetObject and HeadObject: conditions, ranges, part numbers, header overrides.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.context import Answer, Context, Input, Output
from gateway.encryption.envelope import ObjectKey
from gateway.index.records import ObjectRecord
from gateway.lifecycles import expiration_member
from gateway.object_locks import lock_members
from gateway.operations.encrypting import encryption_members, read_object, reading_key
from gateway.operations.stored_headers import OVERRIDES
from gateway.operations.times import whole_seconds
from gateway.operations.versioning import check_version_id
from s3compat import checksums
from s3compat.conditions import ReadConditions, evaluate_read, parse_range, quote_etag
from s3compat.errors import S3Error


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which bytes of an object are answered; ``partial`` makes it a 206 with Content-Range."""

    offset: int
    length: int
    partial: bool
    part_number: int | None = None


async def get_object(context: Context, params: Input) -> Answer:
    """GetObject.

    Raises NoSuchKey, NoSuchVersion, MethodNotAllowed (delete marker by version), PreconditionFailed, NotModified,
    InvalidRange, InvalidPartNumber, InvalidRequest, InvalidArgument, AccessDenied (another key than the object's).
    """
    record = await find_object(context, params)
    key = await reading_key(context, record)
    answer = _describe(context, params, record, key)
    span = _span(params, record)
    if span.length == 0:
        return answer
    return Answer(
        output=answer.output,
        headers=answer.headers,
        body=read_object(context, record, span.offset, span.length, key),
    )


async def head_object(context: Context, params: Input) -> Answer:
    """HeadObject. Raises what GetObject raises; the errors have no body."""
    record = await find_object(context, params)
    return _describe(context, params, record, await reading_key(context, record))


async def find_object(context: Context, params: Input) -> ObjectRecord:
    """The version that a read asks for; raises NoSuchKey, NoSuchVersion, MethodNotAllowed."""
    version_id: str | None = params.get("VersionId")
    check_version_id(version_id)
    if context.found is not None and context.found.version_id == version_id:
        return there(context, version_id, context.found.record)
    _, record = await context.index.get_object(context.target_bucket.name, context.key, version_id)
    return there(context, version_id, record)


def there(context: Context, version_id: str | None, record: ObjectRecord | None) -> ObjectRecord:
    """A version that the index was asked for, if it is an object; raises NoSuchKey, NoSuchVersion, MethodNotAllowed."""
    if record is None:
        if version_id is not None:
            raise S3Error("NoSuchVersion", Key=context.key, VersionId=version_id)
        raise S3Error("NoSuchKey", Key=context.key)
    if record.delete_marker:
        marker = {"x-amz-delete-marker": "true", "x-amz-version-id": record.version_id}
        if version_id is not None:
            raise S3Error(
                "MethodNotAllowed", headers=marker, Method=context.request.method, ResourceType="DeleteMarker"
            )
        raise S3Error("NoSuchKey", headers=marker, Key=context.key)
    return record


def _describe(context: Context, params: Input, record: ObjectRecord, key: ObjectKey | None) -> Answer:
    """Conditions and every header of the answer, for both operations alike."""
    evaluate_read(
        ReadConditions.from_headers(context.request.headers, now=context.now),
        etag=record.etag,
        modified=whole_seconds(record.modified_ms),
    )
    span = _span(params, record)
    output: Output = {
        "AcceptRanges": "bytes",
        "ETag": quote_etag(record.etag),
        "LastModified": whole_seconds(record.modified_ms),
        "ContentLength": span.length,
    }
    if span.partial:
        output["ContentRange"] = f"bytes {span.offset}-{span.offset + span.length - 1}/{record.size_bytes}"
    if span.part_number is not None and record.parts:
        output["PartsCount"] = len(record.parts)
    if context.target_bucket.versioning:
        output["VersionId"] = record.version_id
    if record.tags:
        output["TagCount"] = len(record.tags)
    output.update(lock_members(record.lock))
    output.update(encryption_members(key))
    if params.get("VersionId") is None:
        output.update(expiration_of(context, record))
    if params.get("ChecksumMode") == "ENABLED":
        output.update(_checksum_members(record, span))
    return Answer(output=output, headers=_headers(params, record))


def expiration_of(context: Context, record: ObjectRecord) -> Output:
    """When the object expires under the bucket's lifecycle rules, as a member of an answer."""
    day_s = context.services.settings.lifecycle_day_s
    return dict(expiration_member(context.target_bucket, context.key, record, day_s=day_s))


def _headers(params: Input, record: ObjectRecord) -> tuple[tuple[str, str], ...]:
    kept = dict(record.headers)
    for member, name in OVERRIDES.items():
        if member in params:
            kept[name] = override_text(params[member])
    kept.update((f"x-amz-meta-{name}", value) for name, value in record.metadata)
    return tuple(kept.items())


def override_text(value: object) -> str:
    """A response-* override as it goes into a header: a header cannot hold line ends."""
    text = value.strftime("%a, %d %b %Y %H:%M:%S GMT") if isinstance(value, datetime) else str(value)
    if any(character in text for character in "\r\n\0"):
        raise S3Error("InvalidArgument", "Header value cannot be represented.")
    return text.encode().decode("latin-1")


def _checksum_members(record: ObjectRecord, span: Span) -> Output:
    """The stored checksum, where the answer is what it was computed over: the whole object, or one part."""
    checksum = record.checksum
    if checksum is None:
        return {}
    member = checksums.ALGORITHMS[checksum.algorithm].member
    if span.part_number is not None and record.parts:
        value = record.parts[span.part_number - 1].checksum
        return {member: value, "ChecksumType": checksum.type} if value else {}
    if span.partial and span.length != record.size_bytes:
        return {}
    return {member: checksum.value, "ChecksumType": checksum.type}


def _span(params: Input, record: ObjectRecord) -> Span:
    part_number: int | None = params.get("PartNumber")
    if part_number is not None:
        if "Range" in params:
            raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
        return _part_span(part_number, record)
    wanted = parse_range(params["Range"], record.size_bytes) if "Range" in params else None
    if wanted is None:
        return Span(offset=0, length=record.size_bytes, partial=False)
    return Span(offset=wanted.start, length=wanted.size_bytes, partial=True)


def _part_span(part_number: int, record: ObjectRecord) -> Span:
    if not 1 <= part_number <= 10_000:
        raise S3Error(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=str(part_number),
        )
    if part_number > max(1, len(record.parts)):
        raise S3Error("InvalidPartNumber", ActualPartCount=str(max(1, len(record.parts))))
    if not record.parts:
        return Span(offset=0, length=record.size_bytes, partial=record.size_bytes > 0, part_number=part_number)
    offset = sum(part.size_bytes for part in record.parts[: part_number - 1])
    length = record.parts[part_number - 1].size_bytes
    return Span(offset=offset, length=length, partial=length > 0, part_number=part_number)
