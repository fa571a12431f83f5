"""The writing of one extent: all bytes of one PUT or one part, in segments, each to its replicas.

    async with datapath.open_write(origin=..., size_bytes=...) as writer:
        async for block in body:
            await writer.write(block)
        extent = await writer.finish()
    ... commit the extent to the index

Leaving without `finish` aborts: the puts are cancelled and what was stored is deleted in the background.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self

from gateway.datapath.cleanup import BlobCleaner
from gateway.datapath.damage import Damage, DamageKind
from gateway.datapath.segment import SegmentWrite, WriteJob
from gateway.index.records import Extent, Segment
from storagenode.protocol import blob_id

SEGMENT_BYTES = 64 * 1024 * 1024
"""No node holds all of a large object; the grain of repair and of parallel reads."""

MAXIMUM_BLOCK_BYTES = 1024 * 1024
"""Larger blocks are cut, so that the window stays a few blocks long."""

MAXIMUM_SETTLING = 2
"""Segments that wait for their fsyncs while the next one streams."""

RenewLease = Callable[[str], Awaitable[None]]
"""Tells the orphan worker, by write id, that the write is still going on."""


class ExtentWriter:
    """Made by DataPath.open_write; an async context manager for one task."""

    def __init__(
        self,
        job: WriteJob,
        *,
        size_bytes: int,
        cleaner: BlobCleaner,
        renew_lease: RenewLease,
        lease_interval_s: float,
    ) -> None:
        self._job = job
        self._size_bytes = size_bytes
        self._cleaner = cleaner
        self._renew_lease = renew_lease
        self._lease_interval_s = lease_interval_s
        self._lease_due = job.clock() + lease_interval_s
        self._written_bytes = 0
        self._segments: list[SegmentWrite] = []
        self._current: SegmentWrite | None = None
        self._settling: deque[asyncio.Task[Segment]] = deque()
        self._settled: list[Segment] = []
        self._finished = False

    @property
    def write_id(self) -> str:
        """Names the bytes of this write; part of every blob id and of the extent."""
        return self._job.write_id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._finished:
            self._abort()

    async def write(self, block: bytes) -> None:
        """Take the next bytes; returns when they are on the way and few enough are waiting.

        Raises NotEnoughNodes, WriteFailed; ValueError past the size announced.
        """
        if self._written_bytes + len(block) > self._size_bytes:
            raise ValueError(f"more than the {self._size_bytes} bytes announced were written")
        if self._job.clock() >= self._lease_due:
            await self._renew()
        offset = 0
        while offset < len(block):
            position = self._written_bytes + offset
            end = offset + min(SEGMENT_BYTES - position % SEGMENT_BYTES, MAXIMUM_BLOCK_BYTES)
            piece = block if offset == 0 and end >= len(block) else block[offset:end]
            await self._push(piece)
            offset += len(piece)
        self._written_bytes += len(block)

    async def finish(self) -> Extent:
        """Wait until a majority of every segment's replicas is durable, and the others if they keep up.

        Raises WriteFailed; ValueError when fewer bytes were written than announced.
        """
        if self._written_bytes != self._size_bytes:
            raise ValueError(f"{self._written_bytes} bytes written, {self._size_bytes} announced")
        if self._job.clock() >= self._lease_due:
            await self._renew()
        while self._settling:
            await self._settle_oldest()
        if self._current is not None:
            # The last segment needs no task of its own: nothing streams meanwhile.
            self._keep(await self._current.settle())
        self._finished = True
        return Extent(write_id=self._job.write_id, segments=tuple(self._settled))

    async def _push(self, piece: bytes) -> None:
        if self._current is not None and self._current.pushed_bytes == SEGMENT_BYTES:
            await self._leave_segment(self._current)
        if self._current is None:
            await self._start_segment(piece)
        else:
            await self._current.push(piece)

    async def _leave_segment(self, segment: SegmentWrite) -> None:
        """Let a full segment wait for its nodes by itself, while the next one streams."""
        self._current = None
        self._settling.append(asyncio.create_task(segment.settle(), name="settle"))
        while len(self._settling) > MAXIMUM_SETTLING:
            await self._settle_oldest()

    async def _start_segment(self, piece: bytes) -> None:
        number = len(self._segments)
        size_bytes = min(SEGMENT_BYTES, self._size_bytes - number * SEGMENT_BYTES)
        self._current = SegmentWrite(self._job, number=number, size_bytes=size_bytes)
        self._segments.append(self._current)
        await self._current.start(piece)

    async def _settle_oldest(self) -> None:
        # Popped only afterwards: should this be cancelled, the abort still finds the task.
        segment = await self._settling[0]
        self._settling.popleft()
        self._keep(segment)

    def _keep(self, segment: Segment) -> None:
        self._settled.append(segment)
        leftovers = self._segments[segment.number].leftovers(segment)
        if len(segment.nodes) == self._job.replicas:
            self._cleaner.discard(leftovers, on_left=lambda: self._report(segment, DamageKind.STRAY))
            return
        self._report(segment, DamageKind.TOO_FEW)
        if leftovers:
            # Not deleted now: repair may well choose one of these nodes, and a deletion that is late would then take
            # a copy that the record names.
            self._report(segment, DamageKind.STRAY)

    def _report(self, segment: Segment, kind: DamageKind) -> None:
        self._job.damage(
            Damage(
                blob_id=blob_id(self._job.write_id, segment.number),
                kind=kind,
                nodes=segment.nodes,
                origin=self._job.origin,
                size_bytes=segment.size_bytes,
            )
        )

    async def _renew(self) -> None:
        self._lease_due = self._job.clock() + self._lease_interval_s
        await self._renew_lease(self._job.write_id)

    def _abort(self) -> None:
        ending: list[asyncio.Task[None]] = []
        blobs = []
        for task in self._settling:
            task.cancel()
        for segment in self._segments:
            left, tasks = segment.abort()
            blobs += left
            ending += tasks
        self._cleaner.discard(blobs, after=[*ending, *self._settling])
