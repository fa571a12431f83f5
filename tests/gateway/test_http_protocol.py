"""The request head's limits, over real sockets against a real uvicorn with a trivial application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvicorn

from gateway import http_protocol
from gateway.http_protocol import REQUEST_HEAD_LIMIT_BYTES, GatewayHttpProtocol


async def echo_path(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
    assert callable(send)
    body = scope["raw_path"]
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    config = uvicorn.Config(
        echo_path,  # type: ignore[arg-type]
        host="127.0.0.1",
        port=0,
        http=GatewayHttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


async def exchange(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def head(*headers: bytes, path: bytes = b"/b/k") -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers, b"", b""])


async def test_ordinary_head_is_served_with_its_raw_path() -> None:
    async with serving() as port:
        answer = await exchange(port, head(path=b"//b/a%2F..//c?x=1"))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"//b/a%2F..//c")


@pytest.mark.parametrize(
    "header",
    [b"X-Long: " + b"a" * REQUEST_HEAD_LIMIT_BYTES, b"\r\n".join(b"X-%d: y" % n for n in range(3000))],
    ids=["one long header", "many headers"],
)
async def test_head_over_the_limit_gets_431(header: bytes) -> None:
    async with serving() as port:
        answer = await exchange(port, head(header))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"<Code>RequestHeaderSectionTooLarge</Code>" in answer


async def test_head_that_never_ends_gets_431_before_it_is_whole() -> None:
    async with serving() as port:
        answer = await exchange(port, b"GET / HTTP/1.1\r\nX: ", *[b"a" * 8192] * 4)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_second_request_of_a_connection_is_counted_on_its_own() -> None:
    keep_alive = head(b"X: " + b"a" * 9000).replace(b"Connection: close\r\n", b"")
    async with serving() as port:
        answer = await exchange(port, keep_alive, head(b"X: " + b"a" * 9000))
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_client_that_never_speaks_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "REQUEST_HEAD_TIMEOUT_S", 0.05)
    async with serving() as port:
        assert await exchange(port, b"GET / HT") == b""
