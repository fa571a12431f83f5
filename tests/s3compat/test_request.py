"""Addressing and decoding: what bucket and key a request names, and what it may not name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.request import Headers, QueryParams, S3Request
from tests.s3compat.oracle import build

DOMAINS = ("s3.example.com", "example.com")


@pytest.mark.parametrize(
    ("path", "bucket", "key"),
    [
        (b"/", None, None),
        (b"/b", "b", None),
        (b"/b/", "b", None),
        (b"/b/k", "b", "k"),
        (b"/b//", "b", "/"),
        (b"/b//k", "b", "/k"),
        (b"/b/a//b", "b", "a//b"),
        (b"/b/a/../b", "b", "a/../b"),
        (b"/b/./a/", "b", "./a/"),
        (b"/b/a%2Fb", "b", "a/b"),
        (b"/b/a%252Fb", "b", "a%2Fb"),
        (b"/b/a+b%2B%20c", "b", "a+b+ c"),
        (b"/b/%E2%98%83", "b", "☃"),
        ("/b/☃".encode(), "b", "☃"),
        (b"/b/%F0%9F%98%80", "b", "😀"),
        (b"/b/%0A%0D%01", "b", "\n\r\x01"),
        (b"/b/%25", "b", "%"),
        (b"/b%2Fk", "b/k", None),
        (b"/b/?", "b", "?"),
    ],
)
def test_path_addressing_decodes_once_and_keeps_everything(path: bytes, bucket: str | None, key: str | None) -> None:
    request = build("GET", path)
    assert (request.bucket, request.key, request.raw_path) == (bucket, key, path)


@pytest.mark.parametrize(
    ("host", "path", "bucket", "key"),
    [
        ("b.s3.example.com", b"/k", "b", "k"),
        ("b.s3.example.com:8000", b"/k", "b", "k"),
        ("B.S3.Example.COM", b"/", "b", None),
        ("b.s3.example.com.", b"/", "b", None),
        ("a.b.s3.example.com", b"//k", "a.b", "/k"),
        ("s3.example.com", b"/b/k", "b", "k"),
        ("example.com:80", b"/b/k", "b", "k"),
        ("b.example.com", b"/k", "b", "k"),
        ("localhost:8000", b"/b/k", "b", "k"),
        ("notexample.com", b"/b/k", "b", "k"),
        ("[::1]:8000", b"/b/k", "b", "k"),
        ("", b"/b/k", "b", "k"),
    ],
)
def test_virtual_host_addressing(host: str, path: bytes, bucket: str, key: str | None) -> None:
    request = build("GET", path, headers=[("Host", host)], domains=DOMAINS)
    assert (request.bucket, request.key) == (bucket, key)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (b"/b/%", "InvalidURI"),
        (b"/b/%2", "InvalidURI"),
        (b"/b/%zz", "InvalidURI"),
        (b"/b/%FF", "InvalidURI"),
        (b"/b/\xff", "InvalidURI"),
        (b"/b/%C0%AF", "InvalidURI"),
        (b"/b/%ED%A0%80", "InvalidURI"),
        (b"/%FF", "InvalidURI"),
        (b"b/k", "InvalidURI"),
        (b"", "InvalidURI"),
        (b"*", "InvalidURI"),
        (b"//k", "InvalidBucketName"),
        (b"//", "InvalidBucketName"),
        (b"/b/a%00b", "InvalidArgument"),
        (b"/b/" + b"k" * 1025, "KeyTooLongError"),
        (b"/b/" + b"%E2%98%83" * 342, "KeyTooLongError"),
    ],
)
def test_bad_paths_get_an_s3_error(path: bytes, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        build("GET", path)
    assert caught.value.code == code


def test_the_key_limit_counts_utf8_bytes() -> None:
    assert len(build("GET", b"/b/" + b"k" * 1024).key or "") == 1024
    assert len(build("GET", b"/b/" + "☃".encode() * 341).key or "") == 341


def test_query_strings_are_decoded_in_order_with_plus_as_space() -> None:
    query = QueryParams.parse(b"acl&prefix=a+b%2Bc&x=1&x=2&&=v&%C3%A9=%E2%98%83&e=a=b")
    assert query.items() == (
        *(("acl", ""), ("prefix", "a b+c"), ("x", "1"), ("x", "2")),
        *(("", "v"), ("é", "☃"), ("e", "a=b")),
    )
    assert (query.get("x"), query.get_all("x"), query.get("y")) == ("1", ["1", "2"], None)
    assert "acl" in query
    assert "ACL" not in query
    assert len(query) == 7


@pytest.mark.parametrize("raw", [b"a=%", b"a=%g0", b"%FF=1", b"a=%FF", b"\xff"])
def test_bad_query_strings_are_invalid_uris(raw: bytes) -> None:
    with pytest.raises(S3Error) as caught:
        QueryParams.parse(raw)
    assert caught.value.code == "InvalidURI"


def test_headers_are_a_case_insensitive_multimap() -> None:
    headers = Headers.from_raw(
        [(b"X-Amz-Meta-A", b" 1 "), (b"x-amz-meta-a", b"2"), (b"host", b"h"), (b"v", b"\xe9\xff")]
    )
    assert headers.get("x-AMZ-meta-a") == "1,2"
    assert headers.get_all("X-Amz-Meta-A") == ["1", "2"]
    assert headers.get("v") == "éÿ"
    assert headers.get("missing") is None
    assert "HOST" in headers
    assert 7 not in headers
    assert list(headers) == ["x-amz-meta-a", "host", "v"]
    assert headers.items()[0] == ("x-amz-meta-a", "1")
    assert len(headers) == 4


def test_reprs_hide_values() -> None:
    assert "secret" not in repr(Headers([("authorization", "secret")]))
    assert "secret" not in repr(QueryParams([("X-Amz-Signature", "secret")]))


def test_equal_headers_and_queries_are_equal() -> None:
    assert Headers([("A", "1")]) == Headers([("a", "1")])
    assert hash(Headers([("A", "1")])) == hash(Headers([("a", "1")]))
    assert QueryParams([("a", "1")]) == QueryParams.parse(b"a=1")
    assert hash(QueryParams([("a", "1")])) == hash(QueryParams.parse(b"a=1"))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(path=st.binary(max_size=40), query=st.binary(max_size=40), host=st.text(max_size=20))
def test_nothing_but_s3_errors_comes_of_any_bytes(path: bytes, query: bytes, host: str) -> None:
    try:
        request = S3Request.build("GET", b"/" + path, query, Headers([("host", host)]), True, DOMAINS)
    except S3Error:
        return
    assert request.key is None or "\0" not in request.key
