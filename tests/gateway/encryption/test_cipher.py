"""Encrypted extents: what was written comes back, any range of it, and nothing else ever does."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.encryption.cipher import (
    BLOCK_BYTES,
    SEALED_BLOCK_BYTES,
    TAG_BYTES,
    BytesAltered,
    Opener,
    Sealer,
    plain_size,
    plan_range,
    sealed_size,
)
from gateway.index.records import Extent, Segment

KEY = bytes(range(32))
WRITE_IDS = [f"{number:032x}" for number in range(1, 9)]


def seal(plain: bytes, *, key: bytes = KEY, write_id: str = WRITE_IDS[0], pieces: int = 1 << 20) -> bytes:
    sealer = Sealer(key, write_id, len(plain))
    sealed = b"".join(sealer.update(plain[at : at + pieces]) for at in range(0, len(plain), pieces))
    return sealed + sealer.finish()


def extent(sealed_bytes: int, write_id: str = WRITE_IDS[0], cut: int = 1 << 26) -> Extent:
    sizes = [min(cut, sealed_bytes - at) for at in range(0, sealed_bytes, cut)]
    return Extent(
        write_id=write_id,
        segments=tuple(Segment(number=number, size_bytes=size, nodes=("n",)) for number, size in enumerate(sizes)),
    )


def read(
    extents: list[Extent], stored: bytes, offset: int, length: int, *, key: bytes = KEY, pieces: int = 1 << 20
) -> bytes:
    sealed = plan_range(extents, offset, length)
    wanted = stored[sealed.offset : sealed.offset + sealed.length]
    opener = Opener(key, sealed)
    plain = b"".join(opener.update(wanted[at : at + pieces]) for at in range(0, len(wanted), pieces))
    opener.finish()
    return plain


def read_all(stored: bytes, size_bytes: int) -> bytes:
    return read([extent(sealed_size(size_bytes))], stored, 0, size_bytes)


SIZES = [1, 15, 16, 17, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 5]


@pytest.mark.parametrize("size_bytes", [0, *SIZES])
def test_sizes_follow_from_each_other(size_bytes: int) -> None:
    sealed = seal(os.urandom(size_bytes))
    assert len(sealed) == sealed_size(size_bytes)
    assert plain_size(len(sealed)) == size_bytes


@given(size_bytes=st.integers(0, 5 << 40))
def test_any_size_follows_from_its_sealed_size(size_bytes: int) -> None:
    assert plain_size(sealed_size(size_bytes)) == size_bytes


@pytest.mark.parametrize("sealed_bytes", [1, 15, TAG_BYTES, SEALED_BLOCK_BYTES + 1, SEALED_BLOCK_BYTES + TAG_BYTES])
def test_a_size_that_nothing_encrypts_to_is_refused(sealed_bytes: int) -> None:
    with pytest.raises(BytesAltered):
        plain_size(sealed_bytes)


@pytest.mark.parametrize("pieces", [1, 7, 4096, BLOCK_BYTES, BLOCK_BYTES + 1])
def test_pieces_make_no_difference(pieces: int) -> None:
    plain = random.Random(1).randbytes(BLOCK_BYTES + 100)
    sealed = seal(plain)
    assert seal(plain, pieces=pieces) == sealed
    assert read([extent(len(sealed))], sealed, 0, len(plain), pieces=pieces) == plain


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_range_of_any_extents_is_read_from_the_blocks_that_it_touches(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=4))
    bodies = [random.Random(number).randbytes(size) for number, size in enumerate(sizes)]
    sealed = [seal(body, write_id=write_id) for body, write_id in zip(bodies, WRITE_IDS, strict=False)]
    extents = [extent(len(one), write_id, cut=40_000) for one, write_id in zip(sealed, WRITE_IDS, strict=False)]
    whole, stored = b"".join(bodies), b"".join(sealed)
    offset = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - offset))

    assert read(extents, stored, offset, length, pieces=50_000) == whole[offset : offset + length]
    # At most one block more at either end of each extent than the range itself needs.
    most = sealed_size(length) + 2 * len(sizes) * SEALED_BLOCK_BYTES
    assert plan_range(extents, offset, length).length <= (most if length else 0)


def test_one_byte_reads_one_block() -> None:
    extents = [extent(sealed_size(10 * BLOCK_BYTES))]
    sealed = plan_range(extents, 5 * BLOCK_BYTES + 3, 1)
    assert (sealed.offset, sealed.length) == (5 * SEALED_BLOCK_BYTES, SEALED_BLOCK_BYTES)


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (11, 1), (-1, 2), (0, -1)])
def test_a_range_beyond_the_extents_is_refused(offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="range"):
        plan_range([extent(sealed_size(10))], offset, length)


def test_every_flipped_bit_is_found() -> None:
    plain = b"hello world"
    sealed = seal(plain)
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BytesAltered):
            read_all(bytes(altered), len(plain))


@settings(max_examples=60, deadline=None)
@given(bit=st.integers(0, sealed_size(2 * BLOCK_BYTES + 9) * 8 - 1))
def test_a_flipped_bit_in_any_block_is_found_and_earlier_blocks_alone_are_given(bit: int) -> None:
    plain = random.Random(2).randbytes(2 * BLOCK_BYTES + 9)
    altered = bytearray(seal(plain))
    altered[bit // 8] ^= 1 << bit % 8
    opener = Opener(KEY, plan_range([extent(len(altered))], 0, len(plain)))
    given_out = b""
    with pytest.raises(BytesAltered):
        for at in range(0, len(altered), SEALED_BLOCK_BYTES):
            given_out += opener.update(bytes(altered[at : at + SEALED_BLOCK_BYTES]))
    assert given_out == plain[: bit // 8 // SEALED_BLOCK_BYTES * BLOCK_BYTES]


def test_blocks_in_another_order_are_refused() -> None:
    plain = bytes(3 * BLOCK_BYTES)
    sealed = seal(plain)
    blocks = [sealed[at : at + SEALED_BLOCK_BYTES] for at in range(0, len(sealed), SEALED_BLOCK_BYTES)]
    for order in ((1, 0, 2), (0, 2, 1), (0, 0, 2), (2, 1, 0)):
        with pytest.raises(BytesAltered):
            read_all(b"".join(blocks[number] for number in order), len(plain))


def test_an_extent_cut_at_a_block_is_refused_whatever_the_record_says() -> None:
    sealed = seal(bytes(3 * BLOCK_BYTES))
    with pytest.raises(BytesAltered):
        read_all(sealed[: 2 * SEALED_BLOCK_BYTES], 2 * BLOCK_BYTES)  # the record was cut along
    with pytest.raises(BytesAltered):
        read_all(sealed[: 2 * SEALED_BLOCK_BYTES], 3 * BLOCK_BYTES)
    with pytest.raises(BytesAltered):
        read_all(sealed[:-1], 3 * BLOCK_BYTES)


def test_bytes_behind_the_last_block_are_refused() -> None:
    sealed = seal(bytes(100))
    opener = Opener(KEY, plan_range([extent(len(sealed))], 0, 100))
    with pytest.raises(BytesAltered):
        opener.update(sealed + b"\0")


def test_extents_in_another_order_are_refused() -> None:
    first, second = seal(b"a" * 100, write_id=WRITE_IDS[0]), seal(b"b" * 100, write_id=WRITE_IDS[1])
    extents = [extent(len(first), WRITE_IDS[0]), extent(len(second), WRITE_IDS[1])]
    assert read(extents, first + second, 0, 200) == b"a" * 100 + b"b" * 100
    with pytest.raises(BytesAltered):
        read(extents, second + first, 0, 200)


def test_another_objects_block_of_the_same_write_id_is_refused() -> None:
    with pytest.raises(BytesAltered):
        read_all(seal(bytes(100), key=b"x" * 32), 100)


def test_two_writes_of_the_same_bytes_under_one_key_look_different() -> None:
    plain = bytes(100)
    assert seal(plain, write_id=WRITE_IDS[0])[:100] != seal(plain, write_id=WRITE_IDS[1])[:100]
    assert plain not in seal(plain)


def test_a_body_of_another_size_than_announced_is_refused() -> None:
    sealer = Sealer(KEY, WRITE_IDS[0], 10)
    with pytest.raises(ValueError, match="more"):
        sealer.update(bytes(11))
    sealer = Sealer(KEY, WRITE_IDS[0], 10)
    sealer.update(bytes(9))
    with pytest.raises(ValueError, match="fewer"):
        sealer.finish()


def test_the_format_stays_what_it_is() -> None:
    """Written by the first release: whoever changes the layout needs another BLOCK_FORMAT."""
    assert seal(b"cairn").hex() == "07fdd3d62fbd65a6e5e5da87a5fbb4ed4c7fb070d9"
