"""Loading the newest usable snapshot into an empty index.

The caller holds the recovery lease, and a claim by which the server refuses what is written after that is lost. What it
gets back is the number of the change after which the journal is to be replayed; until that has passed the snapshot's
end the index is of no moment that ever was.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import structlog
import xxhash

from gateway.index.journal_feed import JournalFeed, RestoreClaim
from gateway.journal.catalogue import read_manifests
from gateway.journal.progress import Progress, ProgressCallback, ProgressLog, Stage, no_progress
from gateway.journal.snapshot_format import Manifest, SnapshotDamaged, SnapshotState, command_of, rows_of
from storagenode.client import NodeClient, NodeError

__all__ = ["Progress", "ProgressCallback", "Stage", "restore_newest"]

CHUNKS_AHEAD = 3
"""Fetched and inflated while the one before is loaded: some 50 MiB of memory."""

COMMANDS_AT_ONCE = 64
"""Of a page of members each; the server is never given more work than some 100 ms."""

_log = structlog.get_logger(__name__)


class ChunkLost(Exception):
    """No node gives a chunk as it was written."""


async def restore_newest(
    feed: JournalFeed,
    claim: RestoreClaim,
    client: NodeClient,
    nodes: Mapping[str, str],
    *,
    progress: ProgressCallback = no_progress,
) -> int:
    """Empty the index and load the newest snapshot that can be read; the number of the change to replay after.

    0: there is none, and the index is as it was found; or there were some and none could be read, and it is empty.
    `nodes` are the addresses of the live nodes by node id. A snapshot of which a chunk is lost gives way to the one
    before it: the journal is kept from the older of the two newest on. Raises IndexUnavailable, IndexFault.
    """
    manifests = await read_manifests(client, nodes)
    complete = [manifest for manifest in manifests.values() if manifest.state is SnapshotState.COMPLETE]
    for manifest in complete:
        try:
            await load_snapshot(manifest, feed, claim, client, nodes, progress=progress)
        except (ChunkLost, SnapshotDamaged) as error:
            _log.error("snapshot not usable, the one before is tried", snapshot=manifest.snapshot_id, error=str(error))
            continue
        return manifest.start_sequence
    if complete:
        _log.error("no snapshot can be read, the journal has to do from its beginning", snapshots=len(complete))
        await feed.begin_restore(claim)
        await feed.end_restore(0, claim)
    return 0


async def load_snapshot(
    manifest: Manifest,
    feed: JournalFeed,
    claim: RestoreClaim,
    client: NodeClient,
    nodes: Mapping[str, str],
    *,
    progress: ProgressCallback = no_progress,
) -> None:
    """Replace the index by this snapshot. Raises ChunkLost, SnapshotDamaged, IndexUnavailable, IndexFault."""
    _log.info("restoring a snapshot", snapshot=manifest.snapshot_id, bytes=manifest.size_bytes, keys=manifest.key_count)
    await feed.begin_restore(claim)
    done, log = 0, ProgressLog()
    async with aclosing(_batches_of(manifest, client, nodes)) as chunks:
        async for size_bytes, commands in chunks:
            for start in range(0, len(commands), COMMANDS_AT_ONCE):
                await feed.load(commands[start : start + COMMANDS_AT_ONCE], claim)
            done += size_bytes
            made = Progress(stage=Stage.SNAPSHOT, done=done, total=manifest.size_bytes)
            progress(made)
            log(made)
    await feed.end_restore(manifest.start_sequence, claim)


async def read_chunk(manifest: Manifest, number: int, client: NodeClient, nodes: Mapping[str, str]) -> bytes:
    """One chunk from whichever node gives it as it was written: those that hold it, then any. Raises ChunkLost."""
    chunk, name = manifest.chunks[number], manifest.blob_id(number)
    reasons = []
    for node_id in (*chunk.nodes, *(other for other in nodes if other not in chunk.nodes)):
        address = nodes.get(node_id)
        if address is None:
            reasons.append(f"node {node_id} is not there")
            continue
        try:
            async with client.get(address, name, offset=0, length=chunk.size_bytes) as stream:
                body = b"".join([piece async for piece in stream])
        except NodeError as error:
            reasons.append(f"node {node_id}: {error}")
            continue
        if xxhash.xxh3_128_digest(body) == chunk.digest:
            return body
        reasons.append(f"node {node_id} holds other bytes")
    raise ChunkLost(f"chunk {name}: {'; '.join(reasons)}")


async def _batches_of(
    manifest: Manifest, client: NodeClient, nodes: Mapping[str, str]
) -> AsyncGenerator[tuple[int, list[tuple[bytes, ...]]], None]:
    """Size and commands of each chunk, in order, some of them fetched ahead."""
    waiting: deque[asyncio.Task[tuple[int, list[tuple[bytes, ...]]]]] = deque()
    try:
        for number in range(len(manifest.chunks)):
            waiting.append(asyncio.create_task(_commands_of(manifest, number, client, nodes), name="snapshot chunk"))
            if len(waiting) > CHUNKS_AHEAD:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _commands_of(
    manifest: Manifest, number: int, client: NodeClient, nodes: Mapping[str, str]
) -> tuple[int, list[tuple[bytes, ...]]]:
    body = await read_chunk(manifest, number, client, nodes)
    return len(body), await asyncio.to_thread(lambda: [command_of(row) for row in rows_of(body)])
