"""A TCP proxy between a client and a server, for tests: counts what passes and breaks at a chosen moment."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

# Called with each chunk of a request after it was forwarded; True drops the connection before any reply passes.
DropAfter = Callable[[bytes], bool]


class Direction:
    """What happens to the bytes of one direction; may be changed while they pass.

    A black hole keeps what it swallows and lets it out when it is closed again, as a network does whose packets are
    sent once more: a request may so reach its server long after its client has given up.
    """

    def __init__(self) -> None:
        self.delay_s = 0.0
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_black_hole(self) -> bool:
        return not self._open.is_set()

    def swallow(self) -> None:
        """Let nothing pass until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Let pass what was swallowed, and all that follows."""
        self._open.set()

    async def passage(self) -> None:
        """Return when a chunk that has come may go on."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        await self._open.wait()


class TcpProxy:
    """Forwards connections on a free port of 127.0.0.1 to a unix socket or a port.

    `drop_after` may be set at any time; `hold_replies` drops replies while it is True. `sent` is every chunk that was
    forwarded to the server, unless `record` is off; `connections` counts the clients. `requests` and `replies`
    delay or swallow what passes.
    """

    def __init__(
        self, *, unix_path: str | None = None, host: str = "127.0.0.1", port: int = 0, record: bool = True
    ) -> None:
        self._unix_path, self._host, self._port = unix_path, host, port
        self._record = record
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.drop_after: DropAfter | None = None
        self.hold_replies = False
        self.requests = Direction()
        self.replies = Direction()
        self.sent: list[bytes] = []
        self.connections = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.drop_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop_all(self) -> None:
        """Cut every connection that is open now."""
        for writer in list(self._writers):
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._connect()
        except OSError:  # nobody listens there at the moment
            writer.transport.abort()
            return
        pair = {writer, server_writer}
        self._writers |= pair
        with suppress(OSError):
            forwarding = asyncio.gather(
                self._requests(reader, server_writer, writer), self._replies(server_reader, writer)
            )
            await forwarding
        self._writers -= pair
        for end in pair:
            end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._unix_path is not None:
            return await asyncio.open_unix_connection(self._unix_path)
        return await asyncio.open_connection(self._host, self._port)

    async def _requests(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(1 << 20):
            await self.requests.passage()
            if self._record:
                self.sent.append(chunk)
            drop = self.drop_after is not None and self.drop_after(chunk)
            if drop:
                self.hold_replies = True
            server.write(chunk)
            await server.drain()
            if drop:
                client.transport.abort()
                self.hold_replies = False
        server.close()

    async def _replies(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while chunk := await server.read(1 << 20):
            await self.replies.passage()
            if self.hold_replies or client.transport.is_closing():
                continue
            client.write(chunk)
            await client.drain()
        client.close()
