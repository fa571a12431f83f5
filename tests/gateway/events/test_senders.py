"""Messages on their way: what a webhook gets and when it has taken it, what lies in a stream, what may be a target."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from gateway.events.senders import SendFailed, StreamSender, WebhookSender, documents
from gateway.events.targets import TargetError, make_sender, stream_target, webhook_target
from gateway.index.connection import Connection, connect
from gateway.index.event_targets import EventTarget
from tests.harness.redis_server import RedisServer

MASTER_KEY = bytes(32)
NOW_S = 1_700_000_000.5


def record(number: int) -> dict[str, Any]:
    return {"eventName": "ObjectCreated:Put", "n": number}


PROBE = {"Event": "s3:TestEvent"}


@dataclass(slots=True)
class Receiver:
    """Answers what it is told to."""

    url: str = ""
    status: int = 200
    delay_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()

    async def take(request: web.Request) -> web.Response:
        receiver.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        await asyncio.sleep(receiver.delay_s)
        return web.Response(status=receiver.status, text="said so", headers=receiver.headers)

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def sending(url: str, *, secret: bytes = b"", timeout_s: float = 10.0) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(url, secret=secret, clock=lambda: NOW_S, timeout_s=timeout_s)
    try:
        yield sender
    finally:
        await sender.aclose()


def test_records_are_put_together_and_a_probe_stands_alone() -> None:
    messages = [record(1), record(2), record(3), PROBE, record(4)]
    assert documents(messages, 2) == [
        {"Records": [record(1), record(2)]},
        {"Records": [record(3)]},
        PROBE,
        {"Records": [record(4)]},
    ]
    assert documents([], 2) == []
    assert documents([PROBE], 2) == [PROBE]


async def test_a_webhook_gets_json_with_a_signature() -> None:
    async with receiving() as receiver, sending(receiver.url, secret=b"hush") as sender:
        await sender.send([record(1), record(2)])

    ((headers, body),) = receiver.got
    assert json.loads(body) == {"Records": [record(1), record(2)]}
    assert headers["content-type"] == "application/json"
    assert headers["x-cairn-timestamp"] == "1700000000"
    expected = hmac.new(b"hush", b"1700000000." + body, hashlib.sha256).hexdigest()
    assert headers["x-cairn-signature"] == f"sha256={expected}"


async def test_without_a_secret_nothing_is_signed() -> None:
    async with receiving() as receiver, sending(receiver.url) as sender:
        await sender.send([record(1)])
    assert "x-cairn-signature" not in receiver.got[0][0]


@pytest.mark.parametrize("status", [301, 302, 400, 404, 500, 503])
async def test_anything_but_2xx_has_not_taken_it(status: int) -> None:
    async with receiving() as receiver, sending(receiver.url) as sender:
        receiver.status, receiver.headers = status, {"location": receiver.url}
        with pytest.raises(SendFailed, match=str(status)):
            await sender.send([record(1)])
        assert len(receiver.got) == 1, "a redirect is not followed"


async def test_a_webhook_that_hangs_or_is_away_has_not_taken_it() -> None:
    async with receiving() as receiver, sending(receiver.url, timeout_s=0.05) as sender:
        receiver.delay_s = 5.0
        with pytest.raises(SendFailed):
            await sender.send([record(1)])
        receiver.delay_s = 0.0
    async with sending(receiver.url) as sender:
        with pytest.raises(SendFailed):
            await sender.send([record(1)])


async def test_a_stream_gets_an_entry_a_record(connection: Connection) -> None:
    sender = StreamSender(connection, "events", owns_connection=False)
    await sender.send([record(1), record(2), PROBE])
    await sender.aclose()

    entries = await connection.command("XRANGE", "events", "-", "+")

    assert [fields[0] for _, fields in entries] == [b"event"] * 3
    assert [json.loads(fields[1]) for _, fields in entries] == [
        {"Records": [record(1)]},
        {"Records": [record(2)]},
        PROBE,
    ]


async def test_a_stream_that_nobody_reads_does_not_grow_for_ever(connection: Connection) -> None:
    sender = StreamSender(connection, "events", owns_connection=False, length=100)
    await sender.send([record(number) for number in range(1000)])
    assert await connection.command("XLEN", "events") < 400


async def test_a_stream_may_lie_on_another_server(server: RedisServer, connection: Connection) -> None:
    target = stream_target("s", "events", server.address, master_key=MASTER_KEY, random_bytes=os.urandom, now_ms=0)
    nowhere = connect("unix:/nowhere/redis.sock")
    sender = make_sender(target, master_key=MASTER_KEY, index_server=nowhere, clock=lambda: NOW_S)
    await sender.send([record(1)])
    await sender.aclose()
    assert await connection.command("XLEN", "events") == 1

    lost = make_sender(
        stream_target("s", "events", "", master_key=MASTER_KEY, random_bytes=os.urandom, now_ms=0),
        master_key=MASTER_KEY,
        index_server=nowhere,
        clock=lambda: NOW_S,
    )
    with pytest.raises(SendFailed):
        await lost.send([record(1)])
    await nowhere.close()


def webhook(url: str, name: str = "hook", secret: str = "") -> EventTarget:
    return webhook_target(name, url, secret, master_key=MASTER_KEY, random_bytes=os.urandom, now_ms=7)


def stream(key: str, redis: str = "") -> EventTarget:
    return stream_target("s", key, redis, master_key=MASTER_KEY, random_bytes=os.urandom, now_ms=7)


@pytest.mark.parametrize("url", ["", "h", "ftp://h/", "http://", "http://user:password@h/"])
def test_a_webhook_is_a_url_without_a_password(url: str) -> None:
    with pytest.raises(TargetError):
        webhook(url)


@pytest.mark.parametrize("name", ["", "a b", "a" * 81, "ü", "a:b"])
def test_a_target_has_a_name_that_an_arn_can_hold(name: str) -> None:
    with pytest.raises(TargetError):
        webhook("http://h/", name)


@pytest.mark.parametrize(("key", "redis"), [("", ""), ("cairn:x", ""), ("k", "http://h"), ("k", "redis://h:x")])
def test_a_stream_has_a_key_of_its_own_and_a_redis_server(key: str, redis: str) -> None:
    with pytest.raises(TargetError):
        stream(key, redis)


def test_a_server_is_kept_without_its_password() -> None:
    target = stream("k", "redis://:hush@h")
    assert target.server == "h:6379"
    assert b"hush" not in target.sealed_secret
    assert target.sealed_secret


async def test_another_master_key_does_not_open_a_secret(connection: Connection) -> None:
    target = webhook("http://h/", secret="hush")
    with pytest.raises(TargetError, match="master key"):
        make_sender(target, master_key=bytes([1] * 32), index_server=connection, clock=lambda: NOW_S)
