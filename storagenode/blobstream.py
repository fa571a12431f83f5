"""The bytes of a range of a blob on their way from a node, verified before they are handed out."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import aiohttp

from storagenode import frames, protocol
from storagenode.errors import BlobCorrupt, BlobNotFound, NodeError, NodeFailed, NodeUnreachable
from storagenode.frames import FrameDamaged, FrameReader
from storagenode.transport import Transport


class BlobStream:
    """The bytes of a range: `async with client.get(...) as stream: async for chunk in stream: ...`.

    The request is sent on entering. Each chunk was verified by the node against the disk and here against the
    wire. Entering and iterating raise NodeError subclasses; a failure midway is raised after the last good
    chunk, so the caller can go on at another node from the offset that it has reached. Leaving early closes
    the connection.
    """

    def __init__(
        self,
        transport: Transport,
        address: str,
        blob_id: str,
        *,
        offset: int,
        length: int,
        node_id: str | None = None,
    ) -> None:
        self._transport = transport
        self._address = address
        self._blob_id = blob_id
        self._node_id = node_id
        self._offset = offset
        self._length = length
        self._frames = FrameReader(offset, length)
        self._verified: deque[bytes] = deque()
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Self:
        path = f"{protocol.BLOBS_PATH}/{self._blob_id}?offset={self._offset}&length={self._length}"
        with self._transport.node_errors(self._address):
            response = await self._transport.send(self._address, "GET", path, node_id=self._node_id)
        if response.content_length != frames.framed_bytes(self._offset, self._length):
            response.close()
            raise NodeFailed(f"{self._address} answers with {response.content_length} bytes")
        self._response = response
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response is None:
            return
        if self._frames.finished:
            self._response.release()
        else:
            self._response.close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._verified:
            if self._frames.finished:
                raise StopAsyncIteration
            await self._receive()
        return self._verified.popleft()

    async def _receive(self) -> None:
        if self._response is None:
            raise RuntimeError("the stream was not entered")
        try:
            with self._transport.node_errors(self._address):
                piece, _ = await self._response.content.readchunk()  # unlike readany(), copies nothing
                if not piece:
                    raise NodeUnreachable(f"{self._address} ended the answer early")
            self._verified.extend(self._frames.feed(piece))
        except FrameDamaged as error:
            raise NodeFailed(f"{self._address}: {self._blob_id} was damaged on the way: {error}") from error
        except NodeUnreachable as error:
            raise await self._explain(error) from error

    async def _explain(self, error: NodeUnreachable) -> NodeError:
        """Why the node broke off: it cuts the connection when it meets damage midway, and quarantines the
        blob.

        Asked only after a broken connection. A node that went silent would only go on being silent.
        """
        if isinstance(error.__cause__, TimeoutError):
            return error
        path = f"{protocol.BLOBS_PATH}/{self._blob_id}/info"
        try:
            async with asyncio.timeout(self._transport.connect_timeout_s):
                await self._transport.call(self._address, "GET", path, protocol.unpack_info, node_id=self._node_id)
        except (BlobNotFound, BlobCorrupt):
            return BlobCorrupt(f"{self._address}: {self._blob_id} turned out to be damaged")
        except (NodeError, TimeoutError):
            pass
        return error
