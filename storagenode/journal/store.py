"""The journal's segments on one node, and the epoch that it promised: the rules of who may change what.

Synchronous. Changes (everything but status and read) are made by one thread, in order, so a promise that has been
answered is known to every append after it; writer.py is that thread. Raises the errors of storagenode.errors.

The node is an acceptor in the sense of Paxos: a promise of an epoch refuses all lower ones, a seal is an accepted
value of its segment, and neither may be forgotten. A node that lost its promise to damage therefore takes part in
nothing any more, and one that lost a seal says that the segment is damaged.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from storagenode import journal_protocol as protocol
from storagenode.disk import Disk
from storagenode.errors import (
    InvalidRequest,
    JournalFenced,
    NodeError,
    NodeFailed,
    SegmentGap,
    SegmentNotFound,
    SegmentSealed,
    disk_errors,
)
from storagenode.journal.files import LOG_SUFFIX, SEAL_SUFFIX, DocumentDamaged, JournalFiles
from storagenode.journal.segment import Segment, SegmentUnreadable, create_segment, open_segment
from storagenode.journal_protocol import Frame, FrameKind, JournalStatus, Seal, SegmentHeader
from storagenode.space import SpaceLedger

_log = logging.getLogger(__name__)

_PROMISE_OWNER = "promise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """What one client wants appended."""

    segment_id: str
    epoch: int
    watermark: int
    first_sequence: int
    frames: Sequence[Frame]  # entries with the sequences from first_sequence on


class JournalStore:
    """Opens DIR/journal on construction: makes what is missing, cuts torn ends. Raises OSError.

    DIR must be there and belong to this process alone (blobstore.py sees to that).
    """

    def __init__(self, disk: Disk, directory: str, space: SpaceLedger) -> None:
        self.files = JournalFiles(disk, directory)
        self._disk = disk
        self._space = space
        self._lock = threading.Lock()  # of _segments, which other threads read
        self._segments: dict[str, Segment] = {}
        self._unreadable: set[str] = set()  # ids of segments whose files tell nothing
        #: The epoch promised durably; None: there is no telling.
        self._promised: int | None = None
        self._fence = 0  # lower epochs are refused: the highest that was to be promised, durably or not
        self._open_promise()
        self._open_segments()

    def close(self) -> None:
        for segment in self._segments.values():
            segment.close()

    def status(self) -> JournalStatus:
        """Raises NodeFailed when the promise was lost to damage."""
        promised = self._promise()
        with self._lock:
            segments = sorted(self._segments.items())
        return JournalStatus(promised_epoch=promised, segments=tuple(segment.status() for _, segment in segments))

    def promise(self, epoch: int) -> JournalStatus:
        """Refuse lower epochs from now on, durably. Raises JournalFenced, NodeFull, NodeFailed."""
        self._check_epoch(epoch)
        self._keep_promise(epoch)
        return self.status()

    def create(self, header: SegmentHeader) -> None:
        """Make an empty segment, durably. Raises JournalFenced, InvalidRequest, NodeFull, NodeFailed."""
        self._check_epoch(header.epoch)
        name = header.segment_id
        if name in self._unreadable:
            raise NodeFailed(f"segment {name} is here and cannot be read")
        held = self._segments.get(name)  # durable: only then is it here
        if held is not None and held.header != header:
            raise InvalidRequest(f"segment {name} is here with another header")
        if held is not None:
            return
        with disk_errors():
            self._space.promise_journal(len(protocol.pack_header(header))).release()
            if self._disk.exists(self.files.seal_path(name)):  # left of a segment whose removal was cut short
                self.files.remove(self.files.seal_path(name))
            segment = create_segment(self.files, header)
        with self._lock:
            self._segments[name] = segment

    def append_all(self, appends: Sequence[Append]) -> list[int | NodeError]:
        """For each append the last durable sequence of its segment, or why there is none; one fsync a segment."""
        outcomes: list[int | NodeError] = [NodeFailed("not reached")] * len(appends)
        places: dict[str, list[int]] = {}
        for place, append in enumerate(appends):
            places.setdefault(append.segment_id, []).append(place)
        for segment_id, of_segment in places.items():
            found = self._append_group(segment_id, [appends[place] for place in of_segment])
            for place, outcome in zip(of_segment, found, strict=True):
                outcomes[place] = outcome
        return outcomes

    def append(self, append: Append) -> int:
        """One append alone. Raises JournalFenced, SegmentGap, SegmentSealed, SegmentNotFound, NodeFull, NodeFailed."""
        (outcome,) = self.append_all([append])
        if isinstance(outcome, NodeError):
            raise outcome
        return outcome

    def read(self, segment_id: str, after: int, limit_bytes: int) -> list[Frame]:
        """Durable entries above `after`, of about limit_bytes. Raises SegmentNotFound, NodeFailed."""
        return self._segment(segment_id).read(after, limit_bytes)

    def seal(self, segment_id: str, seal: Seal) -> None:
        """Accept a seal, durably, and promise its epoch. Raises JournalFenced, SegmentNotFound, InvalidRequest,
        NodeFull, NodeFailed.
        """
        segment = self._segment(segment_id)
        self._check_epoch(seal.epoch)
        if seal.epoch < segment.header.epoch:
            raise InvalidRequest("a seal of an epoch before that of its segment")
        held = segment.seal  # its epoch was promised, so it is not above this one's
        if held is not None and seal.epoch == held.epoch and seal != held:
            raise InvalidRequest("another seal of the same epoch")
        self._keep_promise(seal.epoch)
        with disk_errors():
            segment.write_seal(seal)  # also when it is held already: it may not be durable yet

    def drop(self, segment_id: str) -> bool:
        """Remove a segment durably; whether there was one. Raises NodeFailed."""
        with self._lock:
            segment = self._segments.get(segment_id)
        if segment is not None:
            segment.fail("it was dropped")
        with disk_errors():
            # The entries first: a segment that comes back without its seal would be taken for an open one.
            existed = self.files.remove(self.files.log_path(segment_id))
            with self._lock:
                self._segments.pop(segment_id, None)
            self._unreadable.discard(segment_id)
            if self._disk.exists(self.files.seal_path(segment_id)):
                self.files.remove(self.files.seal_path(segment_id))
        return existed

    # --- appending ---

    def _append_group(self, segment_id: str, appends: Sequence[Append]) -> list[int | NodeError]:
        """Appends to one segment: those that may go on are written together."""
        outcomes: list[int | NodeError] = []
        waiting: list[int] = []  # places of appends whose entries are not durable yet
        frames: list[Frame] = []
        watermark = 0
        try:
            segment = self._segment(segment_id)
        except NodeError as error:
            return [type(error)(*error.args) for _ in appends]  # one of its own for each, as each is raised elsewhere
        reached = durable = segment.last_sequence
        for place, append in enumerate(appends):
            try:
                self._check(segment, append, reached)
            except NodeError as error:
                outcomes.append(error)
                continue
            frames += [frame for frame in append.frames if frame.sequence > reached]
            reached = max(reached, append.first_sequence + len(append.frames) - 1)
            watermark = max(watermark, append.watermark)
            outcomes.append(durable)
            if append.first_sequence + len(append.frames) - 1 > durable:
                waiting.append(place)
        try:
            self._write(segment, frames, watermark)
        except NodeError as error:
            for place in waiting:
                outcomes[place] = type(error)(*error.args)
        else:
            outcomes = [one if isinstance(one, NodeError) else segment.last_sequence for one in outcomes]
        return outcomes

    def _check(self, segment: Segment, append: Append, reached: int) -> None:
        """Whether an append may follow, when the segment will have entries up to `reached`."""
        self._check_epoch(append.epoch)
        if append.epoch != segment.header.epoch:
            raise InvalidRequest(f"segment {append.segment_id} is not of epoch {append.epoch}")
        if segment.seal is not None:
            raise SegmentSealed(f"segment {append.segment_id} is sealed")
        segment.check_appendable()
        if append.first_sequence < segment.header.first_sequence:
            raise InvalidRequest(f"segment {append.segment_id} begins behind {append.first_sequence}")
        if append.first_sequence > reached + 1:
            raise SegmentGap(segment.last_sequence)

    def _write(self, segment: Segment, frames: Sequence[Frame], watermark: int) -> None:
        if not frames:
            segment.raise_watermark(watermark)
            return
        with disk_errors():
            promise = self._space.promise_journal(sum(len(frame.raw) for frame in frames))
        try:
            segment.append(frames, watermark)
        finally:
            promise.release()

    def _segment(self, segment_id: str) -> Segment:
        with self._lock:
            segment = self._segments.get(segment_id)
        if segment is not None:
            return segment
        if segment_id in self._unreadable:
            raise NodeFailed(f"segment {segment_id} cannot be read")
        raise SegmentNotFound(f"no segment {segment_id}")

    # --- the promise ---

    def _promise(self) -> int:
        if self._promised is None:
            raise NodeFailed("the epoch that was promised is lost: this node takes no part in the journal")
        return self._promised

    def _check_epoch(self, epoch: int) -> None:
        self._promise()
        if epoch < self._fence:
            raise JournalFenced(self._fence)

    def _keep_promise(self, epoch: int) -> None:
        if epoch <= self._promise():
            return
        self._fence = epoch
        with disk_errors():
            self.files.write_document(self.files.promise_path, _PROMISE_OWNER, FrameKind.PROMISE, epoch, b"")
        self._promised = epoch

    def _open_promise(self) -> None:
        try:
            frame = self.files.read_document(self.files.promise_path, _PROMISE_OWNER, FrameKind.PROMISE)
        except (DocumentDamaged, OSError) as error:
            _log.critical("the promised epoch cannot be read: %r", error)
            return
        if frame is None and self._disk.names(self.files.segments):
            _log.critical("the promised epoch is gone: %s", self.files.promise_path)
            return
        if frame is None:
            self.files.write_document(self.files.promise_path, _PROMISE_OWNER, FrameKind.PROMISE, 0, b"")
        self._promised = self._fence = 0 if frame is None else frame.sequence

    # --- opening ---

    def _open_segments(self) -> None:
        names = self._disk.names(self.files.segments)
        for segment_id in _ids(names, LOG_SUFFIX):
            try:
                self._segments[segment_id] = open_segment(self.files, segment_id)
            except (SegmentUnreadable, OSError) as error:
                _log.error("segment %s cannot be read: %r", segment_id, error)
                self._unreadable.add(segment_id)
        for segment_id in set(_ids(names, SEAL_SUFFIX)) - set(_ids(names, LOG_SUFFIX)):
            self._disk.unlink(self.files.seal_path(segment_id))


def _ids(names: Sequence[str], suffix: str) -> list[str]:
    ids = [name.removesuffix(suffix) for name in names if name.endswith(suffix)]
    return sorted(one for one in ids if protocol.is_segment_id(one))
