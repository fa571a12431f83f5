"""Chunks and manifests: what goes in comes out, and damage is never taken for a snapshot."""

import zlib
from dataclasses import replace

import msgpack
import pytest

from gateway.journal.snapshot_format import (
    MAGIC,
    ChunkBuilder,
    Manifest,
    Row,
    RowKind,
    SnapshotChunk,
    SnapshotDamaged,
    SnapshotState,
    command_of,
    compress_rows,
    newest,
    pack_manifest,
    rows_of,
    unpack_manifest,
)

MANIFEST = Manifest(
    snapshot_id="01a214896117056607be098d6fa05096",
    state=SnapshotState.COMPLETE,
    start_sequence=7,
    end_sequence=9,
    created_ms=1_790_000_000_000,
    chunks=(
        SnapshotChunk(size_bytes=10, digest=b"d" * 16, nodes=("a", "b")),
        SnapshotChunk(size_bytes=20, digest=b"e" * 16, nodes=("b", "c")),
    ),
    key_count=3,
    member_count=5,
)

ROWS: list[tuple[Row, tuple[object, ...]]] = [
    ((RowKind.LEXICAL, b"k", [b"a", b"\0\xff"]), ("ZADD", b"k", b"0", b"a", b"0", b"\0\xff")),
    ((RowKind.SCORED, b"k", [b"1.5", b"m", b"-inf", b"n"]), ("ZADD", b"k", b"1.5", b"m", b"-inf", b"n")),
    ((RowKind.HASH, b"k", [b"f", b"v"]), ("HSET", b"k", b"f", b"v")),
    ((RowKind.SET, b"k", [b"m"]), ("SADD", b"k", b"m")),
    ((RowKind.STRING, b"k", b"", 0), ("SET", b"k", b"")),
    ((RowKind.STRING, b"k", b"v", 1 << 42), ("SET", b"k", b"v", "PXAT", 1 << 42)),
]


def chunk_of(*rows: Row) -> bytes:
    builder = ChunkBuilder()
    for row in rows:
        builder.add(row)
    return compress_rows(builder.take())


def test_rows_of_a_chunk_become_the_commands_that_restore_them() -> None:
    chunk = chunk_of(*(row for row, _ in ROWS))
    assert [command_of(row) for row in rows_of(chunk)] == [command for _, command in ROWS]


def test_builder_is_full_at_its_limit_and_empty_after_taking() -> None:
    builder = ChunkBuilder(limit_bytes=100)
    row = (RowKind.STRING, b"k", b"v" * 40, 0)
    builder.add(row)
    assert not builder.is_full
    builder.add(row)
    builder.add(row)
    assert builder.is_full
    assert len(builder.take()) == 3
    assert not builder
    assert not builder.is_full


@pytest.mark.parametrize(
    "chunk",
    [
        b"",
        b"CSN2" + zlib.compress(b""),
        MAGIC,
        MAGIC + b"not deflated",
        MAGIC + zlib.compress(msgpack.packb(7)),
        MAGIC + zlib.compress(b"\xc1"),
    ],
)
def test_what_is_no_chunk_is_refused(chunk: bytes) -> None:
    with pytest.raises(SnapshotDamaged):
        list(rows_of(chunk))


def test_chunk_that_is_cut_anywhere_is_refused() -> None:
    chunk = chunk_of(*(row for row, _ in ROWS))
    for end in range(len(chunk)):
        with pytest.raises(SnapshotDamaged):
            list(rows_of(chunk[:end]))


@pytest.mark.parametrize("row", [(9, b"k", []), (1, "text", []), (5, b"k", b"v"), ()])
def test_row_of_an_unknown_kind_is_refused(row: Row) -> None:
    with pytest.raises(SnapshotDamaged):
        command_of(row)


def test_manifest_comes_back_as_it_was() -> None:
    assert unpack_manifest(pack_manifest(MANIFEST)) == MANIFEST
    assert MANIFEST.size_bytes == 30
    assert MANIFEST.blob_id(1) == f"{MANIFEST.snapshot_id}-00000001"


def test_manifest_with_any_byte_changed_or_cut_off_is_refused() -> None:
    packed = pack_manifest(MANIFEST)
    for at in range(len(packed)):
        with pytest.raises(SnapshotDamaged):
            unpack_manifest(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :])
        with pytest.raises(SnapshotDamaged):
            unpack_manifest(packed[:at])


def test_greatest_state_of_a_snapshot_holds_and_newest_comes_first() -> None:
    older = replace(MANIFEST, snapshot_id="0" * 32, start_sequence=3)
    found = newest(
        [
            older,
            replace(MANIFEST, state=SnapshotState.BEGUN, chunks=()),
            MANIFEST,
            replace(older, state=SnapshotState.DOOMED),
        ]
    )
    assert list(found) == [MANIFEST.snapshot_id, older.snapshot_id]
    assert found[MANIFEST.snapshot_id] == MANIFEST
    assert found[older.snapshot_id].state is SnapshotState.DOOMED
