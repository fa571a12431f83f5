"""Multipart uploads from their start to their parts: create, upload, copy and list parts, list uploads, abort.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from gateway.context import Answer, Context, Input, Output
from gateway.index.errors import IndexRefusal
from gateway.index.records import Origin, PartRecord, UploadPosition, UploadRecord
from gateway.object_locks import lock_of_write
from gateway.operations.copy_source import find_source
from gateway.operations.encrypting import (
    context_member,
    encryption_members,
    key_of_upload,
    key_of_write,
    read_object,
    reading_key,
    requested_encryption,
)
from gateway.operations.grants import access_of_write, user_member
from gateway.operations.listing import echoed_members, key_encoder, owner_member, page_limit, position_after
from gateway.operations.stored_headers import (
    STORAGE_CLASS,
    kept_headers,
    refuse_unsupported,
    user_metadata,
)
from gateway.operations.times import from_ms, whole_seconds
from gateway.operations.writing import (
    DEFAULT_CHECKSUM,
    SINGLE_WRITE_LIMIT_BYTES,
    Stored,
    checksum_members,
    store_blocks,
    store_payload,
)
from s3compat.checksums import ALGORITHMS, check_multipart_type, encode
from s3compat.conditions import parse_copy_source_range, quote_etag
from s3compat.errors import S3Error
from s3compat.tags import parse_tagging_header

#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_NUMBER_LIMIT = 10_000
PARTS_PAGE_LIMIT = 1000
UPLOADS_PAGE_LIMIT = 1000


async def create_multipart_upload(context: Context, params: Input) -> Answer:
    """CreateMultipartUpload. Raises InvalidRequest (checksum), InvalidTag, MetadataTooLarge, NoSuchBucket."""
    headers = context.request.headers
    refuse_unsupported(headers)
    algorithm, checksum_type = _checksum_choice(params)
    lock = lock_of_write(context, params, bound_to_body=False)
    access = await access_of_write(context)
    key = await key_of_write(context, requested_encryption(context))
    initiator_id = context.identity.canonical_id
    wanted = UploadRecord(
        key=context.key,
        owner_id=access.owner_id,
        initiated_ms=context.now_ms,
        headers=kept_headers(headers),
        metadata=user_metadata(params),
        tags=parse_tagging_header(headers.get("x-amz-tagging")),
        checksum_algorithm=algorithm,
        checksum_type=checksum_type,
        acl=access.acl,
        initiator_id="" if initiator_id == access.owner_id else initiator_id,
        lock=lock,
        encryption=key.encryption if key else None,
    )
    upload = await context.index.create_upload(
        context.target_bucket.name, wanted, bucket_id=context.target_bucket.bucket_id
    )
    output: Output = {
        "Bucket": params["Bucket"],
        "Key": params["Key"],
        "UploadId": upload.upload_id,
        **encryption_members(key),
        **context_member(key),
    }
    if algorithm is not None:
        output["ChecksumAlgorithm"] = algorithm
        output["ChecksumType"] = checksum_type
    return Answer(output=output)


def _checksum_choice(params: Input) -> tuple[str | None, str]:
    """Algorithm (None: the client named none) and type of the object's checksum; raises InvalidRequest."""
    algorithm: str | None = params.get("ChecksumAlgorithm")
    wanted: str | None = params.get("ChecksumType")
    if algorithm is None:
        if wanted is not None:
            raise S3Error(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        return None, "FULL_OBJECT"
    known = ALGORITHMS.get(algorithm.upper())
    if known is None:
        raise S3Error(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(sorted(ALGORITHMS))}]",
        )
    checksum_type = wanted or known.default_multipart_type
    check_multipart_type(known, checksum_type)
    return known.name, checksum_type


async def upload_part(context: Context, params: Input) -> Answer:
    """UploadPart.

    Raises NoSuchUpload, InvalidArgument (part number), EntityTooLarge, InvalidRequest (another checksum than the
    upload's), BadDigest, IncompleteBody.
    """
    refuse_unsupported(context.request.headers)
    number = _part_number(params)
    upload = await _upload(context, params)
    requested = context.payload.requested_checksum
    expected = upload.checksum_algorithm
    if requested is not None and expected is not None and requested.algorithm.name != expected:
        raise S3Error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {expected.lower()}, "
            f"actual checksum Type: {requested.algorithm.name.lower()}",
        )
    key = await key_of_upload(context, upload)
    stored = await store_payload(context, _origin(context, upload, number), expected or DEFAULT_CHECKSUM, key)
    await _put_part(context, upload, number, stored)
    output: Output = {"ETag": quote_etag(stored.etag), **encryption_members(key)}
    if expected is not None:
        output[ALGORITHMS[expected].member] = stored.checksum.value
    elif requested is not None:
        output[requested.algorithm.member] = encode(context.payload.digest(requested.algorithm.name))
    return Answer(output=output)


async def upload_part_copy(context: Context, params: Input) -> Answer:
    """UploadPartCopy.

    Raises NoSuchUpload, NoSuchKey, AccessDenied (source), PreconditionFailed, InvalidArgument (range), InvalidRequest.
    """
    refuse_unsupported(context.request.headers)
    number = _part_number(params)
    upload = await _upload(context, params)
    source = await find_source(context, params)
    offset, length = 0, source.record.size_bytes
    if (text := params.get("CopySourceRange")) is not None:
        wanted = parse_copy_source_range(text, length)
        offset, length = wanted.start, wanted.size_bytes
    if length > SINGLE_WRITE_LIMIT_BYTES:
        raise S3Error("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(SINGLE_WRITE_LIMIT_BYTES))
    source_key = await reading_key(context, source.record, of_source=True)
    key = await key_of_upload(context, upload)
    stored = await store_blocks(
        context,
        _origin(context, upload, number),
        length,
        read_object(context, source.record, offset, length, source_key),
        upload.checksum_algorithm or DEFAULT_CHECKSUM,
        key,
    )
    await _put_part(context, upload, number, stored)
    result: Output = {"ETag": quote_etag(stored.etag), "LastModified": whole_seconds(context.now_ms)}
    if upload.checksum_algorithm is not None:
        result[ALGORITHMS[upload.checksum_algorithm].member] = stored.checksum.value
    return Answer(output={"CopyPartResult": result, **source.version_member(), **encryption_members(key)})


def _part_number(params: Input) -> int:
    number: int = params["PartNumber"]
    if not 1 <= number <= PART_NUMBER_LIMIT:
        raise S3Error(
            "InvalidArgument",
            "Part number must be an integer between 1 and 10000, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=str(number),
        )
    return number


def _origin(context: Context, upload: UploadRecord, number: int) -> Origin:
    return Origin(bucket=context.target_bucket.name, key=context.key, upload_id=upload.upload_id, part_number=number)


async def _upload(context: Context, params: Input) -> UploadRecord:
    return await context.index.get_upload(context.target_bucket.name, context.key, params["UploadId"])


async def _put_part(context: Context, upload: UploadRecord, number: int, stored: Stored) -> None:
    part = PartRecord(
        part_number=number,
        size_bytes=stored.size_bytes,
        etag=stored.etag,
        checksum=stored.checksum,
        modified_ms=context.now_ms,
        extent=stored.extent,
    )
    try:
        await context.index.put_part(context.target_bucket.name, context.key, upload.upload_id, part)
    except IndexRefusal:
        context.datapath.discard([stored.extent])
        raise


async def abort_multipart_upload(context: Context, params: Input) -> Answer:
    """AbortMultipartUpload. Raises NoSuchUpload."""
    await context.index.abort_upload(context.target_bucket.name, context.key, params["UploadId"])
    return Answer()


async def list_parts(context: Context, params: Input) -> Answer:
    """ListParts. Raises NoSuchUpload, InvalidArgument."""
    limit = min(page_limit(params, "MaxParts", "max-parts"), PARTS_PAGE_LIMIT)
    marker = int(params.get("PartNumberMarker") or 0)
    page = await context.index.list_parts(
        context.target_bucket.name, context.key, params["UploadId"], after=marker, limit=limit
    )
    upload = page.upload
    output: Output = {
        "Bucket": params["Bucket"],
        "Key": params["Key"],
        "UploadId": upload.upload_id,
        "PartNumberMarker": marker,
        "MaxParts": limit,
        "IsTruncated": page.truncated,
        "Parts": [_listed_part(upload, part) for part in page.parts],
        "Initiator": await user_member(context, upload.initiator_id or upload.owner_id),
        "Owner": await user_member(context, upload.owner_id),
        "StorageClass": _storage_class(upload),
    }
    if page.parts:
        output["NextPartNumberMarker"] = page.parts[-1].part_number
    output.update(_checksum_members(upload))
    return Answer(output=output)


def _listed_part(upload: UploadRecord, part: PartRecord) -> Output:
    entry: Output = {
        "PartNumber": part.part_number,
        "LastModified": from_ms(part.modified_ms),
        "ETag": quote_etag(part.etag),
        "Size": part.size_bytes,
    }
    if upload.checksum_algorithm is not None and part.checksum is not None:
        members = checksum_members(part.checksum)
        del members["ChecksumType"]
        entry.update(members)
    return entry


def _checksum_members(upload: UploadRecord) -> Output:
    if upload.checksum_algorithm is None:
        return {}
    return {"ChecksumAlgorithm": upload.checksum_algorithm, "ChecksumType": upload.checksum_type}


def _storage_class(upload: UploadRecord) -> str:
    return dict(upload.headers).get(STORAGE_CLASS, "STANDARD")


async def list_multipart_uploads(context: Context, params: Input) -> Answer:
    """ListMultipartUploads in order of key, then of initiation. Raises InvalidArgument."""
    encode = key_encoder(params)
    limit = min(page_limit(params, "MaxUploads", "max-uploads"), UPLOADS_PAGE_LIMIT)
    key_marker: str = params.get("KeyMarker") or ""
    # AWS ignores an upload-id-marker that comes without a key-marker.
    id_marker: str = (params.get("UploadIdMarker") or "") if key_marker else ""
    page = await context.index.list_uploads(
        context.target_bucket.name,
        prefix=params.get("Prefix") or "",
        delimiter=params.get("Delimiter") or "",
        after=_upload_position(params, key_marker, id_marker),
        limit=limit,
    )
    output: Output = {
        "Bucket": params["Bucket"],
        "KeyMarker": encode(key_marker),
        "UploadIdMarker": id_marker,
        "Prefix": encode(params.get("Prefix") or ""),
        "MaxUploads": limit,
        "IsTruncated": page.truncated,
        "Uploads": [_listed_upload(context, upload, encode(upload.key)) for upload in page.uploads],
        "CommonPrefixes": [{"Prefix": encode(prefix)} for prefix in page.common_prefixes],
    }
    output.update(echoed_members(params, encode))
    if page.next is not None:
        output["NextKeyMarker"] = encode(page.next.value)
        output["NextUploadIdMarker"] = page.next.upload_id or ""
    return Answer(output=output)


def _upload_position(params: Input, key_marker: str, id_marker: str) -> UploadPosition | None:
    position = position_after(params, key_marker)
    if position is None:
        return None
    return UploadPosition(
        value=position.value, upload_id=id_marker or None, is_prefix=position.is_prefix and not id_marker
    )


def _listed_upload(context: Context, upload: UploadRecord, shown_key: str) -> Output:
    return {
        "UploadId": upload.upload_id,
        "Key": shown_key,
        "Initiated": from_ms(upload.initiated_ms),
        "StorageClass": _storage_class(upload),
        "Owner": owner_member(context, upload.owner_id),
        "Initiator": owner_member(context, upload.initiator_id or upload.owner_id),
        **_checksum_members(upload),
    }
