"""HTTP by hand: requests as bytes, so that they can be wrong, and answers read one after another.

Nothing here repairs, retries or follows anything.
"""

import contextlib
import hashlib
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, cast
from xml.etree import ElementTree

from tests.harness.cairn import CairnServer
from tests.interop.signer import Signer

TIMEOUT_S = 30.0
_NO_BODY_STATUSES = (204, 304)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The Code of an error document, "" where there is none."""
        return self.element("Code")

    def element(self, name: str) -> str:
        """The text of a child of the error document, "" where there is none."""
        if not self.body.startswith(b"<?xml"):
            return ""
        root = ElementTree.fromstring(self.body)
        return root.findtext(name) or ""


class Closed(Exception):
    """The server closed or reset the connection without an answer."""


@dataclass(slots=True)
class Connection:
    """One TCP connection to a server."""

    host: str
    port: int
    _socket: socket.socket = field(init=False)
    _reader: BinaryIO = field(init=False)

    def __post_init__(self) -> None:
        self._socket = socket.create_connection((self.host, self.port), TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = cast(BinaryIO, self._socket.makefile("rb"))

    def send(self, content: bytes) -> None:
        """Send all of it. Raises OSError when the server has closed."""
        self._socket.sendall(content)

    def end_sending(self) -> None:
        """Half-close: the server sees the end of input and may still answer."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish as a killed client does: no end of input but a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def answer(self, *, head: bool = False) -> Answer:
        """Read the next answer (`head`: to a HEAD request). Raises Closed, or TimeoutError after TIMEOUT_S."""
        line = self._line()
        status = int(line.split()[1])
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        body = b""
        if not head and status not in _NO_BODY_STATUSES and status >= 200:
            body = self._body(headers)
        return Answer(status=status, headers=headers, body=body)

    def is_closed_by_server(self) -> bool:
        """Wait until the server closes; False when it sends something more instead."""
        with contextlib.suppress(ConnectionError):
            return self._reader.read(1) == b""
        return True

    def _line(self) -> bytes:
        try:
            line = self._reader.readline(65536)
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not line.endswith(b"\r\n"):
            raise Closed(f"the answer ends after {line!r}")
        return line[:-2]

    def _body(self, headers: Mapping[str, str]) -> bytes:
        assert "transfer-encoding" not in headers, "S3 answers tell their length"
        if "content-length" not in headers:
            return self._reader.read()
        length = int(headers["content-length"])
        body = self._reader.read(length)
        if len(body) != length:
            raise Closed(f"{len(body)} of {length} bytes of the body came")
        return body


@contextlib.contextmanager
def connect(server: CairnServer) -> Iterator[Connection]:
    """A connection to a server without TLS, closed in the end."""
    connection = Connection("127.0.0.1", server.port)
    try:
        yield connection
    finally:
        connection.close()


def host(server: CairnServer) -> str:
    """The value of the Host header."""
    return f"127.0.0.1:{server.port}"


def signer(server: CairnServer) -> Signer:
    """Signs as the root user, now."""
    return Signer(access_key=server.access_key, secret_key=server.secret_key, region=server.region)


def sha256(content: bytes) -> str:
    """The payload hash of a body that is signed as a whole."""
    return hashlib.sha256(content).hexdigest()


def head_of(method: str, target: str, headers: Mapping[str, str], version: str = "HTTP/1.1") -> bytes:
    """The head of a request, with headers as they are given."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {target} {version}\r\n{lines}\r\n".encode("latin-1")


def signed_request(
    server: CairnServer,
    method: str,
    target: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    payload_hash: str | None = None,
) -> bytes:
    """A whole, valid request, with its Content-Length unless headers say otherwise."""
    given = {"Host": host(server), "Content-Length": str(len(body)), **(headers or {})}
    signed = signer(server).headers(method, target, given, payload_hash or sha256(body))
    return head_of(method, target, signed.headers) + body
