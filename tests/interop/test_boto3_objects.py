"""boto3: one object put, read whole and in ranges, described, overwritten, deleted."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.interop.support import LARGE_BYTES, MIB, SIZES_BYTES, content_md5, digest_of, md5, refusal

TEN = b"0123456789"

#: Range -> (first offset, bytes) of what is answered from TEN.
RANGES = {
    "bytes=0-0": (0, b"0"),
    "bytes=2-5": (2, b"2345"),
    "bytes=9-9": (9, b"9"),
    "bytes=4-": (4, b"456789"),
    "bytes=-3": (7, b"789"),
    "bytes=-10": (0, TEN),
    "bytes=-99999999999999999999999": (0, TEN),
    "bytes=8-1000": (8, b"89"),
    "bytes=0-99999999999999999999999": (0, TEN),
}
#: RFC 9110 section 14.2: what is no range, or asks for several of them, is ignored.
IGNORED_RANGES = ("bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4", "0-1")
UNSATISFIABLE_RANGES = ("bytes=10-", "bytes=10-20", "bytes=99999999999999999999-", "bytes=-0")

KEPT_HEADERS = {
    "CacheControl": "max-age=60, no-transform",
    "ContentDisposition": 'attachment; filename="a b.txt"',
    "ContentEncoding": "gzip",
    "ContentLanguage": "de, fr",
    "ContentType": "text/plain; charset=utf-8",
    "WebsiteRedirectLocation": "/elsewhere",
}


@pytest.mark.parametrize("size_bytes", SIZES_BYTES)
def test_object_comes_back_as_it_was_put(s3: Any, bucket: str, samples: Path, size_bytes: int) -> None:
    content = (samples / f"{size_bytes}.bin").read_bytes()
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=2)
    put = s3.put_object(Bucket=bucket, Key="k", Body=content)
    assert put["ETag"] == f'"{md5(content)}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == content
    head = s3.head_object(Bucket=bucket, Key="k")
    for answer in (got, head):
        assert answer["ContentLength"] == size_bytes
        assert answer["ETag"] == put["ETag"]
        assert answer["ContentType"] == "binary/octet-stream"
        assert answer["AcceptRanges"] == "bytes"
        assert before <= answer["LastModified"] <= datetime.datetime.now(datetime.UTC)
        assert answer["Metadata"] == {}
        assert answer["ResponseMetadata"]["RequestId"]


def test_large_file_is_uploaded_and_downloaded_in_parts(s3: Any, bucket: str, large_file: Path, tmp_path: Path) -> None:
    s3.upload_file(str(large_file), bucket, "dir/large")
    assert s3.head_object(Bucket=bucket, Key="dir/large")["ETag"].endswith('-8"')
    s3.download_file(bucket, "dir/large", str(tmp_path / "back"))
    assert digest_of(tmp_path / "back") == digest_of(large_file)


def test_large_object_of_one_put_comes_back_in_any_range(s3: Any, bucket: str, large_file: Path) -> None:
    content = large_file.read_bytes()
    with large_file.open("rb") as file:
        s3.put_object(Bucket=bucket, Key="k", Body=file)
    for first, last in ((0, 0), (MIB - 1, MIB), (LARGE_BYTES - 3, LARGE_BYTES - 1), (5 * MIB + 7, 41 * MIB)):
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}")
        assert got["ContentRange"] == f"bytes {first}-{last}/{LARGE_BYTES}"
        assert got["Body"].read() == content[first : last + 1]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == content


@pytest.mark.parametrize("wanted", RANGES)
def test_range_answers_206_with_its_bytes(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=TEN)
    first, content = RANGES[wanted]
    got = s3.get_object(Bucket=bucket, Key="k", Range=wanted)
    head = s3.head_object(Bucket=bucket, Key="k", Range=wanted)
    assert got["Body"].read() == content
    for answer in (got, head):
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answer["ResponseMetadata"]["HTTPHeaders"]["content-range"] == (
            f"bytes {first}-{first + len(content) - 1}/10"
        )
        assert answer["ContentLength"] == len(content)


def test_range_that_is_none_is_ignored(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=TEN)
    for wanted in IGNORED_RANGES:
        got = s3.get_object(Bucket=bucket, Key="k", Range=wanted)
        assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (200, TEN), wanted


def test_range_outside_the_object_is_invalid_range(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=TEN)
    s3.put_object(Bucket=bucket, Key="empty")
    for wanted in UNSATISFIABLE_RANGES:
        refused = refusal(s3.get_object, Bucket=bucket, Key="k", Range=wanted)
        assert (refused.code, refused.status) == ("InvalidRange", 416), wanted
        assert refused.elements["ActualObjectSize"] == "10"
        assert refused.elements["RangeRequested"] == wanted
        assert refusal(s3.head_object, Bucket=bucket, Key="k", Range=wanted).status == 416
    assert refusal(s3.get_object, Bucket=bucket, Key="empty", Range="bytes=0-").code == "InvalidRange"


def test_standard_headers_and_metadata_are_kept(s3: Any, bucket: str) -> None:
    expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    metadata = {"colour": "grey", "Mixed-Case": "Kept As It Is", "empty": "", "under_score": "a  b"}
    s3.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"x",
        Expires=expires,
        Metadata=metadata,
        StorageClass="STANDARD_IA",
        **KEPT_HEADERS,
    )
    for answer in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in KEPT_HEADERS} == KEPT_HEADERS
        assert answer["ExpiresString"] == "Wed, 02 Jan 2030 03:04:05 GMT"
        assert answer["StorageClass"] == "STANDARD_IA"
        assert answer["Metadata"] == {name.lower(): value for name, value in metadata.items()}
    (listed,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert listed["StorageClass"] == "STANDARD_IA"


def test_new_put_replaces_headers_and_metadata_too(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"one", Metadata={"a": "1"}, **KEPT_HEADERS)
    s3.put_object(Bucket=bucket, Key="k", Body=b"second")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["Metadata"]) == (6, {})
    assert head["ContentType"] == "binary/octet-stream"
    assert "CacheControl" not in head
    assert "ContentEncoding" not in head


def test_header_values_beyond_ascii_come_back_byte_for_byte(s3: Any, bucket: str) -> None:
    # botocore writes header text as UTF-8 and reads it as Latin-1.
    value = 'attachment; filename="grüße-石.txt"'
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentDisposition=value)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentDisposition"].encode("latin-1").decode() == value


def test_metadata_beyond_two_kilobytes_is_refused(s3: Any, bucket: str) -> None:
    # "Within the PUT request header, the user-defined metadata is limited to 2 KB in size", names included:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    s3.put_object(Bucket=bucket, Key="k", Metadata={"k": "v" * 2047})
    refused = refusal(s3.put_object, Bucket=bucket, Key="k", Metadata={"k": "v" * 2048})
    assert (refused.code, refused.status) == ("MetadataTooLarge", 400)
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"k": "v" * 2047}


def test_response_parameters_override_headers_of_the_answer(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **KEPT_HEADERS)
    for call in (s3.get_object, s3.head_object):
        answer = call(
            Bucket=bucket,
            Key="k",
            ResponseCacheControl="no-store",
            ResponseContentDisposition="inline; filename*=UTF-8''%c3%bc",
            ResponseContentEncoding="br",
            ResponseContentLanguage="en",
            ResponseContentType="application/x-other",
            ResponseExpires=datetime.datetime(2031, 1, 1, tzinfo=datetime.UTC),
        )
        assert answer["CacheControl"] == "no-store"
        assert answer["ContentDisposition"] == "inline; filename*=UTF-8''%c3%bc"
        assert answer["ContentEncoding"] == "br"
        assert answer["ContentLanguage"] == "en"
        assert answer["ContentType"] == "application/x-other"
        assert answer["ExpiresString"] == "Wed, 01 Jan 2031 00:00:00 GMT"
    assert s3.head_object(Bucket=bucket, Key="k")["CacheControl"] == KEPT_HEADERS["CacheControl"]


def test_tags_of_a_put_are_counted_and_shown(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="colour=grey&shape=%C3%BC+x")
    assert s3.head_object(Bucket=bucket, Key="k")["TagCount"] == 2
    tags = s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert tags == [{"Key": "colour", "Value": "grey"}, {"Key": "shape", "Value": "ü x"}]
    assert refusal(s3.get_object_tagging, Bucket=bucket, Key="absent").code == "NoSuchKey"
    refused = refusal(s3.put_object, Bucket=bucket, Key="k2", Tagging="a=1&a=2")
    assert (refused.code, refused.status) in (("InvalidTag", 400), ("InvalidArgument", 400))


def test_content_md5_is_verified(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"good", ContentMD5=content_md5(b"good"))
    wrong = refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"good", ContentMD5=content_md5(b"bad"))
    assert (wrong.code, wrong.status) == ("BadDigest", 400)
    for value in ("no base64!", "AAAA", content_md5(b"x")[:-4]):
        malformed = refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"good", ContentMD5=value)
        assert (malformed.code, malformed.status) == ("InvalidDigest", 400), value
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"good"


def test_missing_objects_and_buckets_are_named_in_the_error(s3: Any, bucket: str) -> None:
    missing = refusal(s3.get_object, Bucket=bucket, Key="no/such key")
    assert (missing.code, missing.status) == ("NoSuchKey", 404)
    assert missing.elements["Key"] == "no/such key"
    assert missing.headers["content-type"] == "application/xml"
    without = refusal(s3.get_object, Bucket="never-made", Key="k")
    assert (without.code, without.status) == ("NoSuchBucket", 404)
    assert without.elements["BucketName"] == "never-made"
    # A HEAD has no body: the SDK makes the code from the status.
    assert refusal(s3.head_object, Bucket=bucket, Key="k").code == "404"
    assert refusal(s3.put_object, Bucket="never-made", Key="k", Body=b"x").code == "NoSuchBucket"


def test_delete_answers_the_same_whether_or_not_there_was_an_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for _ in range(2):
        assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refusal(s3.get_object, Bucket=bucket, Key="k").code == "NoSuchKey"
    assert refusal(s3.delete_object, Bucket="never-made", Key="k").code == "NoSuchBucket"


def test_delete_objects_takes_a_thousand_keys(s3: Any, bucket: str) -> None:
    kept, gone = "kept", [f"key {number}/ü&<>" for number in range(3)]
    for key in (kept, *gone):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    wanted = gone + [f"absent-{number}" for number in range(1000 - len(gone))]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in wanted]})
    assert [entry["Key"] for entry in answer["Deleted"]] == wanted
    assert "Errors" not in answer
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [kept]


def test_quiet_delete_objects_tells_only_errors(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "absent"}], "Quiet": True})
    assert "Deleted" not in answer
    assert "Errors" not in answer
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_delete_objects_refuses_more_than_a_thousand_keys_and_none(s3: Any, bucket: str) -> None:
    for count in (0, 1001):
        objects = [{"Key": f"k{number}"} for number in range(count)]
        refused = refusal(s3.delete_objects, Bucket=bucket, Delete={"Objects": objects})
        assert (refused.code, refused.status) == ("MalformedXML", 400), count
