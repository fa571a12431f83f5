"""Every file operation of a storage node, and nothing else: no format, no policy, no threads.

The store does no I/O but through a Disk, so that a test can put another one in its place: one that fails,
forgets what was not fsynced, or dies between two calls. All calls block and raise OSError; they are made
from worker threads.
"""

import ctypes
import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass

Buffer = bytes | bytearray | memoryview

_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h: start write-out of the dirty pages, do not wait for it
_WRITEV_BUFFERS = 512  # well under IOV_MAX (1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpace:
    """Size of a file system and what an unprivileged writer may still take of it."""

    capacity_bytes: int
    free_bytes: int


class Disk:
    """The real one. Descriptors are opaque to callers; paths are absolute strings."""

    # --- files ---

    def create(self, path: str) -> int:
        """Create a file that must not exist yet, open for appending writes."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def open(self, path: str) -> int:
        """Open an existing file for reading."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def open_appending(self, path: str) -> int:
        """Open an existing file for writes behind what it holds."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, descriptor: int, buffers: Sequence[Buffer]) -> None:
        """Append all of buffers, however many short writes that takes."""
        waiting = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        while waiting:
            written = os.writev(descriptor, waiting[:_WRITEV_BUFFERS])
            while waiting and written >= len(waiting[0]):
                written -= len(waiting[0])
                waiting.pop(0)
            if written:
                waiting[0] = waiting[0][written:]

    def read(self, descriptor: int, offset: int, size_bytes: int) -> bytes:
        """Bytes from offset; fewer than asked for only where the file ends."""
        first = os.pread(descriptor, size_bytes, offset)
        if len(first) == size_bytes or not first:
            return first
        parts = [first]
        done = len(first)
        while done < size_bytes and (part := os.pread(descriptor, size_bytes - done, offset + done)):
            parts.append(part)
            done += len(part)
        return b"".join(parts)

    def size(self, descriptor: int) -> int:
        return os.fstat(descriptor).st_size

    def modified_ms(self, descriptor: int) -> int:
        """Unix milliseconds of the last write to a file."""
        return os.fstat(descriptor).st_mtime_ns // 1_000_000

    def start_writeback(self, descriptor: int, offset: int, size_bytes: int) -> None:
        """Let the kernel begin writing a range out, so that the fsync to come finds less to do; a mere hint."""
        if _sync_file_range is not None:
            _sync_file_range(descriptor, offset, size_bytes, _SYNC_FILE_RANGE_WRITE)

    def drop_cache(self, descriptor: int) -> None:
        """Forget cached pages of a file, so that the next read asks the device; a mere hint."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def fdatasync(self, descriptor: int) -> None:
        """As fsync, but for what is not needed to read the bytes again (times); Linux only, else fsync."""
        _fdatasync(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def truncate(self, path: str, size_bytes: int) -> None:
        """Cut a file; durable with the next fsync of it."""
        os.truncate(path, size_bytes)

    def is_same_file(self, descriptor: int, path: str) -> bool:
        """Whether path still names the file that descriptor has open."""
        try:
            named = os.stat(path)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))

    # --- names ---

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def names(self, directory: str) -> list[str]:
        """Names in a directory, in no order; none when there is no such directory."""
        try:
            return os.listdir(directory)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def make_directory(self, path: str) -> None:
        """Create a directory unless it is there; its parent must exist."""
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise

    def remove_directory(self, path: str) -> bool:
        """Remove a directory if it is empty; whether it is gone."""
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def fsync_directory(self, path: str) -> None:
        """Make the names in a directory durable: those created, renamed into it, and removed from it."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    # --- the file system ---

    def lock(self, path: str) -> int | None:
        """Take the lock file at path for the life of the process (or until closed); None when another holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def space(self, path: str) -> DiskSpace:
        figures = os.statvfs(path)
        return DiskSpace(
            capacity_bytes=figures.f_blocks * figures.f_frsize, free_bytes=figures.f_bavail * figures.f_frsize
        )


def _find_sync_file_range() -> "ctypes._NamedFuncPointer | None":
    function = getattr(ctypes.CDLL(None), "sync_file_range", None)  # Linux only
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return function


_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has none
_sync_file_range = _find_sync_file_range()
