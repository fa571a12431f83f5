"""The blobs of one directory: stored durably, read verified, listed in time order. Synchronous; knows no
HTTP.

    DIR/node.json      who this node is (identity.py)
    DIR/lock           held by the one process that may use DIR
    DIR/blobs/         whole blob files (tree.py, blobfile.py)
    DIR/packs/         files that small blobs share (packstore.py, packformat.py)
    DIR/journal/       segments of the journal, the epoch promised, manifests (journal/files.py)
    DIR/tmp/           files being written; whatever is here at start was never acknowledged
    DIR/quarantine/    damaged files, kept for whoever wants to look, and so the list of damage (quarantine.py)

A large blob becomes visible by the rename that publishes its finished, fsynced file, so what is in blobs/ is
whole unless the disk damaged it. A small one becomes visible when its entry in a pack is fsynced. Directories of
before there were packs have small blobs as files; an id may stand in both forms, with the same bytes. All methods
may be called from many threads; all raise the errors of storagenode.errors.
"""

import heapq
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress

from storagenode import blobfile, packformat
from storagenode.blobfile import Footer, Layout
from storagenode.blobreader import BlobReader, OpenBlob
from storagenode.blobwriter import BlobWriter, NewBlob
from storagenode.disk import Buffer, Disk
from storagenode.errors import BlobConflict, BlobCorrupt, BlobNotFound, InvalidRequest, NodeError, disk_errors
from storagenode.packedblob import PackedWriter
from storagenode.packstore import PackLimits, PackStore
from storagenode.packwriter import Put
from storagenode.protocol import BlobInfo, StoredBlob, blob_time_ms
from storagenode.quarantine import BY_FSCK, BY_READ, BY_SCRUB, UNEXPLAINED, Quarantine
from storagenode.space import SpaceLedger
from storagenode.tree import BlobTree

_log = logging.getLogger(__name__)

_PRUNE_AFTER_MS = 5 * 60 * 1000  # leave alone the directories that new blobs may still go to
_STRIPES = 64
_PACK_LIMITS = PackLimits()


class DirectoryInUse(Exception):
    """Another process has this directory open."""


class BlobStore:
    """Opens DIR, an absolute path, on construction: makes what is missing, wipes temporary files.

    Raises DirectoryInUse, OSError.
    """

    def __init__(
        self,
        disk: Disk,
        directory: str,
        *,
        clock_ms: Callable[[], int],
        reserve_bytes: int | None = None,
        pack_limits: PackLimits = _PACK_LIMITS,
        random_bytes: Callable[[int], bytes] = os.urandom,
        background: bool = True,
    ) -> None:
        """Packs are compacted in the `background`, or else by maintain() only."""
        self._disk = disk
        self._clock_ms = clock_ms
        self._temporary = f"{directory}/tmp"
        _make_durably(disk, directory)
        for path in (f"{directory}/blobs", f"{directory}/packs", self._temporary, f"{directory}/quarantine"):
            disk.make_directory(path)
        self._lock = disk.lock(f"{directory}/lock")
        if self._lock is None:
            raise DirectoryInUse(directory)
        # The names above must outlast a power loss, or acknowledged blobs would vanish with blobs/.
        disk.fsync_directory(directory)
        for name in disk.names(self._temporary):
            disk.unlink(f"{self._temporary}/{name}")
        self.space = SpaceLedger(disk, directory, reserve_bytes)
        self.quarantine = Quarantine(disk, f"{directory}/quarantine")
        self._tree = BlobTree(disk, f"{directory}/blobs")
        self._numbers = itertools.count()  # of temporary files
        # Publishing, deleting and quarantining one blob exclude each other. Unrelated blobs may share a stripe.
        self._stripes = [threading.RLock() for _ in range(_STRIPES)]
        self._writing_lock = threading.Lock()
        self._writing: dict[str, list[NewBlob]] = {}  # by blob id, from begin() to discard()
        self._small_blob_bytes = pack_limits.small_blob_bytes
        self._packs = PackStore(
            disk,
            f"{directory}/packs",
            self._temporary,
            self.quarantine,
            pack_limits,
            clock_ms=clock_ms,
            random_bytes=random_bytes,
            elsewhere=self._is_held_as_file,
            background=background,
        )

    @property
    def quarantined(self) -> int:
        """Entries in the list of damage."""
        return self.quarantine.count

    def close(self) -> None:
        """Let another process have DIR. Returns when small blobs that are being written are done."""
        self._packs.close()
        if self._lock is not None:
            self._disk.close(self._lock)
            self._lock = None

    def begin(self, blob_id: str, origin: bytes, size_bytes: int) -> NewBlob:
        """A writer for a new blob, to be closed by publish() or its discard(). Raises NodeFull, InvalidRequest."""
        small = size_bytes <= self._small_blob_bytes
        writer = (self._begin_entry if small else self._begin_file)(blob_id, origin, size_bytes)
        with self._writing_lock:
            self._writing.setdefault(blob_id, []).append(writer)
        return writer

    def _begin_entry(self, blob_id: str, origin: bytes, size_bytes: int) -> NewBlob:
        try:
            blobfile.check_storable(blob_id, origin)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        with disk_errors():
            promise = self.space.promise(packformat.entry_bytes(len(origin), size_bytes))
        return PackedWriter(blob_id, origin, size_bytes, promise, self._forget_writer)

    def _begin_file(self, blob_id: str, origin: bytes, size_bytes: int) -> NewBlob:
        try:
            layout, header = blobfile.make_header(blob_id, origin, size_bytes)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        with disk_errors():
            promise = self.space.promise(layout.file_bytes)
        path = f"{self._temporary}/{blob_id}.{next(self._numbers)}"
        return BlobWriter(self._disk, path, layout, header, promise, self._forget_writer)

    def publish(self, writer: NewBlob) -> StoredBlob:
        """Make a written blob visible and durable under its id.

        A blob that is here already with the same bytes and origin is as good. Raises BlobConflict for any other,
        and when the blob was deleted since begin().
        """
        if isinstance(writer, PackedWriter):
            stored = self._packs.put(writer).result()
            writer.discard()
            return stored
        assert isinstance(writer, BlobWriter)
        return self._publish_file(writer)

    def submit(self, writer: NewBlob, pieces: Sequence[Buffer]) -> "Future[StoredBlob] | None":
        """As complete(), without blocking, for a small blob; the caller discards the writer. None for others."""
        if not isinstance(writer, PackedWriter):
            return None
        writer.write(pieces)
        return self._packs.put(writer)

    def _publish_file(self, writer: BlobWriter) -> StoredBlob:
        layout = writer.layout
        footer = writer.finish()
        stored = StoredBlob(size_bytes=layout.size_bytes, digest=footer.digest)
        # Only a directory whose limit for small blobs was another has such a blob in a pack.
        with suppress(BlobCorrupt):
            held = self._packs.stat(layout.blob_id)
            if held is not None and held == blobfile.info(layout, footer):
                writer.discard()
                return stored
        with disk_errors(), self._tree.place(layout.blob_id) as path:
            with self._stripe(layout.blob_id):
                if writer.condemned:
                    raise BlobConflict(f"{layout.blob_id} was deleted while it was written")
                if self._packs.holds(layout.blob_id):
                    raise BlobConflict(f"{layout.blob_id} is held with other bytes or another origin")
                if not self._holds(path, layout, footer):
                    self._disk.rename(writer.path, path)
                    writer.published()
            # Until its directory is on disk the name can still be lost, and the bytes with it. A blob that was
            # here before needs it as well: whoever renamed it may have been stopped before coming this far.
            self._tree.sync(layout.blob_id)
        writer.discard()
        return stored

    def put(self, blob_id: str, origin: bytes, pieces: Sequence[Buffer]) -> StoredBlob:
        """Store a blob that is in memory whole."""
        return self.complete(self.begin(blob_id, origin, sum(len(piece) for piece in pieces)), pieces)

    def complete(self, writer: NewBlob, pieces: Sequence[Buffer]) -> StoredBlob:
        """Write the last pieces of a blob and publish it, or discard it when that fails."""
        with writer:
            writer.write(pieces)
            return self.publish(writer)

    def open(self, blob_id: str) -> OpenBlob:
        """A reader, to be closed. Raises BlobNotFound, BlobCorrupt, NodeFailed."""
        packed = self._packs.open(blob_id)
        if packed is not None:
            return packed
        return self._reader(self._tree.path(blob_id), blob_id)

    def stat(self, blob_id: str) -> BlobInfo:
        """Raises BlobNotFound, BlobCorrupt, NodeFailed."""
        info = self._packs.stat(blob_id)
        if info is not None:
            return info
        with self._reader(self._tree.path(blob_id), blob_id) as reader:
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
            # Behind the writers condemned above: a put that the packs take up after this finds itself condemned.
            existed = self._packs.delete(blob_id) or existed
            # Also when nothing was there: the unlink of an earlier, interrupted call may not be durable yet.
            # Without a directory there is nothing to make durable: prune() removes it after such an fsync.
            with suppress(FileNotFoundError):
                self._tree.sync(blob_id)
        if self._clock_ms() - blob_time_ms(blob_id) > _PRUNE_AFTER_MS:
            self._tree.prune(blob_id)
        return existed

    def withdraw(self, blob_id: str) -> bool:
        """Move a sound blob that nobody can explain to quarantine; whether it was here. Raises NodeFailed, NodeFull."""
        with disk_errors(), self._tree.hold(blob_id):
            found = False
            with self._stripe(blob_id):
                path = self._tree.path(blob_id)
                if self._disk.exists(path):
                    self.quarantine.take(path, blob_id, now_ms=self._clock_ms(), found_by=BY_FSCK, reason=UNEXPLAINED)
                    self._tree.sync(blob_id)
                    found = True
            return self._packs.withdraw(blob_id) or found

    def list(self, *, after: str, before_ms: int, limit: int) -> list[BlobInfo]:
        """At most `limit` blobs with ids above `after`, written before before_ms, in id order.

        Blobs that turn out damaged or unreadable are left out.
        """
        found: list[BlobInfo] = []
        with disk_errors():
            for blob_id in self._walk(after):
                if len(found) >= limit or blob_time_ms(blob_id) >= before_ms:
                    break
                try:
                    found.append(self.stat(blob_id))
                except NodeError as error:
                    _log.warning("blob %s left out of a listing: %r", blob_id, error)
        return found

    def ids(self, after: str, limit: int) -> Sequence[str]:
        """At most `limit` ids of blobs held here, above `after`, in order; none of them is read. Raises NodeFailed."""
        with disk_errors():
            return list(itertools.islice(self._walk(after), limit))

    def verify(self, blob_id: str) -> int:
        """Compare every byte of a blob, as the device gives it, with its checksums; how many bytes were read.

        Nothing of it stays in the page cache. A damaged blob goes to quarantine, as with every read. Raises
        BlobNotFound, BlobCorrupt, NodeFailed.
        """
        packed = self._packs.open(blob_id, BY_SCRUB, from_device=True)
        path = self._tree.path(blob_id)
        if packed is not None and not self._disk.exists(path):
            return packed.info.size_bytes
        with self._reader(path, blob_id, found_by=BY_SCRUB) as reader:
            reader.verify_device()
            return reader.info.size_bytes + (packed.info.size_bytes if packed is not None else 0)

    def maintain(self) -> None:
        """Give back what deleted blobs take in packs, as the background does by itself. Raises NodeFailed, NodeFull."""
        with disk_errors():
            self._packs.maintain()

    def _walk(self, after: str) -> Iterator[str]:
        """Ids above `after` of blobs in either form, in order, each once. Raises OSError."""
        last = ""
        for blob_id in heapq.merge(self._tree.walk(after), self._packs.walk(after)):
            if blob_id != last:
                last = blob_id
                yield blob_id

    def _condemn_writers(self, blob_id: str) -> bool:
        with self._writing_lock:
            writers = self._writing.get(blob_id, [])
            for writer in writers:
                writer.condemned = True
            return bool(writers)

    def _forget_writer(self, writer: NewBlob) -> None:
        blob_id = writer.blob_id
        with self._writing_lock:
            others = [other for other in self._writing.get(blob_id, []) if other is not writer]
            if others:
                self._writing[blob_id] = others
            else:
                self._writing.pop(blob_id, None)

    def _reader(self, path: str, blob_id: str, *, found_by: str = BY_READ) -> BlobReader:
        def set_aside(descriptor: int, reason: str) -> None:
            self._set_aside(blob_id, path, descriptor, found_by, reason)

        return BlobReader(self._disk, path, blob_id, set_aside)

    def _is_held_as_file(self, put: Put) -> bool:
        """Whether a small blob is here already, whole and durable, as a file. Raises BlobConflict, OSError."""
        blob_id = packformat.id_of(put.key)
        path = self._tree.path(blob_id)
        # With the stripe: a larger blob of this id may be about to be published.
        with self._stripe(blob_id):
            if not self._disk.exists(path):
                return False
        with self._tree.hold(blob_id):
            try:
                with self._reader(path, blob_id) as reader:
                    reader.verify()
                    held = reader.info
            except (BlobCorrupt, BlobNotFound):
                return False
            if not put.is_same(held.origin, held.size_bytes, held.digest):
                raise BlobConflict(f"{blob_id} is held with other bytes or another origin")
            self._tree.sync(blob_id)
        return True

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

    def _set_aside(self, blob_id: str, path: str, descriptor: int, found_by: str, reason: str) -> None:
        """Move a file whose bytes are damaged to quarantine, where no read finds it and nothing deletes it."""
        with self._tree.hold(blob_id), self._stripe(blob_id):
            if not self._disk.is_same_file(descriptor, path):
                return  # set aside or deleted by another thread, and perhaps replaced by a good copy since
            kept = self.quarantine.take(path, blob_id, now_ms=self._clock_ms(), found_by=found_by, reason=reason)
            _log.error("blob %s is damaged (%s, found by %s); its file is now %s", blob_id, reason, found_by, kept)
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
