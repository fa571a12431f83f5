"""Compares what nodes hold with what the index refers to, blob by blob: nothing too few, nothing too many.

    difference = await account(connection, client, {node_id: address})
    assert difference.balanced, difference.explain()

Only meaningful while nobody writes, and once reclaim, sweeper and repair had the time to do their work. Bytes are
those of blobs, without the headers and checksums of their files.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from gateway.datapath.origin import OriginError, unpack_origin
from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.references import Reference, ReferenceKind, references
from gateway.index.repair_records import Copy
from gateway.journal.catalogue import read_manifests
from gateway.journal.snapshot_format import Manifest, SnapshotState
from storagenode.client import BlobInfo, NodeClient
from storagenode.protocol import LIST_LIMIT, blob_id

END_OF_TIME_MS = 1 << 47
_SHOWN = 10
_WRITE_ID_DIGITS = 32

Place = tuple[str, str]
"""(node id, blob id)"""


@dataclass(slots=True, kw_only=True)
class Accounting:
    """The books of a cluster; every place is a (node id, blob id)."""

    node_blobs: int = 0
    node_bytes: int = 0
    object_bytes: int = 0
    """Of versions, each byte once a node that is named for it; so with parts."""
    part_bytes: int = 0
    trash_bytes: int = 0
    """What is still there of the trash: a reclaim under way may have deleted some of its blobs."""
    released_bytes: int = 0
    """Of copies that a record ceased to name, and whose deletion waits or is under way."""
    snapshot_bytes: int = 0
    """Of chunks of snapshots of the index whose manifest some node has."""
    missing: list[Place] = field(default_factory=list)
    """A version, a part or a complete snapshot names the node for it, and the node does not have it."""
    unreferenced: list[Place] = field(default_factory=list)
    """Nothing refers to its write, or to its snapshot: an orphan that was not swept yet."""
    misplaced: list[Place] = field(default_factory=list)
    """Its write is referred to, but not on this node."""
    other_size: list[Place] = field(default_factory=list)
    """The node's blob has another size than the index says."""
    unreferenced_bytes: int = 0
    misplaced_bytes: int = 0
    descriptions: dict[Place, str] = field(default_factory=dict)
    """Of the places above: bucket, key and size."""

    @property
    def balanced(self) -> bool:
        """Whether nodes hold exactly what the index refers to."""
        return not (self.missing or self.unreferenced or self.misplaced or self.other_size)

    @property
    def nothing_lost(self) -> bool:
        """Whether nodes hold all that versions and parts refer to, whatever else they hold."""
        return not (self.missing or self.other_size)

    @property
    def accounted_bytes(self) -> int:
        """The sum of all kinds; equals `node_bytes` where nothing is missing."""
        named = self.object_bytes + self.part_bytes + self.trash_bytes + self.released_bytes + self.snapshot_bytes
        return named + self.unreferenced_bytes + self.misplaced_bytes

    def explain(self) -> str:
        """The books and the first differences of each kind, for a failed assertion."""
        lines = [
            f"nodes hold {self.node_blobs} blobs of {self.node_bytes} bytes: objects {self.object_bytes},"
            f" parts {self.part_bytes}, trash {self.trash_bytes}, released {self.released_bytes},"
            f" snapshots {self.snapshot_bytes}, unreferenced {self.unreferenced_bytes},"
            f" misplaced {self.misplaced_bytes}"
        ]
        for name in ("missing", "unreferenced", "misplaced", "other_size"):
            places: list[Place] = getattr(self, name)
            lines += [f"{name}: {len(places)}"] if places else []
            lines += [f"  {node} {blob} {self.descriptions.get((node, blob), '')}" for node, blob in places[:_SHOWN]]
        return "\n".join(lines)


@dataclass(slots=True, kw_only=True)
class _Named:
    """What the index says: which places hold what."""

    sizes: dict[Place, tuple[int, Reference]] = field(default_factory=dict)
    writes: set[str] = field(default_factory=set)
    released: set[Place] = field(default_factory=set)
    snapshots: Mapping[str, Manifest] = field(default_factory=dict)
    """By the write id of their chunks."""


async def account(
    connection: Connection,
    client: NodeClient,
    addresses: Mapping[str, str],
    *,
    ignore_missing_on: Collection[str] = (),
) -> Accounting:
    """Walk the index, list every node of `addresses` (node id -> host:port), compare.

    `ignore_missing_on`: nodes that are gone, so that what they should hold is no difference. Every other node that
    the index names must be in `addresses`, else all of it counts as missing. Raises IndexUnavailable, NodeError.
    """
    # The index first: what is written between the two readings then counts as unreferenced and not as lost.
    named = await _read_index(connection)
    named.snapshots = await read_manifests(client, addresses)
    held = {
        (node_id, info.blob_id): info
        for node_id, address in addresses.items()
        for info in await list_blobs(client, address)
    }
    result = Accounting(node_blobs=len(held), node_bytes=sum(info.size_bytes for info in held.values()))
    for place, (size_bytes, reference) in named.sizes.items():
        _settle_named(result, place, size_bytes, reference, held.get(place), set(ignore_missing_on))
    for place, info in held.items():
        if place not in named.sizes:
            _settle_unnamed(result, place, info, named)
    _settle_snapshots(result, named.snapshots, held, set(ignore_missing_on))
    return result


async def list_blobs(client: NodeClient, address: str) -> list[BlobInfo]:
    """Every blob of a node, in id order. Raises NodeError."""
    found: list[BlobInfo] = []
    while page := await client.list(
        address, after=found[-1].blob_id if found else "", before_ms=END_OF_TIME_MS, limit=LIST_LIMIT
    ):
        found += page
    return found


async def _read_index(connection: Connection) -> _Named:
    named = _Named()
    async for reference in references(connection):
        named.writes.add(reference.extent.write_id)
        for place, size_bytes in _places(reference):
            # What a version refers to weighs more than the trash that may name it too (an undelete under way).
            if place not in named.sizes or reference.kind is not ReferenceKind.TRASH:
                named.sizes[place] = size_bytes, reference
    for name in (keys.released(), keys.releasing()):
        for member in await connection.command("ZRANGE", name, 0, -1):
            copy = Copy.unpacked(member)
            named.released.add((copy.node_id, blob_id(copy.segment.write_id, copy.segment.number)))
    return named


def _places(reference: Reference) -> Iterator[tuple[Place, int]]:
    for segment in reference.extent.segments:
        for node_id in segment.nodes:
            yield (node_id, blob_id(reference.extent.write_id, segment.number)), segment.size_bytes


def _settle_named(
    result: Accounting,
    place: Place,
    size_bytes: int,
    reference: Reference,
    info: BlobInfo | None,
    ignored: set[str],
) -> None:
    if info is None:
        if reference.kind is not ReferenceKind.TRASH and place[0] not in ignored:
            result.missing.append(place)
            result.descriptions[place] = f"{reference.bucket}/{reference.key} {size_bytes}"
        return
    if info.size_bytes != size_bytes:
        result.other_size.append(place)
        result.descriptions[place] = f"{reference.bucket}/{reference.key} {info.size_bytes} instead of {size_bytes}"
    match reference.kind:
        case ReferenceKind.OBJECT:
            result.object_bytes += info.size_bytes
        case ReferenceKind.PART:
            result.part_bytes += info.size_bytes
        case ReferenceKind.TRASH:
            result.trash_bytes += info.size_bytes


def _settle_unnamed(result: Accounting, place: Place, info: BlobInfo, named: _Named) -> None:
    if place in named.released:
        result.released_bytes += info.size_bytes
        return
    write_id = place[1][:_WRITE_ID_DIGITS]
    if write_id in named.snapshots:
        result.snapshot_bytes += info.size_bytes
        return
    try:
        origin = unpack_origin(info.origin).origin
    except OriginError:
        origin = None
    name = f"{origin.bucket}/{origin.key}" if origin is not None else "unknown origin"
    result.descriptions[place] = f"{name} {info.size_bytes}"
    if write_id in named.writes:
        result.misplaced.append(place)
        result.misplaced_bytes += info.size_bytes
    else:
        result.unreferenced.append(place)
        result.unreferenced_bytes += info.size_bytes


def _settle_snapshots(
    result: Accounting, snapshots: Mapping[str, Manifest], held: Mapping[Place, BlobInfo], ignored: set[str]
) -> None:
    for manifest in snapshots.values():
        if manifest.state is not SnapshotState.COMPLETE:
            continue  # begun, and its chunks are not listed yet; or being deleted
        for number, chunk in enumerate(manifest.chunks):
            for node_id in chunk.nodes:
                place = node_id, manifest.blob_id(number)
                if place not in held and node_id not in ignored:
                    result.missing.append(place)
                    result.descriptions[place] = f"chunk of a snapshot {chunk.size_bytes}"
