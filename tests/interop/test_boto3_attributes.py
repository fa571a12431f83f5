"""boto3: GetObjectAttributes."""

import base64
import hashlib
from typing import Any

import pytest

from tests.interop.support import MIB, md5, refusal

PART = 5 * MIB
EVERYTHING = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_attributes_of_an_object_put_in_one_piece(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", ChecksumAlgorithm="SHA256", StorageClass="STANDARD_IA")
    got = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=EVERYTHING)
    assert got["ETag"] == md5(b"abc")
    assert (got["ObjectSize"], got["StorageClass"]) == (3, "STANDARD_IA")
    assert got["Checksum"] == {"ChecksumSHA256": sha256(b"abc"), "ChecksumType": "FULL_OBJECT"}
    assert got["LastModified"] == s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert not {"ObjectParts", "VersionId", "DeleteMarker"} & got.keys()


@pytest.mark.parametrize("attribute", ["ETag", "Checksum", "StorageClass", "ObjectSize"])
def test_only_what_was_asked_for_is_told(s3: Any, bucket: str, attribute: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    got = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=[attribute])
    assert set(EVERYTHING) & got.keys() == {attribute}


def test_parts_are_told_in_pages(s3: Any, bucket: str) -> None:
    named = {"Bucket": bucket, "Key": "k"}
    named["UploadId"] = s3.create_multipart_upload(**named, ChecksumAlgorithm="SHA256")["UploadId"]
    bodies = {2: b"a" * PART, 5: b"b" * PART, 9: b"c"}
    parts = []
    for number, body in bodies.items():
        answer = s3.upload_part(**named, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
    done = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    whole = {"Bucket": bucket, "Key": "k", "ObjectAttributes": EVERYTHING}
    got = s3.get_object_attributes(**whole)
    assert f'"{got["ETag"]}"' == done["ETag"]
    assert got["Checksum"] == {"ChecksumSHA256": done["ChecksumSHA256"].split("-")[0], "ChecksumType": "COMPOSITE"}
    listed = [
        {"PartNumber": number, "Size": len(body), "ChecksumSHA256": sha256(body)} for number, body in bodies.items()
    ]
    assert got["ObjectParts"] == {
        "TotalPartsCount": 3,
        "PartNumberMarker": 0,
        "NextPartNumberMarker": 9,
        "MaxParts": 1000,
        "IsTruncated": False,
        "Parts": listed,
    }
    page = s3.get_object_attributes(**whole, MaxParts=1, PartNumberMarker=2)["ObjectParts"]
    assert (page["IsTruncated"], page["NextPartNumberMarker"], page["MaxParts"]) == (True, 5, 1)
    assert page["Parts"] == listed[1:2]
    rest = s3.get_object_attributes(**whole, PartNumberMarker=page["NextPartNumberMarker"])["ObjectParts"]
    assert (rest["IsTruncated"], rest["PartNumberMarker"], rest["Parts"]) == (False, 5, listed[2:])


def test_attributes_of_versions_and_delete_markers(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer")
    got = s3.get_object_attributes(Bucket=bucket, Key="k", VersionId=old, ObjectAttributes=["ObjectSize"])
    assert (got["VersionId"], got["ObjectSize"]) == (old, 3)
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    gone = refusal(s3.get_object_attributes, Bucket=bucket, Key="k", ObjectAttributes=["ETag"])
    assert (gone.code, gone.headers["x-amz-delete-marker"]) == ("NoSuchKey", "true")
    named = refusal(s3.get_object_attributes, Bucket=bucket, Key="k", VersionId=marker, ObjectAttributes=["ETag"])
    assert named.code == "MethodNotAllowed"


@pytest.mark.parametrize("attributes", [["Etag"], ["ETag", "Colour"], []])
def test_unknown_attributes_and_none_are_refused(s3: Any, bucket: str, attributes: list[str]) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc")
    refused = refusal(s3.get_object_attributes, Bucket=bucket, Key="k", ObjectAttributes=attributes)
    assert (refused.code, refused.status) == ("InvalidArgument", 400)
    assert refused.elements["ArgumentName"] == "x-amz-object-attributes"
