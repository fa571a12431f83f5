"""An S3 in memory that is right, or wrong in one chosen way: what the storm's own tests are tested with.

It answers as boto3's client does, for the requests of the storm. One lock makes every request atomic.
"""

import enum
import hashlib
import io
import itertools
import random
import threading
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError


class Lie(enum.StrEnum):
    """How it is wrong, now and then."""

    NONE = "none"
    LOSES_WRITES = "acknowledges a write and forgets it"
    STALE_READS = "reads the value before the last one"
    TORN_READS = "mixes the bytes of two values"
    WRONG_KEY = "reads another key"
    UNDELETES = "lets a deleted object come back"
    IGNORES_CONDITIONS = "ignores If-None-Match"
    LISTS_LESS = "leaves an object out of a list"
    LISTS_STALE = "lists the value before the last one"
    FAILED_WRITES_SHOW = "refuses a write and does it all the same"
    LOSES_VERSIONS = "forgets a version that is not the newest"
    KEEPS_DELETED_VERSIONS = "keeps a version that was deleted"
    LOSES_BUCKETS = "does not know a bucket for a moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    version_id: str
    body: bytes | None
    """None for a delete marker."""
    etag: str
    value: str


@dataclass(slots=True)
class FakeS3:
    """`rate` of the requests that could be wrong are; `break_rate` of all end without an answer."""

    lie: Lie
    draw: random.Random
    rate: float = 0.5
    break_rate: float = 0.03
    objects: dict[tuple[str, str], list[_Version]] = field(default_factory=dict)
    """By bucket and key: versions, newest first; only one, or none, in the bucket without versions."""
    before: dict[tuple[str, str], _Version | None] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _turn: Any = field(default_factory=threading.RLock)

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, **given: Any) -> dict[str, Any]:  # noqa: N803
        with self._turn:
            current = self._current(Bucket, Key)
            if "IfNoneMatch" in given and current is not None and not self._lies(Lie.IGNORES_CONDITIONS):
                raise _error(412, "PreconditionFailed")
            if "IfMatch" in given:
                if current is None:
                    raise _error(404, "NoSuchKey")
                if given["IfMatch"].strip('"') != current.etag:
                    raise _error(412, "PreconditionFailed")
            etag = hashlib.md5(Body, usedforsecurity=False).hexdigest()
            return self._store(Bucket, Key, Body, etag, given["Metadata"]["value"])

    def copy_object(self, *, Bucket: str, Key: str, CopySource: dict[str, str]) -> dict[str, Any]:  # noqa: N803
        with self._turn:
            source = self._current(CopySource["Bucket"], CopySource["Key"])
            if source is None or source.body is None:
                raise _error(404, "NoSuchKey")
            etag = hashlib.md5(source.body, usedforsecurity=False).hexdigest()
            answer = self._store(Bucket, Key, source.body, etag, source.value)
            return {"CopyObjectResult": {"ETag": answer["ETag"]}}

    def create_multipart_upload(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        upload_id = str(next(self._numbers))
        self.uploads[upload_id] = {}
        return {"UploadId": upload_id}

    def upload_part(self, *, UploadId: str, PartNumber: int, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.uploads[UploadId][PartNumber] = Body
        return {"ETag": hashlib.md5(Body, usedforsecurity=False).hexdigest()}

    def abort_multipart_upload(self, *, UploadId: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        del self.uploads[UploadId]
        return {}

    def complete_multipart_upload(self, *, Bucket: str, Key: str, UploadId: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        with self._turn:
            parts = [part for _, part in sorted(self.uploads.pop(UploadId).items())]
            digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
            etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
            body = b"".join(parts)
            return self._store(Bucket, Key, body, etag, " ".join(body[:100].decode("latin-1").split(" ")[:3]))

    def delete_object(self, *, Bucket: str, Key: str, VersionId: str = "") -> dict[str, Any]:  # noqa: N803
        with self._turn:
            versions = self.objects.setdefault((Bucket, Key), [])
            answer: dict[str, Any] = {}
            if VersionId:
                if not self._lies(Lie.KEEPS_DELETED_VERSIONS):
                    versions[:] = [one for one in versions if one.version_id != VersionId]
            elif Bucket == "versioned":
                marker = _Version(version_id=self._next_id(), body=None, etag="", value="")
                versions.insert(0, marker)
                answer = {"VersionId": marker.version_id, "DeleteMarker": True}
            elif not self._lies(Lie.UNDELETES):
                versions.clear()
            return self._answer(answer)

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        with self._turn:
            return self._answer(self._read(Bucket, Key, self._current(Bucket, Key), "404"))

    def get_object(self, *, Bucket: str, Key: str, VersionId: str = "") -> dict[str, Any]:  # noqa: N803
        with self._turn:
            version = self._current(Bucket, Key)
            if VersionId:
                held = self.objects.get((Bucket, Key), [])
                version = next((one for one in held if one.version_id == VersionId), None)
            elif self._lies(Lie.STALE_READS):
                version = self.before.get((Bucket, Key), version)
            elif self._lies(Lie.WRONG_KEY):
                version = next((held[0] for held in self.objects.values() if held and held[0].body), version)
            return self._answer(self._read(Bucket, Key, version, "NoSuchVersion" if VersionId else "NoSuchKey"))

    def list_objects_v2(self, *, Bucket: str, Prefix: str) -> dict[str, Any]:  # noqa: N803
        with self._turn:
            found = []
            for bucket, key in sorted(self.objects):
                version = self._current(bucket, key)
                if self._lies(Lie.LISTS_STALE):
                    version = self.before.get((bucket, key), version)
                if bucket == Bucket and key.startswith(Prefix) and version and not self._lies(Lie.LISTS_LESS):
                    found.append({"Key": key, "ETag": f'"{version.etag}"'})
            return self._answer({"Contents": found, "IsTruncated": False})

    def list_object_versions(self, *, Bucket: str, Prefix: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        with self._turn:
            versions = self.objects.get((Bucket, Prefix), [])
            entries = [
                {"VersionId": one.version_id, "ETag": f'"{one.etag}"', "IsLatest": number == 0, "marker": not one.body}
                for number, one in enumerate(versions)
            ]
            return self._answer(
                {
                    "Versions": [entry for entry in entries if not entry["marker"]],
                    "DeleteMarkers": [entry for entry in entries if entry["marker"]],
                    "IsTruncated": False,
                }
            )

    def _store(self, bucket: str, key: str, body: bytes, etag: str, value: str) -> dict[str, Any]:
        if self._lies(Lie.LOSES_BUCKETS):
            raise _error(404, "NoSuchBucket")
        version = _Version(version_id=self._next_id(), body=body, etag=etag, value=value)
        versions = self.objects.setdefault((bucket, key), [])
        self.before[bucket, key] = self._current(bucket, key)
        if not self._lies(Lie.LOSES_WRITES):
            if bucket == "versioned":
                versions.insert(0, version)
            else:
                versions[:] = [version]
        if len(versions) > 1 and self._lies(Lie.LOSES_VERSIONS):
            versions.pop()
        if self._lies(Lie.FAILED_WRITES_SHOW):
            raise _error(412, "PreconditionFailed")
        return self._answer(
            {"ETag": f'"{etag}"', **({"VersionId": version.version_id} if bucket == "versioned" else {})}
        )

    def _read(self, bucket: str, key: str, version: _Version | None, missing: str) -> dict[str, Any]:
        if version is None or version.body is None:
            raise _error(404, missing)
        body = version.body
        other = self.before.get((bucket, key))
        if other is not None and other.body and self._lies(Lie.TORN_READS):
            body = body[: len(body) // 2] + other.body[len(body) // 2 :]
        return {"ETag": f'"{version.etag}"', "Body": io.BytesIO(body), "Metadata": {"value": version.value}}

    def _current(self, bucket: str, key: str) -> _Version | None:
        versions = self.objects.get((bucket, key))
        return versions[0] if versions and versions[0].body is not None else None

    def _answer(self, answer: dict[str, Any]) -> dict[str, Any]:
        if self.draw.random() < self.break_rate:
            raise ConnectionClosedError(endpoint_url="fake")
        return answer

    def _lies(self, lie: Lie) -> bool:
        return self.lie is lie and self.draw.random() < self.rate

    def _next_id(self) -> str:
        return f"{next(self._numbers):016x}"


def _error(status: int, code: str) -> ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "HeadObject" if code.isdigit() else "fake")
