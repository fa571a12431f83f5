"""Gathers the lines of server access logs in one gateway process; what is gathered waits for access_log_writer.py.

Best effort, as AWS documents it: nothing here waits, what is too much is left out, and what a process that dies had
gathered is lost.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from gateway.index.records import BucketRecord
from gateway.log_delivery import LOGGING, log_target
from s3compat.access_log import KeyFormat, LoggedRequest, log_line

MOST_LINES = 100_000
"""That wait to be written, some 50 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup:
    """What lines have in common that go into one object."""

    source: str
    document: bytes
    """The configuration under which they were gathered."""
    day: date | None
    """Set where objects are partitioned by the time of the events in them."""


class AccessLog:
    """The gathered lines; `wake` is set when there are enough of one group to be written."""

    def __init__(self, *, lines: int, most_lines: int = MOST_LINES) -> None:
        """`lines`: enough for an object."""
        self._enough = lines
        self._most_lines = most_lines
        self._groups: dict[LogGroup, list[str]] = {}
        self._count = 0
        self.dropped = 0
        self.wake = asyncio.Event()

    def note(self, bucket: BucketRecord, request: LoggedRequest) -> None:
        """Take note of a request to a bucket whose requests are logged; of any other nothing is kept."""
        target, document = log_target(bucket), bucket.configs.get(LOGGING)
        if target is None or document is None:
            return
        day = request.at.date() if target.key_format is KeyFormat.BY_EVENT_TIME else None
        self._add(LogGroup(source=bucket.name, document=document, day=day), [log_line(request)])

    def take(self) -> Mapping[LogGroup, list[str]]:
        """All lines gathered since the last time."""
        taken, self._groups, self._count = self._groups, {}, 0
        self.wake.clear()
        return taken

    def put_back(self, group: LogGroup, lines: list[str]) -> None:
        """Lines that could not be written now."""
        self._add(group, lines)

    def _add(self, group: LogGroup, lines: list[str]) -> None:
        room = max(0, self._most_lines - self._count)
        self.dropped += max(0, len(lines) - room)
        kept = self._groups.setdefault(group, [])
        kept += lines[:room]
        self._count += min(room, len(lines))
        if len(kept) >= self._enough:
            self.wake.set()
