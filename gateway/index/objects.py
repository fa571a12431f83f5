"""Objects: reading, writing and deleting versions."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gateway.index import keys
from gateway.index.base import IndexBase, accepted, bucket_keys, flag, refusal, version_id_from
from gateway.index.connection import Connection
from gateway.index.errors import CorruptRecord, IndexRefusal, ObjectChanged
from gateway.index.layout_cache import LayoutCache
from gateway.index.layout_encoding import INLINE_PIECES, decode_layout, encode_layout, piece_count
from gateway.index.object_encoding import (
    ORDER_SIZE,
    decode_version,
    encode_object,
    order_of_version_id,
    pack_etag,
)
from gateway.index.record_encoding import BUCKET_FIELDS, decode_bucket
from gateway.index.records import (
    NULL_VERSION,
    BucketRecord,
    DeleteResult,
    Deletion,
    Extent,
    ObjectRecord,
    PutResult,
    WriteCheck,
)
from gateway.index.scripts import load_script

_GET = load_script("get_object")
_GET_VERSION = load_script("get_version")
_PUT = load_script("put_object")
_DELETE = load_script("delete_objects")
_UPDATE = load_script("update_object")

MOST_DELETIONS = 1000  # in one call, as in one DeleteObjects request

# How often an update starts over because the version was changed between reading and writing.
_UPDATE_ATTEMPTS = 10

# The order of no version: its sequence number is never reached.
_NO_ORDER = bytes(ORDER_SIZE)


class ObjectIndex(IndexBase):
    """The part of the index that knows objects and their versions."""

    def __init__(self, connection: Connection, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__(connection, random_bytes=random_bytes)
        self._layouts = LayoutCache()

    async def get_object(
        self, bucket: str, key: str, version_id: str | None = None, *, with_layout: bool = True
    ) -> tuple[BucketRecord, ObjectRecord | None]:
        """The bucket and an object's current or named version, which may be a delete marker, or None.

        One round trip, and one more for an object of many segments or parts, unless its layout was read before
        or `with_layout` is off (extents and parts then stay empty). Raises NoSuchBucket, IndexUnavailable.
        """
        for _ in range(2):
            if version_id is None:
                names = (*bucket_keys(bucket), keys.pending(keys.partition_of(bucket)))
                reply = await self._connection.read(_GET, names, (key, *BUCKET_FIELDS))
            else:
                arguments: tuple[str | bytes, ...] = (key, selector(version_id), *BUCKET_FIELDS)
                reply = await self._connection.read(_GET_VERSION, bucket_keys(bucket), arguments)
            fields, member = accepted(reply, bucket)
            record = decode_version(member)[1] if member is not None else None
            if record is not None and record.layout_ref is not None and with_layout:
                record = await self._join_layout(bucket, record)
                if record is None:
                    continue  # it was replaced and reclaimed between the two reads
            return decode_bucket(bucket, fields), record
        raise CorruptRecord(f"{bucket}/{key}: the layout is missing")

    async def put_object(
        self, bucket: str, key: str, record: ObjectRecord, *, check: WriteCheck | None = None
    ) -> PutResult:
        """Commit a version of an object, in place of the present one where the bucket is not versioning.

        What was replaced is queued for reclaim. Raises NoSuchBucket, NoSuchKey (If-Match, and there is no object),
        ConditionFailed, WriteCondemned, IndexUnavailable.
        """
        record, layout = self._split_layout(record)
        reply = await self._connection.change(
            _PUT,
            (*bucket_keys(bucket), keys.layout(bucket, record.layout_ref or "")),
            (bucket, key, *check_arguments(check), write_ids(record.extents), encode_object(record), layout),
        )
        name, sequence, replaced = accepted(reply, f"{bucket}/{key}")
        return PutResult(version_id=version_id_from(name), sequence=sequence, replaced=bool(replaced))

    async def update_object(
        self,
        bucket: str,
        key: str,
        version_id: str | None,
        change: Callable[[ObjectRecord], ObjectRecord],
        *,
        bucket_id: int | None = None,
    ) -> ObjectRecord | None:
        """Change what is said about a version (tags, grants, retention), not its bytes; None where there is none.

        `change` gets the record as it is, without a layout that lies in a key of its own, and may be called again
        when the version was changed meanwhile; what it raises ends the update. The number of the change does not
        show in the record: `sequence` stays that of the write. Raises NoSuchBucket, ObjectChanged, IndexUnavailable.
        """
        expected = "" if bucket_id is None else bucket_id
        for _ in range(_UPDATE_ATTEMPTS):
            reply = await self._connection.read(
                _GET_VERSION, bucket_keys(bucket), (key, selector(version_id), *BUCKET_FIELDS)
            )
            _, member = accepted(reply, bucket)
            if member is None:
                return None
            changed = change(decode_version(member)[1])
            reply = await self._connection.change(
                _UPDATE, bucket_keys(bucket), (expected, member, encode_object(changed))
            )
            if reply[0] != b"ObjectChanged":
                accepted(reply, f"{bucket}/{key}")
                return changed
        raise ObjectChanged(f"{bucket}/{key}")

    async def delete_object(
        self, bucket: str, deletion: Deletion, *, owner_id: str, now_ms: int, bucket_id: int | None = None
    ) -> DeleteResult:
        """Delete one object or version, or put a delete marker (of this owner and time) over it.

        Raises NoSuchBucket, NoSuchKey (a condition, and there is no object), ConditionFailed, ObjectLocked,
        IndexUnavailable.
        """
        (result,) = await self.delete_objects(
            bucket, (deletion,), owner_id=owner_id, now_ms=now_ms, bucket_id=bucket_id
        )
        if isinstance(result, IndexRefusal):
            raise result
        return result

    async def delete_objects(
        self,
        bucket: str,
        deletions: Sequence[Deletion],
        *,
        owner_id: str,
        now_ms: int,
        bucket_id: int | None = None,
    ) -> list[DeleteResult | IndexRefusal]:
        """As `delete_object` for many at once, in their order; refusals are returned in their places.

        At most MOST_DELETIONS. `bucket_id` is the bucket that the caller was authorized for: the name may have
        become another's since. Raises NoSuchBucket, IndexUnavailable.
        """
        if len(deletions) > MOST_DELETIONS:
            raise ValueError(f"at most {MOST_DELETIONS} deletions in one call")
        marker = ObjectRecord(etag="", size_bytes=0, modified_ms=now_ms, owner_id=owner_id, delete_marker=True)
        arguments = [field for deletion in deletions for field in _deletion_arguments(deletion)]
        expected = "" if bucket_id is None else bucket_id
        reply = await self._connection.change(
            _DELETE, bucket_keys(bucket), (bucket, expected, encode_object(marker), *arguments)
        )
        outcomes = accepted(reply, bucket)
        return [
            _delete_result(outcome, f"{bucket}/{deletion.key}")
            for deletion, outcome in zip(deletions, outcomes, strict=True)
        ]

    def _split_layout(self, record: ObjectRecord) -> tuple[ObjectRecord, bytes]:
        """The record as it is to be stored, and its layout where that goes into a key of its own."""
        if piece_count(record.extents, record.parts) <= INLINE_PIECES:
            return (record if record.layout_ref is None else replace(record, layout_ref=None)), b""
        return replace(record, layout_ref=self._draw_id()), encode_layout(record.extents, record.parts)

    async def _join_layout(self, bucket: str, record: ObjectRecord) -> ObjectRecord | None:
        """The record with its extents and parts; None when they are gone."""
        assert record.layout_ref is not None
        layout = self._layouts.get(record.layout_ref)
        if layout is None:
            stored = await self._connection.command("GET", keys.layout(bucket, record.layout_ref))
            if stored is None:
                return None
            layout = decode_layout(stored)
            self._layouts.put(record.layout_ref, layout)
        extents, parts = layout
        return replace(record, extents=extents, parts=parts)


def selector(version_id: str | None) -> bytes:
    """How a script is told of a version: nothing for the current one, `null`, or an order."""
    if version_id is None:
        return b""
    if version_id == NULL_VERSION:
        return NULL_VERSION.encode()
    return order_of_version_id(version_id) or _NO_ORDER


def write_ids(extents: Sequence[Extent]) -> bytes:
    """The ids of the writes that a commit refers to, 16 bytes each."""
    return bytes.fromhex("".join([extent.write_id for extent in extents]))


def check_arguments(check: WriteCheck | None) -> tuple[str, bytes, str]:
    """Bucket id, If-Match and If-None-Match as the scripts take them."""
    if check is None:
        return "", b"", ""
    bucket_id = "" if check.bucket_id is None else str(check.bucket_id)
    return bucket_id, _etag_argument(check.if_match), flag(check.if_none_match)


def _etag_argument(etag: str | None) -> bytes:
    if etag is None:
        return b""
    return b"*" if etag == "*" else pack_etag(etag[:127])


def _deletion_arguments(deletion: Deletion) -> tuple[str | bytes | int, ...]:
    return (
        deletion.key,
        selector(deletion.version_id),
        _etag_argument(deletion.if_match),
        "" if deletion.if_modified_s is None else deletion.if_modified_s,
        "" if deletion.if_size_bytes is None else deletion.if_size_bytes,
        flag(deletion.bypass_governance),
    )


def _delete_result(outcome: list[Any], subject: str) -> DeleteResult | IndexRefusal:
    if outcome[0] != b"OK":
        return refusal(outcome, subject)
    _, name, marker, existed, sequence = outcome
    return DeleteResult(
        version_id=version_id_from(name),
        delete_marker=bool(marker),
        existed=bool(existed),
        sequence=sequence,
    )
