"""Looking at every copy of an object: which nodes hold it, since when, and whether its bytes are right.

Nothing is repaired here, but a node that meets damage while it reads for us sets the file aside, as with every read.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.index.records import Extent, Segment
from gateway.placement.membership import Membership, Node
from storagenode.client import BlobCorrupt, BlobNotFound, NodeClient, NodeError
from storagenode.protocol import BlobInfo, blob_id

SEGMENTS_AT_ONCE = 4
"""So that an inspection leaves the nodes to those who have business with them."""


class CopyState(StrEnum):
    """What is known of one copy of a segment."""

    OK = "ok"
    """Every byte was read just now and matches its checksum."""
    PRESENT = "present"
    """It is there and its header and footer are whole; its bytes were not read."""
    CORRUPT = "corrupt"
    MISSING = "missing"
    DIFFERS = "differs"
    """Whole in itself, and not what the majority of the copies holds."""
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One node's copy of a segment."""

    node_id: str
    address: str  # empty where the node table does not know the node
    zone: str
    state: CopyState
    durable_ms: int | None = None  # when it was written, by the node's clock
    digest: str = ""  # of the bytes, as the node stored it, in hexadecimal
    reason: str = ""  # of a state that is not good


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedSegment:
    """A segment with all copies that its record names."""

    blob_id: str
    offset: int  # in the object
    size_bytes: int
    copies: tuple[Copy, ...]


class Inspector:
    """Asks the nodes about copies."""

    def __init__(self, client: NodeClient, membership: Membership) -> None:
        self._client = client
        self._membership = membership

    async def inspect(self, extents: Sequence[Extent], *, quick: bool) -> AsyncIterator[InspectedSegment]:
        """Every segment in the order of the bytes; `quick` asks for the copies and does not read them."""
        waiting: list[asyncio.Task[InspectedSegment]] = []
        offset = 0
        try:
            for extent in extents:
                for segment in extent.segments:
                    look = self._inspect_segment(extent.write_id, segment, offset, quick=quick)
                    waiting.append(asyncio.create_task(look, name="inspect"))
                    offset += segment.size_bytes
                    if len(waiting) >= SEGMENTS_AT_ONCE:
                        yield await waiting.pop(0)
            while waiting:
                yield await waiting.pop(0)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _inspect_segment(self, write_id: str, segment: Segment, offset: int, *, quick: bool) -> InspectedSegment:
        name = blob_id(write_id, segment.number)
        looks = [self._inspect_copy(node_id, name, segment.size_bytes, quick=quick) for node_id in segment.nodes]
        return InspectedSegment(
            blob_id=name,
            offset=offset,
            size_bytes=segment.size_bytes,
            copies=compared(await asyncio.gather(*looks)),
        )

    async def _inspect_copy(self, node_id: str, name: str, size_bytes: int, *, quick: bool) -> Copy:
        node = self._membership.node(node_id)
        if node is None:
            return Copy(
                node_id=node_id, address="", zone="", state=CopyState.UNREACHABLE, reason="not in the node table"
            )
        copy = Copy(node_id=node_id, address=node.address, zone=node.zone, state=CopyState.PRESENT)
        try:
            info = await self._client.stat(node.address, name, node_id=node.node_id)
            copy = replace(copy, durable_ms=info.durable_ms or None, digest=info.digest.hex())
            if info.size_bytes != size_bytes:
                reason = f"it has {info.size_bytes} bytes, not {size_bytes}"
                return replace(copy, state=CopyState.CORRUPT, reason=reason)
            if not quick:
                await self._read(node, info)
                copy = replace(copy, state=CopyState.OK)
        except BlobNotFound:
            return replace(copy, state=CopyState.MISSING)
        except BlobCorrupt as error:
            return replace(copy, state=CopyState.CORRUPT, reason=str(error))
        except NodeError as error:
            return replace(copy, state=CopyState.UNREACHABLE, reason=str(error))
        return copy

    async def _read(self, node: Node, info: BlobInfo) -> None:
        """Have the node read and verify all of a blob. Raises NodeError."""
        if info.size_bytes:
            async with self._client.get(
                node.address, info.blob_id, offset=0, length=info.size_bytes, node_id=node.node_id
            ) as stream:
                async for _ in stream:
                    pass


def compared(copies: Sequence[Copy]) -> tuple[Copy, ...]:
    """The copies, those whole ones marked that are not what most whole ones are."""
    whole = {CopyState.OK, CopyState.PRESENT}
    counted = Counter(copy.digest for copy in copies if copy.state in whole)
    if len(counted) < 2:
        return tuple(copies)
    (common, most), (_, second) = counted.most_common(2)
    return tuple(
        replace(copy, state=CopyState.DIFFERS)
        if copy.state in whole and (copy.digest != common or most == second)
        else copy
        for copy in copies
    )
