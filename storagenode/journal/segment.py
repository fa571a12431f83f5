"""One segment of the journal on one node: a file of entries, and perhaps its seal in a file of its own.

Written by one thread at a time, read by many. Nothing is acknowledged before its fsync. After a write or an fsync
that failed the file is not appended to again: the kernel may have dropped the dirty pages, and the next fsync would
report success about nothing (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
What was acknowledged before stays readable.
"""

import errno
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from storagenode import journal_protocol as protocol
from storagenode.errors import NodeFailed, disk_errors
from storagenode.journal import segment_format
from storagenode.journal.files import DocumentDamaged, JournalFiles, read_around
from storagenode.journal.segment_format import MARK_BYTES, SegmentContents
from storagenode.journal_protocol import Frame, FrameKind, Seal, SegmentHeader, SegmentStatus

_log = logging.getLogger(__name__)

_PAGE_BYTES = 1024 * 1024


class SegmentUnreadable(Exception):
    """A file that should be a segment's, without a header to tell what it is. It stays where it is."""


class Segment:
    """Made by create() or open_segment()."""

    def __init__(
        self, files: JournalFiles, header: SegmentHeader, contents: SegmentContents, *, failure: str = ""
    ) -> None:
        self.header = header
        self.seal: Seal | None = None
        self._seal_damaged = False
        self._files = files
        self._path = files.log_path(header.segment_id)
        self._seed = protocol.owner_seed(header.segment_id)
        self._descriptor: int | None = None  # for appending
        self._failure = failure  # why there are no more appends to the file
        # What readers see. Changed together, after the fsync.
        self._lock = threading.Lock()
        self._end = contents.end
        self._last_sequence = contents.last_sequence
        self._watermark = contents.watermark
        self._damaged = contents.damaged
        self._index = contents.index

    @property
    def last_sequence(self) -> int:
        """The last durable one."""
        return self._last_sequence

    def status(self) -> SegmentStatus:
        with self._lock:
            return SegmentStatus(
                header=self.header,
                last_sequence=self._last_sequence,
                watermark=self._watermark,
                seal=self.seal,
                damaged=self._damaged or self._seal_damaged,
            )

    def check_appendable(self) -> None:
        """Raises NodeFailed when the file takes no more entries."""
        if self._failure:
            raise NodeFailed(f"segment {self.header.segment_id} takes no more entries here: {self._failure}")

    def append(self, frames: Sequence[Frame], watermark: int) -> None:
        """Write entries that follow the last one, and fsync them. Raises NodeFull, NodeFailed."""
        self.check_appendable()
        watermark = max(watermark, self._watermark)
        with disk_errors():
            descriptor = self._open_for_appending()
            try:
                self._files.disk.write(descriptor, [frame.raw for frame in frames])
                self._files.disk.fdatasync(descriptor)
                if not self._files.disk.is_same_file(descriptor, self._path):
                    raise FileNotFoundError(errno.ENOENT, "the file was removed", self._path)
            except BaseException as error:  # whatever it was: nobody knows what the file holds now
                self.fail(f"an earlier write failed: {error!r}")
                raise
        with self._lock:
            for frame in frames:
                self._index.note(frame.sequence, self._end)
                self._end += len(frame.raw)
            self._last_sequence = frames[-1].sequence
            self._watermark = watermark
        self._mark(descriptor)

    def raise_watermark(self, watermark: int) -> None:
        """Note a watermark without entries; not made durable before the next append. Raises NodeFull, NodeFailed."""
        if watermark <= self._watermark:
            return
        self.check_appendable()
        with disk_errors():
            descriptor = self._open_for_appending()
        with self._lock:
            self._watermark = watermark
        self._mark(descriptor)
        self.check_appendable()

    def read(self, after: int, limit_bytes: int) -> list[Frame]:
        """Durable entries above `after`, of about limit_bytes, at least one if there is one. Raises NodeFailed."""
        with self._lock:
            start, end, damaged = self._index.find(after + 1), self._end, self._damaged
        found: list[Frame] = []
        size_bytes = 0
        with disk_errors():
            descriptor = self._files.disk.open(self._path)
            try:
                for frame, _ in segment_format.find_frames(
                    lambda at, size: read_around(self._files.disk, descriptor, at, size), self._seed, start, end
                ):
                    if frame is None:
                        damaged = True
                    elif frame.kind is FrameKind.ENTRY and frame.sequence > after:
                        if found and size_bytes + len(frame.raw) > limit_bytes:
                            break
                        found.append(frame)
                        size_bytes += len(frame.raw)
            finally:
                self._files.disk.close(descriptor)
        if damaged:
            self.mark_damaged()
        return found

    def write_seal(self, seal: Seal) -> None:
        """Store a seal durably in the place of an older one. Raises OSError; then it may be stored or not."""
        name = self.header.segment_id
        try:
            self._files.write_document(
                self._files.seal_path(name), name, FrameKind.SEAL, seal.end_sequence, protocol.pack_seal(seal)
            )
        except OSError:
            # Sealed or not: appends must count on it, and a seal that can be seen must be told.
            self.load_seal()
            raise
        self.seal = seal
        self._seal_damaged = False
        self.close()

    def load_seal(self) -> None:
        """Read the seal from its file. One that cannot be read makes the segment a damaged one."""
        name = self.header.segment_id
        path = self._files.seal_path(name)
        try:
            frame = self._files.read_document(path, name, FrameKind.SEAL)
            self.seal = None if frame is None else protocol.unpack_seal(frame.payload)
            self._seal_damaged = False
        except (DocumentDamaged, OSError, ValueError) as error:
            _log.error("the seal of segment %s cannot be read: %r", name, error)
            self.seal = None
            self._seal_damaged = True
            self.fail("its seal cannot be read")

    def mark_damaged(self) -> None:
        """Bytes of the file are not what was written."""
        with self._lock:
            if self._damaged:
                return
            self._damaged = True
        _log.error("segment %s is damaged", self.header.segment_id)
        self._failure = self._failure or "its file is damaged"

    def fail(self, reason: str) -> None:
        """No more appends to the file."""
        self._failure = self._failure or reason
        self.close()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):  # what was acknowledged has been fsynced
                self._files.disk.close(descriptor)

    def _open_for_appending(self) -> int:
        if self._descriptor is None:
            self._descriptor = self._files.disk.open_appending(self._path)
        return self._descriptor

    def _mark(self, descriptor: int) -> None:
        """Say in the file that all before is durable; this itself will be with the next fsync."""
        mark = segment_format.make_mark(self._seed, self._last_sequence, self._watermark)
        try:
            self._files.disk.write(descriptor, [mark])
        except OSError as error:
            # The entries before are durable all the same.
            _log.error("segment %s: %r", self.header.segment_id, error)
            self.fail(f"an earlier write failed: {error!r}")
            return
        with self._lock:
            self._end += MARK_BYTES


def create_segment(files: JournalFiles, header: SegmentHeader) -> Segment:
    """Make an empty segment, durably. Raises OSError."""
    start = segment_format.make_start(header)
    files.replace(files.log_path(header.segment_id), [[start]])
    empty = header.first_sequence - 1
    return Segment(files, header, SegmentContents(last_sequence=empty, watermark=empty, end=len(start)))


def open_segment(files: JournalFiles, segment_id: str) -> Segment:
    """The segment that a file holds; a torn end is cut off. Raises SegmentUnreadable, OSError.

    What is behind the last mark was perhaps never fsynced with success: the fsync failed, the process ended, and
    the page cache shows what the disk does not have. So the file is made anew unless it ends in a mark.
    """
    path = files.log_path(segment_id)
    descriptor = files.disk.open(path)
    try:
        contents = segment_format.survey(
            lambda at, size: read_around(files.disk, descriptor, at, size), segment_id, files.disk.size(descriptor)
        )
        if contents.header is None:
            raise SegmentUnreadable(path)
        failure = "its file is damaged" if contents.damaged else ""
        if not contents.damaged and not contents.whole:
            failure = _make_anew(files, path, descriptor, contents)
    finally:
        files.disk.close(descriptor)
    segment = Segment(files, contents.header, contents, failure=failure)
    segment.load_seal()
    return segment


def _make_anew(files: JournalFiles, path: str, descriptor: int, contents: SegmentContents) -> str:
    """Replace the file by one of its sound frames and a mark; why that failed, or "".

    The node must start, and tell what it has, also when its disk is full.
    """
    assert contents.header is not None
    seed = protocol.owner_seed(contents.header.segment_id)
    mark = segment_format.make_mark(seed, contents.last_sequence, contents.watermark)

    def pieces() -> Iterator[list[bytes]]:
        for at in range(0, contents.end, _PAGE_BYTES):
            yield [files.disk.read(descriptor, at, min(_PAGE_BYTES, contents.end - at))]
        yield [mark]

    try:
        files.replace(path, pieces())
    except OSError as error:
        _log.error("%s could not be made anew: %r", path, error)
        return f"its file could not be made anew: {error!r}"
    contents.end += MARK_BYTES
    return ""
