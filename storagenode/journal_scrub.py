"""Re-reads the journal's segments and manifests of a node, once in each round of scrub.py.

Their frames carry checksums. A segment that is found damaged is marked so by the store itself, which shows in the
journal's status; the other nodes of the segment have the same entries.
"""

import logging
import time
from collections.abc import Callable

from storagenode.errors import NodeError, disk_errors
from storagenode.journal.manifests import ManifestStore
from storagenode.journal.store import JournalStore
from storagenode.journal_protocol import SegmentStatus, is_manifest_name

_PAGE_BYTES = 1024 * 1024
_PAUSE_S = 1 / 32
"""After each page: 32 MiB/s at most, as with blobs."""

_log = logging.getLogger(__name__)


class JournalScrub:
    """Calling it verifies everything and returns how many segments and manifests are damaged or unreadable."""

    def __init__(
        self,
        journal: JournalStore,
        manifests: ManifestStore,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._disk = journal.files.disk
        self._journal = journal
        self._manifests = manifests
        self._sleep = sleep

    def __call__(self) -> int:
        try:
            segments = self._journal.status().segments
            damaged = sum(not self._is_sound(status) for status in segments)
            return damaged + self._count_damaged_manifests()
        except NodeError as error:
            _log.error("the journal cannot be verified: %r", error)
            return 1

    def _is_sound(self, status: SegmentStatus) -> bool:
        name, after = status.header.segment_id, status.header.first_sequence - 1
        try:
            self._drop_cache(name)
            while frames := self._journal.read(name, after, _PAGE_BYTES):
                after = frames[-1].sequence
                self._sleep(_PAUSE_S)
            now = {one.header.segment_id: one for one in self._journal.status().segments}.get(name)
        except NodeError as error:
            if name in {one.header.segment_id for one in self._journal.status().segments}:
                _log.error("segment %s of the journal cannot be read: %r", name, error)
                return False
            now = None
        if now is None:  # trimmed meanwhile
            return True
        if now.damaged:
            _log.error("segment %s of the journal is damaged", name)
        return not now.damaged

    def _drop_cache(self, name: str) -> None:
        with disk_errors():
            descriptor = self._disk.open(self._journal.files.log_path(name))
            try:
                self._disk.drop_cache(descriptor)
            finally:
                self._disk.close(descriptor)

    def _count_damaged_manifests(self) -> int:
        files = self._journal.files
        with disk_errors():
            names = {name for name in files.disk.names(files.manifests) if is_manifest_name(name)}
        # One that was removed between the two readings counts as damaged until the next round, in the log alone.
        return len(names - {name for name, _ in self._manifests.list()})
