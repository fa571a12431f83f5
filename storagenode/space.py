"""How much a node may still take: the disk's free space less a reserve and what is promised to writes in flight."""

import threading

from storagenode.disk import Disk, DiskSpace
from storagenode.errors import NodeFull

_GIB = 1 << 30
_ALLOCATION_BYTES = 4096  # what a file is rounded up to by the usual file systems


def default_reserve_bytes(capacity_bytes: int) -> int:
    """1 GiB or 5 % of the disk, whichever is smaller."""
    return min(_GIB, capacity_bytes // 20)


class Promise:
    """The part of the free space that one write has yet to fill."""

    def __init__(self, space: "SpaceLedger", size_bytes: int) -> None:
        self._space = space
        self._left_bytes = size_bytes

    def spend(self, size_bytes: int) -> None:
        """Bytes written: from now on the file system counts them itself."""
        spent = min(size_bytes, self._left_bytes)
        self._left_bytes -= spent
        self._space.settle(spent)

    def release(self) -> None:
        """Give back what was not spent. Harmless when repeated."""
        self.spend(self._left_bytes)


class SpaceLedger:
    """Hands out the space of one directory's file system. Safe to use from many threads."""

    def __init__(self, disk: Disk, directory: str, reserve_bytes: int | None = None) -> None:
        self._disk = disk
        self._directory = directory
        self._lock = threading.Lock()
        self._promised_bytes = 0
        self.reserve_bytes = (
            default_reserve_bytes(disk.space(directory).capacity_bytes) if reserve_bytes is None else reserve_bytes
        )

    def measure(self) -> DiskSpace:
        """The disk's capacity, and what the node would still take of it."""
        space = self._disk.space(self._directory)
        free = space.free_bytes - self._promised_bytes - self.reserve_bytes
        return DiskSpace(capacity_bytes=space.capacity_bytes, free_bytes=max(0, free))

    def promise(self, size_bytes: int) -> Promise:
        """Hold space for a file of size_bytes until the promise is released. Raises NodeFull when it would not fit."""
        return self._promise(size_bytes, self.reserve_bytes)

    def promise_journal(self, size_bytes: int) -> Promise:
        """The same for the journal, which may use half of the reserve.

        Without it a full node could not be emptied: a delete is acknowledged when it is in the journal.
        """
        return self._promise(size_bytes, self.reserve_bytes // 2)

    def _promise(self, size_bytes: int, reserve_bytes: int) -> Promise:
        rounded = -(-size_bytes // _ALLOCATION_BYTES) * _ALLOCATION_BYTES
        # Asked outside the lock: a system call gives up the interpreter, and everybody would queue for both.
        free_bytes = self._disk.space(self._directory).free_bytes - reserve_bytes
        with self._lock:
            if free_bytes - self._promised_bytes < rounded:
                raise NodeFull(f"no room for {size_bytes} bytes above the reserve")
            self._promised_bytes += rounded
        return Promise(self, rounded)

    def settle(self, size_bytes: int) -> None:
        with self._lock:
            self._promised_bytes -= size_bytes
