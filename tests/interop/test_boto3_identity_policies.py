"""Identity policies as boto3 sees them, and what `cairn why` tells about refusals."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from gateway.credentials import CACHE_TTL_S
from tests.harness.cairn import CairnServer
from tests.interop.support import User, add_user, refusal, run_cairn
from tests.interop.wire import host, signer

SOON_S = CACHE_TTL_S + 8.0
"""A gateway may go on with what it knows for CACHE_TTL_S; the rest is for a busy machine."""

POLL_S = 0.1


@pytest.fixture(scope="module")
def ida(cairn: CairnServer) -> User:
    """A user of this module's own, whom other tests do not hold to policies."""
    return add_user(cairn, "ida")


@pytest.fixture
def ida_s3(cairn: CairnServer, ida: User) -> Iterator[Any]:
    """A client for that user, who has no policy before and after the test."""
    client = cairn.client_for(ida.access_key, ida.secret_key)
    yield client
    client.close()
    run_cairn(cairn, "user", "policy", "remove", "ida")


@pytest.fixture
def hold(cairn: CairnServer, tmp_path: Path) -> Callable[..., None]:
    """Set the policy of the user."""

    def set_policy(*statements: dict[str, Any]) -> None:
        file = tmp_path / "policy.json"
        file.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
        run_cairn(cairn, "user", "policy", "set", "ida", str(file))

    return set_policy


def becomes(code: str, call: Callable[..., Any], **parameters: Any) -> None:
    """Wait until a call is answered so ("" for success): only time tells when a gateway asks for a user again."""
    deadline = time.monotonic() + SOON_S
    while _code(call, **parameters) != code:
        assert time.monotonic() < deadline, f"{call} did not become {code or 'allowed'}"
        time.sleep(POLL_S)


def _code(call: Callable[..., Any], **parameters: Any) -> str:
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def why(server: CairnServer, request_id: str) -> dict[str, Any]:
    """What `cairn why` says, once it says something: explanations are written behind the answers."""
    deadline = time.monotonic() + SOON_S
    while True:
        try:
            found: dict[str, Any] = json.loads(run_cairn(server, "why", request_id, "--json"))
        except AssertionError:
            assert time.monotonic() < deadline, request_id
            time.sleep(POLL_S)
        else:
            return found


def request_id_of(call: Callable[..., Any], **parameters: Any) -> str:
    return refusal(call, **parameters).headers["x-amz-request-id"]


def test_identity_policy_restricts_its_user_within_seconds(
    cairn: CairnServer, ida_s3: Any, hold: Callable[..., None], bucket_name: str
) -> None:
    ida_s3.create_bucket(Bucket=bucket_name)
    ida_s3.put_object(Bucket=bucket_name, Key="ida/mine", Body=b"1")
    ida_s3.put_object(Bucket=bucket_name, Key="max/his", Body=b"2")
    hold(
        {
            "Sid": "Own",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket_name}/${{aws:username}}/*",
        }
    )
    becomes("AccessDenied", ida_s3.get_object, Bucket=bucket_name, Key="max/his")
    assert ida_s3.get_object(Bucket=bucket_name, Key="ida/mine")["Body"].read() == b"1"
    for call, parameters in (
        (ida_s3.put_object, {"Bucket": bucket_name, "Key": "ida/mine", "Body": b"3"}),
        (ida_s3.list_objects_v2, {"Bucket": bucket_name}),
        (ida_s3.list_buckets, {}),
        (ida_s3.create_bucket, {"Bucket": bucket_name + "-more"}),
    ):
        assert refusal(call, **parameters).code == "AccessDenied"
    shown = json.loads(run_cairn(cairn, "user", "policy", "show", "ida"))
    assert shown["Statement"][0]["Sid"] == "Own"
    run_cairn(cairn, "user", "policy", "remove", "ida")
    becomes("", ida_s3.get_object, Bucket=bucket_name, Key="max/his")


def test_bucket_of_another_needs_both_policies(
    cairn: CairnServer, s3: Any, ida: User, ida_s3: Any, hold: Callable[..., None], bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    named = {"Bucket": bucket, "Key": "k"}
    objects = f"arn:aws:s3:::{bucket}/*"
    hold({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    becomes("AccessDenied", ida_s3.get_object, **named)  # the owner has not allowed it
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam:::user/{ida.name}"},
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": objects,
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert ida_s3.get_object(**named)["Body"].read() == b"x"
    hold({"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"})
    becomes("AccessDenied", ida_s3.get_object, **named)
    ida_s3.put_object(**named, Body=b"y")
    hold(
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Sid": "NoReading", "Effect": "Deny", "Action": "s3:Get*", "Resource": objects},
    )
    becomes("", ida_s3.list_buckets)
    told = why(cairn, request_id_of(ida_s3.get_object, **named))
    assert (told["decided_by"], told["statement"], told["sid"]) == ("identity policy", 2, "NoReading")
    assert (told["action"], told["resource"]) == ("s3:GetObject", f"arn:aws:s3:::{bucket}/k")
    assert told["sender"] == f"ida ({ida.canonical_id})"


def test_policies_see_bodies_tags_and_kinds_of_writes(s3: Any, bucket_name: str) -> None:
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    s3.put_bucket_tagging(Bucket=bucket_name, Tagging={"TagSet": [{"Key": "stage", "Value": "live"}]})
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"x")

    def deny(action: str, condition: dict[str, Any]) -> None:
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": action,
            "Resource": f"arn:aws:s3:::{bucket_name}/*",
            "Condition": condition,
        }
        s3.put_bucket_policy(Bucket=bucket_name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def retain(days: int) -> str:
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(days=days)}
        return _code(s3.put_object_retention, Bucket=bucket_name, Key="k", Retention=retention)

    deny("s3:PutObjectRetention", {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}})
    assert [retain(12), retain(10)] == ["AccessDenied", ""]
    deny("s3:GetObject", {"StringEquals": {"s3:BucketTag/Stage": "live"}})
    assert _code(s3.get_object, Bucket=bucket_name, Key="k") == "AccessDenied"
    deny("s3:PutObject", {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}})
    assert _code(s3.put_object, Bucket=bucket_name, Key="new") == "AccessDenied"
    assert _code(s3.put_object, Bucket=bucket_name, Key="new", IfNoneMatch="*") == ""
    assert _code(s3.create_multipart_upload, Bucket=bucket_name, Key="parts") == ""


def test_why_names_what_decided(cairn: CairnServer, s3: Any, ida_s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    named = {"Bucket": bucket, "Key": "k"}
    assert why(cairn, request_id_of(ida_s3.get_object, **named))["decided_by"] == "missing permission"
    assert why(cairn, request_id_of(ida_s3.get_object, Bucket=bucket, Key="none"))["decided_by"] == "missing key"
    expecting = {**named, "ExpectedBucketOwner": "1" * 12}
    assert why(cairn, request_id_of(s3.get_object, **expecting))["decided_by"] == "expected bucket owner"
    text = run_cairn(cairn, "why", request_id_of(ida_s3.put_object, **named))
    assert "action     s3:PutObject on arn:aws:s3:::" in text


def test_why_finds_the_host_that_a_proxy_replaced(cairn: CairnServer, bucket: str) -> None:
    signed = signer(cairn).headers("GET", f"/{bucket}/k", {"Host": "files.example:8443"}, "UNSIGNED-PAYLOAD")
    place = urlsplit(cairn.endpoint)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    replaced = {**dict(signed.headers), "Host": host(cairn), "X-Forwarded-Host": "files.example:8443"}
    connection.request("GET", f"/{bucket}/k", headers=replaced)
    answer = connection.getresponse()
    body = answer.read()
    assert (answer.status, b"SignatureDoesNotMatch" in body) == (403, True)
    told = why(cairn, answer.getheader("x-amz-request-id") or "")
    connection.close()
    assert told["decided_by"] == "signature"
    assert "Host was signed as 'files.example:8443'" in told["because"]
    assert "a proxy replaced Host" in told["because"]


def test_why_of_an_unknown_request_is_one_sentence(cairn: CairnServer) -> None:
    run_cairn(cairn, "why", "0" * 16, expect=1)
