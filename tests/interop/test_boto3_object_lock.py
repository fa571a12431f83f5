"""Object lock through boto3: what is locked stays, whoever asks and however."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.interop.support import User

UNTIL = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)


def refusal(call: Any, **arguments: Any) -> str:
    """The code of the error that a call ends in."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


@pytest.fixture
def locking(s3: Any, bucket_name: str) -> str:
    """A bucket with object lock."""
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    return bucket_name


def put(s3: Any, bucket: str, **lock: Any) -> str:
    version: str = s3.put_object(Bucket=bucket, Key="k", Body=b"kept", **lock)["VersionId"]
    return version


def test_a_bucket_made_with_object_lock_is_versioning_and_stays_so(s3: Any, locking: str) -> None:
    assert s3.get_bucket_versioning(Bucket=locking)["Status"] == "Enabled"
    stated = s3.get_object_lock_configuration(Bucket=locking)["ObjectLockConfiguration"]
    assert stated == {"ObjectLockEnabled": "Enabled"}
    suspended = {"Status": "Suspended"}
    assert refusal(s3.put_bucket_versioning, Bucket=locking, VersioningConfiguration=suspended) == "InvalidBucketState"


def test_a_bucket_without_it_says_so(s3: Any, bucket: str) -> None:
    name = {"Bucket": bucket}
    enabled = {"ObjectLockEnabled": "Enabled"}
    s3.put_object(**name, Key="k", Body=b"")
    assert refusal(s3.get_object_lock_configuration, **name) == "ObjectLockConfigurationNotFoundError"
    assert refusal(s3.put_object_lock_configuration, **name, ObjectLockConfiguration=enabled) == "InvalidBucketState"
    assert refusal(s3.get_object_retention, **name, Key="k") == "InvalidRequest"
    assert refusal(s3.put_object_legal_hold, **name, Key="k", LegalHold={"Status": "ON"}) == "InvalidRequest"
    assert refusal(s3.put_object, **name, Key="l", Body=b"", ObjectLockLegalHoldStatus="ON") == "InvalidRequest"
    s3.put_bucket_versioning(**name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object_lock_configuration(**name, ObjectLockConfiguration=enabled)
    assert s3.get_object_lock_configuration(**name)["ObjectLockConfiguration"] == enabled


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_a_retained_version_is_shown_and_stays(s3: Any, locking: str, mode: str) -> None:
    version = put(s3, locking, ObjectLockMode=mode, ObjectLockRetainUntilDate=UNTIL)
    named = {"Bucket": locking, "Key": "k", "VersionId": version}

    for read in (s3.head_object, s3.get_object):
        answer = read(**named)
        if "Body" in answer:
            answer["Body"].close()
        assert (answer["ObjectLockMode"], answer["ObjectLockRetainUntilDate"]) == (mode, UNTIL)
    assert s3.get_object_retention(**named)["Retention"] == {"Mode": mode, "RetainUntilDate": UNTIL}
    assert refusal(s3.delete_object, **named) == "AccessDenied"
    outcome = s3.delete_objects(Bucket=locking, Delete={"Objects": [{"Key": "k", "VersionId": version}]})
    assert outcome["Errors"][0]["Code"] == "AccessDenied"
    assert refusal(s3.delete_bucket, Bucket=locking) == "BucketNotEmpty"
    shorter = {"Mode": mode, "RetainUntilDate": UNTIL - timedelta(days=1)}
    assert refusal(s3.put_object_retention, **named, Retention=shorter) == "AccessDenied"
    longer = {"Mode": mode, "RetainUntilDate": UNTIL + timedelta(days=1)}
    s3.put_object_retention(**named, Retention=longer)
    assert s3.get_object_retention(**named)["Retention"] == longer
    bypass = {"BypassGovernanceRetention": True}
    if mode == "COMPLIANCE":
        assert refusal(s3.delete_object, **named, **bypass) == "AccessDenied"
        assert refusal(s3.put_object_retention, **named, Retention=shorter, **bypass) == "AccessDenied"
    else:
        s3.put_object_retention(**named, Retention=shorter, **bypass)
        s3.delete_object(**named, **bypass)
        assert refusal(s3.get_object, **named) == "NoSuchVersion"


def test_a_legal_hold_comes_and_goes(s3: Any, locking: str) -> None:
    version = put(s3, locking)
    named = {"Bucket": locking, "Key": "k", "VersionId": version}
    assert refusal(s3.get_object_legal_hold, **named) == "NoSuchObjectLockConfiguration"

    s3.put_object_legal_hold(**named, LegalHold={"Status": "ON"})
    assert s3.head_object(**named)["ObjectLockLegalHoldStatus"] == "ON"
    assert refusal(s3.delete_object, **named, BypassGovernanceRetention=True) == "AccessDenied"
    s3.put_object_legal_hold(**named, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(**named)["LegalHold"] == {"Status": "OFF"}
    s3.delete_object(**named)


def test_a_default_locks_what_is_put_copied_and_completed(s3: Any, locking: str) -> None:
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
    s3.put_object_lock_configuration(
        Bucket=locking, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    assert s3.get_object_lock_configuration(Bucket=locking)["ObjectLockConfiguration"]["Rule"] == rule
    source = put(s3, locking)
    s3.copy_object(Bucket=locking, Key="copy", CopySource={"Bucket": locking, "Key": "k"})
    upload = s3.create_multipart_upload(Bucket=locking, Key="parts")["UploadId"]
    named = {"Bucket": locking, "Key": "parts", "UploadId": upload}
    part = s3.upload_part(**named, PartNumber=1, Body=b"part")
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})

    for key in ("k", "copy", "parts"):
        head = s3.head_object(Bucket=locking, Key=key)
        assert head["ObjectLockMode"] == "GOVERNANCE"
        remaining = head["ObjectLockRetainUntilDate"] - datetime.now(UTC)
        assert timedelta(days=2, hours=23) < remaining <= timedelta(days=3)
    assert refusal(s3.delete_object, Bucket=locking, Key="k", VersionId=source) == "AccessDenied"


def test_what_a_copy_says_of_its_lock_counts_and_not_the_sources(s3: Any, locking: str) -> None:
    put(s3, locking, ObjectLockLegalHoldStatus="ON")
    s3.copy_object(Bucket=locking, Key="free", CopySource={"Bucket": locking, "Key": "k"})
    assert "ObjectLockLegalHoldStatus" not in s3.head_object(Bucket=locking, Key="free")
    s3.copy_object(
        Bucket=locking, Key="held", CopySource={"Bucket": locking, "Key": "k"}, ObjectLockLegalHoldStatus="ON"
    )
    assert s3.head_object(Bucket=locking, Key="held")["ObjectLockLegalHoldStatus"] == "ON"


def test_overwriting_and_deleting_without_a_version_leave_the_locked_one(s3: Any, locking: str) -> None:
    version = put(s3, locking, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=UNTIL)
    put(s3, locking)
    s3.delete_object(Bucket=locking, Key="k")
    assert s3.get_object(Bucket=locking, Key="k", VersionId=version)["Body"].read() == b"kept"


def test_the_bypass_needs_its_own_permission(s3: Any, user_s3: Any, user: User, locking: str) -> None:
    version = put(s3, locking, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=UNTIL)
    named = {"Bucket": locking, "Key": "k", "VersionId": version}
    allowed = ["s3:DeleteObjectVersion", "s3:DeleteObject"]

    def allow(actions: list[str]) -> None:
        resource = f"arn:aws:s3:::{locking}/*"
        statement = {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": resource}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        s3.put_bucket_policy(Bucket=locking, Policy=json.dumps(policy))

    allow(allowed)
    assert refusal(user_s3.delete_object, **named, BypassGovernanceRetention=True) == "AccessDenied"
    allow([*allowed, "s3:BypassGovernanceRetention"])
    assert refusal(user_s3.delete_object, **named) == "AccessDenied"
    user_s3.delete_object(**named, BypassGovernanceRetention=True)
