"""One socket to a Redis server, shared by every task of the process: commands go out in batches, replies come
back in order.

Why not redis-py's pool: it costs 50 to 110 us of CPU a call, this 3 to 10 us under load, and its
retries (see `connection`) have to be kept from repeating a change. Replies are parsed by hiredis.
Only the socket lives here: no commands, no scripts, no reconnecting.
"""

import asyncio
from collections import deque
from typing import Any, cast

import hiredis

Argument = bytes | str | int

# Silence is measured in quarters of the timeout. The fifth silent one in a row ends it, so that it lasts for the
# whole timeout at least, and so that a loop that was itself blocked for long does not blame the server.
_TICKS_A_TIMEOUT = 4


class PipeLost(Exception):
    """The connection ended or stayed silent before the reply came; the command may have been executed."""

    def __init__(self, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out


class Pipe(asyncio.Protocol):
    """The protocol of one connection. `call` may be used by any number of tasks at once.

    A server that sends nothing for `timeout_s` while it owes an answer is given up. One that answers, however
    far it lags behind, is not: that would fail everything in flight just when there is much of it.
    """

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._silent_ticks = 0
        self._watchdog: asyncio.TimerHandle | None = None
        self._loss: str | None = None
        self.incarnation = ""  # of the index that the server holds, as its user found it

    @property
    def is_open(self) -> bool:
        return self._loss is None and self._transport is not None

    def call(self, *arguments: Argument) -> "asyncio.Future[Any]":
        """Send a command with the next batch; the future gives the reply, a `hiredis.ReplyError` among them.

        The future raises PipeLost. A caller that is cancelled leaves its reply to be dropped in its turn.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._loss is not None:
            future.set_exception(PipeLost(self._loss))
            return future
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(hiredis.pack_command(arguments))  # type: ignore[arg-type]  # its stub takes one
        self._waiting.append(future)
        if self._watchdog is None:
            self._silent_ticks = -1
            self._tick()
        return future

    def close(self) -> None:
        """End the connection; whoever still waits gets PipeLost."""
        self.lose("closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not instances of asyncio's class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._silent_ticks = 0
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.lose(f"the server does not speak Redis: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self.lose(f"the connection ended: {error}" if error else "the server closed the connection")

    def _send(self) -> None:
        batch, self._unsent = self._unsent, []
        if self._loss is None and self._transport is not None:
            self._transport.write(b"".join(batch))

    def _tick(self) -> None:
        self._watchdog = None
        if not self._waiting:
            return
        self._silent_ticks += 1
        if self._silent_ticks > _TICKS_A_TIMEOUT:
            self.lose(f"no answer for {self._timeout_s:g} s", timed_out=True)
        else:
            self._watchdog = self._loop.call_later(self._timeout_s / _TICKS_A_TIMEOUT, self._tick)

    def lose(self, reason: str, *, timed_out: bool = False) -> None:
        """End the connection; whoever still waits gets PipeLost with this reason."""
        if self._loss is not None:
            return
        self._loss = reason
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(PipeLost(reason, timed_out=timed_out))
