"""Presigned URLs: AWS's example, botocore's signer, expiry, and every refusal."""

import contextlib
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.presigned import is_presigned, presign_url
from s3compat.request import S3Request
from s3compat.sigv4 import SignatureClaim, parse_claim, verify
from tests.s3compat.signing_cases import (
    ACCESS_KEY,
    EMPTY_SHA256,
    NOW,
    ODD_KEYS,
    REGION,
    SECRET_KEY,
    botocore_sign,
    build,
    key_url,
)

AWS_EXAMPLE = (
    "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    f"&X-Amz-Credential={ACCESS_KEY}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def presign(url: str, *, expires_s: int = 3600, headers: list[tuple[str, str]] | None = None) -> str:
    return presign_url(
        method="GET",
        url=url,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        region=REGION,
        timestamp=NOW,
        expires_s=expires_s,
        headers=headers or [],
    )


def authenticate(request: S3Request, *, now: datetime = NOW, secret_key: str = SECRET_KEY) -> SignatureClaim:
    claim = parse_claim(request, now, region=REGION)
    assert claim is not None
    assert claim.presigned
    verify(claim, request, secret_key)
    return claim


def changed(name: str, value: str | None, url: str = AWS_EXAMPLE) -> str:
    """The URL with one query parameter set to another value, or (None) without it."""
    parts = urlsplit(url)
    params = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != name]
    if value is not None:
        params.append((name, value))
    return parts._replace(query=urlencode(params, quote_via=quote)).geturl()


def refusal(url: str, *, now: datetime = NOW, headers: list[tuple[str, str]] | None = None) -> S3Error:
    with pytest.raises(S3Error) as caught:
        parse_claim(build("GET", url, headers or []), now, region=REGION)
    return caught.value


def test_aws_documented_example() -> None:
    claim = authenticate(build("GET", AWS_EXAMPLE, []))
    assert (claim.payload_hash, claim.signed_headers) == ("UNSIGNED-PAYLOAD", ("host",))
    assert presign("https://examplebucket.s3.amazonaws.com/test.txt", expires_s=86400) == AWS_EXAMPLE


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("query", ["", "versionId=a%2Bb&response-content-type=text%2Fplain%20a"])
def test_botocore_presigned_urls(monkeypatch: pytest.MonkeyPatch, key: str, query: str) -> None:
    signed = botocore_sign(monkeypatch, "GET", key_url(key, query), [], signer="S3SigV4QueryAuth", expires=600)
    request = build("GET", signed.url, [])
    assert request.key == key
    authenticate(request)
    with pytest.raises(S3Error) as caught:
        authenticate(build("GET", changed("response-content-type", "x", signed.url), []))
    assert caught.value.code == "SignatureDoesNotMatch"


def test_parameters_in_any_order_verify() -> None:
    parts = urlsplit(AWS_EXAMPLE)
    shuffled = parts._replace(query="&".join(reversed(parts.query.split("&")))).geturl()
    authenticate(build("GET", shuffled, []))


def test_signed_headers_must_be_sent_as_signed() -> None:
    url = presign(key_url("key"), headers=[("x-amz-acl", "private"), ("Content-Type", "text/plain")])
    authenticate(build("GET", url, [("x-amz-acl", "private"), ("content-type", "text/plain")]))
    for sent in ([("x-amz-acl", "public-read"), ("content-type", "text/plain")], []):
        with pytest.raises(S3Error) as caught:
            authenticate(build("GET", url, sent))
        assert caught.value.code == "SignatureDoesNotMatch"


def test_amz_headers_beyond_the_signed_ones_are_refused() -> None:
    error = refusal(AWS_EXAMPLE, headers=[("x-amz-copy-source", "/a/b")])
    assert (error.code, error.elements) == ("AccessDenied", {"HeadersNotSigned": "x-amz-copy-source"})
    authenticate(build("GET", AWS_EXAMPLE, [("Content-Type", "text/plain"), ("Cookie", "a")]))


def test_host_must_be_signed() -> None:
    error = refusal(changed("X-Amz-SignedHeaders", "range"))
    assert error.elements == {"HeadersNotSigned": "host"}


@pytest.mark.parametrize("where", ["query", "header"])
def test_payload_hash_that_is_signed_is_the_claim(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr("botocore.auth.S3SigV4QueryAuth.payload", lambda *_: EMPTY_SHA256)
    headers = [("X-Amz-Content-SHA256", EMPTY_SHA256)] if where == "header" else []
    query = f"X-Amz-Content-Sha256={EMPTY_SHA256}" if where == "query" else ""
    signed = botocore_sign(monkeypatch, "PUT", key_url("key", query), headers, signer="S3SigV4QueryAuth")
    claim = authenticate(build("PUT", signed.url, headers))
    assert claim.payload_hash == EMPTY_SHA256


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Signature", "Date", "SignedHeaders", "Expires"])
@pytest.mark.parametrize("value", [None, ""])
def test_every_parameter_is_required(name: str, value: str | None) -> None:
    error = refusal(changed(f"X-Amz-{name}", value))
    assert error.code == "AuthorizationQueryParametersError"
    assert error.message.startswith("Query-string authentication version 4 requires the X-Amz-Algorithm")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("Algorithm", "AWS4-HMAC-SHA512", "X-Amz-Algorithm only supports"),
        ("Date", "Fri, 24 May 2013 00:00:00 GMT", "ISO8601 Long Format"),
        ("Date", "20130524T000099Z", "ISO8601 Long Format"),
        ("Credential", "AKID", "the Credential is mal-formed"),
        ("Credential", "A/20130524/mars/s3/aws4_request", "'mars' is wrong; expecting 'us-east-1'"),
        ("Credential", "A/20130524/us-east-1/sqs/aws4_request", 'incorrect service "sqs"'),
        ("Credential", "A/20130524/us-east-1/s3/aws4", 'incorrect terminal "aws4"'),
        ("Credential", "A/20130525/us-east-1/s3/aws4_request", 'Invalid credential date "20130525"'),
        ("Credential", "A/day/us-east-1/s3/aws4_request", 'incorrect date format "day"'),
        ("SignedHeaders", "host;\u00e9", "X-Amz-SignedHeaders is malformed"),
        ("SignedHeaders", "host;\n", "X-Amz-SignedHeaders is malformed"),
        ("Expires", "soon", "X-Amz-Expires should be a number"),
        ("Expires", "1e3", "X-Amz-Expires should be a number"),
        ("Expires", "9" * 5000, "X-Amz-Expires should be a number"),
        ("Expires", "-7", "X-Amz-Expires must be non-negative"),
        ("Expires", "604801", "X-Amz-Expires must be less than a week"),
    ],
)
def test_malformed_parameters(name: str, value: str, text: str) -> None:
    error = refusal(changed(f"X-Amz-{name}", value))
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)
    assert text in error.message


def test_expired_url() -> None:
    authenticate(build("GET", AWS_EXAMPLE, []), now=NOW + timedelta(seconds=86399))
    error = refusal(AWS_EXAMPLE, now=NOW + timedelta(seconds=86400))
    assert (error.code, error.status, error.message) == ("AccessDenied", 403, "Request has expired")
    assert error.elements == {
        "X-Amz-Expires": "86400",
        "Expires": "2013-05-25T00:00:00Z",
        "ServerTime": "2013-05-25T00:00:00Z",
    }


def test_url_that_lives_no_time_is_expired() -> None:
    assert refusal(presign(key_url("key"), expires_s=0)).message == "Request has expired"


def test_longest_life() -> None:
    url = presign(key_url("key"), expires_s=604800)
    authenticate(build("GET", url, []), now=NOW + timedelta(days=6, hours=23))


def test_url_of_the_future() -> None:
    authenticate(build("GET", AWS_EXAMPLE, []), now=NOW - timedelta(minutes=15))
    error = refusal(AWS_EXAMPLE, now=NOW - timedelta(minutes=15, seconds=1))
    assert (error.code, error.message) == ("AccessDenied", "Request is not valid yet")


def test_url_from_the_end_of_time() -> None:
    url = changed("X-Amz-Date", "99991231T235959Z")
    url = changed("X-Amz-Credential", "A/99991231/us-east-1/s3/aws4_request", url)
    assert refusal(url).message == "Request is not valid yet"
    now = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert parse_claim(build("GET", url, []), now) is not None
    # Dated at the year 1: expired long ago.
    url = changed("X-Amz-Credential", "A/00010101/us-east-1/s3/aws4_request", changed("X-Amz-Date", "00010101T000000Z"))
    assert refusal(url).message == "Request has expired"


def test_wrong_secret_shows_the_canonical_request_without_the_signature() -> None:
    with pytest.raises(S3Error) as caught:
        authenticate(build("GET", AWS_EXAMPLE, []), secret_key="wrong")
    assert caught.value.code == "SignatureDoesNotMatch"
    canonical = caught.value.elements["CanonicalRequest"]
    assert canonical.startswith("GET\n/test.txt\nX-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=")
    assert "X-Amz-Signature" not in canonical
    assert canonical.endswith("\nhost\nUNSIGNED-PAYLOAD")


def test_is_presigned() -> None:
    assert is_presigned(build("GET", AWS_EXAMPLE, []))
    assert not is_presigned(build("GET", "http://h/b/k?x-amz-algorithm=a", []))


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature", "Content-Sha256"]
            ),
            st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["host", "0", "20130524T000000Z"])),
        ),
        max_size=4,
    )
)
def test_nothing_but_s3_errors_comes_out(changes: list[tuple[str, str | None]]) -> None:
    url = AWS_EXAMPLE
    for name, value in changes:
        url = changed(f"X-Amz-{name}", value, url)
    with contextlib.suppress(S3Error):
        request = build("GET", url, [])
        claim = parse_claim(request, NOW)
        if claim is not None:
            verify(claim, request, SECRET_KEY)
