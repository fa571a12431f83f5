"""The packs of one directory: which entry of an id counts, and how to read it.

An id may stand in several packs: put, deleted, put again, or copied by compaction. The packs have an order
(packformat.py) and the last word counts. A delete marks the puts of its id in all older packs as dead, in memory,
so that a look-up asks only for puts: from the newest pack on, and only those packs whose range of ids covers the
wanted one; ids are ordered by time, so these are few. The marks are made anew at start from the deletes that
the packs hold.
"""

import errno
import heapq
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from storagenode import packformat, packindex
from storagenode.descriptors import Descriptors
from storagenode.disk import Disk
from storagenode.packformat import PackName, Place, Scan
from storagenode.packindex import FileIndex, IndexDamaged, MemoryIndex

_log = logging.getLogger(__name__)


class Pack:
    """One pack file. Used from many threads; marks are made by the thread that writes entries, or under a lock."""

    def __init__(self, name: PackName, path: str, index: MemoryIndex | FileIndex, end: int) -> None:
        self.name = name
        self.path = path
        self.end = end  # behind the last entry that counts
        self.sealed = isinstance(index, FileIndex)
        self._index = index
        self._dead_keys: set[bytes] = set()
        self._dead = bytearray()
        self.dead_bytes = 0
        self.useless_deletes = (-1, 0)  # as of that many compactions, so many deletes had nothing older to hide
        self.use(index)

    @property
    def index(self) -> MemoryIndex | FileIndex:
        return self._index

    @property
    def live_bytes(self) -> int:
        """Bytes of the entries that can still be read."""
        return self._index.put_bytes - self.dead_bytes

    def use(self, index: MemoryIndex | FileIndex) -> None:
        """Replace the index by another form of the same; the marks stay."""
        dead = bytearray()
        if isinstance(index, FileIndex):
            dead = bytearray(-(-index.put_count // 8))
            for key in self._dead_keys:
                if (found := index.find(key)) is not None:
                    dead[found[0] >> 3] |= 1 << (found[0] & 7)
        self._dead, self._index = dead, index

    def find(self, key: bytes) -> Place | None:
        """Where the blob lies that counts among those of this pack. Raises IndexDamaged, OSError."""
        index = self._index
        found = index.find(key)
        return None if found is None or self._is_dead(index, found[0], key) else found[1]

    def bury(self, key: bytes) -> bool:
        """A later entry has the say over this id; whether that is news. Raises IndexDamaged, OSError."""
        index = self._index
        found = index.find(key)
        if found is None or self._is_dead(index, found[0], key):
            return False
        if isinstance(index, FileIndex):
            self._dead[found[0] >> 3] |= 1 << (found[0] & 7)
        else:
            self._dead_keys.add(key)
        self.dead_bytes += found[1].length
        return True

    def live(self, after: bytes = b"") -> Iterator[tuple[bytes, Place]]:
        """Ids above `after` that count here, in order. Raises IndexDamaged, OSError."""
        index = self._index
        for number, key, place in index.iterate_puts(after):
            if not self._is_dead(index, number, key):
                yield key, place

    def may_hold_above(self, after: bytes) -> bool:
        return not isinstance(self._index, FileIndex) or self._index.last_key > after

    def floor(self, after: bytes) -> bytes:
        """No id above `after` here is below this one."""
        return max(after, self._index.first_key) if isinstance(self._index, FileIndex) else after

    def _is_dead(self, index: MemoryIndex | FileIndex, number: int, key: bytes) -> bool:
        if isinstance(index, FileIndex):
            return bool(self._dead[number >> 3] & (1 << (number & 7)))
        return key in self._dead_keys


class PackSet:
    """All packs, oldest first. Finding and reading from many threads; changes under `lock`."""

    def __init__(self, disk: Disk, directory: str, temporary: str) -> None:
        self.disk = disk
        self.directory = directory
        self.temporary = temporary
        self.descriptors = Descriptors(disk)
        self.lock = threading.RLock()
        self.packs: tuple[Pack, ...] = ()
        self.buried: list[bytes] | None = None  # ids buried since a compaction began
        self.compactions = 0

    def path(self, name: PackName) -> str:
        return f"{self.directory}/{name}.pack"

    def find(self, key: bytes) -> tuple[Pack, Place] | None:
        """The entry that counts for an id. Raises OSError."""
        while True:
            packs = self.packs
            try:
                for pack in reversed(packs):
                    if (place := pack.find(key)) is not None:
                        return pack, place
                return None
            except (IndexDamaged, FileNotFoundError) as error:
                self.recover(packs, error)

    def bury(self, key: bytes, *, before: Pack | None = None) -> None:
        """A new entry has the say over this id, instead of those in all packs (before one). Raises OSError."""
        with self.lock:
            if self.buried is not None:
                self.buried.append(key)
            while True:
                packs = self.packs
                try:
                    for pack in packs:
                        if before is not None and pack.name == before.name:
                            break
                        pack.bury(key)
                    return
                except (IndexDamaged, FileNotFoundError) as error:
                    self.recover(packs, error)

    def holds_put(self, key: bytes, *, below: PackName) -> bool:
        """Whether a pack older than `below` has a put of an id in its file, dead or not. Raises OSError."""
        while True:
            packs = self.packs
            try:
                return any(pack.index.find(key) for pack in packs if pack.name.last < below.first)
            except (IndexDamaged, FileNotFoundError) as error:
                self.recover(packs, error)

    def walk(self, after: bytes) -> Iterator[bytes]:
        """Ids above `after` that are held, in order, each once. Raises OSError."""
        while True:
            packs = self.packs
            try:
                for key in _merged(packs, after):
                    if key > after:
                        after = key
                        yield key
                return
            except (IndexDamaged, FileNotFoundError) as error:
                self.recover(packs, error)

    def read(self, pack: Pack, place: Place) -> bytes:
        """The raw bytes of an entry. Raises OSError; FileNotFoundError also when the pack was just replaced."""
        return self.descriptors.read(pack.path, place.offset, place.length)

    def scan(self, name: PackName, *, end: int | None = None, sealed: bool) -> Scan:
        """Read a pack, up to `end`. Raises OSError, UnknownPack."""
        with self.descriptors.using(self.path(name)) as descriptor:
            image = self.disk.read(descriptor, 0, self.disk.size(descriptor) if end is None else end)
        return packformat.scan(image, name, sealed=sealed)

    def write_index(self, name: PackName, end: int, index: MemoryIndex) -> FileIndex:
        """Put an index file in its place, durable but for its name: a missing one is made again. Raises OSError."""
        temporary = f"{self.temporary}/{name}.index"
        with suppress(FileNotFoundError):
            self.disk.unlink(temporary)
        descriptor = self.disk.create(temporary)
        try:
            self.disk.write(descriptor, [packindex.make_index(name, end, index)])
            self.disk.fsync(descriptor)
        finally:
            self.disk.close(descriptor)
        path = self.index_path(name)
        self.disk.rename(temporary, path)
        self.descriptors.close(path)
        return self.load_index(name)

    def index_path(self, name: PackName) -> str:
        return f"{self.directory}/{name}.index"

    def load_index(self, name: PackName) -> FileIndex:
        """Raises IndexDamaged, OSError."""
        path = self.index_path(name)
        return FileIndex(name, lambda offset, length: self.descriptors.read(path, offset, length))

    def recover(self, packs: Sequence[Pack], error: Exception) -> None:
        """After an index failed: return when it is worth to look again. Raises OSError."""
        with self.lock:
            # From the newest on: the deletes of later packs are needed to mend an older one.
            if self.packs is packs and not sum(self._mend(pack) for pack in reversed(packs)):
                raise OSError(errno.EIO, f"an index of a pack cannot be used: {error}") from error

    def _mend(self, pack: Pack) -> bool:
        """Make the index of a pack anew if there is something wrong with it. Raises OSError."""
        if not isinstance(pack.index, FileIndex):
            return False
        try:
            self.load_index(pack.name)
            return False
        except (IndexDamaged, FileNotFoundError) as error:
            _log.error("the index of pack %s is made again: %r", pack.name, error)
        index = MemoryIndex.of(self.scan(pack.name, end=pack.end, sealed=True).entries)
        fresh = Pack(pack.name, pack.path, self.write_index(pack.name, pack.end, index), pack.end)
        at = self.packs.index(pack)
        for later in self.packs[at + 1 :]:
            for key, _place in list(later.index.iterate_deletes()):
                fresh.bury(key)
        self.packs = (*self.packs[:at], fresh, *self.packs[at + 1 :])
        return True


def _merged(packs: Sequence[Pack], after: bytes) -> Iterator[bytes]:
    """All packs' ids above `after`, in order, some more than once; reads of each pack only what is asked for."""
    waiting: list[tuple[bytes, int, bool, Iterator[tuple[bytes, Place]]]] = []
    for number, pack in enumerate(packs):
        if pack.may_hold_above(after):
            waiting.append((pack.floor(after), number, False, pack.live(after)))
    heapq.heapify(waiting)
    while waiting:
        key, number, is_id, rest = heapq.heappop(waiting)
        if is_id:
            yield key
        if (following := next(rest, None)) is not None:
            heapq.heappush(waiting, (following[0], number, True, rest))
