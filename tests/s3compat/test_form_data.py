"""multipart/form-data: in one piece and byte by byte, malformed and oversized."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.form_data import (
    PRE_DATA_LIMIT_BYTES,
    Event,
    Field,
    FileData,
    FileEnd,
    FileStart,
    FormDecoder,
    boundary_of,
)

BOUNDARY = b"xYzZY"
FORM = (
    b'--xYzZY\r\nContent-Disposition: form-data; name="key"\r\n\r\na/${filename}\r\n'
    b'--xYzZY\r\ncontent-disposition: form-data; name="Gr\xc3\xb6\xc3\x9fe"\r\nContent-Type: text/plain\r\n\r\n\r\n'
    b'--xYzZY\r\nContent-Disposition: form-data; name="File"; filename="C:\\\\x\\\\a b.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nab\r\n--xYz\r\nc\r\n"
    b'--xYzZY\r\nContent-Disposition: form-data; name="after"\r\n\r\nignored\r\n--xYzZY--\r\n'
)


def part(name: str, value: bytes) -> bytes:
    return b'--xYzZY\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value + b"\r\n"


FILE = part("file", b"x") + b"--xYzZY--\r\n"


def decode(body: bytes, step: int | None = None) -> list[Event]:
    """All events, the data of the file joined."""
    decoder = FormDecoder(BOUNDARY)
    events: list[Event] = []
    for start in range(0, len(body), step or max(1, len(body))):
        events += decoder.feed(body[start : start + (step or len(body))])
    decoder.finish()
    content = b"".join(event.payload for event in events if isinstance(event, FileData))
    return [event for event in events if not isinstance(event, FileData)] + [FileData(payload=content)]


def refusal(body: bytes) -> S3Error:
    with pytest.raises(S3Error) as caught:
        decode(body)
    return caught.value


@pytest.mark.parametrize("step", [None, 1, 2, 7, 64])
def test_fields_and_file_come_out_in_order_however_they_are_fed(step: int | None) -> None:
    assert decode(FORM, step) == [
        Field(name="key", value="a/${filename}"),
        Field(name="Größe", value=""),
        FileStart(filename="a b.txt"),
        FileEnd(),
        FileData(payload=b"ab\r\n--xYz\r\nc"),
    ]


def test_end_is_seen_before_the_last_boundary_and_the_rest_is_ignored() -> None:
    decoder = FormDecoder(BOUNDARY)
    decoder.feed(part("file", b"x") + b"--xYzZY--")
    assert decoder.done
    assert decoder.feed(b"\0 whatever" * 1000) == []
    decoder.finish()


def test_file_may_be_empty_and_may_be_the_only_field() -> None:
    assert decode(part("file", b"") + b"--xYzZY--") == [FileStart(filename=""), FileEnd(), FileData(payload=b"")]


@pytest.mark.parametrize(
    "body",
    [
        b"not a form",
        b"--other\r\n\r\n",
        b"--xYzZY\r\n\r\nno head\r\n" + FILE,
        b"--xYzZY\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + FILE,
        b'--xYzZY\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n' + FILE,
        b"--xYzZY\r\nno colon\r\n\r\nx\r\n" + FILE,
        part("a", b"\xff") + FILE,
        part("file", b"it has no end"),
        part("file", b"it has no end") + b"--xYzZ",
    ],
)
def test_malformed_forms_are_refused(body: bytes) -> None:
    assert refusal(body).code == "MalformedPOSTRequest"


@pytest.mark.parametrize("body", [b"", part("key", b"k") + b"--xYzZY--\r\n", part("key", b"k")])
def test_form_without_file_is_refused(body: bytes) -> None:
    error = refusal(body)
    assert (error.code, error.elements["ArgumentName"]) == ("InvalidArgument", "file")


def test_fields_before_the_file_have_a_limit_and_the_file_has_none() -> None:
    decode(part("a", b"v" * (PRE_DATA_LIMIT_BYTES - 200)) + part("file", b"x" * 100_000) + b"--xYzZY--")
    for body in (
        part("a", b"v" * PRE_DATA_LIMIT_BYTES) + FILE,
        part("a", b"") * (PRE_DATA_LIMIT_BYTES // 30) + FILE,
    ):
        assert refusal(body).code == "MaxPostPreDataLengthExceededError"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; charset=utf-8; boundary="a b"', b"a b"),
        ("Multipart/Form-Data; BOUNDARY=abc", b"abc"),
    ],
)
def test_boundary_is_read(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("content_type", ["", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 71])
def test_form_without_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(S3Error, match="MalformedPOSTRequest"):
        boundary_of(content_type)


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"--xYzZY", b"\r\n", b"--", FORM[:90], FILE])))
def test_any_bytes_are_a_form_or_refused(pieces: list[bytes]) -> None:
    decoder = FormDecoder(BOUNDARY)
    with contextlib.suppress(S3Error):
        for piece in pieces:
            decoder.feed(piece)
        decoder.finish()


@given(st.text(st.characters(max_codepoint=255)))
def test_any_content_type_has_a_boundary_or_is_refused(content_type: str) -> None:
    with contextlib.suppress(S3Error):
        assert boundary_of(content_type)
