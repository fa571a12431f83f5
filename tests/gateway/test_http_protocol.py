"""The request head's limits, over real sockets against a real uvicorn with a trivial application."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from gateway import http_protocol
from gateway.http_protocol import REQUEST_HEAD_LIMIT_BYTES, GatewayHttpProtocol


async def echo_path(scope: Any, receive: Any, send: Any) -> None:
    body = scope["raw_path"]
    if body == b"/body":
        while (await receive()).get("more_body"):
            pass
        body = repr(scope["headers"]).encode()
    headers = [(b"content-length", b"2" if body == b"/slow" else str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if body == b"/slow":
        await asyncio.sleep(0.2)
        body = b"ab"
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    config = uvicorn.Config(
        echo_path,
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


def chunked(*pieces: bytes) -> bytes:
    request = head(b"Transfer-Encoding: chunked", path=b"/body").replace(b"GET", b"PUT")
    return request + b"5\r\nhello\r\n0\r\n" + b"".join(pieces)


async def test_trailer_does_not_pass_for_a_header() -> None:
    async with serving() as port:
        answer = await exchange(port, chunked(b"X-Amz-Acl: public-read\r\n\r\n"))
    assert b"transfer-encoding" in answer
    assert b"x-amz-acl" not in answer


@pytest.mark.parametrize(
    "endless", [b"A: b\r\n" * 100_000, b"A: " + b"b" * 1_000_000, b""], ids=["trailers", "one trailer", "extension"]
)
async def test_framing_without_end_closes_the_connection(endless: bytes) -> None:
    request = chunked(endless) if endless else chunked()[:-3] + b"5;" + b"x" * 1_000_000
    async with serving() as port:
        pieces = [request[at : at + 4096] for at in range(0, len(request), 4096)]
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(exchange(port, *pieces), timeout=5) == b""


@pytest.mark.parametrize(
    "following", [b"no http\r\n\r\n", head(b"X: " + b"a" * 20_000)], ids=["malformed", "head over the limit"]
)
async def test_refusal_of_a_request_is_not_written_into_the_answer_to_another(following: bytes) -> None:
    first = head(path=b"/slow").replace(b"Connection: close\r\n", b"")
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(following)
        rest = await reader.read()
        writer.close()
    assert rest in (b"", b"ab")


async def test_body_nobody_reads_is_taken_in_up_to_the_read_ahead_and_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []
    paused = asyncio.Event()
    take_body = GatewayHttpProtocol.on_body

    def watched(protocol: GatewayHttpProtocol, body: bytes) -> None:
        take_body(protocol, body)
        held.append(len(protocol.cycle.body))
        if protocol.flow.read_paused:
            paused.set()

    monkeypatch.setattr(GatewayHttpProtocol, "on_body", watched)
    async with serving() as port:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(b"Content-Length: 16777216", path=b"/slow") + bytes(16 * 1024 * 1024))
        await paused.wait()
        writer.close()
    assert http_protocol.READ_AHEAD_BYTES < max(held) < 4 * http_protocol.READ_AHEAD_BYTES
