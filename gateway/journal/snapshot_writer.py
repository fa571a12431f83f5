"""Taking a snapshot: reading the index in pages, storing chunks on nodes, and the manifest that makes it one.

Before the first chunk a manifest on the nodes says that this write began, so that whatever a killed writer leaves is
found again. The snapshot counts when a manifest says that it is complete, which is written only when every chunk is
stored and the journal is durable past the last change that may have been read.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import structlog
import xxhash

from gateway.datapath.origin import pack_origin
from gateway.index.connection import Connection, Durability
from gateway.index.errors import IndexUnavailable
from gateway.index.journal_feed import JournalFeed, JournalState
from gateway.index.records import Origin
from gateway.journal.catalogue import put_everywhere
from gateway.journal.dump import member_count, state_rows
from gateway.journal.snapshot_format import (
    CHUNK_BYTES,
    ChunkBuilder,
    Manifest,
    SnapshotChunk,
    SnapshotState,
    compress_rows,
)
from gateway.placement.membership import Membership, Node
from gateway.placement.rendezvous import choose
from storagenode.client import NodeClient, NodeError
from storagenode.protocol import blob_id, new_write_id

SNAPSHOT_BUCKET = ""
"""The bucket in the origin of a snapshot's chunks: no bucket has this name, so that they are told from all others."""

CHUNKS_UNDER_WAY = 2
"""Compressed and stored while the next is read: some 30 MiB of memory."""

_log = structlog.get_logger(__name__)


class SnapshotFailed(Exception):
    """Too few nodes took a chunk or the manifest, or the index was opened anew meanwhile."""


class SnapshotWriter:
    """Takes snapshots over a connection without a guard, each of one incarnation of the index."""

    def __init__(
        self,
        feed: JournalFeed,
        raw: Connection,
        client: NodeClient,
        membership: Membership,
        *,
        durability: Durability,
        replicas: Callable[[int], int],
        random_bytes: Callable[[int], bytes] = os.urandom,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        """`replicas` tells how many copies a cluster of so many nodes keeps of everything."""
        self._feed = feed
        self._raw = raw
        self._client = client
        self._membership = membership
        self._durability = durability
        self._replicas = replicas
        self._random_bytes = random_bytes
        self._chunk_bytes = chunk_bytes

    async def take(self, *, on_begun: Callable[[Manifest], None] = lambda _: None) -> Manifest:
        """One snapshot, complete on a majority of the nodes. Raises SnapshotFailed, IndexUnavailable, IndexFault.

        `on_begun` hears of it before the first chunk is stored; what is left of one that fails is the caller's.
        """
        await self._membership.refresh()
        self._require_majority(len(self._membership.live_nodes()))  # before anything is left behind
        state = await self._open_state()
        manifest = Manifest(
            snapshot_id=new_write_id(self._membership.now_ms(), self._random_bytes(10)),
            state=SnapshotState.BEGUN,
            start_sequence=state.sequence or 0,
            end_sequence=0,
            created_ms=self._membership.now_ms(),
        )
        on_begun(manifest)
        await self._publish(manifest)
        manifest = await self._store_chunks(manifest)
        end = await self._open_state()
        if (end.identity, end.incarnation) != (state.identity, state.incarnation):
            raise SnapshotFailed("the index was recovered while it was read")
        manifest = replace(manifest, state=SnapshotState.COMPLETE, end_sequence=end.sequence or 0)
        await self._durability.reach(manifest.end_sequence, incarnation=state.incarnation)
        await self._publish(manifest)
        _log.info(
            "snapshot taken",
            snapshot=manifest.snapshot_id,
            sequence=manifest.start_sequence,
            keys=manifest.key_count,
            members=manifest.member_count,
            bytes=manifest.size_bytes,
        )
        return manifest

    async def _open_state(self) -> JournalState:
        state = await self._feed.read_state()
        if state.sequence is None or state.opened != state.identity:
            raise IndexUnavailable("the index is not open, there is nothing to take a snapshot of", maybe_applied=False)
        return state

    async def _publish(self, manifest: Manifest) -> None:
        """Have a majority of all nodes keep the manifest, so that no minority's loss loses it."""
        await self._membership.refresh_if_possible()
        nodes = {node.node_id: node.address for node in self._membership.live_nodes()}
        stored = await put_everywhere(self._client, nodes, manifest)
        self._require_majority(len(stored))

    def _require_majority(self, count: int) -> None:
        needed = majority(len(self._membership.expected_nodes()))
        if count < needed:
            raise SnapshotFailed(f"{count} nodes take the manifest, {needed} are needed")

    async def _store_chunks(self, manifest: Manifest) -> Manifest:
        """Read the index and store it; the manifest with what was stored."""
        storing: list[asyncio.Task[SnapshotChunk]] = []
        counts = _Counts()
        try:
            async with aclosing(self._chunks(counts)) as chunks:
                async for packed in chunks:
                    if len(storing) >= CHUNKS_UNDER_WAY:
                        await storing[-CHUNKS_UNDER_WAY]
                    number = len(storing)
                    job = self._store_chunk(manifest.snapshot_id, number, packed)
                    storing.append(asyncio.create_task(job, name="snapshot chunk"))
            stored = await asyncio.gather(*storing)
        finally:
            for task in storing:
                task.cancel()
            await asyncio.gather(*storing, return_exceptions=True)
        return replace(manifest, chunks=tuple(stored), key_count=counts.keys, member_count=counts.members)

    async def _chunks(self, counts: "_Counts") -> AsyncGenerator[list[bytes], None]:
        builder = ChunkBuilder(self._chunk_bytes)
        last_key = None
        async with aclosing(state_rows(self._raw)) as rows:
            async for row in rows:
                counts.keys += row[1] != last_key
                counts.members += member_count(row)
                last_key = row[1]
                builder.add(row)
                if builder.is_full:
                    yield builder.take()
        if builder:
            yield builder.take()

    async def _store_chunk(self, snapshot_id: str, number: int, packed: Sequence[bytes]) -> SnapshotChunk:
        body = await asyncio.to_thread(compress_rows, packed)
        wanted = self._replicas(len(self._membership.expected_nodes()))
        untried = self._candidates(snapshot_id, number, len(body))
        stored: list[str] = []
        while untried and len(stored) < wanted:
            attempt = choose(snapshot_id, number, untried, wanted - len(stored))
            untried = [node for node in untried if node not in attempt]
            took = await asyncio.gather(*(self._put(node, snapshot_id, number, body) for node in attempt))
            stored += [node.node_id for node, ok in zip(attempt, took, strict=True) if ok]
        if len(stored) < majority(wanted):
            raise SnapshotFailed(f"{len(stored)} nodes took chunk {number}, {majority(wanted)} are needed")
        return SnapshotChunk(size_bytes=len(body), digest=xxhash.xxh3_128_digest(body), nodes=tuple(stored))

    def _candidates(self, snapshot_id: str, number: int, size_bytes: int) -> list[Node]:
        writable = self._membership.writable_nodes(size_bytes)
        trusted = [node for node in writable if not self._membership.suspects(node.node_id)]
        return trusted if len(trusted) >= self._replicas(len(self._membership.expected_nodes())) else writable

    async def _put(self, node: Node, snapshot_id: str, number: int, body: bytes) -> bool:
        origin = pack_origin(
            Origin(bucket=SNAPSHOT_BUCKET, key=snapshot_id), write_id=snapshot_id, size_bytes=len(body)
        )
        try:
            await self._client.put(
                node.address,
                blob_id(snapshot_id, number),
                size_bytes=len(body),
                origin=origin,
                body=body,
                node_id=node.node_id,
            )
        except NodeError as error:
            _log.warning("chunk not stored", node=node.node_id, snapshot=snapshot_id, chunk=number, error=str(error))
            self._membership.node_failed(node.node_id)
            return False
        return True


class _Counts:
    """What was read, for people to look at: a key that came twice counts twice."""

    __slots__ = ("keys", "members")

    def __init__(self) -> None:
        self.keys = 0
        self.members = 0


def majority(count: int) -> int:
    """How many of so many are more than half."""
    return count // 2 + 1
