"""boto3: tags of objects, their versions, and buckets."""

from typing import Any

import pytest

from tests.interop.support import refusal


def tag_set(**tags: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}


def tags_of(s3: Any, bucket: str, **named: Any) -> dict[str, str]:
    answer = s3.get_object_tagging(Bucket=bucket, Key="k", **named)
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


def test_tags_are_put_replaced_and_deleted_without_touching_the_object(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"m": "1"}, Tagging="a=1&b")
    before = s3.head_object(Bucket=bucket, Key="k")
    assert tags_of(s3, bucket) == {"a": "1", "b": ""}
    assert before["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(c="é"))
    assert tags_of(s3, bucket) == {"c": "é"}
    deleted = s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags_of(s3, bucket) == {}
    after = s3.get_object(Bucket=bucket, Key="k")
    assert after["Body"].read() == b"x"
    assert "TagCount" not in after
    assert (after["ETag"], after["LastModified"], after["Metadata"]) == (
        put["ETag"],
        before["LastModified"],
        {"m": "1"},
    )


def test_each_version_has_tags_of_its_own(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old, new = (s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"] for _ in range(2))
    put = s3.put_object_tagging(Bucket=bucket, Key="k", VersionId=old, Tagging=tag_set(a="old"))
    assert put["VersionId"] == old
    assert s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tag_set(a="new"))["VersionId"] == new
    assert tags_of(s3, bucket) == {"a": "new"}
    assert tags_of(s3, bucket, VersionId=old) == {"a": "old"}
    assert s3.delete_object_tagging(Bucket=bucket, Key="k", VersionId=old)["VersionId"] == old
    assert tags_of(s3, bucket, VersionId=old) == {}
    assert tags_of(s3, bucket, VersionId=new) == {"a": "new"}


def test_null_version_keeps_its_place_when_its_tags_change(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"null")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"second")["VersionId"]
    s3.put_object_tagging(Bucket=bucket, Key="k", VersionId="null", Tagging=tag_set(a="1"))
    assert tags_of(s3, bucket, VersionId="null") == {"a": "1"}
    listed = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [one["VersionId"] for one in listed] == [version, "null"]
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"null"


def test_tags_of_what_is_not_there(s3: Any, bucket: str) -> None:
    for call, more in (
        (s3.get_object_tagging, {}),
        (s3.put_object_tagging, {"Tagging": tag_set(a="1")}),
        (s3.delete_object_tagging, {}),
    ):
        missing = refusal(call, Bucket=bucket, Key="k", **more)
        assert (missing.code, missing.status) == ("NoSuchKey", 404)


def test_delete_markers_have_no_tags(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    refused = refusal(s3.put_object_tagging, Bucket=bucket, Key="k", VersionId=marker, Tagging=tag_set(a="1"))
    assert (refused.code, refused.headers["x-amz-delete-marker"]) == ("MethodNotAllowed", "true")
    assert refusal(s3.get_object_tagging, Bucket=bucket, Key="k").code == "NoSuchKey"


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([("a", "1"), ("a", "2")], "InvalidTag"),
        ([("aws:a", "1")], "InvalidTag"),
        ([("k" * 129, "1")], "InvalidTag"),
        ([("k", "v" * 257)], "InvalidTag"),
        ([(f"k{n}", "v") for n in range(11)], "BadRequest"),
    ],
)
def test_wrong_tags_are_refused_and_the_old_ones_kept(
    s3: Any, bucket: str, tags: list[tuple[str, str]], code: str
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="old=1")
    wanted = {"TagSet": [{"Key": name, "Value": value} for name, value in tags]}
    refused = refusal(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=wanted)
    assert (refused.code, refused.status) == (code, 400)
    assert tags_of(s3, bucket) == {"old": "1"}


def test_copy_takes_the_tags_along_unless_told_otherwise(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="from", Body=b"x", Tagging="a=1")
    source = {"Bucket": bucket, "Key": "from"}
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source)
    assert tags_of(s3, bucket) == {"a": "1"}
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, TaggingDirective="REPLACE", Tagging="b=2")
    assert tags_of(s3, bucket) == {"b": "2"}
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, TaggingDirective="REPLACE")
    assert tags_of(s3, bucket) == {}


def test_tags_given_at_the_start_of_an_upload_are_the_objects(s3: Any, bucket: str) -> None:
    named = {"Bucket": bucket, "Key": "k"}
    named["UploadId"] = s3.create_multipart_upload(**named, Tagging="a=1&b=2")["UploadId"]
    part = s3.upload_part(**named, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert tags_of(s3, bucket) == {"a": "1", "b": "2"}


def test_tags_of_a_bucket(s3: Any, bucket: str) -> None:
    missing = refusal(s3.get_bucket_tagging, Bucket=bucket)
    assert (missing.code, missing.status, missing.elements["BucketName"]) == ("NoSuchTagSet", 404, bucket)
    put = s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(**{f"k{n:02}": "v" for n in range(50)}))
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 204
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(b="2", a="1"))
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tag_set(a="1", b="2")["TagSet"]
    too_many = tag_set(**{f"k{n}": "v" for n in range(51)})
    assert refusal(s3.put_bucket_tagging, Bucket=bucket, Tagging=too_many).code == "BadRequest"
    for _ in range(2):
        assert s3.delete_bucket_tagging(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refusal(s3.get_bucket_tagging, Bucket=bucket).code == "NoSuchTagSet"


def test_tags_of_a_bucket_go_with_it(s3: Any, bucket: str) -> None:
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(a="1"))
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert refusal(s3.get_bucket_tagging, Bucket=bucket).code == "NoSuchTagSet"
