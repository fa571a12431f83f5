"""gateway.condition_values: what a request has for each key that AWS documents and that can have a value here."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.bucket_tags import BUCKET_TAGS, encode_bucket_tags
from gateway.condition_values import ConditionValues, Subject
from gateway.credentials import ANONYMOUS
from gateway.operation_actions import creates_object
from gateway.operations.stated import stated_tags, stated_values
from s3compat.sigv4 import SignatureClaim
from tests.gateway.access_making import NOW, OTHER, RECORD, bucket_with, sender_of

BUCKET = bucket_with(**{BUCKET_TAGS: encode_bucket_tags((("Team", "red"), ("stage", "live")))})
CLAIM = SignatureClaim(
    access_key="AK",
    timestamp=NOW - timedelta(seconds=90),
    date="20260102",
    region="us-east-1",
    service="s3",
    signed_headers=("host",),
    signature="",
    presigned=False,
    payload_hash="UNSIGNED-PAYLOAD",
)
LATER = "2026-01-12T00:00:00Z"  # ten days after NOW


def values_of(name: str, query: bytes = b"", headers: Mapping[str, str] | None = None, **changes: Any) -> Any:
    subject = Subject(bucket=BUCKET, key="a", record=replace(RECORD, tags=(("Colour", "blue"),)))
    return ConditionValues(sender_of(OTHER, query=query, headers=headers), replace(subject, **changes))(name)


@pytest.mark.parametrize(
    ("key", "headers", "value"),
    [
        ("aws:referer", {"referer": "http://a"}, "http://a"),
        ("aws:useragent", {"user-agent": "curl"}, "curl"),
        ("s3:if-match", {"if-match": '"x"'}, '"x"'),
        ("s3:if-none-match", {"if-none-match": "*"}, "*"),
        ("s3:x-amz-acl", {"x-amz-acl": "private"}, "private"),
        ("s3:x-amz-grant-read", {"x-amz-grant-read": "id=a"}, "id=a"),
        ("s3:x-amz-copy-source", {"x-amz-copy-source": "/b/a%20b"}, "b/a b"),
        ("s3:x-amz-storage-class", {"x-amz-storage-class": "GLACIER"}, "GLACIER"),
        ("s3:x-amz-server-side-encryption", {"x-amz-server-side-encryption": "AES256"}, "AES256"),
        (
            "s3:x-amz-server-side-encryption-aws-kms-key-id",
            {"x-amz-server-side-encryption-aws-kms-key-id": "payroll"},
            "payroll",
        ),
        (
            "s3:x-amz-server-side-encryption-customer-algorithm",
            {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
            "AES256",
        ),
        ("s3:x-amz-content-sha256", {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, "UNSIGNED-PAYLOAD"),
        ("s3:object-lock-mode", {"x-amz-object-lock-mode": "GOVERNANCE"}, "GOVERNANCE"),
        ("s3:object-lock-legal-hold", {"x-amz-object-lock-legal-hold": "ON"}, "ON"),
        ("s3:object-lock-retain-until-date", {"x-amz-object-lock-retain-until-date": LATER}, LATER),
        ("s3:object-lock-remaining-retention-days", {"x-amz-object-lock-retain-until-date": LATER}, "10"),
        (
            "s3:object-lock-remaining-retention-days",
            {"x-amz-object-lock-retain-until-date": "2026-01-12T00:00:01Z"},
            "11",
        ),
        ("s3:object-lock-remaining-retention-days", {"x-amz-object-lock-retain-until-date": "soon"}, None),
        ("s3:requestobjecttag/a", {"x-amz-tagging": "A=1&b=2"}, "1"),
        ("s3:requestobjecttag/c", {"x-amz-tagging": "A=1&b=2"}, None),
    ],
)
def test_header(key: str, headers: dict[str, str], value: str | None) -> None:
    assert values_of(key, headers=headers) == (None if value is None else (value,))
    assert values_of(key) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("aws:currenttime", "2026-01-02T00:00:00+00:00"),
        ("aws:epochtime", "1767312000"),
        ("aws:sourceip", "192.0.2.1"),
        ("aws:securetransport", "false"),
        ("aws:requestedregion", "us-east-1"),
        ("aws:principalarn", "arn:aws:iam:::user/max"),
        ("aws:principalaccount", "b" * 64),
        ("aws:principaltype", "User"),
        ("aws:principalisawsservice", "false"),
        ("aws:viaawsservice", "false"),
        ("aws:userid", "b" * 64),
        ("aws:username", "max"),
        ("aws:resourceaccount", "a" * 64),
        ("s3:resourceaccount", "a" * 64),
        ("s3:existingobjecttag/colour", "blue"),
        ("s3:buckettag/team", "red"),
        ("s3:buckettag/other", None),
        ("aws:resourcetag/team", None),
        ("s3:versionid", None),
        ("s3:authtype", None),
        ("aws:multifactorauthpresent", None),
        ("aws:sourcevpc", None),
    ],
)
def test_sender_and_what_is_there(key: str, value: str | None) -> None:
    assert values_of(key) == (None if value is None else (value,))


def test_query_and_version() -> None:
    query = b"prefix=home%2F&delimiter=/&max-keys=7"
    assert [values_of(f"s3:{name}", query) for name in ("prefix", "delimiter", "max-keys")] == [
        ("home/",),
        ("/",),
        ("7",),
    ]
    assert values_of("s3:prefix", query, listing_prefix="k") == ("k",)
    assert values_of("s3:versionid", version_id="3") == ("3",)
    assert values_of("aws:resourcetag/team", key=None) == ("red",)


def test_signature() -> None:
    subject = Subject(bucket=BUCKET, key="a")
    names = ("s3:authtype", "s3:signatureversion", "s3:signatureage")
    signed = ConditionValues(replace(sender_of(OTHER), claim=CLAIM), subject)
    assert [signed(name) for name in names] == [("REST-HEADER",), ("AWS4-HMAC-SHA256",), ("90000",)]
    in_query = ConditionValues(replace(sender_of(OTHER), claim=replace(CLAIM, presigned=True)), subject)
    assert in_query("s3:authtype") == ("REST-QUERY-STRING",)
    old = ConditionValues(sender_of(OTHER, headers={"authorization": "AWS AK:sig"}), subject)
    assert [old(name) for name in names] == [("REST-HEADER",), ("AWS",), None]
    old_link = ConditionValues(sender_of(OTHER, query=b"AWSAccessKeyId=AK&Signature=x&Expires=1"), subject)
    assert [old_link(name) for name in names] == [("REST-QUERY-STRING",), ("AWS",), None]
    nobody = ConditionValues(sender_of(ANONYMOUS, headers={"authorization": "AWS AK:sig"}), subject)
    assert [nobody(name) for name in names] == [None, None, None]


@pytest.mark.parametrize("key", ["aws:userid", "aws:username", "aws:principalarn", "aws:principalaccount"])
def test_anonymous_has_no_name(key: str) -> None:
    assert ConditionValues(sender_of(ANONYMOUS), Subject(bucket=BUCKET, key="a"))(key) is None


def test_body_counts_in_place_of_headers() -> None:
    until = datetime(2026, 1, 5, tzinfo=UTC)
    retention = {"Retention": {"Mode": "COMPLIANCE", "RetainUntilDate": until}}
    lying = {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": LATER}
    names = ("s3:object-lock-mode", "s3:object-lock-remaining-retention-days")
    stated = stated_values("PutObjectRetention", retention)
    assert [values_of(name, headers=lying, stated=stated) for name in names] == [("COMPLIANCE",), ("3",)]
    removed = stated_values("PutObjectRetention", {"Retention": {}})
    assert [values_of(name, headers=lying, stated=removed) for name in names] == [None, None]
    hold = stated_values("PutObjectLegalHold", {"LegalHold": {"Status": "OFF"}})
    assert values_of("s3:object-lock-legal-hold", stated=hold) == ("OFF",)
    made = stated_values("CreateBucket", {"CreateBucketConfiguration": {"LocationConstraint": "eu"}})
    assert values_of("s3:locationconstraint", stated=made) == ("eu",)
    tags = stated_tags("PutObjectTagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "1"}]}})
    assert values_of("s3:requestobjecttag/a", tags=tags) == ("1",)
    assert values_of("s3:requestobjecttagkeys", tags=tags) == ("a",)


@pytest.mark.parametrize(
    ("operation", "value"),
    [("PutObject", ("true",)), ("CompleteMultipartUpload", ("true",)), ("UploadPart", ("false",)), ("GetObject", None)],
)
def test_what_creates_an_object(operation: str, value: tuple[str] | None) -> None:
    assert values_of("s3:objectcreationoperation", stated=creates_object(operation)) == value


def test_part_of_an_upload_is_encrypted_as_its_beginning_said() -> None:
    begun = {"x-amz-server-side-encryption": "aws:kms"}
    assert values_of("s3:x-amz-server-side-encryption", upload_headers=begun) == ("aws:kms",)
