"""CompleteMultipartUpload: the list of parts becomes one object.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
"""

import hashlib
from collections.abc import Mapping, Sequence

from gateway.context import Answer, Context, Input, Output
from gateway.index.errors import UploadChanged
from gateway.index.records import (
    Checksum,
    CompleteResult,
    ObjectPart,
    ObjectRecord,
    PartRecord,
    UploadRecord,
    WriteCheck,
)
from gateway.operations.encrypting import check_key_of_end, managed_members
from gateway.operations.multipart import PART_NUMBER_LIMIT
from gateway.operations.reading import expiration_of
from gateway.operations.write_conditions import write_check
from gateway.operations.writing import DEFAULT_CHECKSUM, checksum_members
from s3compat import checksums
from s3compat.checksums import ALGORITHMS
from s3compat.conditions import quote_etag
from s3compat.errors import S3Error

#: Every part but the last: 5 MiB. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_MINIMUM_BYTES = 5 * 1024**2
#: A part that is replaced while the object is put together makes the commit start over; this often at most.
ATTEMPTS = 5


async def complete_multipart_upload(context: Context, params: Input) -> Answer:
    """CompleteMultipartUpload; a repeated one gets the first one's answer.

    Raises NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall, MalformedXML, InvalidRequest (checksums, size),
    BadDigest, PreconditionFailed, ConditionalRequestConflict.
    """
    check = write_check(context.request.headers, context.target_bucket)
    listed: list[Input] = (params.get("MultipartUpload") or {}).get("Parts") or []
    if not listed:
        raise S3Error("MalformedXML")
    _check_order(listed)
    done = await context.index.completed_upload(context.target_bucket.name, context.key, params["UploadId"])
    if done is None:
        done = await _complete(context, params, listed, check)
    return _answer(context, params, done)


async def _complete(context: Context, params: Input, listed: list[Input], check: WriteCheck) -> CompleteResult:
    """Put the object together from the parts as they are now; start over when one was replaced meanwhile."""
    bucket, key, upload_id = context.target_bucket.name, context.key, params["UploadId"]
    for _ in range(ATTEMPTS):
        page = await context.index.all_parts(bucket, key, upload_id)
        await check_key_of_end(context, page.upload)
        parts = choose_parts(upload_id, listed, {part.part_number: part for part in page.parts})
        checksum = object_checksum(params, listed, page.upload, parts)
        record = _record(context, page.upload, parts, checksum)
        if (size := params.get("MpuObjectSize")) is not None and int(size) != record.size_bytes:
            raise S3Error(
                "InvalidRequest",
                "The provided 'x-amz-mp-object-size' header does not match the object's size.",
            )
        chosen = {part.part_number for part in parts}
        unused = [part.extent for part in page.parts if part.part_number not in chosen]
        try:
            return await context.index.complete_upload(
                bucket, key, upload_id, record, revision=page.revision, unused=unused, check=check
            )
        except UploadChanged:
            continue
    raise S3Error("ConditionalRequestConflict")


def _check_order(listed: list[Input]) -> None:
    previous = 0
    for entry in listed:
        number = entry.get("PartNumber")
        if number is None or entry.get("ETag") is None:
            raise S3Error("MalformedXML")
        if not 1 <= number <= PART_NUMBER_LIMIT:
            raise S3Error(
                "InvalidArgument",
                "Part number must be an integer between 1 and 10000, inclusive",
                ArgumentName="partNumber",
                ArgumentValue=str(number),
            )
        if number <= previous:
            raise S3Error("InvalidPartOrder")
        previous = number


def choose_parts(upload_id: str, listed: list[Input], held: Mapping[int, PartRecord]) -> list[PartRecord]:
    """The parts that the client named, each held against what was uploaded; raises InvalidPart, EntityTooSmall."""
    chosen: list[PartRecord] = []
    for entry in listed:
        part = held.get(entry["PartNumber"])
        etag = entry["ETag"].strip().strip('"')
        if part is None or part.etag != etag or not _checksum_matches(entry, part):
            raise S3Error("InvalidPart", UploadId=upload_id, PartNumber=str(entry["PartNumber"]), ETag=entry["ETag"])
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size_bytes < PART_MINIMUM_BYTES:
            raise S3Error(
                "EntityTooSmall",
                ProposedSize=str(part.size_bytes),
                MinSizeAllowed=str(PART_MINIMUM_BYTES),
                PartNumber=str(part.part_number),
                ETag=part.etag,
            )
    return chosen


def _checksum_matches(entry: Input, part: PartRecord) -> bool:
    if part.checksum is None:
        return True
    given = entry.get(ALGORITHMS[part.checksum.algorithm].member)
    return given is None or given == part.checksum.value


def object_checksum(
    params: Input, listed: list[Input], upload: UploadRecord, parts: Sequence[PartRecord]
) -> Checksum | None:
    """The checksum of the whole object from those of its parts; raises InvalidRequest, BadDigest."""
    algorithm = upload.checksum_algorithm or DEFAULT_CHECKSUM
    member = ALGORITHMS[algorithm].member
    wanted_type = params.get("ChecksumType")
    if wanted_type is not None and wanted_type != upload.checksum_type:
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using the {upload.checksum_type} checksum mode. The complete request must use "
            "the same checksum mode.",
        )
    digests = [(checksums.decode(algorithm, part.checksum.value), part.size_bytes) for part in parts if part.checksum]
    if upload.checksum_type == "COMPOSITE":
        _require_part_checksums(algorithm, listed)
        value = checksums.composite(algorithm, [digest for digest, _ in digests])
    else:
        value = checksums.encode(checksums.combine_crc(algorithm, digests))
    given = params.get(member)
    if given is not None and given.partition("-")[0] != value.partition("-")[0]:
        raise S3Error("BadDigest", f"The {algorithm.lower()} you specified did not match the calculated checksum.")
    return Checksum(algorithm=algorithm, type=upload.checksum_type or "FULL_OBJECT", value=value)


def _require_part_checksums(algorithm: str, listed: list[Input]) -> None:
    member = ALGORITHMS[algorithm].member
    for entry in listed:
        if member not in entry:
            raise S3Error(
                "InvalidRequest",
                f"The upload was created using a {algorithm.lower()} checksum. The complete request must include the "
                f"checksum for each part. It was missing for part {entry['PartNumber']} in the request.",
            )


def _record(
    context: Context, upload: UploadRecord, parts: Sequence[PartRecord], checksum: Checksum | None
) -> ObjectRecord:
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False).hexdigest()
    return ObjectRecord(
        etag=f"{digest}-{len(parts)}",
        size_bytes=sum(part.size_bytes for part in parts),
        modified_ms=context.now_ms,
        owner_id=upload.owner_id,
        headers=upload.headers,
        metadata=upload.metadata,
        checksum=checksum,
        tags=upload.tags,
        acl=upload.acl,
        lock=upload.lock,
        encryption=upload.encryption,
        extents=tuple(part.extent for part in parts if part.size_bytes),
        parts=tuple(
            ObjectPart(
                number=part.part_number,
                size_bytes=part.size_bytes,
                checksum=part.checksum.value if part.checksum else None,
            )
            for part in parts
        ),
    )


def _answer(context: Context, params: Input, done: CompleteResult) -> Answer:
    request = context.request
    record = done.record
    scheme = "https" if request.secure else "http"
    output: Output = {
        "Location": f"{scheme}://{request.headers.get('host') or ''}{request.raw_path.decode('latin-1')}",
        "Bucket": params["Bucket"],
        "Key": params["Key"],
        "ETag": quote_etag(record.etag),
        **checksum_members(record.checksum),
        **expiration_of(context, record),
        **managed_members(record.encryption),
    }
    if done.version_id is not None:
        output["VersionId"] = done.version_id
    return Answer(output=output)
