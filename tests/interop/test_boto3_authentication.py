"""boto3 and hand-signed URLs: who may, who may not, and what a refusal tells."""

import datetime
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.config
import pytest
import urllib3

from tests.conftest import DOMAIN
from tests.harness.cairn import CairnServer
from tests.interop.signer import EMPTY_SHA256, Signer
from tests.interop.support import refusal
from tests.interop.wire import connect, head_of, host, signed_request, signer


@pytest.fixture(scope="module")
def http() -> Iterator[urllib3.PoolManager]:
    """A client that knows nothing of S3."""
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


def test_wrong_secret_shows_what_was_signed(cairn: CairnServer) -> None:
    client = cairn.client_for(cairn.access_key, "not the secret")
    refused = refusal(client.list_objects_v2, Bucket="some-bucket", Prefix="a b")
    client.close()
    assert (refused.code, refused.status) == ("SignatureDoesNotMatch", 403)
    assert refused.elements["AWSAccessKeyId"] == cairn.access_key
    canonical = refused.elements["CanonicalRequest"]
    assert canonical.startswith("GET\n/some-bucket\n")
    assert "prefix=a%20b" in canonical
    to_sign = refused.elements["StringToSign"]
    assert to_sign.startswith("AWS4-HMAC-SHA256\n")
    assert refused.elements["StringToSignBytes"] == to_sign.encode().hex(" ")
    assert refused.elements["CanonicalRequestBytes"] == canonical.encode().hex(" ")
    assert len(refused.elements["SignatureProvided"]) == 64


def test_unknown_access_key_is_named(cairn: CairnServer) -> None:
    client = cairn.client_for("AKIANOBODY", "secret")
    refused = refusal(client.list_buckets)
    client.close()
    assert (refused.code, refused.status) == ("InvalidAccessKeyId", 403)
    assert refused.elements["AWSAccessKeyId"] == "AKIANOBODY"


def test_unsigned_request_is_denied(cairn: CairnServer, bucket: str, http: urllib3.PoolManager) -> None:
    for method, path in (("GET", "/"), ("GET", f"/{bucket}"), ("GET", f"/{bucket}/k"), ("PUT", f"/{bucket}/k")):
        answer = http.request(method, cairn.endpoint + path)
        assert answer.status == 403, path
        assert b"<Code>AccessDenied</Code>" in answer.data


def test_wrong_region_is_named(cairn: CairnServer, bucket: str) -> None:
    with connect(cairn) as connection:
        elsewhere = Signer(access_key=cairn.access_key, secret_key=cairn.secret_key, region="eu-west-3")
        signed = elsewhere.headers("GET", f"/{bucket}", {"Host": host(cairn)}, EMPTY_SHA256)
        connection.send(head_of("GET", f"/{bucket}", signed.headers))
        answer = connection.answer()
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
    assert answer.element("Region") == "us-east-1"


@pytest.mark.parametrize("minutes", [-16, 16])
def test_clock_skew_over_fifteen_minutes_is_refused(cairn: CairnServer, minutes: int) -> None:
    now = datetime.datetime.now(datetime.UTC)
    late = Signer(
        access_key=cairn.access_key,
        secret_key=cairn.secret_key,
        now=now + datetime.timedelta(minutes=minutes),
    )
    with connect(cairn) as connection:
        signed = late.headers("GET", "/", {"Host": host(cairn)}, EMPTY_SHA256)
        connection.send(head_of("GET", "/", signed.headers))
        answer = connection.answer()
    assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")
    assert answer.element("MaxAllowedSkewMilliseconds") == "900000"
    assert answer.element("RequestTime")
    assert answer.element("ServerTime")


@pytest.mark.parametrize("version", ["s3v4", None])
def test_presigned_urls_get_and_put(
    cairn: CairnServer, bucket: str, http: urllib3.PoolManager, version: str | None
) -> None:
    s3 = cairn.client(signature_version=version)
    key = "a key/ü+%"
    named = {"Bucket": bucket, "Key": key}
    put = http.request("PUT", s3.generate_presigned_url("put_object", named), body=b"content")
    assert put.status == 200, put.data
    overridden = {**named, "ResponseContentType": "text/x-test", "ResponseContentDisposition": 'inline; x="ü"'}
    got = http.request("GET", s3.generate_presigned_url("get_object", overridden))
    assert (got.status, got.data) == (200, b"content")
    assert got.headers["content-type"] == "text/x-test"
    head = http.request("HEAD", s3.generate_presigned_url("head_object", named))
    assert head.headers["content-length"] == "7"
    listed = http.request("GET", s3.generate_presigned_url("list_objects_v2", {"Bucket": bucket}))
    assert listed.status == 200
    deleted = http.request("DELETE", s3.generate_presigned_url("delete_object", named))
    assert deleted.status == 204
    gone = http.request("GET", s3.generate_presigned_url("get_object", named))
    assert gone.status == 404
    s3.close()


@pytest.mark.parametrize("version", ["s3v4", None])
def test_presigned_url_is_for_one_method_one_key_and_its_headers(
    cairn: CairnServer, bucket: str, http: urllib3.PoolManager, version: str | None
) -> None:
    s3 = cairn.client(signature_version=version)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    assert http.request("DELETE", url).status == 403
    assert http.request("GET", url.replace("/k?", "/other?")).status == 403
    assert http.request("GET", url + "&response-content-type=text/html").status == 403
    typed = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k", "ContentType": "text/plain"})
    assert http.request("PUT", typed, body=b"y").status == 403
    assert http.request("PUT", typed, body=b"y", headers={"Content-Type": "text/plain"}).status == 200
    s3.close()


def test_presigned_url_expires(cairn: CairnServer, s3: Any, bucket: str, http: urllib3.PoolManager) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for age_s, expires_s, status in ((30, 60, 200), (3600, 60, 403), (61, 60, 403)):
        then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_s)
        old = Signer(access_key=cairn.access_key, secret_key=cairn.secret_key, now=then)
        target = old.presigned("GET", f"/{bucket}/k", host(cairn), expires_s=expires_s)
        answer = http.request("GET", cairn.endpoint + target)
        assert answer.status == status, age_s
        if status == 403:
            assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in answer.data


@pytest.mark.parametrize("expires_s", [604_801, -1])
def test_presigned_url_lasts_a_week_at_most(
    cairn: CairnServer, bucket: str, http: urllib3.PoolManager, expires_s: int
) -> None:
    target = signer(cairn).presigned("GET", f"/{bucket}/k", host(cairn), expires_s=expires_s)
    answer = http.request("GET", cairn.endpoint + target)
    assert answer.status == 400
    assert b"<Code>AuthorizationQueryParametersError</Code>" in answer.data


def test_host_may_be_signed_with_and_without_its_port(cairn: CairnServer, bucket: str) -> None:
    target = f"/{bucket}"
    for sent in ("127.0.0.1", host(cairn), "somewhere.example", "somewhere.example:80"):
        with connect(cairn) as connection:
            signed = signer(cairn).headers("GET", target, {"Host": sent}, EMPTY_SHA256)
            connection.send(head_of("GET", target, signed.headers))
            assert connection.answer().status == 200, sent
    # A client that leaves a default port out of what it signs, behind a proxy that puts it in.
    with connect(cairn) as connection:
        signed = signer(cairn).headers("GET", target, {"Host": "somewhere.example"}, EMPTY_SHA256)
        connection.send(head_of("GET", target, {**signed.headers, "Host": "somewhere.example:80"}))
        assert connection.answer().status == 200


def test_signature_covers_headers_in_any_spacing_and_order(cairn: CairnServer, bucket: str) -> None:
    request = signed_request(
        cairn, "PUT", f"/{bucket}/k", b"x", {"x-amz-meta-a": "two   spaces", "Content-Type": "text/plain"}
    )
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    with connect(cairn) as connection:
        connection.send(b"\r\n".join((first, *reversed(lines))) + b"\r\n\r\n" + body)
        assert connection.answer().status == 200


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names below the server's domain lead to this machine."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        inside = isinstance(host, str) and (host == DOMAIN or host.endswith(f".{DOMAIN}"))
        return real("127.0.0.1" if inside else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("resolved")
def test_bucket_is_addressed_in_the_host_name(
    cairn: CairnServer, s3: Any, bucket: str, http: urllib3.PoolManager
) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{DOMAIN}:{cairn.port}",
        aws_access_key_id=cairn.access_key,
        aws_secret_access_key=cairn.secret_key,
        region_name=cairn.region,
        config=botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": "virtual"}, retries={"max_attempts": 0}
        ),
    )
    for key in ("k", "/leading", "a//b", f"{bucket}/k"):
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
        url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
        assert urlsplit(url).hostname == f"{bucket}.{DOMAIN}"
        assert http.request("GET", url).data == key.encode()
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 4
    assert bucket in [entry["Name"] for entry in client.list_buckets()["Buckets"]]
    client.create_bucket(Bucket=f"{bucket}-virtual")
    s3.head_bucket(Bucket=f"{bucket}-virtual")
    client.delete_bucket(Bucket=f"{bucket}-virtual")
    assert refusal(s3.head_bucket, Bucket=f"{bucket}-virtual").status == 404
    client.close()
