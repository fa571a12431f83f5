"""Requests that no client would send: S3's own error for each, nothing stored, and the server goes on.

Every test ends by looking at three things: the status was not 500, the next request is answered, and the bucket
holds no object.
"""

import base64
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.cairn import CairnServer
from tests.interop import wire
from tests.interop.signer import (
    STREAMING,
    STREAMING_TRAILER,
    UNSIGNED,
    UNSIGNED_TRAILER,
    unsigned_chunked,
)
from tests.interop.support import content_md5
from tests.interop.wire import Answer, Closed, connect, head_of, host, signed_request, signer

KEY = "k"
CONTENT = bytes(range(256)) * 512  # 128 KiB: two chunks of the size that SDKs send
CHUNKS = (CONTENT[: 64 * 1024], CONTENT[64 * 1024 :])
CRC32 = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4, "big")).decode()


class Place:
    """An empty bucket, and what may be seen of it after a bad request."""

    def __init__(self, server: CairnServer, s3: Any, bucket: str) -> None:
        self.server = server
        self.bucket = bucket
        self._s3 = s3

    @property
    def target(self) -> str:
        """The path of the object that must not come to be."""
        return f"/{self.bucket}/{KEY}"

    def send(self, request: bytes, *, head: bool = False) -> Answer:
        """One request on a connection of its own."""
        with connect(self.server) as connection:
            connection.send(request)
            return connection.answer(head=head)

    def signed(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """A request that is signed and whole, whatever it says; `_` in header names stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(signed_request(self.server, method, target, body, named))

    def streamed_head(self, kind: str, body_size: int, **headers: str) -> tuple[Any, bytes]:
        """The head of an aws-chunked PUT of CONTENT, and what signs its chunks."""
        given = {
            "Host": host(self.server),
            "Content-Encoding": "aws-chunked",
            "Content-Length": str(body_size),
            "x-amz-decoded-content-length": str(len(CONTENT)),
        }
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        signed = signer(self.server).headers("PUT", self.target, given, kind)
        return signed, head_of("PUT", self.target, signed.headers)

    def check(self) -> None:
        """Nothing was stored and the server answers."""
        assert self._s3.list_objects_v2(Bucket=self.bucket)["KeyCount"] == 0
        assert "Uploads" not in self._s3.list_multipart_uploads(Bucket=self.bucket)


@pytest.fixture
def place(cairn: CairnServer, s3: Any, bucket: str) -> Iterator[Place]:
    """A bucket that must be as empty after the test as it was before."""
    found = Place(cairn, s3, bucket)
    yield found
    found.check()


def delete_document(inside: str) -> bytes:
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</Delete>'.encode()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"not xml",
        b"<Delete>",
        b"<Delete></Other>",
        b"<Other/>",
        b"<Delete/>",
        delete_document("<Object/>"),
        delete_document("<Object><Key>k</Key>"),
        delete_document("<Object><Key>\x01</Key></Object>"),
        delete_document("<Object><Key>&#1;</Key></Object>"),
        delete_document("<Object><Key>&unknown;</Key></Object>"),
        b'<?xml version="1.0" encoding="utf-7"?>' + delete_document("<Object><Key>k</Key></Object>"),
        b"\xff\xfe" + delete_document("<Object><Key>k</Key></Object>"),
        delete_document("<Object><Key>k</Key></Object>").replace(b"k<", b"\xff<"),
        delete_document("<Quiet>perhaps</Quiet><Object><Key>k</Key></Object>"),
    ],
)
def test_malformed_document_is_malformed_xml(place: Place, document: bytes) -> None:
    answer = place.signed("POST", f"/{place.bucket}?delete", document, Content_MD5=content_md5(document))
    assert (answer.status, answer.code) in ((400, "MalformedXML"), (400, "MissingRequestBodyError")), answer
    assert answer.element("RequestId") == answer.headers["x-amz-request-id"]


@pytest.mark.parametrize(
    "declaration",
    [
        b"<!DOCTYPE Delete>",
        b'<!DOCTYPE Delete [<!ENTITY a "k">]>',
        b'<!DOCTYPE Delete [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE Delete SYSTEM "http://127.0.0.1:1/x.dtd">',
        b'<!DOCTYPE Delete [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    ],
)
def test_document_type_declaration_is_refused(place: Place, declaration: bytes) -> None:
    document = declaration + delete_document("<Object><Key>k</Key></Object>")
    answer = place.signed("POST", f"/{place.bucket}?delete", document, Content_MD5=content_md5(document))
    assert (answer.status, answer.code) == (400, "MalformedXML")


def test_deeply_nested_document_is_refused(place: Place) -> None:
    document = b"<Delete>" + b"<Object>" * 100_000 + b"</Object>" * 100_000 + b"</Delete>"
    answer = place.signed("POST", f"/{place.bucket}?delete", document, Content_MD5=content_md5(document))
    assert (answer.status, answer.code) == (400, "MalformedXML")


@pytest.mark.parametrize("operation", ["?delete", "/k?uploadId=x"])
def test_eleven_megabytes_of_xml_are_refused(place: Place, operation: str) -> None:
    document = delete_document(" " * 11_000_000)
    answer = place.signed("POST", f"/{place.bucket}{operation}", document, Content_MD5=content_md5(document))
    assert answer.status == 400
    assert answer.code in ("MalformedXML", "EntityTooLarge", "MaxMessageLengthExceeded")


def test_delete_objects_without_any_digest_is_refused(place: Place) -> None:
    document = delete_document("<Object><Key>k</Key></Object>")
    answer = place.signed("POST", f"/{place.bucket}?delete", document)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_wrong_content_md5_and_hash_are_refused(place: Place) -> None:
    wrong = place.signed("PUT", place.target, CONTENT, Content_MD5=content_md5(b"other"))
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    malformed = place.signed("PUT", place.target, CONTENT, Content_MD5="rubbish")
    assert (malformed.status, malformed.code) == (400, "InvalidDigest")
    request = signed_request(place.server, "PUT", place.target, CONTENT, payload_hash=wire.sha256(b"other"))
    answer = place.send(request)
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert answer.element("ClientComputedContentSHA256") == wire.sha256(b"other")
    assert answer.element("S3ComputedContentSHA256") == wire.sha256(CONTENT)
    for rubbish in ("rubbish", "STREAMING-RUBBISH", "0" * 63, ""):
        answer = place.send(signed_request(place.server, "PUT", place.target, CONTENT, payload_hash=rubbish))
        assert answer.status == 400, rubbish


def test_short_body_is_no_object(place: Place) -> None:
    request = signed_request(place.server, "PUT", place.target, CONTENT)
    with connect(place.server) as connection:
        connection.send(request[:-1])
        connection.end_sending()
        try:
            answer = connection.answer()
            assert (answer.status, answer.code) == (400, "IncompleteBody")
        except Closed:
            pass  # nobody is left to be answered
    with connect(place.server) as connection:
        connection.send(request[: -len(CONTENT) // 2])
        connection.reset()


def test_bytes_behind_the_declared_body_are_the_next_request(place: Place) -> None:
    document = delete_document("<Object><Key>k</Key></Object>")
    headers = {"Content-MD5": content_md5(document)}
    with connect(place.server) as connection:
        connection.send(signed_request(place.server, "POST", f"/{place.bucket}?delete", document, headers))
        connection.send(b"more than was declared\r\n\r\n")
        assert connection.answer().status == 200
        assert connection.answer().status == 400
        assert connection.is_closed_by_server()


def test_upload_beyond_five_gibibytes_is_refused_before_its_body(place: Place) -> None:
    headers = {"Content-Length": str(5 * 1024**3 + 1)}
    request = signed_request(place.server, "PUT", place.target, b"", headers, payload_hash=UNSIGNED)
    with connect(place.server) as connection:
        connection.send(request)
        connection.end_sending()
        answer = connection.answer()
    assert (answer.status, answer.code) == (400, "EntityTooLarge")


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999999999999999999999"])
def test_content_length_that_is_none_is_a_bad_request(place: Place, length: str) -> None:
    request = signed_request(place.server, "PUT", place.target, b"", {"Content-Length": length})
    with connect(place.server) as connection:
        connection.send(request)
        connection.end_sending()
        assert connection.answer().status == 400


def test_two_ways_to_tell_a_length_are_a_bad_request(place: Place) -> None:
    # RFC 9112 section 6.3: what a proxy would read differently must not be guessed.
    headers = {"Transfer-Encoding": "chunked", "Content-Length": "5"}
    answer = place.send(signed_request(place.server, "PUT", place.target, b"0\r\n\r\n", headers))
    assert answer.status == 400


def test_body_without_a_length_is_refused(place: Place) -> None:
    signed = signer(place.server).headers(
        "PUT", place.target, {"Host": host(place.server), "Transfer-Encoding": "chunked"}, UNSIGNED
    )
    answer = place.send(head_of("PUT", place.target, signed.headers) + b"1\r\nx\r\n0\r\n\r\n")
    assert (answer.status, answer.code) == (411, "MissingContentLength")


def test_signed_chunks_are_stored_where_all_is_right(place: Place, s3: Any) -> None:
    signed, _ = place.streamed_head(STREAMING, 0)
    size = len(signed.chunked(CHUNKS))
    signed, head = place.streamed_head(STREAMING, size)
    assert place.send(head + signed.chunked(CHUNKS)).status == 200
    assert s3.get_object(Bucket=place.bucket, Key=KEY)["Body"].read() == CONTENT
    assert "ContentEncoding" not in s3.head_object(Bucket=place.bucket, Key=KEY)
    for kind in (STREAMING_TRAILER, UNSIGNED_TRAILER):
        for trailer, status in ((CRC32, 200), ("AAAAAA==", 400)):
            answer = send_with_trailer(place, kind, {"x-amz-checksum-crc32": trailer})
            assert answer.status == status, (kind, answer)
    s3.delete_object(Bucket=place.bucket, Key=KEY)


def send_with_trailer(place: Place, kind: str, trailer: dict[str, str], *, cut: int = 0) -> Answer:
    """PUT CONTENT with a trailing checksum announced; `cut` bytes are missing at the end."""

    def body_for(signed: Any) -> bytes:
        whole: bytes = (
            unsigned_chunked(CHUNKS, trailer) if kind == UNSIGNED_TRAILER else signed.chunked(CHUNKS, trailer)
        )
        return whole[: len(whole) - cut]

    signed, _ = place.streamed_head(kind, 0, x_amz_trailer="x-amz-checksum-crc32")
    size = len(body_for(signed))
    signed, head = place.streamed_head(kind, size, x_amz_trailer="x-amz-checksum-crc32")
    return place.send(head + body_for(signed))


@pytest.mark.parametrize("kind", [STREAMING_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize(
    ("trailer", "codes"),
    [
        ({"x-amz-checksum-crc32": "AAAAAA=="}, {"BadDigest"}),
        ({"x-amz-checksum-crc32": "rubbish"}, {"InvalidRequest", "MalformedTrailerError"}),
        ({"x-amz-checksum-sha1": CRC32}, {"MalformedTrailerError", "InvalidRequest"}),
        ({}, {"MalformedTrailerError", "InvalidRequest"}),
    ],
)
def test_trailer_that_does_not_match_is_refused(
    place: Place, kind: str, trailer: dict[str, str], codes: set[str]
) -> None:
    answer = send_with_trailer(place, kind, trailer)
    assert answer.status == 400
    assert answer.code in codes


def test_trailer_with_a_wrong_signature_is_refused(place: Place) -> None:
    trailer = {"x-amz-checksum-crc32": CRC32}
    signed, _ = place.streamed_head(STREAMING_TRAILER, 0, x_amz_trailer="x-amz-checksum-crc32")
    size = len(signed.chunked(CHUNKS, trailer))
    signed, head = place.streamed_head(STREAMING_TRAILER, size, x_amz_trailer="x-amz-checksum-crc32")
    whole = signed.chunked(CHUNKS, trailer)
    mark = whole.index(b"x-amz-trailer-signature:") + len(b"x-amz-trailer-signature:")
    broken = whole[:mark] + bytes([whole[mark] ^ 1]) + whole[mark + 1 :]
    answer = place.send(head + broken)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def broken_bodies(signed: Any) -> dict[str, bytes]:
    """An aws-chunked body in which one thing is wrong, by name."""
    whole: bytes = signed.chunked(CHUNKS)
    mark = whole.index(b"chunk-signature=") + len(b"chunk-signature=")
    return {
        "first signature": whole[:mark] + (b"0" if whole[mark] != ord("0") else b"1") + whole[mark + 1 :],
        "a changed byte": whole.replace(CHUNKS[1][:64], bytes(64), 1),
        "no signatures": b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*CHUNKS, b"")),
        "swapped chunks": signed.chunked(reversed(CHUNKS))[: len(whole)].replace(b"\r\n", b"\r\n", 1),
        "no last chunk": whole[: whole.rindex(b"0;chunk-signature=")],
        "half": whole[: len(whole) // 2],
        "size of nonsense": b"xyz" + whole,
        "negative size": b"-1" + whole[5:],
        "huge size": b"f" * 15 + whole[5:],
        "endless size line": b"0" * len(whole),
        "no line end": whole.replace(b"\r\n", b"\n"),
        "more than declared": signed.chunked((*CHUNKS, b"x")),
        "less than declared": signed.chunked(CHUNKS[:1]),
        "bytes behind the end": whole + b"surplus",
        "nothing": b"",
    }


@pytest.mark.parametrize("fault", list(broken_bodies(signed=signer_of_nothing)) if (signer_of_nothing := None) else [
    "first signature", "a changed byte", "no signatures", "no last chunk", "half", "size of nonsense",
    "negative size", "huge size", "endless size line", "no line end", "more than declared", "less than declared",
    "bytes behind the end", "nothing",
])
def test_broken_chunks_are_refused(place: Place, fault: str) -> None:
    signed, _ = place.streamed_head(STREAMING, 0)
    size = len(broken_bodies(signed)[fault])
    signed, head = place.streamed_head(STREAMING, size)
    answer = place.send(head + broken_bodies(signed)[fault])
    assert answer.status in (400, 403), answer
    assert answer.code
