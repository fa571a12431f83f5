"""Small blobs in packs, on a real file system: written, found, and a disk that fails."""

import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import xxhash

from storagenode import packformat
from storagenode.blobstore import BlobStore
from storagenode.disk import Disk
from storagenode.errors import BlobConflict, BlobNotFound, NodeError, NodeFailed, NodeFull
from storagenode.packformat import SMALL_BLOB_BYTES
from tests.storagenode.pack_support import EIO, ENOSPC, TINY, fill, listed, lived, made, pack_name, packs
from tests.storagenode.support import (
    NO_PACKS,
    NOW_MS,
    ORIGIN,
    FaultyDisk,
    blob_files,
    blob_id,
    content,
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


# --- writing -------------------------------------------------------------------------------------------------
def test_small_blobs_share_a_file_and_larger_ones_have_their_own(store: BlobStore, tmp_path: Path) -> None:
    for number, size_bytes in enumerate((0, 1, SMALL_BLOB_BYTES, SMALL_BLOB_BYTES + 1)):
        store.put(blob_id(number), ORIGIN, [content(size_bytes)])
        assert read_all(store, blob_id(number)) == content(size_bytes)
    assert [path.name for path in blob_files(tmp_path)] == [blob_id(3)]
    assert len(packs(tmp_path)) == 1


def test_those_that_wait_together_share_one_write_and_one_fsync(store: BlobStore, disk: FaultyDisk) -> None:
    store.put(blob_id(0), ORIGIN, [b"first"])
    disk.calls.clear()
    puts = [made(store, blob_id(number), bytes([number])) for number in range(1, 100)]
    store._packs._writer.submit(*puts)
    assert [put.future.result().size_bytes for put in puts] == [1] * 99
    assert disk.calls == ["write", "fdatasync"]
    assert [read_all(store, blob_id(number)) for number in range(1, 100)] == [bytes([one]) for one in range(1, 100)]


def test_a_new_pack_is_durable_by_name_before_its_first_blob_is_acknowledged(
    store: BlobStore, disk: FaultyDisk
) -> None:
    disk.calls.clear()
    store.put(blob_id(), ORIGIN, [b"data"])
    assert disk.calls == ["create", "write", "fdatasync", "fsync_directory"]


def test_a_delete_is_durable_before_it_is_acknowledged(store: BlobStore, disk: FaultyDisk) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    disk.calls.clear()
    assert store.delete(blob_id())
    assert [call for call in disk.calls if call in ("write", "fdatasync")] == ["write", "fdatasync"]
    disk.calls.clear()
    assert not store.delete(blob_id())
    assert "write" not in disk.calls


def test_the_same_id_twice_in_one_write_is_one_entry(store: BlobStore, tmp_path: Path) -> None:
    same = [made(store, blob_id(), b"data") for _ in range(3)]
    other = made(store, blob_id(), b"DATA")
    store._packs._writer.submit(*same, other)
    assert {put.future.result().digest for put in same} == {same[0].digest}
    with pytest.raises(BlobConflict):
        other.future.result()
    assert packs(tmp_path)[0].stat().st_size == packformat.HEADER_BYTES + same[0].entry_bytes


def test_a_blob_in_both_forms_is_one_blob(tmp_path: Path) -> None:
    old = open_store(tmp_path, packs=NO_PACKS)
    for number in range(4):
        old.put(blob_id(number), ORIGIN, [content(100)])
    old.close()
    store = open_store(tmp_path)
    store.put(blob_id(0), ORIGIN, [content(100)])
    with pytest.raises(BlobConflict):
        store.put(blob_id(1), ORIGIN, [content(99)])
    assert packs(tmp_path) == []  # it was there already
    path = blob_files(tmp_path)[0]
    whole = path.read_bytes()
    path.unlink()
    store.put(blob_id(0), ORIGIN, [content(100)])
    path.write_bytes(whole)
    assert listed(store) == store.ids("", 10) == [blob_id(number) for number in range(4)]
    assert store.verify(blob_id(0)) == 200
    assert store.delete(blob_id(0))
    with pytest.raises(BlobNotFound):
        store.stat(blob_id(0))
    assert listed(store) == [blob_id(number) for number in range(1, 4)]
    store.close()


@pytest.mark.parametrize(("first", "second"), [(100, 100_000), (100_000, 100)])
def test_other_bytes_in_the_other_form_are_refused(store: BlobStore, first: int, second: int) -> None:
    store.put(blob_id(), ORIGIN, [content(first)])
    with pytest.raises(BlobConflict):
        store.put(blob_id(), ORIGIN, [content(second)])
    assert len(read_all(store, blob_id())) == first


def test_a_put_of_what_lies_in_a_pack_of_a_larger_limit_is_the_same(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put(blob_id(), ORIGIN, [b"data"])
    store.close()
    store = open_store(tmp_path, packs=NO_PACKS)
    store.put(blob_id(), ORIGIN, [b"data"])
    with pytest.raises(BlobConflict):
        store.put(blob_id(), ORIGIN, [b"DATA"])
    assert blob_files(tmp_path) == []
    store.close()


def test_a_delete_before_the_entry_is_written_wins(store: BlobStore) -> None:
    put = made(store, blob_id(), b"data")
    assert store.delete(blob_id())
    store._packs._writer.submit(put)
    with pytest.raises(BlobConflict):
        put.future.result()
    with pytest.raises(BlobNotFound):
        store.stat(blob_id())


def test_many_threads_putting_reading_and_deleting_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = BlobStore(
        Disk(), str(tmp_path), clock_ms=lambda: NOW_MS, reserve_bytes=0, pack_limits=TINY, background=True
    )
    names = [blob_id(number) for number in range(60)]

    def live(name: str) -> None:
        data = content(300, name.encode())
        for _ in range(3):
            store.put(name, ORIGIN, [data])
            assert read_all(store, name) == data
            assert store.delete(name)
            with pytest.raises(BlobNotFound):
                store.stat(name)
        store.put(name, ORIGIN, [data])
        assert read_all(store, name) == data

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(live, names))
    assert listed(store) == names
    store.close()
    store = open_store(tmp_path, packs=TINY)
    assert listed(store) == names
    store.maintain()
    assert [read_all(store, name) for name in names] == [content(300, name.encode()) for name in names]
    store.close()


# --- a disk that fails ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("call", ["create", "write", "fdatasync", "fsync_directory"])
@pytest.mark.parametrize(("error", "raised"), [(EIO, NodeFailed), (ENOSPC, NodeFull)])
def test_a_failed_write_is_not_acknowledged_nor_served(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path, call: str, error: OSError, raised: type[NodeError]
) -> None:
    disk.fail(call, error)
    with pytest.raises(raised):
        store.put(blob_id(), ORIGIN, [b"data"])
    with pytest.raises(BlobNotFound):
        store.stat(blob_id())
    assert packs(tmp_path) == []  # nothing was left for a start to find
    store.put(blob_id(), ORIGIN, [b"data"])
    assert read_all(store, blob_id()) == b"data"
    assert store.space._promised_bytes == 0


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_pack_that_failed_is_cut_and_never_appended_to(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path, call: str
) -> None:
    store.put(blob_id(0), ORIGIN, [b"before"])
    good = packs(tmp_path)[0].read_bytes()
    disk.fail(call, EIO)
    with pytest.raises(NodeFailed):
        store.put(blob_id(1), ORIGIN, [b"failed"])
    store.put(blob_id(2), ORIGIN, [b"after"])
    assert len(packs(tmp_path)) == 2
    assert packs(tmp_path)[0].read_bytes() == good
    assert listed(store) == [blob_id(0), blob_id(2)]
    store.close()
    again = open_store(tmp_path)
    assert listed(again) == [blob_id(0), blob_id(2)]
    again.close()


@pytest.mark.parametrize(("error", "raised"), [(EIO, NodeFailed), (ENOSPC, NodeFull)])
def test_a_failed_delete_leaves_the_blob_and_a_later_put_of_it_counts(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path, error: OSError, raised: type[NodeError]
) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    disk.fail("fdatasync", error)
    disk.fail("truncate", EIO)  # so that a start may find the delete, which was refused
    with pytest.raises(raised):
        store.delete(blob_id())
    assert read_all(store, blob_id()) == b"data"
    store.put(blob_id(), ORIGIN, [b"data"])
    shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-killed"))
    killed = open_store(tmp_path.with_name(f"{tmp_path.name}-killed"))
    assert read_all(killed, blob_id()) == b"data"
    killed.close()
    assert store.delete(blob_id())


def test_what_was_refused_and_could_not_be_cut_off_stays_deleted(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    store.put(blob_id(0), ORIGIN, [b"before"])
    disk.fail("fdatasync", EIO)
    disk.fail("truncate", EIO)
    with pytest.raises(NodeFailed):
        store.put(blob_id(1), ORIGIN, [b"refused"])
    store.delete(blob_id(1))
    shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-killed"))
    killed = open_store(tmp_path.with_name(f"{tmp_path.name}-killed"))
    assert listed(killed) == [blob_id(0)]
    killed.close()


def test_a_mistake_of_the_program_fails_its_write_and_no_later_one(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(blob_id(0), ORIGIN, [b"before"])
    with monkeypatch.context() as patch, pytest.raises(NodeFailed):
        patch.setattr(store._packs._writer, "_apply", lambda *_: [][0])
        store.put(blob_id(1), ORIGIN, [b"written, but not noted"])
    store.put(blob_id(2), ORIGIN, [b"after"])
    assert listed(store) == [blob_id(0), blob_id(2)]
    assert len(packs(tmp_path)) == 2  # the first may hold anything by now


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.writev
    monkeypatch.setattr(os, "writev", lambda descriptor, buffers: real(descriptor, [memoryview(buffers[0])[:7]]))
    store = open_store(tmp_path)
    blobs = fill(store, 3)
    assert {name: read_all(store, name) for name in blobs} == blobs
    store.close()


def test_an_input_output_error_is_no_proof_of_damage(store: BlobStore, disk: FaultyDisk, tmp_path: Path) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    disk.fail("read", EIO)
    with pytest.raises(NodeFailed):
        store.open(blob_id())
    assert quarantined(tmp_path) == []
    assert read_all(store, blob_id()) == b"data"


def test_a_closed_store_refuses(store: BlobStore) -> None:
    store.close()
    with pytest.raises(NodeFailed):
        store.put(blob_id(), ORIGIN, [b"data"])


# --- finding -------------------------------------------------------------------------------------------------
def test_pages_of_a_listing_meet_across_packs_and_files(tiny: BlobStore) -> None:
    names = [blob_id(number) for number in range(40)]
    order = list(range(40))
    random.Random(3).shuffle(order)
    for number in order:
        tiny.put(names[number], ORIGIN, [content(70_000 if number % 5 == 0 else 300)])
    assert listed(tiny) == names
    for limit in (1, 7, 39):
        paged: list[str] = []
        while page := tiny.list(after=paged[-1] if paged else "", before_ms=1 << 48, limit=limit):
            paged += [info.blob_id for info in page]
        assert paged == names
        assert tiny.ids(names[3], limit) == names[4 : 4 + limit]


def test_a_look_up_reads_one_page_of_one_index(tiny: BlobStore, disk: FaultyDisk) -> None:
    fill(tiny, 60)
    tiny.maintain()
    read_all(tiny, blob_id(30))
    disk.calls.clear()
    read_all(tiny, blob_id(30))
    assert disk.calls == ["read", "read"]  # a page, and the entry


def test_few_descriptors_serve_many_packs(tmp_path: Path) -> None:
    class Counting(Disk):
        def __init__(self) -> None:
            self.held: set[int] = set()
            self.most = 0

        def open(self, path: str) -> int:
            descriptor = super().open(path)
            self.held.add(descriptor)
            self.most = max(self.most, len(self.held))
            return descriptor

        def close(self, descriptor: int) -> None:
            self.held.discard(descriptor)
            super().close(descriptor)

    lived(tmp_path)
    assert len(packs(tmp_path)) > 4
    disk = Counting()
    store = open_store(tmp_path, disk, packs=TINY)
    descriptors = store._packs._packs.descriptors
    descriptors.close()
    descriptors._limit, disk.most = 3, 0
    for _ in range(2):
        for name in listed(store):
            read_all(store, name)
    assert 3 <= disk.most <= 4
    store.close()
    assert disk.held == set()


def test_a_pack_of_a_newer_version_stops_the_start(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    fill(store, 1)
    store.close()
    path = packs(tmp_path)[0]
    header = bytearray(packformat.make_header(pack_name(path)))
    header[9] = 2
    header[-8:] = xxhash.xxh3_64_digest(bytes(header[:-8]))
    path.write_bytes(bytes(header) + path.read_bytes()[len(header) :])
    with pytest.raises(packformat.UnknownPack):
        open_store(tmp_path)


def test_a_full_node_refuses_before_it_writes(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = open_store(tmp_path, disk, reserve_bytes=1 << 62)
    with pytest.raises(NodeFull):
        store.put(blob_id(), ORIGIN, [b"data"])
    assert disk.counts["create"] == 0
    store.close()
