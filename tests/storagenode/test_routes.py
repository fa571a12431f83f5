"""The node's HTTP side against clients that are not ours: forged, replayed, altered, broken off."""

import asyncio
import base64
import errno
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp.http_exceptions import ContentLengthError
from yarl import URL

from storagenode import protocol
from storagenode.blobwriter import BlobWriter
from storagenode.frames import FRAME_BYTES
from storagenode.protocol import BLOBS_PATH, CLOCK_SKEW_MS, RequestToSign
from tests.storagenode.support import (
    NODE_ID,
    ORIGIN,
    SECRET,
    FaultyDisk,
    RunningNode,
    blob_files,
    blob_id,
    content,
    read_all,
    running_node,
)

PATH = f"{BLOBS_PATH}/{blob_id()}"
ORIGIN_TEXT = base64.b64encode(ORIGIN).decode()
_numbers = itertools.count()


def signed(
    method: str,
    path: str,
    body_bytes: int = 0,
    *,
    origin: str = "",
    age_ms: int = 0,
    secret: bytes = SECRET,
    node_id: str = NODE_ID,
) -> dict[str, str]:
    claim = protocol.authorize(
        secret,
        RequestToSign(node_id=node_id, method=method, path_and_query=path, body_bytes=body_bytes, origin=origin),
        timestamp_ms=time.time_ns() // 1_000_000 - age_ms,
        session="ab" * 16,
        sequence=next(_numbers),
    )
    headers = {protocol.AUTHORIZATION_HEADER: claim.render()}
    return headers | ({protocol.ORIGIN_HEADER: origin} if origin else {})


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
async def node(tmp_path: Path, disk: FaultyDisk) -> AsyncIterator[RunningNode]:
    async with running_node(tmp_path, disk=disk) as running:
        yield running


@pytest.fixture
async def http(node: RunningNode) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{node.address}") as session:
        yield session


async def test_health_is_open_and_says_little(node: RunningNode, http: aiohttp.ClientSession) -> None:
    answer = await http.get("/health")
    assert answer.status == 200
    assert set(await answer.json()) == {"status", "node_id", "time_ms"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", PATH),
        ("GET", f"{PATH}?offset=0&length=4"),
        ("GET", f"{PATH}/info"),
        ("DELETE", PATH),
        ("GET", f"{BLOBS_PATH}?after=&before_ms=1&limit=1"),
        ("GET", "/v1/status"),
        ("GET", "/nowhere"),
        ("GET", "/health/../v1/status"),
    ],
)
async def test_nothing_else_is_answered_without_the_secret(
    node: RunningNode, http: aiohttp.ClientSession, method: str, path: str
) -> None:
    node.store.put(blob_id(), ORIGIN, [b"data"])
    for headers in ({}, signed(method, path, secret=b"guess"), {"Authorization": "Basic eDp5"}):
        answer = await http.request(method, path, headers=headers)
        assert answer.status == 401
        assert answer.headers[protocol.ERROR_HEADER] == "NodeRefused"
        assert b"data" not in await answer.read()
    assert read_all(node.store, blob_id()) == b"data"


async def test_a_signed_request_is_served_once(node: RunningNode, http: aiohttp.ClientSession) -> None:
    node.store.put(blob_id(), ORIGIN, [b"data"])
    headers = signed("DELETE", PATH)
    assert (await http.delete(PATH, headers=headers)).status == 200
    node.store.put(blob_id(), ORIGIN, [b"data"])
    assert (await http.delete(PATH, headers=headers)).status == 401
    assert read_all(node.store, blob_id()) == b"data"


OTHER = f"{BLOBS_PATH}/{blob_id(1)}"
# What is signed, and what is then sent: headers, method, path, body.
ALTERED: dict[str, Callable[[], tuple[dict[str, str], str, str, bytes]]] = {
    "method": lambda: (signed("GET", PATH), "DELETE", PATH, b""),
    "path": lambda: (signed("DELETE", OTHER), "DELETE", PATH, b""),
    "query": lambda: (signed("GET", f"{PATH}?offset=0&length=1"), "GET", f"{PATH}?offset=0&length=2", b""),
    "query added": lambda: (signed("DELETE", PATH), "DELETE", f"{PATH}?x=1", b""),
    "escaping": lambda: (signed("DELETE", PATH), "DELETE", PATH.replace("-", "%2D"), b""),
    "length": lambda: (signed("PUT", OTHER, 3), "PUT", OTHER, b"four"),
    "origin": lambda: (
        {**signed("PUT", OTHER, 4, origin=ORIGIN_TEXT), protocol.ORIGIN_HEADER: "eA=="},
        "PUT",
        OTHER,
        b"four",
    ),
    "origin added": lambda: (
        {**signed("PUT", OTHER, 4), protocol.ORIGIN_HEADER: ORIGIN_TEXT},
        "PUT",
        OTHER,
        b"four",
    ),
    "node": lambda: (signed("DELETE", PATH, node_id="f" * 16), "DELETE", PATH, b""),
    "too old": lambda: (signed("DELETE", PATH, age_ms=CLOCK_SKEW_MS + 1000), "DELETE", PATH, b""),
    "too new": lambda: (signed("DELETE", PATH, age_ms=-CLOCK_SKEW_MS - 60_000), "DELETE", PATH, b""),
}


@pytest.mark.parametrize("what", ALTERED)
async def test_an_altered_request_is_refused(node: RunningNode, http: aiohttp.ClientSession, what: str) -> None:
    node.store.put(blob_id(), ORIGIN, [b"data"])
    headers, method, path, body = ALTERED[what]()
    url = URL(f"http://{node.address}{path}", encoded=True)
    answer = await http.request(method, url, headers=headers, data=body or None)
    assert answer.status == 401
    assert read_all(node.store, blob_id()) == b"data"
    assert node.store.ids("", 10) == [blob_id()]


async def test_a_chunked_body_is_refused(node: RunningNode, http: aiohttp.ClientSession) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"data"

    answer = await http.put(PATH, headers=signed("PUT", PATH), data=body())
    assert answer.status == 401
    assert blob_files(node.directory) == []


@pytest.mark.parametrize(
    "path",
    [
        f"{PATH}?offset=-1&length=1",
        f"{PATH}?offset=0",
        f"{PATH}?offset=0&length=99999999999999999999",
        f"{PATH}?offset=0&length=0x10",
        f"{BLOBS_PATH}/..%2F..%2Fnode.json?offset=0&length=1",
        f"{BLOBS_PATH}/{blob_id().upper()}?offset=0&length=1",
        f"{BLOBS_PATH}?after=../..&before_ms=1&limit=1",
    ],
)
async def test_malformed_parameters_are_refused(node: RunningNode, http: aiohttp.ClientSession, path: str) -> None:
    node.store.put(blob_id(), ORIGIN, [b"data"])
    url = URL(f"http://{node.address}{path}", encoded=True)
    answer = await http.get(url, headers=signed("GET", path))
    assert answer.status == 400
    assert answer.headers[protocol.ERROR_HEADER] == "InvalidRequest"


async def test_an_origin_that_is_no_base64_is_refused(node: RunningNode, http: aiohttp.ClientSession) -> None:
    answer = await http.put(PATH, headers=signed("PUT", PATH, 1, origin="!"), data=b"x")
    assert answer.status == 400
    assert blob_files(node.directory) == []


@pytest.mark.parametrize("polite", [True, False])
@pytest.mark.parametrize("sent_bytes", [0, 1000, 5 * FRAME_BYTES])
async def test_a_client_that_disconnects_midway_leaves_nothing(
    node: RunningNode, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch, sent_bytes: int, polite: bool
) -> None:
    size_bytes = 8 * FRAME_BYTES
    disk.counts.clear()  # of what the node made when it started
    removed, loop = asyncio.Event(), asyncio.get_running_loop()
    discard = BlobWriter.discard

    def note(writer: BlobWriter) -> None:
        discard(writer)
        loop.call_soon_threadsafe(removed.set)

    monkeypatch.setattr(BlobWriter, "discard", note)
    host, _, port = node.address.rpartition(":")
    _reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"PUT {PATH} HTTP/1.1", f"Host: {node.address}", f"Content-Length: {size_bytes}"]
    head += [f"{name}: {value}" for name, value in signed("PUT", PATH, size_bytes).items()]
    writer.write("\r\n".join([*head, "", ""]).encode() + content(sent_bytes))
    await writer.drain()
    if polite:
        writer.close()
        await writer.wait_closed()
    else:
        writer.transport.abort()
    await asyncio.wait_for(removed.wait(), 10)
    assert node.temporary_files() == []
    assert blob_files(node.directory) == []
    assert disk.counts["create"] == disk.counts["unlink"]


async def test_a_client_that_stops_reading_does_not_keep_others_waiting(
    node: RunningNode, http: aiohttp.ClientSession
) -> None:
    node.store.put(blob_id(), ORIGIN, [content(32 * FRAME_BYTES)])
    node.store.put(blob_id(1), ORIGIN, [b"data"])
    stuck = f"{PATH}?offset=0&length={32 * FRAME_BYTES}"
    answers = [await http.get(stuck, headers=signed("GET", stuck)) for _ in range(20)]
    quick = f"{OTHER}?offset=0&length=4"
    answer = await asyncio.wait_for(http.get(quick, headers=signed("GET", quick)), 10)
    assert (await answer.read()).startswith(b"data")
    for one in answers:
        one.close()


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError("reset"),
        OSError(errno.EHOSTUNREACH, "no route to host"),
        TimeoutError("keepalive probes unanswered"),
        aiohttp.ClientPayloadError("ended early"),
        ContentLengthError("ended early"),
    ],
    ids=repr,
)
async def test_an_upload_whose_client_vanishes_in_any_way_is_no_mistake_in_the_log(
    node: RunningNode,
    disk: FaultyDisk,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    async def vanish(_: aiohttp.StreamReader) -> tuple[bytes, bool]:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("storagenode.routes._read_piece", vanish)
        with suppress(aiohttp.ClientError):  # which sends it once more, and is refused
            await http.put(PATH, headers=signed("PUT", PATH, 8), data=b"vanished")
    assert (await http.get("/health")).status == 200
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
    assert node.temporary_files() == []
    assert blob_files(node.directory) == []
