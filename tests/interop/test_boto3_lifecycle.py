"""Lifecycle configurations through boto3; what the worker makes of them is tested beside the worker."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

RULES: list[dict[str, Any]] = [
    {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}},
    {
        "ID": "old versions",
        "Status": "Disabled",
        "Filter": {"And": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "v"}], "ObjectSizeGreaterThan": 10}},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
        "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}],
    },
]


def test_rules_are_kept_and_given_back(s3: Any, bucket: str) -> None:
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": RULES})

    answer = s3.get_bucket_lifecycle_configuration(Bucket=bucket)

    assert answer["Rules"] == RULES
    assert answer["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_answers_tell_when_an_object_expires(s3: Any, bucket: str) -> None:
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": RULES})

    put = s3.put_object(Bucket=bucket, Key="logs/a", Body=b"a")
    head = s3.head_object(Bucket=bucket, Key="logs/a")
    other = s3.put_object(Bucket=bucket, Key="other", Body=b"a")

    assert put["Expiration"] == head["Expiration"]
    assert put["Expiration"].startswith('expiry-date="')
    assert put["Expiration"].endswith(' GMT", rule-id="logs"')
    assert "Expiration" not in other


def test_a_rule_that_contradicts_itself_is_refused(s3: Any, bucket: str) -> None:
    wrong = [{**RULES[0], "Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}]
    with pytest.raises(ClientError, match="MalformedXML"):
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": wrong})
