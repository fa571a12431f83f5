"""multipart/form-data as events (RFC 7578): the fields before the file, then the bytes of the file. Sans-IO.

The parser of boundaries is python-multipart's; here is what a POST of S3 makes of the parts. Everything after the
file is ignored, as S3 ignores it. Policies and signatures are in post_policy.py.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from s3compat.errors import S3Error

#: S3: everything before the file, names and values and the heads of the parts.
PRE_DATA_LIMIT_BYTES: Final = 20 * 1024
#: The last field that is read, and the one that may be large.
FILE_FIELD: Final = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field before the file, with its name as the form spells it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStart:
    """The file begins; `filename` is what the browser says of it, "" when it says nothing."""

    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileData:
    """Some bytes of the file."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class FileEnd:
    """The file is complete; what is fed from now on is ignored."""


Event = Field | FileStart | FileData | FileEnd


class _State(Enum):
    FIELDS = auto()
    FILE = auto()
    DONE = auto()


def boundary_of(content_type: str) -> bytes:
    """The boundary in a Content-Type header. Raises MalformedPOSTRequest."""
    _, options = parse_options_header(content_type.encode("latin-1"))
    boundary = options.get(b"boundary", b"")
    # RFC 2046 section 5.1.1: up to 70 characters, none of them a line end.
    if not 1 <= len(boundary) <= 70 or b"\r" in boundary or b"\n" in boundary:
        raise S3Error("MalformedPOSTRequest")
    return boundary


class FormDecoder:
    """Fed with the body of a form in any pieces, gives its events."""

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
            },
        )
        self._state = _State.FIELDS
        self._events: list[Event] = []
        self._pre_data_bytes = 0
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._name = ""
        self._value = bytearray()

    @property
    def done(self) -> bool:
        """Whether the file has been seen to its end."""
        return self._state is _State.DONE

    def feed(self, data: bytes) -> list[Event]:
        """The events in these bytes. Raises MalformedPOSTRequest, MaxPostPreDataLengthExceededError."""
        if self._state is not _State.DONE:
            try:
                self._parser.write(data)
            except FormParserError as malformed:
                # What comes after the file is not looked at: nor does it matter whether it is well-formed.
                if not self.done:
                    raise S3Error("MalformedPOSTRequest") from malformed
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """The body has ended. Raises InvalidArgument (no file came), MalformedPOSTRequest (the file has no end)."""
        if self._state is _State.FIELDS:
            raise S3Error(
                "InvalidArgument",
                "POST requires exactly one file upload per request.",
                ArgumentName=FILE_FIELD,
                ArgumentValue="0",
            )
        if self._state is _State.FILE:
            raise S3Error("MalformedPOSTRequest")

    def _begin_part(self) -> None:
        self._disposition = b""
        self._value.clear()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        if self._state is not _State.FIELDS:
            return
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise S3Error("MalformedPOSTRequest")
        self._name = _text(options[b"name"])
        if self._name.lower() == FILE_FIELD:
            self._state = _State.FILE
            self._events.append(FileStart(filename=_text(options.get(b"filename", b""))))

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._state is _State.FILE:
            self._events.append(FileData(payload=data[start:end]))
        elif self._state is _State.FIELDS:
            self._count(end - start)
            self._value += data[start:end]

    def _end_part(self) -> None:
        if self._state is _State.FILE:
            self._state = _State.DONE
            self._events.append(FileEnd())
        elif self._state is _State.FIELDS:
            self._events.append(Field(name=self._name, value=_text(bytes(self._value))))

    def _count(self, size_bytes: int) -> None:
        if self._state is _State.FIELDS:
            self._pre_data_bytes += size_bytes
            if self._pre_data_bytes > PRE_DATA_LIMIT_BYTES:
                raise S3Error("MaxPostPreDataLengthExceededError", MaxPostPreDataLengthBytes=str(PRE_DATA_LIMIT_BYTES))


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as malformed:
        raise S3Error("MalformedPOSTRequest") from malformed
