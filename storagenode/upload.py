"""The body of a put on its way to a node: counted, hashed, and watched so that a stuck node is noticed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from typing import Self

import xxhash

_PIECE_BYTES = 1024 * 1024
"""The most handed to the socket as one step, so that the idle timeout measures progress and not size."""


class Upload:
    """Iterates over the body in pieces. Time spent waiting for the source of the body is not the node's."""

    def __init__(
        self,
        body: AsyncIterable[bytes] | bytes,
        size_bytes: int,
        *,
        watch: asyncio.Timeout,
        idle_timeout_s: float,
    ) -> None:
        self.source_error: Exception | None = None  # what the body raised, or what is wrong with its length
        self._size_bytes = size_bytes
        self._watch = watch
        self._idle_timeout_s = idle_timeout_s
        self._hasher = xxhash.xxh3_128()
        self._taken_bytes = 0
        self._pieces: deque[memoryview] = deque()
        self._source: AsyncIterator[bytes] | None = None
        self.whole: bytes | None = None  # a small body, to be sent in one step with the request's head
        if isinstance(body, bytes):
            self._take(body)
            self._check_length()
            self.whole = body if len(body) <= _PIECE_BYTES else None
        else:
            self._source = aiter(body)
        self._expect_progress()

    @property
    def digest(self) -> bytes:
        """XXH3-128 of all that was taken from the body."""
        return self._hasher.digest()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        """The next piece. That it is asked for means that the one before has gone out."""
        while not self._pieces:
            self._watch.reschedule(None)
            try:
                await self._refill()
            except StopAsyncIteration:
                self._expect_progress()  # the answer is due
                raise
            except Exception as error:
                # Kept, because aiohttp reports any failure of a body as a failure of the connection.
                self.source_error = error
                raise
        self._expect_progress()
        return self._pieces.popleft()

    async def _refill(self) -> None:
        if self._source is None:
            raise StopAsyncIteration
        try:
            self._take(await anext(self._source))
        except StopAsyncIteration:
            self._check_length()
            raise

    def _take(self, block: bytes) -> None:
        self._taken_bytes += len(block)
        if self._taken_bytes > self._size_bytes:
            raise ValueError(f"the body is longer than the {self._size_bytes} bytes announced")
        self._hasher.update(block)
        view = memoryview(block)
        self._pieces.extend(view[at : at + _PIECE_BYTES] for at in range(0, len(view), _PIECE_BYTES))

    def _check_length(self) -> None:
        if self._taken_bytes != self._size_bytes:
            raise ValueError(f"the body has {self._taken_bytes} bytes, not the {self._size_bytes} announced")

    def _expect_progress(self) -> None:
        self._watch.reschedule(asyncio.get_running_loop().time() + self._idle_timeout_s)
