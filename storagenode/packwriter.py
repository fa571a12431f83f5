"""Appends to the open pack: one thread takes all that waits, writes it at once, and one fdatasync serves all.

After a write or an fsync has failed nobody knows what of it the file holds, and a second fsync would report success
about nothing (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). So the pack is cut
to its last good offset and never appended to again. Should the cut fail too, a later start may still find the
entries that were refused: ids of such entries are remembered, deleting one writes a delete entry although none is
known, and putting one writes a new entry although one is known.
"""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from storagenode import packformat
from storagenode.blobfile import Damaged
from storagenode.disk import Buffer
from storagenode.errors import BlobConflict, NodeError, NodeFailed, disk_errors
from storagenode.packformat import HEADER_BYTES, Kind, PackName, Place
from storagenode.packindex import MemoryIndex
from storagenode.packset import Pack, PackSet
from storagenode.protocol import StoredBlob
from storagenode.space import Promise

_log = logging.getLogger(__name__)

_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_ENTRIES = 1024


@dataclass(slots=True, kw_only=True, eq=False)
class Put:
    """A blob to be written."""

    key: bytes
    origin: bytes
    pieces: Sequence[Buffer]
    size_bytes: int
    digest: bytes
    promise: Promise
    condemned: Callable[[], bool]  # it was deleted meanwhile
    replaces: bool = False  # a damaged entry
    future: "Future[StoredBlob]" = field(default_factory=Future)

    @property
    def entry_bytes(self) -> int:
        return packformat.entry_bytes(len(self.origin), self.size_bytes)

    @property
    def stored(self) -> StoredBlob:
        return StoredBlob(size_bytes=self.size_bytes, digest=self.digest)

    def is_same(self, origin: bytes, size_bytes: int, digest: bytes) -> bool:
        return (self.origin, self.size_bytes, self.digest) == (origin, size_bytes, digest)


@dataclass(slots=True, kw_only=True, eq=False)
class Delete:
    """An id to be forgotten: whatever counts for it, or one entry only (the name of its pack, its offset)."""

    key: bytes
    only: tuple[PackName, int] | None = None
    future: "Future[bool]" = field(default_factory=Future)

    entry_bytes = packformat.ENTRY_OVERHEAD_BYTES


@dataclass(slots=True, kw_only=True)
class _Batch:
    """What one write makes durable, and the answers that wait for it."""

    entries: list[Put | Delete] = field(default_factory=list)
    staged: dict[bytes, Put | Delete] = field(default_factory=dict)  # the last of each id
    answers: list[tuple[Put | Delete, Any, bool]] = field(default_factory=list)  # True: only once it is durable

    def append(self, operation: Put | Delete) -> None:
        self.entries.append(operation)
        self.staged[operation.key] = operation


class PackWriter:
    """The one writer of a PackSet. `held(pack, place, put)` and `elsewhere(put)` say whether a blob is here already,
    in a pack or in another form; they raise BlobConflict when it is another blob.
    """

    def __init__(
        self,
        packs: PackSet,
        *,
        clock_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        held: Callable[[Pack, Place, Put], bool],
        elsewhere: Callable[[Put], bool],
        sealed: Callable[[], None],
        pack_bytes: int,
        pack_entries: int,
    ) -> None:
        self._packs = packs
        self._disk = packs.disk
        self._clock_ms = clock_ms
        self._random_bytes = random_bytes
        self._held = held
        self._elsewhere = elsewhere
        self._sealed = sealed
        self._pack_bytes = pack_bytes
        self._pack_entries = pack_entries
        self._next_number = max((pack.name.last for pack in packs.packs), default=0) + 1
        self._open: Pack | None = None
        self._descriptor: int | None = None
        self._doubtful: set[bytes] = set()
        self._waiting: queue.SimpleQueue[tuple[Put | Delete, ...] | None] = queue.SimpleQueue()  # None: stop
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, *operations: Put | Delete) -> None:
        """Have operations done by one write; their futures tell the outcomes, NodeErrors for failures.

        Does not block. Raises RuntimeError when closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("the pack writer is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pack-writer", daemon=True)
                self._thread.start()
            for operation in operations:
                operation.future.set_running_or_notify_cancel()  # from here on nobody can cancel it
            self._waiting.put(operations)

    def close(self) -> None:
        """Returns when all that was submitted is done and the open pack is sealed: the next start knows it whole."""
        with self._lock:
            self._closed = True
            thread = self._thread
            self._waiting.put(None)
        if thread is not None:
            thread.join()
        if self._open is not None:
            self._seal()

    def _run(self) -> None:
        stop = False
        while not stop:
            operations, stop = self._take()
            try:
                self._commit(operations)
            except Exception as error:  # noqa: BLE001 - a thread that ended would leave everybody waiting
                _log.exception("entries of packs could not be written")
                self._doubtful.update(operation.key for operation in operations)
                self._abandon()  # whatever the file holds now, nothing may be appended to it
                _answer([(operation, NodeFailed(repr(error)), True) for operation in operations])
            except BaseException as error:  # noqa: BLE001 - its callers' to handle
                self._die(error, operations)
                return

    def _die(self, error: BaseException, operations: Sequence[Put | Delete]) -> None:
        """Nothing is written any more, and everybody who waits hears of it."""
        with self._lock:
            self._closed = True
        self._open = None
        self._close_file()
        with suppress(queue.Empty):
            while True:
                operations = [*operations, *(self._waiting.get(block=False) or ())]
        _answer([(operation, error, True) for operation in operations])

    def _take(self) -> tuple[list[Put | Delete], bool]:
        """Everything that waits, but no more than one write should carry."""
        taken: list[Put | Delete] = []
        size_bytes = 0
        while size_bytes < _BATCH_BYTES and len(taken) < _BATCH_ENTRIES:
            try:
                operations = self._waiting.get(block=not taken)
            except queue.Empty:
                break
            if operations is None:
                return taken, True
            taken += operations
            size_bytes += sum(operation.entry_bytes for operation in operations)
        return taken, False

    def _commit(self, operations: Sequence[Put | Delete]) -> None:
        batch = _Batch()
        for operation in operations:
            try:
                with disk_errors():
                    self._stage(batch, operation)
            except NodeError as error:
                batch.answers.append((operation, error, False))
        if batch.entries:
            try:
                with disk_errors():
                    self._write(batch)
            except NodeError as error:
                self._doubtful.update(batch.staged)
                batch.answers = [(one, error if durable else answer, durable) for one, answer, durable in batch.answers]
                self._abandon()
        _answer(batch.answers)
        if self._open is not None and (
            self._open.end >= self._pack_bytes or len(self._open.index) >= self._pack_entries
        ):
            self._seal()

    def _stage(self, batch: _Batch, operation: Put | Delete) -> None:
        """Decide on one operation. Raises NodeError."""
        earlier = batch.staged.get(operation.key)
        if isinstance(operation, Delete):
            exists = self._is_there(operation, earlier)
            if exists or (operation.only is None and operation.key in self._doubtful):
                batch.append(operation)
            batch.answers.append((operation, exists, operation.key in batch.staged))
            return
        if operation.condemned():
            raise BlobConflict(f"{packformat.id_of(operation.key)} was deleted while it was written")
        if isinstance(earlier, Put):
            if not operation.is_same(earlier.origin, earlier.size_bytes, earlier.digest):
                raise conflict(operation.key)
        elif earlier is not None or not self._is_held(operation):
            batch.append(operation)
        batch.answers.append((operation, operation.stored, operation.key in batch.staged))

    def _is_there(self, delete: Delete, earlier: Put | Delete | None) -> bool:
        if earlier is not None:
            return delete.only is None and isinstance(earlier, Put)
        found = self._packs.find(delete.key)
        return found is not None and (delete.only is None or delete.only == (found[0].name, found[1].offset))

    def _is_held(self, put: Put) -> bool:
        if self._elsewhere(put):
            return True
        found = self._packs.find(put.key)
        put.replaces = found is not None
        return found is not None and self._held(*found, put) and put.key not in self._doubtful

    def _write(self, batch: _Batch) -> None:
        """Append the entries, durably, and only then let them be found. Raises OSError."""
        buffers: list[Buffer] = []
        fresh = self._open is None
        pack = self._open = self._open or self._create(buffers)
        name, start = pack.name, pack.end
        places: list[Place] = []
        end, now_ms = start, self._clock_ms()
        for operation in batch.entries:
            buffers += _entry(operation, name, end, batch=start, now_ms=now_ms)
            places.append(Place(offset=end, length=operation.entry_bytes))
            end += operation.entry_bytes
        assert self._descriptor is not None
        self._disk.write(self._descriptor, buffers)
        for operation in batch.entries:
            if isinstance(operation, Put):
                operation.promise.release()  # from now on the file system counts it
        self._disk.fdatasync(self._descriptor)
        if fresh:
            self._disk.fsync_directory(self._packs.directory)
        pack.end = end
        self._apply(pack, batch, places)

    def _create(self, buffers: list[Buffer]) -> Pack:
        """A new pack, to be begun with `buffers`. Raises OSError."""
        number, salt = self._next_number, int.from_bytes(self._random_bytes(8))
        name = PackName(first=number, last=number, generation=0, salt=salt)
        path = self._packs.path(name)
        self._descriptor = self._disk.create(path)
        self._next_number += 1
        buffers.append(packformat.make_header(name))
        return Pack(name, path, MemoryIndex(), HEADER_BYTES)

    def _apply(self, pack: Pack, batch: _Batch, places: Sequence[Place]) -> None:
        index = pack.index
        assert isinstance(index, MemoryIndex)
        with self._packs.lock:
            if pack not in self._packs.packs:
                self._packs.packs = (*self._packs.packs, pack)
            for operation, place in zip(batch.entries, places, strict=True):
                index.add(Kind.PUT if isinstance(operation, Put) else Kind.DELETE, operation.key, place)
            # The new entries first, then the end of older ones: who looks for a mended blob finds it all the time.
            for operation in batch.entries:
                if isinstance(operation, Delete) or operation.replaces:
                    self._bury(batch, operation, pack)

    def _bury(self, batch: _Batch, operation: Put | Delete, pack: Pack) -> None:
        try:
            with disk_errors():
                self._packs.bury(operation.key, before=pack)
        except NodeError as error:
            self._doubtful.add(operation.key)
            batch.answers = [(one, error if one is operation else answer, late) for one, answer, late in batch.answers]

    def _seal(self) -> None:
        """End the open pack: what follows says that all before it was durable."""
        pack = self._open
        assert pack is not None
        with suppress(OSError):  # without the mark nothing is lost but a doubt about a torn end
            entry = packformat.make_entry(
                pack.name, pack.end, kind=Kind.END, key=bytes(20), time_ms=self._clock_ms(), batch=pack.end
            )
            if self._descriptor is not None:
                self._disk.write(self._descriptor, entry)
                self._disk.fdatasync(self._descriptor)
        self._retire(pack)

    def _abandon(self) -> None:
        """Cut the open pack to what is known to be durable, and never append to it again."""
        pack = self._open
        if pack is None:
            return
        _log.error("pack %s failed behind byte %d and is given up for writing", pack.name, pack.end)
        try:
            if pack in self._packs.packs:
                self._disk.truncate(pack.path, pack.end)
                if self._descriptor is not None:
                    self._disk.fsync(self._descriptor)
            else:
                self._disk.unlink(pack.path)
        except OSError as error:
            _log.error("pack %s may still hold what was refused: %r", pack.name, error)
        self._retire(pack)

    def _retire(self, pack: Pack) -> None:
        self._open = None
        self._close_file()
        pack.sealed = True
        self._sealed()

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                self._disk.close(descriptor)


def conflict(key: bytes) -> BlobConflict:
    return BlobConflict(f"{packformat.id_of(key)} is held with other bytes or another origin")


def is_held(raw: bytes, pack: Pack, place: Place, put: Put) -> bool:
    """Whether the entry `raw` is the blob of a put. Raises BlobConflict, Damaged."""
    prefix, _payload = packformat.parse_entry(memoryview(raw), pack.name, place.offset)
    if prefix.key != put.key:
        raise Damaged("the entry of another blob")
    if not put.is_same(prefix.origin, prefix.size_bytes, prefix.digest):
        raise conflict(put.key)
    return True


def _entry(operation: Put | Delete, name: PackName, offset: int, *, batch: int, now_ms: int) -> list[Buffer]:
    if isinstance(operation, Delete):
        return packformat.make_entry(name, offset, kind=Kind.DELETE, key=operation.key, time_ms=now_ms, batch=batch)
    return packformat.make_entry(
        name,
        offset,
        kind=Kind.PUT,
        key=operation.key,
        time_ms=now_ms,
        batch=batch,
        origin=operation.origin,
        pieces=operation.pieces,
        size_bytes=operation.size_bytes,
        digest=operation.digest,
    )


def _answer(answers: Sequence[tuple[Put | Delete, Any, bool]]) -> None:
    for operation, answer, _durable in answers:
        if operation.future.done():
            continue
        if isinstance(answer, BaseException):
            # Each gets an exception of its own: they are raised in different threads.
            own = type(answer)(*answer.args)
            own.__cause__ = answer.__cause__
            operation.future.set_exception(own)
        else:
            operation.future.set_result(answer)
