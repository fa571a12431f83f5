"""Manifests: small durable documents by name, in which others write down what a snapshot of the index is made of."""

import logging
import threading

from storagenode import journal_protocol as protocol
from storagenode.errors import InvalidRequest, disk_errors
from storagenode.journal.files import DocumentDamaged, JournalFiles
from storagenode.journal_protocol import FrameKind
from storagenode.space import SpaceLedger

_log = logging.getLogger(__name__)


class ManifestStore:
    """Synchronous, for many threads. Raises the errors of storagenode.errors."""

    def __init__(self, files: JournalFiles, space: SpaceLedger) -> None:
        self._files = files
        self._space = space
        self._lock = threading.Lock()  # of two that put one name, both must be on disk when they answer

    @disk_errors()
    def put(self, name: str, body: bytes) -> None:
        """Store a manifest durably, in the place of any older one. Raises InvalidRequest, NodeFull, NodeFailed."""
        if len(body) > protocol.MANIFEST_LIMIT_BYTES:
            raise InvalidRequest(f"a manifest has at most {protocol.MANIFEST_LIMIT_BYTES} bytes")
        promise = self._space.promise_journal(2 * len(body))
        try:
            with self._lock:
                self._files.write_document(self._path(name), _owner(name), FrameKind.MANIFEST, 0, body)
        finally:
            promise.release()

    @disk_errors()
    def list(self) -> list[tuple[str, bytes]]:
        """All manifests with their names, in the order of names; damaged ones are left out. Raises NodeFailed."""
        found: list[tuple[str, bytes]] = []
        for name in sorted(filter(protocol.is_manifest_name, self._files.disk.names(self._files.manifests))):
            try:
                frame = self._files.read_document(self._path(name), _owner(name), FrameKind.MANIFEST)
            except DocumentDamaged as error:
                _log.error("manifest %s is damaged: %r", name, error)
                continue
            if frame is not None:
                found.append((name, frame.payload))
        return found

    @disk_errors()
    def drop(self, name: str) -> bool:
        """Remove a manifest durably; whether there was one. Raises NodeFailed."""
        with self._lock:
            return self._files.remove(self._path(name))

    def _path(self, name: str) -> str:
        if not protocol.is_manifest_name(name):
            raise InvalidRequest("not a manifest's name")
        return f"{self._files.manifests}/{name}"


def _owner(name: str) -> str:
    return f"manifest {name}"
