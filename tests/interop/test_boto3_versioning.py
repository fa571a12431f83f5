"""Versioning through boto3: states, the null version, delete markers, and the list of versions."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.harness.cairn import CairnServer


@pytest.fixture
def versioned(cairn: CairnServer, bucket: str) -> tuple[Any, str]:
    """A client and a bucket that keeps versions."""
    client = cairn.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return client, bucket


def put(client: Any, bucket: str, key: str, body: bytes) -> str:
    version: str = client.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
    return version


def read(client: Any, bucket: str, key: str, **version: str) -> bytes:
    body: bytes = client.get_object(Bucket=bucket, Key=key, **version)["Body"].read()
    return body


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_state_is_nothing_then_what_was_set(cairn: CairnServer, bucket: str) -> None:
    client = cairn.client()
    assert "Status" not in client.get_bucket_versioning(Bucket=bucket)
    for status in ("Enabled", "Suspended", "Enabled"):
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert client.get_bucket_versioning(Bucket=bucket)["Status"] == status


def test_state_without_a_status_is_refused(cairn: CairnServer, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        cairn.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={})
    assert code_of(refused) == "IllegalVersioningConfigurationException"


def test_mfa_delete_needs_a_device_that_nobody_has(cairn: CairnServer, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        cairn.client().put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"}
        )
    assert code_of(refused) == "AccessDenied"


def test_each_version_is_read_by_its_id(versioned: tuple[Any, str]) -> None:
    client, bucket = versioned
    ids = [put(client, bucket, "key", body) for body in (b"one", b"two", b"three")]
    assert [read(client, bucket, "key", VersionId=one) for one in ids] == [b"one", b"two", b"three"]
    assert read(client, bucket, "key") == b"three"
    assert client.head_object(Bucket=bucket, Key="key")["VersionId"] == ids[-1]


def test_delete_puts_a_marker_and_deleting_the_marker_brings_the_object_back(versioned: tuple[Any, str]) -> None:
    client, bucket = versioned
    version = put(client, bucket, "key", b"body")
    deleted = client.delete_object(Bucket=bucket, Key="key")
    assert deleted["DeleteMarker"]
    with pytest.raises(ClientError) as missing:
        client.get_object(Bucket=bucket, Key="key")
    assert code_of(missing) == "NoSuchKey"
    assert missing.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    with pytest.raises(ClientError) as marker:
        client.get_object(Bucket=bucket, Key="key", VersionId=deleted["VersionId"])
    assert code_of(marker) == "MethodNotAllowed"
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    undone = client.delete_object(Bucket=bucket, Key="key", VersionId=deleted["VersionId"])
    assert (undone["DeleteMarker"], undone["VersionId"]) == (True, deleted["VersionId"])
    assert read(client, bucket, "key", VersionId=version) == read(client, bucket, "key") == b"body"


def test_object_from_before_versioning_is_the_null_version(cairn: CairnServer, bucket: str) -> None:
    client = cairn.client()
    client.put_object(Bucket=bucket, Key="key", Body=b"old")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put(client, bucket, "key", b"new")
    assert read(client, bucket, "key", VersionId="null") == b"old"
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert client.put_object(Bucket=bucket, Key="key", Body=b"newest")["VersionId"] == "null"
    versions = client.list_object_versions(Bucket=bucket)["Versions"]
    assert [one["VersionId"] == "null" for one in versions] == [True, False]
    assert read(client, bucket, "key", VersionId="null") == b"newest"


def test_list_pages_through_versions_and_markers(versioned: tuple[Any, str]) -> None:
    client, bucket = versioned
    written = []
    for key in ("a", "b/1", "b/2", "c"):
        written += [(key, put(client, bucket, key, b"1")), (key, put(client, bucket, key, b"2"))]
    written.append(("c", client.delete_object(Bucket=bucket, Key="c")["VersionId"]))
    expected = sorted(written, key=lambda entry: entry[0])
    seen = []
    latest = []
    markers: dict[str, str] = {}
    while True:
        page = client.list_object_versions(Bucket=bucket, MaxKeys=2, **markers)
        entries = page.get("Versions", []) + page.get("DeleteMarkers", [])
        seen += [(entry["Key"], entry["VersionId"]) for entry in entries]
        latest += [entry["VersionId"] for entry in entries if entry["IsLatest"]]
        if not page["IsTruncated"]:
            break
        markers = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert sorted(seen) == sorted(expected)
    assert set(latest) == {dict(expected)[key] for key in ("a", "b/1", "b/2", "c")}
    grouped = client.list_object_versions(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in grouped["CommonPrefixes"]] == ["b/"]
    assert {one["Key"] for one in grouped["Versions"]} == {"a", "c"}


@pytest.mark.parametrize(("version", "code"), [("no-such-id", "InvalidArgument"), ("0" * 16, "NoSuchVersion")])
def test_version_that_is_not_there_is_said_so(versioned: tuple[Any, str], version: str, code: str) -> None:
    client, bucket = versioned
    put(client, bucket, "key", b"body")
    with pytest.raises(ClientError) as missing:
        client.get_object(Bucket=bucket, Key="key", VersionId=version)
    assert code_of(missing) == code


def test_bucket_with_only_old_versions_is_not_empty(versioned: tuple[Any, str]) -> None:
    client, bucket = versioned
    version = put(client, bucket, "key", b"body")
    marker = client.delete_object(Bucket=bucket, Key="key")["VersionId"]
    with pytest.raises(ClientError) as refused:
        client.delete_bucket(Bucket=bucket)
    assert code_of(refused) == "BucketNotEmpty"
    deletions = [{"Key": "key", "VersionId": one} for one in (version, marker)]
    assert len(client.delete_objects(Bucket=bucket, Delete={"Objects": deletions})["Deleted"]) == 2
    assert not {"Versions", "DeleteMarkers"} & client.list_object_versions(Bucket=bucket).keys()


def test_copy_of_an_old_version_makes_it_current(versioned: tuple[Any, str]) -> None:
    client, bucket = versioned
    old = put(client, bucket, "key", b"old")
    put(client, bucket, "key", b"new")
    source = {"Bucket": bucket, "Key": "key", "VersionId": old}
    copied = client.copy_object(Bucket=bucket, Key="key", CopySource=source)
    assert copied["CopySourceVersionId"] == old
    assert read(client, bucket, "key") == b"old"
