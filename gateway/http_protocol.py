"""The HTTP/1.1 connection of the gateway: uvicorn's httptools protocol with limits on what is not body.

uvicorn hands every header to the application however many there are, puts the trailers of a chunked body among them,
and waits for the end of a head for ever; each lets one client hold memory, time of the loop and connections. Nothing
of S3 is known here but the code of the error.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Request line and headers together. AWS allows 8 KiB of headers beside the URI; a key of 1,024 bytes is at most 3,072
#: bytes on the wire and a presigned query about 2 KiB.
REQUEST_HEAD_LIMIT_BYTES = 16 * 1024
#: Framing of a chunked body without a byte of body in between: chunk extensions and trailers, which are dropped.
FRAMING_LIMIT_BYTES = 16 * 1024
#: Body that is read before the application asks for it. uvicorn stops at 64 KiB, which is less than one read of the
#: socket brings, so that reading stopped and began with every block: a PUT of 256 MiB took 4 per cent longer.
READ_AHEAD_BYTES = 512 * 1024
#: A head that has begun must be whole within this time (slow-loris connections), in seconds.
REQUEST_HEAD_TIMEOUT_S = 30.0


def _last_answer(status: bytes, code: bytes, message: bytes) -> bytes:
    """An S3 error as bytes, after which the connection closes."""
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%b</Code><Message>%b</Message></Error>' % (
        code,
        message,
    )
    head = b"HTTP/1.1 %b\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_TOO_LARGE = _last_answer(
    b"431 Request Header Fields Too Large",
    b"RequestHeaderSectionTooLarge",
    b"Your request header and query parameters used to make the request exceed the maximum allowed size.",
)
_BAD_REQUEST = _last_answer(b"400 Bad Request", b"BadRequest", b"An error occurred when parsing the HTTP request.")


class GatewayHttpProtocol(HttpToolsProtocol):
    """One connection; refuses a head over ``REQUEST_HEAD_LIMIT_BYTES`` with 431 and closes, and so endless framing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._framing_bytes = 0
        self._head_open = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the clock for the first head: a client that never speaks is not kept."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock with the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count bytes while a head is open; the parser itself buffers a header of any length."""
        if self._head_open:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        if self._head_open and self._head_bytes > REQUEST_HEAD_LIMIT_BYTES:
            self._refuse_head()
        elif not self._head_open and self._framing_bytes > FRAMING_LIMIT_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A new request on this connection: its head is timed."""
        if self._head_timer is None:
            self._start_head_timer()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head; a trailer must not pass for one (RFC 9110 section 6.5.1)."""
        if self._head_open:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request on, unless what was read of head in one go with its body was too large."""
        self._head_open = False
        self._stop_head_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > REQUEST_HEAD_LIMIT_BYTES:
            self._refuse_head()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bytes behind a refused head belong to no request."""
        self._framing_bytes = 0
        if self.transport.is_closing():
            return
        super().on_body(body)
        # A pipelined request waits with reading stopped, and must: else they pile up behind one that stalls.
        if not self.pipeline and len(self.cycle.body) <= READ_AHEAD_BYTES:
            self.flow.resume_reading()

    def on_message_complete(self) -> None:
        """Count the next head from here; the end of a refused request is nobody's."""
        self._head_open = True
        self._head_bytes = self._framing_bytes = 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, unless the refusal would land within the answer to another request."""
        if not self._is_answering():
            self.transport.write(_BAD_REQUEST)
        self.transport.close()

    def _refuse_head(self) -> None:
        if self.transport.is_closing():
            return
        if not self._is_answering():
            self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _is_answering(self) -> bool:
        """Whether an answer has begun and not ended; what is written now would be taken for a part of its body."""
        return self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(REQUEST_HEAD_TIMEOUT_S, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._head_open and not self.transport.is_closing():
            self.transport.close()
