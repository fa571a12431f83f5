"""Random sequences of changes against a naive model: versions, counters and reclaim stay exact."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway.index.connection import connect
from gateway.index.records import Deletion, ReclaimKind, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import (
    NOW_MS,
    OWNER,
    begun_upload,
    make_bucket,
    stored_object,
    stored_part,
    write_id,
)
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer

BUCKET = "photos"
KEYS = ["k", "k\x01", "k/1", "é"]
Result = TypeVar("Result")


@dataclass
class ModelVersion:
    """What the model knows of one version."""

    version_id: str | None  # None for the null version
    write: int
    size_bytes: int
    delete_marker: bool


@dataclass
class Model:
    """Versions of each key, newest first, and the writes that were given up."""

    versions: dict[str, list[ModelVersion]] = field(default_factory=lambda: {key: [] for key in KEYS})
    given_up: set[int] = field(default_factory=set)
    versioning: Versioning = Versioning.UNVERSIONED

    def remove(self, key: str, version: ModelVersion) -> None:
        self.versions[key].remove(version)
        if not version.delete_marker:
            self.given_up.add(version.write)

    def add(self, key: str, version: ModelVersion) -> None:
        if version.version_id is None:
            for old in [old for old in self.versions[key] if old.version_id is None]:
                self.remove(key, old)
        self.versions[key].insert(0, version)

    def everything(self) -> list[ModelVersion]:
        return [version for key in KEYS for version in self.versions[key]]


class IndexMachine(RuleBasedStateMachine):
    """Applies the same changes to the index and to the model."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.connection = connect(self.server.address)
        self.index = Index(self.connection)
        self.model = Model()
        self.writes = 0
        self.uploads: list[tuple[str, str, dict[int, int]]] = []

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(call)

    def teardown(self) -> None:
        self.run(self.connection.close())
        self.loop.close()

    @initialize()
    def begin(self) -> None:
        self.run(open_new(self.connection))
        self.run(make_bucket(self.index, BUCKET))

    @rule(versioning=st.sampled_from([Versioning.ENABLED, Versioning.SUSPENDED]))
    def set_versioning(self, versioning: Versioning) -> None:
        self.run(self.index.set_versioning(BUCKET, versioning))
        self.model.versioning = versioning

    @rule(key=st.sampled_from(KEYS), size_bytes=st.sampled_from([0, 1, 1 << 40]), segments=st.sampled_from([1, 64]))
    def put(self, key: str, size_bytes: int, segments: int) -> None:
        self.writes += 1
        record = stored_object(self.writes, size_bytes * segments, segments=segments)
        result = self.run(self.index.put_object(BUCKET, key, record))
        self.add_version(key, result.version_id, self.writes, record.size_bytes)

    def add_version(self, key: str, version_id: str | None, write: int, size_bytes: int) -> None:
        assert (version_id is None) == (self.model.versioning is Versioning.UNVERSIONED)
        assert (version_id == "null") == (self.model.versioning is Versioning.SUSPENDED)
        kept_id = version_id if self.model.versioning is Versioning.ENABLED else None
        self.model.add(key, ModelVersion(kept_id, write, size_bytes, delete_marker=False))

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: str) -> None:
        result = self.run(self.index.delete_object(BUCKET, Deletion(key=key), owner_id=OWNER, now_ms=NOW_MS))
        versions = self.model.versions[key]
        assert result.existed == bool(versions and not versions[0].delete_marker)
        if self.model.versioning is Versioning.UNVERSIONED:
            if versions:
                self.model.remove(key, versions[0])
        else:
            kept_id = result.version_id if self.model.versioning is Versioning.ENABLED else None
            self.model.add(key, ModelVersion(kept_id, 0, 0, delete_marker=True))

    @rule(key=st.sampled_from(KEYS), choice=st.integers(0, 5))
    def delete_version(self, key: str, choice: int) -> None:
        versions = self.model.versions[key]
        if not versions:
            return
        version = versions[choice % len(versions)]
        deletion = Deletion(key=key, version_id=version.version_id or "null")
        result = self.run(self.index.delete_object(BUCKET, deletion, owner_id=OWNER, now_ms=NOW_MS))
        assert (result.existed, result.delete_marker) == (True, version.delete_marker)
        self.model.remove(key, version)

    @rule(key=st.sampled_from(KEYS))
    def begin_upload(self, key: str) -> None:
        upload = self.run(self.index.create_upload(BUCKET, begun_upload(key)))
        self.uploads.append((key, upload.upload_id, {}))

    @rule(choice=st.integers(0, 9), number=st.integers(1, 3))
    def put_part(self, choice: int, number: int) -> None:
        if not self.uploads:
            return
        key, upload_id, parts = self.uploads[choice % len(self.uploads)]
        self.writes += 1
        self.run(self.index.put_part(BUCKET, key, upload_id, stored_part(number, self.writes)))
        if number in parts:
            self.model.given_up.add(parts[number])
        parts[number] = self.writes

    @rule(choice=st.integers(0, 9))
    def abort(self, choice: int) -> None:
        if self.uploads:
            key, upload_id, parts = self.uploads.pop(choice % len(self.uploads))
            self.run(self.index.abort_upload(BUCKET, key, upload_id))
            self.model.given_up |= set(parts.values())

    @rule(choice=st.integers(0, 9))
    def complete_with_its_last_part(self, choice: int) -> None:
        if not self.uploads or not self.uploads[choice % len(self.uploads)][2]:
            return
        key, upload_id, parts = self.uploads.pop(choice % len(self.uploads))
        page = self.run(self.index.all_parts(BUCKET, key, upload_id))
        *unused, used = page.parts
        result = self.run(
            self.index.complete_upload(
                *(BUCKET, key, upload_id, stored_object(parts[used.part_number])),
                revision=page.revision,
                unused=[part.extent for part in unused],
            )
        )
        self.model.given_up |= {parts[part.part_number] for part in unused}
        self.add_version(key, result.version_id, parts[used.part_number], 100)

    @invariant()
    def counters_are_exact(self) -> None:
        bucket = self.run(self.index.get_bucket(BUCKET))
        held = [version for version in self.model.everything() if not version.delete_marker]
        assert bucket.object_count == len(held)
        assert bucket.byte_count == sum(version.size_bytes for version in held)

    @invariant()
    def every_version_is_found(self) -> None:
        for key, versions in self.model.versions.items():
            _, current = self.run(self.index.get_object(BUCKET, key))
            assert (current is None) == (not versions)
            for version in versions:
                _, record = self.run(self.index.get_object(BUCKET, key, version.version_id or "null"))
                assert record is not None
                assert (record.size_bytes, record.delete_marker) == (version.size_bytes, version.delete_marker)
                assert version is not versions[0] or record == current

    @invariant()
    def current_objects_are_listed(self) -> None:
        listed = [found.key for found in self.run(self.index.list_objects(BUCKET)).objects]
        live = [key for key, versions in self.model.versions.items() if versions and not versions[0].delete_marker]
        assert listed == sorted(live, key=str.encode)

    @rule()
    def reclaim_everything(self) -> None:
        assert self.run(self.reclaimed()) == {write_id(number) for number in self.model.given_up if number}
        self.model.given_up.clear()

    async def reclaimed(self) -> set[str]:
        given_back: set[str] = set()
        for entry in await self.index.due_reclaims(grace_ms=0, limit=1000):
            found = [extent.write_id async for extent in self.index.extents_of(entry)]
            if entry.kind is ReclaimKind.OBJECT and not found:  # an empty object has no bytes
                assert entry.record is not None
                found = ["7" + entry.record.etag[1:]]  # its ETag is made of the same number as its write id
            assert given_back.isdisjoint(found)
            given_back |= set(found)
            assert await self.index.finish_reclaim(entry)
        return given_back


@pytest.fixture(scope="module")
def machine_server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def test_random_operations_keep_the_index_exact(machine_server: RedisServer) -> None:
    IndexMachine.server = machine_server
    run_state_machine_as_test(IndexMachine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))
