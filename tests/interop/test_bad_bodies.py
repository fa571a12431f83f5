"""Object bodies that are not what the head of the request says: nothing of them is ever an object."""

import base64
import zlib
from collections.abc import Callable

import pytest

from tests.interop.place import Place, delete_document
from tests.interop.signer import STREAMING, STREAMING_TRAILER, UNSIGNED, UNSIGNED_TRAILER, Signed, unsigned_chunked
from tests.interop.support import content_md5
from tests.interop.wire import Answer, Closed, connect, head_of, host, sha256, signed_request, signer

CONTENT = bytes(range(256)) * 512  # 128 KiB: two chunks of the size that SDKs send
CHUNKS = (CONTENT[: 64 * 1024], CONTENT[64 * 1024 :])
CRC32 = base64.b64encode(zlib.crc32(CONTENT).to_bytes(4, "big")).decode()
TRAILER = {"x-amz-checksum-crc32": CRC32}


def put_chunked(place: Place, kind: str, body: Callable[[Signed], bytes], **headers: str) -> Answer:
    """PUT what `body` makes of the signature, with the Content-Length that it turns out to need."""
    unsent, _ = place.streamed(kind, 0, len(CONTENT), **headers)
    signed, head = place.streamed(kind, len(body(unsent)), len(CONTENT), **headers)
    return place.send(head + body(signed))


def put_with_trailer(place: Place, kind: str, trailer: dict[str, str]) -> Answer:
    """PUT CONTENT in chunks, announcing a CRC32 behind them."""

    def body(signed: Signed) -> bytes:
        return unsigned_chunked(CHUNKS, trailer) if kind == UNSIGNED_TRAILER else signed.chunked(CHUNKS, trailer)

    return put_chunked(place, kind, body, x_amz_trailer="x-amz-checksum-crc32")


def changed(content: bytes, index: int) -> bytes:
    """The same with another hexadecimal digit at one place."""
    digit = b"1" if content[index : index + 1] == b"0" else b"0"
    return content[:index] + digit + content[index + 1 :]


def signature_at(body: bytes, number: int) -> int:
    """Where the signature of a chunk begins."""
    mark = -1
    for _ in range(number):
        mark = body.index(b"chunk-signature=", mark + 1)
    return mark + len(b"chunk-signature=")


#: One thing is wrong in each of these aws-chunked bodies.
BROKEN: dict[str, Callable[[Signed], bytes]] = {
    "first signature": lambda signed: changed(signed.chunked(CHUNKS), signature_at(signed.chunked(CHUNKS), 1)),
    "second signature": lambda signed: changed(signed.chunked(CHUNKS), signature_at(signed.chunked(CHUNKS), 2)),
    "last signature": lambda signed: changed(signed.chunked(CHUNKS), signature_at(signed.chunked(CHUNKS), 3)),
    "content": lambda signed: signed.chunked(CHUNKS).replace(CHUNKS[1], CHUNKS[1][::-1]),
    "no signatures": lambda signed: unsigned_chunked(CHUNKS, {}),
    "plain": lambda signed: CONTENT,
    "no last chunk": lambda signed: signed.chunked(CHUNKS)[: -len("0;chunk-signature=\r\n\r\n") - 64],
    "half": lambda signed: signed.chunked(CHUNKS)[: len(CONTENT) // 2],
    "size of nonsense": lambda signed: b"xyz" + signed.chunked(CHUNKS)[5:],
    "negative size": lambda signed: b"-1" + signed.chunked(CHUNKS)[5:],
    "huge size": lambda signed: b"f" * 15 + signed.chunked(CHUNKS)[5:],
    "endless size": lambda signed: b"0" * len(CONTENT),
    "endless extension": lambda signed: b"10000;chunk-signature=" + b"0" * len(CONTENT),
    "more than declared": lambda signed: signed.chunked((*CHUNKS, b"x")),
    "less than declared": lambda signed: signed.chunked(CHUNKS[:1]),
    "bytes behind the end": lambda signed: signed.chunked(CHUNKS) + b"surplus",
    "nothing": lambda signed: b"",
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_chunks_are_refused(place: Place, fault: str) -> None:
    answer = put_chunked(place, STREAMING, BROKEN[fault])
    assert answer.status in (400, 403), answer
    if fault.endswith(" signature") or fault == "content":
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    assert answer.code


def test_chunks_are_stored_where_all_is_right(place: Place) -> None:
    # The other tests of this file would pass against a server that refuses everything.
    assert put_chunked(place, STREAMING, lambda signed: signed.chunked(CHUNKS)).status == 200
    assert place.stored() == CONTENT
    for kind in (STREAMING_TRAILER, UNSIGNED_TRAILER):
        assert place.signed("DELETE", place.target).status == 204
        assert put_with_trailer(place, kind, TRAILER).status == 200, kind
        assert place.stored() == CONTENT
    assert place.signed("DELETE", place.target).status == 204


@pytest.mark.parametrize("kind", [STREAMING_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize(
    ("trailer", "code"),
    [
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "rubbish"}, "InvalidRequest"),
        ({"x-amz-checksum-sha1": CRC32}, "MalformedTrailerError"),
        ({}, "MalformedTrailerError"),
        ({"x-amz-meta-a": "b"}, "MalformedTrailerError"),
    ],
)
def test_trailer_that_does_not_match_is_refused(place: Place, kind: str, trailer: dict[str, str], code: str) -> None:
    answer = put_with_trailer(place, kind, trailer)
    assert (answer.status, answer.code) == (400, code)


def test_trailer_with_a_wrong_signature_is_refused(place: Place) -> None:
    def body(signed: Signed) -> bytes:
        whole = signed.chunked(CHUNKS, TRAILER)
        return changed(whole, whole.index(b"x-amz-trailer-signature:") + len(b"x-amz-trailer-signature:"))

    answer = put_chunked(place, STREAMING_TRAILER, body, x_amz_trailer="x-amz-checksum-crc32")
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_truncated_trailer_is_refused(place: Place) -> None:
    for cut in (1, 2, 3, 10, len(unsigned_chunked((), TRAILER)) - 1):
        answer = put_chunked(
            place,
            UNSIGNED_TRAILER,
            lambda signed, cut=cut: unsigned_chunked(CHUNKS, TRAILER)[:-cut],  # type: ignore[misc]
            x_amz_trailer="x-amz-checksum-crc32",
        )
        assert answer.status == 400, cut


def test_chunked_body_without_its_decoded_length_is_refused(place: Place) -> None:
    given = {"Host": host(place.server), "Content-Length": "10"}
    signed = signer(place.server).headers("PUT", place.target, given, STREAMING)
    answer = place.send(head_of("PUT", place.target, signed.headers) + bytes(10))
    assert (answer.status, answer.code) == (411, "MissingContentLength")


def test_wrong_content_md5_and_hash_are_refused(place: Place) -> None:
    wrong = place.signed("PUT", place.target, CONTENT, Content_MD5=content_md5(b"other"))
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    malformed = place.signed("PUT", place.target, CONTENT, Content_MD5="rubbish")
    assert (malformed.status, malformed.code) == (400, "InvalidDigest")
    request = signed_request(place.server, "PUT", place.target, CONTENT, payload_hash=sha256(b"other"))
    answer = place.send(request)
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert answer.element("ClientComputedContentSHA256") == sha256(b"other")
    assert answer.element("S3ComputedContentSHA256") == sha256(CONTENT)
    for rubbish in ("rubbish", "STREAMING-RUBBISH", "0" * 63, "é" * 32):
        answer = place.send(signed_request(place.server, "PUT", place.target, CONTENT, payload_hash=rubbish))
        assert 400 <= answer.status < 500, rubbish


def test_conflicting_checksums_are_refused(place: Place) -> None:
    both = place.signed(
        "PUT", place.target, CONTENT, x_amz_checksum_crc32=CRC32, x_amz_checksum_sha1="AAAAAAAAAAAAAAAAAAAAAAAAAAA="
    )
    assert (both.status, both.code) == (400, "InvalidRequest")
    unknown = place.signed("PUT", place.target, CONTENT, x_amz_checksum_crc99=CRC32)
    assert unknown.status == 400
    other = place.signed(
        "PUT", place.target, CONTENT, x_amz_checksum_crc32=CRC32, x_amz_sdk_checksum_algorithm="SHA256"
    )
    assert (other.status, other.code) == (400, "InvalidRequest")


def test_short_body_is_no_object(place: Place) -> None:
    request = signed_request(place.server, "PUT", place.target, CONTENT)
    with connect(place.server) as connection:
        connection.send(request[:-1])
        connection.end_sending()
        try:
            answer = connection.answer()
            assert (answer.status, answer.code) == (400, "IncompleteBody")
        except Closed:
            pass  # the client has left, and need not be answered
    with connect(place.server) as connection:
        connection.send(request[: -len(CONTENT) // 2])
        connection.reset()


def test_bytes_behind_the_declared_body_are_the_next_request(place: Place) -> None:
    document = delete_document("<Object><Key>k</Key></Object>")
    headers = {"Content-MD5": content_md5(document)}
    with connect(place.server) as connection:
        connection.send(signed_request(place.server, "POST", f"/{place.bucket}?delete", document, headers))
        connection.send(b"more than was declared\r\n\r\n")
        # What is no request may be seen before the one in front of it is answered.
        if connection.answer().status == 200:
            assert connection.answer().status == 400
        assert connection.is_closed_by_server()


def test_upload_beyond_five_gibibytes_is_refused_before_its_body(place: Place) -> None:
    headers = {"Content-Length": str(5 * 1024**3 + 1), "Expect": "100-continue"}
    answer = place.send(signed_request(place.server, "PUT", place.target, b"", headers, payload_hash=UNSIGNED))
    assert (answer.status, answer.code) == (400, "EntityTooLarge")
    assert answer.element("MaxSizeAllowed") == str(5 * 1024**3)


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "1 2", "99999999999999999999999"])
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
    # https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html: MissingContentLength, 411
    given = {"Host": host(place.server), "Transfer-Encoding": "chunked"}
    signed = signer(place.server).headers("PUT", place.target, given, UNSIGNED)
    answer = place.send(head_of("PUT", place.target, signed.headers) + b"1\r\nx\r\n0\r\n\r\n")
    assert (answer.status, answer.code) == (411, "MissingContentLength")
