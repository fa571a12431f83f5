"""Requests that the signature tests share: AWS's documented credentials, odd keys, and builders."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3compat.request import Headers, S3Request
from s3compat.sigv4 import SigningContext, parse_claim, sign_request_headers, verify

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
CREDENTIAL = f"{ACCESS_KEY}/20130524/us-east-1/s3/aws4_request"

ODD_KEYS = [
    "plain.txt", "a//b", "/a", "a/../b", "./a/.", "a/", "a b", "a+b", "a%2Fb", "a%b", "%", "~-_.", "!*'()",
    "$&,:;=@", "[]{}|\\^`<>#?\"", "emoji 😀/日本", "\u00e9 e\u0301", "\r\n\t", "\x01\x7f", "*", "a=b&c",
    "Caf\u00e9+%20 ", "\u00a0",
]  # fmt: skip

ODD_QUERIES = [
    "", "acl", "acl=", "uploads&prefix=a", "list-type=2&prefix=a%2Fb&delimiter=%2F", "prefix=a%20b", "prefix=a%2Bb",
    "b=2&a=1", "a=2&a=1", "a=&a=1", "A=1&a=2", "prefix=%F0%9F%98%80", "prefix=~-_.", "prefix=a%3Db%26c", "empty=",
    "prefix=%2525", "versionId=null&partNumber=1", "a-b=1&a=2", "prefix=%2A%27%28%29%21",
]  # fmt: skip

ODD_HEADERS: list[list[tuple[str, str]]] = [
    [],
    [("x-amz-meta-a", "  two  spaces   within ")],
    [("x-amz-meta-tab", "a\tb")],
    [("x-amz-meta-empty", "")],
    [("Content-Type", "text/plain; charset=utf-8"), ("Content-MD5", "rL0Y20xC+Fzt72VPzMSk2A==")],
    [("X-Amz-Meta-MiXeD", "Value"), ("x-amz-acl", "private")],
    [("Range", "bytes=0-9"), ("If-Match", '"a"')],
    [("Content-Length", "3"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue")],
    [("Date", "Fri, 24 May 2013 00:00:00 GMT")],
]


def build(method: str, url: str, headers: list[tuple[str, str]], *, domains: tuple[str, ...] = ()) -> S3Request:
    """The request that a server sees when a client sends `url`, percent-encoded as it stands."""
    parts = urlsplit(url)
    lines = headers if any(name.lower() == "host" for name, _ in headers) else [("Host", parts.netloc), *headers]
    return S3Request.build(
        method,
        parts.path.encode() or b"/",
        parts.query.encode(),
        Headers(lines),
        parts.scheme == "https",
        domains,
    )


def key_url(key: str, query: str = "", *, base: str = "http://127.0.0.1:8000/bucket/") -> str:
    """The URL of a key as botocore escapes it."""
    return base + quote(key, safe="/~") + (f"?{query}" if query else "")


def botocore_sign(
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    url: str,
    headers: list[tuple[str, str]],
    *,
    signer: str = "S3SigV4Auth",
    body: bytes = b"",
    **options: Any,
) -> AWSRequest:
    """Sign with botocore's own signer at NOW."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in headers:
        request.headers.add_header(name, value)
    auth = getattr(botocore.auth, signer)(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION, **options)
    auth.add_auth(request)
    return request


def authorization(names: str, signature: str, *, credential: str = CREDENTIAL) -> tuple[str, str]:
    return (
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}",
    )


def authenticate(request: S3Request, *, secret_key: str = SECRET_KEY) -> SigningContext:
    claim = parse_claim(request, NOW, region=REGION)
    assert claim is not None
    assert claim.access_key == ACCESS_KEY
    return verify(claim, request, secret_key)


def signed_headers_of(
    method: str, url: str, headers: list[tuple[str, str]], payload_hash: str = EMPTY_SHA256
) -> list[tuple[str, str]]:
    unsigned = build(method, url, headers)
    added = sign_request_headers(
        method=method,
        raw_path=unsigned.raw_path,
        raw_query=unsigned.raw_query,
        headers=unsigned.headers.items(),
        payload_hash=payload_hash,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        region=REGION,
        timestamp=NOW,
    )
    return [*unsigned.headers.items(), *added]
