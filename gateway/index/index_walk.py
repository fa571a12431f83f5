"""A walk over everything that the index says lies on nodes, in steps that can be interrupted and gone on with.

It goes through the buckets by name; in each through the objects, then the uploads under way; then through the trash. A
cursor tells where the next step begins. What comes behind the cursor during a walk is seen by the next walk only; what
moves on from part to object may be missed or seen twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.index import keys
from gateway.index.base import IndexBase, successor
from gateway.index.layout_encoding import decode_layout
from gateway.index.object_encoding import ORDER_SIZE, decode_version
from gateway.index.packing import pack, unpack
from gateway.index.record_encoding import (
    BUCKET_FIELDS,
    decode_bucket,
    decode_part,
    decode_reclaim,
    decode_upload,
)
from gateway.index.records import BucketRecord, Extent, ObjectRecord, Origin, ReclaimEntry
from gateway.index.references import entry_extents
from gateway.index.repair_records import PlaceKind

_MEMBERS_A_STEP = 500
_OBJECTS, _UPLOADS, _TRASH = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkedRecord:
    """One version of an object with all its extents, one part, or one entry of the trash."""

    kind: PlaceKind
    origin: Origin
    extents: tuple[Extent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkStep:
    """Some records of one bucket (None: of the trash), and where to go on; an empty cursor is the end."""

    bucket: BucketRecord | None
    records: Sequence[WalkedRecord]
    cursor: bytes


class WalkIndex(IndexBase):
    """The part of the index that can be gone through whole."""

    async def walk(self, cursor: bytes = b"") -> WalkStep:
        """The next records; the walk begins with an empty cursor.

        Raises IndexUnavailable, UnsupportedFormat, CorruptRecord.
        """
        name, phase, after = unpack(cursor) if cursor else ("", _OBJECTS, b"")
        if phase == _TRASH:
            return await self._walk_trash(after)
        bucket = await self._bucket_at(name)
        if bucket is None:
            return await self._walk_trash(b"")
        if bucket.name != name:
            phase, after = _OBJECTS, b""
        if phase == _OBJECTS:
            return await self._walk_objects(bucket, after)
        return await self._walk_uploads(bucket, after)

    async def _bucket_at(self, name: str) -> BucketRecord | None:
        """The bucket of this name, or the next one."""
        lower = f"[{name}"
        while found := await self._connection.command("ZRANGEBYLEX", keys.buckets(), lower, "+", "LIMIT", 0, 1):
            present = found[0].decode()
            fields = await self._connection.command("HMGET", keys.bucket(present), *BUCKET_FIELDS)
            if fields[0] is not None:
                return decode_bucket(present, fields)
            lower = f"({present}"  # deleted in between
        return None

    async def _walk_objects(self, bucket: BucketRecord, after: bytes) -> WalkStep:
        # By key and order, which stay: the rest of a member may be another when the walk goes on.
        lower = b"[" + after if after else b"-"
        members: list[bytes] = await self._connection.command(
            "ZRANGEBYLEX", keys.objects(bucket.name), lower, "+", "LIMIT", 0, _MEMBERS_A_STEP
        )
        records = []
        for member in members:
            key, record = decode_version(member)
            if record.delete_marker:
                continue
            extents = await self._extents(bucket.name, record)
            origin = Origin(bucket=bucket.name, key=key)
            records.append(WalkedRecord(kind=PlaceKind.OBJECT, origin=origin, extents=extents))
        more = len(members) == _MEMBERS_A_STEP
        if more:
            last = members[-1][: members[-1].index(b"\0") + 1 + ORDER_SIZE]
            cursor = pack([bucket.name, _OBJECTS, successor(last)])
        else:
            cursor = pack([bucket.name, _UPLOADS, b""])
        return WalkStep(bucket=bucket, records=records, cursor=cursor)

    async def _walk_uploads(self, bucket: BucketRecord, after: bytes) -> WalkStep:
        """One upload with all its parts, of which there are 10,000 at most."""
        lower = b"(" + after if after else b"-"
        members = await self._connection.command("ZRANGEBYLEX", keys.uploads(bucket.name), lower, "+", "LIMIT", 0, 1)
        if not members:
            return WalkStep(bucket=bucket, records=(), cursor=pack([bucket.name + "\0", _OBJECTS, b""]))
        upload = decode_upload(members[0])
        parts = [
            decode_part(part)
            for part in await self._connection.command("ZRANGE", keys.parts(bucket.name, upload.upload_id), 0, -1)
        ]
        origin = Origin(bucket=bucket.name, key=upload.key, upload_id=upload.upload_id)
        records = [
            WalkedRecord(
                kind=PlaceKind.PART, origin=replace(origin, part_number=part.part_number), extents=(part.extent,)
            )
            for part in parts
        ]
        return WalkStep(bucket=bucket, records=records, cursor=pack([bucket.name, _UPLOADS, members[0]]))

    async def _walk_trash(self, after: bytes) -> WalkStep:
        lower = b"(" + after if after else b"-"
        members: list[bytes] = await self._connection.command(
            "ZRANGEBYLEX", keys.trash(), lower, "+", "LIMIT", 0, _MEMBERS_A_STEP
        )
        records = []
        for entry in map(decode_reclaim, members):
            origin = Origin(bucket=entry.bucket, key=entry.key, upload_id=entry.upload_id)
            extents = await self._entry_extents(entry)
            records.append(WalkedRecord(kind=PlaceKind.TRASH, origin=origin, extents=extents))
        cursor = pack(["", _TRASH, members[-1]]) if len(members) == _MEMBERS_A_STEP else b""
        return WalkStep(bucket=None, records=records, cursor=cursor)

    async def _entry_extents(self, entry: ReclaimEntry) -> tuple[Extent, ...]:
        return tuple([extent async for extent in entry_extents(self._connection, entry)])

    async def _extents(self, bucket: str, record: ObjectRecord) -> tuple[Extent, ...]:
        if record.layout_ref is None:
            return record.extents
        stored = await self._connection.command("GET", keys.layout(bucket, record.layout_ref))
        return decode_layout(stored)[0] if stored is not None else ()  # None: reclaimed since its record was read
