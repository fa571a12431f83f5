"""The small blobs of one directory, in packs: found, read verified, written by group commit, given back.

An entry is read whole by one pread and held against its checksums before a byte of it goes anywhere. Damage is
looked at twice (blobreader.py says why); then the raw bytes are copied to quarantine, and a delete entry for
this one entry makes sure that it is not found again, so that a repaired copy can take its place.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from storagenode import blobfile, packformat, packrecovery
from storagenode.blobfile import Damaged
from storagenode.disk import Disk
from storagenode.errors import BlobCorrupt, NodeError, NodeFailed, disk_errors
from storagenode.packcompaction import Compaction
from storagenode.packedblob import PackedReader, PackedWriter
from storagenode.packformat import PackName, Place, Prefix
from storagenode.packset import Pack, PackSet
from storagenode.packwriter import Delete, PackWriter, Put, is_held
from storagenode.protocol import BlobInfo, StoredBlob
from storagenode.quarantine import BY_FSCK, BY_READ, UNEXPLAINED, Quarantine

_log = logging.getLogger(__name__)

_PAUSE_S = 0.5  # of the background thread: every delete wakes it, and a look at all packs does not pay for each

_PREFIX_READ_BYTES = 2048  # has the prefix of an entry with an origin of usual length
_NO_BLOB = packformat.id_of(
    bytes(packformat.ID_BYTES)
)  # stands in the list of damage for an entry of which not even the id is left


@dataclass(frozen=True, slots=True, kw_only=True)
class PackLimits:
    """What goes to packs, and when a pack is full. No blob is small at -1."""

    small_blob_bytes: int = packformat.SMALL_BLOB_BYTES
    pack_bytes: int = packformat.PACK_BYTES
    pack_entries: int = packformat.PACK_ENTRIES


class PackStore:
    """DIR/packs, which must exist durably, as must temporary. For many threads. Opening raises OSError.

    `elsewhere(put)` says whether the blob of a put is held as a file; it raises BlobConflict for another blob.
    """

    def __init__(
        self,
        disk: Disk,
        directory: str,
        temporary: str,
        quarantine: Quarantine,
        limits: PackLimits,
        *,
        clock_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        elsewhere: Callable[[Put], bool],
        background: bool,
    ) -> None:
        self._quarantine = quarantine
        self._clock_ms = clock_ms
        self._packs = PackSet(disk, directory, temporary)
        packrecovery.recover(self._packs, self._note_lost)
        self._background = background
        self._writer = PackWriter(
            self._packs,
            clock_ms=clock_ms,
            random_bytes=random_bytes,
            held=self._is_held,
            elsewhere=elsewhere,
            sealed=self._wake,
            pack_bytes=limits.pack_bytes,
            pack_entries=limits.pack_entries,
        )
        self._compaction = Compaction(
            self._packs,
            verified=self._copyable,
            random_bytes=random_bytes,
            pack_bytes=limits.pack_bytes,
            pack_entries=limits.pack_entries,
        )
        self._lock = threading.Lock()
        self._pending: dict[bytes, int] = {}  # puts that were submitted and not answered, by id
        self._aside = threading.Lock()
        self._work = threading.Event()
        self._stopping = threading.Event()
        self._maintenance_lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._wake()

    def close(self) -> None:
        """Ends the threads; returns when what was submitted is done."""
        self._stopping.set()
        self._work.set()
        self._writer.close()
        if self._worker is not None:
            self._worker.join()
        try:
            self._compaction.index_sealed()
        except OSError as error:
            _log.warning("packs are left without an index, which the next start makes: %r", error)
        self._packs.descriptors.close()

    # --- writing ---

    def put(self, writer: PackedWriter) -> "Future[StoredBlob]":
        """Have a blob written; done when it is durable. Raises InvalidRequest; the future fails with NodeError."""
        operation = writer.finish()
        key = operation.key
        with self._lock:
            self._pending[key] = self._pending.get(key, 0) + 1
        operation.future.add_done_callback(lambda _future: self._settle(key))
        try:
            self._writer.submit(operation)
        except RuntimeError as error:
            self._settle(key)
            raise NodeFailed(str(error)) from error
        return operation.future

    def delete(self, blob_id: str) -> bool:
        """Remove a blob durably; whether there was one. Raises NodeError."""
        operation = Delete(key=packformat.key_of(blob_id))
        self._submit(operation)
        existed = operation.future.result()
        if existed:
            self._wake()
        return existed

    def holds(self, blob_id: str) -> bool:
        """Whether there is a blob of this id, or a put of one on its way. Raises OSError."""
        key = packformat.key_of(blob_id)
        with self._lock:
            expected = key in self._pending
        return expected or self._packs.find(key) is not None

    # --- reading ---

    def open(self, blob_id: str, found_by: str = BY_READ, *, from_device: bool = False) -> PackedReader | None:
        """The whole blob, verified; None when it is in no pack. Raises BlobCorrupt, NodeFailed."""
        key = packformat.key_of(blob_id)
        with disk_errors():
            while (found := self._packs.find(key)) is not None:
                try:
                    if from_device:
                        self._packs.descriptors.drop_cache(found[0].path)
                    prefix, payload = self._verified(key, *found, found_by)
                    return PackedReader(prefix.info, payload)
                except FileNotFoundError as error:
                    self._expect_change(key, found[0], error)
        return None

    def stat(self, blob_id: str) -> BlobInfo | None:
        """What is said of a blob before its bytes, verified; None when it is in no pack. Raises as open()."""
        key = packformat.key_of(blob_id)
        with disk_errors():
            while (found := self._packs.find(key)) is not None:
                try:
                    if (prefix := self._prefix(key, *found)) is not None:
                        return prefix.info
                    reader = self.open(blob_id)
                    return None if reader is None else reader.info
                except FileNotFoundError as error:
                    self._expect_change(key, found[0], error)
        return None

    def walk(self, after: str) -> Iterator[str]:
        """Ids above `after`, in order. Raises OSError."""
        for key in self._packs.walk(packformat.key_of(after) if after else b""):
            yield packformat.id_of(key)

    # --- maintenance ---

    def maintain(self) -> None:
        """Write the indexes of sealed packs, then compact until nothing is worth it. Raises OSError."""
        with self._maintenance_lock:
            self._compaction.index_sealed()
            while not self._stopping.is_set() and self._compaction.run():
                pass

    def _wake(self) -> None:
        """Something to do for the background thread."""
        if not self._background or self._stopping.is_set():
            return
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work_off, name="pack-maintenance", daemon=True)
                self._worker.start()
        self._work.set()

    def _work_off(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            self._work.wait()
            self._work.clear()
            if self._stopping.is_set():
                return
            try:
                self.maintain()
            except Exception:  # noqa: BLE001 - a worker loop; the next turn may succeed
                _log.exception("packs could not be indexed or compacted; the next seal or delete tries again")

    # --- entries ---

    def _submit(self, operation: Delete) -> None:
        try:
            self._writer.submit(operation)
        except RuntimeError as error:
            raise NodeFailed(str(error)) from error

    def _settle(self, key: bytes) -> None:
        with self._lock:
            left = self._pending.get(key, 1) - 1
            if left:
                self._pending[key] = left
            else:
                self._pending.pop(key, None)

    def _expect_change(self, key: bytes, pack: Pack, error: FileNotFoundError) -> None:
        """A pack's file is gone: it was compacted, and the blob is elsewhere now. Raises NodeFailed if it is not."""
        found = self._packs.find(key)
        if found is not None and found[0].name == pack.name:
            raise NodeFailed(f"{packformat.id_of(key)}: the file of its pack is gone") from error

    def _prefix(self, key: bytes, pack: Pack, place: Place) -> Prefix | None:
        """The beginning of an entry, or None when it is not sound."""
        start = b""
        for size_bytes in (_PREFIX_READ_BYTES, packformat.PREFIX_LIMIT_BYTES):
            try:
                start = self._packs.descriptors.read(pack.path, place.offset, min(place.length, size_bytes))
                prefix = packformat.parse_prefix(start, pack.name, place.offset)
            except Damaged:
                return None
            if prefix is not None:
                return prefix if (prefix.key, prefix.entry_bytes) == (key, place.length) else None
        return None

    def _verified(self, key: bytes, pack: Pack, place: Place, found_by: str) -> tuple[Prefix, memoryview]:
        """Read an entry; a damaged one is set aside. Raises BlobCorrupt, NodeFailed, OSError."""
        try:
            return self._parse(key, pack, place, self._packs.read(pack, place))
        except Damaged as first:
            _log.warning("blob %s looks damaged (%s), reading it once more", packformat.id_of(key), first)
        self._packs.descriptors.drop_cache(pack.path)
        raw = self._packs.read(pack, place)
        try:
            return self._parse(key, pack, place, raw)
        except Damaged as second:
            self._set_aside(key, pack, place, raw, found_by, str(second))
            raise BlobCorrupt(f"{packformat.id_of(key)}: {second}") from second

    def _parse(self, key: bytes, pack: Pack, place: Place, raw: bytes) -> tuple[Prefix, memoryview]:
        prefix, payload = packformat.parse_entry(memoryview(raw), pack.name, place.offset)
        if prefix.key != key or prefix.entry_bytes != place.length:
            raise Damaged("the entry of another blob")
        return prefix, payload

    def _copyable(self, key: bytes, pack: Pack, place: Place) -> tuple[Prefix, memoryview] | None:
        """For compaction: an entry, or None when it is damaged and was set aside. Raises BlobCorrupt, OSError."""
        try:
            return self._verified(key, pack, place, BY_READ)
        except BlobCorrupt:
            found = self._packs.find(key)
            if found is not None and found[0].name == pack.name:
                raise  # it could not be set aside, so what is left of it must not go
            return None

    def withdraw(self, blob_id: str) -> bool:
        """Copy an entry to quarantine and let it be found no more; whether it was here. Raises OSError, NodeError."""
        key = packformat.key_of(blob_id)
        with self._aside:
            while (found := self._packs.find(key)) is not None:
                pack, place = found
                try:
                    raw = self._packs.read(pack, place)
                except FileNotFoundError as error:
                    self._expect_change(key, pack, error)
                    continue
                self._keep(blob_id, pack.name, place, raw, BY_FSCK, UNEXPLAINED)
                delete = Delete(key=key, only=(pack.name, place.offset))
                self._submit(delete)
                if delete.future.result():
                    return True
                # A compaction moved it meanwhile: once more, with one copy too many in quarantine.
        return False

    def _set_aside(self, key: bytes, pack: Pack, place: Place, raw: bytes, found_by: str, reason: str) -> None:
        """Copy a damaged entry to quarantine and let it be found no more."""
        blob_id = packformat.id_of(key)
        with self._aside:
            found = self._packs.find(key)
            if found is None or (found[0].name, found[1]) != (pack.name, place):
                return  # set aside or deleted by another thread, and perhaps replaced by a good copy since
            try:
                self._keep(blob_id, pack.name, place, raw, found_by, reason)
                delete = Delete(key=key, only=(pack.name, place.offset))
                self._submit(delete)
                delete.future.result()
            except (OSError, NodeError) as error:
                _log.error("blob %s is damaged and cannot be quarantined: %r", blob_id, error)

    def _keep(self, blob_id: str, name: PackName, place: Place, raw: bytes, found_by: str, reason: str) -> None:
        contents = [raw]
        try:
            prefix = packformat.parse_prefix(raw, name, place.offset)
            if prefix is not None:  # as the beginning of a blob file, which the list of damage can read
                contents = [blobfile.make_header(blob_id, prefix.origin, prefix.size_bytes)[1], raw]
        except Damaged:
            pass
        kept = self._quarantine.keep(blob_id, contents, now_ms=self._clock_ms(), found_by=found_by, reason=reason)
        _log.error("blob %s is damaged (%s, found by %s); what is left of it is in %s", blob_id, reason, found_by, kept)

    def _note_lost(self, raw: bytes, reason: str) -> None:
        self._quarantine.keep(_NO_BLOB, [raw], now_ms=self._clock_ms(), found_by=BY_READ, reason=reason)

    def _is_held(self, pack: Pack, place: Place, put: Put) -> bool:
        """Whether an entry is the blob of a put, whole. A damaged one is copied to quarantine, to be replaced."""
        try:
            return is_held(self._packs.read(pack, place), pack, place, put)
        except Damaged:
            self._packs.descriptors.drop_cache(pack.path)
        raw = self._packs.read(pack, place)
        try:
            return is_held(raw, pack, place, put)
        except Damaged as damage:
            self._keep(packformat.id_of(put.key), pack.name, place, raw, BY_READ, str(damage))
            return False
