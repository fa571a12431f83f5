"""The packs of a directory at start: what a crash left is put in order, and every pack gets its index.

A pack without a good index was being written when the process ended, or lost its index. It is fsynced first, and
read from the device: entries that only the page cache holds must not be taken for durable ones, for a delete
that is repeated, or a put, is answered from what is found here. Then it is scanned, cut to its last sound entry and
sealed; writing goes on in a new pack. Used by one thread, before anything else; everything raises OSError.
"""

import logging
from collections.abc import Callable, Sequence

from storagenode import packcompaction, packformat
from storagenode.blobfile import Damaged
from storagenode.packformat import HEADER_BYTES, PackName, Scan
from storagenode.packindex import IndexDamaged, MemoryIndex
from storagenode.packset import Pack, PackSet

_log = logging.getLogger(__name__)


def recover(packs: PackSet, note_lost: Callable[[bytes, str], None]) -> None:
    """Fill the set. `note_lost(raw, reason)` keeps a damaged stretch of a pack of which not even the id is known."""
    names = _current_names(packs)
    found: list[Pack] = []
    for name in names:
        _check_header(packs, name)
        pack = _indexed(packs, name) or _scanned(packs, name, note_lost)
        if len(pack.index):
            found.append(pack)
        else:
            packcompaction.remove(packs, [name])
    packs.packs = tuple(found)
    for pack in found:
        for key, _place in pack.index.iterate_deletes():
            packs.bury(key, before=pack)


def _current_names(packs: PackSet) -> Sequence[PackName]:
    """The names of the packs that count, oldest first; the others are removed."""
    disk, directory = packs.disk, packs.directory
    files = set(disk.names(directory))
    names = [name for file in files if (name := packformat.parse_name(file)) is not None]
    current = [name for name in names if not any(other.replaces(name) for other in names)]
    # What is seen here may not be durable yet, and must be before that which it replaces goes.
    disk.fsync_directory(directory)
    replaced = [name for name in names if name not in current]
    if replaced:
        _log.warning("removing %d packs that a compaction has replaced", len(replaced))
        packcompaction.remove(packs, replaced)
    for file in files - {f"{name}.{kind}" for name in names for kind in ("pack", "index")}:
        if file.endswith(".index") and packformat.parse_name(f"{file[:-6]}.pack"):
            disk.unlink(f"{directory}/{file}")
        else:
            _log.warning("%s/%s is no pack", directory, file)
    return sorted(current, key=lambda name: (name.last, name.generation))


def _check_header(packs: PackSet, name: PackName) -> None:
    try:
        packformat.check_header(packs.descriptors.read(packs.path(name), 0, HEADER_BYTES), name)
    except Damaged as error:
        _log.warning("pack %s: %s; its name says the same", name, error)


def _indexed(packs: PackSet, name: PackName) -> Pack | None:
    try:
        index = packs.load_index(name)
    except FileNotFoundError:
        return None
    except IndexDamaged as error:
        _log.error("the index of pack %s is made again: %s", name, error)
        return None
    return Pack(name, packs.path(name), index, index.end)


def _scanned(packs: PackSet, name: PackName, note_lost: Callable[[bytes, str], None]) -> Pack:
    path = packs.path(name)
    with packs.descriptors.using(path) as descriptor:
        packs.disk.fsync(descriptor)
        packs.disk.drop_cache(descriptor)
        # Behind a sealed pack there was an index: damage at its end is no torn write.
        scan = packs.scan(name, sealed=packs.disk.exists(packs.index_path(name)))
        _note_damage(packs, name, scan, note_lost)
        if packs.disk.size(descriptor) > scan.end:
            _log.warning("pack %s is cut to %d bytes: what follows was torn by a crash", name, scan.end)
            packs.disk.truncate(path, scan.end)
            packs.disk.fsync(descriptor)
    memory = MemoryIndex.of(scan.entries)
    pack = Pack(name, path, memory, scan.end)
    pack.sealed = True
    if len(memory):
        try:
            pack.use(packs.write_index(name, scan.end, memory))
        except OSError as error:  # a full disk, say: the node must serve what it has, and be rid of what it need not
            _log.error("pack %s has no index file for now: %r", name, error)
    return pack


def _note_damage(packs: PackSet, name: PackName, scan: Scan, note_lost: Callable[[bytes, str], None]) -> None:
    for place in scan.torn:
        _log.warning("pack %s: %d bytes at %d were torn by a crash", name, place.length, place.offset)
    for found in scan.entries:
        if found.sound:
            continue
        _log.error("pack %s: the entry at %d is damaged", name, found.place.offset)
        if found.key is None:
            raw = packs.descriptors.read(packs.path(name), found.place.offset, found.place.length)
            note_lost(raw, f"pack entry at {found.place.offset} of {name.last}")
