"""The latest blocks of one segment, read by all its replicas, each at its own position.

One buffer for all replicas: memory does not grow with their number, the slowest one holds back the sender,
and as long as nothing has been let go a replacement replica can still start from the first byte.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable

WINDOW_BYTES = 2 * 1024 * 1024
"""Kept of one segment: a few blocks of the size that the gateway receives. Objects up to this size survive
the failure of any node at any moment of the write, because they can be sent again."""


class Cursor:
    """One replica's position in the window; iterate it once to send the segment."""

    __slots__ = ("_window", "position", "wake")

    def __init__(self, window: "BlockWindow") -> None:
        self._window = window
        self.position = 0
        """Number of the block to be taken next."""
        self.wake: asyncio.Future[None] | None = None
        """Set while it waits for a block."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (block := await self._window.next_block(self)) is not None:
            yield block


class BlockWindow:
    """Single producer, one cursor a replica, all in one event loop."""

    def __init__(self, *, limit_bytes: int, on_space: Callable[[], None]) -> None:
        """`on_space` is called whenever blocks were let go."""
        self._limit_bytes = limit_bytes
        self._on_space = on_space
        self._blocks: deque[bytes] = deque()
        self._first = 0
        self._held_bytes = 0
        self._cursors: set[Cursor] = set()
        self._closed = False

    @property
    def replayable(self) -> bool:
        """Whether a new cursor can still start from the first byte."""
        return self._first == 0

    @property
    def full(self) -> bool:
        """Whether the sender must wait."""
        return self._held_bytes > self._limit_bytes

    def exhausted(self, cursor: Cursor) -> bool:
        """Whether the cursor has taken all there is so far."""
        return cursor.position == self._first + len(self._blocks)

    def sent_all(self, cursor: Cursor) -> bool:
        """Whether the cursor has taken all there will ever be."""
        return self._closed and self.exhausted(cursor)

    def open_cursor(self) -> Cursor:
        """A cursor at the first byte; only while `replayable`."""
        cursor = Cursor(self)
        self._cursors.add(cursor)
        return cursor

    def drop_cursor(self, cursor: Cursor) -> None:
        """Its replica is gone; what only it still needed is let go."""
        self._cursors.discard(cursor)
        self._trim()

    def append(self, block: bytes) -> None:
        """Take one more block, `full` or not."""
        self._blocks.append(block)
        self._held_bytes += len(block)
        for cursor in self._cursors:
            _wake(cursor)
        self._trim()

    def close(self) -> None:
        """There are no more blocks."""
        self._closed = True
        for cursor in self._cursors:
            _wake(cursor)

    def take_whole(self, cursor: Cursor) -> bytes | None:
        """All of the segment at once, when it is closed and was one block, still held."""
        if not (self._closed and self._first == 0 and len(self._blocks) == 1):
            return None
        cursor.position = 1
        return self._blocks[0]

    async def next_block(self, cursor: Cursor) -> bytes | None:
        """The block at the cursor, which moves on; waits for it; None at the end of the segment."""
        while self.exhausted(cursor):
            if self._closed:
                return None
            cursor.wake = asyncio.get_running_loop().create_future()
            try:
                await cursor.wake
            finally:
                cursor.wake = None
        block = self._blocks[cursor.position - self._first]
        cursor.position += 1
        self._trim()
        return block

    def _trim(self) -> None:
        """Let go of what every cursor has passed, unless the whole segment so far fits into the window."""
        if self.replayable and not self.full:
            return
        passed = min((cursor.position for cursor in self._cursors), default=self._first)
        released = 0
        for block in itertools.islice(self._blocks, passed - self._first):
            released += len(block)
        for _ in range(passed - self._first):
            self._blocks.popleft()
        self._first = max(self._first, passed)
        self._held_bytes -= released
        if released:
            self._on_space()


def _wake(cursor: Cursor) -> None:
    if cursor.wake is not None and not cursor.wake.done():
        cursor.wake.set_result(None)
