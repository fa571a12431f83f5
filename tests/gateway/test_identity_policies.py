"""gateway.identity_policies and what an identity policy does to decisions: it allows nothing, and takes away."""

from typing import Any

import pytest

from gateway.authorization import AccessCheck
from gateway.bucket_access import PUBLIC_ACCESS_BLOCK, PublicAccessBlock, encode_block
from gateway.credentials import Identity
from gateway.identity_policies import NOTHING, stored_policy
from gateway.index.records import BucketRecord
from gateway.operation_actions import NEEDS
from gateway.refusals import Decider
from tests.gateway.access_making import (
    OTHER,
    OWNER,
    PRIVATE,
    bucket_policy,
    bucket_with,
    held_to,
    refusal_of,
    sender_of,
)

READING = {"Action": "s3:GetObject"}
DENYING = {"Effect": "Deny"}
OPEN = bucket_with(policy=bucket_policy({}))
TO_MAX = bucket_with(policy=bucket_policy({"Principal": {"AWS": "arn:aws:iam:::user/max"}, "Action": "s3:GetObject"}))
CLOSED = bucket_with(policy=bucket_policy({"Effect": "Deny"}))


@pytest.mark.parametrize(
    ("who", "bucket", "operation", "allowed"),
    [
        # One's own bucket: what the identity policy allows.
        (held_to(OWNER, READING), PRIVATE, "GetObject", True),
        (held_to(OWNER, READING), PRIVATE, "PutObject", False),
        (held_to(OWNER, READING), PRIVATE, "ListObjectsV2", False),
        (held_to(OWNER, {}), PRIVATE, "PutBucketPolicy", True),
        (held_to(OWNER, READING), OPEN, "PutObject", False),
        (held_to(OWNER, {}, DENYING), PRIVATE, "GetObject", False),
        (held_to(OWNER, {}, DENYING | READING), PRIVATE, "GetObject", False),
        (held_to(OWNER, {}, DENYING | READING), PRIVATE, "PutObject", True),
        # The way out of a bucket policy that denies everything is not a way out of one's identity policy.
        (held_to(OWNER, {}), CLOSED, "GetObject", False),
        (held_to(OWNER, {}), CLOSED, "DeleteBucketPolicy", True),
        (held_to(OWNER, {}, DENYING), PRIVATE, "DeleteBucketPolicy", False),
        (held_to(OWNER, READING), CLOSED, "DeleteBucketPolicy", False),
        # A bucket of another: both must allow.
        (held_to(OTHER, {}), PRIVATE, "GetObject", False),
        (held_to(OTHER, {}), TO_MAX, "GetObject", True),
        (held_to(OTHER, {}), TO_MAX, "PutObject", False),
        (held_to(OTHER, {"Action": "s3:PutObject"}), TO_MAX, "GetObject", False),
        (held_to(OTHER, {"Resource": "arn:aws:s3:::other/*"}), OPEN, "GetObject", False),
        (held_to(OTHER, {}, DENYING), OPEN, "GetObject", False),
        (held_to(OTHER, {}), CLOSED, "GetObject", False),
        (OTHER, OPEN, "GetObject", True),
    ],
)
def test_identity_policy_and_bucket_policy(who: Identity, bucket: BucketRecord, operation: str, allowed: bool) -> None:
    assert (refusal_of(operation, who, bucket) is None) is allowed


@pytest.mark.parametrize("operation", sorted(set(NEEDS) - {"DeleteObjects", "ListBuckets", "CreateBucket"}))
def test_policy_that_allows_everything_takes_nothing_away(operation: str) -> None:
    path = b"/photos" if "Bucket" in operation else b"/photos/a"
    assert refusal_of(operation, held_to(OWNER, {}), path=path) is None
    assert refusal_of(operation, held_to(OWNER, {}, DENYING), path=path) is not None


def test_identity_policy_allows_no_public_access_that_the_bucket_restricts() -> None:
    block = encode_block(PublicAccessBlock(restrict_public_buckets=True))
    bucket = bucket_with(**{"policy": bucket_policy({}), PUBLIC_ACCESS_BLOCK: block})
    reason = refusal_of("GetObject", held_to(OTHER, {}), bucket)
    assert reason is not None
    assert reason.decider is Decider.PUBLIC_ACCESS_BLOCK


@pytest.mark.parametrize(
    ("statement", "operation", "path", "headers", "allowed"),
    [
        ({}, "ListBuckets", b"/", {}, True),
        ({"Action": "s3:ListAllMyBuckets"}, "ListBuckets", b"/", {}, True),
        ({"Action": "s3:ListBucket"}, "ListBuckets", b"/", {}, False),
        ({"Action": "s3:ListAllMyBuckets", "Resource": "arn:aws:s3:::photos"}, "ListBuckets", b"/", {}, False),
        ({"Action": "s3:CreateBucket", "Resource": "arn:aws:s3:::max-*"}, "CreateBucket", b"/max-1", {}, True),
        ({"Action": "s3:CreateBucket", "Resource": "arn:aws:s3:::max-*"}, "CreateBucket", b"/photos", {}, False),
        ({"Action": "s3:CreateBucket"}, "CreateBucket", b"/b", {"x-amz-acl": "private"}, False),
        ({"Action": ["s3:CreateBucket", "s3:PutBucketAcl"]}, "CreateBucket", b"/b", {"x-amz-acl": "private"}, True),
        ({"Action": "s3:CreateBucket"}, "CreateBucket", b"/b", {"x-amz-object-ownership": "ObjectWriter"}, False),
        ({"Action": "s3:CreateBucket"}, "CreateBucket", b"/b", {"x-amz-bucket-object-lock-enabled": "true"}, False),
    ],
)
def test_what_is_on_no_bucket_yet(
    statement: dict[str, Any], operation: str, path: bytes, headers: dict[str, str], allowed: bool
) -> None:
    assert (refusal_of(operation, held_to(OTHER, statement), None, path=path, headers=headers) is None) is allowed
    assert refusal_of(operation, OTHER, None, path=path, headers=headers) is None


def test_variables_stand_for_the_user() -> None:
    who = held_to(OTHER, {"Resource": "arn:aws:s3:::photos/${aws:username}/${aws:userid}/*"})
    assert refusal_of("GetObject", who, OPEN, path=b"/photos/max/" + b"b" * 64 + b"/k") is None
    assert refusal_of("GetObject", who, OPEN, path=b"/photos/olga/" + b"b" * 64 + b"/k") is not None


def test_uploads_of_ones_own_are_held_to_the_policy_too() -> None:
    needs = NEEDS["AbortMultipartUpload"]
    assert not AccessCheck(sender_of(OTHER)).is_denied(needs, PRIVATE)
    assert not AccessCheck(sender_of(held_to(OTHER, {}))).is_denied(needs, PRIVATE)
    assert AccessCheck(sender_of(held_to(OTHER, READING))).is_denied(needs, PRIVATE)


def test_absence_is_told_to_whom_both_policies_let_list() -> None:
    assert refusal_of("GetObject", held_to(OWNER, READING), PRIVATE, None) is not None
    assert refusal_of("GetObject", held_to(OWNER, READING, {"Action": "s3:ListBucket"}), PRIVATE, None) is None


def test_policy_that_cannot_be_read_allows_nothing() -> None:
    assert stored_policy("") is None
    assert stored_policy('{"Version": "2040-01-01"}') is NOTHING
