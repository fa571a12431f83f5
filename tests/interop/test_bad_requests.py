"""Requests that are wrong before their body begins, and what becomes of the connection they came on."""

import contextlib
import socket
from typing import Any

import pytest

from tests.harness.cairn import CairnServer
from tests.interop.place import Place
from tests.interop.signer import EMPTY_SHA256, UNSIGNED, Signer
from tests.interop.support import MIB, refusal
from tests.interop.wire import Closed, connect, head_of, host, signed_request, signer

HEAD_LIMIT_BYTES = 16 * 1024


def unsigned(place: Place, method: str, target: str, **headers: str) -> bytes:
    return head_of(method, target, {"Host": host(place.server), "Content-Length": "0", **headers})


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Filler": "x" * HEAD_LIMIT_BYTES},
        {f"X-Filler-{number}": "x" * 100 for number in range(200)},
        {f"X-{number}": "" for number in range(5000)},
    ],
)
def test_head_over_sixteen_kibibytes_is_431(place: Place, headers: dict[str, str]) -> None:
    with connect(place.server) as connection:
        try:
            connection.send(unsigned(place, "PUT", place.target, **headers))
            answer = connection.answer()
        except (Closed, OSError):
            pytest.fail("the client saw a reset instead of the answer")
    assert answer.status == 431
    assert answer.code == "RequestHeaderSectionTooLarge"


def test_endless_head_is_431(place: Place) -> None:
    with connect(place.server) as connection:
        connection.send(b"GET /" + b"a" * (HEAD_LIMIT_BYTES + 1))
        assert connection.answer().status == 431
    with connect(place.server) as connection:
        connection.send(b"GET / HTTP/1.1\r\nX-Endless: " + b"a" * (HEAD_LIMIT_BYTES + 1))
        assert connection.answer().status == 431


def test_head_of_fifteen_kibibytes_is_read(place: Place) -> None:
    headers = {f"X-Filler-{number}": "x" * 900 for number in range(15)}
    request = signed_request(place.server, "GET", f"/{place.bucket}", headers=headers)
    assert place.send(request).status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/{bucket}/%00", 400),
        ("/{bucket}/a%00b", 400),
        ("/{bucket}/%FF", 400),
        ("/{bucket}/%C3%28", 400),
        ("/{bucket}/%ED%A0%80", 400),  # a surrogate
        ("/{bucket}/%F4%90%80%80", 400),  # beyond the last code point
        ("/{bucket}/%C0%80", 400),  # an overlong NUL
        ("/{bucket}/%zz", 400),
        ("/{bucket}/%", 400),
        ("/{bucket}/%1", 400),
        ("//k", 400),
        ("/%FF/k", 400),
        ("/Upper_Case/k", 400),
        ("/..%2F..%2Fetc/passwd", 400),
        ("/{bucket}/k?versionId=%FF", 400),
        ("/{bucket}/k?partNumber=x&uploadId=y", 400),
        ("/{bucket}/k?partNumber=99999999999999999999&uploadId=y", 400),
        ("/{bucket}/k?partNumber=-1&uploadId=y", 400),
    ],
)
def test_bad_address_is_refused(place: Place, path: str, status: int) -> None:
    target = path.format(bucket=place.bucket)
    for request in (unsigned(place, "PUT", target), signed_request(place.server, "PUT", target, b"")):
        answer = place.send(request)
        # Whether the signature or the address is looked at first is nobody's business.
        assert answer.status in (status, 403), answer
        assert answer.code
        assert answer.code != "InternalError"


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET",
        b"GET /",
        b"GET / HTTP/9.9",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 extra",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"G\x00T / HTTP/1.1",
        b"GET k HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS greeting
        b"PRI * HTTP/2.0",
        b"",
    ],
)
def test_bad_request_line_is_a_bad_request(place: Place, request_line: bytes) -> None:
    with connect(place.server) as connection:
        connection.send(request_line + b"\r\nHost: x\r\n\r\n")
        connection.end_sending()
        with contextlib.suppress(Closed):
            assert 400 <= connection.answer().status < 500


@pytest.mark.parametrize(
    "line",
    [
        b"No colon",
        b": no name",
        b"X-A : space before the colon",
        b"X-A: a\x00b",
        b"X-A: a\rb",
        b"X A: b",
        b" X-A: folded",
        b"x-amz-date: 20200101T000000Z\r\nx-amz-date: 20200101T000000Z",
        b"Host: a\r\nHost: b",
        b"Content-Length: 0\r\nContent-Length: 5",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ],
)
def test_bad_header_line_is_refused(place: Place, line: bytes) -> None:
    with connect(place.server) as connection:
        connection.send(b"PUT %b HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % (place.target.encode(), line))
        connection.end_sending()
        with contextlib.suppress(Closed):
            assert 400 <= connection.answer().status < 500


def test_unsigned_amz_header_on_a_signed_request_is_denied(place: Place) -> None:
    given = {"Host": host(place.server), "Content-Length": "0", "x-amz-meta-a": "b", "x-amz-acl": "private"}
    signed = signer(place.server).headers("PUT", place.target, given, EMPTY_SHA256, leave_out={"x-amz-meta-a"})
    answer = place.send(head_of("PUT", place.target, signed.headers))
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.element("HeadersNotSigned") == "x-amz-meta-a"
    later = signer(place.server).headers("PUT", place.target, {"Host": host(place.server)}, EMPTY_SHA256)
    added = {**later.headers, "x-amz-copy-source": "other/key"}
    answer = place.send(head_of("PUT", place.target, added))
    assert (answer.status, answer.code) == (403, "AccessDenied")


def test_request_that_does_not_sign_its_host_is_refused(place: Place) -> None:
    given = {"Host": host(place.server)}
    signed = signer(place.server).headers("PUT", place.target, given, EMPTY_SHA256, leave_out={"host"})
    answer = place.send(head_of("PUT", place.target, signed.headers))
    assert answer.status in (400, 403)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=a",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=\xff",
        "AWS4-HMAC-SHA256 Credential=\xff\xfe/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x",
        "AWS key:signature",
        "AWS key",
        "Basic cm9vdDpyb290",
        "Bearer x",
        "Negotiate " + "x" * 5000,
    ],
)
def test_malformed_authorization_is_refused(place: Place, authorization: str) -> None:
    for more in ({}, {"x-amz-date": "20200101T000000Z"}, {"x-amz-date": "rubbish"}):
        headers = {"Authorization": authorization, "x-amz-content-sha256": EMPTY_SHA256, **more}
        answer = place.send(unsigned(place, "PUT", place.target, **headers))
        assert answer.status in (400, 403), answer
        assert answer.code


@pytest.mark.parametrize(
    "operation",
    [
        "PUT /{bucket}?accelerate",
        "GET /{bucket}?metadataTable",
        "GET /{bucket}?session",
        "GET /{bucket}/k?torrent",
        "PUT /{bucket}/k?renameObject",
        "POST /{bucket}/k?select&select-type=2",
    ],
)
def test_operation_without_a_handler_is_not_implemented(place: Place, operation: str) -> None:
    method, target = operation.format(bucket=place.bucket).split()
    answer = place.signed(method, target)
    assert (answer.status, answer.code) == (501, "NotImplemented")


@pytest.mark.parametrize("operation", ["PATCH /{bucket}/k", "BREW /{bucket}/k", "TRACE /", "CONNECT /", "PUT /"])
def test_unknown_method_is_refused(place: Place, operation: str) -> None:
    method, target = operation.format(bucket=place.bucket).split()
    answer = place.send(signed_request(place.server, method, target))
    assert 400 <= answer.status < 500 or answer.status == 501


def test_refusal_with_expect_leaves_no_half_request_behind(place: Place) -> None:
    """The client waits for 100 Continue, gets the refusal instead, and never sends its body."""
    wrong = Signer(access_key=place.server.access_key, secret_key="wrong")
    given = {"Host": host(place.server), "Content-Length": str(MIB), "Expect": "100-continue"}
    signed = wrong.headers("PUT", place.target, given, UNSIGNED)
    with connect(place.server) as connection:
        connection.send(head_of("PUT", place.target, signed.headers))
        answer = connection.answer()
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
        if answer.headers.get("connection") == "close":
            assert connection.is_closed_by_server()
        else:
            connection.send(signed_request(place.server, "GET", f"/{place.bucket}"))
            assert connection.answer().status == 200


def test_connection_is_reused_after_expect_was_met(place: Place) -> None:
    with connect(place.server) as connection:
        for body in (b"x" * MIB, b"", b"y"):
            request = signed_request(place.server, "PUT", place.target, body, {"Expect": "100-continue"})
            head, _, _ = request.partition(b"\r\n\r\n")
            connection.send(head + b"\r\n\r\n")
            # Also before an empty body: botocore takes a final answer here for a refusal.
            assert connection.answer().status == 100
            connection.send(body)
            assert connection.answer().status == 200
            assert place.stored() == body
        connection.send(signed_request(place.server, "DELETE", place.target))
        assert connection.answer().status == 204


@pytest.mark.parametrize("size_bytes", [MIB, 12 * MIB, 40 * MIB])
def test_client_that_sends_regardless_sees_the_refusal(place: Place, size_bytes: int) -> None:
    """Without Expect: the answer must arrive, and not the reset of a connection that was closed too early."""
    wrong = Signer(access_key=place.server.access_key, secret_key="wrong")
    given = {"Host": host(place.server), "Content-Length": str(size_bytes)}
    signed = wrong.headers("PUT", place.target, given, UNSIGNED)
    with connect(place.server) as connection:
        connection.send(head_of("PUT", place.target, signed.headers))
        block, left = bytes(256 * 1024), size_bytes
        try:
            while left:
                connection.send(block[:left])
                left -= len(block[:left])
        except OSError:
            # The server may stop to listen to a large body, once its answer is on the way.
            assert size_bytes > 16 * MIB
        answer = connection.answer()
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_pipelined_requests_are_answered_in_order(place: Place) -> None:
    with connect(place.server) as connection:
        connection.send(
            signed_request(place.server, "PUT", place.target, b"piped")
            + signed_request(place.server, "GET", place.target)
            + unsigned(place, "GET", place.target)
            + signed_request(place.server, "HEAD", place.target)
            + signed_request(place.server, "DELETE", place.target)
            + signed_request(place.server, "GET", place.target)
        )
        assert connection.answer().status == 200
        assert connection.answer().body == b"piped"
        assert connection.answer().status == 403
        assert connection.answer(head=True).headers["content-length"] == "5"
        assert connection.answer().status == 204
        assert connection.answer().status == 404


def test_absolute_form_is_the_same_request(place: Place) -> None:
    # RFC 9112 section 3.2.2: a server must accept it, as proxies send it.
    request = signed_request(place.server, "GET", f"/{place.bucket}?list-type=2")
    answer = place.send(request.replace(b"GET /", b"GET " + place.server.endpoint.encode() + b"/", 1))
    assert answer.status == 200
    assert b"<ListBucketResult" in answer.body


def test_http_1_0_is_answered_and_closed(place: Place) -> None:
    signed = signer(place.server).headers("GET", f"/{place.bucket}", {"Host": host(place.server)}, EMPTY_SHA256)
    with connect(place.server) as connection:
        connection.send(head_of("GET", f"/{place.bucket}", signed.headers, "HTTP/1.0"))
        answer = connection.answer()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert connection.is_closed_by_server()
    assert place.send(b"GET / HTTP/1.0\r\n\r\n").status == 403


def test_head_of_what_is_not_there_has_no_body(place: Place) -> None:
    with connect(place.server) as connection:
        for _ in range(2):
            connection.send(signed_request(place.server, "HEAD", place.target))
            assert connection.answer(head=True).status == 404
        connection.send(signed_request(place.server, "GET", f"/{place.bucket}"))
        assert connection.answer().status == 200


def test_many_idle_connections_do_not_stop_the_server(place: Place, cairn: CairnServer) -> None:
    idle = [socket.create_connection(("127.0.0.1", cairn.port)) for _ in range(200)]
    try:
        for connection in idle[::2]:
            connection.sendall(b"PUT " + place.target.encode() + b" HTTP/1.1\r\nHost: ")
        assert place.signed("GET", f"/{place.bucket}").status == 200
    finally:
        for connection in idle:
            connection.close()


def test_reserved_addresses_are_no_buckets(place: Place, s3: Any) -> None:
    assert place.signed("GET", "/-/health/live").status == 200
    assert place.signed("GET", "/-/nothing/here").status in (403, 404)
    assert refusal(s3.create_bucket, Bucket="-").code in ("InvalidBucketName", "405", "404", "MethodNotAllowed")
