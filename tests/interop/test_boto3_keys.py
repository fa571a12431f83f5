"""boto3: keys of every shape that S3 allows, each its own object."""

from typing import Any

import pytest

from tests.interop.support import refusal

KEYS = (
    "a",
    "a/",
    "a/b",
    "a//b",
    "a/../b",
    "a/./b",
    "../escape",
    "./here",
    "..",
    ".",
    "/leading",
    "//two",
    "trailing/",
    "trailing//",
    "foo",
    "foo/bar",
    "foo/bar/baz",
    "with space",
    " leading and trailing ",
    "plus+plus",
    "percent%2Fslash",
    "percent%",
    "%00",
    "100%25",
    "question?x=1&y=2",
    "hash#tag",
    "semi;colon,comma:at@",
    "quote\"single'back`",
    "<xml>&amp;</xml>",
    "back\\slash",
    "star*|{}[]()^~!$=",
    "ünïcödé",
    "u\u0308 decomposed",
    "\u65e5\u672c\u8a9e/\u30ad\u30fc",
    "emoji \U0001f5ff",
    "\U0010fffd last plane",
    "tab\tkey",
    "newline\nkey",
    "return\rkey",
    "control\x01\x1f\x7fkey",
    "next line\x85key",
    "\ufeffbom",
    "\uffff noncharacter",
    "null",
    "upload",
    "-/health/live",
    "x" * 1024,
    "\u00e9" * 512,
)
#: XML 1.0 has no way to write these, not even as references: no client reads an answer with such a key in it.
#: Listings carry them by encoding-type=url, which boto3 asks for by itself.
NOT_IN_XML = set("\x01\x1f\uffff")


def test_every_key_is_an_object_of_its_own(s3: Any, bucket: str) -> None:
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata={"bytes": key.encode().hex()[:1900]})
    for key in KEYS:
        got = s3.get_object(Bucket=bucket, Key=key)
        assert got["Body"].read() == key.encode(), key
        assert s3.head_object(Bucket=bucket, Key=key)["Metadata"]["bytes"] == key.encode().hex()[:1900]
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(KEYS, key=str.encode)
    listed = [entry["Key"] for entry in s3.list_objects(Bucket=bucket)["Contents"]]
    assert listed == sorted(KEYS, key=str.encode)


def test_every_key_is_copied_multipart_uploaded_and_deleted(s3: Any, bucket: str) -> None:
    kept = []
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        copied = s3.copy_object(
            Bucket=bucket,
            Key=key,
            CopySource={"Bucket": bucket, "Key": key},
            MetadataDirective="REPLACE",
            Metadata={"copied": "yes"},
        )
        assert copied["CopyObjectResult"]["ETag"]
        assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {"copied": "yes"}, key
        if not set(key) & NOT_IN_XML:
            upload = s3.create_multipart_upload(Bucket=bucket, Key=key)
            assert upload["Key"] == key
            kept.append((key, upload["UploadId"]))
    uploads = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert {(upload["Key"], upload["UploadId"]) for upload in uploads} == set(kept)
    for key, upload_id in kept:
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
    for number, key in enumerate(KEYS):
        if number % 2:
            s3.delete_object(Bucket=bucket, Key=key)
    remaining = sorted(KEYS[::2], key=str.encode)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == remaining


def test_keys_of_control_characters_are_deleted_by_delete_objects(s3: Any, bucket: str) -> None:
    keys = [key for key in KEYS if not set(key) & NOT_IN_XML]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("key", ["x" * 1025, "\u00e9" * 513])
def test_key_over_1024_bytes_is_too_long(s3: Any, bucket: str, key: str) -> None:
    for refused in (
        refusal(s3.put_object, Bucket=bucket, Key=key, Body=b"x"),
        refusal(s3.get_object, Bucket=bucket, Key=key),
        refusal(s3.create_multipart_upload, Bucket=bucket, Key=key),
    ):
        assert (refused.code, refused.status) == ("KeyTooLongError", 400)
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    assert [entry["Code"] for entry in answer["Errors"]] == ["KeyTooLongError"]
