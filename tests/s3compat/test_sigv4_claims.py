"""What an Authorization header claims, and every reason for which AWS refuses one."""

import contextlib
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.request import S3Request
from s3compat.sigv4 import SignatureClaim, parse_claim, verify
from tests.s3compat.signing_cases import (
    ACCESS_KEY,
    CREDENTIAL,
    EMPTY_SHA256,
    NOW,
    REGION,
    SECRET_KEY,
    authenticate,
    authorization,
    botocore_sign,
    build,
    key_url,
    signed_headers_of,
)


def refusal(request: S3Request, now: datetime = NOW, region: str | None = REGION) -> S3Error:
    with pytest.raises(S3Error) as caught:
        parse_claim(request, now, region=region)
    return caught.value


SIGNED = [("Host", "h"), ("x-amz-date", "20130524T000000Z"), ("x-amz-content-sha256", EMPTY_SHA256)]
NAMES = "host;x-amz-content-sha256;x-amz-date"
GOOD = authorization(NAMES, "0" * 64)[1]


def with_authorization(value: str, *, headers: list[tuple[str, str]] = SIGNED, query: str = "") -> S3Request:
    return build("PUT", "http://h/b/k" + (f"?{query}" if query else ""), [*headers, ("Authorization", value)])


@pytest.mark.parametrize(("headers", "query"), [([], ""), ([("Authorization", "")], ""), ([], "Signature=x")])
def test_requests_without_credentials_are_anonymous(headers: list[tuple[str, str]], query: str) -> None:
    assert parse_claim(build("GET", f"http://h/b/k?{query}", headers), NOW) is None


def test_claim_of_a_good_header() -> None:
    claim = parse_claim(with_authorization(GOOD), NOW, region=REGION)
    assert claim == SignatureClaim(
        access_key=ACCESS_KEY,
        timestamp=NOW,
        date="20130524",
        region="us-east-1",
        service="s3",
        signed_headers=("host", "x-amz-content-sha256", "x-amz-date"),
        signature="0" * 64,
        presigned=False,
        payload_hash=EMPTY_SHA256,
    )
    assert "0" * 64 not in repr(claim)


def test_access_key_may_hold_slashes() -> None:
    value = authorization(NAMES, "0" * 64, credential=f"a/b/{CREDENTIAL.partition('/')[2]}")[1]
    claim = parse_claim(with_authorization(value), NOW)
    assert claim is not None
    assert claim.access_key == "a/b"


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        ("AWS4-HMAC-SHA256", "InvalidArgument", "one and only one ' ' (space) required"),
        ("Basic dXNlcjpwYXNz", "InvalidArgument", "Unsupported Authorization Type"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "InvalidArgument", "Unsupported Authorization Type"),
        ("AWS AKIAIGR7ZNNBHC5BKSUB:FWeDfwojDSdS2Ztmpfeubhd9isU=", "InvalidRequest", "Please use AWS4-HMAC-SHA256."),
        ("AWS HAHAHA", "InvalidArgument", "Expected AwsAccessKeyId:signature"),
        ("AWS4-HMAC-SHA256 ,", "AuthorizationHeaderMalformed", 'the authorization component "" is malformed'),
        ("AWS4-HMAC-SHA256 nonsense", "AuthorizationHeaderMalformed", 'component "nonsense" is malformed'),
        (GOOD.replace("Credential", "Kredential"), "AuthorizationHeaderMalformed", "missing Credential."),
        (GOOD.replace("SignedHeaders", "Signed"), "AuthorizationHeaderMalformed", "missing SignedHeaders."),
        (GOOD.replace("0" * 64, ""), "AuthorizationHeaderMalformed", "missing Signature."),
        (GOOD.replace("host;", "ho st;"), "AuthorizationHeaderMalformed", "SignedHeaders is malformed."),
        (GOOD.replace("/s3/", "/"), "AuthorizationHeaderMalformed", "the Credential is mal-formed"),
        (GOOD.replace("/s3/", "/ec2/"), "AuthorizationHeaderMalformed", 'incorrect service "ec2"'),
        (GOOD.replace("aws4_request", "aws5"), "AuthorizationHeaderMalformed", 'incorrect terminal "aws5"'),
        (GOOD.replace("20130524", "2013"), "AuthorizationHeaderMalformed", 'incorrect date format "2013"'),
        (GOOD.replace("20130524", "20139924"), "AuthorizationHeaderMalformed", 'incorrect date format "20139924"'),
        (GOOD.replace("20130524", "20130525"), "AuthorizationHeaderMalformed", 'Invalid credential date "20130525"'),
        (GOOD.replace("us-east-1", "mars"), "AuthorizationHeaderMalformed", "'mars' is wrong; expecting 'us-east-1'"),
    ],
)
def test_malformed_authorization(value: str, code: str, text: str) -> None:
    error = refusal(with_authorization(value))
    assert error.code == code
    assert text in error.message


def test_wrong_region_names_the_right_one() -> None:
    request = with_authorization(GOOD.replace("us-east-1", "mars"))
    assert refusal(request).elements == {"Region": "us-east-1"}
    assert parse_claim(request, NOW) is not None


@pytest.mark.parametrize("query", ["X-Amz-Algorithm=AWS4-HMAC-SHA256", "AWSAccessKeyId=a&Signature=b&Expires=1"])
def test_two_mechanisms_are_refused(query: str) -> None:
    error = refusal(with_authorization(GOOD, query=query))
    assert error.code == "InvalidArgument"
    assert error.message.startswith("Only one auth mechanism allowed")
    assert error.elements == {"ArgumentName": "Authorization", "ArgumentValue": GOOD}


def test_version_2_query_is_refused() -> None:
    error = refusal(build("GET", "http://h/b/k?AWSAccessKeyId=a&Signature=b&Expires=1", []))
    assert error.code == "InvalidRequest"


DATES = [
    (None, None, "AccessDenied"),
    ("Bad Date", None, "AccessDenied"),
    ("", None, "AccessDenied"),
    ("", "Fri, 24 May 2013 00:00:00 GMT", "AccessDenied"),
    ("Bad Date", "Fri, 24 May 2013 00:00:00 GMT", "AccessDenied"),
    (None, "", "AccessDenied"),
    ("Tue, 07 Jul 1950 21:53:04 GMT", None, "AccessDenied"),
    ("Tue, 07 Jul 2010 21:53:04 GMT", None, "RequestTimeTooSkewed"),
    ("Tue, 07 Jul 2030 21:53:04 GMT", None, "RequestTimeTooSkewed"),
    ("Tue, 07 Jul 9999 21:53:04 GMT", None, "RequestTimeTooSkewed"),
    ("20130524T001501Z", None, "RequestTimeTooSkewed"),
    ("20130523T234459Z", None, "RequestTimeTooSkewed"),
]


@pytest.mark.parametrize("value", [GOOD, "AWS AKIAIGR7ZNNBHC5BKSUB:FWeDfwojDSdS2Ztmpfeubhd9isU="])
@pytest.mark.parametrize(("amz_date", "date", "code"), DATES)
def test_dates_that_are_refused(value: str, amz_date: str | None, date: str | None, code: str) -> None:
    headers = [("Host", "h"), ("x-amz-content-sha256", EMPTY_SHA256)]
    headers += [("x-amz-date", amz_date)] if amz_date is not None else []
    headers += [("Date", date)] if date is not None else []
    error = refusal(with_authorization(value, headers=headers))
    assert (error.code, error.status) == (code, 403)
    if code == "RequestTimeTooSkewed":
        assert error.elements == {
            "RequestTime": amz_date,
            "ServerTime": "2013-05-24T00:00:00Z",
            "MaxAllowedSkewMilliseconds": "900000",
        }


@pytest.mark.parametrize(
    ("amz_date", "date", "skew"),
    [
        ("20130524T001500Z", None, timedelta(minutes=15)),
        ("Fri, 24 May 2013 00:10:00 GMT", None, timedelta(minutes=10)),
        (None, "Fri, 24 May 2013 00:00:00 GMT", timedelta()),
        (None, "Fri, 24 May 2013 00:00:00 -0000", timedelta()),
        (None, "20130524T000000Z", timedelta()),
        ("20130524T000000Z", "Tue, 07 Jul 2030 21:53:04 GMT", timedelta()),
    ],
)
def test_dates_that_are_taken(amz_date: str | None, date: str | None, skew: timedelta) -> None:
    headers = [("Host", "h"), ("x-amz-content-sha256", EMPTY_SHA256)]
    headers += [("x-amz-date", amz_date)] if amz_date is not None else []
    headers += [("Date", date)] if date is not None else []
    claim = parse_claim(with_authorization(GOOD, headers=headers), NOW)
    assert claim is not None
    assert claim.timestamp - NOW == skew


def test_date_header_alone_is_signed_by_its_iso_form(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = botocore_sign(monkeypatch, "PUT", key_url("key"), [("Date", "x"), ("X-Amz-Date", "y")])
    assert "X-Amz-Date" not in signed.headers
    authenticate(build("PUT", signed.url, list(signed.headers.items())))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "InvalidRequest"),
        ("", "InvalidRequest"),
        ("abc", "InvalidArgument"),
        ("é" * 64, "InvalidArgument"),
        (f"{EMPTY_SHA256},{EMPTY_SHA256}", "InvalidArgument"),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "NotImplemented"),
    ],
)
def test_content_sha256_that_is_refused(value: str | None, code: str) -> None:
    headers = [("Host", "h"), ("x-amz-date", "20130524T000000Z"), ("content-length", "5")]
    headers += [("x-amz-content-sha256", value)] if value is not None else []
    error = refusal(with_authorization(GOOD, headers=headers))
    assert error.code == code
    if code == "InvalidRequest":
        assert error.message == "Missing required header for this request: x-amz-content-sha256"
    if code == "InvalidArgument":
        assert error.elements == {"ArgumentName": "x-amz-content-sha256", "ArgumentValue": value}


@pytest.mark.parametrize("length", [None, "0"])
def test_content_sha256_may_be_missing_where_there_is_no_body(length: str | None) -> None:
    headers = [("Host", "h"), ("x-amz-date", "20130524T000000Z")]
    headers += [("content-length", length)] if length is not None else []
    claim = parse_claim(with_authorization(GOOD, headers=headers), NOW)
    assert claim is not None
    assert claim.payload_hash == EMPTY_SHA256


@pytest.mark.parametrize(
    "value",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "A" * 64,
    ],
)
def test_content_sha256_that_is_taken(value: str) -> None:
    headers = signed_headers_of("PUT", key_url("key"), [], value)
    request = build("PUT", key_url("key"), headers)
    claim = parse_claim(request, NOW)
    assert claim is not None
    assert claim.payload_hash == value
    authenticate(request)


@pytest.mark.parametrize(
    ("extra", "names", "not_signed"),
    [
        ([("x-amz-acl", "public-read")], NAMES, "x-amz-acl"),
        ([("x-amz-acl", "a"), ("X-Amz-Meta-B", "b")], NAMES, "x-amz-acl, x-amz-meta-b"),
        ([], "x-amz-content-sha256;x-amz-date", "host"),
    ],
)
def test_headers_that_are_not_signed(extra: list[tuple[str, str]], names: str, not_signed: str) -> None:
    error = refusal(with_authorization(authorization(names, "0" * 64)[1], headers=[*SIGNED, *extra]))
    assert (error.code, error.elements) == ("AccessDenied", {"HeadersNotSigned": not_signed})
    assert error.message == "There were headers present in the request which were not signed"


def test_headers_that_need_not_be_signed() -> None:
    extra = [("Content-Type", "text/plain"), ("x-amzn-trace-id", "1"), ("X-Amz-Cf-Id", "2"), ("Cookie", "3")]
    value = authorization("host", "0" * 64)[1]
    assert parse_claim(with_authorization(value, headers=[*SIGNED, *extra]), NOW) is not None


PIECES = [
    "AWS4-HMAC-SHA256", " ", ",", "=", "/", ";", "Credential=", "SignedHeaders=", "Signature=", "host", "x-amz-date",
    CREDENTIAL, "AWS", ":", "20130524", "é", "\x00", "0" * 64, GOOD,
]  # fmt: skip


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.one_of(st.sampled_from(["20130524T000000Z", ""]), st.text(st.characters(max_codepoint=255))),
    st.one_of(st.just(EMPTY_SHA256), st.text(st.characters(max_codepoint=255))),
)
def test_nothing_but_s3_errors_comes_out(value: str, date: str, payload_hash: str) -> None:
    headers = [("Host", "h"), ("x-amz-date", date), ("x-amz-content-sha256", payload_hash)]
    request = with_authorization(value, headers=headers)
    with contextlib.suppress(S3Error):
        claim = parse_claim(request, NOW)
        if claim is not None:
            verify(claim, request, SECRET_KEY)
