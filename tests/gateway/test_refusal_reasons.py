"""gateway.refusal_reasons: every way in which access is refused names what decided."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.authorization import AccessCheck
from gateway.bucket_access import ACL, OWNERSHIP, PUBLIC_ACCESS_BLOCK, REQUEST_PAYMENT, PublicAccessBlock, encode_block
from gateway.credentials import ANONYMOUS, Identity
from gateway.index.records import BucketRecord, ObjectRecord
from gateway.refusals import Decider
from s3compat import acl
from tests.gateway.access_making import (
    OTHER,
    OWNER,
    PRIVATE,
    RECORD,
    bucket_policy,
    bucket_with,
    held_to,
    refusal_of,
    sender_of,
)

PUBLIC_ACL = acl.encode_grants(
    acl.canned("public-read", owner_id=OWNER.canonical_id, bucket_owner_id=OWNER.canonical_id), OWNER.canonical_id
)
IGNORING = encode_block(PublicAccessBlock(ignore_public_acls=True))
RESTRICTING = encode_block(PublicAccessBlock(restrict_public_buckets=True))
PUBLIC_RECORD = replace(RECORD, acl=PUBLIC_ACL)
FOREIGN = replace(RECORD, owner_id=OTHER.canonical_id)
DENY = bucket_policy({"Sid": "All"}, {"Sid": "NoReading", "Effect": "Deny", "Action": "s3:GetObject"})


@pytest.mark.parametrize(
    ("who", "bucket", "record", "headers", "decider", "statement", "words"),
    [
        (OWNER, bucket_with(policy=DENY), RECORD, {}, Decider.BUCKET_POLICY, (2, "NoReading"), "bucket photos denies"),
        (
            held_to(OWNER, {}, {"Effect": "Deny"}),
            PRIVATE,
            RECORD,
            {},
            Decider.IDENTITY_POLICY,
            (2, ""),
            "of olga denies",
        ),
        (
            held_to(OWNER, {"Action": "s3:PutObject"}),
            PRIVATE,
            RECORD,
            {},
            Decider.IDENTITY_POLICY,
            (0, ""),
            "no statement",
        ),
        (
            OTHER,
            bucket_with(**{"policy": bucket_policy({"Sid": "X"}), PUBLIC_ACCESS_BLOCK: RESTRICTING}),
            RECORD,
            {},
            Decider.PUBLIC_ACCESS_BLOCK,
            (1, "X"),
            "RestrictPublicBuckets",
        ),
        (
            ANONYMOUS,
            bucket_with(**{PUBLIC_ACCESS_BLOCK: IGNORING}),
            PUBLIC_RECORD,
            {},
            Decider.PUBLIC_ACCESS_BLOCK,
            (0, ""),
            "IgnorePublicAcls",
        ),
        (
            ANONYMOUS,
            bucket_with(**{OWNERSHIP: b"BucketOwnerEnforced"}),
            PUBLIC_RECORD,
            {},
            Decider.OWNERSHIP,
            (0, ""),
            "BucketOwnerEnforced",
        ),
        (OWNER, PRIVATE, FOREIGN, {}, Decider.OWNERSHIP, (0, ""), f"belongs to {OTHER.canonical_id}"),
        (ANONYMOUS, bucket_with(policy=bucket_policy({})), FOREIGN, {}, Decider.OWNERSHIP, (0, ""), "not the bucket's"),
        (
            OTHER,
            PRIVATE,
            RECORD,
            {},
            Decider.MISSING_PERMISSION,
            (0, ""),
            "max does not own it, bucket photos has no policy",
        ),
        (ANONYMOUS, PRIVATE, RECORD, {}, Decider.MISSING_PERMISSION, (0, ""), "anonymous sender does not own it"),
        (OTHER, PRIVATE, None, {}, Decider.MISSING_KEY, (0, ""), "no such key"),
        (OWNER, PRIVATE, RECORD, {"x-amz-expected-bucket-owner": "1"}, Decider.EXPECTED_OWNER, (0, ""), "names 1"),
        (
            OTHER,
            bucket_with(**{REQUEST_PAYMENT: b"Requester"}),
            RECORD,
            {},
            Decider.REQUESTER_PAYS,
            (0, ""),
            "x-amz-request-payer",
        ),
    ],
)
def test_reading_is_refused_with_its_reason(
    who: Identity,
    bucket: BucketRecord,
    record: ObjectRecord | None,
    headers: Mapping[str, str],
    decider: Decider,
    statement: tuple[int, str],
    words: str,
) -> None:
    reason = refusal_of("GetObject", who, bucket, record, headers=headers)
    assert reason is not None
    assert (reason.decider, (reason.statement, reason.sid)) == (decider, statement)
    assert words in reason.text
    if decider not in (Decider.EXPECTED_OWNER, Decider.REQUESTER_PAYS):
        assert (reason.action, reason.resource) in [
            ("s3:GetObject", "arn:aws:s3:::photos/a"),
            ("s3:ListBucket", "arn:aws:s3:::photos"),
        ]


def test_bucket_acl_that_does_not_count_is_named() -> None:
    stored = {ACL: PUBLIC_ACL.encode()}
    for more, decider in (
        ({OWNERSHIP: b"BucketOwnerEnforced"}, Decider.OWNERSHIP),
        ({PUBLIC_ACCESS_BLOCK: IGNORING}, Decider.PUBLIC_ACCESS_BLOCK),
    ):
        reason = refusal_of("ListObjectsV2", OTHER, bucket_with(**stored, **more), path=b"/photos")
        assert reason is not None
        assert reason.decider is decider


def test_extra_action_of_a_header_is_the_one_named() -> None:
    bucket = bucket_with(policy=bucket_policy({"Action": "s3:PutObject"}))
    reason = refusal_of("PutObject", OTHER, bucket, headers={"x-amz-tagging": "a=b"})
    assert reason is not None
    assert reason.action == "s3:PutObjectTagging"


def test_what_has_no_entry_and_what_is_for_users_only() -> None:
    unknown, nobody = refusal_of("WriteGetObjectResponse", OWNER), refusal_of("ListBuckets", ANONYMOUS, None, path=b"/")
    assert unknown is not None
    assert nobody is not None
    assert (unknown.decider, nobody.decider) == (Decider.OPERATION, Decider.MISSING_PERMISSION)


def test_keys_of_one_request_that_are_refused_are_remembered_up_to_a_bound() -> None:
    check = AccessCheck(sender_of(OTHER, b"/photos"))
    assert not any(check.may_delete(PRIVATE, f"k{number}", None) for number in range(50))
    assert [reason.resource for reason in check.refusals] == [f"arn:aws:s3:::photos/k{number}" for number in range(10)]
