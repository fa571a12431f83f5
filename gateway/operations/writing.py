"""PutObject and CopyObject: bytes to the nodes, then one commit in the index.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from gateway.context import Answer, Context, Input, Output
from gateway.datapath.hashing import BodyHasher
from gateway.encryption.cipher import Sealer, sealed_size
from gateway.encryption.envelope import ObjectKey
from gateway.index.errors import IndexRefusal
from gateway.index.records import Checksum, Extent, ObjectRecord, Origin, PutResult, WriteCheck
from gateway.object_locks import lock_of_write
from gateway.operations.copy_source import CopySource, find_source
from gateway.operations.encrypting import (
    context_member,
    encryption_members,
    etag_of,
    key_of_write,
    read_object,
    reading_key,
    requested_encryption,
)
from gateway.operations.grants import WrittenAccess, access_of_write
from gateway.operations.reading import expiration_of
from gateway.operations.stored_headers import (
    check_redirect,
    kept_headers,
    refuse_unsupported,
    storage_class_header,
    user_metadata,
)
from gateway.operations.times import whole_seconds
from gateway.operations.write_conditions import write_check
from gateway.redundancy import redundancy_of
from s3compat import checksums
from s3compat.checksums import ALGORITHMS, RequestedChecksum
from s3compat.conditions import quote_etag
from s3compat.errors import S3Error
from s3compat.tags import parse_tagging_header

#: Largest object of one PUT or one copy, and largest part: 5 GiB.
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
SINGLE_WRITE_LIMIT_BYTES = 5 * 1024**3
#: What S3 computes for an object whose client sent no checksum (since December 2024).
DEFAULT_CHECKSUM = "CRC64NVME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One stream that is durable on its nodes, and what was computed on the way; of the plaintext, where encrypted."""

    extent: Extent
    size_bytes: int
    etag: str
    checksum: Checksum

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The extent, or nothing for an empty stream, which has no blobs."""
        return (self.extent,) if self.size_bytes else ()


def full_object_checksum(algorithm: str, digest: bytes) -> Checksum:
    """The checksum record of a stream that was hashed as a whole."""
    return Checksum(algorithm=algorithm, type="FULL_OBJECT", value=checksums.encode(digest))


def checksum_members(checksum: Checksum | None) -> Output:
    """A checksum under AWS's member names."""
    if checksum is None:
        return {}
    return {ALGORITHMS[checksum.algorithm].member: checksum.value, "ChecksumType": checksum.type}


async def put_object(context: Context, params: Input) -> Answer:
    """PutObject.

    Raises EntityTooLarge, MissingContentLength, IncompleteBody, BadDigest, InvalidDigest, PreconditionFailed,
    ConditionalRequestConflict, NoSuchKey (If-Match on nothing), NoSuchBucket, InvalidTag, MetadataTooLarge, SlowDown.
    """
    headers = context.request.headers
    refuse_unsupported(headers)
    check = write_check(headers, context.target_bucket)
    kept = kept_headers(headers)
    metadata = user_metadata(params)
    tags = parse_tagging_header(headers.get("x-amz-tagging"))
    lock = lock_of_write(context, params)
    access = await access_of_write(context)
    requested = context.payload.requested_checksum
    origin = Origin(bucket=context.target_bucket.name, key=context.key)
    key = await key_of_write(context, requested_encryption(context))
    stored = await store_payload(context, origin, algorithm_of(requested), key)
    record = ObjectRecord(
        etag=stored.etag,
        size_bytes=stored.size_bytes,
        modified_ms=context.now_ms,
        owner_id=access.owner_id,
        headers=kept,
        metadata=metadata,
        checksum=stored.checksum,
        tags=tags,
        extents=stored.extents,
        acl=access.acl,
        lock=lock,
        encryption=key.encryption if key else None,
    )
    result = await commit_object(context, record, check)
    output: Output = {
        "ETag": quote_etag(record.etag),
        **checksum_members(stored.checksum),
        **expiration_of(context, record),
        **encryption_members(key),
        **context_member(key),
    }
    if result.version_id is not None:
        output["VersionId"] = result.version_id
    return Answer(output=output)


async def commit_object(context: Context, record: ObjectRecord, check: WriteCheck) -> PutResult:
    """Make a stored object the current one, or give its bytes back when the index says no."""
    try:
        return await context.index.put_object(context.target_bucket.name, context.key, record, check=check)
    except IndexRefusal:
        context.datapath.discard(record.extents)
        raise


def algorithm_of(requested: RequestedChecksum | None) -> str:
    """The algorithm that is kept with the object."""
    return requested.algorithm.name if requested is not None else DEFAULT_CHECKSUM


async def store_payload(context: Context, origin: Origin, algorithm: str, key: ObjectKey | None) -> Stored:
    """Stream the request's payload to the nodes, hashed, verified and encrypted; nothing stays when it fails."""
    payload = context.payload
    size = payload.size_bytes
    if size > SINGLE_WRITE_LIMIT_BYTES:
        raise S3Error("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(SINGLE_WRITE_LIMIT_BYTES))
    extent = await _store(context, origin, size, payload.blocks({"MD5", algorithm}), key)
    return Stored(
        extent=extent,
        size_bytes=size,
        etag=etag_of(key, payload.digest("MD5")),
        checksum=full_object_checksum(algorithm, payload.digest(algorithm)),
    )


async def store_blocks(
    context: Context,
    origin: Origin,
    length: int,
    blocks: AsyncIterator[bytes],
    algorithm: str,
    key: ObjectKey | None = None,
) -> Stored:
    """Store ``length`` bytes that need no verification, hashed on the way, encrypted under ``key``."""
    hasher = BodyHasher({name: checksums.new(name) for name in {"MD5", algorithm}})

    async def hashed() -> AsyncIterator[bytes]:
        async for block in blocks:
            await hasher.update(block)
            yield block

    extent = await _store(context, origin, length, hashed(), key)
    digests = await hasher.digests()
    return Stored(
        extent=extent,
        size_bytes=length,
        etag=etag_of(key, digests["MD5"]),
        checksum=full_object_checksum(algorithm, digests[algorithm]),
    )


async def _store(
    context: Context, origin: Origin, size: int, blocks: AsyncIterator[bytes], key: ObjectKey | None
) -> Extent:
    """The one place between the blocks of a body, hashed by then, and the nodes: where they are encrypted."""
    services = context.services
    expected_nodes = len(services.membership.expected_nodes())
    redundancy = redundancy_of(context.target_bucket, expected_nodes, services.settings)
    async with context.datapath.open_write(
        origin=origin,
        size_bytes=size if key is None else sealed_size(size),
        replicas=redundancy.replicas,
        write_quorum=redundancy.write_quorum,
    ) as writer:
        if key is not None:
            blocks = _sealed(blocks, Sealer(key.data_key, writer.write_id, size))
        async for block in blocks:
            await writer.write(block)
        return await writer.finish()


async def _sealed(blocks: AsyncIterator[bytes], sealer: Sealer) -> AsyncIterator[bytes]:
    async for block in blocks:
        if sealed := sealer.update(block):
            yield sealed
    if sealed := sealer.finish():
        yield sealed


async def copy_object(context: Context, params: Input) -> Answer:
    """CopyObject: the bytes are copied, so that two objects never share a blob.

    Raises NoSuchKey, NoSuchBucket, AccessDenied (source), PreconditionFailed, InvalidRequest (onto itself unchanged;
    over 5 GiB), InvalidArgument, and what PutObject raises.
    """
    headers = context.request.headers
    refuse_unsupported(headers)
    check = write_check(headers, context.target_bucket)
    lock = lock_of_write(context, params, bound_to_body=False)
    with_tags = _directive(params, "TaggingDirective") == "COPY"
    source = await find_source(context, params, with_tags=with_tags)
    if source.record.size_bytes > SINGLE_WRITE_LIMIT_BYTES:
        raise S3Error(
            "InvalidRequest",
            "The specified copy source is larger than the maximum allowable size for a copy source: "
            f"{SINGLE_WRITE_LIMIT_BYTES}",
        )
    access = await access_of_write(context)
    wanted = requested_encryption(context)
    record = _copied_record(context, params, source, access, encrypts=wanted is not None)
    algorithm = params.get("ChecksumAlgorithm") or (
        source.record.checksum.algorithm if source.record.checksum else DEFAULT_CHECKSUM
    )
    if algorithm not in ALGORITHMS:
        raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported.")
    origin = Origin(bucket=context.target_bucket.name, key=context.key)
    source_key = await reading_key(context, source.record, of_source=True)
    key = await key_of_write(context, wanted)
    size = source.record.size_bytes
    stored = await store_blocks(
        context, origin, size, read_object(context, source.record, 0, size, source_key), algorithm, key
    )
    record = replace(
        record,
        etag=stored.etag,
        checksum=stored.checksum,
        extents=stored.extents,
        lock=lock,
        encryption=key.encryption if key else None,
    )
    result = await commit_object(context, record, check)
    output: Output = {
        "CopyObjectResult": {
            "ETag": quote_etag(record.etag),
            "LastModified": whole_seconds(record.modified_ms),
            **checksum_members(stored.checksum),
        }
    }
    output.update(source.version_member())
    output.update(expiration_of(context, record))
    output.update(encryption_members(key))
    output.update(context_member(key))
    if result.version_id is not None:
        output["VersionId"] = result.version_id
    return Answer(output=output)


def _copied_record(
    context: Context, params: Input, source: CopySource, access: WrittenAccess, *, encrypts: bool
) -> ObjectRecord:
    """The record of the copy before its bytes are known: whose headers, metadata and tags it takes.

    A copy onto itself is legal where it encrypts: AWS allows it too where that is the bucket's default.
    """
    headers = context.request.headers
    replaces = _directive(params, "MetadataDirective") == "REPLACE"
    replaces_tags = _directive(params, "TaggingDirective") == "REPLACE"
    own_class = storage_class_header(headers)
    if replaces:
        kept = kept_headers(headers)
        metadata = user_metadata(params)
    else:
        kept = tuple(
            (name, value)
            for name, value in source.record.headers
            if name not in ("x-amz-storage-class", "x-amz-website-redirect-location")
        )
        redirect = headers.get("x-amz-website-redirect-location")
        if redirect is not None:
            check_redirect(redirect)
            kept += (("x-amz-website-redirect-location", redirect),)
        kept += tuple(own_class)
        metadata = source.record.metadata
        changes = encrypts or redirect is not None or _class_of(kept) != _class_of(source.record.headers)
        if source.is_current(context) and not changes:
            raise S3Error(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes.",
            )
    tags = parse_tagging_header(headers.get("x-amz-tagging")) if replaces_tags else source.record.tags
    return ObjectRecord(
        etag="",
        size_bytes=source.record.size_bytes,
        modified_ms=context.now_ms,
        owner_id=access.owner_id,
        headers=kept,
        metadata=metadata,
        checksum=None,
        tags=tags,
        extents=(),
        acl=access.acl,
    )


def _class_of(headers: tuple[tuple[str, str], ...]) -> str:
    return dict(headers).get("x-amz-storage-class", "STANDARD")


def _directive(params: Input, member: str) -> str:
    directive: str = params.get(member) or "COPY"
    if directive not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", f"Unknown {member}.", ArgumentName=member, ArgumentValue=directive)
    return directive
