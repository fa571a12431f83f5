"""The lifecycle worker on a real index: what is due goes, what is locked, new or not meant stays."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.index.connection import connect
from gateway.index.records import Deletion, LockMode, ObjectLock, ObjectRecord, UploadRecord, Versioning
from gateway.index.store import Index
from gateway.lifecycles import LIFECYCLE
from gateway.workers.lifecycle import LifecycleResult, LifecycleWorker
from s3compat.lifecycle_document import encode_document, with_ids
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer, running_server

BUCKET, OWNER = "b", "owner"
START = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)

redis_server = pytest.fixture(scope="module")(running_server)


class Bench:
    """A bucket, a clock, and the worker over both."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.now = START
        self.worker = LifecycleWorker(index, day_s=86_400.0, interval_s=1.0, clock=lambda: self.now)

    async def rules(self, *stated: Mapping[str, Any]) -> None:
        defaults = {"Status": "Enabled", "Filter": {}}
        document = with_ids({"Rules": [defaults | dict(one) for one in stated]})
        await self.index.set_bucket_config(BUCKET, LIFECYCLE, encode_document(document))

    async def put(self, key: str, **fields: Any) -> str | None:
        modified_ms = int(self.now.timestamp() * 1000)
        record = ObjectRecord(etag="0" * 32, size_bytes=1, modified_ms=modified_ms, owner_id=OWNER)
        return (await self.index.put_object(BUCKET, key, replace(record, **fields))).version_id

    async def delete(self, key: str) -> None:
        now_ms = int(self.now.timestamp() * 1000)
        await self.index.delete_object(BUCKET, Deletion(key=key), owner_id=OWNER, now_ms=now_ms)

    async def held(self) -> list[tuple[str, bool]]:
        """Key of every version, and whether it is a marker."""
        page = await self.index.list_versions(BUCKET)
        return [(listed.key, listed.record.delete_marker) for listed in page.versions]

    async def pass_after(self, days: float) -> LifecycleResult:
        self.now += days * DAY
        result = await self.worker.run_once()
        assert result is not None
        return result


@pytest.fixture
async def bench(redis_server: RedisServer) -> AsyncIterator[Bench]:
    connection = connect(redis_server.address)
    await open_new(connection)
    index = Index(connection)
    await index.create_bucket(BUCKET, OWNER, "us-east-1", now_ms=0, limit=10)
    yield Bench(index)
    await connection.close()


async def test_objects_expire_on_their_day_and_by_their_rule(bench: Bench) -> None:
    await bench.rules({"Expiration": {"Days": 2}, "Filter": {"Prefix": "logs/"}})
    await bench.put("logs/a")
    await bench.put("kept")
    assert await bench.pass_after(1.9) == LifecycleResult()
    await bench.put("logs/b")

    assert (await bench.pass_after(0.2)).expired == 1
    assert await bench.held() == [("kept", False), ("logs/b", False)]
    assert (await bench.pass_after(3)).expired == 1
    assert await bench.pass_after(3) == LifecycleResult()


async def test_in_a_versioned_bucket_a_marker_comes_over_it_and_goes_when_it_is_alone(bench: Bench) -> None:
    await bench.index.set_versioning(BUCKET, Versioning.ENABLED)
    await bench.rules(
        {"Expiration": {"Days": 1}},
        {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
    )
    await bench.put("k")
    await bench.put("k")
    assert (await bench.pass_after(1)).expired == 1
    assert await bench.held() == [("k", True), ("k", False)]
    assert (await bench.pass_after(1)).removed == 1
    assert await bench.held() == [("k", True)]
    assert (await bench.pass_after(1)).removed == 1
    assert await bench.held() == []


async def test_newer_noncurrent_versions_are_kept(bench: Bench) -> None:
    await bench.index.set_versioning(BUCKET, Versioning.ENABLED)
    await bench.rules({"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}})
    for _ in range(6):
        await bench.put("k")
    assert (await bench.pass_after(2)).removed == 3
    assert await bench.held() == [("k", False)] * 3


async def test_a_locked_version_stays(bench: Bench) -> None:
    await bench.index.set_versioning(BUCKET, Versioning.ENABLED)
    await bench.rules({"NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
    await bench.put("k", lock=ObjectLock(mode=LockMode.COMPLIANCE, retain_until_ms=4_000_000_000_000))
    await bench.put("k")
    assert await bench.pass_after(5) == LifecycleResult(refused=1)
    assert await bench.held() == [("k", False)] * 2


async def test_an_object_written_anew_since_it_was_looked_at_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.rules({"Expiration": {"Days": 1}})
    await bench.put("k")
    listed = bench.index.list_versions

    async def list_then_write(*arguments: Any, **named: Any) -> Any:
        page = await listed(*arguments, **named)
        await bench.put("k")
        return page

    monkeypatch.setattr(bench.index, "list_versions", list_then_write)
    assert await bench.pass_after(3) == LifecycleResult(refused=1)
    monkeypatch.undo()
    assert await bench.held() == [("k", False)]


async def test_keys_are_seen_whole_across_pages(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.workers.lifecycle.PAGE", 3)
    await bench.index.set_versioning(BUCKET, Versioning.ENABLED)
    await bench.rules({"NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
    for key in ("a", "b", "c"):
        for _ in range(4):
            await bench.put(key)
    assert (await bench.pass_after(2)).removed == 9
    assert await bench.held() == [("a", False), ("b", False), ("c", False)]


async def test_unfinished_uploads_end(bench: Bench) -> None:
    await bench.rules({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    for key in ("old", "older"):
        begun_ms = int(bench.now.timestamp() * 1000)
        await bench.index.create_upload(BUCKET, UploadRecord(key=key, owner_id=OWNER, initiated_ms=begun_ms))
    assert (await bench.pass_after(2)).uploads_aborted == 2
    assert (await bench.index.list_uploads(BUCKET)).uploads == ()


async def test_a_transition_changes_the_class_and_nothing_else(bench: Bench) -> None:
    await bench.rules({"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]})
    await bench.put("k", headers=(("content-type", "text/plain"),))
    assert (await bench.pass_after(2)).transitioned == 1
    assert await bench.pass_after(2) == LifecycleResult()
    record = (await bench.index.get_object(BUCKET, "k"))[1]
    assert record is not None
    assert record.headers == (("content-type", "text/plain"), ("x-amz-storage-class", "GLACIER"))


async def test_between_two_passes_there_is_time(bench: Bench) -> None:
    assert await bench.worker.run_once() is not None
    assert await bench.worker.run_once() is None
