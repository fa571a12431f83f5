"""Names, records and frames of the journal: what is packed comes back, and nothing else is taken for it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from storagenode import journal_protocol as protocol
from storagenode.journal_protocol import (
    FRAME_HEADER_BYTES,
    FrameDamaged,
    FrameIncomplete,
    FrameKind,
    JournalStatus,
    SegmentStatus,
)
from tests.storagenode.journal.support import E1, FIRST, HEADER, SEGMENT, entries, header, seal

SEED = protocol.owner_seed(SEGMENT)
STATUS = JournalStatus(
    promised_epoch=protocol.MAX_EPOCH,
    segments=(
        SegmentStatus(header=HEADER, last_sequence=FIRST + 9, watermark=FIRST + 8, seal=seal(), damaged=False),
        SegmentStatus(header=header(E1, 1), last_sequence=0, watermark=0, seal=None, damaged=True),
    ),
)


def test_a_segment_id_orders_by_epoch_then_first_sequence() -> None:
    ids = [protocol.segment_id(epoch, first) for epoch in (1, 2, 1 << 40) for first in (1, 9, 1 << 33)]
    assert ids == sorted(ids)
    assert all(protocol.is_segment_id(one) for one in ids)
    assert SEGMENT == "0000000100000007-0000000000000065"


@pytest.mark.parametrize(
    "text", ["", "../x", SEGMENT.upper() + "A", SEGMENT + "\n", SEGMENT[:-1], "A" * 16 + "-" + "0" * 16]
)
def test_what_is_no_segment_id_is_known(text: str) -> None:
    assert not protocol.is_segment_id(text)


@pytest.mark.parametrize(("epoch", "first"), [(-1, 1), (1 << 64, 1), (0, 0), (0, 1 << 63)])
def test_a_segment_id_holds_64_and_63_bits(epoch: int, first: int) -> None:
    with pytest.raises(ValueError):
        protocol.segment_id(epoch, first)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("snapshot-1.m", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        (".", False),
        ("../a", False),
        ("a/b", False),
    ],
)
def test_a_manifest_name_is_safe_as_a_file_name(name: str, good: bool) -> None:
    assert protocol.is_manifest_name(name) is good


def test_records_come_back_as_they_were_packed() -> None:
    assert protocol.unpack_header(protocol.pack_header(HEADER)) == HEADER
    assert protocol.unpack_seal(protocol.pack_seal(seal())) == seal()
    assert protocol.unpack_status(protocol.pack_status(STATUS)) == STATUS


def _packed(*fields: Any) -> bytes:
    packed: bytes = msgpack.packb(list(fields))
    return packed


def _header(**changed: Any) -> bytes:
    return protocol.pack_header(replace(HEADER, **changed))


@pytest.mark.parametrize(
    ("unpack", "payload"),
    [
        (protocol.unpack_header, b""),
        (protocol.unpack_header, b"\xc1"),
        (protocol.unpack_header, _packed(2, *msgpack.unpackb(_header())[1:])),  # of a format to come
        (protocol.unpack_header, _header()[:-1]),
        (protocol.unpack_header, _header() + b"\0"),
        (protocol.unpack_header, _header(segment_id="0" * 16 + "-" + "0" * 16)),
        (protocol.unpack_header, _header(epoch=-1)),
        (protocol.unpack_header, _header(nodes=())),
        (protocol.unpack_header, _header(nodes=(1, 2, 3))),
        (protocol.unpack_header, _header(quorum=0)),
        (protocol.unpack_header, _header(quorum=4)),
        (protocol.unpack_header, _header(incarnation=b"x")),
        (protocol.unpack_seal, _packed(1, 1, 1, [])),
        (protocol.unpack_seal, _packed(1, -1, 1, msgpack.unpackb(_header()))),
        (protocol.unpack_seal, _header()),
        (protocol.unpack_status, _packed(1, 0)),
        (protocol.unpack_status, _packed(1, 0, [[]])),
        (protocol.unpack_status, _packed(1, 0, [[[], 1, 1, None, False]])),
    ],
)
def test_what_is_no_record_is_refused(unpack: Callable[[bytes], object], payload: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(payload)


# --- frames -----------------------------------------------------------------------------------------------


def test_a_frame_lies_as_documented() -> None:
    """The format of files that exist: a change of these bytes needs a new version."""
    frame = protocol.make_frame(SEED, FrameKind.ENTRY, 0x65, b"entry")
    assert (
        frame.hex() == "434a4601" + "572f382be5f63087" + "02000000" + "00000005" + "0000000000000065" + b"entry".hex()
    )
    parsed = protocol.parse_frame(SEED, b"before" + frame + b"after", 6)
    assert (parsed.kind, parsed.sequence, parsed.payload, parsed.raw) == (FrameKind.ENTRY, 0x65, b"entry", frame)


@pytest.mark.parametrize("payload", [b"", b"x", bytes(100)])
def test_no_bit_of_a_frame_may_be_another(payload: bytes) -> None:
    frame = protocol.make_frame(SEED, FrameKind.ENTRY, FIRST, payload)
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameDamaged):
            protocol.parse_frame(SEED, bytes(flipped) + bytes(300), 0)


def test_a_frame_cut_short_says_how_long_it_would_be() -> None:
    frame = protocol.make_frame(SEED, FrameKind.ENTRY, FIRST, b"entry")
    for size in range(len(frame)):
        with pytest.raises(FrameIncomplete) as caught:
            protocol.parse_frame(SEED, frame[:size], 0)
        assert caught.value.size_bytes == (FRAME_HEADER_BYTES if size < FRAME_HEADER_BYTES else len(frame))


def test_a_frame_of_another_owner_is_none() -> None:
    frame = protocol.make_frame(protocol.owner_seed(header(E1, 1).segment_id), FrameKind.ENTRY, FIRST, b"entry")
    with pytest.raises(FrameDamaged):
        protocol.parse_frame(SEED, frame, 0)


def test_a_frame_of_unknown_kind_is_none() -> None:
    frame = protocol.make_frame(SEED, 77, FIRST, b"entry")  # type: ignore[arg-type]
    with pytest.raises(FrameDamaged, match="kind 77"):
        protocol.parse_frame(SEED, frame, 0)


def test_entries_are_framed_with_their_sequences() -> None:
    body = protocol.frame_entries(SEGMENT, FIRST, entries(FIRST, FIRST + 9))
    frames = list(protocol.parse_entries(SEGMENT, body))
    assert [frame.sequence for frame in frames] == list(range(FIRST, FIRST + 10))
    assert [frame.payload for frame in frames] == entries(FIRST, FIRST + 9)
    assert b"".join(frame.raw for frame in frames) == body


def test_a_body_with_anything_but_entries_in_rising_order_is_damaged() -> None:
    one, two = (protocol.make_frame(SEED, FrameKind.ENTRY, sequence, b"x") for sequence in (1, 2))
    mark = protocol.make_frame(SEED, FrameKind.MARK, 3, bytes(8))
    for body in (two + one, one + one, one + mark, one + b"\0", one + two[:-1], b"\0" + one):
        with pytest.raises(FrameDamaged):
            list(protocol.parse_entries(SEGMENT, body))


def test_no_bit_of_an_answer_may_be_another() -> None:
    answer = protocol.seal_answer(b"payload")
    assert protocol.open_answer(answer) == b"payload"
    assert protocol.open_answer(protocol.seal_answer(b"")) == b""
    for bit in range(8 * len(answer)):
        flipped = bytearray(answer)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            protocol.open_answer(bytes(flipped))
    for size in range(len(answer)):
        with pytest.raises(ValueError):
            protocol.open_answer(answer[:size])
