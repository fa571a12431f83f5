"""The blob store on a real file system."""

import errno
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import xxhash

from storagenode.blobfile import BLOCK_BYTES
from storagenode.blobreader import BlobReader
from storagenode.blobstore import BlobStore, DirectoryInUse
from storagenode.disk import Disk, DiskSpace
from storagenode.errors import (
    BlobConflict,
    BlobCorrupt,
    BlobNotFound,
    InvalidRequest,
    NodeError,
    NodeFailed,
    NodeFull,
)
from storagenode.protocol import BlobInfo, StoredBlob
from tests.storagenode.support import (
    NO_PACKS,
    NOW_MS,
    ORIGIN,
    SIZES,
    FaultyDisk,
    blob_files,
    blob_id,
    content,
    cut,
    flip_bit,
    open_store,
    quarantined,
    read_all,
)

EIO = OSError(errno.EIO, "input/output error")
ENOSPC = OSError(errno.ENOSPC, "no space left on device")


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture(params=["files", "packs"])
def form(request: pytest.FixtureRequest) -> str:
    """Where small blobs go."""
    return str(request.param)


as_files = pytest.mark.parametrize("form", ["files"])


@pytest.fixture
def store(tmp_path: Path, disk: FaultyDisk, form: str) -> Iterator[BlobStore]:
    store = open_store(tmp_path, disk, packs=NO_PACKS if form == "files" else None)
    yield store
    store.close()


def temporary_files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "tmp").iterdir())


# --- writing and reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_was_put_is_read(store: BlobStore, tmp_path: Path, size_bytes: int) -> None:
    data = content(size_bytes)
    digest = xxhash.xxh3_128_digest(data)
    assert store.put(blob_id(), ORIGIN, [data]) == StoredBlob(size_bytes=size_bytes, digest=digest)
    assert read_all(store, blob_id()) == data
    assert store.stat(blob_id()) == BlobInfo(blob_id=blob_id(), size_bytes=size_bytes, origin=ORIGIN, digest=digest)
    assert temporary_files(tmp_path) == []


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_blob_written_in_pieces_is_the_same(store: BlobStore, size_bytes: int) -> None:
    data = content(size_bytes)
    with store.begin(blob_id(), ORIGIN, size_bytes) as writer:
        for piece in cut(data, 100_000):
            writer.write([piece[:7], piece[7:]])
        stored = store.publish(writer)
    assert stored.digest == xxhash.xxh3_128_digest(data)
    assert read_all(store, blob_id()) == data


def test_ranges_are_exact_and_read_only_the_blocks_they_touch(store: BlobStore, disk: FaultyDisk) -> None:
    data = content(5 * BLOCK_BYTES + 17)
    store.put(blob_id(), ORIGIN, [data])
    edges = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, len(data) - 1, len(data)]
    with store.open(blob_id()) as reader:
        for start in edges:
            for end in edges:
                if start <= end:
                    assert reader.read(start, end - start) == data[start:end]
    sizes: list[int] = []
    real_read = Disk.read

    def note(self: Disk, descriptor: int, offset: int, size_bytes: int) -> bytes:
        sizes.append(size_bytes)
        return real_read(self, descriptor, offset, size_bytes)

    with store.open(blob_id()) as reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaultyDisk, "read", note)
        reader.read(3 * BLOCK_BYTES - 1, 2)
        reader.read(2 * BLOCK_BYTES, 1)
    assert sizes == [2 * BLOCK_BYTES, BLOCK_BYTES]


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (11, 0), (-1, 1), (5, 6), (0, -1)])
def test_a_range_outside_the_blob_is_refused(store: BlobStore, offset: int, length: int) -> None:
    store.put(blob_id(), ORIGIN, [content(10)])
    with store.open(blob_id()) as reader, pytest.raises(InvalidRequest):
        reader.read(offset, length)


def test_a_blob_that_is_not_there_is_not_found(store: BlobStore) -> None:
    with pytest.raises(BlobNotFound):
        store.stat(blob_id())


def test_more_or_fewer_bytes_than_announced_leave_nothing(store: BlobStore, tmp_path: Path) -> None:
    with store.begin(blob_id(), ORIGIN, 10) as writer, pytest.raises(InvalidRequest):
        writer.write([bytes(11)])
    with store.begin(blob_id(), ORIGIN, 10) as writer:
        writer.write([bytes(9)])
        with pytest.raises(InvalidRequest):
            store.publish(writer)
    assert temporary_files(tmp_path) == blob_files(tmp_path) == []


def test_a_write_given_up_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    with store.begin(blob_id(), ORIGIN, 2_000_000) as writer:
        writer.write([bytes(1_000_000)])
        assert len(temporary_files(tmp_path)) == 1
    assert temporary_files(tmp_path) == blob_files(tmp_path) == []


def test_a_restarted_store_has_the_blobs_and_no_temporary_files(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    first.put(blob_id(), ORIGIN, [b"data"])
    writer = first.begin(blob_id(1), ORIGIN, 2_000_000)
    writer.write([bytes(1_000_000)])
    assert len(temporary_files(tmp_path)) == 1
    first.close()
    second = open_store(tmp_path)
    assert temporary_files(tmp_path) == []
    assert read_all(second, blob_id()) == b"data"
    second.close()
    writer.discard()


def test_two_stores_do_not_share_a_directory(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(DirectoryInUse):
        open_store(tmp_path)
    store.close()
    open_store(tmp_path).close()


# --- the same id again ------------------------------------------------------------------------------------


def test_putting_the_same_again_succeeds(store: BlobStore, tmp_path: Path) -> None:
    data = content(BLOCK_BYTES + 1)
    first = store.put(blob_id(), ORIGIN, [data])
    assert store.put(blob_id(), ORIGIN, [data]) == first
    assert len(blob_files(tmp_path)) == 1
    assert temporary_files(tmp_path) == []


@pytest.mark.parametrize(
    ("origin", "data"), [(ORIGIN, b"other"), (ORIGIN, b"longer data"), (b"another origin", b"data1")]
)
def test_putting_other_bytes_under_an_id_is_refused(store: BlobStore, origin: bytes, data: bytes) -> None:
    store.put(blob_id(), ORIGIN, [b"data1"])
    with pytest.raises(BlobConflict):
        store.put(blob_id(), origin, [data])
    assert read_all(store, blob_id()) == b"data1"


def test_putting_again_over_a_damaged_copy_mends_it(store: BlobStore, tmp_path: Path) -> None:
    data = content(BLOCK_BYTES + 1)
    store.put(blob_id(), ORIGIN, [data])
    flip_bit(blob_files(tmp_path)[0], BLOCK_BYTES)
    store.put(blob_id(), ORIGIN, [data])
    assert read_all(store, blob_id()) == data
    assert len(quarantined(tmp_path)) == 1


def test_many_threads_putting_one_blob_agree(store: BlobStore, tmp_path: Path) -> None:
    data = content(BLOCK_BYTES + 1)
    gate = threading.Barrier(8)

    def put(number: int) -> StoredBlob | None:
        gate.wait()
        try:
            return store.put(blob_id(), ORIGIN, [data if number % 2 else data[::-1]])
        except BlobConflict:
            return None

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(put, range(8)))
    assert outcomes.count(None) == 4
    assert len(blob_files(tmp_path)) == 1
    assert temporary_files(tmp_path) == []


@as_files
def test_many_threads_putting_reading_and_deleting_do_not_disturb_each_other(store: BlobStore, tmp_path: Path) -> None:
    # Old ids, so that every delete also tries to remove the directory that others are writing to.
    names = [blob_id(number, at_ms=NOW_MS - 86_400_000) for number in range(120)]

    def live(name: str) -> None:
        data = content(1000, name.encode())
        for _ in range(3):
            store.put(name, ORIGIN, [data])
            assert read_all(store, name) == data
            assert store.delete(name)
        store.put(name, ORIGIN, [data])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(live, names))
    assert [path.name for path in blob_files(tmp_path)] == names


# --- damage -----------------------------------------------------------------------------------------------


@as_files
@pytest.mark.parametrize("size_bytes", [0, 1, BLOCK_BYTES + 1])
def test_a_bit_flipped_anywhere_is_an_error_and_never_bytes(store: BlobStore, tmp_path: Path, size_bytes: int) -> None:
    data = content(size_bytes)
    store.put(blob_id(), ORIGIN, [data])
    path = blob_files(tmp_path)[0]
    whole = path.read_bytes()
    step = max(1, len(whole) // 150)
    for number, position in enumerate({*range(0, len(whole), step), len(whole) - 1}):
        path.write_bytes(whole)
        flip_bit(path, position, number % 8)
        with pytest.raises(BlobCorrupt):
            read_all(store, blob_id())
        assert not path.exists()
        with pytest.raises(BlobNotFound):
            store.stat(blob_id())
    assert len(quarantined(tmp_path)) == store.quarantined == number + 1


@pytest.mark.parametrize("left", [0, 1, 13, 79, 80, 200, BLOCK_BYTES, BLOCK_BYTES + 140])
def test_a_truncated_file_is_damage(store: BlobStore, tmp_path: Path, left: int) -> None:
    store.put(blob_id(), ORIGIN, [content(BLOCK_BYTES + 1)])
    path = blob_files(tmp_path)[0]
    assert path.stat().st_size > left
    with path.open("r+b") as file:
        file.truncate(left)
    with pytest.raises(BlobCorrupt):
        store.stat(blob_id())
    assert len(quarantined(tmp_path)) == 1


def test_a_file_truncated_while_it_is_read_is_damage(store: BlobStore, tmp_path: Path) -> None:
    store.put(blob_id(), ORIGIN, [content(3 * BLOCK_BYTES)])
    with store.open(blob_id()) as reader:
        with blob_files(tmp_path)[0].open("r+b") as file:
            file.truncate(2 * BLOCK_BYTES)
        assert len(reader.read(0, BLOCK_BYTES)) == BLOCK_BYTES
        with pytest.raises(BlobCorrupt):
            reader.read(2 * BLOCK_BYTES, 10)
    assert len(quarantined(tmp_path)) == 1


def test_blocks_beside_the_damage_are_still_read_until_it_is_met(store: BlobStore, tmp_path: Path) -> None:
    data = content(4 * BLOCK_BYTES)
    store.put(blob_id(), ORIGIN, [data])
    flip_bit(blob_files(tmp_path)[0], 3 * BLOCK_BYTES + 500)
    with store.open(blob_id()) as reader:
        assert reader.read(BLOCK_BYTES, BLOCK_BYTES) == data[BLOCK_BYTES : 2 * BLOCK_BYTES]
        with pytest.raises(BlobCorrupt, match="block 3"):
            reader.read(0, len(data))


def test_damage_seen_once_only_is_no_damage(store: BlobStore, tmp_path: Path) -> None:
    """A bad transfer from the disk: the second read gives what was written."""
    data = content(3 * BLOCK_BYTES)
    store.put(blob_id(), ORIGIN, [data])
    real_read = Disk.read
    bad = [True, True]

    def read(self: Disk, descriptor: int, offset: int, size_bytes: int) -> bytes:
        good = real_read(self, descriptor, offset, size_bytes)
        if bad and size_bytes == 2 * BLOCK_BYTES:
            bad.clear()
            return b"?" + good[1:]
        return good

    with pytest.MonkeyPatch.context() as patch, store.open(blob_id()) as reader:
        patch.setattr(FaultyDisk, "read", read)
        assert reader.read(0, 2 * BLOCK_BYTES) == data[: 2 * BLOCK_BYTES]
    assert quarantined(tmp_path) == []


@as_files
def test_a_bit_flipped_in_memory_is_no_damage(store: BlobStore, disk: FaultyDisk, tmp_path: Path) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    with store.open(blob_id()) as reader:
        assert isinstance(reader, BlobReader)
        reader._start = reader._start.replace(b"data", b"dat\xe1")
        assert bytes(reader.read(0, 4)) == b"data"
    assert disk.counts["drop_cache"] == 1  # the device was asked, not the page cache
    assert quarantined(tmp_path) == []


def test_an_input_output_error_is_an_error_of_the_disk_and_leaves_the_file(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    disk.fail("read", EIO)
    with pytest.raises(NodeFailed):
        store.stat(blob_id())
    assert quarantined(tmp_path) == []
    assert read_all(store, blob_id()) == b"data"


@as_files
def test_an_input_output_error_on_the_second_look_is_no_proof_of_damage(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    flip_bit(blob_files(tmp_path)[0], 0)
    reads: list[str] = []

    def second_fails(call: str) -> None:
        reads.extend([call] if call == "read" else [])
        if len(reads) == 2:
            raise EIO

    disk.script = second_fails
    with pytest.raises(NodeFailed):
        store.stat(blob_id())
    disk.script = None
    assert quarantined(tmp_path) == []


@as_files
def test_damage_that_cannot_be_quarantined_is_damage_all_the_same(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path
) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    flip_bit(blob_files(tmp_path)[0], 0)
    disk.fail("rename", OSError(errno.EROFS, "read-only file system"))
    with pytest.raises(BlobCorrupt):
        store.stat(blob_id())
    with pytest.raises(BlobCorrupt):
        store.stat(blob_id())
    assert len(quarantined(tmp_path)) == 1


@as_files
def test_a_file_of_a_newer_format_is_left_alone(store: BlobStore, tmp_path: Path) -> None:
    store.put(blob_id(), b"", [b"data"])
    path = blob_files(tmp_path)[0]
    file = bytearray(path.read_bytes())
    file[9] = 2
    file[72:80] = xxhash.xxh3_64_digest(bytes(file[:72]))
    path.write_bytes(file)
    with pytest.raises(NodeFailed, match="version 2"):
        store.stat(blob_id())
    assert quarantined(tmp_path) == []


def test_a_reader_of_a_damaged_file_does_not_quarantine_its_good_successor(store: BlobStore, tmp_path: Path) -> None:
    data = content(2 * BLOCK_BYTES)
    store.put(blob_id(), ORIGIN, [data])
    flip_bit(blob_files(tmp_path)[0], BLOCK_BYTES)
    with store.open(blob_id()) as slow:
        with pytest.raises(BlobCorrupt):
            read_all(store, blob_id())
        store.put(blob_id(), ORIGIN, [data])
        with pytest.raises(BlobCorrupt):
            slow.read(0, 2 * BLOCK_BYTES)
    assert len(quarantined(tmp_path)) == 1
    assert read_all(store, blob_id()) == data


def test_a_reader_goes_on_when_its_blob_is_deleted(store: BlobStore) -> None:
    data = content(2 * BLOCK_BYTES)
    store.put(blob_id(), ORIGIN, [data])
    with store.open(blob_id()) as reader:
        assert store.delete(blob_id())
        assert reader.read(0, len(data)) == data


# --- a disk that fails ------------------------------------------------------------------------------------


@as_files
@pytest.mark.parametrize("call", ["create", "write", "fsync", "rename", "fsync_directory", "make_directory"])
@pytest.mark.parametrize(("error", "raised"), [(EIO, NodeFailed), (ENOSPC, NodeFull)])
def test_a_failed_write_is_not_acknowledged_and_leaves_no_temporary_file(
    store: BlobStore, disk: FaultyDisk, tmp_path: Path, call: str, error: OSError, raised: type[NodeError]
) -> None:
    disk.fail(call, error)
    with pytest.raises(raised):
        store.put(blob_id(), ORIGIN, [b"data"])
    assert temporary_files(tmp_path) == []
    store.put(blob_id(), ORIGIN, [b"data"])
    assert read_all(store, blob_id()) == b"data"
    assert store.space.measure().free_bytes <= Disk().space(str(tmp_path)).free_bytes


@as_files
def test_a_put_whose_directory_vanishes_is_not_acknowledged(store: BlobStore, disk: FaultyDisk, tmp_path: Path) -> None:
    store.put(blob_id(1), ORIGIN, [b"data"])

    def remove_everything(call: str) -> None:
        if call == "fsync_directory":
            disk.script = None
            shutil.rmtree(next((tmp_path / "blobs").iterdir()))

    disk.script = remove_everything
    with pytest.raises(NodeFailed):
        store.put(blob_id(2), ORIGIN, [b"data"])
    store.put(blob_id(2), ORIGIN, [b"data"])
    assert read_all(store, blob_id(2)) == b"data"


@as_files
def test_a_file_whose_fsync_failed_is_never_published(store: BlobStore, disk: FaultyDisk, tmp_path: Path) -> None:
    disk.fail("fsync", EIO)
    with pytest.raises(NodeFailed):
        store.put(blob_id(), ORIGIN, [b"data"])
    assert disk.counts["rename"] == 0
    assert disk.counts["fsync"] == 1  # not tried again on the same file
    assert blob_files(tmp_path) == []


@as_files
def test_bytes_then_name_are_made_durable_in_this_order(store: BlobStore, disk: FaultyDisk) -> None:
    store.put(blob_id(1), ORIGIN, [b"data"])
    disk.calls.clear()
    store.put(blob_id(2), ORIGIN, [b"data"])
    assert disk.calls == ["create", "write", "fsync", "rename", "fsync_directory"]


@as_files
def test_a_delete_is_durable_before_it_is_acknowledged(store: BlobStore, disk: FaultyDisk) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    disk.calls.clear()
    store.delete(blob_id())
    assert disk.calls == ["unlink", "fsync_directory"]


def test_a_full_node_refuses_before_it_writes(tmp_path: Path) -> None:
    class FullDisk(FaultyDisk):
        def space(self, path: str) -> DiskSpace:
            return DiskSpace(capacity_bytes=1 << 30, free_bytes=1 << 20)

    disk = FullDisk()
    store = open_store(tmp_path, disk, reserve_bytes=1 << 19)
    with pytest.raises(NodeFull):
        store.put(blob_id(), ORIGIN, [bytes(1 << 19)])
    assert disk.counts["create"] == 0
    store.put(blob_id(), ORIGIN, [bytes(1 << 18)])
    store.close()


# --- deleting and listing ---------------------------------------------------------------------------------


def test_a_delete_says_whether_there_was_something(store: BlobStore) -> None:
    store.put(blob_id(), ORIGIN, [b"data"])
    assert store.delete(blob_id())
    assert not store.delete(blob_id())
    with pytest.raises(BlobNotFound):
        store.stat(blob_id())


def test_a_delete_ends_the_writes_under_way_and_no_later_ones(store: BlobStore, tmp_path: Path) -> None:
    writers = [store.begin(blob_id(), ORIGIN, 1_000_000) for _ in range(2)]
    for writer in writers:
        writer.write([bytes(1_000_000)])
    assert store.delete(blob_id())
    for writer in writers:
        with writer, pytest.raises(BlobConflict):
            store.publish(writer)
    assert not store.delete(blob_id())
    assert temporary_files(tmp_path) == blob_files(tmp_path) == []
    store.put(blob_id(), ORIGIN, [b"data"])
    assert read_all(store, blob_id()) == b"data"
    assert store._writing == {}


@as_files
def test_deleting_the_last_old_blob_of_a_directory_removes_it(store: BlobStore, tmp_path: Path) -> None:
    old = [blob_id(number, at_ms=NOW_MS - 86_400_000) for number in (1, 2)]
    for name in old:
        store.put(name, ORIGIN, [b"data"])
    store.delete(old[0])
    assert len(list((tmp_path / "blobs").rglob("*"))) == 3
    store.delete(old[1])
    assert list((tmp_path / "blobs").rglob("*")) == []
    store.put(old[0], ORIGIN, [b"data"])
    assert read_all(store, old[0]) == b"data"


def names(infos: list[BlobInfo]) -> list[str]:
    return [info.blob_id for info in infos]


def test_a_listing_is_in_time_order_and_pages_meet(store: BlobStore) -> None:
    times = [0, 1, 65_535, 65_536, 1 << 24, NOW_MS - 1, NOW_MS, (1 << 48) - 1]
    expected = [
        blob_id(number, at_ms=at_ms, segment=segment) for at_ms in times for number in (0, 1) for segment in (0, 1)
    ]
    for name in reversed(expected):
        store.put(name, ORIGIN, [b"data"])
    everything = store.list(after="", before_ms=1 << 48, limit=1000)
    assert names(everything) == expected
    assert everything[0].origin == ORIGIN
    for limit in (1, 3, 32):
        paged: list[str] = []
        while page := store.list(after=paged[-1] if paged else "", before_ms=1 << 48, limit=limit):
            assert len(page) <= limit
            paged += names(page)
        assert paged == expected
    assert names(store.list(after="", before_ms=65_536, limit=1000)) == expected[:12]


@as_files
def test_a_listing_reads_only_the_directories_it_falls_into(store: BlobStore, disk: FaultyDisk) -> None:
    for hour in range(30):
        store.put(blob_id(at_ms=NOW_MS + hour * 3_600_000), ORIGIN, [b"data"])
    looked_at: list[str] = []
    real_names = Disk.names

    def note(self: Disk, directory: str) -> list[str]:
        looked_at.append(directory)
        return real_names(self, directory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Disk, "names", note)
        page = store.list(after=blob_id(at_ms=NOW_MS + 20 * 3_600_000), before_ms=1 << 48, limit=2)
    assert len(page) == 2
    assert len(looked_at) <= 7


@as_files
def test_a_listing_leaves_out_what_is_damaged_and_what_is_no_blob(store: BlobStore, tmp_path: Path) -> None:
    for number in range(3):
        store.put(blob_id(number), ORIGIN, [b"data"])
    flip_bit(blob_files(tmp_path)[1], 0)
    for stray in (blob_files(tmp_path)[0].parent / "zzz", tmp_path / "blobs" / "zzz"):
        stray.write_text("not ours")
    assert names(store.list(after="", before_ms=1 << 48, limit=10)) == [blob_id(0), blob_id(2)]
    assert len(quarantined(tmp_path)) == 1
