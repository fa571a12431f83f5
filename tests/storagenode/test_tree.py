"""When names are durable, and who waits for which fsync."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storagenode.disk import Disk
from storagenode.tree import BlobTree
from tests.storagenode.support import NOW_MS, FaultyDisk, blob_id


class SlowDisk(Disk):
    """Directory fsyncs wait until they are let go, one by one."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.entered = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)
        self.error: OSError | None = None

    def fsync_directory(self, path: str) -> None:
        self.begun.append(path)
        self.entered.release()
        assert self.let_go.acquire(timeout=30)
        if self.error is not None:
            raise self.error


def test_created_parents_are_made_durable_once(tmp_path: Path) -> None:
    disk = FaultyDisk()
    tree = BlobTree(disk, str(tmp_path))
    for number in (1, 2):
        with tree.place(blob_id(number)) as path:
            Path(path).touch()
    assert disk.calls.count("fsync_directory") == 2
    another_process = BlobTree(disk, str(tmp_path))
    with another_process.place(blob_id(3)):
        pass
    assert disk.calls.count("fsync_directory") == 4


def test_a_directory_in_use_is_not_pruned(tmp_path: Path) -> None:
    tree = BlobTree(Disk(), str(tmp_path))
    with tree.place(blob_id(1)) as path:
        tree.prune(blob_id(1))
        Path(path).touch()
    tree.prune(blob_id(1))
    assert Path(path).exists()
    Path(path).unlink()
    tree.prune(blob_id(1))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_removed_by_somebody_else_is_made_again(tmp_path: Path) -> None:
    tree = BlobTree(Disk(), str(tmp_path))
    with tree.place(blob_id(1)) as path:
        pass
    Path(path).parent.rmdir()
    with pytest.raises(FileNotFoundError), tree.place(blob_id(1)) as path:
        Path(path).write_bytes(b"")
    with tree.place(blob_id(1)) as path:
        Path(path).touch()


def test_a_name_in_a_directory_that_is_gone_is_not_called_durable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        BlobTree(Disk(), str(tmp_path)).sync(blob_id(1))


def test_what_is_known_of_directories_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storagenode.tree._DURABLE_LIMIT", 10)
    tree = BlobTree(Disk(), str(tmp_path))
    for day in range(20):
        with tree.place(blob_id(at_ms=NOW_MS + day * 86_400_000)):
            pass
    assert len(tree._durable) <= 10


def _leaf(tmp_path: Path) -> BlobTree:
    Path(BlobTree(Disk(), str(tmp_path)).path(blob_id())).parent.mkdir(parents=True)
    return BlobTree(Disk(), str(tmp_path))


def test_those_who_come_during_an_fsync_share_the_next_one(tmp_path: Path) -> None:
    _leaf(tmp_path)
    disk = SlowDisk()
    tree = BlobTree(disk, str(tmp_path))
    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(tree.sync, blob_id(0))
        assert disk.entered.acquire(timeout=30)
        others = [threads.submit(tree.sync, blob_id(number)) for number in range(1, 6)]
        while len(tree._syncs._next) == 0:
            pass
        while sum(thread.is_alive() for thread in threads._threads) < 6:
            pass
        assert len(disk.begun) == 1
        disk.let_go.release()
        first.result(timeout=30)
        assert disk.entered.acquire(timeout=30)
        assert not any(other.done() for other in others)
        for _ in others:  # a straggler may have come after the second began, and lead a third
            disk.let_go.release()
        for other in others:
            other.result(timeout=30)
    assert 2 <= len(disk.begun) <= 3


def test_an_fsync_that_fails_fails_for_all_who_share_it(tmp_path: Path) -> None:
    _leaf(tmp_path)
    disk = SlowDisk()
    disk.error = OSError(errno.EIO, "input/output error")
    tree = BlobTree(disk, str(tmp_path))
    with ThreadPoolExecutor(4) as threads:
        outcomes = [threads.submit(tree.sync, blob_id(number)) for number in range(4)]
        for _ in outcomes:
            disk.let_go.release()
        for outcome in outcomes:
            with pytest.raises(OSError, match="input/output"):
                outcome.result(timeout=30)
