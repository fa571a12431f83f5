"""Multipart uploads: beginning, parts, completing, aborting. Listing them is in `listing`."""

from collections.abc import Sequence
from dataclasses import replace

from gateway.index import keys
from gateway.index.base import accepted, bucket_keys
from gateway.index.errors import NoSuchUpload, UploadChanged
from gateway.index.object_encoding import decode_version, encode_object
from gateway.index.objects import ObjectIndex, check_arguments, write_ids
from gateway.index.record_encoding import (
    UPLOAD_ID_SIZE,
    decode_part,
    decode_upload,
    encode_extents,
    encode_part,
    encode_upload,
)
from gateway.index.records import (
    CompleteResult,
    Extent,
    ObjectRecord,
    PartPage,
    PartRecord,
    UploadRecord,
    Versioning,
    WriteCheck,
)
from gateway.index.scripts import load_script

_CREATE = load_script("create_upload")
_GET = load_script("get_upload")
_PUT_PART = load_script("put_part")
_ABORT = load_script("abort_upload")
_COMPLETE = load_script("complete_upload")

# How long a client that lost the answer of its CompleteMultipartUpload gets it again.
_REMEMBER_ANSWER_MS = 24 * 3600 * 1000
# Parts are read in pages; when one changes meanwhile the reading begins anew, this often.
_PARTS_A_PAGE = 1000
_READING_ATTEMPTS = 5


class UploadIndex(ObjectIndex):
    """The part of the index that knows multipart uploads."""

    async def create_upload(self, bucket: str, upload: UploadRecord, *, bucket_id: int | None = None) -> UploadRecord:
        """Begin an upload; returns it with its id. Raises NoSuchBucket, IndexUnavailable."""
        drawn = self._random_bytes((UPLOAD_ID_SIZE - 16) // 2).hex()
        reply = await self._connection.change(
            _CREATE,
            bucket_keys(bucket),
            (upload.key, "" if bucket_id is None else bucket_id, drawn, encode_upload(upload)),
        )
        (upload_id,) = accepted(reply, f"{bucket}/{upload.key}")
        return replace(upload, upload_id=upload_id.decode())

    async def get_upload(self, bucket: str, key: str, upload_id: str) -> UploadRecord:
        """An upload under way. Raises NoSuchBucket, NoSuchUpload, IndexUnavailable."""
        return (await self.list_parts(bucket, key, upload_id, limit=0)).upload

    async def put_part(self, bucket: str, key: str, upload_id: str, part: PartRecord) -> int:
        """Commit a part, in place of an earlier one of its number; returns the number of the change.

        Raises NoSuchBucket, NoSuchUpload, WriteCondemned, IndexUnavailable.
        """
        reply = await self._connection.change(
            _PUT_PART,
            self._upload_keys(bucket, upload_id),
            (
                *(bucket, key, _stored_id(upload_id)),
                *(write_ids((part.extent,)), part.part_number, encode_part(part)),
            ),
        )
        sequence: int = accepted(reply, f"{bucket}/{key}")[0]
        return sequence

    async def list_parts(self, bucket: str, key: str, upload_id: str, *, after: int = 0, limit: int = 1000) -> PartPage:
        """A page of the parts whose numbers are greater than `after`.

        Raises NoSuchBucket, NoSuchUpload, IndexUnavailable.
        """
        reply = await self._connection.read(
            _GET,
            self._upload_keys(bucket, upload_id),
            (key, _stored_id(upload_id), after, limit + 1 if limit else 0),
        )
        member, revision, parts = accepted(reply, f"{bucket}/{key}")
        return PartPage(
            upload=decode_upload(member),
            parts=tuple([decode_part(part) for part in parts[:limit]]),
            truncated=len(parts) > limit,
            revision=revision,
        )

    async def all_parts(self, bucket: str, key: str, upload_id: str) -> PartPage:
        """All parts (10,000 at most) as they were at one moment, to complete the upload with.

        Raises NoSuchBucket, NoSuchUpload, UploadChanged (parts keep coming in), IndexUnavailable.
        """
        for _ in range(_READING_ATTEMPTS):
            page = await self.list_parts(bucket, key, upload_id, limit=_PARTS_A_PAGE)
            parts, revision = list(page.parts), page.revision
            while page.truncated and page.revision == revision:
                page = await self.list_parts(bucket, key, upload_id, after=parts[-1].part_number, limit=_PARTS_A_PAGE)
                parts += page.parts
            if page.revision == revision:
                return replace(page, parts=tuple(parts))
        raise UploadChanged(f"{bucket}/{key}")

    async def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        record: ObjectRecord,
        *,
        revision: int,
        unused: Sequence[Extent] = (),
        check: WriteCheck | None = None,
    ) -> CompleteResult:
        """Make the upload an object. `revision` is that of the reading of its parts; `unused` are the extents of
        parts that the object does without.

        A second call for the same upload gets the first one's answer for a day. Raises NoSuchBucket, NoSuchUpload,
        UploadChanged, NoSuchKey (If-Match, and there is no object), ConditionFailed, WriteCondemned,
        IndexUnavailable.
        """
        record, layout = self._split_layout(record)
        reply = await self._connection.change(
            _COMPLETE,
            (
                *self._upload_keys(bucket, upload_id),
                keys.completed_upload(bucket, upload_id),
                keys.layout(bucket, record.layout_ref or ""),
            ),
            (
                *(bucket, key, _stored_id(upload_id), revision, _REMEMBER_ANSWER_MS),
                *check_arguments(check),
                *(write_ids(record.extents), encode_object(record), layout),
                encode_extents(unused) if unused else b"",
            ),
        )
        answer, replayed = accepted(reply, f"{bucket}/{key}")
        result = _complete_result(key, answer, replayed=bool(replayed))
        if result is None:
            raise NoSuchUpload(f"{bucket}/{key}")
        return result

    async def completed_upload(self, bucket: str, key: str, upload_id: str) -> CompleteResult | None:
        """The answer of an upload that was completed within a day, else None. Raises IndexUnavailable."""
        answer = await self._connection.observe("GET", keys.completed_upload(bucket, upload_id))
        return None if answer is None else _complete_result(key, answer, replayed=True)

    async def abort_upload(self, bucket: str, key: str, upload_id: str) -> int:
        """Give an upload up and queue its bytes; returns the number of the change.

        Raises NoSuchBucket, NoSuchUpload, IndexUnavailable.
        """
        reply = await self._connection.change(_ABORT, bucket_keys(bucket), (bucket, key, _stored_id(upload_id)))
        sequence: int = accepted(reply, f"{bucket}/{key}")[0]
        return sequence

    @staticmethod
    def _upload_keys(bucket: str, upload_id: str) -> tuple[str, ...]:
        return (
            *bucket_keys(bucket),
            keys.parts(bucket, upload_id),
            keys.parts_revision(bucket, upload_id),
        )


def _stored_id(upload_id: str) -> str:
    """The id to look for: one of another length would find an upload by the beginning of its id."""
    return upload_id if len(upload_id) == UPLOAD_ID_SIZE else "\0"


def _complete_result(key: str, answer: bytes, *, replayed: bool) -> CompleteResult | None:
    """The remembered answer `versioning 00 member`; None when the upload was one of another key."""
    versioning, _, member = answer.partition(b"\0")
    stored_key, record = decode_version(member)
    if stored_key != key:
        return None
    return CompleteResult(
        version_id=None if versioning.decode() == Versioning.UNVERSIONED else record.version_id,
        sequence=record.sequence,
        record=record,
        replayed=replayed,
    )
