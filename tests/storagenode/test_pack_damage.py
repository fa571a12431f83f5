"""Damage to packs and their indexes: an error or the right bytes, and nothing deleted comes back."""

import errno
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from storagenode import packformat, packindex
from storagenode.blobstore import BlobStore
from storagenode.disk import Disk
from storagenode.errors import BlobCorrupt, BlobNotFound
from tests.storagenode.pack_support import TINY, fill, listed, lived, pack_name, packs
from tests.storagenode.support import (
    ORIGIN,
    FaultyDisk,
    blob_id,
    content,
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


def test_a_bit_flipped_anywhere_in_an_entry_is_an_error_and_never_bytes(store: BlobStore, tmp_path: Path) -> None:
    data = content(200)
    for number in range(3):
        store.put(blob_id(number), ORIGIN, [data])
    path = packs(tmp_path)[0]
    length = packformat.entry_bytes(len(ORIGIN), len(data))
    start = packformat.HEADER_BYTES + length
    for count, at in enumerate(range(0, length, 17), 1):
        flip_bit(path, start + at, at % 8)
        with pytest.raises(BlobCorrupt):
            read_all(store, blob_id(1))
        flip_bit(path, start + at, at % 8)
        with pytest.raises(BlobNotFound):
            store.stat(blob_id(1))
        assert listed(store) == [blob_id(0), blob_id(2)]
        assert len(quarantined(tmp_path)) == store.quarantined == count
        store.put(blob_id(1), ORIGIN, [data])  # as a repair does
        assert read_all(store, blob_id(1)) == data
        start = last_entry(path, blob_id(1))


def last_entry(path: Path, name: str) -> int:
    """Where the last entry of an id begins."""
    scan = packformat.scan(path.read_bytes(), pack_name(path), sealed=True)
    return [one for one in scan.entries if one.key == packformat.key_of(name)][-1].place.offset


def test_a_damaged_blob_is_in_the_list_of_damage_with_its_origin(store: BlobStore, tmp_path: Path) -> None:
    store.put(blob_id(), ORIGIN, [content(200)])
    flip_bit(packs(tmp_path)[0], packformat.HEADER_BYTES + 150)
    with pytest.raises(BlobCorrupt):
        store.verify(blob_id())
    [damaged] = store.quarantine.list("", 10)
    assert (damaged.blob_id, damaged.found_by, damaged.origin, damaged.size_bytes) == (blob_id(), "scrub", ORIGIN, 200)


def test_putting_again_over_a_damaged_entry_mends_it(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put(blob_id(), ORIGIN, [content(200)])
    flip_bit(packs(tmp_path)[0], packformat.HEADER_BYTES + 150)
    store.put(blob_id(), ORIGIN, [content(200)])
    assert read_all(store, blob_id()) == content(200)
    assert len(quarantined(tmp_path)) == 1
    store.close()
    store = open_store(tmp_path)
    assert read_all(store, blob_id()) == content(200)
    assert store.delete(blob_id())
    store.close()
    store = open_store(tmp_path)
    assert listed(store) == []
    store.close()


def test_damage_that_cannot_be_quarantined_is_damage_all_the_same(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    flip_bit(packs(tmp_path)[0], packformat.HEADER_BYTES + 100)
    disk.fail("create", OSError(errno.EROFS, "read-only file system"))
    for _ in range(2):
        with pytest.raises(BlobCorrupt):
            store.open(blob_id())
    assert len(quarantined(tmp_path)) == 1


def test_damage_seen_once_only_is_no_damage(store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    real, reads = Disk.read, iter([True])

    def read(self: Disk, descriptor: int, offset: int, size_bytes: int) -> bytes:
        good = real(self, descriptor, offset, size_bytes)
        return b"?" + good[1:] if next(reads, False) else good

    monkeypatch.setattr(Disk, "read", read)
    assert read_all(store, blob_id()) == b"data"
    assert quarantined(tmp_path) == []


def test_damage_met_at_start_is_told_when_the_blob_is_read(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    blobs = fill(store, 5)
    store.close()
    flip_bit(packs(tmp_path)[0], packformat.HEADER_BYTES + 3)  # the first entry's beginning
    store = open_store(tmp_path)
    with pytest.raises(BlobCorrupt):
        store.open(blob_id(0))
    assert listed(store) == list(blobs)[1:]
    assert store.quarantined == 1
    store.close()


def test_a_stretch_without_an_id_is_kept_in_quarantine(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, 5)
    store.close()
    path = packs(tmp_path)[0]
    length = packformat.entry_bytes(len(ORIGIN), 500)
    with path.open("r+b") as file:
        file.seek(packformat.HEADER_BYTES + length)
        file.write(bytes(length))
    store = open_store(tmp_path)
    assert listed(store) == [blob_id(number) for number in (0, 2, 3, 4)]
    assert store.quarantined == 1
    store.close()
    store = open_store(tmp_path)
    assert store.quarantined == 1
    store.close()


@pytest.mark.parametrize("kind", ["pack", "index"])
def test_a_bit_flipped_anywhere_costs_one_blob_at_most_and_brings_none_back(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    blobs = lived(source)
    chance = random.Random(kind)
    for round_number in range(40):
        directory = tmp_path / "damaged"
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(source, directory)
        early = round_number % 2
        store = open_store(directory, packs=TINY) if early else None
        path = chance.choice(packs(directory, kind))
        flip_bit(path, chance.randrange(path.stat().st_size), chance.randrange(8))
        store = store or open_store(directory, packs=TINY)
        assert set(store.ids("", 1000)) <= set(blobs)
        infos = {info.blob_id: info for info in store.list(after="", before_ms=1 << 48, limit=1000)}
        assert set(infos) <= set(blobs)
        assert {name: info.size_bytes for name, info in infos.items()} == {name: len(blobs[name]) for name in infos}
        read: dict[str, bytes] = {}
        for name in sorted({*blobs, *map(blob_id, range(40))}):
            try:
                read[name] = read_all(store, name)
            except (BlobNotFound, BlobCorrupt):
                continue
        assert read.items() <= blobs.items()
        assert len(blobs) - len(read) <= (1 if kind == "pack" else 0)
        store.maintain()
        assert read == {name: read_all(store, name) for name in read}
        store.close()


def test_index_files_that_are_gone_are_made_again(tmp_path: Path) -> None:
    blobs = lived(tmp_path)
    before = {path.name: path.read_bytes()[packindex.HEADER_BYTES :] for path in packs(tmp_path, "index")}
    for path in packs(tmp_path, "index"):
        path.unlink()
    store = open_store(tmp_path, packs=TINY)
    assert {name: read_all(store, name) for name in listed(store)} == blobs
    after = {path.name: path.read_bytes()[packindex.HEADER_BYTES :] for path in packs(tmp_path, "index")}
    assert before.items() <= after.items()
    for path in packs(tmp_path, "index"):
        path.write_bytes(b"")
    store._packs._packs.descriptors.close()
    assert {name: read_all(store, name) for name in listed(store)} == blobs
    store.close()
