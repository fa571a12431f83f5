"""The index against what the nodes hold: two sorted streams for each node, its listing and what records name on it.

The records are gathered first, so whatever seems to be missing or too much is asked about once more, at the node and in
the index, before it is called so.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from gateway.datapath.origin import OriginError, unpack_origin
from gateway.fsck.findings import Finding, FindingKind, Report
from gateway.fsck.sorting import Row, SortedRows
from gateway.fsck.surroundings import Surroundings
from gateway.index import keys
from gateway.index.records import Origin
from gateway.index.repair_records import Copy, PlaceKind, SegmentRef
from gateway.journal.catalogue import read_manifests
from gateway.journal.snapshot_writer import SNAPSHOT_BUCKET
from storagenode.client import BlobInfo, BlobNotFound, NodeError
from storagenode.protocol import LIST_LIMIT, blob_id, blob_time_ms

_FOREVER_MS = 1 << 47
_WRITE_ID_DIGITS = 32
_REQUIRED = (PlaceKind.OBJECT, PlaceKind.PART)
"""What waits in the trash may be given back at any moment: it explains a blob and demands none."""


async def check_nodes(around: Surroundings, report: Report, *, grace_ms: int) -> None:
    """Compare all nodes. Blobs younger than `grace_ms` may be of writes under way and need no explanation.

    Raises IndexUnavailable, IndexFault, CorruptRecord, UnsupportedFormat; OSError when the rows fill the disk.
    """
    check = _NodeCheck(around, report, before_ms=around.membership.now_ms() - grace_ms)
    with SortedRows() as rows:
        await _gather(around, rows, report)
        await check.run(iter(rows))


async def _gather(around: Surroundings, rows: SortedRows, report: Report) -> None:
    """One row for each copy that a record names."""
    cursor = b""
    while True:
        step = await around.index.walk(cursor)
        for record in step.records:
            required = record.kind in _REQUIRED
            origin = record.origin
            for extent in record.extents:
                for segment in extent.segments:
                    name = blob_id(extent.write_id, segment.number)
                    report.looked_at["segments"] += 1
                    for node_id in segment.nodes:
                        rows.add(
                            (
                                *(node_id, name, segment.size_bytes, required, len(segment.nodes)),
                                *(origin.bucket, origin.key, origin.upload_id or "", origin.part_number or 0),
                            )
                        )
        cursor = step.cursor
        if not cursor:
            return


class _NodeCheck:
    """One comparison of all nodes."""

    def __init__(self, around: Surroundings, report: Report, *, before_ms: int) -> None:
        self._around = around
        self._report = report
        self._before_ms = before_ms
        self._snapshots: set[str] = set()
        self._missing: Counter[str] = Counter()

    async def run(self, rows: Iterator[Row]) -> None:
        """`rows` in order: by node, then by blob."""
        manifests = await read_manifests(self._around.client, self._around.addresses)
        self._snapshots = set(manifests)
        expected = _ByNode(rows)
        nodes = {node.node_id for node in self._around.membership.nodes()}
        while (node_id := min([*nodes, *expected.next_node()], default=None)) is not None:
            nodes.discard(node_id)
            await self._check_node(node_id, expected.of(node_id))

    async def _check_node(self, node_id: str, rows: Iterator[Row]) -> None:
        node = self._around.membership.node(node_id)
        if node is None:
            for row in rows:
                await self._missing_copy(row, None)
            return
        if not node.live:
            if copies := sum(1 for _ in rows):
                self._not_checked(node_id, f"{copies} copies on it are not checked: it is away")
            return
        try:
            async with aclosing(self._listing(node.address)) as listing:
                await self._merge(node_id, node.address, listing, rows)
        except NodeError as error:
            self._not_checked(node_id, f"it is not checked to its end: {error}")
            for _ in rows:
                pass

    def _not_checked(self, node_id: str, text: str) -> None:
        self._report.add(Finding(kind=FindingKind.NOT_CHECKED, text=f"node {node_id}: {text}", node_id=node_id))

    async def _listing(self, address: str) -> AsyncGenerator[BlobInfo, None]:
        cursor = ""
        while page := await self._around.client.list(address, after=cursor, before_ms=_FOREVER_MS, limit=LIST_LIMIT):
            for info in page:
                self._report.looked_at["blobs"] += 1
                yield info
            cursor = page[-1].blob_id

    async def _merge(
        self, node_id: str, address: str, listing: AsyncGenerator[BlobInfo, None], rows: Iterator[Row]
    ) -> None:
        info = await anext(listing, None)
        named = ""
        for row in rows:
            name, size_bytes, required = row[1:4]
            while info is not None and info.blob_id < name:
                if info.blob_id != named:
                    await self._unnamed(node_id, info)
                info = await anext(listing, None)
            if name == named:
                continue  # two records of one segment: it was completed, say, during the walk
            named = name
            if info is None or info.blob_id != name:
                if required:
                    await self._missing_copy(row, address)
            elif info.size_bytes != size_bytes:
                text = f"{_of(row)}: blob {name} on node {node_id} has {info.size_bytes} bytes, not {size_bytes}"
                self._report.add(_copy_finding(FindingKind.COPY_SIZE, row, text))
        while info is not None:
            if info.blob_id != named:
                await self._unnamed(node_id, info)
            info = await anext(listing, None)

    async def _missing_copy(self, row: Row, address: str | None) -> None:
        """A copy that a record named a moment ago and that its node did not list."""
        node_id, name, _, required, copies = row[:5]
        if not required or (address is not None and await self._is_there(address, name)):
            return
        segment = _segment_of(name)
        place = await self._around.index.find_extent(segment.write_id, _origin(row))
        if place is None or place.kind not in _REQUIRED or node_id not in (place.nodes_of(segment) or ()):
            return
        where = f"node {node_id}" if address is not None else f"node {node_id}, which was removed"
        self._report.add(_copy_finding(FindingKind.COPY_MISSING, row, f"{_of(row)}: blob {name} is missing on {where}"))
        self._missing[name] += 1
        if self._missing[name] == copies:
            text = f"{_of(row)}: segment {segment.number} is lost, no node that its record names has blob {name}"
            self._report.add(_copy_finding(FindingKind.SEGMENT_LOST, row, text))

    async def _is_there(self, address: str, name: str) -> bool:
        """Raises NodeError when that cannot be told."""
        try:
            await self._around.client.stat(address, name)
        except BlobNotFound:
            return False
        return True

    async def _unnamed(self, node_id: str, info: BlobInfo) -> None:
        """A blob that no record named on this node a moment ago."""
        if blob_time_ms(info.blob_id) >= self._before_ms:
            return
        segment = _segment_of(info.blob_id)
        try:
            claimed = unpack_origin(info.origin)
        except OriginError as error:
            self._unexplained(node_id, info, f"its origin says nothing: {error}")
            return
        if claimed.origin.bucket == SNAPSHOT_BUCKET:
            if segment.write_id not in self._snapshots:
                self._unexplained(node_id, info, "it is of a snapshot that no node knows")
            return
        if claimed.write_id != segment.write_id:
            self._unexplained(node_id, info, "its origin is that of another write")
            return
        whose = f"{claimed.origin.bucket}/{claimed.origin.key}"
        place = await self._around.index.find_extent(segment.write_id, claimed.origin)
        named = place.nodes_of(segment) if place is not None else None
        if named is None:
            if not await self._around.index.is_under_way(segment.write_id):
                self._unexplained(node_id, info, f"it was written for {whose}, which does not refer to it")
        elif node_id not in named and not await self._is_released(segment, node_id):
            text = f"{whose}: blob {info.blob_id} on node {node_id} is a copy more than its record names"
            self._report.add(
                Finding(
                    kind=FindingKind.BLOB_SURPLUS,
                    text=text,
                    node_id=node_id,
                    blob_id=info.blob_id,
                    origin=claimed.origin,
                    size_bytes=info.size_bytes,
                    copies=len(named),
                )
            )

    async def _is_released(self, segment: SegmentRef, node_id: str) -> bool:
        """Whether the copy waits to be deleted."""
        copy = Copy(segment=segment, node_id=node_id).packed()
        for queue in (keys.released(), keys.releasing()):
            if await self._around.raw.command("ZSCORE", queue, copy) is not None:
                return True
        return False

    def _unexplained(self, node_id: str, info: BlobInfo, reason: str) -> None:
        text = f"blob {info.blob_id} on node {node_id} is not explained: {reason}"
        self._report.add(
            Finding(
                kind=FindingKind.BLOB_UNEXPLAINED,
                text=text,
                node_id=node_id,
                blob_id=info.blob_id,
                size_bytes=info.size_bytes,
            )
        )


class _ByNode:
    """Rows in the order of nodes, one node at a time."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def next_node(self) -> list[str]:
        """The node of the next row; none at the end."""
        return [] if self._next is None else [self._next[0]]

    def of(self, node_id: str) -> Iterator[Row]:
        """The rows of this node, which no later node may precede."""
        while self._next is not None and self._next[0] == node_id:
            row, self._next = self._next, next(self._rows, None)
            yield row


def _segment_of(name: str) -> SegmentRef:
    return SegmentRef(write_id=name[:_WRITE_ID_DIGITS], number=int(name[_WRITE_ID_DIGITS + 1 :], 16))


def _origin(row: Row) -> Origin:
    bucket, key, upload_id, part_number = row[5:]
    return Origin(bucket=bucket, key=key, upload_id=upload_id or None, part_number=part_number or None)


def _of(row: Row) -> str:
    return f"{row[5]}/{row[6]}"


def _copy_finding(kind: FindingKind, row: Row, text: str) -> Finding:
    return Finding(
        kind=kind,
        text=text,
        bucket=row[5],
        node_id=row[0],
        blob_id=row[1],
        origin=_origin(row),
        size_bytes=row[2],
        copies=row[4],
    )
