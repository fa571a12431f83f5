"""The format of a segment's file, pure: finds the sound frames in it, and the holes between them.

    header  twice, so that one damaged sector does not cost the segment
    mark    of the sequence before the first
    then    entries as they were appended, and behind those of each fsync a mark

Nothing but frames (journal_protocol.py); the file is only ever appended to. A mark is written when everything before
it has been fsynced. So damage that has a sound mark behind it is damage by the disk, and what was there is missed;
damage without one may be the torn end of a write that was never acknowledged, and is cut off with all behind it.
(Bytes acknowledged right before a power loss may lie behind the last mark: should the disk damage just these as
well, then they are taken for torn. The other nodes of the segment have them.)

History: version 1 (of the frames), the first.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from storagenode import journal_protocol as protocol
from storagenode.journal_protocol import (
    FRAME_MAGIC,
    Frame,
    FrameDamaged,
    FrameIncomplete,
    FrameKind,
    SegmentHeader,
)

Read = Callable[[int, int], bytes]
"""Bytes of the file from an offset; as many as asked for, less only where the file ends."""

CHUNK_BYTES = 256 * 1024
INDEX_GRAIN = 64
"""Entries for one place in memory: 16 bytes for each 64 entries, and a read passes over at most 63 that it does not
want."""

MARK_BYTES = protocol.FRAME_HEADER_BYTES + 8


def make_start(header: SegmentHeader) -> bytes:
    """The bytes that a new segment's file begins with."""
    seed = protocol.owner_seed(header.segment_id)
    frame = protocol.make_frame(seed, FrameKind.HEADER, header.first_sequence, protocol.pack_header(header))
    empty = header.first_sequence - 1
    return frame + frame + make_mark(seed, empty, empty)


def make_mark(seed: int, sequence: int, watermark: int) -> bytes:
    """The mark behind entries up to `sequence`."""
    return protocol.make_frame(seed, FrameKind.MARK, sequence, watermark.to_bytes(8))


def find_frames(read: Read, seed: int, start: int, end: int) -> Iterator[tuple[Frame | None, int]]:
    """The sound frames from offset `start` on, each with the offset behind it; None for a hole between two frames.

    `start` is that of a frame. A hole at the end is told as one. An entry that does not rise above the one before it
    was written, or read, in the wrong place: it belongs to a hole.
    """
    window = _Window(read, end)
    at, last, in_hole = start, -1, False
    while at < end:
        frame = window.frame(seed, at)
        if frame is None:
            in_hole = True
            at = window.next_magic(at + 1)
            continue
        behind = at + len(frame.raw)
        if frame.kind is FrameKind.ENTRY and frame.sequence <= last:
            in_hole = True
        else:
            if in_hole:
                yield None, at
                in_hole = False
            yield frame, behind
            last = frame.sequence if frame.kind is FrameKind.ENTRY else last
        at = behind
    if in_hole:
        yield None, end


class _Window:
    """The part of a file that is in memory while it is gone through from front to end."""

    def __init__(self, read: Read, end: int) -> None:
        self._read = read
        self._end = end
        self._buffer = b""
        self._start = 0  # offset of the buffer in the file

    def frame(self, seed: int, at: int) -> Frame | None:
        """The frame at offset `at`, or None if there is no sound one."""
        size_bytes = protocol.FRAME_HEADER_BYTES
        while self._hold(at, size_bytes):
            try:
                return protocol.parse_frame(seed, self._buffer, at - self._start)
            except FrameIncomplete as error:
                size_bytes = error.size_bytes
            except FrameDamaged:
                return None
        return None

    def next_magic(self, at: int) -> int:
        """The offset, `at` or above, at which a frame may begin; the file's end if there is none."""
        while self._hold(at, len(FRAME_MAGIC)):
            found = self._buffer.find(FRAME_MAGIC, at - self._start)
            if found >= 0:
                return self._start + found
            at = self._start + len(self._buffer) - len(FRAME_MAGIC) + 1
        return self._end

    def _hold(self, at: int, size_bytes: int) -> bool:
        """Have these bytes in the buffer; False if the file ends before."""
        if at + size_bytes > self._end:
            return False
        held = self._start + len(self._buffer)
        if not self._start <= at <= held:
            self._buffer, self._start, held = b"", at, at
        if at + size_bytes > held:
            wanted = min(max(CHUNK_BYTES, at + size_bytes - held), self._end - held)
            self._buffer, self._start = self._buffer[at - self._start :] + self._read(held, wanted), at
        return at + size_bytes <= self._start + len(self._buffer)


class SequenceIndex:
    """Where the entries of a segment lie in its file, one place for every INDEX_GRAIN of them."""

    def __init__(self) -> None:
        self._sequences = array("q")
        self._offsets = array("q")
        self._noted = 0

    def note(self, sequence: int, offset: int) -> None:
        """Tell of an entry; they come in rising order."""
        if self._noted % INDEX_GRAIN == 0:
            self._offsets.append(offset)
            self._sequences.append(sequence)  # last: find(), in another thread, goes by these
        self._noted += 1

    def find(self, sequence: int) -> int:
        """An offset from which on every entry of this sequence or above is met; 0 for the file's start."""
        place = bisect_right(self._sequences, sequence)
        return self._offsets[place - 1] if place else 0


@dataclass(slots=True, kw_only=True)
class SegmentContents:
    """What a segment's file was found to hold."""

    header: SegmentHeader | None = None
    last_sequence: int = 0
    watermark: int = 0
    damaged: bool = False
    end: int = 0  # offset behind the last frame to be believed
    whole: bool = True  # the file ends there, with a mark: everything in it is known to have been fsynced
    index: SequenceIndex = field(default_factory=SequenceIndex)


def survey(read: Read, segment_id: str, size_bytes: int) -> SegmentContents:
    """Go through a whole file."""
    contents = SegmentContents()
    hole = False
    waiting: list[tuple[int, int]] = []  # entries since the hole, with offsets: believed when a mark follows
    for frame, end in find_frames(read, protocol.owner_seed(segment_id), 0, size_bytes):
        if frame is None:
            hole = True
            contents.whole = False
            continue
        match frame.kind:
            case FrameKind.HEADER if contents.header is None:
                contents.header = _header(frame, segment_id)
            case FrameKind.ENTRY:
                waiting.append((frame.sequence, end - len(frame.raw)))
            case FrameKind.MARK:
                contents.damaged |= hole
                hole = False
                contents.watermark = max(contents.watermark, int.from_bytes(frame.payload))
                contents.last_sequence = max(contents.last_sequence, frame.sequence)
        if not hole:
            _believe(contents, waiting, end)
            waiting.clear()
        contents.whole = frame.kind is FrameKind.MARK
    contents.whole = contents.whole and contents.end == size_bytes
    if contents.header is not None:
        empty = contents.header.first_sequence - 1
        contents.last_sequence = max(contents.last_sequence, empty)
        contents.watermark = max(contents.watermark, empty)
    return contents


def _believe(contents: SegmentContents, entries: list[tuple[int, int]], end: int) -> None:
    for sequence, offset in entries:
        contents.damaged |= sequence > contents.last_sequence + 1  # what was between them is missing
        contents.index.note(sequence, offset)
        contents.last_sequence = max(contents.last_sequence, sequence)
    contents.end = end


def _header(frame: Frame, segment_id: str) -> SegmentHeader | None:
    try:
        header = protocol.unpack_header(frame.payload)
    except ValueError:
        return None
    return header if header.segment_id == segment_id else None
