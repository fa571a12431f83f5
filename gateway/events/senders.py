"""Handing messages to targets: HTTP POST to a webhook, XADD to a stream. What fails raises SendFailed.

A webhook gets `{"Records": […]}`, up to RECORDS_LIMIT of them in the order in which they happened, and has taken them
when it answers 2xx. With a secret the request is signed: `x-cairn-signature: sha256=HEX` is the HMAC-SHA256 of the
value of `x-cairn-timestamp` (seconds since 1970), a full stop and the body.

A stream gets one entry a record, with the one field `event`, whose value is such a document with that one record.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp

from gateway.index.connection import Connection
from gateway.index.errors import IndexFailure

RECORDS_LIMIT = 100
"""In one request."""
WEBHOOK_TIMEOUT_S = 10.0
STREAM_LENGTH = 100_000
"""Entries that a stream holds, roughly: what nobody has read by then is dropped at its beginning."""

_ANSWER_BYTES = 200

Message = Mapping[str, Any]


class SendFailed(Exception):
    """The target did not take it, or not for sure; the message says why."""


class Sender(Protocol):
    """The way to one target."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Hand over messages in their order: records of events, or a probe. Raises SendFailed."""

    async def aclose(self) -> None:
        """Give back what it holds."""


class WebhookSender:
    """POSTs to one URL."""

    def __init__(
        self, url: str, *, secret: bytes, clock: Callable[[], float], timeout_s: float = WEBHOOK_TIMEOUT_S
    ) -> None:
        """`clock` gives seconds since the epoch; an empty `secret` signs nothing."""
        self._url = url
        self._secret = secret
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, messages: Sequence[Message]) -> None:
        """Up to RECORDS_LIMIT records a request, each request after the one before was taken. Raises SendFailed."""
        for document in documents(messages, RECORDS_LIMIT):
            await self._post(json.dumps(document, separators=(",", ":")).encode())

    async def _post(self, body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        headers = {"content-type": "application/json", "user-agent": "Cairn"}
        if self._secret:
            timestamp = str(int(self._clock()))
            headers["x-cairn-timestamp"] = timestamp
            headers["x-cairn-signature"] = f"sha256={signature(self._secret, timestamp, body)}"
        try:
            # A redirect is not followed: the administrator has named the place, and nobody else may.
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                if not 200 <= answer.status < 300:
                    said = (await answer.content.read(_ANSWER_BYTES)).decode(errors="replace").strip()
                    raise SendFailed(f"it answers {answer.status} {said}".strip())
                # The rest is read, within bounds, so that the connection can be used again.
                await answer.content.read(_ANSWER_BYTES)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise SendFailed(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()


class StreamSender:
    """XADDs to one stream."""

    def __init__(self, connection: Connection, key: str, *, owns_connection: bool, length: int = STREAM_LENGTH) -> None:
        self._connection = connection
        self._key = key
        self._owns_connection = owns_connection
        self._length = length

    async def send(self, messages: Sequence[Message]) -> None:
        """One entry each. Raises SendFailed."""
        for document in documents(messages, 1):
            event = json.dumps(document, separators=(",", ":"))
            try:
                await self._connection.command("XADD", self._key, "MAXLEN", "~", self._length, "*", "event", event)
            except IndexFailure as error:
                raise SendFailed(str(error)) from error

    async def aclose(self) -> None:
        """Close the connection, unless it is the index's."""
        if self._owns_connection:
            await self._connection.close()


def documents(messages: Sequence[Message], limit: int) -> list[Message]:
    """Records of events put together, up to `limit` in a document; a probe stands alone. The order stays."""
    made: list[Message] = []
    records: list[Message] = []
    for message in messages:
        if "eventName" not in message:
            made += [{"Records": records}] if records else []
            made.append(message)
            records = []
            continue
        records.append(message)
        if len(records) == limit:
            made.append({"Records": records})
            records = []
    return [*made, {"Records": records}] if records else made


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 of the timestamp, a full stop and the body, in hexadecimal."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
