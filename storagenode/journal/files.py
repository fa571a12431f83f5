"""Where the files of the journal lie, and small files that are there whole or not at all.

    DIR/journal/promise            the epoch promised
    DIR/journal/segments/          <segment id>.log (segment_format.py), <segment id>.seal
    DIR/journal/manifests/<name>
    DIR/journal/tmp/               files being written; whatever is here at start was never acknowledged

A small file ("document") is one frame (journal_protocol.py), twice: at the start and at the next multiple of 4,096
bytes behind it, so that one damaged sector does not cost it.
"""

import errno
import itertools
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress

from storagenode import journal_protocol as protocol
from storagenode.disk import Buffer, Disk
from storagenode.journal_protocol import Frame, FrameDamaged, FrameKind

_log = logging.getLogger(__name__)

_SECTOR_BYTES = 4096
_PAGE_BYTES = 1024 * 1024

LOG_SUFFIX = ".log"
SEAL_SUFFIX = ".seal"


class DocumentDamaged(Exception):
    """Neither copy in a document's file is what was written."""


class JournalFiles:
    """The files below DIR/journal. All methods block and raise OSError; for many threads."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self.disk = disk
        self._root = f"{directory}/journal"
        self._temporary = f"{self._root}/tmp"
        self.segments = f"{self._root}/segments"
        self.manifests = f"{self._root}/manifests"
        self.promise_path = f"{self._root}/promise"
        self._numbers = itertools.count()  # of temporary files
        disk.make_directory(self._root)
        disk.fsync_directory(directory)
        for path in (self.segments, self.manifests, self._temporary):
            disk.make_directory(path)
        # Also of what was there: a process that ended between a rename and its fsync left names that can still be
        # lost, and from now on they are told to everybody.
        for path in (self._root, self.segments, self.manifests):
            disk.fsync_directory(path)
        for name in disk.names(self._temporary):
            disk.unlink(f"{self._temporary}/{name}")

    def log_path(self, segment_id: str) -> str:
        return f"{self.segments}/{segment_id}{LOG_SUFFIX}"

    def seal_path(self, segment_id: str) -> str:
        return f"{self.segments}/{segment_id}{SEAL_SUFFIX}"

    def replace(self, path: str, pieces: Iterable[Sequence[Buffer]]) -> None:
        """Put a file of these pieces in the place of any older one, durably."""
        temporary = f"{self._temporary}/{next(self._numbers)}"
        descriptor = self.disk.create(temporary)
        try:
            try:
                for piece in pieces:
                    self.disk.write(descriptor, piece)
                self.disk.fsync(descriptor)  # a name must never stand for bytes that a power loss can take back
            finally:
                self.disk.close(descriptor)
            self.disk.rename(temporary, path)
        except OSError:
            with suppress(OSError):  # else it is wiped at the next start
                self.disk.unlink(temporary)
            raise
        self.disk.fsync_directory(path.rpartition("/")[0])

    def remove(self, path: str) -> bool:
        """Remove a file durably; whether there was one."""
        existed = True
        try:
            self.disk.unlink(path)
        except FileNotFoundError:
            existed = False  # the unlink of an earlier, interrupted call may not be durable yet
        self.disk.fsync_directory(path.rpartition("/")[0])
        return existed

    def write_document(self, path: str, owner: str, kind: FrameKind, sequence: int, payload: bytes) -> None:
        """Store a document in the place of any older one, durably."""
        frame = protocol.make_frame(protocol.owner_seed(owner), kind, sequence, payload)
        self.replace(path, [[frame, bytes(-len(frame) % _SECTOR_BYTES), frame]])

    def read_document(self, path: str, owner: str, kind: FrameKind) -> Frame | None:
        """A document, or None when there is none. Raises DocumentDamaged."""
        try:
            content = self.read_all(path)
        except FileNotFoundError:
            return None
        seed = protocol.owner_seed(owner)
        for start in range(0, len(content), _SECTOR_BYTES):
            try:
                frame = protocol.parse_frame(seed, content, start)
            except FrameDamaged:
                continue
            if frame.kind is kind:
                if start:
                    _log.warning("%s: the first copy is damaged", path)
                return frame
        raise DocumentDamaged(path)

    def read_all(self, path: str) -> bytes:
        descriptor = self.disk.open(path)
        try:
            size_bytes = self.disk.size(descriptor)
            return b"".join(
                read_around(self.disk, descriptor, at, min(_PAGE_BYTES, size_bytes - at))
                for at in range(0, size_bytes, _PAGE_BYTES)
            )
        finally:
            self.disk.close(descriptor)


def read_around(disk: Disk, descriptor: int, offset: int, size_bytes: int) -> bytes:
    """As Disk.read, with zeros for the sectors that the device cannot read: checksums find them out as damage."""
    try:
        return disk.read(descriptor, offset, size_bytes)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    end = min(offset + size_bytes, disk.size(descriptor))
    return b"".join(_read_sector(disk, descriptor, at, end) for at in _sectors(offset, end))


def _sectors(offset: int, end: int) -> list[int]:
    first = (offset // _SECTOR_BYTES + 1) * _SECTOR_BYTES
    return [offset, *range(first, end, _SECTOR_BYTES)]


def _read_sector(disk: Disk, descriptor: int, offset: int, end: int) -> bytes:
    size_bytes = min((offset // _SECTOR_BYTES + 1) * _SECTOR_BYTES, end) - offset
    try:
        return disk.read(descriptor, offset, size_bytes)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        _log.error("%d bytes at offset %d cannot be read: %r", size_bytes, offset, error)
        return bytes(size_bytes)
