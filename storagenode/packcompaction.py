"""Gives back what deleted blobs take in packs: neighbouring packs are written anew as one, without their dead entries.

The new pack takes the places of the old ones in the order of packs, instead of its entries being appended to the
open pack. So a delete that comes meanwhile, or came long ago, stands before or behind the copies exactly as it stood
before or behind the originals; the ranges of ids of packs stay narrow; and a crash leaves the old packs, or both, and
then the name of the new one says which packs it replaces.

    write the new pack under a temporary name, fsync it          crash: the temporary file is wiped
    write its index under the name to be                         crash: an index without a pack is removed
    rename the pack, fsync the directory                         crash: recovery removes the old packs
    look at the new pack instead of the old ones
    unlink the old packs, fsync the directory                    only then may the new pack itself ever go

A delete is copied as long as a pack older than those being rewritten holds a put of its id, dead or not; puts within
the rewritten packs go with it. The last step of each is durable before anything else happens: were an old pack
to come back after the pack that replaced it has gone, it would bring back deleted blobs.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from storagenode import packformat
from storagenode.disk import Buffer
from storagenode.packformat import HEADER_BYTES, Kind, PackName, Place, Prefix
from storagenode.packindex import FileIndex, IndexDamaged, MemoryIndex
from storagenode.packset import Pack, PackSet
from storagenode.protocol import DIGEST_BYTES

_log = logging.getLogger(__name__)

_WRITE_BYTES = 1024 * 1024
_NEIGHBOURS = 8
"""So many small packs in a row, left by restarts or by compaction, become one."""


class Compaction:
    """Chooses and rewrites packs of a set; one thread at a time.

    `verified(key, pack, place)` reads an entry: its prefix and its blob, or None when it was damaged and set aside.
    """

    def __init__(
        self,
        packs: PackSet,
        *,
        verified: Callable[[bytes, Pack, Place], tuple[Prefix, memoryview] | None],
        random_bytes: Callable[[int], bytes],
        pack_bytes: int,
        pack_entries: int,
    ) -> None:
        self._packs = packs
        self._disk = packs.disk
        self._verified = verified
        self._random_bytes = random_bytes
        self._pack_bytes = pack_bytes
        self._pack_entries = pack_entries
        self._stopped = False

    def index_sealed(self) -> None:
        """Write the index files of packs that were sealed. Raises OSError."""
        for pack in self._packs.packs:
            if pack.sealed and isinstance(pack.index, MemoryIndex):
                index = self._packs.write_index(pack.name, pack.end, pack.index)
                with self._packs.lock:
                    pack.use(index)

    def run(self) -> bool:
        """Rewrite the packs that are most worth it; whether there were any. Raises OSError."""
        if self._stopped:
            return False
        packs = self._packs.packs
        try:
            chosen = self._choose()
            if chosen:
                with self._packs.lock:
                    self._packs.buried = []
                self._rewrite(chosen)
        except (IndexDamaged, FileNotFoundError) as error:
            self._packs.recover(packs, error)
            return True
        finally:
            self._packs.buried = None
        return bool(chosen)

    def _choose(self) -> Sequence[Pack]:
        """Neighbours of which each is more than half dead, or many small ones."""
        indexed = [pack for pack in self._packs.packs if isinstance(pack.index, FileIndex)]
        small_bytes = self._pack_bytes // _NEIGHBOURS
        return self._first_run(indexed, self._is_half_dead, 1) or self._first_run(
            indexed, lambda pack: pack.end < small_bytes, _NEIGHBOURS
        )

    def _first_run(self, packs: Sequence[Pack], wanted: Callable[[Pack], bool], least: int) -> Sequence[Pack]:
        """The oldest neighbours, at least so many, that are wanted and fit into one pack."""
        run: list[Pack] = []
        for pack in packs:
            if wanted(pack) and self._fits([*run, pack]):
                run.append(pack)
            elif len(run) >= least:
                break
            else:
                run = [pack] if wanted(pack) else []
        return run if len(run) >= least else []

    def _fits(self, run: Sequence[Pack]) -> bool:
        return (
            sum(_kept_bytes(pack) for pack in run) <= self._pack_bytes
            and sum(len(pack.index) for pack in run) <= self._pack_entries
        ) or len(run) == 1

    def _is_half_dead(self, pack: Pack) -> bool:
        whole = pack.end - HEADER_BYTES
        if pack.live_bytes * 2 >= whole:
            return False
        useless = 0
        if pack.index.delete_count:
            at, useless = pack.useless_deletes
            if at != self._packs.compactions:
                useless = pack.index.delete_count - sum(1 for _ in self._needed_deletes([pack]))
                pack.useless_deletes = (self._packs.compactions, useless)
        return (_kept_bytes(pack) - useless * packformat.ENTRY_OVERHEAD_BYTES) * 2 < whole

    def _needed_deletes(self, chosen: Sequence[Pack]) -> Iterator[bytes]:
        """Ids whose delete still has an older put to hide."""
        seen: set[bytes] = set()
        for pack in chosen:
            for key, _place in pack.index.iterate_deletes():
                if key not in seen and self._packs.holds_put(key, below=chosen[0].name):
                    seen.add(key)
                    yield key

    def _rewrite(self, chosen: Sequence[Pack]) -> None:
        name = PackName(
            first=chosen[0].name.first,
            last=chosen[-1].name.last,
            generation=max(pack.name.generation for pack in chosen) + 1,
            salt=int.from_bytes(self._random_bytes(8)),
        )
        temporary = f"{self._packs.temporary}/{name}.pack"
        try:
            memory_index, end = self._write(temporary, name, chosen)
            index = self._packs.write_index(name, end, memory_index)
        except BaseException:
            for path in (temporary, self._packs.index_path(name)):
                with suppress(OSError):
                    self._disk.unlink(path)
            raise
        try:
            self._publish(temporary, Pack(name, self._packs.path(name), index, end), chosen)
        except BaseException:
            # Nobody knows which names are durable. Whatever they are, a start sorts them out.
            self._stopped = True
            raise

    def _write(self, path: str, name: PackName, chosen: Sequence[Pack]) -> tuple[MemoryIndex, int]:
        """The new pack, durable under its temporary name. Raises OSError."""
        output = _Output(name)
        descriptor = self._disk.create(path)
        try:
            # Deletes first: they count against older packs only, and not against the puts beside them.
            for key in self._needed_deletes(chosen):
                output.add(Kind.DELETE, key)
            for pack in chosen:
                for key, place in sorted(pack.live(), key=lambda one: one[1].offset):
                    self._copy(output, pack, key, place)
                    if output.waiting_bytes >= _WRITE_BYTES:
                        self._disk.write(descriptor, output.take())
            end = output.end
            output.add(Kind.END, bytes(packformat.ID_BYTES))
            self._disk.write(descriptor, output.take())
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)
        return output.index, end

    def _copy(self, output: "_Output", pack: Pack, key: bytes, place: Place) -> None:
        found = self._packs.find(key)
        if found is None or (found[0].name, found[1]) != (pack.name, place):
            return  # deleted meanwhile, or a newer entry counts
        entry = self._verified(key, pack, place)
        if entry is not None:
            prefix, payload = entry
            output.add(Kind.PUT, key, prefix, payload)

    def _publish(self, temporary: str, new: Pack, chosen: Sequence[Pack]) -> None:
        packs = self._packs
        self._disk.rename(temporary, new.path)
        self._disk.fsync_directory(packs.directory)
        kept = (new,) if len(new.index) else ()
        with packs.lock:
            at = [pack.name for pack in packs.packs].index(chosen[0].name)
            for key in packs.buried or []:
                new.bury(key)
            packs.packs = (*packs.packs[:at], *kept, *packs.packs[at + len(chosen) :])
            packs.compactions += 1
        remove(packs, [pack.name for pack in chosen])
        if not kept:
            remove(packs, [new.name])
        _log.info("%d packs of %d bytes became one of %d bytes", len(chosen), sum(pack.end for pack in chosen), new.end)


class _Output:
    """The entries of the new pack, and its index."""

    def __init__(self, name: PackName) -> None:
        self._name = name
        self._waiting: list[Buffer] = [packformat.make_header(name)]
        self.waiting_bytes = HEADER_BYTES
        self.end = HEADER_BYTES
        self.index = MemoryIndex()

    def add(self, kind: Kind, key: bytes, prefix: Prefix | None = None, payload: memoryview | None = None) -> None:
        buffers = packformat.make_entry(
            self._name,
            self.end,
            kind=kind,
            key=key,
            time_ms=prefix.time_ms if prefix else 0,
            batch=self.end if kind is Kind.END else HEADER_BYTES,
            origin=prefix.origin if prefix else b"",
            pieces=[payload] if payload is not None else [],
            size_bytes=prefix.size_bytes if prefix else 0,
            digest=prefix.digest if prefix else bytes(DIGEST_BYTES),
        )
        length = sum(len(buffer) for buffer in buffers)
        if kind is not Kind.END:
            self.index.add(kind, key, Place(offset=self.end, length=length))
        self._waiting += buffers
        self.waiting_bytes += length
        self.end += length

    def take(self) -> Sequence[Buffer]:
        taken, self._waiting, self.waiting_bytes = self._waiting, [], 0
        return taken


def remove(packs: PackSet, names: Sequence[PackName]) -> None:
    """Unlink packs and their indexes, durably. Raises OSError."""
    for name in names:
        for path in (packs.index_path(name), packs.path(name)):
            with suppress(FileNotFoundError):
                packs.disk.unlink(path)
            packs.descriptors.close(path)
    packs.disk.fsync_directory(packs.directory)


def _kept_bytes(pack: Pack) -> int:
    return pack.live_bytes + pack.index.delete_count * packformat.ENTRY_OVERHEAD_BYTES
