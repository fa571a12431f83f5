"""How the index reaches its Redis server: connecting, scripts, what an error reply means.

A change is sent once. When its answer does not come, nobody knows whether it was applied, and it is reported so
(`IndexUnavailable.maybe_applied`); sending it again is left to clients, for whom S3's writes are idempotent.
Hence the scripts need no request ids. (redis-py's default retry was seen to apply one INCR eleven times.)
A read is sent a second time when the connection dropped under it, as it does at a fail-over.

Cancelling a task that waits for a change leaves the outcome as open as a lost connection does.

A guarded connection serves one incarnation of the index: each time it opens it makes sure that the server is the
one for which the index was opened last. A socket lives no longer than its server's process, so once is enough; a
server that was emptied underneath is told by its scripts' NOTOPEN. What a change or a read has to wait for until
the journal is durable is waited for here, and nowhere else.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import hiredis

from gateway.index import keys
from gateway.index.cause import packed_cause
from gateway.index.discovery import DEFAULT_PORT, Locate, Place, locator
from gateway.index.errors import IndexFault, IndexNotOpen, IndexUnavailable
from gateway.index.pipe import Argument, Pipe, PipeLost
from gateway.index.scripts import Script, load_script
from gateway.index.server_identity import read_identity

_OBSERVE = load_script("observe")

# First words of error replies by which a server refuses to begin: nothing was executed. Scripts decide before
# they write, and the server asks for memory, disk and role before a script's first write.
_NOT_NOW = frozenset(
    [
        "ASK",
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOPERM",
        "NOREPLICAS",
        "OOM",
        "READONLY",
        "TRYAGAIN",
        "UNKILLABLE",
        "WRONGPASS",
    ]
)


# By these a server says that it is not, or no longer, the one to ask: the next call looks for another.
_NOT_HERE = frozenset(["ASK", "MOVED", "NOTOPEN", "READONLY"])


_Reply = TypeVar("_Reply")


class Durability(Protocol):
    """What makes changes outlive their server: the journal."""

    def admit(self) -> None:
        """Raises IndexUnavailable while a change has no prospect of becoming durable; asked before one is sent."""

    def recognise(self, incarnation: str) -> None:
        """Raises IndexNotOpen for an incarnation that is known to be forgotten; asked when a connection opens."""

    def is_vouched(self, incarnation: str) -> bool:
        """Whether nobody can have opened another incarnation of the index up to now."""

    async def vouch(self, incarnation: str) -> None:
        """Return once that is known of the moment of this call, or cannot be found out.

        Raises IndexUnavailable when another incarnation was opened.
        """

    async def reach(self, sequence: int, *, incarnation: str) -> None:
        """Return once this change and every earlier one of the incarnation is durable.

        Raises IndexUnavailable(maybe_applied=True) when that cannot be told: the journal does not get on, or serves
        another incarnation by now, which may have given the number to another change.
        """


class Connection:
    """A connection that opens itself when it is needed, and again when it was lost. Any task may use it."""

    def __init__(
        self,
        locate: Locate,
        *,
        address: str,
        password: str,
        connect_timeout_s: float,
        timeout_s: float,
        guarded: bool,
        on_not_open: Callable[[], None],
    ) -> None:
        self._locate = locate
        self._address = address
        self._password = password
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._guarded = guarded
        self._on_not_open = on_not_open
        self._durability: Durability | None = None
        self._pipe: Pipe | None = None
        self._opening: asyncio.Task[Pipe] | None = None

    @property
    def address(self) -> str:
        """For messages: what REDIS_HOST says, with the port."""
        return self._address

    @property
    def incarnation(self) -> str:
        """The incarnation of the index that the present socket serves; empty while there is none, or no guard."""
        return self._pipe.incarnation if self._pipe is not None and self._pipe.is_open else ""

    def attach(self, durability: Durability | None) -> None:
        """From now on changes and reads wait for it; None: for the index server alone."""
        self._durability = durability

    def drop(self, reason: str) -> None:
        """Close the socket: the next call opens another, and makes sure again that the server is the right one."""
        if self._pipe is not None:
            self._pipe.lose(reason)

    async def command(self, *arguments: Argument) -> Any:
        """Execute a command that reads, or sets what may be set twice, without waiting for the journal.

        Raises IndexUnavailable, IndexFault.
        """
        return await self._resending(lambda: self._execute(arguments))

    async def observe(self, command: str, name: str, *arguments: Argument) -> Any:
        """Execute a command that reads what is stored under one name. Raises IndexUnavailable, IndexFault."""
        return await self.read(_OBSERVE, (keys.sequence(), name), (command, name, *arguments))

    async def read(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Execute a script that changes nothing, and wait until what it has seen is durable.

        Raises IndexUnavailable, IndexFault.
        """
        reply, wait_for, incarnation = await self._resending(lambda: self._evaluate(script, keys, arguments))
        await self._await_durability(wait_for, incarnation, maybe_applied=False)
        return reply

    async def change(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Execute a script that changes something, once, and wait until that is durable.

        Raises IndexUnavailable, IndexFault.
        """
        if self._durability is not None:
            self._durability.admit()
        try:
            reply, wait_for, incarnation = await self._evaluate(script, keys, arguments)
        except PipeLost as error:
            raise self._unavailable(error, maybe_applied=True) from error
        # Also a refusal must not be of the past.
        await self._await_durability(wait_for, incarnation, maybe_applied=True)
        return reply

    async def _await_durability(self, wait_for: int, incarnation: str, *, maybe_applied: bool) -> None:
        if self._durability is None:
            return
        try:
            if wait_for:
                await self._durability.reach(wait_for, incarnation=incarnation)
            if not self._durability.is_vouched(incarnation):
                await self._durability.vouch(incarnation)
        except IndexUnavailable as error:
            raise IndexUnavailable(str(error), maybe_applied=maybe_applied) from error

    async def transient(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> Any:
        """Execute a script, once, on what need not outlive the server: leases, and the journal's own books.

        Raises IndexUnavailable, IndexFault.
        """
        try:
            return (await self._evaluate(script, keys, arguments))[0]
        except PipeLost as error:
            raise self._unavailable(error, maybe_applied=True) from error

    async def close(self) -> None:
        """End the connection. Calls under way fail as when it is lost."""
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError, OSError, TimeoutError, PipeLost, IndexUnavailable):
                await self._opening
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    async def _resending(self, attempt: Callable[[], Awaitable[_Reply]]) -> _Reply:
        try:
            return await attempt()
        except PipeLost as error:
            if error.timed_out:  # a server that is that slow does not get the question twice
                raise self._unavailable(error, maybe_applied=False) from error
        try:
            return await attempt()
        except PipeLost as error:
            raise self._unavailable(error, maybe_applied=False) from error

    async def _execute(self, arguments: Sequence[Argument]) -> Any:
        pipe = await self._open_pipe()
        return self._checked(pipe, await pipe.call(*arguments))

    async def _evaluate(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]
    ) -> tuple[Any, int, str]:
        """The script's reply, the number of the change that it has to wait for, the incarnation that it ran on."""
        if script.takes_cause:
            arguments = (*arguments, packed_cause())
        pipe = await self._open_pipe()
        reply = await pipe.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            reply = await pipe.call("EVAL", script.text, len(keys), *keys, *arguments)
        body, wait_for = self._checked(pipe, reply, script.name)
        return body, wait_for, pipe.incarnation

    async def _open_pipe(self) -> Pipe:
        if self._pipe is not None and self._pipe.is_open:
            return self._pipe
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="index connection")
            self._opening.add_done_callback(_look_at_exception)
        try:
            # Shared by all that wait, so that one of them being cancelled does not disappoint the others, and
            # an unreachable server costs each of them one timeout and not one after the other.
            return await asyncio.shield(self._opening)
        except (OSError, TimeoutError, PipeLost) as error:
            raise self._unavailable(error, maybe_applied=False) from error

    async def _open(self) -> Pipe:
        async with asyncio.timeout(self._connect_timeout_s):
            pipe = await self._connect(await self._locate())
            try:
                if self._password:
                    self._checked(pipe, await pipe.call("AUTH", self._password))
                if self._guarded:
                    await self._make_sure(pipe)
            except BaseException:
                pipe.close()
                raise
        self._pipe = pipe
        return pipe

    async def _connect(self, place: Place) -> Pipe:
        loop = asyncio.get_running_loop()
        if place.path:
            _, pipe = await loop.create_unix_connection(lambda: Pipe(self._timeout_s), place.path)
            return pipe
        transport, pipe = await loop.create_connection(lambda: Pipe(self._timeout_s), place.host, place.port)
        handle = transport.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return pipe

    async def _make_sure(self, pipe: Pipe) -> None:
        """That the index was opened on this server as it is now. Raises IndexNotOpen."""
        identity, is_master = await read_identity(lambda *command: self._raw(pipe, *command))
        if not is_master:
            raise IndexNotOpen(f"index at {self.address}: a replica, not the master")
        opened, incarnation = await self._raw(pipe, "HMGET", keys.journal(), "opened", "incarnation")
        if opened is None or opened.decode() != identity:
            self._on_not_open()
            raise IndexNotOpen(f"index at {self.address}: not opened yet on this server")
        if self._durability is not None:
            self._durability.recognise(incarnation.decode())
        pipe.incarnation = incarnation.decode()

    async def _raw(self, pipe: Pipe, *command: Argument) -> Any:
        return self._checked(pipe, await pipe.call(*command))

    def _checked(self, pipe: Pipe, reply: Any, script_name: str = "") -> Any:
        if not isinstance(reply, hiredis.ReplyError):
            return reply
        text = str(reply)
        word = text.split(" ", 1)[0]
        if word in _NOT_HERE and self._guarded:
            pipe.lose(text)
        if word == "NOTOPEN":
            self._on_not_open()
            raise IndexNotOpen(f"index at {self.address}: {text}")
        if word in _NOT_NOW:
            raise IndexUnavailable(f"the index refuses: {text}", maybe_applied=False)
        raise IndexFault(f"{script_name}: {text}" if script_name else text)

    def _unavailable(self, error: BaseException, *, maybe_applied: bool) -> IndexUnavailable:
        reason = str(error) or type(error).__name__
        return IndexUnavailable(f"index at {self.address}: {reason}", maybe_applied=maybe_applied)


def connect(
    host: str,
    port: int = DEFAULT_PORT,
    *,
    password: str = "",
    connect_timeout_s: float = 2.0,
    timeout_s: float = 5.0,
    guarded: bool = False,
    on_not_open: Callable[[], None] = lambda: None,
) -> Connection:
    """A connection to the server that `host` names (discovery.py). Nothing is opened before the first call.

    `timeout_s` is how long a server that owes answers may be silent before it is given up, with all that waits for it.
    A `guarded` connection raises IndexNotOpen, and tells `on_not_open`, where the index was not opened on the server.
    """
    fixed = ":" not in host
    return Connection(
        locator(host, port, password=password, timeout_s=connect_timeout_s / 2),
        address=f"{host}:{port}" if fixed else host,
        password=password,
        connect_timeout_s=connect_timeout_s,
        timeout_s=timeout_s,
        guarded=guarded,
        on_not_open=on_not_open,
    )


async def check_durability(connection: Connection) -> str | None:
    """Why this server loses much of the index when it restarts, or None when it loses a second of it at most.

    The journal has what is lost, whatever that is; how much decides whether a restart takes milliseconds or minutes.
    Raises IndexUnavailable.
    """
    try:
        reply = await connection.command("CONFIG", "GET", "append*")
    except IndexFault as error:
        return f"the index does not tell how it persists ({error})"
    settings = dict(zip(reply[::2], reply[1::2], strict=True))
    if settings.get(b"appendonly") != b"yes":
        return "the index server keeps no append-only file (appendonly no): it is rebuilt after each restart"
    return None


def _look_at_exception(opening: asyncio.Task[Pipe]) -> None:
    # Every waiter may have been cancelled by now; asyncio would complain of an exception nobody saw.
    if not opening.cancelled():
        opening.exception()
