"""What a proxy or client did to a signed request is found; every case is a request that verify refuses."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3compat import signature_diagnosis
from s3compat.errors import S3Error
from s3compat.presigned import presign_url
from s3compat.request import Headers, QueryParams, S3Request
from s3compat.signature_diagnosis import MOST_BYTES, MOST_CANDIDATES, Diagnosis, diagnose
from s3compat.signing import EMPTY_SHA256, UNSIGNED_PAYLOAD, SignatureClaim, canonical_request
from s3compat.sigv4 import parse_claim, sign_request_headers, verify

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "s3.example:9000"
Changes = Mapping[str, str | None]


def diagnosis_of(
    *,
    method: str = "GET",
    path: bytes = b"/photos/a",
    query: bytes = b"",
    signed: Mapping[str, str] | None = None,
    payload_hash: str = UNSIGNED_PAYLOAD,
    arrived_method: str | None = None,
    arrived_path: bytes | None = None,
    arrived_query: bytes | None = None,
    arrived: Changes | None = None,
    secret: str = SECRET,
) -> Diagnosis:
    """Sign one request and have another looked at: the same but for what `arrived` says (None: header gone)."""
    headers = {"host": HOST, **(signed or {})}
    added = sign_request_headers(
        method=method,
        raw_path=path,
        raw_query=query,
        headers=headers.items(),
        payload_hash=payload_hash,
        access_key="AKIDEXAMPLE",
        secret_key=SECRET,
        region="us-east-1",
        timestamp=NOW,
    )
    sent: dict[str, str | None] = {**headers, **dict(added), **(arrived or {})}
    request = S3Request.build(
        arrived_method or method,
        path if arrived_path is None else arrived_path,
        query if arrived_query is None else arrived_query,
        Headers([(name, value) for name, value in sent.items() if value is not None]),
        False,
        (),
    )
    claim = parse_claim(request, NOW, region="us-east-1")
    assert claim is not None
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        verify(claim, request, secret)
    return diagnose(claim, request, secret)


@pytest.mark.parametrize(
    ("arrived", "signed_host"),
    [
        ({"host": "10.0.0.5:9000", "x-forwarded-host": HOST}, HOST),
        ({"host": "10.0.0.5", "x-forwarded-host": "s3.example", "x-forwarded-port": "9000"}, HOST),
        ({"host": "10.0.0.5:8000", "x-forwarded-host": f"{HOST}, 10.0.0.9"}, HOST),
        ({"host": "10.0.0.5:8000", "forwarded": f'for=192.0.2.1;host="{HOST}";proto=https'}, HOST),
        ({"host": "s3.example"}, HOST),
        ({"host": "s3.example:8080"}, HOST),
    ],
)
def test_host_that_was_changed_is_found(arrived: dict[str, str], signed_host: str) -> None:
    (difference,) = diagnosis_of(arrived=arrived).differences
    assert (difference.where, difference.signed, difference.received) == ("Host", signed_host, arrived["host"])


@pytest.mark.parametrize(
    ("path", "arrived_path", "signed_path"),
    [
        # Decoded on the way: the key has a percent sign.
        (b"/photos/100%2525", b"/photos/100%25", "/photos/100%2525"),
        (b"/photos/a%20b", b"/photos/a%2520b", "/photos/a%20b"),
        (b"/photos/a%20b", b"/photos/a+b", "/photos/a%20b"),
        (b"/photos/a+b", b"/photos/a%20b", "/photos/a%2Bb"),
        (b"/photos/a/", b"/photos/a", "/photos/a/"),
        (b"/photos/a", b"/photos/a/", "/photos/a"),
        (b"/s3/photos/a", b"/photos/a", "/s3/photos/a"),
        (b"/a", b"/photos/a", "/a"),
    ],
)
def test_path_that_was_changed_is_found(path: bytes, arrived_path: bytes, signed_path: str) -> None:
    arrived = {"x-forwarded-prefix": "/s3"} if path.startswith(b"/s3") else {}
    (difference,) = diagnosis_of(path=path, arrived_path=arrived_path, arrived=arrived).differences
    assert (difference.where, difference.signed) == ("the path", signed_path)


def test_bucket_that_a_proxy_moved_into_the_path_is_found() -> None:
    found = diagnosis_of(
        signed={"host": f"photos.{HOST}"}, path=b"/a", arrived_path=b"/photos/a", arrived={"host": HOST}
    )
    assert [(one.where, one.signed) for one in found.differences] == [
        ("Host", f"photos.{HOST}"),
        ("the path", "/a"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "arrived"),
    [
        ("accept-encoding", "identity", "gzip"),
        ("accept-encoding", "gzip", None),
        ("content-type", "application/octet-stream", None),
        ("te", "trailers", None),
        ("connection", "keep-alive", "close"),
        ("content-length", "0", None),
    ],
)
def test_header_that_was_changed_is_found(name: str, value: str, arrived: str | None) -> None:
    (difference,) = diagnosis_of(signed={name: value}, arrived={name: arrived}).differences
    assert (difference.where, difference.signed, difference.received) == (f"header {name}", value, arrived or "")


def test_head_that_a_cache_turned_into_get_is_found() -> None:
    (difference,) = diagnosis_of(method="HEAD", arrived_method="GET").differences
    assert (difference.where, difference.signed) == ("the method", "HEAD")


@pytest.mark.parametrize(
    ("query", "arrived"), [(b"prefix=a%2Bb", b"prefix=a+b"), (b"", b"tracking=1")], ids=["plus", "added"]
)
def test_query_that_was_changed_is_found(query: bytes, arrived: bytes) -> None:
    (difference,) = diagnosis_of(query=query, arrived_query=arrived).differences
    assert difference.where == "the query"


def test_hash_of_the_body_that_was_changed_in_its_header_cannot_be_told() -> None:
    found = diagnosis_of(payload_hash=EMPTY_SHA256, arrived={"x-amz-content-sha256": UNSIGNED_PAYLOAD})
    # It is a signed header and the last line of the canonical request, so that nobody changes one of them alone.
    assert found.differences == ()


def test_presigned_url_behind_another_host_is_found() -> None:
    url = urlsplit(
        presign_url(
            method="GET",
            url=f"https://{HOST}/photos/a",
            access_key="AKIDEXAMPLE",
            secret_key=SECRET,
            region="us-east-1",
            timestamp=NOW,
            expires_s=60,
        )
    )
    headers = Headers([("host", "backend"), ("x-forwarded-host", HOST)])
    request = S3Request.build("GET", url.path.encode(), url.query.encode(), headers, False, ())
    claim = parse_claim(request, NOW, region="us-east-1")
    assert claim is not None
    (difference,) = diagnose(claim, request, SECRET).differences
    assert (difference.where, difference.signed) == ("Host", HOST)


def test_wrong_secret_is_suspected_and_nothing_proven() -> None:
    found = diagnosis_of(secret="another")
    assert found.differences == ()
    assert "the secret key that the client has for access key AKIDEXAMPLE" in found.suspicions[-1]


def test_dropped_header_of_unknown_value_is_suspected() -> None:
    found = diagnosis_of(signed={"x-custom": "v"}, arrived={"x-custom": None, "via": "1.1 cache"})
    assert found.differences == ()
    assert "x-custom" in found.suspicions[0]
    assert "via" in found.suspicions[1]


def test_values_of_secret_headers_are_not_shown() -> None:
    key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYw=="
    name = "x-amz-server-side-encryption-customer-key"
    found = diagnosis_of(signed={name: ""}, arrived={name: key})
    assert found.differences
    assert key not in repr(found)


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []

    def counted(**parts: Any) -> bytes:
        canonical = canonical_request(**parts)
        looked_at.append(len(canonical))
        return canonical

    monkeypatch.setattr(signature_diagnosis, "canonical_request", counted)
    for headers in (400, 1000):
        looked_at.clear()
        named = {f"h{number}": "" for number in range(headers)}
        assert diagnosis_of(signed=named, arrived={"h0": "w" * 100}, secret="another").differences == ()
        assert len(looked_at) <= MOST_CANDIDATES
        assert sum(looked_at[:-1]) <= MOST_BYTES
    assert len(looked_at) < MOST_CANDIDATES


_LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30)
_NAMES = st.sampled_from(
    ["host", "x-forwarded-host", "forwarded", "x-forwarded-port", "x-forwarded-prefix", "te", "x-a"]
)


@given(
    st.binary(max_size=30),
    st.binary(max_size=30),
    st.lists(st.tuples(_NAMES, _LATIN), max_size=6),
    st.lists(_NAMES, max_size=4, unique=True),
    st.none() | st.text(max_size=10),
)
def test_whatever_arrives_is_diagnosed(
    path: bytes, query: bytes, headers: list[tuple[str, str]], signed: list[str], bucket: str | None
) -> None:
    request = S3Request(
        method="GET",
        raw_path=b"/" + path,
        raw_query=query,
        headers=Headers(headers),
        secure=False,
        bucket=bucket,
        key=None,
        query=QueryParams(),
    )
    claim = SignatureClaim(
        access_key="AK",
        timestamp=NOW,
        date="20260102",
        region="us-east-1",
        service="s3",
        signed_headers=tuple(signed),
        signature="0" * 64,
        presigned=False,
        payload_hash=UNSIGNED_PAYLOAD,
    )
    found = diagnose(claim, request, SECRET)
    assert found.differences == ()
    assert found.suspicions
