"""A small cluster in memory whose index, journal and nodes agree, to be damaged in one place."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import xxhash

from gateway.datapath.origin import pack_origin
from gateway.fsck.findings import FindingKind, Report
from gateway.fsck.mending import mend
from gateway.fsck.run import check_all
from gateway.fsck.surroundings import Surroundings
from gateway.index import keys
from gateway.index.records import Deletion, Extent, ObjectRecord, Origin, PartRecord, Segment, UploadRecord
from gateway.journal.snapshot_format import Manifest
from storagenode.journal_protocol import Seal, SegmentHeader, pack_header, segment_id
from storagenode.protocol import blob_id, new_write_id
from tests.gateway.index.making import OWNER, make_bucket
from tests.gateway.journal.memory_nodes import MemorySegment
from tests.gateway.journal.rebuilding import Rebuilding, keeper, manifests

GRACE_MS = 1000
LONG_AGO_MS = 1_500_000_000_000
NODES = ("a", "b", "c")


@dataclass(slots=True)
class Checking:
    """The cluster, and calls on it."""

    rebuilding: Rebuilding
    blobs: dict[str, str] = field(default_factory=dict)
    """The blob of each object by its key, on nodes a and b."""
    headers: list[SegmentHeader] = field(default_factory=list)
    _writes: int = 0

    @property
    def around(self) -> Surroundings:
        one = self.rebuilding
        return Surroundings(
            raw=one.connection,
            feed=one.feed,
            index=one.index,
            client=one.nodes.client(),
            membership=one.membership,
        )

    async def check(self) -> Report:
        report = Report()
        await check_all(self.around, report, grace_ms=GRACE_MS)
        return report

    async def kinds(self) -> dict[FindingKind, int]:
        """What a check finds, and how often."""
        return dict((await self.check()).counts)

    async def repair(self) -> list[str]:
        """Check and repair; what was done."""
        report, done = await self.check(), list[str]()
        job = keeper(self.rebuilding, entries=10_000, interval_s=3600.0)
        await mend(self.around, report, job, done.append)
        await self.ship()
        return done

    def store(self, origin: Origin, *, node_ids: tuple[str, ...] = ("a", "b"), size_bytes: int = 100) -> Extent:
        """A blob on these nodes, written long ago."""
        self._writes += 1
        write_id = new_write_id(LONG_AGO_MS, self._writes.to_bytes(10))
        body = self._writes.to_bytes(size_bytes)
        for node_id in node_ids:
            packed = pack_origin(origin, write_id=write_id, size_bytes=size_bytes)
            self.rebuilding.nodes.nodes[node_id].blobs[blob_id(write_id, 0)] = (body, packed)
        return Extent(write_id=write_id, segments=(Segment(number=0, size_bytes=size_bytes, nodes=node_ids),))

    async def put(self, key: str) -> None:
        extent = self.store(Origin(bucket="photos", key=key))
        record = ObjectRecord(
            etag="0" * 32, size_bytes=extent.size_bytes, modified_ms=1, owner_id=OWNER, extents=(extent,)
        )
        await self.rebuilding.index.put_object("photos", key, record)
        self.blobs[key] = blob_id(extent.write_id, 0)

    async def put_part(self, key: str) -> None:
        upload = await self.rebuilding.index.create_upload(
            "photos", UploadRecord(key=key, owner_id=OWNER, initiated_ms=1)
        )
        origin = Origin(bucket="photos", key=key, upload_id=upload.upload_id, part_number=1)
        part = PartRecord(
            part_number=1, size_bytes=100, etag="0" * 32, checksum=None, modified_ms=1, extent=self.store(origin)
        )
        await self.rebuilding.index.put_part("photos", key, upload.upload_id, part)

    async def ship(self) -> None:
        """Make the journal on the nodes durable up to the last change, as a gateway would."""
        one = self.rebuilding
        state = await one.feed.read_state()
        entries = await one.feed.entries(state.watermark, 100_000)
        header = self.headers[-1]
        if entries:
            for name in header.nodes:
                await one.nodes.journal.append(
                    *(name, header.segment_id),
                    epoch=header.epoch,
                    watermark=state.watermark,
                    first_sequence=entries[0][0],
                    entries=[entry for _, entry in entries],
                )
            await one.connection.command("HSET", keys.journal(), "watermark", entries[-1][0])

    async def roll(self) -> None:
        """Open another segment of the journal."""
        state = await self.rebuilding.feed.read_state()
        first = state.watermark + 1
        epoch = 10 * (len(self.headers) + 1)
        header = SegmentHeader(
            segment_id=segment_id(epoch, first),
            epoch=epoch,
            first_sequence=first,
            nodes=NODES,
            quorum=2,
            incarnation="i",
            opened_at=0,
        )
        for node in self.rebuilding.nodes.nodes.values():
            if self.headers and (last := node.segments.get(self.headers[-1].segment_id)) is not None:
                last.seal = Seal(epoch=epoch, end_sequence=state.watermark, next=header)
            node.segments[header.segment_id] = MemorySegment(header)
        self.headers.append(header)
        await self.rebuilding.connection.command("HSET", keys.journal(), "segment", pack_header(header))

    async def snapshot(self) -> Manifest:
        return await self.rebuilding.writer().take()

    async def manifests(self) -> list[Manifest]:
        return await manifests(self.rebuilding)

    def digest(self, node_id: str, name: str) -> bytes:
        return xxhash.xxh3_128_digest(self.rebuilding.nodes.nodes[node_id].blobs[name][0])


@contextlib.asynccontextmanager
async def sound_cluster(rebuilding: Rebuilding) -> AsyncIterator[Checking]:
    """Objects, a part, trash, a user, two snapshots and two segments of the journal, with changes behind each."""
    checking = Checking(rebuilding)
    await checking.roll()
    await make_bucket(rebuilding.index)
    for number in range(20):
        await checking.put(f"first/{number}")
    await checking.ship()
    await checking.snapshot()
    await checking.roll()
    for number in range(20):
        await checking.put(f"second/{number}")
    await checking.put_part("upload")
    await rebuilding.index.delete_object("photos", Deletion(key="first/0"), owner_id=OWNER, now_ms=1)
    await checking.put("first/1")
    await checking.ship()
    await checking.snapshot()
    for number in range(5):
        await checking.put(f"third/{number}")
    await checking.ship()
    yield checking
