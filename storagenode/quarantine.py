"""Damaged files, kept for whoever wants to look, and the durable list of what was found damaged.

    DIR/quarantine/<blob id>.<found at, Unix ms>.<number>.<found by>.<reason>

The directory is the list: a file that is moved here and its entry in the list are one rename, so that neither is
ever there without the other. `number` counts up over the life of the directory and orders the list; a reader that
goes on from the last entry it saw misses none, whatever the clock does. `found by` is `scrub`, `read` or `fsck`,
`reason` a few words joined by dashes. A blob that the disk refuses to give (an input/output error) stays where it
is, since a later read may succeed, and is listed by an empty file. Nothing here is ever deleted by the node.

Names of the first release end behind a number that began anew with each process; they come first in the list.
"""

import logging
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from storagenode import blobfile
from storagenode.blobfile import Damaged, UnknownFormat
from storagenode.disk import Buffer, Disk
from storagenode.protocol import DamagedBlob

BY_READ = "read"
BY_SCRUB = "scrub"
BY_FSCK = "fsck"
UNREADABLE = "unreadable"
UNEXPLAINED = "unexplained"

_NAME = re.compile(r"([0-9a-f]{32}-[0-9a-f]{8})\.([0-9]+)\.([0-9]+)(?:\.([a-z]+)\.([a-z0-9-]*))?")
_NOT_IN_REASONS = re.compile(r"[^a-z0-9]+")
_REASON_LIMIT = 60
_NUMBER_DIGITS = 12

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What one name says."""

    cursor: str
    name: str
    blob_id: str
    found_ms: int
    found_by: str
    reason: str


class Quarantine:
    """DIR/quarantine, which must exist. Used from many threads; everything raises OSError."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory
        self._lock = threading.Lock()
        entries = self._entries()
        self.count = len(entries)
        self._number = max((int(entry.cursor[:_NUMBER_DIGITS]) for entry in entries), default=0)
        self._unreadable = {entry.blob_id for entry in entries if entry.reason == UNREADABLE}

    def take(self, path: str, blob_id: str, *, now_ms: int, found_by: str, reason: str) -> str:
        """Move a damaged file here, durably in this directory (its old one is the caller's); its new path."""
        # Numbered and made visible in one turn: a reader of the list that saw a number has seen all below it.
        with self._lock:
            kept = self._next_path(blob_id, now_ms, found_by, reason)
            self._disk.rename(path, kept)
            self.count += 1
        self._disk.fsync_directory(self._directory)
        return kept

    def keep(self, blob_id: str, contents: Sequence[Buffer], *, now_ms: int, found_by: str, reason: str) -> str:
        """Note damage to what is no file of its own: `contents` is what is left of it; the path of the new file."""
        with self._lock:
            kept = self._next_path(blob_id, now_ms, found_by, reason)
            descriptor = self._disk.create(kept)
            self.count += 1
        try:
            if contents:
                self._disk.write(descriptor, contents)
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)
        self._disk.fsync_directory(self._directory)
        return kept

    def note_unreadable(self, blob_id: str, *, now_ms: int) -> bool:
        """List a blob that the disk refuses to give; False when it is listed already."""
        with self._lock:
            if blob_id in self._unreadable:
                return False
            self._unreadable.add(blob_id)
        try:
            self.keep(blob_id, [], now_ms=now_ms, found_by=BY_SCRUB, reason=UNREADABLE)
        except OSError:
            self._unreadable.discard(blob_id)
            raise
        return True

    def list(self, after: str, limit: int) -> Sequence[DamagedBlob]:
        """At most `limit` entries whose cursors are above `after` ("" is the beginning), oldest first."""
        with self._lock:  # numbers below those seen are all visible
            entries = self._entries()
        page = sorted((entry for entry in entries if entry.cursor > after), key=lambda entry: entry.cursor)[:limit]
        return [self._describe(entry) for entry in page]

    def _next_path(self, blob_id: str, now_ms: int, found_by: str, reason: str) -> str:
        self._number += 1
        words = _NOT_IN_REASONS.sub("-", reason.lower()).strip("-")[:_REASON_LIMIT]
        return f"{self._directory}/{blob_id}.{now_ms}.{self._number}.{found_by}.{words}"

    def _entries(self) -> Sequence[_Entry]:
        return [entry for name in self._disk.names(self._directory) if (entry := _parse(name)) is not None]

    def _describe(self, entry: _Entry) -> DamagedBlob:
        origin, size_bytes = b"", -1
        with suppress(OSError, Damaged, UnknownFormat):
            origin, size_bytes = self._read_header(entry)
        return DamagedBlob(
            cursor=entry.cursor,
            blob_id=entry.blob_id,
            found_ms=entry.found_ms,
            found_by=entry.found_by,
            reason=entry.reason,
            origin=origin,
            size_bytes=size_bytes,
        )

    def _read_header(self, entry: _Entry) -> tuple[bytes, int]:
        """Origin and size, where the damage is elsewhere: the header has a checksum of its own."""
        descriptor = self._disk.open(f"{self._directory}/{entry.name}")
        try:
            start = self._disk.read(descriptor, 0, blobfile.HEADER_LIMIT_BYTES)
            header = start[: blobfile.header_bytes(start)]
            layout = blobfile.parse_header(header, entry.blob_id)
        finally:
            self._disk.close(descriptor)
        return layout.origin, layout.size_bytes


def _parse(name: str) -> _Entry | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    blob_id, found_ms, number, found_by, reason = match.groups()
    # Old names count as number 0, by time; behind the number any text makes the cursor unique.
    cursor = f"{int(number) if found_by else 0:0{_NUMBER_DIGITS}d}.{int(found_ms):013d}.{blob_id}"
    return _Entry(
        cursor=cursor,
        name=name,
        blob_id=blob_id,
        found_ms=int(found_ms),
        found_by=found_by or BY_READ,
        reason=reason or "",
    )
