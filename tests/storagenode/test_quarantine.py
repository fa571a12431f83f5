"""The list of damage: complete, in the order in which it was found, the same after a restart."""

import errno
from pathlib import Path

import pytest

from storagenode.client import DamagedBlob, InvalidRequest, NodeClient
from storagenode.disk import Disk
from storagenode.errors import BlobCorrupt
from storagenode.quarantine import Quarantine
from tests.storagenode.support import (
    NOW_MS,
    ORIGIN,
    SECRET,
    FaultyDisk,
    blob_files,
    blob_id,
    content,
    flip_bit,
    open_store,
    read_all,
    running_node,
)

NAMES = [blob_id(number) for number in range(5)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "quarantine").mkdir()
    return tmp_path / "quarantine"


def found_in(quarantine: Quarantine, after: str = "", limit: int = 100) -> list[str]:
    return [damaged.blob_id for damaged in quarantine.list(after, limit)]


def keep(quarantine: Quarantine, name: str, *, now_ms: int = NOW_MS) -> None:
    quarantine.keep(name, [b"what is left"], now_ms=now_ms, found_by="read", reason="Header checksum!")


def test_the_list_keeps_the_order_of_finding_whatever_ids_and_clock_say(directory: Path) -> None:
    quarantine = Quarantine(Disk(), str(directory))
    order = [NAMES[3], NAMES[1], NAMES[4]]
    for number, name in enumerate(order):
        keep(quarantine, name, now_ms=NOW_MS - number * 1000)
    assert found_in(quarantine) == order
    assert quarantine.count == 3
    first = quarantine.list("", 1)[0]
    assert (first.found_ms, first.found_by, first.reason) == (NOW_MS, "read", "header-checksum")
    assert found_in(quarantine, first.cursor) == order[1:]
    assert found_in(quarantine, first.cursor, 1) == order[1:2]
    assert found_in(quarantine, quarantine.list("", 3)[-1].cursor) == []


def test_a_restart_goes_on_counting_so_that_cursors_stay_good(directory: Path) -> None:
    before = Quarantine(Disk(), str(directory))
    for name in NAMES[:2]:
        keep(before, name)
    cursor = before.list("", 10)[-1].cursor
    after = Quarantine(Disk(), str(directory))
    assert after.count == 2
    keep(after, NAMES[0], now_ms=NOW_MS - 5_000_000)  # once more, by a clock that was set back
    assert found_in(after, cursor) == [NAMES[0]]


def test_names_of_the_first_release_come_first(directory: Path) -> None:
    for number, name in enumerate(NAMES[:2]):
        (directory / f"{name}.{NOW_MS - number}.7").write_bytes(b"x")
    (directory / "something else").write_bytes(b"x")
    quarantine = Quarantine(Disk(), str(directory))
    keep(quarantine, NAMES[2], now_ms=NOW_MS - 10_000)
    assert found_in(quarantine) == [NAMES[1], NAMES[0], NAMES[2]]
    assert found_in(quarantine, quarantine.list("", 1)[0].cursor) == [NAMES[0], NAMES[2]]


def test_origin_and_size_come_from_the_header_when_that_is_whole(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for name in NAMES[:2]:
        store.put(name, ORIGIN, [content(100_000)])
    first, second = blob_files(tmp_path)
    flip_bit(first, 500)
    flip_bit(second, 20)  # the blob's size, in the header
    for name in NAMES[:2]:
        with pytest.raises(BlobCorrupt):
            read_all(store, name)
    found = store.quarantine.list("", 10)
    assert [(damaged.origin, damaged.size_bytes) for damaged in found] == [(ORIGIN, 100_000), (b"", -1)]
    assert [damaged.found_by for damaged in found] == ["read", "read"]
    assert store.quarantined == 2


def test_an_unreadable_blob_is_listed_once_across_restarts(directory: Path) -> None:
    first = Quarantine(Disk(), str(directory))
    assert first.note_unreadable(NAMES[0], now_ms=NOW_MS)
    assert not first.note_unreadable(NAMES[0], now_ms=NOW_MS)
    second = Quarantine(Disk(), str(directory))
    assert not second.note_unreadable(NAMES[0], now_ms=NOW_MS)
    assert found_in(second) == [NAMES[0]]


def test_an_unreadable_blob_that_could_not_be_noted_is_noted_the_next_time(directory: Path) -> None:
    disk = FaultyDisk()
    quarantine = Quarantine(disk, str(directory))
    disk.fail("create", OSError(errno.EROFS, "read-only"))
    with pytest.raises(OSError, match="read-only"):
        quarantine.note_unreadable(NAMES[0], now_ms=NOW_MS)
    assert quarantine.note_unreadable(NAMES[0], now_ms=NOW_MS)


async def test_clients_page_through_the_list(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node, NodeClient(SECRET) as client:
        for name in NAMES:
            node.store.put(name, ORIGIN, [content(100_000)])
        for path in blob_files(tmp_path):
            flip_bit(path, 120)
        for name in NAMES:
            with pytest.raises(BlobCorrupt):
                node.store.verify(name)
        found: list[DamagedBlob] = []
        after = ""
        while page := await client.damaged(node.address, after=after, limit=2):
            assert len(page) <= 2
            found += page
            after = page[-1].cursor
        assert [damaged.blob_id for damaged in found] == NAMES
        assert {(damaged.found_by, damaged.origin) for damaged in found} == {("scrub", ORIGIN)}
        for limit in (0, 1001):
            with pytest.raises(InvalidRequest):
                await client.damaged(node.address, after="", limit=limit)
