"""What deleted blobs took in packs is given back, and nothing else."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storagenode import packformat
from storagenode.blobstore import BlobStore
from storagenode.disk import Disk
from storagenode.errors import NodeError, NodeFailed, NodeFull
from tests.storagenode.pack_support import EIO, ENOSPC, TINY, fill, listed, packs, settle
from tests.storagenode.support import (
    NOW_MS,
    FaultyDisk,
    blob_id,
    flip_bit,
    open_store,
    quarantined,
    read_all,
)


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def store(tmp_path: Path, disk: FaultyDisk) -> Iterator[BlobStore]:
    store = open_store(tmp_path, disk)
    yield store
    store.close()


@pytest.fixture
def tiny(tmp_path: Path, disk: FaultyDisk) -> Iterator[BlobStore]:
    """Packs are full after a few entries."""
    store = open_store(tmp_path, disk, packs=TINY)
    yield store
    store.close()


def test_compaction_gives_back_what_is_dead_and_keeps_what_is_not(tiny: BlobStore, tmp_path: Path) -> None:
    blobs = fill(tiny, 60)
    tiny.maintain()
    full = sum(path.stat().st_size for path in packs(tmp_path))
    for number in range(60):
        if number % 10:
            assert tiny.delete(blob_id(number))
            del blobs[blob_id(number)]
    settle(tiny)
    tiny.maintain()
    assert sum(path.stat().st_size for path in packs(tmp_path)) < full / 2
    assert {name: read_all(tiny, name) for name in listed(tiny)} == blobs
    tiny.close()
    again = open_store(tmp_path, packs=TINY)
    assert {name: read_all(again, name) for name in listed(again)} == blobs
    for name in blobs:
        again.delete(name)
    again.close()
    again = open_store(tmp_path, packs=TINY)
    again.maintain()
    assert packs(tmp_path) == []
    assert listed(again) == []
    again.close()


def test_a_start_removes_packs_that_a_compaction_has_replaced(tiny: BlobStore, tmp_path: Path) -> None:
    blobs = fill(tiny, 12)
    tiny._packs._compaction.index_sealed()
    for number in range(1, 6):
        tiny.delete(blob_id(number))
        del blobs[blob_id(number)]
    settle(tiny)
    shutil.copytree(tmp_path / "packs", tmp_path / "before")
    tiny.maintain()
    tiny.close()
    names = [path.name for path in packs(tmp_path)]
    shutil.copytree(tmp_path / "before", tmp_path / "packs", dirs_exist_ok=True)
    assert [path.name for path in packs(tmp_path)] != names
    again = open_store(tmp_path, packs=TINY)
    assert [path.name for path in packs(tmp_path)] == names
    assert {name: read_all(again, name) for name in listed(again)} == blobs
    again.close()


def test_the_time_of_a_blob_outlives_compaction(tiny: BlobStore) -> None:
    fill(tiny, 12)
    durable_ms = tiny.stat(blob_id(0)).durable_ms
    tiny._clock_ms = tiny._packs._clock_ms = lambda: 0
    for number in range(1, 12):
        tiny.delete(blob_id(number))
    settle(tiny)
    tiny.maintain()
    assert tiny._packs._packs.compactions
    assert tiny.stat(blob_id(0)).durable_ms == durable_ms == NOW_MS + 3_600_000


def test_a_blob_deleted_while_its_pack_is_compacted_stays_deleted(
    tiny: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = fill(tiny, 12)
    for number in range(1, 5):
        tiny.delete(blob_id(number))
    settle(tiny)
    compaction = tiny._packs._compaction
    publish = compaction._publish

    def delete_first(*arguments: object) -> None:
        assert tiny.delete(blob_id(0))
        publish(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compaction, "_publish", delete_first)
    tiny.maintain()
    assert tiny._packs._packs.compactions
    assert listed(tiny) == list(blobs)[5:]
    tiny.close()
    again = open_store(tmp_path, packs=TINY)
    assert listed(again) == list(blobs)[5:]
    again.close()


def test_reading_and_listing_go_on_while_packs_are_compacted(tiny: BlobStore) -> None:
    blobs = fill(tiny, 40)
    stop = threading.Event()

    def look() -> int:
        rounds = 0
        while not stop.is_set():
            rounds += 1
            assert {name: read_all(tiny, name) for name in listed(tiny) if name in kept} == kept
        return rounds

    kept = {name: data for number, (name, data) in enumerate(blobs.items()) if number % 7 == 0}
    with ThreadPoolExecutor(3) as threads:
        looking = [threads.submit(look) for _ in range(2)]
        try:
            for number in range(40):
                if number % 7:
                    tiny.delete(blob_id(number))
                    tiny.maintain()
        finally:
            stop.set()
        assert all(one.result() for one in looking)
    assert listed(tiny) == list(kept)


def test_a_damaged_entry_is_not_lost_by_compaction(tiny: BlobStore, disk: FaultyDisk, tmp_path: Path) -> None:
    fill(tiny, 12)
    for number in range(1, 6):
        tiny.delete(blob_id(number))
    settle(tiny)
    flip_bit(packs(tmp_path)[0], packformat.HEADER_BYTES + 300)
    tiny._packs._compaction.index_sealed()
    disk.fail("create", *[EIO] * 2)  # the new pack's file is the first, the copy in quarantine the second
    with pytest.raises(NodeFailed):
        tiny.maintain()
    disk.script = None
    with pytest.raises(NodeError):
        tiny.maintain()  # its copy cannot be made, so the pack stays
    assert quarantined(tmp_path) == []
    tiny.maintain()
    assert len(quarantined(tmp_path)) == 1
    assert blob_id(0) not in listed(tiny)


def test_a_compaction_without_room_is_tried_again(tiny: BlobStore, disk: FaultyDisk, tmp_path: Path) -> None:
    blobs = fill(tiny, 12)
    for number in range(1, 6):
        tiny.delete(blob_id(number))
        del blobs[blob_id(number)]
    settle(tiny)
    tiny._packs._compaction.index_sealed()
    for call in ("create", "write", "fsync"):
        disk.fail(call, ENOSPC)
        with pytest.raises(NodeFull):
            tiny.maintain()
        assert list((tmp_path / "tmp").iterdir()) == []
    before = sum(path.stat().st_size for path in packs(tmp_path))
    tiny.maintain()
    assert sum(path.stat().st_size for path in packs(tmp_path)) < before
    assert {name: read_all(tiny, name) for name in listed(tiny)} == blobs


def test_small_packs_of_many_starts_become_one(tmp_path: Path) -> None:
    blobs: dict[str, bytes] = {}
    for number in range(10):
        store = open_store(tmp_path)
        blobs |= fill(store, 1, first=number)
        store.maintain()
        store.close()
    assert len(packs(tmp_path)) <= 3
    store = open_store(tmp_path)
    assert {name: read_all(store, name) for name in listed(store)} == blobs
    store.close()


def test_the_background_seals_indexes_and_compacts_by_itself(tmp_path: Path) -> None:
    store = BlobStore(
        Disk(), str(tmp_path), clock_ms=lambda: NOW_MS, reserve_bytes=0, pack_limits=TINY, background=True
    )
    done = threading.Event()
    real = store._packs._compaction.run

    def run() -> bool:
        worked = real()
        if worked:
            done.set()
        return worked

    store._packs._compaction.run = run  # type: ignore[method-assign]
    fill(store, 30)
    for number in range(25):
        store.delete(blob_id(number))
    assert done.wait(30)
    assert listed(store) == [blob_id(number) for number in range(25, 30)]
    store.close()
