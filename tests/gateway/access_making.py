"""Requests, buckets and users for tests of access decisions. No test lives here."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.authorization import AccessCheck, Found
from gateway.condition_values import Sender
from gateway.credentials import Identity
from gateway.identity_policies import stored_policy
from gateway.index.records import BucketRecord, ObjectRecord
from gateway.operation_actions import OF_OBJECTS
from gateway.refusals import Reason, Refused
from s3compat.request import Headers, S3Request

OWNER = Identity(canonical_id="a" * 64, display_name="Olga", name="olga")
OTHER = Identity(canonical_id="b" * 64, display_name="Max", name="max")
ROOT = Identity(canonical_id="c" * 64, display_name="root", name="root", is_root=True)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
PRIVATE = BucketRecord(name="photos", bucket_id=1, owner_id=OWNER.canonical_id, created_ms=0, region="us-east-1")
RECORD = ObjectRecord(etag="", size_bytes=0, modified_ms=0, owner_id=OWNER.canonical_id)


def held_to(identity: Identity, *statements: dict[str, Any]) -> Identity:
    """The user with an identity policy; a statement allows everything but for what it says."""
    made = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"} | one for one in statements]
    return replace(identity, policy=stored_policy(json.dumps({"Version": "2012-10-17", "Statement": made})))


def bucket_policy(*statements: dict[str, Any]) -> bytes:
    """The policy of the bucket; a statement allows everybody everything but for what it says."""
    resources = ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]
    made = [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": resources} | one for one in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": made}).encode()


def bucket_with(**configs: bytes) -> BucketRecord:
    return replace(PRIVATE, configs=configs)


def sender_of(
    who: Identity,
    path: bytes = b"/photos/a",
    query: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    secure: bool = False,
) -> Sender:
    raw = [(b"host", b"x"), *[(name.encode(), value.encode()) for name, value in (headers or {}).items()]]
    request = S3Request.build("GET", path, query, Headers.from_raw(raw), secure, ())
    return Sender(identity=who, request=request, now=NOW, region="us-east-1", client_address="192.0.2.1", claim=None)


def refusal_of(
    operation: str,
    who: Identity,
    bucket: BucketRecord | None = PRIVATE,
    record: ObjectRecord | None = RECORD,
    *,
    path: bytes = b"/photos/a",
    query: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Reason | None:
    """Why a request is refused, None where it is allowed."""
    found = Found(version_id=None, record=record) if operation in OF_OBJECTS else None
    try:
        AccessCheck(sender_of(who, path, query, headers)).require(operation, bucket, found)
    except Refused as refused:
        return refused.reason
    return None
