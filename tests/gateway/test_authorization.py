"""Decisions about requests: bucket policy, ownership, ACLs and public access block together."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.authorization import AccessCheck, Found
from gateway.bucket_access import (
    ACL,
    OWNERSHIP,
    POLICY,
    PUBLIC_ACCESS_BLOCK,
    REQUEST_PAYMENT,
    PublicAccessBlock,
    encode_block,
)
from gateway.condition_values import Sender
from gateway.credentials import ANONYMOUS, Identity
from gateway.index.records import BucketRecord, ObjectRecord
from gateway.operation_actions import NEEDS, OF_OBJECTS
from gateway.operations import HANDLERS
from s3compat import acl
from s3compat.acl import Grant, Permission
from s3compat.errors import S3Error
from s3compat.policy_names import ALL_ACTIONS
from s3compat.request import Headers, S3Request

OWNER = Identity(canonical_id="a" * 64, display_name="Olga", name="olga")
OTHER = Identity(canonical_id="b" * 64, display_name="Max", name="max")
ROOT = Identity(canonical_id="c" * 64, display_name="root", name="root", is_root=True)
NOW = datetime(2026, 1, 2, tzinfo=UTC)

PRIVATE = BucketRecord(name="photos", bucket_id=1, owner_id=OWNER.canonical_id, created_ms=0, region="us-east-1")
RECORD = ObjectRecord(etag="", size_bytes=0, modified_ms=0, owner_id=OWNER.canonical_id)
ENFORCED = {OWNERSHIP: b"BucketOwnerEnforced"}


def bucket_with(**configs: bytes) -> BucketRecord:
    return replace(PRIVATE, configs=configs)


def canned(name: str, owner: Identity = OWNER) -> bytes:
    grants = acl.canned(name, owner_id=owner.canonical_id, bucket_owner_id=OWNER.canonical_id)
    return acl.encode_grants(grants, owner.canonical_id).encode()


def policy(*statements: dict[str, Any]) -> bytes:
    made = [
        {"Effect": "Allow", "Principal": "*", "Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]} | one
        for one in statements
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": made}).encode()


def allowed(
    operation: str,
    who: Identity,
    bucket: BucketRecord = PRIVATE,
    record: ObjectRecord | None = RECORD,
    *,
    query: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> bool:
    key = None if operation.endswith(("Bucket", "Objects", "ObjectsV2")) or "Bucket" in operation else b"/a"
    raw_headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    request = S3Request.build(
        "GET", b"/photos" + (key or b""), query, Headers.from_raw([(b"host", b"x"), *raw_headers]), False, ()
    )
    sender = Sender(identity=who, request=request, now=NOW, region="us-east-1", client_address="192.0.2.1", claim=None)
    found = Found(version_id=None, record=record) if operation in OF_OBJECTS else None
    code = None
    try:
        AccessCheck(sender).require(operation, bucket, found)
    except S3Error as refused:
        code = refused.code
    assert code in (None, "AccessDenied")
    return code is None


def test_every_handler_has_its_actions_and_every_action_exists() -> None:
    assert HANDLERS.keys() <= NEEDS.keys()
    named = {need.action for needs in NEEDS.values() for need in needs}
    named |= {need.for_version().action for needs in NEEDS.values() for need in needs}
    assert {name.lower() for name in named} - {"listallmybuckets"} <= ALL_ACTIONS


def test_operation_without_actions_is_denied_to_root() -> None:
    assert not allowed("WriteGetObjectResponse", ROOT)


@pytest.mark.parametrize("operation", sorted(set(NEEDS) - {"DeleteObjects", "ListBuckets", "CreateBucket"}))
def test_private_bucket_is_the_owners_and_roots(operation: str) -> None:
    assert allowed(operation, OWNER)
    assert allowed(operation, ROOT)
    assert not allowed(operation, OTHER)
    assert not allowed(operation, ANONYMOUS)


@pytest.mark.parametrize(
    ("acl_name", "operation", "by_other", "by_anonymous"),
    [
        ("public-read", "ListObjectsV2", True, True),
        ("public-read", "HeadBucket", True, True),
        ("public-read", "ListMultipartUploads", True, True),
        ("public-read", "GetObject", False, False),
        ("public-read", "PutObject", False, False),
        ("public-read", "GetBucketAcl", False, False),
        ("public-read", "GetBucketPolicy", False, False),
        ("authenticated-read", "ListObjects", True, False),
        ("public-read-write", "PutObject", True, True),
        ("public-read-write", "DeleteObject", True, True),
        ("public-read-write", "CreateMultipartUpload", True, True),
        ("public-read-write", "GetObject", False, False),
        ("public-read-write", "PutBucketAcl", False, False),
        ("public-read-write", "DeleteBucket", False, False),
        ("public-read-write", "PutObjectTagging", False, False),
        ("log-delivery-write", "PutObject", False, False),
    ],
)
def test_bucket_acl(acl_name: str, operation: str, by_other: bool, by_anonymous: bool) -> None:
    bucket = bucket_with(acl=canned(acl_name))
    assert allowed(operation, OTHER, bucket) is by_other
    assert allowed(operation, ANONYMOUS, bucket) is by_anonymous
    enforced = bucket_with(acl=canned(acl_name), **ENFORCED)
    ignoring = bucket_with(
        **{ACL: canned(acl_name), PUBLIC_ACCESS_BLOCK: encode_block(PublicAccessBlock(ignore_public_acls=True))}
    )
    for closed in (enforced, ignoring):
        assert not allowed(operation, OTHER, closed)
        assert not allowed(operation, ANONYMOUS, closed)


@pytest.mark.parametrize(
    ("permission", "operation", "granted"),
    [
        (Permission.READ, "GetObject", True),
        (Permission.READ, "HeadObject", True),
        (Permission.READ, "GetObjectAcl", False),
        (Permission.READ, "GetObjectTagging", False),
        (Permission.READ, "PutObjectAcl", False),
        (Permission.READ_ACP, "GetObjectAcl", True),
        (Permission.READ_ACP, "GetObject", False),
        (Permission.WRITE_ACP, "PutObjectAcl", True),
        (Permission.WRITE_ACP, "GetObjectAcl", False),
        (Permission.WRITE, "PutObject", False),
        (Permission.FULL_CONTROL, "GetObject", True),
        (Permission.FULL_CONTROL, "PutObjectAcl", True),
        (Permission.FULL_CONTROL, "DeleteObject", False),
    ],
)
def test_object_acl(permission: Permission, operation: str, granted: bool) -> None:
    grant = Grant(grantee=acl.user(OTHER.canonical_id), permission=permission)
    record = replace(RECORD, acl=acl.encode_grants((grant,), OWNER.canonical_id))
    assert allowed(operation, OTHER, PRIVATE, record) is granted
    assert not allowed(operation, ANONYMOUS, PRIVATE, record)
    assert not allowed(operation, OTHER, bucket_with(**ENFORCED), record)


def test_bucket_owner_does_not_read_what_others_own_unless_ownership_is_enforced() -> None:
    foreign = replace(RECORD, owner_id=OTHER.canonical_id)
    everything = policy({"Action": "s3:*"})
    for bucket in (PRIVATE, bucket_with(policy=everything)):
        assert not allowed("GetObject", OWNER, bucket, foreign)
        assert not allowed("GetObjectAcl", OWNER, bucket, foreign)
        assert not allowed("PutObjectAcl", OWNER, bucket, foreign)
        assert allowed("DeleteObject", OWNER, bucket, foreign)
        assert allowed("GetObject", OTHER, bucket, foreign)
        assert allowed("PutObjectAcl", OTHER, bucket, foreign)
    assert not allowed("GetObject", ANONYMOUS, bucket_with(policy=everything), foreign)
    assert allowed("GetObject", OWNER, bucket_with(**ENFORCED), foreign)
    assert not allowed("GetObject", OTHER, bucket_with(**ENFORCED), foreign)
    assert allowed("GetObject", ROOT, PRIVATE, foreign)


def test_owner_who_revoked_all_grants_can_still_reach_the_acl() -> None:
    mine = replace(RECORD, owner_id=OTHER.canonical_id, acl="-")
    assert not allowed("GetObject", OTHER, PRIVATE, mine)
    assert allowed("GetObjectAcl", OTHER, PRIVATE, mine)
    assert allowed("PutObjectAcl", OTHER, PRIVATE, mine)


def test_what_the_anonymous_wrote_is_nobodys_to_regrant() -> None:
    written = replace(RECORD, owner_id=ANONYMOUS.canonical_id)
    assert allowed("GetObject", ANONYMOUS, PRIVATE, written)
    assert not allowed("GetObjectTagging", ANONYMOUS, PRIVATE, written)
    assert not allowed("GetObject", OTHER, PRIVATE, written)
    blocked = bucket_with(**{PUBLIC_ACCESS_BLOCK: encode_block(PublicAccessBlock(ignore_public_acls=True))})
    assert not allowed("GetObject", ANONYMOUS, blocked, written)


@pytest.mark.parametrize(
    ("statements", "operation", "who", "expected"),
    [
        ([{"Action": "s3:GetObject"}], "GetObject", ANONYMOUS, True),
        ([{"Action": "s3:GetObject"}], "GetObjectAcl", ANONYMOUS, False),
        ([{"Action": "s3:GetObject"}], "ListObjectsV2", ANONYMOUS, False),
        ([{"Action": "s3:GetObject", "Principal": {"AWS": "arn:aws:iam:::user/max"}}], "GetObject", OTHER, True),
        ([{"Action": "s3:GetObject", "Principal": {"AWS": "arn:aws:iam:::user/max"}}], "GetObject", ANONYMOUS, False),
        ([{"Action": "s3:GetObject", "Principal": {"CanonicalUser": "b" * 64}}], "GetObject", OTHER, True),
        ([{"Action": "s3:GetObject", "Principal": {"AWS": f"arn:aws:iam::{'b' * 64}:root"}}], "GetObject", OTHER, True),
        ([{"Action": "s3:*"}], "PutBucketCors", OTHER, True),
        ([{"Action": "s3:*", "Effect": "Deny"}], "GetObject", OWNER, False),
        ([{"Action": "s3:*", "Effect": "Deny"}], "GetObject", ROOT, False),
        ([{"Action": "s3:*", "Effect": "Deny"}], "DeleteBucketPolicy", OWNER, True),
        ([{"Action": "s3:*", "Effect": "Deny"}], "PutBucketPolicy", ROOT, True),
        ([{"Action": "s3:*", "Effect": "Deny"}], "DeleteBucketPolicy", OTHER, False),
        ([{"Action": "s3:*"}, {"Action": "s3:PutObject", "Effect": "Deny"}], "PutObject", OTHER, False),
        ([{"Action": "s3:*"}, {"Action": "s3:PutObject", "Effect": "Deny"}], "UploadPart", OWNER, False),
        ([{"Action": "s3:*"}, {"Action": "s3:PutObject", "Effect": "Deny"}], "DeleteObject", OTHER, True),
    ],
)
def test_bucket_policy(statements: list[dict[str, Any]], operation: str, who: Identity, expected: bool) -> None:
    assert allowed(operation, who, bucket_with(policy=policy(*statements))) is expected


def test_policy_of_another_account_does_not_hand_out_the_policy() -> None:
    with pytest.raises(AssertionError, match="MethodNotAllowed"):
        allowed("GetBucketPolicy", OTHER, bucket_with(policy=policy({"Action": "s3:*"})))


@pytest.mark.parametrize(
    ("headers", "needed"),
    [
        ({"x-amz-acl": "public-read"}, "s3:PutObjectAcl"),
        ({"x-amz-grant-read": "id=x"}, "s3:PutObjectAcl"),
        ({"x-amz-tagging": "a=b"}, "s3:PutObjectTagging"),
        ({"x-amz-object-lock-mode": "GOVERNANCE"}, "s3:PutObjectRetention"),
        ({"x-amz-object-lock-legal-hold": "ON"}, "s3:PutObjectLegalHold"),
    ],
)
def test_headers_of_a_write_need_actions_of_their_own(headers: dict[str, str], needed: str) -> None:
    alone = bucket_with(policy=policy({"Action": "s3:PutObject"}))
    both = bucket_with(policy=policy({"Action": ["s3:PutObject", needed]}))
    denied = bucket_with(policy=policy({"Action": needed, "Effect": "Deny"}))
    for operation in ("PutObject", "CopyObject", "CreateMultipartUpload"):
        assert allowed(operation, OTHER, alone)
        assert not allowed(operation, OTHER, alone, headers=headers)
        assert allowed(operation, OTHER, both, headers=headers)
        assert not allowed(operation, OWNER, denied, headers=headers)
        assert allowed(operation, OWNER, denied)


def test_a_version_needs_the_action_for_versions() -> None:
    bucket = bucket_with(policy=policy({"Action": ["s3:GetObject", "s3:DeleteObject"]}))
    versions = bucket_with(policy=policy({"Action": ["s3:GetObjectVersion", "s3:DeleteObjectVersion"]}))
    for operation in ("GetObject", "DeleteObject"):
        assert allowed(operation, OTHER, bucket)
        assert not allowed(operation, OTHER, bucket, query=b"versionId=1")
        assert allowed(operation, OTHER, versions, query=b"versionId=1")
        assert not allowed(operation, OTHER, versions)


def test_absence_is_told_to_whom_the_bucket_is_listed_only() -> None:
    reads = bucket_with(policy=policy({"Action": "s3:GetObject"}))
    lists = bucket_with(policy=policy({"Action": "s3:ListBucket"}))
    marker = replace(RECORD, delete_marker=True)
    for missing in (None, marker):
        assert not allowed("GetObject", OTHER, reads, missing)
        assert allowed("GetObject", OTHER, lists, missing)
        assert allowed("GetObject", OWNER, reads, missing)
    below = {"StringEquals": {"s3:prefix": "a"}}
    assert allowed(
        "HeadObject", OTHER, bucket_with(policy=policy({"Action": "s3:ListBucket", "Condition": below})), None
    )
    elsewhere = {"StringEquals": {"s3:prefix": "b"}}
    assert not allowed(
        "HeadObject", OTHER, bucket_with(policy=policy({"Action": "s3:ListBucket", "Condition": elsewhere})), None
    )


def test_restricted_public_bucket_is_its_owners() -> None:
    block = encode_block(PublicAccessBlock(restrict_public_buckets=True))
    public = bucket_with(**{POLICY: policy({"Action": "s3:GetObject"}), PUBLIC_ACCESS_BLOCK: block})
    named = bucket_with(
        **{
            POLICY: policy({"Action": "s3:GetObject", "Principal": {"AWS": "arn:aws:iam:::user/max"}}),
            PUBLIC_ACCESS_BLOCK: block,
        }
    )
    assert not allowed("GetObject", OTHER, public)
    assert not allowed("GetObject", ANONYMOUS, public)
    assert allowed("GetObject", OWNER, public)
    assert allowed("GetObject", OTHER, named)


@pytest.mark.parametrize(
    ("condition", "headers", "expected"),
    [
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, {}, True),
        ({"IpAddress": {"aws:SourceIp": "192.0.3.0/24"}}, {}, False),
        ({"StringLike": {"aws:Referer": "http://a/*"}}, {"referer": "http://a/b"}, True),
        ({"StringLike": {"aws:Referer": "http://a/*"}}, {}, False),
        ({"StringEquals": {"aws:UserAgent": "test"}}, {"user-agent": "test"}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, {}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2026-02-01T00:00:00Z"}}, {}, True),
        ({"NumericGreaterThan": {"aws:EpochTime": "1800000000"}}, {}, False),
        ({"StringEquals": {"aws:username": "max"}}, {}, True),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam:::user/m*"}}, {}, True),
        ({"StringEquals": {"s3:ExistingObjectTag/Colour": "red"}}, {}, True),
        ({"StringEquals": {"s3:ExistingObjectTag/Colour": "blue"}}, {}, False),
        ({"Null": {"s3:authType": "true"}}, {}, True),
        ({"StringEquals": {"s3:ResourceAccount": "a" * 64}}, {}, True),
    ],
)
def test_conditions_see_request_and_object(condition: dict[str, Any], headers: dict[str, str], expected: bool) -> None:
    bucket = bucket_with(policy=policy({"Action": "s3:GetObject", "Condition": condition}))
    tagged = replace(RECORD, tags=(("Colour", "red"),))
    assert allowed("GetObject", OTHER, bucket, tagged, headers=headers) is expected


def test_requester_pays_asks_others_to_agree() -> None:
    bucket = bucket_with(**{POLICY: policy({"Action": "s3:GetObject"}), REQUEST_PAYMENT: b"Requester"})
    agrees = {"x-amz-request-payer": "requester"}
    assert not allowed("GetObject", OTHER, bucket)
    assert allowed("GetObject", OTHER, bucket, headers=agrees)
    assert not allowed("GetObject", ANONYMOUS, bucket, headers=agrees)
    assert allowed("GetObject", OWNER, bucket)


def test_expected_owner_comes_before_everything() -> None:
    assert not allowed("GetObject", ROOT, headers={"x-amz-expected-bucket-owner": OTHER.canonical_id})
    assert allowed("GetObject", OWNER, headers={"x-amz-expected-bucket-owner": OWNER.canonical_id})
