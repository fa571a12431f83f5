"""The aws-chunked decoder: AWS's examples, what SDKs send, broken bodies, and every way of cutting them up."""

import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.aws_chunked import ChunkedDecoder, Data, End, Event, Trailers
from s3compat.errors import S3Error
from s3compat.signing import SigningContext
from tests.s3compat.chunked_cases import (
    SCOPE,
    SEED,
    TRAILER,
    TRAILER_SEED,
    context,
    signed_chunks,
    trailer_lines,
    unsigned,
)
from tests.s3compat.signing_cases import ACCESS_KEY


@dataclass(frozen=True, kw_only=True)
class Case:
    """How to make a decoder, a body for it, and what must come out."""

    body: bytes
    payload: bytes
    signing: SigningContext | None = None
    trailers: dict[str, str] | None = None
    signed_trailer: bool = False

    def decoder(self) -> ChunkedDecoder:
        return ChunkedDecoder(
            self.signing,
            declared_length=len(self.payload),
            trailer_names=frozenset(self.trailers or ()),
            signed_trailer=self.signed_trailer,
        )


def with_signed_trailer(chunks: list[bytes], form: Callable[[bytes, bytes], bytes]) -> Case:
    body, previous = signed_chunks(TRAILER_SEED, chunks)
    lines, signature = trailer_lines(TRAILER_SEED, previous, TRAILER)
    return Case(
        body=body + form(lines, signature),
        payload=b"".join(chunks),
        signing=TRAILER_SEED,
        trailers=TRAILER,
        signed_trailer=True,
    )


AWS_CHUNKS = [b"a" * 65536, b"a" * 1024]
AWS_SIGNED = Case(
    body=b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
    + AWS_CHUNKS[0]
    + b"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
    + AWS_CHUNKS[1]
    + b"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
    payload=b"a" * 66560,
    signing=SEED,
)
AWS_TRAILER = Case(
    body=b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
    + AWS_CHUNKS[0]
    + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
    + AWS_CHUNKS[1]
    + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
    + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
    + b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
    payload=b"a" * 66560,
    signing=TRAILER_SEED,
    trailers=TRAILER,
    signed_trailer=True,
)
SMALL = [b"\r\n0\r\n" * 1640, b"tail"]
SMALL_PAYLOAD = b"".join(SMALL)
CRC_LINE = b"x-amz-checksum-crc32c:sOO8/Q=="

GOOD: dict[str, Case] = {
    "AWS example": AWS_SIGNED,
    "AWS example with trailer": AWS_TRAILER,
    "signed, empty": Case(body=signed_chunks(SEED, [])[0] + b"\r\n", payload=b"", signing=SEED),
    "signed, no final line end": Case(body=signed_chunks(SEED, SMALL)[0], payload=SMALL_PAYLOAD, signing=SEED),
    "signed trailer": with_signed_trailer(SMALL, lambda lines, sig: lines + b"\r\n" + sig + b"\r\n\r\n"),
    "signed trailer, one line end": with_signed_trailer(SMALL, lambda lines, sig: lines + b"\r\n" + sig + b"\r\n"),
    "signed trailer as minio-go ends it": with_signed_trailer(
        SMALL, lambda lines, sig: lines + b"\n\r\n" + sig + b"\r\n\r\n\r\n"
    ),
    "signed trailer after an empty line": with_signed_trailer(
        SMALL, lambda lines, sig: b"\r\n" + lines + b"\r\n" + sig + b"\r\n\r\n"
    ),
    "unsigned": Case(body=unsigned(SMALL, b"0\r\n" + CRC_LINE + b"\r\n\r\n"), payload=SMALL_PAYLOAD, trailers=TRAILER),
    "unsigned, empty": Case(body=b"0\r\n" + CRC_LINE + b"\r\n\r\n", payload=b"", trailers=TRAILER),
    "unsigned, upper case and spaces": Case(
        body=unsigned(SMALL, b"0\r\nX-Amz-Checksum-CRC32C: sOO8/Q== \r\n\r\n").replace(b"2008\r\n", b"2008 \r\n", 1),
        payload=SMALL_PAYLOAD,
        trailers=TRAILER,
    ),
    "unsigned, chunk extension": Case(
        body=b"4;name=value\r\nabcd\r\n0;x\r\n" + CRC_LINE + b"\r\n\r\n", payload=b"abcd", trailers=TRAILER
    ),
    "unsigned, leading zeros": Case(body=b"0004\r\nabcd\r\n0000\r\n\r\n", payload=b"abcd"),
    "unsigned, bare line feeds": Case(body=b"4\nabcd\n0\n" + CRC_LINE + b"\n\n", payload=b"abcd", trailers=TRAILER),
    "unsigned, no trailer announced": Case(body=unsigned(SMALL, b"0\r\n\r\n"), payload=SMALL_PAYLOAD),
}


def run(decoder: ChunkedDecoder, blocks: Iterable[bytes | memoryview]) -> tuple[bytes, list[Event]]:
    """The payload, and the events after it."""
    payload, rest = b"", list[Event]()
    for block in blocks:
        for event in decoder.feed(block):
            if isinstance(event, Data):
                assert not rest, "no data after the end"
                payload += event.payload
            else:
                rest.append(event)
    decoder.finish()
    return payload, rest


def outcome(case: Case, blocks: Iterable[bytes | memoryview]) -> tuple[str, bytes, list[Event]]:
    try:
        return "ok", *run(case.decoder(), blocks)
    except S3Error as error:
        return error.code, b"", []


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def failure(case: Case, blocks: Iterable[bytes] | None = None) -> S3Error:
    with pytest.raises(S3Error) as caught:
        run(case.decoder(), blocks if blocks is not None else [case.body])
    return caught.value


@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 20])
@pytest.mark.parametrize("name", GOOD)
def test_good_bodies_however_they_are_cut(name: str, size: int) -> None:
    case = GOOD[name]
    expected: list[Event] = [Trailers(case.trailers), End()] if case.trailers else [End()]
    assert run(case.decoder(), cut(case.body, size)) == (case.payload, expected)


@pytest.mark.parametrize("name", ["signed trailer", "unsigned"])
def test_every_single_cut(name: str) -> None:
    case = GOOD[name]
    expected = run(case.decoder(), [case.body])
    for position in [*range(40), *range(len(case.body) - 400, len(case.body))]:
        assert run(case.decoder(), [case.body[:position], b"", case.body[position:]]) == expected


def test_memoryviews_and_bytearrays_are_taken_and_not_kept() -> None:
    block = bytearray(GOOD["unsigned"].body)
    decoder = GOOD["unsigned"].decoder()
    events = decoder.feed(memoryview(block))
    block.clear()  # would raise BufferError if a view of it were held
    assert b"".join(event.payload for event in events if isinstance(event, Data)) == SMALL_PAYLOAD


@pytest.mark.parametrize("size", [0, 1, 8192, 3_000_000])
@pytest.mark.parametrize("chunk_size", [None, 8192])
def test_what_botocore_sends(size: int, chunk_size: int | None) -> None:
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    wrapper = AwsChunkedWrapper(io.BytesIO(payload), Crc32Checksum, "x-amz-checksum-crc32", chunk_size=chunk_size)
    body = wrapper.read()
    checksum = Crc32Checksum()
    checksum.update(payload)
    trailers = {"x-amz-checksum-crc32": checksum.b64digest()}
    case = Case(body=body, payload=payload, trailers=trailers)
    assert run(case.decoder(), cut(body, 65536)) == (payload, [Trailers(trailers), End()])


@pytest.mark.parametrize("name", GOOD)
def test_truncated_bodies_never_end(name: str) -> None:
    case = GOOD[name]
    end = len(case.body.rstrip(b"\r\n"))
    for position in [*range(0, end, max(1, end // 50)), *range(max(0, end - 60), end)]:
        assert failure(case, [case.body[:position]]).code in {"IncompleteBody", "MalformedTrailerError"}
        decoder = case.decoder()
        with contextlib.suppress(S3Error):
            assert not any(isinstance(event, End) for event in decoder.feed(case.body[:position]))


def test_truncation_is_an_incomplete_body() -> None:
    body = GOOD["unsigned"].body
    for lost in (1, 3, 10, 36, 38, 5000):
        assert failure(GOOD["unsigned"], [body[:-lost]]).code == "IncompleteBody"


BAD_SIGNATURES = {
    "first chunk": AWS_SIGNED.body.replace(b"ad80c730", b"bd80c730", 1),
    "second chunk": AWS_SIGNED.body.replace(b"0055627c", b"1055627c", 1),
    "last chunk": AWS_SIGNED.body.replace(b"b6c6ea8a", b"c6c6ea8a", 1),
    "payload": AWS_SIGNED.body.replace(b"aaaa", b"aaba", 1),
    "chunks swapped": signed_chunks(context("0" * 64), AWS_CHUNKS)[0] + b"\r\n",
}


@pytest.mark.parametrize("name", BAD_SIGNATURES)
def test_broken_chunk_signatures(name: str) -> None:
    case = Case(body=BAD_SIGNATURES[name], payload=b"a" * 66560, signing=SEED)
    error = failure(case)
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    assert error.elements["AWSAccessKeyId"] == ACCESS_KEY
    assert error.elements["StringToSign"].startswith(f"AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n{SCOPE}\n")
    assert failure(case, cut(case.body, 1)).elements == error.elements


def test_no_chunk_after_a_bad_one_is_released() -> None:
    case = Case(body=BAD_SIGNATURES["first chunk"], payload=b"a" * 66560, signing=SEED)
    decoder = case.decoder()
    seen = b""
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        for block in cut(case.body, 100):
            seen += b"".join(event.payload for event in decoder.feed(block) if isinstance(event, Data))
    assert len(seen) <= 65536
    for _ in range(2):
        with pytest.raises(S3Error, match="IncompleteBody"):
            decoder.feed(b"0\r\n\r\n")
        with pytest.raises(S3Error, match="IncompleteBody"):
            decoder.finish()


@pytest.mark.parametrize("change", [(b"sOO8/Q==", b"sOO8/A=="), (b"d81f82fc", b"e81f82fc"), (b"d81f82fc", b"")])
def test_broken_trailer_signature(change: tuple[bytes, bytes]) -> None:
    body = AWS_TRAILER.body.replace(*change)
    case = Case(body=body, payload=b"a" * 66560, signing=TRAILER_SEED, trailers=TRAILER, signed_trailer=True)
    error = failure(case)
    assert error.code == "SignatureDoesNotMatch"
    assert error.elements["StringToSign"].startswith("AWS4-HMAC-SHA256-TRAILER\n")


MALFORMED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "IncompleteBody"),
    "no size": (b"\r\nabcd\r\n0\r\n\r\n", "IncompleteBody"),
    "not hexadecimal": (b"xyz\r\nabcd", "IncompleteBody"),
    "negative": (b"-4\r\nabcd\r\n0\r\n\r\n", "IncompleteBody"),
    "prefixed": (b"0x4\r\nabcd\r\n0\r\n\r\n", "IncompleteBody"),
    "underscored": (b"0_4\r\nabcd\r\n0\r\n\r\n", "IncompleteBody"),
    "endless size": (b"0" * 10_000, "IncompleteBody"),
    "too many digits": (b"0" * 17 + b"4\r\nabcd", "IncompleteBody"),
    "endless extension": (b"4;" + b"x" * 10_000, "IncompleteBody"),
    "huge": (b"ffffffffffffffff\r\nabcd", "IncompleteBody"),
    "more than declared": (b"5\r\nabcde\r\n0\r\n" + CRC_LINE + b"\r\n\r\n", "IncompleteBody"),
    "less than declared": (b"3\r\nabc\r\n0\r\n" + CRC_LINE + b"\r\n\r\n", "IncompleteBody"),
    "no line end after data": (b"4\r\nabcd0\r\n\r\n", "IncompleteBody"),
    "data longer than its chunk": (b"4\r\nabcdef\r\n0\r\n\r\n", "IncompleteBody"),
    "no trailer": (b"4\r\nabcd\r\n0\r\n\r\n", "MalformedTrailerError"),
    "another trailer": (b"4\r\nabcd\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", "MalformedTrailerError"),
    "trailer twice": (b"4\r\nabcd\r\n0\r\n" + (CRC_LINE + b"\r\n") * 2 + b"\r\n", "MalformedTrailerError"),
    "trailer without a colon": (b"4\r\nabcd\r\n0\r\nx-amz-checksum-crc32c\r\n\r\n", "MalformedTrailerError"),
    "trailer with a control character": (
        b"4\r\nabcd\r\n0\r\nx-amz-checksum-crc32c:\x00\r\n\r\n",
        "MalformedTrailerError",
    ),
    "endless trailer": (b"4\r\nabcd\r\n0\r\nx-amz-checksum-crc32c:" + b"A" * 10_000, "MalformedTrailerError"),
    "unannounced signature": (
        b"4\r\nabcd\r\n0\r\n" + CRC_LINE + b"\r\nx-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n",
        "MalformedTrailerError",
    ),
    "bytes after the end": (b"4\r\nabcd\r\n0\r\n" + CRC_LINE + b"\r\n\r\nGET /", "MalformedTrailerError"),
    "line ends without end": (b"4\r\nabcd\r\n0\r\n" + CRC_LINE + b"\r\n" * 9, "MalformedTrailerError"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_unsigned_bodies(name: str) -> None:
    body, code = MALFORMED[name]
    case = Case(body=body, payload=b"abcd", trailers=TRAILER)
    assert failure(case).code == code
    assert failure(case, cut(body, 1)).code == code


@pytest.mark.parametrize(
    "body",
    [
        b"4\r\nabcd\r\n0\r\n\r\n",
        b"4;chunk-signature=\r\nabcd\r\n",
        b"4;chunk-signature=" + b"0" * 63 + b"\r\nabcd\r\n",
        b"4;chunk-signature=" + b"0" * 64 + b";x\r\nabcd\r\n",
        b"4;chunk-sig=" + b"0" * 64 + b"\r\nabcd\r\n",
    ],
)
def test_malformed_signed_chunk_headers(body: bytes) -> None:
    assert failure(Case(body=body, payload=b"abcd", signing=SEED)).code == "IncompleteBody"


def test_bytes_after_a_signed_body() -> None:
    body = GOOD["signed, empty"].body + b"x"
    assert failure(Case(body=body, payload=b"", signing=SEED)).code == "IncompleteBody"


def test_signed_trailer_without_its_signature() -> None:
    body, _ = signed_chunks(TRAILER_SEED, SMALL)
    for end in (b"\r\n", CRC_LINE + b"\r\n\r\n"):
        case = Case(body=body + end, payload=SMALL_PAYLOAD, signing=TRAILER_SEED, trailers=TRAILER, signed_trailer=True)
        assert failure(case).code == "MalformedTrailerError"


def test_signed_trailers_lacking_an_announced_one() -> None:
    body, previous = signed_chunks(TRAILER_SEED, SMALL)
    lines, signature = trailer_lines(TRAILER_SEED, previous, TRAILER)
    case = Case(
        body=body + lines + b"\r\n" + signature + b"\r\n\r\n",
        payload=SMALL_PAYLOAD,
        signing=TRAILER_SEED,
        trailers={**TRAILER, "x-amz-other": "1"},
        signed_trailer=True,
    )
    assert failure(case).code == "MalformedTrailerError"


@pytest.mark.parametrize("signed", [False, True])
def test_only_the_last_chunk_may_be_small(signed: bool) -> None:
    chunks = [b"a" * 8192, b"b" * 8191, b"c"]
    body = signed_chunks(SEED, chunks)[0] if signed else unsigned(chunks, b"0\r\n\r\n")
    error = failure(Case(body=body, payload=b"".join(chunks), signing=SEED if signed else None))
    assert error.code == "InvalidChunkSizeError"
    assert error.elements == {"Chunk": "2", "BadChunkSize": "8191"}


def test_signed_trailer_needs_a_signing_context() -> None:
    with pytest.raises(ValueError, match="signing context"):
        ChunkedDecoder(None, declared_length=0, trailer_names=frozenset(), signed_trailer=True)


PIECES = [
    b"4\r\nabcd\r\n", b"0\r\n", b"\r\n", b"\n", b"4", b";", b"chunk-signature=", b"0" * 64, CRC_LINE, b"abcd",
    b"x-amz-trailer-signature:", b"\xff", signed_chunks(SEED, [b"abcd"])[0], GOOD["signed, empty"].body, b"f" * 16,
]  # fmt: skip


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=8).map(b"".join),
    st.sampled_from([None, SEED]),
    st.booleans(),
    st.sampled_from([None, TRAILER]),
    st.integers(1, 7),
)
def test_any_bytes_give_the_same_however_cut_and_nothing_but_s3_errors(
    body: bytes, signing: SigningContext | None, trailer: bool, trailers: dict[str, str] | None, size: int
) -> None:
    case = Case(
        body=body,
        payload=b"abcd",
        signing=signing,
        trailers=trailers,
        signed_trailer=trailer and signing is not None,
    )
    whole = outcome(case, [body])
    assert outcome(case, cut(body, 1)) == whole
    assert outcome(case, cut(body, size)) == whole
    assert whole[0] != "ok" or whole[1] == b"abcd"


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.integers(8192, 9000), max_size=4),
    st.integers(0, 100),
    st.booleans(),
    st.lists(st.integers(1, 5000), min_size=1, max_size=10),
)
def test_what_is_encoded_is_decoded(sizes: list[int], last: int, signed: bool, cuts: list[int]) -> None:
    chunks = [bytes([index + 65]) * size for index, size in enumerate([*sizes, last]) if size]
    body = signed_chunks(SEED, chunks)[0] if signed else unsigned(chunks, b"0\r\n")
    case = Case(body=body + b"\r\n", payload=b"".join(chunks), signing=SEED if signed else None)
    blocks, position = [], 0
    for size in cuts:
        blocks.append(case.body[position : position + size])
        position += size
    assert run(case.decoder(), [*blocks, case.body[position:]]) == (case.payload, [End()])
