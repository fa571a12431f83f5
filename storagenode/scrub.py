"""Re-reads every blob of a node in each period, so that damage is found while other copies are still whole.

One thread goes through the blobs in id order. What is left of a round is spread evenly over what is left of the
period, again after each blob, so that the load is low and even and a round ends in time whatever came between;
after a long stop it goes at most twice as fast as it would have. Requests go first: while there are some, a blob
waits a little. Where it stands is kept in DIR/scrub.json and survives restarts; after a crash the blobs of the last
minute are read once more.

    {"format": 1, "number": of the round, "started_ms", "ends_ms", "cursor": last blob id, "blobs": verified,
     "size_bytes": read, "damaged", "completed_ms": when the round before ended, 0 for never}

Damage itself is not kept here but in the list of damage (quarantine.py).
"""

import errno
import json
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from storagenode.blobstore import BlobStore
from storagenode.disk import Disk
from storagenode.errors import BlobCorrupt, BlobNotFound, NodeFailed
from storagenode.protocol import ScrubProgress

FORMAT = 1

RATE_LIMIT_BYTES = 32 * 1024 * 1024
"""In a second, where the period allows: a run of large blobs shall not become a burst. A quarter of what one
spinning disk gives, and 80 TiB in the default period."""

SAVE_EVERY_MS = 60_000
COUNTS_A_PERIOD = 32
"""How often in a period the blobs that are left are counted anew; counting reads all their names."""

_COUNT_PAGE_IDS = 10_000
_PAGE_IDS = 1000
_FILE_LIMIT_BYTES = 4096
_YIELD_S = 0.05
_LONGEST_YIELD_MS = 10_000.0
_RETRY_S = 60.0
_JOIN_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Round:
    """Where one round stands; what scrub.json holds besides its format."""

    number: int
    started_ms: int
    ends_ms: int
    cursor: str = ""
    blobs: int = 0
    size_bytes: int = 0
    damaged: int = 0
    completed_ms: int = 0


class ScrubFile:
    """DIR/scrub.json."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory
        self._path = f"{directory}/scrub.json"
        self._temporary = f"{directory}/tmp/scrub.json"

    def load(self) -> Round | None:
        """None where there is none, or none that this version understands. Raises OSError."""
        if not self._disk.exists(self._path):
            return None
        descriptor = self._disk.open(self._path)
        try:
            text = self._disk.read(descriptor, 0, _FILE_LIMIT_BYTES)
        finally:
            self._disk.close(descriptor)
        try:
            stored: dict[str, Any] = json.loads(text)
            if stored["format"] != FORMAT:
                raise ValueError(f"format {stored['format']}")
            return Round(**{one.name: stored[one.name] for one in fields(Round)})
        except (ValueError, KeyError, TypeError) as error:
            # Nothing is lost but the place in a round.
            _log.warning("%s is not understood (%r): scrubbing begins anew", self._path, error)
            return None

    def save(self, state: Round) -> None:
        """Durable when this returns. Raises OSError."""
        with suppress(FileNotFoundError):
            self._disk.unlink(self._temporary)  # of a save that failed
        descriptor = self._disk.create(self._temporary)
        try:
            self._disk.write(descriptor, [json.dumps({"format": FORMAT, **asdict(state)}).encode() + b"\n"])
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)
        self._disk.rename(self._temporary, self._path)
        self._disk.fsync_directory(self._directory)


class Scrubber:
    """`step` does what is due and tells when to come back; `start` has a thread do it until `stop`.

    `clock_ms` gives Unix milliseconds, `busy` tells whether requests are being served, `verify_others` checks
    what else the node keeps, once a round, and returns how much of it is damaged.
    """

    def __init__(
        self,
        store: BlobStore,
        file: ScrubFile,
        *,
        period_s: float,
        clock_ms: Callable[[], int],
        busy: Callable[[], bool] = lambda: False,
        verify_others: Callable[[], int] = lambda: 0,
    ) -> None:
        self._store = store
        self._file = file
        self._period_ms = period_s * 1000
        self._clock_ms = clock_ms
        self._busy = busy
        self._verify_others = verify_others
        now_ms = clock_ms()
        self._round = Round(number=1, started_ms=now_ms, ends_ms=now_ms + int(self._period_ms))
        self._page: deque[str] = deque()  # ids above the cursor, read ahead
        self._left = 0  # blobs above the cursor, as of the last count and less what was verified since
        self._counted_ms: float | None = None
        self._saved_ms = now_ms
        self._last_ms = now_ms  # when the last blob was verified
        self._last_bytes = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.progress = self._describe(now_ms)

    def resume(self) -> None:
        """Take up the round that was under way. Raises OSError."""
        stored = self._file.load()
        if stored is not None:
            self._round = stored
            self._counted_ms = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="scrub", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Blocks until the thread has saved its place and ended, or 5 s when the disk does not answer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_JOIN_TIMEOUT_S)

    def step(self) -> float:
        """Verify the next blob if it is due; seconds until the next call. Raises NodeFailed."""
        now_ms = self._clock_ms()
        self._mind_the_clock(now_ms)
        if self._counted_ms is None or now_ms - self._counted_ms >= self._period_ms / COUNTS_A_PERIOD:
            self._count(now_ms)
        if now_ms - self._saved_ms >= SAVE_EVERY_MS:
            self._save(now_ms)
        if not self._page:
            self._page.extend(self._store.ids(self._round.cursor, _PAGE_IDS))
        if not self._page:
            return self._wait_for_more(now_ms)
        wait_ms = self._due_ms(now_ms) - now_ms
        if wait_ms > 0:
            return min(wait_ms, self._period_ms / COUNTS_A_PERIOD) / 1000
        if self._busy() and -wait_ms < min(self._spacing_ms() / 2, _LONGEST_YIELD_MS):
            return _YIELD_S
        self._verify(self._page.popleft())
        self._last_ms = self._clock_ms()
        self.progress = self._describe(self._last_ms)
        return 0.0

    def _mind_the_clock(self, now_ms: int) -> None:
        """A clock that was set back must not make this wait until it has caught up."""
        latest_ms = max(self._last_ms, self._round.started_ms)
        if now_ms < latest_ms:
            behind_ms = latest_ms - now_ms
            self._last_ms = self._saved_ms = now_ms
            self._round.started_ms -= behind_ms
            self._round.ends_ms -= behind_ms
            self._counted_ms = None

    def _count(self, now_ms: int) -> None:
        first = self._counted_ms is None
        left, after = 0, self._round.cursor
        while page := self._store.ids(after, _COUNT_PAGE_IDS):
            left, after = left + len(page), page[-1]
        self._left, self._counted_ms = left, now_ms
        if first and left:
            # The node was away, perhaps past the end of the round.
            fair_ms = self._period_ms * left / (self._round.blobs + left)
            self._round.ends_ms = max(self._round.ends_ms, now_ms + int(fair_ms / 2))
        self.progress = self._describe(now_ms)

    def _wait_for_more(self, now_ms: int) -> float:
        """The end of the blobs is reached; blobs still come in behind the cursor until the round is over."""
        self._left = 0
        left_ms = self._round.ends_ms - now_ms
        if left_ms > 0:
            self.progress = self._describe(now_ms)
            return min(left_ms, self._period_ms / COUNTS_A_PERIOD) / 1000
        others = self._verify_others()
        done = self._round
        _log.info(
            "scrub round %d: %d blobs, %d bytes, %d damaged", done.number, done.blobs, done.size_bytes, done.damaged
        )
        if others:
            _log.error("scrub round %d: %d damaged pieces of journals", done.number, others)
        self._round = Round(
            number=done.number + 1, started_ms=now_ms, ends_ms=now_ms + int(self._period_ms), completed_ms=now_ms
        )
        self._counted_ms = None
        self._save(now_ms)
        return 0.0

    def _spacing_ms(self) -> float:
        left = max(self._left, len(self._page))
        # One more than there are: the last one is read before the end of the period, not at it.
        return max(0.0, self._round.ends_ms - self._last_ms) / (left + 1)

    def _due_ms(self, now_ms: int) -> float:
        """When the next blob is to be read."""
        due_ms = self._last_ms + self._spacing_ms()
        time_left_ms = self._round.ends_ms - now_ms
        if time_left_ms <= 0 or not self._round.blobs:
            return due_ms
        # The bound gives way where the average that the period asks for comes near it.
        mean_bytes = self._round.size_bytes / self._round.blobs
        needed = mean_bytes * max(self._left, len(self._page)) / time_left_ms
        return max(due_ms, self._last_ms + self._last_bytes / max(RATE_LIMIT_BYTES / 1000, 2 * needed))

    def _verify(self, blob_id: str) -> None:
        state = self._round
        self._last_bytes = 0
        try:
            self._last_bytes = self._store.verify(blob_id)
            state.blobs += 1
            state.size_bytes += self._last_bytes
        except BlobNotFound:  # deleted meanwhile
            pass
        except BlobCorrupt:
            state.blobs += 1
            state.damaged += 1
        except NodeFailed as error:
            state.blobs += 1
            self._note_unreadable(blob_id, error)
        state.cursor = blob_id
        self._left = max(0, self._left - 1)

    def _note_unreadable(self, blob_id: str, first: NodeFailed) -> None:
        """A second failure of the medium, and no shortage of memory or descriptors, makes a copy worthless."""
        try:
            self._store.verify(blob_id)
        except (BlobNotFound, BlobCorrupt):
            return
        except NodeFailed as error:
            cause = error.__cause__
            _log.error("blob %s cannot be read: %r", blob_id, error)
            if isinstance(cause, OSError) and cause.errno == errno.EIO:
                self._round.damaged += 1
                try:
                    self._store.quarantine.note_unreadable(blob_id, now_ms=self._clock_ms())
                except OSError as refusal:  # a disk that cannot be written to either; the next round tries again
                    _log.error("blob %s cannot be listed as unreadable: %r", blob_id, refusal)
        else:
            _log.warning("blob %s was readable at the second attempt only: %r", blob_id, first)

    def _save(self, now_ms: int) -> None:
        self._saved_ms = now_ms
        try:
            self._file.save(self._round)
        except OSError as error:  # a full disk, say, which needs verifying no less
            _log.warning("the scrub's place was not saved: %r", error)
        self.progress = self._describe(now_ms)

    def _describe(self, now_ms: int) -> ScrubProgress:
        state = self._round
        left = max(self._left, len(self._page))
        return ScrubProgress(
            number=state.number,
            started_ms=state.started_ms,
            expected_end_ms=max(state.ends_ms, now_ms),
            blobs=state.blobs,
            blobs_left=left,
            size_bytes=state.size_bytes,
            damaged=state.damaged,
            completed_ms=state.completed_ms,
        )

    def _run(self) -> None:
        wait_s = 0.0
        try:
            self.resume()
        except OSError as error:
            _log.warning("where scrubbing stood cannot be read (%r): it begins anew", error)
        while not self._stop.wait(wait_s):
            try:
                wait_s = self.step()
            except Exception:  # noqa: BLE001
                _log.exception("scrubbing pauses for %g s", _RETRY_S)
                self._page.clear()
                wait_s = _RETRY_S
        self._save(self._clock_ms())
