"""A TCP proxy in front of a node that can cut, stall and damage what passes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Alter = Callable[[bytes], bytes]


class Proxy:
    """Counts bytes each way. `to_node` and `to_client` may alter a chunk; raising ConnectionError cuts the
    connection, clearing `flowing` stops everything."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.address = ""
        self.connections = 0
        self.to_node: Alter = bytes
        self.to_client: Alter = bytes
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        host, _, port = self._upstream.rpartition(":")
        try:
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer, lambda chunk: self.to_node(chunk))),
            asyncio.create_task(self._pump(up_reader, writer, lambda chunk: self.to_client(chunk))),
        ]
        self._tasks.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for one in (writer, up_writer):
            one.transport.abort()
        await asyncio.wait(pumps)
        self._tasks.difference_update(pumps)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alter: Alter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while chunk := await reader.read(65536):
                await self.flowing.wait()
                writer.write(alter(chunk))
                await writer.drain()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def proxied(upstream: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy.address = f"{host}:{port}"
    try:
        yield proxy
    finally:
        proxy.stop()
        server.close()
        await server.wait_closed()
