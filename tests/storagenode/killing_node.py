"""A real storage node that kills itself with SIGKILL before a chosen change of its disk.

    python -m tests.storagenode.killing_node DIRECTORY STEP

counts changes from the moment that it listens; STEP 0 dies before the first one.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence

from storagenode.app import run_node
from storagenode.disk import Buffer, Disk
from storagenode.settings import NodeSettings
from tests.storagenode.support import SECRET


class KillingDisk(Disk):
    """Set `step` to begin counting."""

    def __init__(self) -> None:
        self.step: int | None = None
        self._lock = threading.Lock()

    def _change(self) -> None:
        with self._lock:
            if self.step is None:
                return
            if self.step == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.step -= 1

    def create(self, path: str) -> int:
        self._change()
        return super().create(path)

    def write(self, descriptor: int, buffers: Sequence[Buffer]) -> None:
        self._change()
        super().write(descriptor, buffers)

    def fsync(self, descriptor: int) -> None:
        self._change()
        super().fsync(descriptor)

    def fdatasync(self, descriptor: int) -> None:
        self._change()
        super().fdatasync(descriptor)

    def truncate(self, path: str, size_bytes: int) -> None:
        self._change()
        super().truncate(path, size_bytes)

    def rename(self, source: str, target: str) -> None:
        self._change()
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self._change()
        super().unlink(path)

    def make_directory(self, path: str) -> None:
        self._change()
        super().make_directory(path)

    def fsync_directory(self, path: str) -> None:
        self._change()
        super().fsync_directory(path)


class _ReadyLine:
    """Standard output: the line that says that the node listens begins the count."""

    def __init__(self, disk: KillingDisk, step: int) -> None:
        self._disk = disk
        self._step = step

    def write(self, text: str) -> int:
        if "listening" in text:
            self._disk.step = self._step
        return sys.__stdout__.write(text) if sys.__stdout__ else 0

    def flush(self) -> None:
        if sys.__stdout__:
            sys.__stdout__.flush()


def main() -> None:
    directory, step = sys.argv[1:]
    disk = KillingDisk()
    sys.stdout = _ReadyLine(disk, int(step))
    run_node(
        NodeSettings(directory=directory, secret=SECRET, redis_host="unix:/nowhere", parent_pid=os.getppid()),
        disk=disk,
    )


if __name__ == "__main__":
    main()
