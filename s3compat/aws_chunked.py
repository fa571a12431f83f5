"""Decoder of aws-chunked bodies: bytes in, events out, no IO.

    body     = *chunk last [trailers] CRLF
    chunk    = hex-size [";chunk-signature=" 64hex] CRLF data CRLF
    last     = "0" [";chunk-signature=" 64hex] CRLF
    trailers = *(name ":" value CRLF) ["x-amz-trailer-signature:" 64hex CRLF]

AWS's pages are "Transferring Payload in Multiple Chunks" and "Signature calculations for trailing headers".

Framing, sizes and signatures are checked here. What a trailer says (a checksum) is the caller's to check.
Payload is released before the signature of its chunk has come: nothing may be committed before End.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from s3compat.errors import S3Error
from s3compat.signing import (
    SigningContext,
    chunk_string_to_sign,
    same_signature,
    sign,
    signature_mismatch,
    trailer_string_to_sign,
)

MIN_CHUNK_BYTES: Final = 8192
"""AWS: every chunk but the last must be at least 8 KiB."""

_MAX_LINE_BYTES: Final = 512
"""A chunk header has about 100 bytes, the longest trailer (SHA-512 in base64) about 115."""

_MAX_EPILOGUE_BYTES: Final = 4
"""Line ends after the end, which clients send in different numbers."""

_CHUNK_HEADER: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[ \t]*(.*))?")
_CHUNK_SIGNATURE: Final = re.compile(rb"chunk-signature=([0-9A-Fa-f]{64})[ \t]*")
_TRAILER: Final = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):([\t -~]*)")

_TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"


@dataclass(frozen=True, slots=True)
class Data:
    """Some of the payload, in order."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Trailers:
    """The trailing headers, names in lower case, their signature (if there is one) verified and left out."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class End:
    """The body is complete: all sizes and signatures were right."""


Event = Data | Trailers | End


class _State(Enum):
    CHUNK_HEADER = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    TRAILERS = auto()
    EPILOGUE = auto()
    FAILED = auto()


class ChunkedDecoder:
    """Decodes one body. Not reusable; after an error it only repeats that the body is broken.

    `signing` is None for STREAMING-UNSIGNED-PAYLOAD-TRAILER, and `signed_trailer` is set for
    STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER. `declared_length` is x-amz-decoded-content-length in bytes,
    `trailer_names` what x-amz-trailer announces, in lower case.
    """

    __slots__ = (
        "_chunk_left",
        "_chunk_number",
        "_chunk_sha256",
        "_chunk_signature",
        "_chunk_size",
        "_declared_left",
        "_epilogue_bytes",
        "_line",
        "_previous_signature",
        "_signed_trailer",
        "_signing",
        "_state",
        "_trailer_lines",
        "_trailer_names",
        "_trailers",
    )

    def __init__(
        self,
        signing: SigningContext | None,
        *,
        declared_length: int,
        trailer_names: frozenset[str],
        signed_trailer: bool,
    ) -> None:
        if signed_trailer and signing is None:
            raise ValueError("a signed trailer needs a signing context")
        self._signing = signing
        self._signed_trailer = signed_trailer
        self._trailer_names = trailer_names
        self._declared_left = declared_length
        self._state = _State.CHUNK_HEADER
        # The unfinished line, and what is known of the chunk that is being read.
        self._line = bytearray()
        self._chunk_number = 0
        self._chunk_size = 0
        self._chunk_left = 0
        self._chunk_signature = ""
        self._chunk_sha256 = hashlib.sha256()
        self._previous_signature = signing.seed_signature if signing is not None else ""
        self._trailers: dict[str, str] = {}
        self._trailer_lines: list[str] = []
        self._epilogue_bytes = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Decode the next bytes. Hashes as it goes: call it in a worker thread with blocks up to 1 MiB.

        Raises S3Error SignatureDoesNotMatch, IncompleteBody (broken framing, or more bytes than declared),
        InvalidChunkSizeError, MalformedTrailerError.
        """
        events: list[Event] = []
        try:
            with memoryview(data) as view:
                position = 0
                while position < len(view):
                    position = self._step(view, position, events)
        except S3Error:
            self._state = _State.FAILED
            raise
        return events

    def finish(self) -> None:
        """To be called when there are no more bytes. Raises S3Error when End has not been reached."""
        if self._state is _State.TRAILERS and self._epilogue_bytes and not self._line:
            # The body is ended, but without the trailers that were announced.
            raise S3Error("MalformedTrailerError")
        if self._state is not _State.EPILOGUE:
            raise S3Error("IncompleteBody")

    def _step(self, view: memoryview, position: int, events: list[Event]) -> int:
        """Consume at least one byte from `position` on; the new position."""
        match self._state:
            case _State.CHUNK_DATA:
                return self._take_data(view, position, events)
            case _State.EPILOGUE:
                return self._take_epilogue(view, position)
            case _State.FAILED:
                raise S3Error("IncompleteBody")
            case _:
                return self._take_line(view, position, events)

    def _take_data(self, view: memoryview, position: int, events: list[Event]) -> int:
        end = min(len(view), position + self._chunk_left)
        with view[position:end] as part:
            if self._signing is not None:
                self._chunk_sha256.update(part)
            events.append(Data(bytes(part)))
        self._chunk_left -= end - position
        if self._chunk_left == 0:
            self._state = _State.CHUNK_END
        return end

    def _take_line(self, view: memoryview, position: int, events: list[Event]) -> int:
        room = _MAX_LINE_BYTES - len(self._line)
        head = bytes(view[position : position + room])
        newline = head.find(b"\n")
        if newline < 0:
            if len(head) == room:
                raise self._malformed()
            self._line += head
            return position + len(head)
        line = bytes(self._line) + head[:newline]
        self._line.clear()
        self._on_line(line.removesuffix(b"\r"), events)
        return position + newline + 1

    def _take_epilogue(self, view: memoryview, position: int) -> int:
        rest = bytes(view[position : position + _MAX_EPILOGUE_BYTES + 1])
        self._epilogue_bytes += len(rest)
        if self._epilogue_bytes > _MAX_EPILOGUE_BYTES or rest.strip(b"\r\n"):
            unsigned_or_trailer = self._signing is None or self._signed_trailer
            raise S3Error("MalformedTrailerError" if unsigned_or_trailer else "IncompleteBody")
        return position + len(rest)

    def _on_line(self, line: bytes, events: list[Event]) -> None:
        if self._state is _State.CHUNK_HEADER:
            self._on_chunk_header(line, events)
        elif self._state is _State.CHUNK_END:
            if line:
                raise self._malformed()
            self._check_chunk_signature()
            self._state = _State.CHUNK_HEADER
        else:
            self._on_trailer(line, events)

    def _on_chunk_header(self, line: bytes, events: list[Event]) -> None:
        header = _CHUNK_HEADER.fullmatch(line)
        if header is None:
            raise self._malformed()
        if self._signing is not None:
            signature = _CHUNK_SIGNATURE.fullmatch(header[2] or b"")
            if signature is None:
                raise self._malformed()
            self._chunk_signature = signature[1].decode("ascii")
        size = int(header[1], 16)
        if size and self._chunk_number and self._chunk_size < MIN_CHUNK_BYTES:
            raise S3Error("InvalidChunkSizeError", Chunk=str(self._chunk_number), BadChunkSize=str(self._chunk_size))
        if size > self._declared_left:
            raise S3Error("IncompleteBody")
        self._declared_left -= size
        self._chunk_number += 1
        self._chunk_size = self._chunk_left = size
        if size:
            self._state = _State.CHUNK_DATA
        else:
            self._on_last_chunk(events)

    def _on_last_chunk(self, events: list[Event]) -> None:
        self._check_chunk_signature()
        if self._declared_left:
            raise S3Error("IncompleteBody")
        if self._trailer_names or self._signed_trailer:
            self._state = _State.TRAILERS
        else:
            # Nothing but a line end may follow; some clients leave it out.
            self._end(events)

    def _on_trailer(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._on_blank_trailer(events)
            return
        trailer = _TRAILER.fullmatch(line)
        if trailer is None:
            raise S3Error("MalformedTrailerError")
        name = trailer[1].decode("ascii").lower()
        value = trailer[2].decode("ascii").strip()
        if self._signed_trailer and name == _TRAILER_SIGNATURE:
            self._check_trailer_signature(value)
            self._end(events)
            return
        if name not in self._trailer_names or name in self._trailers:
            raise S3Error("MalformedTrailerError")
        self._trailers[name] = value
        self._trailer_lines.append(f"{name}:{value}\n")

    def _on_blank_trailer(self, events: list[Event]) -> None:
        if self._signed_trailer or not self._trailers:
            # Some clients end the last chunk with an empty line as they end the others, and minio-go puts a
            # line end of its own before the signature.
            self._epilogue_bytes += 2
            if self._epilogue_bytes > _MAX_EPILOGUE_BYTES:
                raise S3Error("MalformedTrailerError")
            return
        self._end(events)

    def _end(self, events: list[Event]) -> None:
        if self._trailers.keys() != self._trailer_names:
            raise S3Error("MalformedTrailerError")
        if self._trailers:
            events.append(Trailers(self._trailers))
        events.append(End())
        self._epilogue_bytes = 0
        self._state = _State.EPILOGUE

    def _check_chunk_signature(self) -> None:
        if self._signing is None:
            return
        digest = self._chunk_sha256.hexdigest()
        self._chunk_sha256 = hashlib.sha256()
        to_sign = chunk_string_to_sign(self._signing, self._previous_signature, digest)
        self._advance_signature(self._signing, to_sign, self._chunk_signature)

    def _check_trailer_signature(self, given: str) -> None:
        if self._signing is None:
            raise S3Error("MalformedTrailerError")
        digest = hashlib.sha256("".join(self._trailer_lines).encode()).hexdigest()
        to_sign = trailer_string_to_sign(self._signing, self._previous_signature, digest)
        self._advance_signature(self._signing, to_sign, given)

    def _advance_signature(self, signing: SigningContext, to_sign: str, given: str) -> None:
        expected = sign(signing.signing_key, to_sign)
        if not same_signature(expected, given):
            raise signature_mismatch(access_key=signing.access_key, signature=given, to_sign=to_sign)
        self._previous_signature = expected

    def _malformed(self) -> S3Error:
        if self._state is _State.TRAILERS:
            return S3Error("MalformedTrailerError")
        return S3Error("IncompleteBody", "The request body terminated unexpectedly")
