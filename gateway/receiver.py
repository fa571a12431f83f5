"""The raw body of one ASGI request: received in blocks, with a limit on idle time, drained when nobody wants it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from s3compat.errors import S3Error

#: Raw bytes are handed on in blocks of about this size: large enough for a thread hop to cost little, small enough
#: that some tens of concurrent requests stay within a few tens of MiB.
BLOCK_BYTES = 512 * 1024
#: A refused request's body is read up to this many bytes, so that the client, which is still sending, sees the answer
#: and not a reset (RFC 9112 section 9.6).
DRAIN_LIMIT_BYTES = 16 * 1024 * 1024
DRAIN_TIMEOUT_S = 10.0

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before its body was whole: nobody is left to answer."""


class Receiver:
    """Reads the body of one request; knows whether reading has begun and whether it has ended."""

    def __init__(self, receive: Receive, *, idle_timeout_s: float, has_body: bool) -> None:
        self._receive = receive
        self._idle_timeout_s = idle_timeout_s
        self.started = False
        self.finished = not has_body

    async def _next(self) -> bytes:
        self.started = True
        try:
            async with asyncio.timeout(self._idle_timeout_s):
                message = await self._receive()
        except TimeoutError as late:
            raise S3Error("RequestTimeout") from late
        if message["type"] == "http.disconnect":
            self.finished = True
            raise ClientGone
        self.finished = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the body in blocks of about ``BLOCK_BYTES``.

        Raises ``S3Error`` RequestTimeout when the client sends nothing for the idle limit, ``ClientGone`` when it left.
        """
        waiting: list[bytes] = []
        size = 0
        while not self.finished:
            piece = await self._next()
            waiting.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                yield waiting[0] if len(waiting) == 1 else b"".join(waiting)
                waiting, size = [], 0
        if size:
            yield b"".join(waiting)

    async def drain(self) -> bool:
        """Read and forget what is left, within bounds; True when the body came to its end."""
        read = 0
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                while not self.finished and read < DRAIN_LIMIT_BYTES:
                    read += len(await self._next())
        except (TimeoutError, S3Error):
            return False
        return self.finished
