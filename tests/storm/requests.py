"""Requests of S3 without retries, each of which leaves what it did and saw in the history.

A client knows only what S3 tells it. What an answer or an error means is decided in outcomes.py.
"""

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.storm.content import SIZES_BYTES, Torn, Value, draw_size, etag_of, etag_of_parts, identify, parts_of
from tests.storm.history import ABSENT, MARKER, Action, Call, Outcome, Recorder, now
from tests.storm.keys import Keys, prefix_of
from tests.storm.outcomes import TRANSPORT_ERRORS, Ending, ending_of


@dataclass(slots=True)
class Shared:
    """What all clients of a storm know together. Single dictionary operations are atomic among threads."""

    recorder: Recorder
    keys: Keys
    name_of_etag: dict[str, str] = field(default_factory=dict)
    """Of every value that was ever tried, as one object and as parts."""
    etag_at: dict[tuple[str, str], str] = field(default_factory=dict)
    """By bucket and key: the ETag that somebody saw there last; a guess."""
    versions_at: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """By bucket and key: acknowledged version ids that nobody has tried to delete."""
    deleted_at: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)


class RecordedRequests:
    """One client's requests, each to a gateway that is drawn; for one thread."""

    def __init__(
        self,
        name: str,
        shared: Shared,
        gateways: Sequence[Any],
        draw: random.Random,
        *,
        sizes: Sequence[int] = SIZES_BYTES,
    ) -> None:
        self.name = name
        self._shared = shared
        self._gateways = gateways
        self._draw = draw
        self._sizes = sizes
        self._counter = 0
        self._last = Ending(outcome=Outcome.OK)

    @property
    def succeeded(self) -> bool:
        """Whether the last operation brought a verdict, if only that nothing is there."""
        return self._last.outcome is Outcome.OK

    @property
    def last_code(self) -> str:
        """The error of the last operation."""
        return self._last.code

    # Writing

    def put(self, bucket: str, key: str) -> None:
        """PutObject."""
        self._put(bucket, key, Action.PUT)

    def put_if_absent(self, bucket: str, key: str) -> None:
        """PutObject with If-None-Match: *."""
        self._put(bucket, key, Action.PUT_IF_ABSENT, IfNoneMatch="*")

    def put_if_match(self, bucket: str, key: str) -> None:
        """PutObject with If-Match of what was seen last."""
        etag = self._shared.etag_at.get((bucket, key))
        if etag is None:
            self.get(bucket, key)
            return
        expected = self._shared.name_of_etag[etag]
        self._put(bucket, key, Action.PUT_IF_MATCH, expected=expected, IfMatch=f'"{etag}"')

    def _put(self, bucket: str, key: str, action: Action, *, expected: str = ABSENT, **conditions: str) -> None:
        value = self._new_value(key)
        body = value.body
        etag = etag_of(body)
        self._shared.name_of_etag[etag] = value.name
        invoked_at = now()
        answer = self._ask(
            "put_object", Bucket=bucket, Key=key, Body=body, Metadata={"value": value.name}, **conditions
        )
        if answer is not None and answer["ETag"].strip('"') != etag:
            self._shared.recorder.note_anomaly(f"{key}: PutObject of {value.name} answered {answer['ETag']}")
        self._note_write(bucket, key, action, value.name, invoked_at, answer, what="PutObject", expected=expected)

    def multipart(self, bucket: str, key: str) -> None:
        """CreateMultipartUpload, UploadPart, CompleteMultipartUpload; one in ten is aborted."""
        value = self._new_value(key)
        parts = parts_of(value.body)
        self._shared.name_of_etag[etag_of_parts(parts)] = value.name
        self._shared.name_of_etag[etag_of(value.body)] = value.name  # of a copy
        created = self._ask("create_multipart_upload", Bucket=bucket, Key=key)
        if created is None:
            return
        upload = {"Bucket": bucket, "Key": key, "UploadId": created["UploadId"]}
        done = []
        for number, part in enumerate(parts, 1):
            stored = self._ask("upload_part", PartNumber=number, Body=part, **upload)
            if stored is None:
                return
            done.append({"PartNumber": number, "ETag": stored["ETag"]})
        if self._draw.random() < 0.1:
            self._ask("abort_multipart_upload", **upload)
            return
        invoked_at = now()
        answer = self._ask("complete_multipart_upload", MultipartUpload={"Parts": done}, **upload)
        self._note_write(bucket, key, Action.PUT, value.name, invoked_at, answer, what="CompleteMultipartUpload")

    def copy_from(self, source: str, bucket: str, key: str) -> None:
        """CopyObject from another key of the bucket: a read there, a write here."""
        invoked_at = now()
        answer = self._ask("copy_object", Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": source})
        ending = self._last
        if ending.outcome is Outcome.NOTHING_THERE:
            self._note_read(bucket, source, ABSENT, invoked_at, what="CopyObject (source)")
        elif answer is not None:
            seen = self._named(key, answer["CopyObjectResult"]["ETag"])
            self._note_read(bucket, source, seen, invoked_at, what="CopyObject (source)")
            self._note_write(bucket, key, Action.PUT, seen, invoked_at, answer, what="CopyObject")
        elif ending.outcome is Outcome.UNKNOWN:
            # Which value it wrote, if any, only the histories of both keys can tell; see resolve_copies.
            self._note(bucket, key, Action.PUT, invoked_at, what="CopyObject", expected=source)

    def delete(self, bucket: str, key: str) -> None:
        """DeleteObject of the current version."""
        invoked_at = now()
        answer = self._ask("delete_object", Bucket=bucket, Key=key)
        version_id = (answer or {}).get("VersionId", "")
        self._note(bucket, key, Action.DELETE, invoked_at, what="DeleteObject", version_id=version_id)

    def delete_version(self, bucket: str, key: str) -> None:
        """DeleteObject of one version for good."""
        known = self._shared.versions_at.get((bucket, key))
        if not known or len(known) < 3:
            return
        try:
            version_id = known.pop(self._draw.randrange(len(known) - 1))
        except IndexError:  # other clients took some meanwhile
            return
        invoked_at = now()
        self._ask("delete_object", Bucket=bucket, Key=key, VersionId=version_id)
        self._note(
            bucket, key, Action.DELETE_VERSION, invoked_at, what="DeleteObject of a version", version_id=version_id
        )
        self._shared.deleted_at.setdefault((bucket, key), []).append(version_id)

    # Reading

    def get(self, bucket: str, key: str) -> None:
        """GetObject, whole, every byte looked at."""
        invoked_at = now()
        answer = self._ask("get_object", Bucket=bucket, Key=key)
        self._finish_read(bucket, key, Action.READ, answer, invoked_at, what="GetObject")

    def head(self, bucket: str, key: str) -> None:
        """HeadObject."""
        invoked_at = now()
        answer = self._ask("head_object", Bucket=bucket, Key=key)
        self._finish_read(bucket, key, Action.READ, answer, invoked_at, what="HeadObject")

    def get_version(self, bucket: str, key: str) -> None:
        """GetObject of an acknowledged version."""
        self._get_one_of(self._shared.versions_at, bucket, key)

    def get_deleted_version(self, bucket: str, key: str) -> None:
        """GetObject of a version that was deleted, or may have been."""
        self._get_one_of(self._shared.deleted_at, bucket, key)

    def _get_one_of(self, versions: dict[tuple[str, str], list[str]], bucket: str, key: str) -> None:
        known = list(versions.get((bucket, key), ()))
        if known:
            self.read_version(bucket, key, self._draw.choice(known))

    def read_version(self, bucket: str, key: str, version_id: str) -> bool:
        """GetObject of a version; False when it brought no verdict."""
        invoked_at = now()
        answer = self._ask("get_object", Bucket=bucket, Key=key, VersionId=version_id)
        what = "GetObject of a version"
        return self._finish_read(bucket, key, Action.READ_VERSION, answer, invoked_at, what=what, version_id=version_id)

    def _finish_read(
        self,
        bucket: str,
        key: str,
        action: Action,
        answer: Any,
        invoked_at: int,
        *,
        what: str,
        version_id: str = "",
    ) -> bool:
        if self._last.outcome is Outcome.NOTHING_THERE:
            self._note_read(bucket, key, ABSENT, invoked_at, what=what, action=action, version_id=version_id)
            return True
        if answer is None:
            return False
        etag = answer["ETag"].strip('"')
        seen = self._named(key, etag)
        if seen != answer["Metadata"].get("value", seen):
            self._shared.recorder.note_anomaly(f"{key}: {what} gives {seen} and metadata {answer['Metadata']}")
        if what != "HeadObject":
            try:
                content = self._read_body(what, answer)
            except Torn as error:
                self._shared.recorder.note_anomaly(f"{key}: torn: {error}")
                return False
            if content is None:
                return False
            if content != seen:
                self._shared.recorder.note_anomaly(f"{key}: {what} with the ETag of {seen} brought {content}")
        self._shared.etag_at[bucket, key] = etag
        self._note_read(bucket, key, seen, invoked_at, what=what, action=action, version_id=version_id)
        return True

    def _read_body(self, what: str, answer: Any) -> str | None:
        """The value that came, None when the connection broke. Raises Torn."""
        try:
            return identify(answer["Body"].read())
        except TRANSPORT_ERRORS as error:
            self._last = ending_of(error)
            self._shared.recorder.note_answer(f"{what}: body", self._last.code)
            if self._last.is_wrong_bytes:
                raise Torn(str(error)) from error
            return None

    def list(self, bucket: str, key: str) -> None:
        """ListObjectsV2 of the key's group: what it says of each key is a read of that key."""
        invoked_at = now()
        answer = self._ask("list_objects_v2", Bucket=bucket, Prefix=prefix_of(key))
        if answer is None:
            return
        listed = {entry["Key"]: entry["ETag"] for entry in answer.get("Contents", ())}
        for one in self._shared.keys.group_of(bucket, key):
            etag = listed.pop(one, None)
            seen = ABSENT if etag is None else self._named(one, etag)
            self._note_read(bucket, one, seen, invoked_at, what="ListObjectsV2")
        for other in listed:
            self._shared.recorder.note_anomaly(f"{other}: listed, and nobody ever wrote it")

    def list_versions(self, bucket: str, key: str) -> bool:
        """ListObjectVersions of one key, page after page; False when it brought no verdict."""
        invoked_at = now()
        objects: list[tuple[str, str]] = []
        markers: list[tuple[str, str]] = []
        latest = ABSENT
        position: dict[str, str] = {}
        while True:
            answer = self._ask("list_object_versions", Bucket=bucket, Prefix=key, MaxKeys=1000, **position)
            if answer is None:
                return False
            # botocore sorts objects and markers apart; each of the two lists is in S3's order.
            for one in answer.get("Versions", ()):
                objects.append((one["VersionId"], self._named(key, one["ETag"])))
                latest = objects[-1][1] if one["IsLatest"] else latest
            markers += [(one["VersionId"], MARKER) for one in answer.get("DeleteMarkers", ())]
            if not answer["IsTruncated"]:
                break
            position = {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer["NextVersionIdMarker"]}
        what, listed = "ListObjectVersions", (*objects, *markers)
        self._note(bucket, key, Action.LIST_VERSIONS, invoked_at, what=what, versions=listed)
        self._note_read(bucket, key, latest, invoked_at, what=what)
        return True

    # The history

    def _new_value(self, key: str) -> Value:
        self._counter += 1
        return Value(key=key, writer=self.name, counter=self._counter, size_bytes=draw_size(self._draw, self._sizes))

    def _named(self, key: str, etag: str) -> str:
        name = self._shared.name_of_etag.get(etag.strip('"'))
        if name is None:
            self._shared.recorder.note_anomaly(f"{key}: ETag {etag}, which nobody ever wrote")
            return f"phantom {etag}"
        return name

    def _ask(self, operation: str, **arguments: Any) -> Any:
        """The answer, or None; `_last` tells how it ended."""
        gateway = self._draw.choice(self._gateways)
        try:
            answer = getattr(gateway, operation)(**arguments)
        except TRANSPORT_ERRORS as error:
            self._last = ending_of(error)
            self._shared.recorder.note_answer(operation, self._last.code)
            if self._last.is_anomaly_of(operation):
                self._shared.recorder.note_anomaly(f"{arguments.get('Key')}: {operation}: {error}")
            return None
        self._last = Ending(outcome=Outcome.OK)
        self._shared.recorder.note_answer(operation, "ok")
        return answer

    def _note_write(
        self,
        bucket: str,
        key: str,
        action: Action,
        value: str,
        invoked_at: int,
        answer: Any,
        *,
        what: str,
        expected: str = ABSENT,
    ) -> None:
        version_id = (answer or {}).get("VersionId", "")
        self._note(
            bucket, key, action, invoked_at, what=what, values=(value,), expected=expected, version_id=version_id
        )
        if version_id:
            self._shared.versions_at.setdefault((bucket, key), []).append(version_id)

    def _note_read(
        self,
        bucket: str,
        key: str,
        seen: str,
        invoked_at: int,
        *,
        what: str,
        action: Action = Action.READ,
        version_id: str = "",
    ) -> None:
        self._last = Ending(outcome=Outcome.OK)
        self._note(bucket, key, action, invoked_at, what=what, seen=seen, version_id=version_id)

    def _note(self, bucket: str, key: str, action: Action, invoked_at: int, *, what: str, **fields: Any) -> None:
        self._shared.recorder.add(
            Call(
                number=0,
                client=self.name,
                what=what,
                bucket=bucket,
                key=key,
                action=action,
                invoked_at=invoked_at,
                completed_at=now(),
                outcome=self._last.outcome,
                code=self._last.code,
                **fields,
            )
        )
