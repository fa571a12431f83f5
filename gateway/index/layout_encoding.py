"""How extents and parts become bytes: columns and runs, since an object of 5 TiB has 82,000 segments.

A layout is the msgpack array `[nodes, node sets, extents, parts]`:

    nodes       the node ids that occur, once each
    node sets   the placements that occur, once each: arrays of indexes into `nodes`
    extents     `[write id (16 bytes), numbers, sizes, sets]` each
                numbers  the first segment's number where they count up by one, else all of them
                sizes    runs: size, how often, size, how often, …; a lone size where there is one segment
                sets     one index into `node sets` where all segments have the same, else one for each
    parts       0 where there are none, else `[numbers, sizes, checksums]`
                numbers  how many where they are 1, 2, 3, …, else all of them
                sizes    as above
                checksums  nil where no part has one, else a base64 text or nil for each

Only this lives here; the records around it are in `object_encoding` and `record_encoding`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.index.packing import DECODE_ERRORS, compact_hex, corrupt, expand_hex, pack_record, unpack_record
from gateway.index.records import Extent, ObjectPart, Segment

# Up to this many segments and parts stay in the object's own record, and so in memory that every listing
# reads: 32 take about 200 to 700 bytes.
INLINE_PIECES = 32


def piece_count(extents: Sequence[Extent], parts: Sequence[ObjectPart]) -> int:
    """How many segments and parts a layout has, to compare with INLINE_PIECES."""
    return sum(len(extent.segments) for extent in extents) + len(parts)


def layout_fields(extents: Sequence[Extent], parts: Sequence[ObjectPart]) -> list[Any]:
    """The layout as msgpack will take it."""
    nodes: dict[str, int] = {}
    node_sets: dict[tuple[str, ...], int] = {}
    packed = [_extent_fields(extent, nodes, node_sets) for extent in extents]
    return [
        [compact_hex(node) for node in nodes],
        [[nodes[node] for node in node_set] for node_set in node_sets],
        packed,
        _parts_fields(parts) if parts else 0,
    ]


def layout_from_fields(fields: list[Any]) -> tuple[tuple[Extent, ...], tuple[ObjectPart, ...]]:
    """The inverse of `layout_fields`. Raises one of DECODE_ERRORS for foreign data."""
    packed_nodes, packed_sets, packed_extents, packed_parts = fields
    nodes = [expand_hex(node) for node in packed_nodes]
    node_sets = [tuple([nodes[index] for index in indexes]) for indexes in packed_sets]
    extents = tuple([_extent(packed, node_sets) for packed in packed_extents])
    return extents, _parts(*packed_parts) if packed_parts else ()


def encode_layout(extents: Sequence[Extent], parts: Sequence[ObjectPart]) -> bytes:
    """The value of a layout key."""
    return pack_record(layout_fields(extents, parts))


def decode_layout(data: bytes) -> tuple[tuple[Extent, ...], tuple[ObjectPart, ...]]:
    """The inverse of `encode_layout`. Raises UnsupportedFormat, CorruptRecord."""
    try:
        return layout_from_fields(unpack_record(data))
    except DECODE_ERRORS as error:
        corrupt("layout", data, error)


def _extent_fields(
    extent: Extent, nodes: dict[str, int], node_sets: dict[tuple[str, ...], int]
) -> tuple[bytes, Any, Any, Any]:
    write_id = bytes.fromhex(extent.write_id)
    if len(write_id) != 16 or write_id.hex() != extent.write_id:
        raise ValueError(f"not a write id: {extent.write_id!r}")
    indexes = []
    for segment in extent.segments:
        index = node_sets.get(segment.nodes)
        if index is None:
            index = node_sets[segment.nodes] = len(node_sets)
            for node in segment.nodes:
                nodes.setdefault(node, len(nodes))
        indexes.append(index)
    numbers = [segment.number for segment in extent.segments]
    counts_up = bool(numbers) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return (
        write_id,
        numbers[0] if counts_up else numbers,
        _runs(segment.size_bytes for segment in extent.segments),
        indexes[0] if indexes and indexes.count(indexes[0]) == len(indexes) else indexes,
    )


def _extent(packed: list[Any], node_sets: list[tuple[str, ...]]) -> Extent:
    write_id, numbers, runs, indexes = packed
    if len(write_id) != 16:
        raise ValueError("a write id has 16 bytes")
    if isinstance(runs, int) and isinstance(numbers, int) and isinstance(indexes, int):
        segments: tuple[Segment, ...] = (Segment(number=numbers, size_bytes=runs, nodes=node_sets[indexes]),)
        return Extent(write_id=write_id.hex(), segments=segments)
    sizes = _from_runs(runs)
    if isinstance(numbers, int):
        numbers = range(numbers, numbers + len(sizes))
    if isinstance(indexes, int):
        indexes = [indexes] * len(sizes)
    segments = tuple(
        [
            Segment(number=number, size_bytes=size, nodes=node_sets[index])
            for number, size, index in zip(numbers, sizes, indexes, strict=True)
        ]
    )
    return Extent(write_id=write_id.hex(), segments=segments)


def _parts_fields(parts: Sequence[ObjectPart]) -> tuple[Any, Any, Any]:
    numbers = [part.number for part in parts]
    checksums = [part.checksum for part in parts]
    return (
        len(numbers) if numbers == list(range(1, len(numbers) + 1)) else numbers,
        _runs(part.size_bytes for part in parts),
        checksums if any(checksum is not None for checksum in checksums) else None,
    )


def _parts(numbers: Any, runs: Any, checksums: Any) -> tuple[ObjectPart, ...]:
    sizes = _from_runs(runs)
    if isinstance(numbers, int):
        numbers = range(1, numbers + 1)
    if checksums is None:
        checksums = [None] * len(sizes)
    return tuple(
        [
            ObjectPart(number=number, size_bytes=size, checksum=checksum)
            for number, size, checksum in zip(numbers, sizes, checksums, strict=True)
        ]
    )


def _runs(sizes: Iterable[int]) -> int | list[int]:
    runs: list[int] = []
    for size in sizes:
        if runs and runs[-2] == size:
            runs[-1] += 1
        else:
            runs += [size, 1]
    return runs[0] if len(runs) == 2 and runs[1] == 1 else runs


def _from_runs(runs: int | list[int]) -> list[int]:
    if isinstance(runs, int):
        return [runs]
    sizes: list[int] = []
    for size, count in zip(runs[::2], runs[1::2], strict=True):
        sizes += [size] * count
    return sizes
