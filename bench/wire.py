"""A client that costs next to nothing: one blocking socket, `sendall` and `recv_into`, no parsing beyond the head.

Client and server share the machine's cores, so what the client burns is taken from the server.
"""

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_RECEIVE_BUFFER_BYTES = 1024 * 1024
_HEAD_LIMIT_BYTES = 64 * 1024
_TIMEOUT_S = 120.0


class UnexpectedAnswer(Exception):
    """A server answered otherwise than the measurement needs; the message holds the start of its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; the body itself is thrown away."""

    status: int
    body_size_bytes: int


def parse_head(head: bytes) -> Answer:
    """Status and Content-Length of an answer's head; ValueError when it is not HTTP."""
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return Answer(status=int(head[9:12]), body_size_bytes=length)


class Connection:
    """One kept-alive connection."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(_RECEIVE_BUFFER_BYTES))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def exchange(self, head: bytes, body: bytes = b"", *, expect: int = 200) -> Answer:
        """Send a request and read the whole answer. Raises UnexpectedAnswer, OSError."""
        self._socket.sendall(head)
        if body:
            self._socket.sendall(body)
        received = 0
        while (end := bytes(self._buffer[:received]).find(b"\r\n\r\n")) < 0:
            count = self._socket.recv_into(self._buffer[received:_HEAD_LIMIT_BYTES])
            if not count:
                raise UnexpectedAnswer(f"the connection ended: {bytes(self._buffer[:received])!r}")
            received += count
        answer = parse_head(bytes(self._buffer[:end]))
        if answer.status != expect:
            raise UnexpectedAnswer(bytes(self._buffer[: min(received, 2000)]).decode(errors="replace"))
        left = answer.body_size_bytes - (received - end - 4)
        while left > 0:
            count = self._socket.recv_into(self._buffer, min(left, _RECEIVE_BUFFER_BYTES))
            if not count:
                raise UnexpectedAnswer(f"the connection ended {left} bytes before the end of the body")
            left -= count
        return answer
