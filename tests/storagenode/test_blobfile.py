"""The blob file format, without a disk."""

import pytest
import xxhash

from storagenode import blobfile
from storagenode.blobfile import BLOCK_BYTES, BlockHasher, Damaged, Footer, Layout, UnknownFormat
from tests.storagenode.support import ORIGIN, SIZES, blob_id, content


def make_file(data: bytes, *, origin: bytes = ORIGIN, name: str = "") -> tuple[Layout, Footer, bytes]:
    layout, header = blobfile.make_header(name or blob_id(), origin, len(data))
    hasher = BlockHasher(layout)
    hasher.update([data])
    footer = hasher.finish()
    return layout, footer, header + data + blobfile.make_footer(layout, footer)


def read_file(file: bytes, name: str = "") -> bytes:
    """All that a reader checks, in its order."""
    layout = blobfile.parse_header(file[: blobfile.header_bytes(file)], name or blob_id())
    if len(file) != layout.file_bytes:
        raise Damaged("length")
    footer = blobfile.parse_footer(file[layout.footer_offset :], layout)
    data = file[layout.header_bytes : layout.footer_offset]
    if blobfile.find_damage(layout, footer, 0, memoryview(data)) is not None:
        raise Damaged("block")
    assert blobfile.info(layout, footer).origin == ORIGIN
    assert footer.digest == xxhash.xxh3_128_digest(data)
    return data


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_was_written_is_read(size_bytes: int) -> None:
    data = content(size_bytes)
    layout, _, file = make_file(data)
    assert len(file) == layout.file_bytes
    assert read_file(file) == data


@pytest.mark.parametrize("piece_bytes", [1, 7, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1])
def test_the_footer_does_not_depend_on_how_the_bytes_came(piece_bytes: int) -> None:
    data = content(20 * 1000 if piece_bytes == 1 else 2 * BLOCK_BYTES + 5)
    layout, expected, _ = make_file(data)
    hasher = BlockHasher(layout)
    hasher.update(data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes))
    assert hasher.finish() == expected


def test_every_flipped_bit_of_a_small_file_is_detected() -> None:
    _, _, file = make_file(content(100))
    for position in range(len(file) * 8):
        damaged = bytearray(file)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(Damaged):
            read_file(bytes(damaged))


def test_every_truncation_and_extension_is_detected() -> None:
    _, _, file = make_file(content(100))
    for length in range(len(file)):
        with pytest.raises(Damaged):
            read_file(file[:length])
    with pytest.raises(Damaged):
        read_file(file + b"\x00")


def test_a_block_in_the_place_of_another_is_detected() -> None:
    data = content(3 * BLOCK_BYTES)
    layout, footer, _ = make_file(data)
    swapped = data[BLOCK_BYTES : 2 * BLOCK_BYTES] + data[:BLOCK_BYTES] + data[2 * BLOCK_BYTES :]
    assert blobfile.find_damage(layout, footer, 0, memoryview(swapped)) == 0
    assert blobfile.find_damage(layout, footer, 2, memoryview(swapped)[2 * BLOCK_BYTES :]) is None


def test_a_block_of_the_same_place_in_another_blob_is_detected() -> None:
    same = content(BLOCK_BYTES)
    layout, footer, _ = make_file(same)
    _, other, _ = make_file(same, name=blob_id(1))
    assert footer.digest == other.digest
    assert blobfile.find_damage(layout, other, 0, memoryview(same)) == 0


def test_the_file_of_another_blob_is_detected() -> None:
    _, _, file = make_file(content(10))
    with pytest.raises(Damaged, match="header is that of"):
        read_file(file, blob_id(1))


def test_the_footer_of_another_file_is_detected() -> None:
    layout, _, file = make_file(content(10))
    _, _, other = make_file(content(10), name=blob_id(1))
    with pytest.raises(Damaged):
        read_file(file[: layout.footer_offset] + other[layout.footer_offset :])


def test_a_newer_version_is_not_taken_for_damage() -> None:
    _, _, file = make_file(b"")
    length = blobfile.header_bytes(file)
    start = bytearray(file[: length - 8])
    start[9] = 2
    newer = bytes(start) + xxhash.xxh3_64_digest(bytes(start))
    with pytest.raises(UnknownFormat):
        blobfile.parse_header(newer, blob_id())


def test_an_origin_of_16_kib_fits_and_no_more() -> None:
    layout, _, _ = make_file(b"x", origin=b"o" * 16384)
    assert len(layout.origin) == 16384
    with pytest.raises(ValueError, match="origin"):
        blobfile.make_header(blob_id(), b"o" * 16385, 0)


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", blob_id().upper(), blob_id() + "\n"])
def test_a_name_that_is_no_blob_id_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="blob id"):
        blobfile.make_header(name, b"", 0)
