"""Hashing of a body while it streams: the slow hashes in threads beside the event loop, the rest at once.

Every slow hash has a lane of its own, in which its blocks stay in order; so MD5 and SHA-256 of one block run
in parallel, and both run while the loop sends that block and receives the next. hashlib releases the GIL.
A lane hands a thread all blocks that have gathered, so that the cost of waking a thread is paid once for
many blocks. Nothing but the hashing of bodies lives here; what a digest is compared with is the caller's.
"""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Protocol

FAST_ALGORITHMS = frozenset({"crc32", "crc32c", "crc64nvme", "xxhash64", "xxhash3", "xxhash128"})
"""At 25-50 GB/s a MiB takes 20-40 us: less than handing it to a thread."""

INLINE_LIMIT_BYTES = 16 * 1024
"""MD5 of 16 KiB takes 30 us, about as long as waking a thread."""

MAXIMUM_BEHIND_BYTES = 2 * 1024 * 1024
"""How far a lane may fall behind before the sender waits; bounds the memory of a request."""

_TURN_BYTES = 4 * 1024 * 1024
"""What one lane hashes before it queues for a thread again, so that many uploads share few threads."""

Block = bytes | memoryview


class Hasher(Protocol):
    """hashlib's objects and those of s3compat.checksums."""

    def update(self, block: Block, /) -> object: ...

    def digest(self) -> bytes: ...


class BodyHasher:
    """Feeds one body to several hashes. Blocks must not change after they were handed over."""

    def __init__(self, hashers: Mapping[str, Hasher]) -> None:
        """`hashers` by algorithm name; the names, in any case, tell the slow ones from the fast."""
        self._hashers = dict(hashers)
        self._fast = [one for name, one in hashers.items() if name.lower() in FAST_ALGORITHMS]
        self._lanes = [_Lane(one) for name, one in hashers.items() if name.lower() not in FAST_ALGORITHMS]

    async def update(self, block: Block) -> None:
        """Hash `block` after all earlier ones; waits only when a lane is too far behind."""
        for hasher in self._fast:
            hasher.update(block)
        for lane in self._lanes:
            lane.push(block)
        for lane in self._lanes:
            if lane.behind_bytes > MAXIMUM_BEHIND_BYTES:
                await lane.caught_up(MAXIMUM_BEHIND_BYTES // 2)

    async def digests(self) -> dict[str, bytes]:
        """The digests of all that was fed so far, under the names given."""
        for lane in self._lanes:
            if lane.behind_bytes:
                await lane.caught_up(0)
        return {name: hasher.digest() for name, hasher in self._hashers.items()}


@cache
def _threads() -> ThreadPoolExecutor:
    """Hashing is all work and no waiting: more threads than cores would only take turns."""
    return ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1), thread_name_prefix="hash")


class _Lane:
    """The blocks of one hash, in order. `push` and `caught_up` belong to the loop, `_work` to a thread."""

    __slots__ = ("_hasher", "_job", "_lock", "_pending", "_wake", "_wake_at_bytes", "behind_bytes")

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._lock = threading.Lock()
        # Guarded by the lock: the blocks not hashed yet (the one at work included in the count), the job
        # that works on them, and who waits until no more than so many are left.
        self._pending: deque[Block] = deque()
        self.behind_bytes = 0
        self._job: Future[None] | None = None
        self._wake: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._wake_at_bytes = 0

    def push(self, block: Block) -> None:
        """Queue a block; a small one is hashed at once when nothing is before it."""
        size_bytes = len(block)
        with self._lock:
            if self._job is None and size_bytes < INLINE_LIMIT_BYTES:
                self._hasher.update(block)
                return
            self._pending.append(block)
            self.behind_bytes += size_bytes
            if self._job is None:
                self._job = _threads().submit(self._work)

    async def caught_up(self, to_bytes: int) -> None:
        """Wait until at most `to_bytes` are left to hash."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self.behind_bytes <= to_bytes:
                return
            future: asyncio.Future[None] = loop.create_future()
            self._wake, self._wake_at_bytes = (loop, future), to_bytes
        await future

    def _work(self) -> None:
        turn_bytes = 0
        while turn_bytes < _TURN_BYTES:
            with self._lock:
                if not self._pending:
                    self._job = None
                    return
                block = self._pending.popleft()
            self._hasher.update(block)
            turn_bytes += len(block)
            with self._lock:
                self.behind_bytes -= len(block)
                if self._wake is not None and self.behind_bytes <= self._wake_at_bytes:
                    loop, future = self._wake
                    self._wake = None
                    loop.call_soon_threadsafe(_set_done, future)
        with self._lock:
            self._job = _threads().submit(self._work) if self._pending else None


def _set_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
