"""GetObjectAttributes: what is known of an object besides its bytes.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
"""

from gateway.context import Answer, Context, Input, Output
from gateway.index.records import Checksum, ObjectPart, ObjectRecord
from gateway.operations.encrypting import reading_key
from gateway.operations.reading import find_object
from gateway.operations.stored_headers import STORAGE_CLASS
from gateway.operations.times import whole_seconds
from s3compat.checksums import ALGORITHMS

PARTS_PAGE_LIMIT = 1000


async def get_object_attributes(context: Context, params: Input) -> Answer:
    """GetObjectAttributes: only what x-amz-object-attributes names, the ETag without quotes.

    Raises NoSuchKey, NoSuchVersion, MethodNotAllowed (delete marker), InvalidArgument (unknown attribute, marker),
    InvalidRequest and AccessDenied (the key of an object under its writer's own).
    """
    wanted = frozenset(params["ObjectAttributes"])
    record = await find_object(context, params)
    await reading_key(context, record)
    output: Output = {"LastModified": whole_seconds(record.modified_ms)}
    if context.target_bucket.versioning:
        output["VersionId"] = record.version_id
    if "ETag" in wanted:
        output["ETag"] = record.etag
    if "Checksum" in wanted and record.checksum is not None:
        output["Checksum"] = _checksum_members(record.checksum)
    if "ObjectParts" in wanted and record.parts:
        output["ObjectParts"] = _object_parts(params, record)
    if "StorageClass" in wanted:
        output["StorageClass"] = record.header(STORAGE_CLASS) or "STANDARD"
    if "ObjectSize" in wanted:
        output["ObjectSize"] = record.size_bytes
    return Answer(output=output)


def _checksum_members(checksum: Checksum) -> Output:
    # Without the "-N" that a composite checksum has everywhere else: so AWS's tutorial of multipart checksums shows it.
    value = checksum.value.partition("-")[0]
    return {ALGORITHMS[checksum.algorithm].member: value, "ChecksumType": checksum.type}


def _object_parts(params: Input, record: ObjectRecord) -> Output:
    limit = min(params.get("MaxParts", PARTS_PAGE_LIMIT), PARTS_PAGE_LIMIT)
    marker: int = params.get("PartNumberMarker", 0)
    following = [part for part in record.parts if part.number > marker]
    page = following[:limit]
    return {
        "TotalPartsCount": len(record.parts),
        "PartNumberMarker": marker,
        "NextPartNumberMarker": page[-1].number if page else marker,
        "MaxParts": limit,
        "IsTruncated": len(following) > len(page),
        "Parts": [_part(record, part) for part in page],
    }


def _part(record: ObjectRecord, part: ObjectPart) -> Output:
    output: Output = {"PartNumber": part.number, "Size": part.size_bytes}
    if record.checksum is not None and part.checksum is not None:
        output[ALGORITHMS[record.checksum.algorithm].member] = part.checksum
    return output
