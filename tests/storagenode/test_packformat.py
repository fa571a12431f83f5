"""The format of pack files and of their indexes, without a disk."""

import random

import pytest
import xxhash

from storagenode import packformat, packindex
from storagenode.blobfile import Damaged
from storagenode.packformat import HEADER_BYTES, Found, Kind, PackName, Place, UnknownPack
from storagenode.packindex import FileIndex, IndexDamaged, MemoryIndex
from tests.storagenode.support import ORIGIN, blob_id, content

NAME = PackName(first=7, last=9, generation=2, salt=0x0123456789ABCDEF)
OTHER = PackName(first=7, last=9, generation=2, salt=0xFEDCBA9876543210)


def key(number: int) -> bytes:
    return packformat.key_of(blob_id(number))


def entry(
    offset: int, number: int, kind: Kind = Kind.PUT, *, batch: int, payload: bytes = b"", name: PackName = NAME
) -> bytes:
    is_put = kind is Kind.PUT
    return b"".join(
        packformat.make_entry(
            name,
            offset,
            kind=kind,
            key=key(number),
            time_ms=5,
            batch=batch,
            origin=ORIGIN if is_put else b"",
            pieces=[payload] if is_put else [],
            size_bytes=len(payload) if is_put else 0,
            digest=xxhash.xxh3_128_digest(payload) if is_put else bytes(16),
        )
    )


def make_pack(*batches: list[tuple[int, Kind, bytes]]) -> tuple[bytes, list[Place]]:
    image, places = packformat.make_header(NAME), []
    for batch in batches:
        start = len(image)
        for number, kind, payload in batch:
            one = entry(len(image), number, kind, batch=start, payload=payload)
            places.append(Place(offset=len(image), length=len(one)))
            image += one
    return image, places


PUT, DELETE = Kind.PUT, Kind.DELETE
BATCHES = (
    [(1, PUT, content(10, b"1")), (2, PUT, b""), (3, PUT, content(300, b"3"))],
    [(1, DELETE, b""), (4, PUT, content(50, b"4"))],
    [(5, PUT, content(70, b"5")), (6, PUT, content(71, b"6"))],
)


def found(place: Place, number: int, kind: Kind, *, sound: bool = True) -> Found:
    return Found(place=place, kind=kind, key=key(number), sound=sound)


def expected() -> tuple[bytes, list[Found]]:
    image, places = make_pack(*BATCHES)
    flat = [(number, kind) for batch in BATCHES for number, kind, _ in batch]
    return image, [found(place, *one) for place, one in zip(places, flat, strict=True)]


def test_what_was_written_is_found_and_read() -> None:
    image, entries = expected()
    scan = packformat.scan(image, NAME, sealed=False)
    assert (list(scan.entries), scan.end, scan.torn) == (entries, len(image), [])
    place = entries[2].place
    prefix, payload = packformat.parse_entry(
        memoryview(image)[place.offset : place.offset + place.length], NAME, place.offset
    )
    assert payload == content(300, b"3")
    assert (prefix.info.blob_id, prefix.info.origin, prefix.info.durable_ms) == (blob_id(3), ORIGIN, 5)


def test_ids_sort_as_their_keys() -> None:
    names = [
        blob_id(number, at_ms=at_ms, segment=segment)
        for at_ms in (0, 1 << 40)
        for number in (0, 300)
        for segment in (0, 1 << 31)
    ]
    assert [packformat.id_of(packformat.key_of(name)) for name in names] == names == sorted(names)
    assert sorted(map(packformat.key_of, names)) == list(map(packformat.key_of, names))


def test_a_name_says_what_it_replaces() -> None:
    assert packformat.parse_name(f"{NAME}.pack") == NAME
    for stranger in (f"{NAME}.index", "x.pack", f"{NAME}.pack.pack"):
        assert packformat.parse_name(stranger) is None

    def name(first: int, last: int, generation: int) -> PackName:
        return PackName(first=first, last=last, generation=generation, salt=0)

    assert name(3, 5, 1).replaces(name(4, 4, 7))
    assert name(3, 3, 1).replaces(name(3, 3, 0))
    assert not name(3, 3, 1).replaces(name(3, 3, 1))
    assert not name(3, 3, 0).replaces(name(3, 3, 1))
    assert not name(3, 4, 9).replaces(name(4, 5, 0))


def test_every_flipped_bit_of_an_entry_is_detected() -> None:
    image, entries = expected()
    place = entries[0].place
    whole = image[place.offset : place.offset + place.length]
    for position in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(Damaged):
            packformat.parse_entry(memoryview(damaged), NAME, place.offset)


def test_every_flipped_bit_of_a_pack_costs_its_own_entry_only_and_is_told() -> None:
    """All of the pack was acknowledged: none of it is taken for torn."""
    image, entries = expected()
    for position in range(HEADER_BYTES * 8, len(image) * 8, 3):
        damaged = bytearray(image)
        damaged[position // 8] ^= 1 << position % 8
        scan = packformat.scan(bytes(damaged), NAME, sealed=True)
        hit = next(one for one in entries if one.place.offset <= position // 8 < one.place.offset + one.place.length)
        assert list(scan.entries) == [
            Found(place=one.place, kind=one.kind, key=one.key, sound=one is not hit) for one in entries
        ]


def test_a_whole_sector_lost_is_one_stretch_and_the_entries_around_it_stay() -> None:
    image, entries = expected()
    third = entries[2].place
    damaged = image[: third.offset] + bytes(third.length) + image[third.offset + third.length :]
    scan = packformat.scan(damaged, NAME, sealed=False)
    assert [one.sound for one in scan.entries] == [one is not entries[2] for one in entries]
    assert scan.entries[2] == Found(place=third, kind=None, key=None, sound=False)


@pytest.mark.parametrize("left", [0, 1, 50, 115, 116, 190, 243])
def test_a_torn_end_is_no_damage(left: int) -> None:
    image, entries = expected()
    torn = image[: entries[5].place.offset + left]
    scan = packformat.scan(torn, NAME, sealed=False)
    whole = [one for one in entries if one.place.offset + one.place.length <= len(torn)]
    assert list(scan.entries) == whole
    assert scan.end == whole[-1].place.offset + whole[-1].place.length


def test_a_hole_in_the_last_batch_is_torn_and_before_it_damage() -> None:
    image, entries = expected()
    for number, told in ((5, False), (3, True)):
        damaged = bytearray(image)
        damaged[entries[number].place.offset + 100] ^= 1
        scan = packformat.scan(bytes(damaged), NAME, sealed=False)
        assert len(scan.entries) == len(entries) - (not told)
        assert len(scan.torn) == (not told)
        assert scan.entries[-1] == entries[6]


def test_a_pack_inside_a_blob_is_not_taken_for_entries() -> None:
    inner = packformat.make_header(OTHER)
    inner += entry(len(inner), 66, batch=HEADER_BYTES, payload=b"inner", name=OTHER)
    image, places = make_pack([(1, PUT, inner), (2, PUT, b"two")], [(3, PUT, b"")])
    damaged = bytearray(image)
    damaged[places[0].offset + 1] ^= 4  # the scan has to look for the next entry within the blob
    scan = packformat.scan(bytes(damaged), NAME, sealed=False)
    assert [one.key for one in scan.entries] == [key(1), key(2), key(3)]


def test_an_entry_in_another_place_or_pack_is_detected() -> None:
    image, entries = expected()
    place = entries[0].place
    whole = memoryview(image)[place.offset : place.offset + place.length]
    for name, offset in ((NAME, place.offset + 512), (OTHER, place.offset)):
        with pytest.raises(Damaged):
            packformat.parse_entry(whole, name, offset)


def test_a_newer_version_is_not_taken_for_damage() -> None:
    header = bytearray(packformat.make_header(NAME))
    header[9] = 2
    header[-8:] = xxhash.xxh3_64_digest(bytes(header[:-8]))
    with pytest.raises(UnknownPack):
        packformat.check_header(bytes(header), NAME)
    header[0] ^= 1
    with pytest.raises(Damaged):
        packformat.check_header(bytes(header), NAME)


# --- the index --------------------------------------------------------------------------------------------


def make_memory_index(numbers: list[int], deletes: list[int]) -> MemoryIndex:
    index = MemoryIndex()
    for number in numbers:
        index.add(Kind.PUT, key(number), Place(offset=number * 10, length=number + 116))
    for number in deletes:
        index.add(Kind.DELETE, key(number), Place(offset=number * 7, length=116))
    return index


def open_index(file: bytes) -> FileIndex:
    return FileIndex(NAME, lambda offset, length: file[offset : offset + length])


@pytest.mark.parametrize(("puts", "deletes"), [(0, 0), (1, 0), (0, 1), (145, 146), (146, 147), (147, 1), (1000, 700)])
def test_an_index_file_says_what_the_index_in_memory_says(puts: int, deletes: int) -> None:
    numbers = list(range(0, 3 * puts, 3))
    random.Random(1).shuffle(numbers)
    memory = make_memory_index(numbers, list(range(1, 3 * deletes, 3)))
    file = open_index(packindex.make_index(NAME, 1234, memory))
    assert (file.end, file.put_bytes, len(file)) == (1234, memory.put_bytes, puts + deletes)
    assert [one[1:] for one in file.iterate_puts()] == [one[1:] for one in memory.iterate_puts()]
    assert list(file.iterate_deletes()) == list(memory.iterate_deletes())
    for number, held, place in file.iterate_puts():
        assert file.find(held) == (number, place)
    for stranger in (key(1), key(3 * puts + 1), bytes(20), b"\xff" * 20):
        assert file.find(stranger) is None
    for after in (0, 1, 3 * 145, 3 * 146, 3 * puts):
        assert [one[1] for one in file.iterate_puts(key(after))] == sorted(key(one) for one in numbers if one > after)


def test_every_damage_to_an_index_is_detected() -> None:
    file = packindex.make_index(NAME, 1234, make_memory_index(list(range(200)), [300]))
    for position in range(0, len(file) * 8, 5):
        damaged = bytearray(file)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(IndexDamaged):
            open_index(bytes(damaged))
    for length in (0, 10, 64, 5000, len(file) - 1):
        with pytest.raises(IndexDamaged):
            open_index(file[:length])
    with pytest.raises(IndexDamaged):
        FileIndex(OTHER, lambda offset, length: file[offset : offset + length])


def test_a_put_and_a_delete_in_one_pack_leave_what_came_last() -> None:
    index = MemoryIndex()
    places = [Place(offset=at, length=116) for at in (1, 2, 3, 4)]
    index.add(Kind.PUT, key(1), places[0])
    index.add(Kind.DELETE, key(1), places[1])
    assert (index.find(key(1)), index.deletes, index.put_bytes) == (None, {key(1): places[1]}, 0)
    index.add(Kind.PUT, key(1), places[2])
    index.add(Kind.PUT, key(1), places[3])
    assert index.find(key(1)) == (0, places[3])
    assert (index.put_bytes, list(index.deletes)) == (116, [key(1)])  # which still counts against older packs
