"""Every run of bytes that the index refers to, and why: one walk over objects, parts and trash.

The walk reads in pages and no page waits for another, so it is exact only of an index that nobody changes
meanwhile; of a busy one it may miss what came during the walk and still name what went. It reads all there is:
accounts and audits use it, requests never do.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.layout_encoding import decode_layout
from gateway.index.object_encoding import decode_version
from gateway.index.record_encoding import decode_part, decode_reclaim, decode_upload
from gateway.index.records import Extent, ObjectRecord, Origin, PartRecord, ReclaimEntry

PAGE_MEMBERS = 500
"""Of a sorted set in one reading: some 100 KiB, and well under a millisecond of the server."""


class ReferenceKind(Enum):
    """What it is that refers to bytes."""

    OBJECT = "object"
    """A version of an object."""
    PART = "part"
    """A part of an upload under way."""
    TRASH = "trash"
    """An entry that waits for reclaim, or that a worker is giving back at the moment: its bytes may be gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One extent that something refers to."""

    kind: ReferenceKind
    bucket: str
    key: str
    extent: Extent
    upload_id: str | None = None
    part_number: int | None = None
    entry: bytes = b""
    """Of TRASH: the reference of the entry (`ReclaimEntry.reference`)."""

    @property
    def origin(self) -> Origin:
        """By which the extent is found again (`Index.find_extent`)."""
        return Origin(bucket=self.bucket, key=self.key, upload_id=self.upload_id, part_number=self.part_number)


async def bucket_names(connection: Connection) -> AsyncIterator[str]:
    """Every bucket. Raises IndexUnavailable."""
    async for member in members_of(connection, keys.buckets()):
        yield member.decode()


async def references(connection: Connection) -> AsyncIterator[Reference]:
    """Everything that the index refers to: of every bucket, then of the trash.

    Raises IndexUnavailable, UnsupportedFormat, CorruptRecord.
    """
    async for bucket in bucket_names(connection):
        async for found in bucket_references(connection, bucket):
            yield found
    async for found in trash_references(connection):
        yield found


async def bucket_references(connection: Connection, bucket: str) -> AsyncIterator[Reference]:
    """What versions and parts of one bucket refer to. Raises as `references`."""
    async for member in members_of(connection, keys.objects(bucket)):
        key, record = decode_version(member)
        for extent in await _extents(connection, bucket, record):
            yield Reference(kind=ReferenceKind.OBJECT, bucket=bucket, key=key, extent=extent)
    async for member in members_of(connection, keys.uploads(bucket)):
        upload = decode_upload(member)
        async for part in _parts(connection, bucket, upload.upload_id):
            yield Reference(
                kind=ReferenceKind.PART,
                bucket=bucket,
                key=upload.key,
                extent=part.extent,
                upload_id=upload.upload_id,
                part_number=part.part_number,
            )


async def trash_references(connection: Connection) -> AsyncIterator[Reference]:
    """What waits for reclaim. Raises as `references`."""
    async for member in members_of(connection, keys.trash()):
        entry = decode_reclaim(member)
        async for extent in entry_extents(connection, entry):
            yield Reference(
                kind=ReferenceKind.TRASH, bucket=entry.bucket, key=entry.key, extent=extent, entry=entry.reference
            )


async def entry_extents(connection: Connection, entry: ReclaimEntry) -> AsyncIterator[Extent]:
    """Every extent of one entry of the trash. Raises as `references`."""
    for extent in entry.extents:
        yield extent
    if entry.record is not None:
        for extent in await _extents(connection, entry.bucket, entry.record):
            yield extent
    if entry.upload_id is not None:
        async for part in _parts(connection, entry.bucket, entry.upload_id):
            yield part.extent


async def members_of(connection: Connection, name: str, *, page: int = PAGE_MEMBERS) -> AsyncIterator[bytes]:
    """The members of a sorted set whose scores are all 0, in byte order. Raises IndexUnavailable."""
    lower = b"-"
    while True:
        members: list[bytes] = await connection.command("ZRANGEBYLEX", name, lower, "+", "LIMIT", 0, page)
        for member in members:
            yield member
        if len(members) < page:
            return
        lower = b"(" + members[-1]


async def _extents(connection: Connection, bucket: str, record: ObjectRecord) -> tuple[Extent, ...]:
    if record.layout_ref is None:
        return record.extents
    stored = await connection.command("GET", keys.layout(bucket, record.layout_ref))
    return decode_layout(stored)[0] if stored is not None else ()  # None: reclaimed since its record was read


async def _parts(connection: Connection, bucket: str, upload_id: str) -> AsyncIterator[PartRecord]:
    """Part numbers are the scores of the set, one part each."""
    name, after = keys.parts(bucket, upload_id), 0
    while True:
        members = await connection.command("ZRANGEBYSCORE", name, f"({after}", "+inf", "LIMIT", 0, PAGE_MEMBERS)
        for member in members:
            part = decode_part(member)
            after = part.part_number
            yield part
        if len(members) < PAGE_MEMBERS:
            return
