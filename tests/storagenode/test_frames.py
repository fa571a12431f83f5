"""The framing of GET answers."""

import pytest

from storagenode import frames
from storagenode.frames import CHECKSUM_BYTES, FRAME_BYTES, FrameDamaged, FrameReader
from tests.storagenode.support import content, cut

RANGES = [
    (0, 0),
    (5, 0),
    (0, 1),
    (0, FRAME_BYTES),
    (0, FRAME_BYTES + 1),
    (FRAME_BYTES - 1, 2),
    (FRAME_BYTES, FRAME_BYTES),
    (123, 3 * FRAME_BYTES),
]


def framed(data: bytes, offset: int, length: int) -> bytes:
    wire = b""
    for at, size in frames.frames(offset, length):
        frame = memoryview(data)[at : at + size]
        wire += frame.tobytes() + frames.seal(at, frame)
    return wire


@pytest.mark.parametrize(("offset", "length"), RANGES)
@pytest.mark.parametrize("piece_bytes", [777, 65536, FRAME_BYTES + 9, 10 * FRAME_BYTES])
def test_what_is_framed_is_read_however_it_is_cut(offset: int, length: int, piece_bytes: int) -> None:
    data = content(offset + length)
    wire = framed(data, offset, length)
    assert len(wire) == frames.framed_bytes(offset, length)
    reader = FrameReader(offset, length)
    out = b"".join(part for piece in cut(wire, piece_bytes) for part in reader.feed(piece))
    assert out == data[offset:]
    assert reader.finished


def test_fed_byte_by_byte_a_frame_comes_only_once_it_is_whole() -> None:
    data = content(FRAME_BYTES + 20)
    wire = framed(data, FRAME_BYTES - 20, 40)
    reader = FrameReader(FRAME_BYTES - 20, 40)
    given = [b"".join(reader.feed(wire[at : at + 1])) for at in range(len(wire))]
    assert [at for at, part in enumerate(given) if part] == [27, 55]
    assert b"".join(given) == data[FRAME_BYTES - 20 :]


def test_every_flipped_byte_is_detected_before_its_frame_is_given_back() -> None:
    wire = framed(content(50), 0, 50)
    for at in range(len(wire)):
        reader = FrameReader(0, 50)
        with pytest.raises(FrameDamaged):
            reader.feed(wire[:at] + bytes([wire[at] ^ 1]) + wire[at + 1 :])


def test_frames_in_the_wrong_order_are_detected() -> None:
    wire = framed(content(2 * FRAME_BYTES), 0, 2 * FRAME_BYTES)
    half = FRAME_BYTES + CHECKSUM_BYTES
    with pytest.raises(FrameDamaged):
        FrameReader(0, 2 * FRAME_BYTES).feed(wire[half:] + wire[:half])


def test_bytes_past_the_end_are_detected() -> None:
    with pytest.raises(FrameDamaged):
        FrameReader(0, 0).feed(b"x")
    with pytest.raises(FrameDamaged):
        FrameReader(0, 5).feed(framed(content(5), 0, 5) + b"x")


def test_a_reader_is_not_finished_before_the_last_checksum() -> None:
    reader = FrameReader(0, 5)
    assert reader.feed(framed(content(5), 0, 5)[:-1]) == []
    assert not reader.finished
