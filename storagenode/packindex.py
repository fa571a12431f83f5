"""Where the entries of one pack lie, by id: in memory while the pack grows, in a file beside it afterwards.

An index holds nothing that its pack does not, and can be made again by scanning it. All numbers are
big-endian.

    header   0   8  magic "CAIRNIDX"
             8   2  format version, 1
            10   6  zero
            16   8  generation of the pack
            24   8  salt of the pack
            32   8  end of the pack's last entry
            40   8  bytes of all entries listed as puts
            48   4  P, number of puts
            52   4  D, number of deletes
            56   8  XXH3-64 of the header so far
    page            146 records of 28 bytes: blob id (20), offset (4), length (4); zeros behind the last record
         -8      8  XXH3-64 of the page so far, seeded with the salt and the page's number

First the pages of the puts, then those of the deletes, each sorted by id, each id once: the last put of an id
that is not followed by a delete in the same pack, and its last delete, which counts against older packs. A look-up
reads one page: the first id of every page of puts is kept in memory, 20 bytes for 146 blobs. Every page that is read
is verified, so that damage to an index costs time and never an answer.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter

import xxhash

from storagenode.packformat import ID_BYTES, Found, Kind, PackName, Place

_MAGIC = b"CAIRNIDX"
_VERSION = 1
_HEADER = struct.Struct(">8sH6xQQQQII")
_CHECKSUM = struct.Struct(">Q")
_RECORD = struct.Struct(f">{ID_BYTES}sII")
_PAGE_BYTES = 4096
_PAGE_RECORDS = (_PAGE_BYTES - _CHECKSUM.size) // _RECORD.size
_MASK = (1 << 64) - 1

HEADER_BYTES = _HEADER.size + _CHECKSUM.size


class IndexDamaged(Exception):
    """An index file that is missing, damaged, or of another pack: to be made again."""


class MemoryIndex:
    """The index of a pack that grows, or was just sealed. One thread changes it, many look."""

    def __init__(self) -> None:
        self.puts: dict[bytes, Place] = {}
        self.deletes: dict[bytes, Place] = {}
        self.put_bytes = 0

    @classmethod
    def of(cls, entries: Iterable[Found]) -> "MemoryIndex":
        """The index of what a scan found, damaged entries among it: reading them tells of the damage."""
        index = cls()
        for found in entries:
            if found.key is not None and found.kind in (Kind.PUT, Kind.DELETE):
                index.add(found.kind, found.key, found.place)
        return index

    def __len__(self) -> int:
        return len(self.puts) + len(self.deletes)

    @property
    def delete_count(self) -> int:
        return len(self.deletes)

    def add(self, kind: Kind, key: bytes, place: Place) -> None:
        """Take note of the pack's next entry."""
        if kind is Kind.PUT:
            replaced = self.puts.get(key)
            self.puts[key] = place
            self.put_bytes += place.length
        else:
            replaced = self.puts.pop(key, None)
            self.deletes[key] = place
        if replaced is not None:
            self.put_bytes -= replaced.length

    def find(self, key: bytes) -> tuple[int, Place] | None:
        place = self.puts.get(key)
        return None if place is None else (0, place)

    def iterate_puts(self, after: bytes = b"") -> Iterator[tuple[int, bytes, Place]]:
        """Number, id and place of the puts with ids above `after`, sorted, as they are now."""
        found = sorted(((key, place) for key, place in list(self.puts.items()) if key > after), key=itemgetter(0))
        return ((0, key, place) for key, place in found)

    def iterate_deletes(self) -> Iterator[tuple[bytes, Place]]:
        return iter(sorted(self.deletes.items(), key=itemgetter(0)))


class FileIndex:
    """The index of a sealed pack. `read(offset, length)` reads its file.

    Everything raises IndexDamaged, and OSError when the file cannot be read.
    """

    def __init__(self, name: PackName, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._salt = name.salt
        header = read(0, HEADER_BYTES)
        if len(header) != HEADER_BYTES or _CHECKSUM.unpack_from(header, _HEADER.size) != (
            xxhash.xxh3_64_intdigest(header[: _HEADER.size]),
        ):
            raise IndexDamaged("header checksum")
        magic, version, generation, salt, self.end, self.put_bytes, puts, deletes = _HEADER.unpack_from(header)
        if (magic, version, generation, salt) != (_MAGIC, _VERSION, name.generation, name.salt):
            raise IndexDamaged("the index of another pack")
        self.put_count: int = puts
        self.delete_count: int = deletes
        self._put_pages = _pages(puts)
        # Read once from end to end, so that a damaged index is made again before anybody waits for it.
        firsts = [self._page(number) for number in range(self._put_pages + _pages(deletes))][: self._put_pages]
        self._firsts = b"".join(page[:ID_BYTES] for page in firsts)
        self.first_key = self._firsts[:ID_BYTES]
        self.last_key = b""
        if puts:
            at = (puts - 1) % _PAGE_RECORDS * _RECORD.size
            self.last_key = firsts[-1][at : at + ID_BYTES]

    def __len__(self) -> int:
        return self.put_count + self.delete_count

    def find(self, key: bytes) -> tuple[int, Place] | None:
        """Number and place of a put."""
        if not self.first_key <= key <= self.last_key:
            return None
        number = bisect_right(range(self._put_pages), key, key=self._first_of) - 1
        page = self._page(number)
        records = range(min(_PAGE_RECORDS, self.put_count - number * _PAGE_RECORDS))
        at = bisect_right(records, key, key=lambda one: page[one * _RECORD.size : one * _RECORD.size + ID_BYTES]) - 1
        held, offset, length = _RECORD.unpack_from(page, max(at, 0) * _RECORD.size)
        return (number * _PAGE_RECORDS + at, Place(offset=offset, length=length)) if held == key else None

    def iterate_puts(self, after: bytes = b"") -> Iterator[tuple[int, bytes, Place]]:
        """Number, id and place of the puts with ids above `after`, sorted; holds one page."""
        first_page = max(0, bisect_right(range(self._put_pages), after, key=self._first_of) - 1)
        for page in range(first_page, self._put_pages):
            for number, (key, place) in enumerate(self._records(page, self.put_count, page), page * _PAGE_RECORDS):
                if key > after:
                    yield number, key, place

    def iterate_deletes(self) -> Iterator[tuple[bytes, Place]]:
        for page in range(_pages(self.delete_count)):
            yield from self._records(self._put_pages + page, self.delete_count, page)

    def _first_of(self, page: int) -> bytes:
        return self._firsts[page * ID_BYTES : (page + 1) * ID_BYTES]

    def _records(self, page: int, count: int, page_of_section: int) -> Iterator[tuple[bytes, Place]]:
        here = min(_PAGE_RECORDS, count - page_of_section * _PAGE_RECORDS)
        for key, offset, length in _RECORD.iter_unpack(self._page(page)[: here * _RECORD.size]):
            yield key, Place(offset=offset, length=length)

    def _page(self, number: int) -> bytes:
        page = self._read(HEADER_BYTES + number * _PAGE_BYTES, _PAGE_BYTES)
        if len(page) != _PAGE_BYTES or page[-_CHECKSUM.size :] != _page_checksum(page, self._salt, number):
            raise IndexDamaged(f"page {number}")
        return page


def make_index(name: PackName, end: int, index: MemoryIndex) -> bytes:
    """The index file of a pack that ends at `end`."""
    start = _HEADER.pack(
        _MAGIC, _VERSION, name.generation, name.salt, end, index.put_bytes, len(index.puts), len(index.deletes)
    )
    parts = [start, _CHECKSUM.pack(xxhash.xxh3_64_intdigest(start))]
    number = 0
    for section in (index.puts, index.deletes):
        for page in _make_pages(section):
            parts += [page, _page_checksum(page, name.salt, number)]
            number += 1
    return b"".join(parts)


def _make_pages(section: Mapping[bytes, Place]) -> Iterator[bytes]:
    records = [
        _RECORD.pack(key, place.offset, place.length) for key, place in sorted(section.items(), key=itemgetter(0))
    ]
    for at in range(0, len(records), _PAGE_RECORDS):
        yield b"".join(records[at : at + _PAGE_RECORDS]).ljust(_PAGE_BYTES - _CHECKSUM.size, b"\0")


def _pages(count: int) -> int:
    return -(-count // _PAGE_RECORDS)


def _page_checksum(page: bytes, salt: int, number: int) -> bytes:
    body = memoryview(page)[: _PAGE_BYTES - _CHECKSUM.size]
    return xxhash.xxh3_64_digest(body, seed=(salt + number) & _MASK)
