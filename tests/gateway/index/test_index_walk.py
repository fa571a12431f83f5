"""The walk over everything that lies on nodes: complete, in steps, interruptible at every one of them."""

from dataclasses import replace

import pytest

from gateway.index import index_walk
from gateway.index.index_walk import WalkedRecord
from gateway.index.records import Deletion, Origin
from gateway.index.repair_records import PlaceKind
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, begun_upload, extent, make_bucket, stored_object, stored_part


async def walk_all(index: Index) -> tuple[list[WalkedRecord], int]:
    found: list[WalkedRecord] = []
    cursor, steps = b"", 0
    while True:
        step = await index.walk(cursor)
        steps += 1
        found += step.records
        if not step.cursor:
            return found, steps
        cursor = step.cursor


async def test_an_empty_index_is_walked_in_one_step(index: Index) -> None:
    assert await walk_all(index) == ([], 1)


@pytest.mark.parametrize("members_a_step", [1, 2, 3, 500])
async def test_every_object_part_and_trash_entry_comes_once(
    index: Index, members_a_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_walk, "_MEMBERS_A_STEP", members_a_step)
    expected: list[tuple[PlaceKind, Origin, int]] = []
    for bucket in ("a", "a-b", "empty", "z"):
        await make_bucket(index, bucket)
        if bucket == "empty":
            continue
        for number in range(3):
            await index.put_object(bucket, f"k{number}", stored_object(10 + number, 6400, segments=64 if number else 1))
            expected.append((PlaceKind.OBJECT, Origin(bucket=bucket, key=f"k{number}"), 10 + number))
        for number in range(2):
            upload = await index.create_upload(bucket, begun_upload("u"))
            await index.put_part(bucket, "u", upload.upload_id, stored_part(2, 20 + number))
            origin = Origin(bucket=bucket, key="u", upload_id=upload.upload_id, part_number=2)
            expected.append((PlaceKind.PART, origin, 20 + number))
        await index.put_object(bucket, "gone", stored_object(30))
        await index.delete_object(bucket, Deletion(key="gone"), owner_id=OWNER, now_ms=NOW_MS)
        expected.append((PlaceKind.TRASH, Origin(bucket=bucket, key="gone"), 30))
    found, _ = await walk_all(index)
    walked = [(one.kind, one.origin, one.extents[0].write_id) for one in found]
    assert sorted(walked, key=repr) == sorted(
        [(kind, origin, extent(number).write_id) for kind, origin, number in expected], key=repr
    )
    assert {len(one.extents[0].segments) for one in found} == {1, 64}


async def test_what_changes_behind_the_cursor_does_not_come_again(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_walk, "_MEMBERS_A_STEP", 2)
    await make_bucket(index, "a")
    for number in range(5):
        await index.put_object("a", f"k{number}", stored_object(10 + number))
    found: list[WalkedRecord] = []
    cursor = b""
    while True:
        step = await index.walk(cursor)
        found += step.records
        cursor = step.cursor
        if not cursor:
            break
        for number in range(5):  # as a repair would: greater members under the same keys
            await index.update_object("a", f"k{number}", None, lambda record: replace(record, owner_id="ff" * 40))
    assert [one.origin.key for one in found] == [f"k{number}" for number in range(5)]


async def test_a_bucket_deleted_during_the_walk_is_passed_over(index: Index) -> None:
    for bucket in ("a", "b", "c"):
        await make_bucket(index, bucket)
    await index.put_object("c", "k", stored_object(1))
    step = await index.walk()
    assert step.bucket
    assert step.bucket.name == "a"
    await index.delete_bucket("a")
    await index.delete_bucket("b")
    found: list[WalkedRecord] = []
    while step.cursor:
        step = await index.walk(step.cursor)
        found += step.records
    assert [one.origin.bucket for one in found] == ["c"]
