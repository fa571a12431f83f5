"""Keeping the bytes that repair moves under a rate, so that clients have the rest of the disks and the wire."""

import asyncio
import time
from collections.abc import Awaitable, Callable

BURST_S = 0.25
"""Saved up at most: what a pause lets through at once afterwards."""


class Pace:
    """A token bucket of bytes; any number of tasks draw from it, in turn."""

    def __init__(
        self,
        rate_bytes_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rate_bytes_s = rate_bytes_s
        self._clock = clock
        self._sleep = sleep
        self._paid_until = clock()

    async def draw(self, size_bytes: int) -> None:
        """Return when so many bytes may pass."""
        now = self._clock()
        self._paid_until = max(self._paid_until, now - BURST_S) + size_bytes / self.rate_bytes_s
        if self._paid_until > now:
            await self._sleep(self._paid_until - now)
