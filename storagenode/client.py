"""The client of a storage node: streams blobs in and out, turns every failure into a NodeError.

No retries here, neither of mutations nor of reads: the caller knows other nodes. Every wait is bounded: a
connect timeout, and an idle timeout for each step in which the node makes no progress; there is no total
timeout, since a segment may be written as slowly as its uploader sends. Cancelling a call closes its
connection.
"""

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterable, Callable, Sequence
from types import TracebackType
from typing import Any, Self

from storagenode import protocol
from storagenode.blobstream import BlobStream
from storagenode.errors import (
    BlobConflict,
    BlobCorrupt,
    BlobNotFound,
    InvalidRequest,
    JournalFenced,
    NodeError,
    NodeFailed,
    NodeFull,
    NodeRefused,
    NodeUnreachable,
    SegmentGap,
    SegmentNotFound,
    SegmentSealed,
    WrongNode,
)
from storagenode.journal_client import NodeJournal
from storagenode.protocol import BlobInfo, DamagedBlob, NodeHealth, ScrubProgress, StoredBlob
from storagenode.transport import Transport, node_at
from storagenode.upload import Upload

__all__ = [
    "BlobConflict",
    "BlobCorrupt",
    "BlobInfo",
    "BlobNotFound",
    "BlobStream",
    "DamagedBlob",
    "InvalidRequest",
    "JournalFenced",
    "NodeClient",
    "NodeError",
    "NodeFailed",
    "NodeFull",
    "NodeHealth",
    "NodeJournal",
    "NodeRefused",
    "NodeUnreachable",
    "ScrubProgress",
    "SegmentGap",
    "SegmentNotFound",
    "SegmentSealed",
    "StoredBlob",
    "WrongNode",
    "node_at",
]


class NodeClient:
    """Talks to any number of nodes through one pool of connections.

    `address` is "host:port" everywhere. Timeouts are in seconds. Enter it within the event loop that uses it.
    `clock_ms` gives monotonic milliseconds: requests are signed with the node's own time, which it tells on
    first contact, so the clocks of two machines need not agree.

    `node_id` is the node that is meant: whoever else is met at the address is asked nothing (WrongNode, a kind of
    NodeUnreachable). None means whoever is there. An address may also say it itself, see `node_at`.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        connect_timeout_s: float = 2.0,
        idle_timeout_s: float = 30.0,
        clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._transport = Transport(
            secret,
            connect_timeout_s=connect_timeout_s,
            idle_timeout_s=idle_timeout_s,
            clock_ms=clock_ms,
            nonce_session=random_bytes(16).hex(),
        )
        self.journal = NodeJournal(self._transport)

    async def __aenter__(self) -> Self:
        self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()

    async def put(
        self,
        address: str,
        blob_id: str,
        *,
        size_bytes: int,
        origin: bytes,
        body: AsyncIterable[bytes] | bytes,
        node_id: str | None = None,
    ) -> StoredBlob:
        """Store a blob; returns once the node has fsynced it and its digest equals that of what was sent.

        Putting the same bytes and origin again succeeds. What `body` raises is raised unchanged; a body
        longer or shorter than size_bytes raises ValueError. Raises NodeFull, BlobConflict, BlobCorrupt
        (what arrived is not what was sent), NodeFailed, NodeRefused, NodeUnreachable.
        """
        path = _path(blob_id)
        upload: Upload | None = None
        try:
            with self._transport.node_errors(address):
                async with asyncio.timeout(None) as watch:
                    upload = Upload(body, size_bytes, watch=watch, idle_timeout_s=self._transport.idle_timeout_s)
                    stored = await self._send_blob(address, path, upload, size_bytes, origin, node_id)
        except NodeError:
            if upload is not None and upload.source_error is not None:
                raise upload.source_error from None
            raise
        if stored != StoredBlob(size_bytes=size_bytes, digest=upload.digest):
            raise BlobCorrupt(f"{address} holds other bytes of {blob_id} than were sent")
        return stored

    def get(self, address: str, blob_id: str, *, offset: int, length: int, node_id: str | None = None) -> BlobStream:
        """A range of a blob: exactly `length` bytes from `offset`; it must lie within the blob
        (InvalidRequest).

        The stream raises BlobNotFound, BlobCorrupt, NodeFailed, NodeRefused, NodeUnreachable.
        """
        _path(blob_id)
        return BlobStream(self._transport, address, blob_id, offset=offset, length=length, node_id=node_id)

    async def delete(self, address: str, blob_id: str, *, node_id: str | None = None) -> bool:
        """Delete durably; whether there was something to delete."""
        return await self._transport.call(address, "DELETE", _path(blob_id), bool, node_id=node_id)

    async def quarantine(self, address: str, blob_id: str, *, node_id: str | None = None) -> bool:
        """Have a blob that nothing explains set aside, durably, where nothing deletes it; whether it was there."""
        return await self._transport.call(address, "POST", f"{_path(blob_id)}/quarantine", bool, node_id=node_id)

    async def stat(self, address: str, blob_id: str, *, node_id: str | None = None) -> BlobInfo:
        """What the node knows of a blob. Raises BlobNotFound, BlobCorrupt."""
        path = f"{_path(blob_id)}/info"
        return await self._transport.call(address, "GET", path, protocol.unpack_info, node_id=node_id)

    async def list(
        self, address: str, *, after: str, before_ms: int, limit: int, node_id: str | None = None
    ) -> list[BlobInfo]:
        """At most `limit` (1 to LIST_LIMIT) blobs in id order: ids above `after`, written before before_ms.

        `after` is a blob id or "". A page may be shorter than limit though more follow; only an empty page is
        the end.
        """
        path = f"{protocol.BLOBS_PATH}?after={after}&before_ms={before_ms}&limit={limit}"
        return await self._transport.call(address, "GET", path, _unpack_list, node_id=node_id)

    async def damaged(
        self, address: str, *, after: str, limit: int, node_id: str | None = None
    ) -> Sequence[DamagedBlob]:
        """At most `limit` (1 to LIST_LIMIT) entries of the node's list of damage, oldest first.

        `after` is the cursor of the last entry seen, or "". Raises NodeFailed, NodeRefused, NodeUnreachable.
        """
        path = f"{protocol.DAMAGED_PATH}?after={after}&limit={limit}"
        return await self._transport.call(address, "GET", path, _unpack_damaged, node_id=node_id)

    async def ping(self, address: str) -> None:
        """Return when the node answers, which it does without touching its disk: a slow node from a dead one.

        Raises NodeUnreachable, NodeFailed; takes up to 5 s.
        """
        await self._transport.ping(address)

    async def health(self, address: str) -> NodeHealth:
        """How the node is."""
        return await self._transport.call(address, "GET", protocol.STATUS_PATH, protocol.unpack_health)

    async def _send_blob(
        self, address: str, path: str, upload: Upload, size_bytes: int, origin: bytes, node_id: str | None
    ) -> StoredBlob:
        response = await self._transport.send(
            address,
            "PUT",
            path,
            data=upload if upload.whole is None else upload.whole,
            body_bytes=size_bytes,
            origin=base64.b64encode(origin).decode(),
            node_id=node_id,
        )
        return await self._transport.answer(response, protocol.unpack_stored)


def _path(blob_id: str) -> str:
    if not protocol.is_blob_id(blob_id):
        raise ValueError(f"not a blob id: {blob_id!r}")
    return f"{protocol.BLOBS_PATH}/{blob_id}"


def _unpack_damaged(fields: Any) -> Sequence[DamagedBlob]:
    match fields:
        case [*entries]:
            return [protocol.unpack_damaged(entry) for entry in entries]
        case _:
            raise ValueError("not a list of damaged blobs")


def _unpack_list(fields: Any) -> list[BlobInfo]:
    match fields:
        case [*infos]:
            return [protocol.unpack_info(info) for info in infos]
        case _:
            raise ValueError("not a list of blob infos")
