"""Bringing back what was overwritten or deleted, as long as its bytes have not been given up."""

from dataclasses import dataclass

from gateway.index.base import IndexBase, accepted, bucket_keys
from gateway.index.object_encoding import decode_version, order_of
from gateway.index.record_encoding import decode_reclaim
from gateway.index.records import ObjectRecord
from gateway.index.scripts import load_script

_LIST = load_script("list_trash")
_UNDELETE = load_script("undelete")

MOST_LISTED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashedObject:
    """An object that was overwritten or deleted and can come back. Its `record.sequence` names it."""

    record: ObjectRecord  # without extents where they lie in a layout key
    trashed_ms: int  # by the index server's clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeleted:
    """What came back, under a new sequence number."""

    record: ObjectRecord  # without extents where they lie in a layout key
    replaced: bool  # another object, which is in the trash now


class UndeleteIndex(IndexBase):
    """The part of the index that takes objects out of the trash."""

    async def list_trashed(self, bucket: str, key: str, *, limit: int = MOST_LISTED) -> list[TrashedObject]:
        """What of a key can come back, trashed last first; at most `limit`.

        Of a key that was overwritten thousands of times within the grace only the last 5,000 entries are looked at.
        Raises NoSuchBucket, IndexUnavailable.
        """
        if "\0" in key:
            return []
        reply = await self._connection.read(_LIST, bucket_keys(bucket), (bucket, key, limit))
        (found,) = accepted(reply, bucket)
        return [
            TrashedObject(record=record, trashed_ms=int(float(trashed_ms)))
            for member, trashed_ms in zip(found[::2], found[1::2], strict=True)
            if (record := decode_reclaim(member).record) is not None
        ]

    async def undelete(self, bucket: str, key: str, *, sequence: int | None = None) -> Undeleted:
        """Put an object back in its place: the one with this number, or the one trashed last.

        It keeps its record, its time of modification included, and is written as a new change. Raises NoSuchBucket,
        KeepsVersions (a versioned bucket: its old versions are there), NotInTrash (never there, given up, or being
        given up just now), QuotaExceeded, IndexUnavailable.
        """
        wanted = b"" if sequence is None else order_of(sequence)
        reply = await self._connection.change(_UNDELETE, bucket_keys(bucket), (bucket, key, wanted))
        member, replaced = accepted(reply, f"{bucket}/{key}")
        return Undeleted(record=decode_version(member)[1], replaced=bool(replaced))
