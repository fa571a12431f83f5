"""Looking at the copies of a blob on its nodes, and making further ones: node -> worker -> node, never held whole."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import structlog

from gateway.index.repair_records import SegmentRef
from gateway.placement.membership import Membership, Node
from gateway.workers.node_watch import NodeWatch, Standing
from gateway.workers.pacing import Pace
from gateway.workers.replica_plan import CopyState, FoundCopy
from storagenode.client import (
    BlobCorrupt,
    BlobInfo,
    BlobNotFound,
    BlobStream,
    NodeClient,
    NodeError,
    NodeUnreachable,
)
from storagenode.protocol import blob_id

_log = structlog.get_logger(__name__)


class CopyFailed(Exception):
    """A copy could not be made, or it cannot be told which one is right; the message tells an administrator why."""


class SourceFailed(Exception):
    """The node that was copied from did not give the bytes."""

    def __init__(self, node: Node, error: NodeError) -> None:
        super().__init__(f"{node.node_id}: {error!r}")
        self.node = node
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """The copies of a segment as they were found; `info` is what the good ones agree on."""

    found: tuple[FoundCopy, ...]
    info: BlobInfo | None

    @property
    def good(self) -> list[Node]:
        return [one.node for one in self.found if one.state is CopyState.GOOD and one.node is not None]


class Copier:
    """Inspects and copies. Errors of nodes end in what is returned; only `copy` raises."""

    def __init__(self, client: NodeClient, watch: NodeWatch) -> None:
        self._client = client
        self._watch = watch

    @property
    def _membership(self) -> Membership:
        return self._watch.membership

    async def inspect(
        self, segment: SegmentRef, size_bytes: int, node_ids: Sequence[str], *, verify: Pace | None = None
    ) -> Inspection:
        """Ask each node what it has; `verify` has every byte of the copies read, at this pace."""
        infos: dict[str, BlobInfo] = {}
        found = []
        for node_id in node_ids:
            state = await self._look(segment, size_bytes, node_id, infos, verify)
            found.append((node_id, state))
        agreed = _agreed(infos)
        return Inspection(
            found=tuple(
                [
                    self._found(node_id, CopyState.BROKEN if node_id in infos and infos[node_id] != agreed else state)
                    for node_id, state in found
                ]
            ),
            info=agreed,
        )

    async def holders(self, segment: SegmentRef) -> tuple[list[str], bool]:
        """The nodes that have something under the blob's name, and whether all that may come back were asked."""
        name, holders, is_complete = blob_id(segment.write_id, segment.number), [], True
        for node in self._membership.nodes():
            standing = self._watch.standing(node.node_id)
            if standing in (Standing.LIVE, Standing.LEAVING):
                try:
                    await self._client.stat(node.address, name, node_id=node.node_id)
                    holders.append(node.node_id)
                except BlobNotFound:
                    pass
                except BlobCorrupt:
                    holders.append(node.node_id)
                except NodeError as error:
                    self._note(node, error)
                    is_complete = False
            is_complete &= standing is not Standing.AWAY  # one that is gone is gone through when it returns
        return holders, is_complete

    async def copy(self, source: Node, target: Node, info: BlobInfo, pace: Pace) -> None:
        """Put a blob on another node, durably. Raises SourceFailed, and NodeError of the target."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    stream = await stack.enter_async_context(
                        self._client.get(
                            source.address, info.blob_id, offset=0, length=info.size_bytes, node_id=source.node_id
                        )
                    )
                except NodeError as error:
                    raise SourceFailed(source, error) from error
                stored = await self._client.put(
                    target.address,
                    info.blob_id,
                    size_bytes=info.size_bytes,
                    origin=info.origin,
                    body=_paced(source, stream, pace),
                    node_id=target.node_id,
                )
        except SourceFailed as failure:
            self._note(source, failure.error)
            raise
        except NodeError as error:
            self._note(target, error)
            raise
        if stored.digest != info.digest:
            await self._client.delete(target.address, info.blob_id, node_id=target.node_id)
            raise SourceFailed(source, BlobCorrupt(f"{info.blob_id}: other bytes than it has told of"))

    async def _look(
        self, segment: SegmentRef, size_bytes: int, node_id: str, infos: dict[str, BlobInfo], verify: Pace | None
    ) -> CopyState:
        standing = self._watch.standing(node_id)
        node = self._membership.node(node_id)
        if node is None or standing not in (Standing.LIVE, Standing.LEAVING):
            return CopyState.GONE if standing is Standing.GONE else CopyState.AWAY
        try:
            name = blob_id(segment.write_id, segment.number)
            info = await self._client.stat(node.address, name, node_id=node_id)
            if info.size_bytes != size_bytes:
                return CopyState.BROKEN
            if verify is not None:
                await self._read_whole(node, info, verify)
        except (BlobNotFound, BlobCorrupt):
            return CopyState.BROKEN
        except NodeError as error:
            self._note(node, error)
            return CopyState.AWAY
        infos[node_id] = info
        return CopyState.GOOD

    async def _read_whole(self, node: Node, info: BlobInfo, pace: Pace) -> None:
        async with self._client.get(
            node.address, info.blob_id, offset=0, length=info.size_bytes, node_id=node.node_id
        ) as stream:
            async for chunk in stream:
                await pace.draw(len(chunk))

    def _found(self, node_id: str, state: CopyState) -> FoundCopy:
        node = self._membership.node(node_id)
        return FoundCopy(
            node_id=node_id,
            zone=node.zone if node is not None else "",
            state=state,
            leaving=node is not None and (node.draining or node.removed),
            node=node,
        )

    def _note(self, node: Node, error: NodeError) -> None:
        _log.warning("node failed a repair", node=node.node_id, error=repr(error))
        if isinstance(error, NodeUnreachable):
            self._membership.node_failed(node.node_id)


async def _paced(source: Node, stream: BlobStream, pace: Pace) -> AsyncIterator[bytes]:
    try:
        async for chunk in stream:
            await pace.draw(len(chunk))
            yield chunk
    except NodeError as error:
        raise SourceFailed(source, error) from error


def _agreed(infos: dict[str, BlobInfo]) -> BlobInfo | None:
    """What most copies are. Where two kinds are as many, none is right for sure: all count as they were found."""
    if not infos:
        return None
    counted = Counter(infos.values()).most_common(2)
    if len(counted) == 2 and counted[0][1] == counted[1][1]:
        raise CopyFailed(f"copies differ, and none is of a majority: {', '.join(sorted(infos))}")
    return counted[0][0]
