"""How uploads, parts, buckets, users and reclaim entries become bytes and back. Pure.

Framed as `packing` says, unless a function says otherwise. Fields are only ever appended, under a new format.
"""

from collections.abc import Mapping, Sequence

from gateway.index.layout_encoding import layout_fields, layout_from_fields
from gateway.index.object_encoding import ORDER_SIZE, decode_object, pack_lock, unpack_lock
from gateway.index.packing import (
    DECODE_ERRORS,
    check_format,
    compact_hex,
    corrupt,
    expand_hex,
    pack_checksum,
    pack_encryption,
    pack_headers,
    pack_pairs,
    pack_record,
    unpack_checksum,
    unpack_encryption,
    unpack_headers,
    unpack_pairs,
    unpack_record,
)
from gateway.index.records import (
    CARRIED_CONFIGS,
    NO_CONFIGS,
    NO_LOCK,
    AccessKey,
    BucketRecord,
    Extent,
    PartRecord,
    ReclaimEntry,
    ReclaimKind,
    UploadRecord,
    UserRecord,
    Versioning,
)

# An upload id is 32 hexadecimal digits: the number of the change that made it, then random.
UPLOAD_ID_SIZE = 32

_CONFIG_PREFIX = "config:"
_FIXED_BUCKET_FIELDS = ("format", "id", "owner", "created_ms", "region", "versioning", "objects", "bytes")
_LIMIT_FIELDS = ("quota_bytes", "quota_objects")


def config_field(name: str) -> str:
    """The field of a bucket's hash that holds its configuration document of this name."""
    return _CONFIG_PREFIX + name


# The fields of a bucket's hash, in the order in which the scripts return them.
BUCKET_FIELDS: tuple[str, ...] = (
    *_FIXED_BUCKET_FIELDS,
    *_LIMIT_FIELDS,
    *[config_field(name) for name in CARRIED_CONFIGS],
)

_REVISION_SIZE = 8


def encode_upload(upload: UploadRecord) -> bytes:
    """The record of an upload without its key and id, which stand before it in the set's member."""
    return pack_record(
        (
            compact_hex(upload.owner_id),
            upload.initiated_ms,
            pack_headers(upload.headers),
            pack_pairs(upload.metadata),
            pack_pairs(upload.tags),
            upload.checksum_algorithm,
            upload.checksum_type,
            upload.acl,
            compact_hex(upload.initiator_id),
            b"" if upload.lock == NO_LOCK else pack_lock(upload.lock),
            pack_encryption(upload.encryption),
        )
    )


def decode_upload(member: bytes) -> UploadRecord:
    """A member of an `uploads` set: `key 00 upload-id record`. Raises UnsupportedFormat, CorruptRecord."""
    key, _, rest = member.partition(b"\0")
    try:
        fields = unpack_record(rest[UPLOAD_ID_SIZE:])
        owner, initiated_ms, headers, metadata, tags, algorithm, kind, *appended = fields
        # Uploads of earlier releases have fewer fields.
        acl, initiator, lock, encryption = (list(appended) + ["", "", b"", None][len(appended) :])[:4]
        return UploadRecord(
            upload_id=rest[:UPLOAD_ID_SIZE].decode(),
            key=key.decode(),
            owner_id=expand_hex(owner),
            initiated_ms=initiated_ms,
            headers=unpack_headers(headers),
            metadata=unpack_pairs(metadata),
            tags=unpack_pairs(tags),
            checksum_algorithm=algorithm,
            checksum_type=kind,
            acl=acl,
            initiator_id=expand_hex(initiator),
            lock=unpack_lock(lock) if lock else NO_LOCK,
            encryption=unpack_encryption(encryption),
        )
    except DECODE_ERRORS as error:
        corrupt("upload", member, error)


def encode_part(part: PartRecord) -> bytes:
    """A member of a `parts` set, whose score is the part's number."""
    return pack_record(
        (
            part.part_number,
            part.size_bytes,
            compact_hex(part.etag),
            pack_checksum(part.checksum),
            part.modified_ms,
            layout_fields((part.extent,), ()),
        )
    )


def decode_part(data: bytes) -> PartRecord:
    """The inverse of `encode_part`. Raises UnsupportedFormat, CorruptRecord."""
    try:
        number, size_bytes, etag, checksum, modified_ms, layout = unpack_record(data)
        ((extent,), _) = layout_from_fields(layout)
        return PartRecord(
            part_number=number,
            size_bytes=size_bytes,
            etag=expand_hex(etag),
            checksum=unpack_checksum(checksum),
            modified_ms=modified_ms,
            extent=extent,
        )
    except DECODE_ERRORS as error:
        corrupt("part", data, error)


def decode_bucket(name: str, fields: Sequence[bytes]) -> BucketRecord:
    """A bucket from the values of BUCKET_FIELDS. Raises UnsupportedFormat, CorruptRecord."""
    try:
        count = len(_FIXED_BUCKET_FIELDS)
        format_number, bucket_id, owner, created_ms, region, versioning, objects, size = fields[:count]
        check_format(int(format_number))
        quota_bytes, quota_objects, *configs = fields[count:]
        return BucketRecord(
            name=name,
            bucket_id=int(bucket_id),
            owner_id=owner.decode(),
            created_ms=int(created_ms),
            region=region.decode(),
            versioning=Versioning(versioning.decode()),
            object_count=int(objects),
            byte_count=int(size),
            quota_bytes=None if quota_bytes is None else int(quota_bytes),
            quota_objects=None if quota_objects is None else int(quota_objects),
            configs=_carried_configs(configs),
        )
    except DECODE_ERRORS as error:
        corrupt("bucket", b" ".join(field or b"-" for field in fields), error)


def _carried_configs(documents: Sequence[bytes | None]) -> Mapping[str, bytes]:
    if not any(documents):
        return NO_CONFIGS
    return {name: document for name, document in zip(CARRIED_CONFIGS, documents, strict=True) if document is not None}


def encode_user(user: UserRecord) -> bytes:
    """A user without its revision, which the script puts before it: 8 bytes, big-endian."""
    keys = [[key.access_key, key.sealed_secret, key.created_ms] for key in user.access_keys]
    fields = (user.user_id, user.name, user.display_name, user.email, user.created_ms, keys)
    # A release that knows no policies must refuse a user who has one, and not take it for one without.
    return pack_record((*fields, user.policy) if user.policy else fields)


def decode_user(data: bytes) -> UserRecord:
    """A value of the `users` hash. Raises UnsupportedFormat, CorruptRecord."""
    try:
        user_id, name, display_name, email, created_ms, keys, *later = unpack_record(data[_REVISION_SIZE:])
        return UserRecord(
            user_id=user_id,
            name=name,
            display_name=display_name,
            email=email,
            created_ms=created_ms,
            access_keys=tuple(
                [
                    AccessKey(access_key=access_key, sealed_secret=sealed, created_ms=made_ms)
                    for access_key, sealed, made_ms in keys
                ]
            ),
            revision=int.from_bytes(data[:_REVISION_SIZE]),
            policy=_only(later, ""),
        )
    except DECODE_ERRORS as error:
        corrupt("user", data, error)


def _only(later: Sequence[str], default: str) -> str:
    """The one field that older records lack. Raises ValueError for more than that."""
    (value,) = later or (default,)
    return value


def encode_extents(extents: Sequence[Extent]) -> bytes:
    """Extents on their own."""
    return pack_record((layout_fields(extents, ()),))


def decode_extents(data: bytes) -> tuple[Extent, ...]:
    """The inverse of `encode_extents`. Raises UnsupportedFormat, CorruptRecord."""
    try:
        (layout,) = unpack_record(data)
        return layout_from_fields(layout)[0]
    except DECODE_ERRORS as error:
        corrupt("extents", data, error)


def decode_reclaim(member: bytes) -> ReclaimEntry:
    """A member of the `trash` set: `bucket 00 key 00 order kind record`.

    Everything before the record is the entry's reference. Raises UnsupportedFormat, CorruptRecord.
    """
    try:
        bucket, key, rest = member.split(b"\0", 2)
        kind = ReclaimKind(rest[ORDER_SIZE])
        order, data = rest[:ORDER_SIZE], rest[ORDER_SIZE + 1 :]
        reference = member[: len(member) - len(data)]
        names = bucket.decode(), key.decode()
    except DECODE_ERRORS as error:
        corrupt("reclaim entry", member, error)
    return _reclaim_entry(reference, kind, names, order, data)


def _reclaim_entry(
    reference: bytes, kind: ReclaimKind, names: tuple[str, str], order: bytes, data: bytes
) -> ReclaimEntry:
    record, upload_id = None, None
    extents: tuple[Extent, ...] = ()
    if kind is ReclaimKind.OBJECT:
        record = decode_object(order, data)
    elif kind is ReclaimKind.UPLOAD:
        upload_id = data[:UPLOAD_ID_SIZE].decode()
    elif kind is ReclaimKind.PART:
        extents = (decode_part(data).extent,)
    else:
        extents = decode_extents(data)
    return ReclaimEntry(
        reference=reference,
        kind=kind,
        bucket=names[0],
        key=names[1],
        record=record,
        upload_id=upload_id,
        extents=extents,
    )
