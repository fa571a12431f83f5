"""Signed requests from a client to nodes: connections, introduction, signatures, failures as NodeErrors."""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from storagenode import protocol
from storagenode.errors import (
    ERRORS_BY_NAME,
    NodeError,
    NodeFailed,
    NodeRefused,
    NodeUnreachable,
    NumberedError,
    WrongNode,
)
from storagenode.protocol import RequestToSign

_READ_BUFFER_BYTES = 1024 * 1024
_SMALL_ANSWER_BYTES = 4096
_KEEPALIVE_S = 30.0  # below the node's own (app.py), so that it is the client who drops an idle connection

_INTRODUCTION_TIMEOUT_S = 5.0

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    """Who was met at an address."""

    node_id: str
    clock_offset_ms: int  # its clock less ours


def node_at(node_id: str, address: str) -> str:
    """An address that says which node is meant: this one, and nobody else whom one may meet there."""
    return f"{node_id}@{address}"


def _apart(address: str) -> tuple[str | None, str]:
    """The node that is meant, None for whoever is there, and "host:port"."""
    node_id, _, place = address.rpartition("@")
    return node_id or None, place


class Transport:
    """One pool of connections to any number of nodes. `clock_ms` gives monotonic milliseconds."""

    def __init__(
        self,
        secret: bytes,
        *,
        connect_timeout_s: float,
        idle_timeout_s: float,
        clock_ms: Callable[[], int],
        nonce_session: str,
    ) -> None:
        self.connect_timeout_s = connect_timeout_s
        self.idle_timeout_s = idle_timeout_s
        self._secret = secret
        self._clock_ms = clock_ms
        self._nonce_session = nonce_session
        self._peers: dict[str, _Peer] = {}  # by address; only those of whom nothing makes us doubt
        self._introductions: dict[str, asyncio.Task[_Peer]] = {}  # under way, by address
        # By node id, never reset: no node may see a number twice, not even under two addresses.
        self._sequences: dict[str, itertools.count[int]] = {}
        self._http: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """To be called within the event loop that will use it."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(
                connect=self.connect_timeout_s,
                sock_connect=self.connect_timeout_s,
                sock_read=self.idle_timeout_s,
            ),
            read_bufsize=_READ_BUFFER_BYTES,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            middlewares=(_send_once,),
        )

    async def close(self) -> None:
        for task in list(self._introductions.values()):
            task.cancel()
        if self._http is not None:
            await self._http.close()

    async def send(
        self,
        address: str,
        method: str,
        path: str,
        *,
        data: Any = None,
        body_bytes: int = 0,
        origin: str = "",
        node_id: str | None = None,
    ) -> aiohttp.ClientResponse:
        """The node's answer, its body unread. Raises what the node answers instead, and NodeUnreachable.

        `node_id` is who is meant, None whoever is there. Signed for that node alone, the request is refused by any
        other one that came to the address unnoticed. Raises WrongNode where that was noticed.
        """
        named, address = _apart(address)
        peer = await self._meet(address, node_id or named)
        authorization = protocol.authorize(
            self._secret,
            RequestToSign(
                node_id=peer.node_id, method=method, path_and_query=path, body_bytes=body_bytes, origin=origin
            ),
            timestamp_ms=self._clock_ms() + peer.clock_offset_ms,
            session=self._nonce_session,
            sequence=next(self._sequences.setdefault(peer.node_id, itertools.count())),
        )
        headers = {protocol.AUTHORIZATION_HEADER: authorization.render()}
        if data is not None:
            headers["Content-Length"] = str(body_bytes)
        if origin:
            headers[protocol.ORIGIN_HEADER] = origin
        response = await self._request(address, method, path, headers=headers, data=data)
        if response.status >= 400:
            raise await _refusal(response, address, keep=data is None)
        return response

    async def call(
        self, address: str, method: str, path: str, unpack: Callable[[Any], _Answer], *, node_id: str | None = None
    ) -> _Answer:
        """Send a request without a body and unpack its answer; `node_id` as for `send`."""
        with self.node_errors(address):
            response = await self.send(address, method, path, node_id=node_id)
            return await self.answer(response, unpack)

    async def ping(self, address: str) -> None:
        """Ask a node who it is, whether or not it was met before. Raises NodeUnreachable, NodeFailed."""
        with self.node_errors(address):
            await self._ask_identity(_apart(address)[1])

    async def answer(self, response: aiohttp.ClientResponse, unpack: Callable[[Any], _Answer]) -> _Answer:
        """The msgpack value that a response holds. Raises NodeFailed when it makes no sense."""
        payload = await response.read()
        try:
            return unpack(protocol.decode(payload))
        except ValueError as error:
            raise NodeFailed(f"unintelligible answer: {error}") from error

    @contextmanager
    def node_errors(self, address: str) -> Iterator[None]:
        """Turn what aiohttp raises into NodeUnreachable; ask the node who it is before the next request."""
        try:
            yield
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            self._forget(address)
            raise NodeUnreachable(f"{address}: {error!r}") from error
        except NodeError as error:
            if type(error) in (NodeRefused, NodeUnreachable):
                self._forget(address)
            raise

    async def _meet(self, address: str, node_id: str | None) -> _Peer:
        """Who is at the address. Raises WrongNode where that is not `node_id`, and NodeUnreachable."""
        peer = self._peers.get(address)
        if peer is not None and node_id not in (None, peer.node_id):
            self._forget(address)  # perhaps the node that is meant has come there since
            peer = None
        peer = peer or await self._introduce(address)
        if node_id not in (None, peer.node_id):
            raise WrongNode(f"{address}: node {peer.node_id} answers there, not {node_id}")
        return peer

    def _forget(self, address: str) -> None:
        self._peers.pop(_apart(address)[1], None)

    async def _introduce(self, address: str) -> _Peer:
        """Ask a node for its id and clock, once for all who want to know at the moment."""
        task = self._introductions.get(address)
        if task is None:
            task = asyncio.create_task(self._ask_identity(address), name=f"introduction to {address}")
            self._introductions[address] = task
            task.add_done_callback(lambda done: self._introduced(address, done))
        # Shielded: one caller that is cancelled must not take the answer from the others.
        return await asyncio.shield(task)

    def _introduced(self, address: str, task: asyncio.Task[_Peer]) -> None:
        del self._introductions[address]
        if not task.cancelled():
            task.exception()  # seen by those who wait, if somebody still does

    async def _ask_identity(self, address: str) -> _Peer:
        # Counted from before the question, our idea of the node's clock is never behind it, only ahead by the time
        # on the way: behind, the first requests after a restart would seem to be from before it.
        asked_ms = self._clock_ms()
        # The node answers without touching its disk, so one that takes long is not worth waiting for.
        async with asyncio.timeout(min(_INTRODUCTION_TIMEOUT_S, self.idle_timeout_s)):
            response = await self._request(address, "GET", protocol.HEALTH_PATH)
            if response.status != 200:
                raise await _refusal(response, address, keep=True)
            payload = await response.read()
        try:
            identity = protocol.unpack_identity(json.loads(payload))
        except ValueError as error:
            raise NodeFailed(f"{address} does not answer like a storage node") from error
        peer = _Peer(node_id=identity.node_id, clock_offset_ms=identity.time_ms - asked_ms)
        self._peers[address] = peer
        return peer

    async def _request(
        self, address: str, method: str, path: str, *, headers: dict[str, str] | None = None, data: Any = None
    ) -> aiohttp.ClientResponse:
        if self._http is None:
            raise RuntimeError("the client was not entered")
        url = URL(f"http://{address}{path}", encoded=True)  # encoded: the path goes out as it was signed
        try:
            named = url.host and url.port
        except ValueError:  # the port is looked at only now
            named = None
        if not named:
            raise NodeUnreachable(f"{address!r} is no address")
        return await self._http.request(method, url, headers=headers, data=data, allow_redirects=False)


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a PUT or DELETE again when a pooled connection breaks, which is its habit."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise NodeUnreachable(f"{request.url.authority}: {error!r}") from error


async def _refusal(response: aiohttp.ClientResponse, address: str, *, keep: bool) -> NodeError:
    """The error that a response stands for. The connection is kept only if it is known to be in step."""
    kind = ERRORS_BY_NAME.get(response.headers.get(protocol.ERROR_HEADER, ""), NodeFailed)
    try:
        text = (await response.content.read(_SMALL_ANSWER_BYTES)).decode(errors="replace")
    finally:
        if keep and response.content.at_eof():
            response.release()
        else:
            response.close()
    message = f"{address}: {text or response.status}"
    if not issubclass(kind, NumberedError):
        return kind(message)
    number = response.headers.get(protocol.ERROR_NUMBER_HEADER, "")
    return kind(int(number), message) if number.isascii() and number.isdigit() else NodeFailed(message)
