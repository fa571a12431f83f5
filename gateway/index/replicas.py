"""On which nodes the segments of a record lie: finding a record by a blob's origin, changing its nodes, and the copies
that no record names any more.

A record is found and read, what becomes of it is decided outside, and one script applies that if the record is still
what was read. A copy that a record ceases to name is kept for a grace, since readers may hold the old record, and is
deleted then; from the moment its deletion begins no record can name it again (CopyReleased).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gateway.index import keys
from gateway.index.base import accepted, bucket_keys
from gateway.index.errors import CorruptRecord
from gateway.index.layout_encoding import decode_layout, encode_layout
from gateway.index.object_encoding import decode_version, encode_object
from gateway.index.objects import ObjectIndex
from gateway.index.record_encoding import decode_part, decode_reclaim, encode_part
from gateway.index.records import Extent, ObjectRecord, Origin
from gateway.index.repair_records import Copy, Place, PlaceKind, SegmentRef
from gateway.index.scripts import load_script

_FIND = load_script("find_extent")
_MOVE = load_script("move_replicas")
_RELEASE = load_script("release_copies")
_TAKE = load_script("take_released")
_FINISH = load_script("finish_released")

_VERSIONS_A_CALL = 100
"""With layouts, each may be a large one."""

_OLD_LAYOUT_KEPT_MS = 10 * 60 * 1000
"""A reader that has the record asks for its layout within one round trip."""

_HAND_OUT_AGAIN_MS = 10 * 60 * 1000


class ReplicaIndex(ObjectIndex):
    """The part of the index that changes where bytes lie."""

    async def find_extent(self, write_id: str, origin: Origin) -> Place | None:
        """What refers to a write, the trash included; None where nothing does. Raises IndexUnavailable."""
        names = (
            *bucket_keys(origin.bucket),
            keys.parts(origin.bucket, origin.upload_id or ""),
            keys.layout(origin.bucket, ""),
        )
        cursor = b""
        while True:
            reply = await self._connection.read(
                _FIND,
                names,
                (
                    *(origin.bucket, origin.key, origin.upload_id or ""),
                    *(bytes.fromhex(write_id), cursor, _VERSIONS_A_CALL),
                ),
            )
            kind, member, layout, cursor = accepted(reply, origin.bucket)
            if kind:
                return _place(PlaceKind(kind.decode()), member, layout, origin, write_id)
            if not cursor:
                return None

    async def move_replicas(
        self,
        place: Place,
        nodes: Mapping[SegmentRef, tuple[str, ...]],
        *,
        added: Iterable[Copy],
        removed: Iterable[Copy],
        bucket_id: int | None = None,
    ) -> int:
        """Give segments of an object or a part other nodes; returns the number of the change.

        `removed` are the copies to be deleted after a grace. Raises NoSuchBucket, ObjectChanged (the record is no
        longer `place`), CopyReleased (an added copy is being deleted), IndexUnavailable.
        """
        replacement, layout_ref, new_layout = self._replacement(place, nodes)
        old_ref = place.record.layout_ref if place.record is not None else None
        additions = [copy.packed() for copy in added]
        reply = await self._connection.change(
            _MOVE,
            (
                *bucket_keys(place.bucket),
                keys.parts(place.bucket, place.upload_id),
                keys.parts_revision(place.bucket, place.upload_id),
                keys.layout(place.bucket, old_ref or ""),
                keys.layout(place.bucket, layout_ref),
                keys.released(),
                keys.releasing(),
            ),
            (
                "" if bucket_id is None else bucket_id,
                place.kind.value,
                place.member,
                replacement,
                place.layout or b"",
                new_layout,
                _OLD_LAYOUT_KEPT_MS,
                place.key,
                place.upload_id,
                place.part.part_number if place.part else 0,
                len(additions),
                *additions,
                *[copy.packed() for copy in removed],
            ),
        )
        sequence: int = accepted(reply, f"{place.bucket}/{place.key}")[0]
        return sequence

    async def release_copies(self, place: Place, copies: Sequence[Copy]) -> int:
        """Have copies deleted that `place` does not name; returns how many were not queued before.

        Raises ObjectChanged (the record is no longer `place`), IndexUnavailable.
        """
        if any(copy.node_id in (place.nodes_of(copy.segment) or ()) for copy in copies):
            raise ValueError("the record names the copy")
        names = (
            *bucket_keys(place.bucket),
            keys.parts(place.bucket, place.upload_id),
            keys.released(),
            keys.releasing(),
        )
        arguments = (place.kind.value, place.member, *[copy.packed() for copy in copies])
        released: int = accepted(await self._connection.change(_RELEASE, names, arguments), place.key)[0]
        return released

    async def take_released(self, *, grace_ms: int, limit: int) -> list[Copy]:
        """Up to `limit` copies released at least `grace_ms` ago; handed out again after ten minutes.

        Their deletion must begin within a minute: later, another worker may have finished with them and a record may
        name them again. Raises IndexUnavailable.
        """
        reply = await self._connection.change(_TAKE, _released_keys(), (grace_ms, _HAND_OUT_AGAIN_MS, limit))
        return [Copy.unpacked(packed) for packed in accepted(reply, "released copies")[0]]

    async def finish_released(self, copies: Iterable[Copy]) -> None:
        """Forget copies that are gone. Raises IndexUnavailable."""
        names = [copy.packed() for copy in copies]
        if names:
            accepted(await self._connection.change(_FINISH, _released_keys(), names), "released copies")

    async def is_under_way(self, write_id: str) -> bool:
        """Whether a writer holds the lease of this write. Raises IndexUnavailable."""
        until = await self._connection.command("ZSCORE", keys.write_leases(), bytes.fromhex(write_id))
        seconds, _ = await self._connection.command("TIME")
        return until is not None and float(until) > int(seconds) * 1000

    def _replacement(self, place: Place, nodes: Mapping[SegmentRef, tuple[str, ...]]) -> tuple[bytes, str, bytes]:
        """The new member (an object's record), the id of its layout and the layout, where it has one of its own."""
        if place.part is not None:
            return encode_part(replace(place.part, extent=_with_nodes(place.part.extent, nodes))), "", b""
        if place.record is None:
            raise ValueError(f"{place.kind} is not repaired")
        extents = tuple([_with_nodes(extent, nodes) for extent in place.record.extents])
        record = replace(place.record, extents=extents)
        if place.layout is None:
            return encode_object(record), "", b""
        record = replace(record, layout_ref=self._draw_id())
        assert record.layout_ref is not None
        return encode_object(record), record.layout_ref, encode_layout(extents, record.parts)


def _released_keys() -> tuple[str, ...]:
    return (keys.sequence(), keys.released(), keys.releasing())


def _with_nodes(extent: Extent, nodes: Mapping[SegmentRef, tuple[str, ...]]) -> Extent:
    segments = [
        replace(one, nodes=nodes.get(SegmentRef(write_id=extent.write_id, number=one.number), one.nodes))
        for one in extent.segments
    ]
    return replace(extent, segments=tuple(segments))


def _place(kind: PlaceKind, member: bytes, layout: bytes | None, origin: Origin, write_id: str) -> Place:
    """What the script found. Raises UnsupportedFormat, CorruptRecord."""
    record: ObjectRecord | None = None
    part = None
    if kind is PlaceKind.OBJECT:
        record = _joined(decode_version(member)[1], layout)
        extents = record.extents
    elif kind is PlaceKind.TRASH:
        entry = decode_reclaim(member)
        extents = (*entry.extents, *(_joined(entry.record, layout).extents if entry.record is not None else ()))
    else:
        part = decode_part(member)
        extents = (part.extent,)
    if all(extent.write_id != write_id for extent in extents):
        raise CorruptRecord(f"{origin.bucket}/{origin.key}: a record has {write_id} in it and no such extent")
    return Place(
        kind=kind,
        bucket=origin.bucket,
        key=origin.key,
        upload_id=origin.upload_id or "",
        member=member,
        layout=layout,
        extents=extents,
        record=record,
        part=part,
    )


def _joined(record: ObjectRecord, layout: bytes | None) -> ObjectRecord:
    if layout is None:
        return record
    extents, parts = decode_layout(layout)
    return replace(record, extents=extents, parts=parts)
