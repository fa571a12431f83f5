"""Configurations on which nothing here would act: asked for, they are as of a bucket without; none is stored."""

from typing import Any

import pytest

from tests.interop.support import refusal

KINDS = ("analytics", "intelligent_tiering", "inventory", "metrics")
DESTINATION = {"S3BucketDestination": {"Bucket": "arn:aws:s3:::other", "Format": "CSV"}}
STORED: dict[str, dict[str, Any]] = {
    "put_bucket_accelerate_configuration": {"AccelerateConfiguration": {"Status": "Enabled"}},
    "put_bucket_analytics_configuration": {
        "Id": "x",
        "AnalyticsConfiguration": {"Id": "x", "StorageClassAnalysis": {}},
    },
    "put_bucket_intelligent_tiering_configuration": {
        "Id": "x",
        "IntelligentTieringConfiguration": {
            "Id": "x",
            "Status": "Enabled",
            "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}],
        },
    },
    "put_bucket_inventory_configuration": {
        "Id": "x",
        "InventoryConfiguration": {
            "Id": "x",
            "Destination": DESTINATION,
            "IsEnabled": True,
            "IncludedObjectVersions": "All",
            "Schedule": {"Frequency": "Daily"},
        },
    },
    "put_bucket_metrics_configuration": {"Id": "x", "MetricsConfiguration": {"Id": "x"}},
    "put_bucket_replication": {
        "ReplicationConfiguration": {
            "Role": "arn:aws:iam::123456789012:role/r",
            "Rules": [{"Status": "Enabled", "Prefix": "", "Destination": {"Bucket": "arn:aws:s3:::other"}}],
        }
    },
}


@pytest.mark.parametrize("operation", STORED)
def test_to_store_one_is_not_implemented(s3: Any, bucket: str, operation: str) -> None:
    refused = refusal(getattr(s3, operation), Bucket=bucket, **STORED[operation])
    assert (refused.code, refused.status) == ("NotImplemented", 501)


@pytest.mark.parametrize("kind", KINDS)
def test_none_is_found_by_its_id(s3: Any, bucket: str, kind: str) -> None:
    for verb in ("get", "delete"):
        refused = refusal(getattr(s3, f"{verb}_bucket_{kind}_configuration"), Bucket=bucket, Id="x")
        assert (refused.code, refused.status) == ("NoSuchConfiguration", 404)


@pytest.mark.parametrize("kind", KINDS)
def test_none_is_listed(s3: Any, bucket: str, kind: str) -> None:
    answer = getattr(s3, f"list_bucket_{kind}_configurations")(Bucket=bucket)
    assert answer["IsTruncated"] is False
    assert not [name for name in answer if name.endswith("List")]


def test_acceleration_and_replication_are_those_of_a_bucket_without(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    refused = refusal(s3.get_bucket_replication, Bucket=bucket)
    assert (refused.code, refused.status) == ("ReplicationConfigurationNotFoundError", 404)
    s3.delete_bucket_replication(Bucket=bucket)


def test_who_may_not_look_is_denied(s3: Any, user_s3: Any, bucket: str) -> None:
    for kind in KINDS:
        listing = getattr(user_s3, f"list_bucket_{kind}_configurations")
        assert refusal(listing, Bucket=bucket).code == "AccessDenied"
    assert refusal(user_s3.get_bucket_replication, Bucket=bucket).code == "AccessDenied"
