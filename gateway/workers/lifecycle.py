"""Acting on lifecycle rules: versions that expire, markers that stand alone, uploads that were never finished.

A pass goes through every bucket that has rules, a page of versions at a time. What it decided on a page is done under
the condition that the version is still the one it saw; object lock is asked by the index, as for any delete.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from gateway.index.cause import LIFECYCLE_RULE, Cause, set_cause
from gateway.index.errors import IndexRefusal
from gateway.index.records import (
    BucketRecord,
    Deletion,
    ListedVersion,
    ObjectRecord,
    UploadPosition,
    VersionPosition,
)
from gateway.index.store import Index
from gateway.lifecycles import bucket_rules, version_of
from s3compat.lifecycle import Action, Rule, Verb, Version, action_for, upload_is_due

PAGE = 1000

STORAGE_CLASS = "x-amz-storage-class"

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class LifecycleResult:
    """What one pass did."""

    expired: int = 0
    removed: int = 0
    transitioned: int = 0
    uploads_aborted: int = 0
    refused: int = 0
    """Locked, or changed since they were looked at."""


class LifecycleWorker:
    """`run_once` looks at every bucket with rules, when the last time is long enough ago."""

    def __init__(
        self,
        index: Index,
        *,
        day_s: float,
        interval_s: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`day_s` is how long a day of a rule is, `interval_s` the time between two passes."""
        self._index = index
        self._day_s = day_s
        self._interval_s = interval_s
        self._clock = clock
        self._last: datetime | None = None

    async def run_once(self) -> LifecycleResult | None:
        """One pass; None when it is not yet time for it. Raises IndexUnavailable, with what was done so far done."""
        now = self._clock()
        if self._last is not None and (now - self._last).total_seconds() < self._interval_s:
            return None
        set_cause(Cause(operation=LIFECYCLE_RULE))
        result = LifecycleResult()
        async for bucket in self._buckets():
            rules = tuple([rule for rule in bucket_rules(bucket) if rule.enabled])
            if rules:
                await self._work_on(bucket, rules, now, result)
        self._last = now
        if result != LifecycleResult():
            _log.info("lifecycle rules applied", **{name: getattr(result, name) for name in result.__slots__})
        return result

    async def _buckets(self) -> AsyncIterator[BucketRecord]:
        after = ""
        while True:
            page = await self._index.list_buckets(after=after, limit=PAGE)
            for bucket in page.buckets:
                yield bucket
            if not page.truncated:
                return
            after = page.buckets[-1].name

    async def _work_on(
        self, bucket: BucketRecord, rules: tuple[Rule, ...], now: datetime, result: LifecycleResult
    ) -> None:
        try:
            async for found, version in self._versions(bucket):
                action = action_for(rules, version, now=now, day_s=self._day_s)
                if action is not None:
                    await self._act(bucket, found, action, now, result)
            await self._abort_uploads(bucket, rules, now, result)
        except IndexRefusal as refusal:  # the bucket was removed meanwhile
            _log.info("bucket left", bucket=bucket.name, reason=repr(refusal))

    async def _versions(self, bucket: BucketRecord) -> AsyncIterator[tuple[ListedVersion, Version]]:
        """Every version with what the rules want to know of it, which needs its neighbours."""
        after: VersionPosition | None = None
        row: list[ListedVersion] = []
        while True:
            page = await self._index.list_versions(bucket.name, after=after, limit=PAGE)
            for listed in page.versions:
                if row and row[0].key != listed.key:
                    for one in _seen_together(row):
                        yield one
                    row = []
                row.append(listed)
            if page.next is None:
                break
            after = page.next
        for one in _seen_together(row):
            yield one

    async def _act(
        self, bucket: BucketRecord, found: ListedVersion, action: Action, now: datetime, result: LifecycleResult
    ) -> None:
        try:
            if action.verb is Verb.TRANSITION:
                await self._transition(bucket, found, action.storage_class)
                result.transitioned += 1
            elif action.verb is Verb.EXPIRE:
                await self._delete(bucket, _expiry_of(found), now)
                result.expired += 1
            else:
                deletion = Deletion(key=found.key, version_id=found.record.version_id)
                await self._delete(bucket, deletion, now)
                result.removed += 1
        except IndexRefusal:
            result.refused += 1

    async def _delete(self, bucket: BucketRecord, deletion: Deletion, now: datetime) -> None:
        await self._index.delete_object(
            bucket.name,
            deletion,
            owner_id=bucket.owner_id,
            now_ms=int(now.timestamp() * 1000),
            bucket_id=bucket.bucket_id,
        )

    async def _transition(self, bucket: BucketRecord, found: ListedVersion, storage_class: str) -> None:
        def change(record: ObjectRecord) -> ObjectRecord:
            kept = tuple([pair for pair in record.headers if pair[0] != STORAGE_CLASS])
            return replace(record, headers=(*kept, (STORAGE_CLASS, storage_class)))

        await self._index.update_object(
            bucket.name, found.key, found.record.version_id, change, bucket_id=bucket.bucket_id
        )

    async def _abort_uploads(
        self, bucket: BucketRecord, rules: tuple[Rule, ...], now: datetime, result: LifecycleResult
    ) -> None:
        after: UploadPosition | None = None
        while True:
            page = await self._index.list_uploads(bucket.name, after=after, limit=PAGE)
            for upload in page.uploads:
                initiated = datetime.fromtimestamp(upload.initiated_ms / 1000, UTC)
                if upload_is_due(rules, upload.key, initiated, now=now, day_s=self._day_s):
                    try:
                        await self._index.abort_upload(bucket.name, upload.key, upload.upload_id)
                        result.uploads_aborted += 1
                    except IndexRefusal:
                        result.refused += 1
            if page.next is None:
                return
            after = page.next
            await asyncio.sleep(0)


def _expiry_of(found: ListedVersion) -> Deletion:
    """The delete of a current version, as long as it is the one that was looked at."""
    record = found.record
    return Deletion(
        key=found.key,
        if_match=record.etag,
        if_modified_s=record.modified_ms // 1000,
        if_size_bytes=record.size_bytes,
    )


def _seen_together(row: list[ListedVersion]) -> Iterator[tuple[ListedVersion, Version]]:
    """All versions of one key, newest first."""
    for place, listed in enumerate(row):
        version = version_of(listed.key, listed.record)
        if place:
            newer = row[place - 1].record.modified_ms
            version = replace(
                version,
                is_current=False,
                noncurrent_since=datetime.fromtimestamp(newer / 1000, UTC),
                newer_noncurrent=place - 1,
            )
        yield listed, replace(version, is_alone=len(row) == 1)
