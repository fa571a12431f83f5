"""The HTTP side of a storage node: one handler a route of protocol.py, with authentication and errors around.

Blob files are touched in worker threads only. The event loop moves bytes between sockets and those threads,
with one batch in the works of a thread while the next is on its way through the socket.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import ClientError, StreamReader, web
from aiohttp.http_exceptions import PayloadEncodingError
from aiohttp.typedefs import Handler, Middleware

from storagenode import frames, protocol
from storagenode.blobreader import OpenBlob
from storagenode.blobstore import BlobStore
from storagenode.blobwriter import NewBlob
from storagenode.errors import InvalidRequest, NodeError, NodeFailed, NodeRefused, NumberedError, disk_errors
from storagenode.guard import RequestGuard
from storagenode.protocol import DamagedBlob, NodeHealth, NodeIdentity, RequestToSign, StoredBlob
from storagenode.threads import Threads, settled

_log = logging.getLogger(__name__)

_SMALL_BLOB_BYTES = 1024 * 1024
"""Up to here a blob is taken in whole and stored by one call to a thread: a hop between threads costs a good
part of what an fsync does."""

_BATCH_BYTES = 2 * 1024 * 1024
"""What a thread hashes and writes in one call; a put in progress holds at most two of them."""

_STALL_LIMIT_S = 600.0
"""A client that neither sends nor takes a byte for so long is given up. Generous, because a put may be as
slow as somebody's upload over a bad line; the gateway has its own, shorter limit for that."""

_LINGER_S = 2.0  # for a client that goes on sending a body which was refused

_Frame = tuple[memoryview, bytes]  # content and checksum


class Routes:
    """The handlers. `measure` tells how the node is; `clock_ms` gives Unix milliseconds."""

    def __init__(
        self,
        store: BlobStore,
        threads: Threads,
        node_id: str,
        *,
        measure: Callable[[], NodeHealth],
        clock_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._threads = threads
        self._node_id = node_id
        self._measure = measure
        self._clock_ms = clock_ms

    def table(self) -> list[web.RouteDef]:
        blob = protocol.BLOBS_PATH + "/{blob_id}"
        return [
            web.put(blob, self.put_blob),
            web.get(blob, self.get_blob, allow_head=False),
            web.get(f"{blob}/info", self.stat_blob, allow_head=False),
            web.delete(blob, self.delete_blob),
            web.post(f"{blob}/quarantine", self.quarantine_blob),
            web.get(protocol.BLOBS_PATH, self.list_blobs, allow_head=False),
            web.get(protocol.DAMAGED_PATH, self.list_damaged, allow_head=False),
            web.get(protocol.STATUS_PATH, self.status, allow_head=False),
            web.get(protocol.HEALTH_PATH, self.health),
        ]

    async def put_blob(self, request: web.Request) -> web.Response:
        blob_id, origin, size_bytes = _blob_id(request), _origin(request), request.content_length
        if size_bytes is None:
            raise InvalidRequest("no Content-Length")
        # Known to the store before the body is read: a delete that comes after this put ends it.
        writer = self._store.begin(blob_id, origin, size_bytes)
        take = self._take_whole if size_bytes <= _SMALL_BLOB_BYTES else self._take_streaming
        stored = await take(writer, request)
        return _answer(protocol.pack_stored(stored), status=201)

    async def get_blob(self, request: web.Request) -> web.StreamResponse:
        blob_id, offset, length = _blob_id(request), _number(request, "offset"), _number(request, "length")
        # The first frame comes before the answer's head, so that most damage is still told as an error.
        reader, (content, checksum) = await self._threads.read(self._open, blob_id, offset, length)
        if reader is None:
            return web.Response(body=b"".join((content, checksum)))
        try:
            return await self._send(request, reader, (content, checksum), offset, length)
        finally:
            await self._threads.read(reader.close)

    async def stat_blob(self, request: web.Request) -> web.Response:
        return _answer(protocol.pack_info(await self._threads.read(self._store.stat, _blob_id(request))))

    async def delete_blob(self, request: web.Request) -> web.Response:
        return _answer(await self._threads.write(self._store.delete, _blob_id(request)))

    async def quarantine_blob(self, request: web.Request) -> web.Response:
        return _answer(await self._threads.write(self._store.withdraw, _blob_id(request)))

    async def list_blobs(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "")
        if after and not protocol.is_blob_id(after):
            raise InvalidRequest("after is no blob id")
        before_ms, limit = _number(request, "before_ms"), _number(request, "limit")
        if not 1 <= limit <= protocol.LIST_LIMIT:
            raise InvalidRequest(f"limit is not between 1 and {protocol.LIST_LIMIT}")
        found = await self._threads.read(self._store.list, after=after, before_ms=before_ms, limit=limit)
        return _answer([protocol.pack_info(info) for info in found])

    async def list_damaged(self, request: web.Request) -> web.Response:
        after, limit = request.query.get("after", ""), _number(request, "limit")
        if not 1 <= limit <= protocol.LIST_LIMIT:
            raise InvalidRequest(f"limit is not between 1 and {protocol.LIST_LIMIT}")
        found = await self._threads.read(self._list_damaged, after, limit)
        return _answer([protocol.pack_damaged(damaged) for damaged in found])

    async def status(self, _request: web.Request) -> web.Response:
        return _answer(protocol.pack_health(await self._threads.read(self._measure)))

    async def health(self, _request: web.Request) -> web.Response:
        identity = NodeIdentity(node_id=self._node_id, time_ms=self._clock_ms())
        return web.json_response(protocol.pack_identity(identity))

    def _list_damaged(self, after: str, limit: int) -> Sequence[DamagedBlob]:
        with disk_errors():
            return self._store.quarantine.list(after, limit)

    async def _take_whole(self, writer: NewBlob, request: web.Request) -> StoredBlob:
        """Take a small blob in and store it, with one call to a thread."""
        try:
            pieces = [piece async for piece in _pieces(request.content)]
            _check_presence(request)
            # The smallest share one fsync with whatever else waits: that takes no thread for each of them.
            future = self._store.submit(writer, pieces)
            if future is not None:
                return await settled(asyncio.wrap_future(future))
            return await self._threads.write(self._store.complete, writer, pieces)
        finally:
            writer.discard()  # does not block: there is no file but in the thread's call, which has ended

    async def _take_streaming(self, writer: NewBlob, request: web.Request) -> StoredBlob:
        """Stream a blob in; whatever goes wrong, its temporary file is gone afterwards."""
        writing: asyncio.Future[None] | None = None
        try:
            async for batch in _batches(request.content):
                if writing is not None:
                    await settled(writing)
                writing = self._threads.start_writing(writer.write, batch)
            if writing is not None:
                await settled(writing)
            _check_presence(request)
            return await self._threads.write(self._store.publish, writer)
        finally:
            if writing is not None:
                await asyncio.wait([writing])
            await self._threads.write(writer.discard)

    def _open(self, blob_id: str, offset: int, length: int) -> tuple[OpenBlob | None, _Frame]:
        """In a thread: the first frame of a range, and the reader if there are more to come."""
        reader = self._store.open(blob_id)
        first_offset, first_length = next(frames.frames(offset, length), (offset, 0))
        try:
            frame = _read_frame(reader, first_offset, first_length)
        except BaseException:
            reader.close()
            raise
        if first_length < length:
            return reader, frame
        reader.close()
        return None, frame

    async def _send(
        self, request: web.Request, reader: OpenBlob, frame: _Frame, offset: int, length: int
    ) -> web.StreamResponse:
        """Send a range of several frames, reading each while the one before is on its way."""
        response = web.StreamResponse()
        response.content_length = frames.framed_bytes(offset, length)
        await response.prepare(request)
        upcoming: asyncio.Future[_Frame] | None = None
        try:
            for next_offset, next_length in list(frames.frames(offset, length))[1:]:
                upcoming = self._threads.start_reading(_read_frame, reader, next_offset, next_length)
                await _write_frame(response, frame)
                frame = await settled(upcoming)
            await _write_frame(response, frame)
        except (NodeError, TimeoutError) as error:
            # The head said 200 and a length: only a cut connection tells the client that this is not the blob.
            _log.warning("answer with blob %s cut off: %r", _blob_id(request), error)
            raise ConnectionResetError("cut off") from error
        finally:
            if upcoming is not None:
                await asyncio.wait([upcoming])
        return response


class InFlight:
    """Middleware that knows how many requests are being served."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def count(self) -> int:
        return self._count

    async def wait(self, timeout_s: float) -> None:
        """Return when there are none, or when the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    def middleware(self) -> Middleware:
        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._count += 1
            self._idle.clear()
            try:
                return await handler(request)
            finally:
                self._count -= 1
                if not self._count:
                    self._idle.set()

        return count


def authentication(guard: RequestGuard) -> Middleware:
    """Refuses every request but those for /health that does not come from a holder of the secret."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != protocol.HEALTH_PATH:
            if "Transfer-Encoding" in request.headers:
                raise NodeRefused("a body without a Content-Length")
            guard.check(
                request.headers.get(protocol.AUTHORIZATION_HEADER),
                RequestToSign(
                    node_id=guard.node_id,
                    method=request.method,
                    path_and_query=request.raw_path,
                    body_bytes=request.content_length or 0,
                    origin=request.headers.get(protocol.ORIGIN_HEADER, ""),
                ),
            )
        return await handler(request)

    return authenticate


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a NodeError with its status and name; end a connection that is no good any more."""
    try:
        return await handler(request)
    except ConnectionError as error:
        # The client is gone or to be cut off. aiohttp finds out when it tries to send this answer; it would
        # take the exception for a mistake of ours.
        _log.debug("%s %s broken off: %r", request.method, request.path, error)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
    except NodeError as error:
        level = logging.ERROR if isinstance(error, NodeFailed) else logging.INFO
        _log.log(level, "%s %s: %r", request.method, request.path, error)
        headers = {protocol.ERROR_HEADER: type(error).__name__}
        if isinstance(error, NumberedError):
            headers[protocol.ERROR_NUMBER_HEADER] = str(error.number)
        answer = web.Response(status=error.status, text=str(error), headers=headers)
    if not request.content.at_eof():
        # Closing a connection with unread bytes in it resets it, and the reset may overtake the answer. So
        # take what still comes for a moment; a client that has seen the answer closes the connection itself.
        await answer.prepare(request)
        await answer.write_eof()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_LINGER_S):
                while (await request.content.readchunk())[0]:
                    pass
    return answer


def _read_frame(reader: OpenBlob, offset: int, length: int) -> _Frame:
    content = reader.read(offset, length)
    return content, frames.seal(offset, content) if length else b""


async def _write_frame(response: web.StreamResponse, frame: _Frame) -> None:
    content, checksum = frame
    async with asyncio.timeout(_STALL_LIMIT_S):
        await response.write(content)
        await response.write(checksum)


def _check_presence(request: web.Request) -> None:
    """Raises ConnectionError when the client is gone: a blob that nobody will hear of need not be stored."""
    if request.transport is None:
        raise ConnectionResetError("the client went away")


async def _pieces(content: StreamReader) -> AsyncIterator[bytes]:
    """The body of a request as it comes. Raises ConnectionError when the client goes away or stalls."""
    while True:
        try:
            async with asyncio.timeout(_STALL_LIMIT_S):
                piece, _ = await _read_piece(content)
        except ConnectionError:
            raise
        except TimeoutError as error:
            raise ConnectionResetError("the client stalled") from error
        except (OSError, ClientError, PayloadEncodingError) as error:
            # Other ways in which aiohttp tells of a lost connection: a host that cannot be reached any more, say, or
            # a body that ended early. It would log each with a traceback, as a mistake of ours.
            raise ConnectionResetError(f"the client went away: {error!r}") from error
        if not piece:
            return
        yield piece


async def _read_piece(content: StreamReader) -> tuple[bytes, bool]:
    return await content.readchunk()  # readany() would join what waits, one copy more


async def _batches(content: StreamReader) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    size_bytes = 0
    async for piece in _pieces(content):
        batch.append(piece)
        size_bytes += len(piece)
        if size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _blob_id(request: web.Request) -> str:
    blob_id = request.match_info["blob_id"]
    if not protocol.is_blob_id(blob_id):
        raise InvalidRequest("not a blob id")
    return blob_id


def _origin(request: web.Request) -> bytes:
    try:
        return base64.b64decode(request.headers.get(protocol.ORIGIN_HEADER, ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("the origin is not base64") from error


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "")
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise InvalidRequest(f"{name} is not a number")
    return int(text)


def _answer(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=protocol.encode(value))
