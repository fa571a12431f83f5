"""The HTTP side of a node's journal: one handler a route of journal_protocol.py, over the store in its own thread."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from storagenode import journal_protocol as protocol
from storagenode.errors import InvalidRequest
from storagenode.journal.manifests import ManifestStore
from storagenode.journal.store import Append, JournalStore
from storagenode.journal.writer import JournalWriter
from storagenode.journal_protocol import FrameDamaged
from storagenode.protocol import encode
from storagenode.threads import Threads

_STALL_LIMIT_S = 30.0  # for a whole body: whoever appends has it in memory

_INLINE_BYTES = 64 * 1024
"""Bodies up to here are hashed in the event loop (0.1 ms), longer ones in a thread."""

_Parsed = TypeVar("_Parsed")


class JournalRoutes:
    """The handlers. Owns the writer's thread, not the store."""

    def __init__(self, store: JournalStore, manifests: ManifestStore, threads: Threads) -> None:
        self._store = store
        self._manifests = manifests
        self._threads = threads
        self._writer = JournalWriter(store)

    def close(self) -> None:
        """Returns when every change under way is made."""
        self._writer.close()

    def table(self) -> list[web.RouteDef]:
        segment = protocol.SEGMENTS_PATH + "/{segment_id}"
        manifest = protocol.MANIFESTS_PATH + "/{name}"
        return [
            web.get(protocol.JOURNAL_PATH, self.status, allow_head=False),
            web.put(protocol.PROMISE_PATH, self.promise),
            web.put(segment, self.create),
            web.post(f"{segment}/entries", self.append),
            web.get(f"{segment}/entries", self.read, allow_head=False),
            web.put(f"{segment}/seal", self.seal),
            web.delete(segment, self.drop),
            web.get(protocol.MANIFESTS_PATH, self.manifests, allow_head=False),
            web.put(manifest, self.put_manifest),
            web.delete(manifest, self.drop_manifest),
        ]

    async def status(self, _request: web.Request) -> web.Response:
        return _answer(protocol.pack_status(self._store.status()))

    async def promise(self, request: web.Request) -> web.Response:
        epoch = _number(request, "epoch", protocol.MAX_EPOCH)
        status = await asyncio.wrap_future(self._writer.run(lambda: self._store.promise(epoch)))
        return _answer(protocol.pack_status(status))

    async def create(self, request: web.Request) -> web.Response:
        header = await self._take(request, protocol.unpack_header)
        if header.segment_id != _segment_id(request):
            raise InvalidRequest("the header is that of another segment")
        await asyncio.wrap_future(self._writer.run(lambda: self._store.create(header)))
        return _answer(b"")

    async def append(self, request: web.Request) -> web.Response:
        segment_id = _segment_id(request)
        epoch = _number(request, "epoch", protocol.MAX_EPOCH)
        watermark = _number(request, "watermark", protocol.MAX_SEQUENCE)
        first = _number(request, "first", protocol.MAX_SEQUENCE)

        def parse(body: bytes) -> Append:
            frames = list(protocol.parse_entries(segment_id, body))
            if [frame.sequence for frame in frames] != list(range(first, first + len(frames))):
                raise ValueError("not the sequences from `first` on")
            return Append(segment_id=segment_id, epoch=epoch, watermark=watermark, first_sequence=first, frames=frames)

        append = await self._take(request, parse)
        return _answer(encode(await asyncio.wrap_future(self._writer.append(append))))

    async def read(self, request: web.Request) -> web.Response:
        after = _number(request, "after", protocol.MAX_SEQUENCE)
        limit_bytes = _number(request, "limit_bytes", protocol.READ_LIMIT_BYTES)
        frames = await self._threads.read(self._store.read, _segment_id(request), after, limit_bytes)
        return _answer(b"".join(frame.raw for frame in frames))

    async def seal(self, request: web.Request) -> web.Response:
        segment_id = _segment_id(request)
        seal = await self._take(request, protocol.unpack_seal)
        await asyncio.wrap_future(self._writer.run(lambda: self._store.seal(segment_id, seal)))
        return _answer(b"")

    async def drop(self, request: web.Request) -> web.Response:
        segment_id = _segment_id(request)
        return _answer(encode(await asyncio.wrap_future(self._writer.run(lambda: self._store.drop(segment_id)))))

    # Manifests are not the writer's: they are long, and appends would wait for them.

    async def manifests(self, _request: web.Request) -> web.Response:
        found = await self._threads.read(self._manifests.list)
        return _answer(encode([[name, body] for name, body in found]))

    async def put_manifest(self, request: web.Request) -> web.Response:
        body = await self._take(request, bytes)
        await self._threads.write(self._manifests.put, request.match_info["name"], body)
        return _answer(b"")

    async def drop_manifest(self, request: web.Request) -> web.Response:
        return _answer(encode(await self._threads.write(self._manifests.drop, request.match_info["name"])))

    async def _take(self, request: web.Request, parse: Callable[[bytes], _Parsed]) -> _Parsed:
        """The body of a request, found to be what was signed, and parsed. Raises InvalidRequest, ConnectionError."""
        body = await _body(request)
        digest = request.query.get("body", "")

        def verify() -> _Parsed:
            if protocol.body_digest(body) != digest:
                raise InvalidRequest("the body is not what was signed")
            try:
                return parse(body)
            except (ValueError, FrameDamaged) as error:
                raise InvalidRequest(f"the body makes no sense: {error}") from error

        return verify() if len(body) <= _INLINE_BYTES else await self._threads.read(verify)


async def _body(request: web.Request) -> bytes:
    size_bytes = request.content_length
    if size_bytes is None:
        raise InvalidRequest("no Content-Length")
    if size_bytes > protocol.BODY_LIMIT_BYTES:
        raise InvalidRequest(f"a body has at most {protocol.BODY_LIMIT_BYTES} bytes")
    if not size_bytes:
        return b""  # aiohttp's reader of an empty body takes every read for one cut short
    try:
        async with asyncio.timeout(_STALL_LIMIT_S):
            return await request.content.readexactly(size_bytes)
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise ConnectionResetError("the client stalled or went away") from error


def _segment_id(request: web.Request) -> str:
    segment_id = request.match_info["segment_id"]
    if not protocol.is_segment_id(segment_id):
        raise InvalidRequest("not a segment id")
    return segment_id


def _number(request: web.Request, name: str, highest: int) -> int:
    text = request.query.get(name, "")
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > highest:
        raise InvalidRequest(f"{name} is not a number up to {highest}")
    return int(text)


def _answer(payload: bytes) -> web.Response:
    return web.Response(body=protocol.seal_answer(payload))
