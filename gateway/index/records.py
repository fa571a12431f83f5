"""What the index stores, as frozen records. How they become bytes is in the `*_encoding` modules.

Times are milliseconds since the epoch (UTC), sizes are bytes. ETags are stored without their quotes.
Ids that are hexadecimal in lower case are stored in half the space; others are kept as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType

from gateway.index.encryption_record import Encryption

NULL_VERSION = "null"

# The configuration documents that come with every reading of a bucket, because requests on its objects ask for them;
# `Index.get_bucket_config` reads any other. Opaque to the index; each takes about 0.2 us of a request when absent.
CARRIED_CONFIGS = (
    "acl",
    "ownership",
    "public-access-block",
    "policy",
    "request-payment",
    "encryption",
    "object-lock",
    "cors",
    "lifecycle",
    "redundancy",
    "logging",
    "tagging",
)
NO_CONFIGS: Mapping[str, bytes] = MappingProxyType({})


class Versioning(StrEnum):
    """The versioning state of a bucket."""

    UNVERSIONED = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of bytes that lies as one blob on each of its nodes."""

    number: int
    size_bytes: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """The bytes of one write (one PUT, one part). Blob ids derive from (write_id, segment.number).

    `write_id` is 32 lower-case hexadecimal digits.
    """

    write_id: str
    segments: tuple[Segment, ...]

    @property
    def size_bytes(self) -> int:
        return sum(segment.size_bytes for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """An S3 additional checksum: `type` is FULL_OBJECT or COMPOSITE, `value` is base64 (and `-N`)."""

    algorithm: str
    type: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPart:
    """One part of an object that was uploaded in parts, as GET ?partNumber= and GetObjectAttributes need it."""

    number: int
    size_bytes: int
    checksum: str | None = None


class LockMode(StrEnum):
    """How a retention period binds; the empty text is none."""

    NONE = ""
    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLock:
    """What keeps a version from being removed: a retention period, a legal hold. Asked in `bucket.lua`."""

    mode: LockMode = LockMode.NONE
    retain_until_ms: int = 0
    legal_hold: bool | None = None  # None: nobody has ever said


NO_LOCK = ObjectLock()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRecord:
    """One version of an object, or a delete marker.

    `version_id` and `sequence` are given by the index when the record is committed; what a writer puts there
    is not looked at. `extents` lie in the order of the bytes. `layout_ref` is set when extents and parts are
    kept in a key of their own; listings then leave both empty, `get_object` fills them in.
    """

    version_id: str = NULL_VERSION
    etag: str
    size_bytes: int
    modified_ms: int
    owner_id: str
    headers: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    checksum: Checksum | None = None
    tags: tuple[tuple[str, str], ...] = ()
    delete_marker: bool = False
    extents: tuple[Extent, ...] = ()
    parts: tuple[ObjectPart, ...] = ()
    layout_ref: str | None = None
    acl: str = ""  # its grants as `s3compat.acl.encode_grants` writes them; empty: the owner alone
    sequence: int = 0  # the number of the change that wrote it
    lock: ObjectLock = NO_LOCK
    encryption: Encryption | None = None  # extents then hold more bytes than `size_bytes`, which is the plaintext's

    def header(self, name: str) -> str | None:
        """The value of a stored header, by its lower-case name."""
        return next((value for stored, value in self.headers if stored == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """One part of a multipart upload under way."""

    part_number: int
    size_bytes: int
    etag: str
    checksum: Checksum | None
    modified_ms: int
    extent: Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """A multipart upload under way: what its object will carry. Upload ids sort by initiation."""

    upload_id: str = ""  # given by the index
    key: str
    owner_id: str
    initiated_ms: int
    headers: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    acl: str = ""  # as the object will have it
    initiator_id: str = ""  # who began it, where that is not the one who will own the object
    lock: ObjectLock = NO_LOCK  # as the object will have it
    encryption: Encryption | None = None  # as the object will have it; all parts share its data key


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRecord:
    """A bucket. The counts are exact as of the moment of reading and cover every version."""

    name: str
    bucket_id: int  # differs for each bucket that ever had this name
    owner_id: str
    created_ms: int
    region: str
    versioning: Versioning = Versioning.UNVERSIONED
    object_count: int = 0  # versions; delete markers are not counted
    byte_count: int = 0
    quota_bytes: int | None = None
    quota_objects: int | None = None
    configs: Mapping[str, bytes] = field(
        default_factory=lambda: NO_CONFIGS, hash=False
    )  # those of CARRIED_CONFIGS that are set


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """One access key of a user; the secret is opaque to the index (encrypted by the caller)."""

    access_key: str
    sealed_secret: bytes
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """A user. `revision` is given by the index and tells whether the user was changed since it was read."""

    user_id: str
    name: str
    display_name: str
    email: str | None
    created_ms: int
    access_keys: tuple[AccessKey, ...] = ()
    revision: int = 0
    policy: str = ""  # the identity policy as it was put; empty where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The back pointer stored with each blob: where the index would name it if it were committed."""

    bucket: str
    key: str
    upload_id: str | None = None
    part_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCheck:
    """What must hold when a write is committed. `if_match` is an ETag without quotes, or `*`."""

    if_match: str | None = None
    if_none_match: bool = False  # If-None-Match: *
    bucket_id: int | None = None  # the bucket must still be the one that the caller was allowed to write to


@dataclass(frozen=True, slots=True, kw_only=True)
class PutResult:
    """A committed write. `version_id` is None unless the bucket is, or was, versioned."""

    version_id: str | None
    sequence: int
    replaced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """One key to delete, with its conditions (which need an object to be there)."""

    key: str
    version_id: str | None = None
    if_match: str | None = None  # ETag without quotes, or `*`
    if_modified_s: int | None = None  # last-modified time, in whole seconds since the epoch
    if_size_bytes: int | None = None
    bypass_governance: bool = False  # remove a version though a GOVERNANCE retention has not run out


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteResult:
    """What a delete did: `delete_marker` when a marker was made or removed, `version_id` then names it.

    `existed` tells whether there was something to delete. `sequence` is 0 when nothing was changed.
    """

    version_id: str | None
    delete_marker: bool
    existed: bool
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPosition:
    """Where a listing goes on: after a key, or after everything that begins with a common prefix."""

    value: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """A current object in a listing."""

    key: str
    record: ObjectRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPage:
    """A page of a listing; `next` is where the following page begins, None when there is none."""

    objects: tuple[ListedObject, ...]
    common_prefixes: tuple[str, ...]
    next: ListPosition | None

    @property
    def truncated(self) -> bool:
        return self.next is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPosition:
    """Where a listing of versions goes on: after a version (None: after every version) of a key, or a prefix."""

    value: str
    version_id: str | None = None
    is_prefix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedVersion:
    """A version or delete marker in a listing."""

    key: str
    record: ObjectRecord
    is_latest: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPage:
    """A page of versions, by key and from the newest to the oldest."""

    versions: tuple[ListedVersion, ...]
    common_prefixes: tuple[str, ...]
    next: VersionPosition | None

    @property
    def truncated(self) -> bool:
        return self.next is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPosition:
    """Where a listing of uploads goes on: after an upload (None: after every upload) of a key, or a prefix."""

    value: str
    upload_id: str | None = None
    is_prefix: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPage:
    """A page of the uploads under way, by key and then by initiation."""

    uploads: tuple[UploadRecord, ...]
    common_prefixes: tuple[str, ...]
    next: UploadPosition | None

    @property
    def truncated(self) -> bool:
        return self.next is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPage:
    """A page of the parts of an upload, by number. `revision` changes with every part that is written."""

    upload: UploadRecord
    parts: tuple[PartRecord, ...]
    truncated: bool
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteResult:
    """The object that an upload became. `record` comes without extents and parts where it has a layout key.

    `replayed` is True when the upload had been completed before and this is the answer of that time.
    `version_id` is None unless the bucket was versioned.
    """

    version_id: str | None
    sequence: int
    record: ObjectRecord
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPage:
    """A page of buckets, by name."""

    buckets: tuple[BucketRecord, ...]
    truncated: bool


class ReclaimKind(IntEnum):
    """What an entry of the reclaim queue holds. The numbers are stored: do not change them."""

    OBJECT = 1  # an object version that was replaced or deleted
    PART = 2  # a part that was replaced
    UPLOAD = 3  # an aborted upload with all its parts
    EXTENTS = 4  # parts that a completed upload left out


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimEntry:
    """Bytes that nothing refers to any more; `Index.extents_of(entry)` names all of them.

    `record` is the whole old record of an object (for undelete), `upload_id` an aborted upload's, and
    `extents` what a completed upload left out or the bytes of a replaced part.
    """

    reference: bytes
    kind: ReclaimKind
    bucket: str
    key: str
    record: ObjectRecord | None = None
    upload_id: str | None = None
    extents: tuple[Extent, ...] = ()
