"""Open descriptors of files that are read again and again: a bounded number of them."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from storagenode.disk import Disk

_LIMIT = 512


class _Descriptor:
    def __init__(self, number: int) -> None:
        self.number = number
        self.users = 0
        self.dropped = False  # to be closed by its last user


class Descriptors:
    """Keeps files open for reading. For many threads; a descriptor is never closed under a reader."""

    def __init__(self, disk: Disk, limit: int = _LIMIT) -> None:
        self._disk = disk
        self._limit = limit
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Descriptor] = OrderedDict()  # the least recently used first

    def read(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Bytes from offset; fewer only where the file ends. Raises OSError."""
        with self.using(path) as descriptor:
            return self._disk.read(descriptor, offset, size_bytes)

    def drop_cache(self, path: str) -> None:
        """Let the next read ask the device. Raises OSError."""
        with self.using(path) as descriptor:
            self._disk.drop_cache(descriptor)

    def close(self, *paths: str) -> None:
        """Forget files that were removed, or all of them."""
        with self._lock:
            for path in paths or list(self._open):
                if (descriptor := self._open.pop(path, None)) is not None:
                    self._drop(descriptor)

    @contextmanager
    def using(self, path: str) -> Iterator[int]:
        """A descriptor that stays open while the block runs. Raises OSError."""
        descriptor = self._take(path)
        try:
            yield descriptor.number
        finally:
            with self._lock:
                descriptor.users -= 1
                if descriptor.dropped:
                    self._drop(descriptor)

    def _take(self, path: str) -> _Descriptor:
        with self._lock:
            descriptor = self._open.get(path)
            if descriptor is None:
                descriptor = self._open[path] = _Descriptor(self._disk.open(path))
                if len(self._open) > self._limit:
                    self._drop(self._open.popitem(last=False)[1])
            else:
                self._open.move_to_end(path)
            descriptor.users += 1
            return descriptor

    def _drop(self, descriptor: _Descriptor) -> None:
        descriptor.dropped = True
        if not descriptor.users:
            with suppress(OSError):
                self._disk.close(descriptor.number)
