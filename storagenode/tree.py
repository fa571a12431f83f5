"""The directories that blob files lie in, and when a name in them is durable.

    blobs/<first 6 hex digits of the blob id>/<next 2>/<blob id>

A blob id begins with 12 hex digits of milliseconds, so a first-level directory spans 2**24 ms (4 h 40 min,
some 1,900 a year) and a second-level one 2**16 ms (66 s). Walking the tree in name order is walking it in
time order, and a page of a listing reads the names of the few directories it falls into, however many blobs
there are. All writers of the moment share one directory, so that one fsync of it serves all of them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from storagenode.disk import Disk
from storagenode.protocol import is_blob_id

_OUTER_DIGITS = 6
_INNER_DIGITS = 2
_PREFIX_DIGITS = _OUTER_DIGITS + _INNER_DIGITS

_DURABLE_LIMIT = 10_000  # directories remembered; a day of constant writing makes 1,300


class BlobTree:
    """Where the file of a blob lies, and what must be fsynced for its name to last. For many threads."""

    def __init__(self, disk: Disk, root: str) -> None:
        self._disk = disk
        self._root = root
        self._syncs = _GroupedSync(disk)
        self._lock = threading.Lock()
        self._durable: set[str] = set()  # directories whose own entry is known to be on disk
        self._users: dict[str, int] = {}  # threads between changing a name in a directory and having fsynced it

    def path(self, blob_id: str) -> str:
        return f"{self._leaf(blob_id)}/{blob_id}"

    @contextmanager
    def place(self, blob_id: str) -> Iterator[str]:
        """The path for a new blob, in a directory that exists durably and stays while the block runs."""
        leaf = self._leaf(blob_id)
        outer = self._outer(leaf)
        with self.hold(blob_id):
            self._make(outer, self._root)
            self._make(leaf, outer)
            try:
                yield f"{leaf}/{blob_id}"
            except FileNotFoundError:  # somebody else removed the directory: make it anew for the next write
                with self._lock:
                    self._durable -= {outer, leaf}
                raise

    @contextmanager
    def hold(self, blob_id: str) -> Iterator[None]:
        """Keep prune() from the directory of a blob, so that a sync to come finds it."""
        leaf = self._leaf(blob_id)
        with self._using(self._outer(leaf)), self._using(leaf):
            yield

    def sync(self, blob_id: str) -> None:
        """Make the entry of a blob durable, be it there or gone. Raises FileNotFoundError without its directory.

        To be called within place() or hold(), or another thread's prune() may remove the directory first.
        """
        self._syncs.fsync(self._leaf(blob_id))

    def prune(self, blob_id: str) -> None:
        """Remove the directory of a deleted blob if it is empty and nobody is about to use it.

        Not made durable: an empty directory that comes back after a power loss is found empty again.
        """
        leaf = self._leaf(blob_id)
        for directory in (leaf, self._outer(leaf)):
            with self._lock:
                # Removal under the lock: whoever comes next must see that the entry is no longer durable.
                if directory in self._users or not self._disk.remove_directory(directory):
                    return
                self._durable.discard(directory)

    def walk(self, after: str) -> Iterator[str]:
        """Blob ids above `after`, in order."""
        for outer in self._names(self._root, after[:_OUTER_DIGITS]):
            floor = after[_OUTER_DIGITS:_PREFIX_DIGITS] if outer == after[:_OUTER_DIGITS] else ""
            for inner in self._names(f"{self._root}/{outer}", floor):
                names = self._disk.names(f"{self._root}/{outer}/{inner}")
                yield from sorted(name for name in names if name > after and is_blob_id(name))

    def _names(self, directory: str, floor: str) -> list[str]:
        return sorted(name for name in self._disk.names(directory) if name >= floor)

    def _leaf(self, blob_id: str) -> str:
        return f"{self._root}/{blob_id[:_OUTER_DIGITS]}/{blob_id[_OUTER_DIGITS:_PREFIX_DIGITS]}"

    def _outer(self, leaf: str) -> str:
        return leaf[: -_INNER_DIGITS - 1]

    @contextmanager
    def _using(self, directory: str) -> Iterator[None]:
        with self._lock:
            self._users[directory] = self._users.get(directory, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._users[directory] -= 1
                if not self._users[directory]:
                    del self._users[directory]

    def _make(self, directory: str, parent: str) -> None:
        """Make sure of a directory and of its entry in its parent.

        One that is there already may have been made by a process that died before it fsynced the parent, so
        the first use in this process fsyncs the parent anyway. The caller holds the directory with _using.
        """
        if directory in self._durable:
            return
        self._disk.make_directory(directory)
        self._syncs.fsync(parent)
        with self._lock:
            if len(self._durable) >= _DURABLE_LIMIT:
                self._durable.clear()
            self._durable.add(directory)


class _Round:
    """One fsync of a directory and those who wait for it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: OSError | None = None
        self.succeeded = False


class _GroupedSync:
    """fsyncs of directories, one at a time for each directory: all who come while one runs share the next."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        self._running: dict[str, _Round] = {}
        self._next: dict[str, _Round] = {}

    def fsync(self, directory: str) -> None:
        """Returns when an fsync that began after this call has succeeded. Raises OSError."""
        with self._lock:
            shared = self._next.get(directory)
            mine = shared or self._next.setdefault(directory, _Round())
            running = self._running.get(directory)
        if shared is None:
            self._lead(directory, mine, running)
        else:
            shared.done.wait()
        if not mine.succeeded:
            error = mine.error or OSError("the fsync shared with another write was cut off")
            raise type(error)(*error.args)

    def _lead(self, directory: str, mine: _Round, running: _Round | None) -> None:
        if running is not None:
            running.done.wait()
        with self._lock:
            del self._next[directory]  # from here on a newcomer's change could miss this fsync
            self._running[directory] = mine
        try:
            self._disk.fsync_directory(directory)
            mine.succeeded = True
        except OSError as error:
            mine.error = error
        finally:
            with self._lock:
                del self._running[directory]
            mine.done.set()
