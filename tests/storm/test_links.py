"""The breakable network of the cluster harness."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.harness.links import Links
from tests.harness.tcp_proxy import TcpProxy

WAIT_S = 5.0
SOON_S = 0.2


class Echo:
    """A server that answers every line with the same, and remembers it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.heard = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.lines.append(line)
            self.heard.set()
            writer.write(line)
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, int]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    yield echo, server.sockets[0].getsockname()[1]
    server.close()


@contextlib.asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def line_within(reader: asyncio.StreamReader, timeout_s: float) -> bytes:
    async with asyncio.timeout(timeout_s):
        return await reader.readline()


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of the connection, a reset or not."""
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""


async def test_swallowed_reply_comes_when_the_hole_is_closed(echo: tuple[Echo, int]) -> None:
    server, port = echo
    async with TcpProxy(port=port) as proxy, connected(proxy) as (reader, writer):
        proxy.replies.swallow()
        writer.write(b"one\n")
        await asyncio.wait_for(server.heard.wait(), WAIT_S)
        with pytest.raises(TimeoutError):
            await line_within(reader, SOON_S)
        proxy.replies.release()
        assert await line_within(reader, WAIT_S) == b"one\n"


async def test_swallowed_request_arrives_although_its_client_is_gone(echo: tuple[Echo, int]) -> None:
    """What makes an unknown outcome take effect late."""
    server, port = echo
    async with TcpProxy(port=port) as proxy:
        async with connected(proxy) as (_, writer):
            proxy.requests.swallow()
            writer.write(b"late\n")
            await asyncio.sleep(SOON_S)
            assert server.lines == []
        proxy.requests.release()
        await asyncio.wait_for(server.heard.wait(), WAIT_S)
    assert server.lines == [b"late\n"]


async def test_each_direction_is_delayed_by_its_own(echo: tuple[Echo, int]) -> None:
    _, port = echo
    async with TcpProxy(port=port) as proxy, connected(proxy) as (reader, writer):
        proxy.requests.delay_s, proxy.replies.delay_s = 0.1, 0.2
        began = time.monotonic()
        writer.write(b"slow\n")
        await line_within(reader, WAIT_S)
        assert time.monotonic() - began >= 0.3


async def test_server_that_is_away_looks_like_a_lost_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with TcpProxy(port=taken.getsockname()[1]) as proxy, connected(proxy) as (reader, _):
            await ended(reader)


@pytest.fixture
def links() -> Iterator[Links]:
    with Links() as running:
        yield running


async def test_links_of_another_process_are_opened_broken_and_healed(echo: tuple[Echo, int], links: Links) -> None:
    server, port = echo
    opened = await asyncio.to_thread(links.open, "there", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", opened)
    writer.write(b"one\n")
    assert await line_within(reader, WAIT_S) == b"one\n"
    links.swallow("there", requests=True)
    writer.write(b"two\n")
    with pytest.raises(TimeoutError):
        await line_within(reader, SOON_S)
    links.heal("there")
    assert await line_within(reader, WAIT_S) == b"two\n"
    links.cut("there")
    await ended(reader)
    writer.transport.abort()
    assert server.lines == [b"one\n", b"two\n"]
