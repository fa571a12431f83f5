"""boto3: If-* headers on reads, writes, deletes and copies.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

import datetime
from collections.abc import Mapping
from typing import Any

import pytest

from tests.interop.support import MIB, md5, refusal

CONTENT = b"content"
ETAG = f'"{md5(CONTENT)}"'
OTHER = f'"{md5(b"other")}"'
PAST = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
FUTURE = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)

#: Conditions of a read -> status. The last four are the combinations in the table of the GetObject page.
READS: list[tuple[Mapping[str, Any], int]] = [
    ({"IfMatch": ETAG}, 200),
    ({"IfMatch": md5(CONTENT)}, 200),
    ({"IfMatch": "*"}, 200),
    ({"IfMatch": f"{OTHER}, {ETAG}"}, 200),
    ({"IfMatch": OTHER}, 412),
    ({"IfNoneMatch": OTHER}, 200),
    ({"IfNoneMatch": ETAG}, 304),
    ({"IfNoneMatch": "*"}, 304),
    ({"IfModifiedSince": PAST}, 200),
    ({"IfModifiedSince": FUTURE}, 200),  # "if the date is in the future it is ignored" (RFC 9110 and S3)
    ({"IfUnmodifiedSince": PAST}, 412),
    ({"IfUnmodifiedSince": FUTURE}, 200),
    ({"IfMatch": ETAG, "IfUnmodifiedSince": PAST}, 200),
    ({"IfMatch": OTHER, "IfUnmodifiedSince": FUTURE}, 412),
    ({"IfNoneMatch": ETAG, "IfModifiedSince": PAST}, 304),
    ({"IfNoneMatch": OTHER, "IfModifiedSince": FUTURE}, 200),
]


@pytest.fixture
def key(s3: Any, bucket: str) -> str:
    """The key of an object that holds CONTENT."""
    s3.put_object(Bucket=bucket, Key="k", Body=CONTENT)
    return "k"


@pytest.mark.parametrize(("conditions", "status"), READS)
def test_read_conditions_decide_the_status(
    s3: Any, bucket: str, key: str, conditions: Mapping[str, Any], status: int
) -> None:
    for call in (s3.get_object, s3.head_object):
        if status == 200:
            assert call(Bucket=bucket, Key=key, **conditions)["ETag"] == ETAG
            continue
        refused = refusal(call, Bucket=bucket, Key=key, **conditions)
        assert refused.status == status
        if status == 304:
            # RFC 9110 section 15.4.5
            assert refused.headers["etag"] == ETAG
        elif call == s3.get_object:
            assert refused.code == "PreconditionFailed"
            assert refused.elements["Condition"].startswith("If-")


def test_object_is_unmodified_since_its_own_last_modified(s3: Any, bucket: str, key: str) -> None:
    modified = s3.head_object(Bucket=bucket, Key=key)["LastModified"]
    assert refusal(s3.get_object, Bucket=bucket, Key=key, IfModifiedSince=modified).status == 304
    s3.get_object(Bucket=bucket, Key=key, IfUnmodifiedSince=modified)["Body"].read()


def test_condition_is_decided_before_the_range(s3: Any, bucket: str, key: str) -> None:
    refused = refusal(s3.get_object, Bucket=bucket, Key=key, Range="bytes=100-", IfMatch=OTHER)
    assert refused.status == 412


def test_put_if_none_match_creates_once(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="new", Body=b"1", IfNoneMatch="*")
    refused = refusal(s3.put_object, Bucket=bucket, Key="new", Body=b"2", IfNoneMatch="*")
    assert (refused.code, refused.status) == ("PreconditionFailed", 412)
    assert refused.elements["Condition"] == "If-None-Match"
    s3.delete_object(Bucket=bucket, Key="new")
    s3.put_object(Bucket=bucket, Key="new", Body=b"3", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="new")["Body"].read() == b"3"


def test_put_if_none_match_of_an_etag_is_not_implemented(s3: Any, bucket: str, key: str) -> None:
    # "Expects the '*' character"; anything else is answered 501.
    refused = refusal(s3.put_object, Bucket=bucket, Key=key, Body=b"2", IfNoneMatch=OTHER)
    assert (refused.code, refused.status) == ("NotImplemented", 501)


def test_put_if_match_replaces_only_what_it_names(s3: Any, bucket: str, key: str) -> None:
    refused = refusal(s3.put_object, Bucket=bucket, Key=key, Body=b"2", IfMatch=OTHER)
    assert (refused.code, refused.status) == ("PreconditionFailed", 412)
    assert refused.elements["Condition"] == "If-Match"
    replaced = s3.put_object(Bucket=bucket, Key=key, Body=b"2", IfMatch=ETAG)
    assert s3.head_object(Bucket=bucket, Key=key)["ETag"] == replaced["ETag"]
    # "If no current object version with the same name exists [...] the operation fails with a 404 error"
    missing = refusal(s3.put_object, Bucket=bucket, Key="absent", Body=b"2", IfMatch=ETAG)
    assert (missing.code, missing.status) == ("NoSuchKey", 404)


def test_delete_if_match_deletes_only_what_it_names(s3: Any, bucket: str, key: str) -> None:
    refused = refusal(s3.delete_object, Bucket=bucket, Key=key, IfMatch=OTHER)
    assert (refused.code, refused.status) == ("PreconditionFailed", 412)
    s3.delete_object(Bucket=bucket, Key=key, IfMatch=ETAG)
    assert refusal(s3.head_object, Bucket=bucket, Key=key).status == 404
    s3.put_object(Bucket=bucket, Key=key, Body=b"2")
    s3.delete_object(Bucket=bucket, Key=key, IfMatch="*")
    assert refusal(s3.head_object, Bucket=bucket, Key=key).status == 404


def test_delete_objects_with_etags_gives_each_its_outcome(s3: Any, bucket: str) -> None:
    for name in ("right", "wrong"):
        s3.put_object(Bucket=bucket, Key=name, Body=CONTENT)
    answer = s3.delete_objects(
        Bucket=bucket,
        Delete={"Objects": [{"Key": "right", "ETag": ETAG}, {"Key": "wrong", "ETag": OTHER}]},
    )
    assert [entry["Key"] for entry in answer["Deleted"]] == ["right"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("wrong", "PreconditionFailed")]
    s3.head_object(Bucket=bucket, Key="wrong")


def test_complete_if_none_match_does_not_replace(s3: Any, bucket: str, key: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    named = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
    part = s3.upload_part(PartNumber=1, Body=b"part", **named)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    refused = refusal(s3.complete_multipart_upload, MultipartUpload=parts, IfNoneMatch="*", **named)
    assert (refused.code, refused.status) == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == CONTENT
    # The upload is still there and may be completed under a condition that holds.
    s3.complete_multipart_upload(MultipartUpload=parts, IfMatch=ETAG, **named)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"part"


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({"CopySourceIfMatch": ETAG}, True),
        ({"CopySourceIfMatch": OTHER}, False),
        ({"CopySourceIfNoneMatch": OTHER}, True),
        ({"CopySourceIfNoneMatch": ETAG}, False),
        ({"CopySourceIfModifiedSince": PAST}, True),
        ({"CopySourceIfUnmodifiedSince": PAST}, False),
        ({"CopySourceIfUnmodifiedSince": FUTURE}, True),
        # The two combinations that the CopyObject page decides.
        ({"CopySourceIfMatch": ETAG, "CopySourceIfUnmodifiedSince": PAST}, True),
        ({"CopySourceIfNoneMatch": ETAG, "CopySourceIfModifiedSince": PAST}, False),
    ],
)
def test_copy_source_conditions(s3: Any, bucket: str, key: str, conditions: Mapping[str, Any], holds: bool) -> None:
    source = {"Bucket": bucket, "Key": key}
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = {"Bucket": bucket, "Key": "parts", "UploadId": upload_id, "PartNumber": 1}
    if holds:
        copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **conditions)
        assert copied["CopyObjectResult"]["ETag"] == ETAG
        copied = s3.upload_part_copy(CopySource=source, **part, **conditions)
        assert copied["CopyPartResult"]["ETag"] == ETAG
        return
    for refused in (
        refusal(s3.copy_object, Bucket=bucket, Key="copy", CopySource=source, **conditions),
        refusal(s3.upload_part_copy, CopySource=source, **part, **conditions),
    ):
        assert (refused.code, refused.status) == ("PreconditionFailed", 412)
    assert refusal(s3.head_object, Bucket=bucket, Key="copy").status == 404


def test_copy_target_conditions(s3: Any, bucket: str, key: str) -> None:
    source = {"Bucket": bucket, "Key": key}
    s3.put_object(Bucket=bucket, Key="target", Body=b"x" * MIB)
    refused = refusal(s3.copy_object, Bucket=bucket, Key="target", CopySource=source, IfNoneMatch="*")
    assert (refused.code, refused.status) == ("PreconditionFailed", 412)
    s3.copy_object(Bucket=bucket, Key="fresh", CopySource=source, IfNoneMatch="*")
    assert s3.head_object(Bucket=bucket, Key="target")["ContentLength"] == MIB
