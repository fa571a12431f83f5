"""A disk in memory that forgets, when it crashes, whatever was not fsynced.

Contents of files, and names in directories, are kept twice: as processes see them, and as the medium holds
them. fsync copies a file's contents to the medium, fsync_directory the names of a directory; nothing else
does. A crash takes everything back to what the medium holds. That is the harshest reading of POSIX; real
file systems keep more, which a torn crash imitates: of each file's unsynced end some sectors have reached the
medium, and of each directory all changes or none.

A call can also fail. A write that fails has written half; what an fsync that failed was to make durable can
still be read, but no later fsync makes it durable (as on Linux).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Union

from storagenode.disk import Buffer, Disk, DiskSpace


class Crash(BaseException):
    """The machine lost power. No exception that any code under test could handle."""


@dataclass(eq=False)
class _File:
    seen: bytearray = field(default_factory=bytearray)
    kept: bytes = b""
    lost: list[slice] = field(default_factory=list)  # what a failed fsync dropped


@dataclass(eq=False)
class _Directory:
    seen: dict[str, Union["_Directory", _File]] = field(default_factory=dict)
    kept: dict[str, Union["_Directory", _File]] = field(default_factory=dict)


_SECTOR_BYTES = 512


class SimulatedDisk(Disk):
    """Starts with an empty, durable directory "/d". Crashes before its `crash_at`-th change, if that is set.

    The `fail_at`-th change fails with `failure`, if that is set.
    """

    def __init__(self) -> None:
        top = _Directory()
        self._root = _Directory(seen={"d": top}, kept={"d": top})
        self._open: dict[int, _File] = {}
        self._numbers = iter(range(3, 1 << 30))
        self.changes = 0
        self.crash_at: int | None = None
        self.fail_at: int | None = None
        self.failure = OSError(5, "Input/output error")
        self.free_bytes = 1 << 40

    def stop(self) -> None:
        """The process ends, the machine goes on: nothing is forgotten."""
        self._open.clear()
        self.crash_at = self.fail_at = None

    def crash(self, torn: random.Random | None = None, *, scattered: bool = False) -> None:
        """Forget; the next user finds what the medium holds. With `torn`, chance decides what had reached it.

        `scattered`: it decides for each name by itself, and not for each directory.
        """
        self.stop()
        self._forget(self._root, torn, scattered)

    def _forget(self, directory: _Directory, torn: random.Random | None, scattered: bool) -> None:
        if torn is not None and scattered:
            for name in sorted({*directory.kept, *directory.seen}):
                if torn.random() < 0.5:
                    _keep_name(directory, name)
        elif torn is not None and torn.random() < 0.5:
            directory.kept = dict(directory.seen)
        directory.seen = dict(directory.kept)
        for entry in directory.seen.values():
            if isinstance(entry, _Directory):
                self._forget(entry, torn, scattered)
            else:
                if torn is not None:
                    entry.kept = _torn(entry, torn)
                entry.seen = bytearray(entry.kept)
                entry.lost.clear()

    def content(self, path: str) -> bytes:
        """What a file holds at the moment."""
        file = self._find(path)
        assert isinstance(file, _File)
        return bytes(file.seen)

    def set_content(self, path: str, content: bytes) -> None:
        """Have a file hold something else, durably: damage."""
        file = self._find(path)
        assert isinstance(file, _File)
        file.seen, file.kept = bytearray(content), content

    def _change(self) -> None:
        if self.crash_at is not None and self.changes >= self.crash_at:
            raise Crash
        self.changes += 1
        if self.changes - 1 == self.fail_at:
            raise self.failure

    def _find(self, path: str) -> _Directory | _File:
        entry: _Directory | _File = self._root
        for name in filter(None, path.split("/")):
            if not isinstance(entry, _Directory):
                raise NotADirectoryError(20, path)
            if name not in entry.seen:
                raise FileNotFoundError(2, path)
            entry = entry.seen[name]
        return entry

    def _directory(self, path: str) -> _Directory:
        entry = self._find(path)
        assert isinstance(entry, _Directory)
        return entry

    def _parent(self, path: str) -> tuple[_Directory, str]:
        parent, _, name = path.rpartition("/")
        return self._directory(parent), name

    def _opened(self, file: _File) -> int:
        descriptor = next(self._numbers)
        self._open[descriptor] = file
        return descriptor

    def create(self, path: str) -> int:
        self._change()
        parent, name = self._parent(path)
        if name in parent.seen:
            raise FileExistsError(17, path)
        file = parent.seen[name] = _File()
        return self._opened(file)

    def open(self, path: str) -> int:
        file = self._find(path)
        assert isinstance(file, _File)
        return self._opened(file)

    def open_appending(self, path: str) -> int:
        return self.open(path)

    def write(self, descriptor: int, buffers: Sequence[Buffer]) -> None:
        whole = b"".join(buffers)
        try:
            self._change()
        except OSError:
            self._open[descriptor].seen += whole[: len(whole) // 2]
            raise
        self._open[descriptor].seen += whole

    def read(self, descriptor: int, offset: int, size_bytes: int) -> bytes:
        return bytes(self._open[descriptor].seen[offset : offset + size_bytes])

    def size(self, descriptor: int) -> int:
        return len(self._open[descriptor].seen)

    def modified_ms(self, descriptor: int) -> int:
        return 0

    def start_writeback(self, descriptor: int, offset: int, size_bytes: int) -> None:
        pass

    def drop_cache(self, descriptor: int) -> None:
        pass

    def fsync(self, descriptor: int) -> None:
        file = self._open[descriptor]
        try:
            self._change()
        except OSError:
            file.lost.append(slice(len(file.kept), len(file.seen)))
            raise
        file.kept = _durable(file)

    def fdatasync(self, descriptor: int) -> None:
        self.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)  # gone already when a crash came between

    def truncate(self, path: str, size_bytes: int) -> None:
        self._change()
        file = self._find(path)
        assert isinstance(file, _File)
        del file.seen[size_bytes:]
        file.lost = [slice(lost.start, min(lost.stop, size_bytes)) for lost in file.lost if lost.start < size_bytes]

    def is_same_file(self, descriptor: int, path: str) -> bool:
        try:
            return self._find(path) is self._open[descriptor]
        except FileNotFoundError:
            return False

    def rename(self, source: str, target: str) -> None:
        self._change()
        parent, name = self._parent(source)
        new_parent, new_name = self._parent(target)
        new_parent.seen[new_name] = parent.seen.pop(name)

    def unlink(self, path: str) -> None:
        self._change()
        parent, name = self._parent(path)
        if name not in parent.seen:
            raise FileNotFoundError(2, path)
        del parent.seen[name]

    def exists(self, path: str) -> bool:
        try:
            self._find(path)
        except FileNotFoundError:
            return False
        return True

    def names(self, directory: str) -> list[str]:
        try:
            return list(self._directory(directory).seen)
        except FileNotFoundError:
            return []

    def make_directory(self, path: str) -> None:
        parent, name = self._parent(path)
        if name not in parent.seen:
            self._change()
            parent.seen[name] = _Directory()

    def remove_directory(self, path: str) -> bool:
        if not self.exists(path):
            return True
        parent, name = self._parent(path)
        if self._directory(path).seen:
            return False
        self._change()
        del parent.seen[name]
        return True

    def fsync_directory(self, path: str) -> None:
        self._change()
        directory = self._directory(path)
        directory.kept = dict(directory.seen)

    def lock(self, path: str) -> int | None:
        return next(self._numbers)

    def space(self, path: str) -> DiskSpace:
        return DiskSpace(capacity_bytes=1 << 40, free_bytes=self.free_bytes)


def _keep_name(directory: _Directory, name: str) -> None:
    """Have what became of a name reach the medium."""
    if name in directory.seen:
        directory.kept[name] = directory.seen[name]
    else:
        directory.kept.pop(name, None)


def _durable(file: _File) -> bytes:
    """What an fsync makes of a file."""
    durable = bytearray(file.seen)
    for lost in file.lost:
        durable[lost] = bytes(lost.stop - lost.start)
    return bytes(durable)


def _torn(file: _File, chance: random.Random) -> bytes:
    """A file of which some of the unsynced sectors reached the medium, and its new size or a part of it."""
    whole = _durable(file)
    if len(whole) < len(file.kept):  # it was cut, and perhaps the cut is forgotten
        return file.kept if chance.random() < 0.5 else whole
    first = len(file.kept)
    found = bytearray(whole[: chance.randint(first, len(whole))] if len(whole) > first else whole)
    for start in range(first // _SECTOR_BYTES * _SECTOR_BYTES, len(found), _SECTOR_BYTES):
        if chance.random() < 0.3:
            sector = slice(max(start, first), min(start + _SECTOR_BYTES, len(found)))
            found[sector] = bytes(sector.stop - sector.start)
    return bytes(found)
