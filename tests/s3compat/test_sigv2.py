"""Presigned URLs and headers of Version 2: AWS's example, botocore's signer, expiry, and what a URL does not allow."""

import base64
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3compat.errors import S3Error
from s3compat.request import S3Request
from s3compat.sigv2 import OldClaim, is_presigned, is_signed, parse_header, parse_presigned, verify
from tests.s3compat.signing_cases import ACCESS_KEY, NOW, ODD_KEYS, SECRET_KEY, build

# The page's own example, from the days when its bucket was called johnsmith.
AWS_EXAMPLE = (
    f"http://johnsmith.s3.amazonaws.com/photos/puppy.jpg?AWSAccessKeyId={ACCESS_KEY}"
    "&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"
)
EXAMPLE_TIME = datetime(2007, 3, 29, 3, 0, tzinfo=UTC)
DOMAINS = ("s3.amazonaws.com",)


def presign(
    monkeypatch: pytest.MonkeyPatch, method: str, url: str, headers: dict[str, str], auth_path: str | None = None
) -> str:
    """botocore's own URL, made at NOW for a minute."""
    monkeypatch.setattr(botocore.auth.time, "time", NOW.timestamp)
    request = AWSRequest(method=method, url=url, headers=headers, auth_path=auth_path)
    botocore.auth.HmacV1QueryAuth(Credentials(ACCESS_KEY, SECRET_KEY), expires=60).add_auth(request)
    return str(request.url)


def authenticate(request: S3Request, now: datetime = NOW) -> OldClaim:
    assert is_presigned(request)
    claim = parse_presigned(request, now)
    assert claim.access_key == ACCESS_KEY
    verify(claim, request, SECRET_KEY)
    return claim


def refused(request: S3Request, now: datetime = NOW) -> S3Error:
    with pytest.raises(S3Error) as caught:
        authenticate(request, now)
    return caught.value


def test_example_of_the_page_is_verified() -> None:
    claim = authenticate(build("GET", AWS_EXAMPLE, [], domains=DOMAINS), EXAMPLE_TIME)
    assert claim.moment == "1175139620"


@pytest.mark.parametrize("key", ODD_KEYS)
def test_urls_of_botocore_are_verified(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    path = "/" + quote(key, safe="/~")
    authenticate(build("GET", presign(monkeypatch, "GET", f"http://h:9/bucket{path}", {}), []))
    url = presign(monkeypatch, "PUT", f"http://bucket.s3.amazonaws.com{path}", {}, f"/bucket{path}")
    authenticate(build("PUT", url, [], domains=DOMAINS))


def test_bucket_is_signed_with_a_slash_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # botocore gives the path to sign beside the URL, in either way of addressing.
    for url in ("http://h/bucket", "http://bucket.s3.amazonaws.com/"):
        signed = presign(monkeypatch, "GET", f"{url}?list-type=2", {}, "/bucket/")
        authenticate(build("GET", signed, [], domains=DOMAINS))
    authenticate(build("GET", presign(monkeypatch, "GET", "http://h/", {}, "/"), []))


@pytest.mark.parametrize(
    "query",
    [
        "uploads",
        "versionId=null&partNumber=2&uploadId=a%2Fb",
        "response-content-disposition=inline%3B%20x%3D%22%C3%BC%22&response-content-type=a%2Fb",
        "list-type=2&prefix=a%20b&delimiter=%2F",
        "tagging",
    ],
)
def test_parameters_are_signed_as_botocore_signs_them(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    authenticate(build("GET", presign(monkeypatch, "GET", f"http://h/bucket/key?{query}", {}), []))


def test_headers_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Content-Type": "text/plain", "Content-MD5": "rL0Y20xC+Fzt72VPzMSk2A==", "x-amz-meta-A": "b  c"}
    url = presign(monkeypatch, "PUT", "http://h/bucket/key", headers)
    authenticate(build("PUT", url, list(headers.items())))
    for name in ("Content-Type", "Content-MD5"):
        rest = [(other, value) for other, value in headers.items() if other != name]
        assert refused(build("PUT", url, rest)).code == "SignatureDoesNotMatch"
    added = [*headers.items(), ("x-amz-copy-source", "other/key")]
    assert refused(build("PUT", url, added)).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("DELETE", "http://h/bucket/key?"),
        ("GET", "http://h/bucket/other?"),
        ("GET", "http://h/bucket/key?acl&"),
        ("GET", "http://h/bucket/key?legal-hold&"),
        ("GET", "http://h/bucket/key?attributes&"),
        ("GET", "http://h/bucket/key?response-content-type=text%2Fhtml&"),
        # The same path means another object where the host names a bucket.
        ("GET", "http://other.s3.amazonaws.com/bucket/key?"),
    ],
)
def test_url_allows_nothing_but_what_it_says(monkeypatch: pytest.MonkeyPatch, method: str, url: str) -> None:
    signed = presign(monkeypatch, "GET", "http://h/bucket/key", {}).partition("?")[2]
    error = refused(build(method, url + signed, [], domains=DOMAINS))
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    assert error.elements["AWSAccessKeyId"] == ACCESS_KEY
    assert error.elements["StringToSign"].startswith(f"{method}\n\n\n")


def test_url_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    request = build("GET", presign(monkeypatch, "GET", "http://h/bucket/key", {}), [])
    authenticate(request, NOW + timedelta(seconds=60))
    error = refused(request, NOW + timedelta(seconds=61))
    assert (error.code, error.message) == ("AccessDenied", "Request has expired")
    assert error.elements["Expires"] == "2013-05-24T00:01:00Z"


@pytest.mark.parametrize("expires", ["", "x", "-1", "1e3", "9" * 12, "\u0661"])
def test_malformed_expiry_is_refused(expires: str) -> None:
    url = f"http://h/bucket/key?AWSAccessKeyId={ACCESS_KEY}&Signature=x&Expires={quote(expires)}"
    assert refused(build("GET", url, [])).code == "AccessDenied"


HEADERS = {"Host": "h", "Content-Type": "text/plain", "x-amz-meta-A": "b", "Date": "Fri, 24 May 2013 00:00:00 GMT"}


def sign_header(monkeypatch: pytest.MonkeyPatch, method: str, url: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers with botocore's Authorization among them; botocore signs the time of NOW."""
    monkeypatch.setattr(botocore.auth, "formatdate", lambda usegmt: "Fri, 24 May 2013 00:00:00 GMT")
    request = AWSRequest(method=method, url=url, headers=headers)
    botocore.auth.HmacV1Auth(Credentials(ACCESS_KEY, SECRET_KEY)).add_auth(request)
    return dict(request.headers.items())


def verify_header(request: S3Request, now: datetime = NOW) -> None:
    assert is_signed(request)
    claim = parse_header(request, now)
    assert claim.access_key == ACCESS_KEY
    verify(claim, request, SECRET_KEY)


@pytest.mark.parametrize(
    "url",
    [
        "http://h/bucket/key",
        "http://h/bucket/k%20%C3%A9?tagging&versionId=x",
        "http://h/bucket/?list-type=2",
        "http://h/",
    ],
)
def test_headers_of_botocore_are_verified(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for method in ("GET", "PUT"):
        signed = sign_header(monkeypatch, method, url, HEADERS)
        verify_header(build(method, url, list(signed.items())))


def test_x_amz_date_is_signed_in_place_of_date() -> None:
    # By AWS's page; botocore signs both.
    date = "Fri, 24 May 2013 00:00:00 GMT"
    digest = hmac.digest(SECRET_KEY.encode(), f"GET\n\n\n\nx-amz-date:{date}\n/bucket/key".encode(), "sha1")
    authorization = f"AWS {ACCESS_KEY}:{base64.b64encode(digest).decode()}"
    sent = [("Date", "Fri, 24 May 2013 01:00:00 GMT"), ("X-Amz-Date", date), ("Authorization", authorization)]
    verify_header(build("GET", "http://h/bucket/key", sent))


@pytest.mark.parametrize(
    "changed", [{"Content-Type": "text/html"}, {"x-amz-meta-A": "c"}, {"x-amz-acl": "public-read"}, {"Date": None}]
)
def test_changed_headers_are_refused(monkeypatch: pytest.MonkeyPatch, changed: dict[str, str | None]) -> None:
    signed = sign_header(monkeypatch, "PUT", "http://h/bucket/key", HEADERS)
    sent = [(name, value) for name, value in {**signed, **changed}.items() if value is not None]
    with pytest.raises(S3Error) as caught:
        verify_header(build("PUT", "http://h/bucket/key", sent))
    assert caught.value.code in ("SignatureDoesNotMatch", "AccessDenied")


def test_header_is_good_for_fifteen_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    request = build("GET", "http://h/b/k", list(sign_header(monkeypatch, "GET", "http://h/b/k", HEADERS).items()))
    verify_header(request, NOW + timedelta(minutes=15))
    with pytest.raises(S3Error, match="RequestTimeTooSkewed"):
        verify_header(request, NOW + timedelta(minutes=16))


@pytest.mark.parametrize("authorization", ["AWS ", "AWS x", "AWS :x", "AWS x:"])
def test_malformed_header_is_refused(authorization: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        parse_header(build("GET", "http://h/b/k", [("Authorization", authorization)]), NOW)
