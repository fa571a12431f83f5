"""A disk in memory that forgets, when it crashes, whatever was not fsynced.

Contents of files, and names in directories, are kept twice: as processes see them, and as the medium holds
them. fsync copies a file's contents to the medium, fsync_directory the names of a directory; nothing else
does. A crash takes everything back to what the medium holds. That is the harshest reading of POSIX; real
file systems keep more.
"""

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


@dataclass(eq=False)
class _Directory:
    seen: dict[str, Union["_Directory", _File]] = field(default_factory=dict)
    kept: dict[str, Union["_Directory", _File]] = field(default_factory=dict)


class SimulatedDisk(Disk):
    """Starts with an empty, durable directory "/d". Crashes before its `crash_at`-th change, if that is set."""

    def __init__(self) -> None:
        top = _Directory()
        self._root = _Directory(seen={"d": top}, kept={"d": top})
        self._open: dict[int, _File] = {}
        self._numbers = iter(range(3, 1 << 30))
        self.changes = 0
        self.crash_at: int | None = None
        self.free_bytes = 1 << 40

    def crash(self) -> None:
        """Forget; the next user finds what the medium holds."""
        self._open.clear()
        self._forget(self._root)
        self.crash_at = None

    def _forget(self, directory: _Directory) -> None:
        directory.seen = dict(directory.kept)
        for entry in directory.seen.values():
            if isinstance(entry, _Directory):
                self._forget(entry)
            else:
                entry.seen = bytearray(entry.kept)

    def _change(self) -> None:
        if self.crash_at is not None and self.changes >= self.crash_at:
            raise Crash
        self.changes += 1

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

    def write(self, descriptor: int, buffers: Sequence[Buffer]) -> None:
        self._change()
        for buffer in buffers:
            self._open[descriptor].seen += buffer

    def read(self, descriptor: int, offset: int, size_bytes: int) -> bytes:
        return bytes(self._open[descriptor].seen[offset : offset + size_bytes])

    def size(self, descriptor: int) -> int:
        return len(self._open[descriptor].seen)

    def start_writeback(self, descriptor: int, offset: int, size_bytes: int) -> None:
        pass

    def drop_cache(self, descriptor: int) -> None:
        pass

    def fsync(self, descriptor: int) -> None:
        self._change()
        file = self._open[descriptor]
        file.kept = bytes(file.seen)

    def close(self, descriptor: int) -> None:
        del self._open[descriptor]

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
        parent, name = self._parent(path)
        if name not in parent.seen:
            return True
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
