"""The blobs of one directory: stored durably, read verified, listed in time order. Synchronous; knows no
HTTP.

    DIR/node.json      who this node is (identity.py)
    DIR/lock           held by the one process that may use DIR
    DIR/blobs/         whole blob files (tree.py, blobfile.py)
    DIR/tmp/           files being written; whatever is here at start was never acknowledged
    DIR/quarantine/    damaged files, kept for whoever wants to look; nothing here is ever deleted by the node

A blob becomes visible by the rename that publishes its finished, fsynced file, so what is in blobs/ is
whole unless the disk damaged it. All methods may be called from many threads; all raise the errors of
storagenode.errors.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from storagenode import blobfile
from storagenode.blobfile import Footer, Layout
from storagenode.blobreader import BlobReader
from storagenode.blobwriter import BlobWriter
from storagenode.disk import Buffer, Disk
from storagenode.errors import BlobConflict, BlobCorrupt, InvalidRequest, NodeError, disk_errors
from storagenode.protocol import BlobInfo, StoredBlob, blob_time_ms
from storagenode.space import SpaceLedger
from storagenode.tree import BlobTree

_log = logging.getLogger(__name__)

_PRUNE_AFTER_MS = 5 * 60 * 1000  # leave alone the directories that new blobs may still go to
_STRIPES = 64


class DirectoryInUse(Exception):
    """Another process has this directory open."""


class BlobStore:
    """Opens DIR, an absolute path, on construction: makes what is missing, wipes temporary files.

    Raises DirectoryInUse, OSError.
    """

    def __init__(
        self, disk: Disk, directory: str, *, clock_ms: Callable[[], int], reserve_bytes: int | None = None
    ) -> None:
        self._disk = disk
        self._clock_ms = clock_ms
        self._temporary = f"{directory}/tmp"
        self._quarantine = f"{directory}/quarantine"
        _make_durably(disk, directory)
        for path in (f"{directory}/blobs", self._temporary, self._quarantine):
            disk.make_directory(path)
        self._lock = disk.lock(f"{directory}/lock")
        if self._lock is None:
            raise DirectoryInUse(directory)
        # The three names above must outlast a power loss, or acknowledged blobs would vanish with blobs/.
        disk.fsync_directory(directory)
        for name in disk.names(self._temporary):
            disk.unlink(f"{self._temporary}/{name}")
        self.space = SpaceLedger(disk, directory, reserve_bytes)
        self.quarantined = len(disk.names(self._quarantine))
        self._tree = BlobTree(disk, f"{directory}/blobs")
        self._numbers = itertools.count()  # of temporary files
        # Publishing, deleting and quarantining one blob exclude each other. Unrelated blobs may share a stripe.
        self._stripes = [threading.RLock() for _ in range(_STRIPES)]
        self._writing_lock = threading.Lock()
        self._writing: dict[str, list[BlobWriter]] = {}  # by blob id, from begin() to discard()

    def close(self) -> None:
        """Let another process have DIR."""
        if self._lock is not None:
            self._disk.close(self._lock)
            self._lock = None

    def begin(self, blob_id: str, origin: bytes, size_bytes: int) -> BlobWriter:
        """A writer for a new blob, to be closed by publish() or its discard(). Raises NodeFull, InvalidRequest."""
        try:
            layout, header = blobfile.make_header(blob_id, origin, size_bytes)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        with disk_errors():
            promise = self.space.promise(layout.file_bytes)
        path = f"{self._temporary}/{blob_id}.{next(self._numbers)}"
        writer = BlobWriter(self._disk, path, layout, header, promise, self._forget_writer)
        with self._writing_lock:
            self._writing.setdefault(blob_id, []).append(writer)
        return writer

    def publish(self, writer: BlobWriter) -> StoredBlob:
        """Make a written blob visible and durable under its id.

        A blob that is here already with the same bytes and origin is as good. Raises BlobConflict for any other,
        and when the blob was deleted since begin().
        """
        layout = writer.layout
        footer = writer.finish()
        with disk_errors(), self._tree.place(layout.blob_id) as path:
            with self._stripe(layout.blob_id):
                if writer.condemned:
                    raise BlobConflict(f"{layout.blob_id} was deleted while it was written")
                if not self._holds(path, layout, footer):
                    self._disk.rename(writer.path, path)
                    writer.published()
            # Until its directory is on disk the name can still be lost, and the bytes with it. A blob that was
            # here before needs it as well: whoever renamed it may have been stopped before coming this far.
            self._tree.sync(layout.blob_id)
        writer.discard()
        return StoredBlob(size_bytes=layout.size_bytes, digest=footer.digest)

    def put(self, blob_id: str, origin: bytes, pieces: Sequence[Buffer]) -> StoredBlob:
        """Store a blob that is in memory whole."""
        return self.complete(self.begin(blob_id, origin, sum(len(piece) for piece in pieces)), pieces)

    def complete(self, writer: BlobWriter, pieces: Sequence[Buffer]) -> StoredBlob:
        """Write the last pieces of a blob and publish it, or discard it when that fails."""
        with writer:
            writer.write(pieces)
            return self.publish(writer)

    def open(self, blob_id: str) -> BlobReader:
        """A reader, to be closed. Raises BlobNotFound, BlobCorrupt, NodeFailed."""
        return self._reader(self._tree.path(blob_id), blob_id)

    def stat(self, blob_id: str) -> BlobInfo:
        """Raises BlobNotFound, BlobCorrupt, NodeFailed."""
        with self.open(blob_id) as reader:
            return reader.info

    def delete(self, blob_id: str) -> bool:
        """Remove a blob durably; whether there was one, or one on its way in.

        A write that has begun by now will not be published: whoever gave up a put and deletes what may have come of
        it can be sure that it does not appear afterwards.
        """
        with disk_errors(), self._tree.hold(blob_id):
            with self._stripe(blob_id):
                existed = self._condemn_writers(blob_id)
                with suppress(FileNotFoundError):
                    self._disk.unlink(self._tree.path(blob_id))
                    existed = True
            # Also when nothing was there: the unlink of an earlier, interrupted call may not be durable yet.
            # Without a directory there is nothing to make durable: prune() removes it after such an fsync.
            with suppress(FileNotFoundError):
                self._tree.sync(blob_id)
        if self._clock_ms() - blob_time_ms(blob_id) > _PRUNE_AFTER_MS:
            self._tree.prune(blob_id)
        return existed

    def list(self, *, after: str, before_ms: int, limit: int) -> list[BlobInfo]:
        """At most `limit` blobs with ids above `after`, written before before_ms, in id order.

        Blobs that turn out damaged or unreadable are left out.
        """
        found: list[BlobInfo] = []
        with disk_errors():
            for blob_id in self._tree.walk(after):
                if len(found) >= limit or blob_time_ms(blob_id) >= before_ms:
                    break
                try:
                    found.append(self.stat(blob_id))
                except NodeError as error:
                    _log.warning("blob %s left out of a listing: %r", blob_id, error)
        return found

    def _condemn_writers(self, blob_id: str) -> bool:
        with self._writing_lock:
            writers = self._writing.get(blob_id, [])
            for writer in writers:
                writer.condemned = True
            return bool(writers)

    def _forget_writer(self, writer: BlobWriter) -> None:
        blob_id = writer.layout.blob_id
        with self._writing_lock:
            others = [other for other in self._writing.get(blob_id, []) if other is not writer]
            if others:
                self._writing[blob_id] = others
            else:
                self._writing.pop(blob_id, None)

    def _reader(self, path: str, blob_id: str) -> BlobReader:
        return BlobReader(self._disk, path, blob_id, lambda descriptor: self._set_aside(blob_id, path, descriptor))

    def _holds(self, path: str, layout: Layout, footer: Footer) -> bool:
        """Whether the blob is here already, whole. A damaged copy is set aside, to be replaced by the new one."""
        if not self._disk.exists(path):
            return False
        try:
            with self._reader(path, layout.blob_id) as reader:
                reader.verify()
                held = reader.info
        except BlobCorrupt:
            return False
        if held != blobfile.info(layout, footer):
            raise BlobConflict(f"{layout.blob_id} is held with other bytes or another origin")
        return True

    def _set_aside(self, blob_id: str, path: str, descriptor: int) -> None:
        """Move a file whose bytes are damaged to quarantine, where no read finds it and nothing deletes it."""
        with self._tree.hold(blob_id), self._stripe(blob_id):
            if not self._disk.is_same_file(descriptor, path):
                return  # set aside or deleted by another thread, and perhaps replaced by a good copy since
            kept = f"{self._quarantine}/{blob_id}.{self._clock_ms()}.{next(self._numbers)}"
            self._disk.rename(path, kept)
            self.quarantined += 1
            _log.error("blob %s is damaged; its file is now %s", blob_id, kept)
            self._disk.fsync_directory(self._quarantine)
            self._tree.sync(blob_id)

    def _stripe(self, blob_id: str) -> threading.RLock:
        return self._stripes[hash(blob_id) % _STRIPES]


def _make_durably(disk: Disk, directory: str) -> None:
    """Make a directory and its missing parents, each of which must last if anything in it is to last.

    The fsync of the parent is also due when the directory is there already: whoever made it may not have
    come so far. A parent that this user may not read was made by somebody else.
    """
    parent = directory.rpartition("/")[0] or "/"
    if not disk.exists(parent):
        _make_durably(disk, parent)
    disk.make_directory(directory)
    with suppress(PermissionError):
        disk.fsync_directory(parent)
