"""boto3: multipart uploads from their start to their end."""

from typing import Any

import pytest

from tests.interop.support import MIB, content_md5, md5, refusal

PART = 5 * MIB


def start(s3: Any, bucket: str, key: str = "k", **parameters: Any) -> dict[str, Any]:
    """Create an upload; the parameters that name it in every later call."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **parameters)
    assert (upload["Bucket"], upload["Key"]) == (bucket, key)
    return {"Bucket": bucket, "Key": key, "UploadId": upload["UploadId"]}


def put_parts(s3: Any, named: dict[str, Any], *bodies: bytes) -> list[dict[str, Any]]:
    """Upload parts 1, 2…; what CompleteMultipartUpload wants to hear of them."""
    parts = []
    for number, body in enumerate(bodies, 1):
        answer = s3.upload_part(PartNumber=number, Body=body, **named)
        assert answer["ETag"] == f'"{md5(body)}"'
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    return parts


def complete(s3: Any, named: dict[str, Any], parts: list[dict[str, Any]], **parameters: Any) -> Any:
    return s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **named, **parameters)


def test_parts_become_one_object(s3: Any, bucket: str) -> None:
    bodies = (b"a" * PART, b"b" * (PART + 1), b"c")
    named = start(s3, bucket, ContentType="text/plain", Metadata={"m": "1"}, Tagging="t=1", CacheControl="x")
    done = complete(s3, named, put_parts(s3, named, *bodies))
    etag = f'"{md5(b"".join(bytes.fromhex(md5(body)) for body in bodies))}-3"'
    assert done["ETag"] == etag
    assert (done["Bucket"], done["Key"]) == (bucket, "k")
    assert done["Location"].endswith(f"/{bucket}/k")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"".join(bodies)
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (etag, "text/plain", {"m": "1"})
    assert (got["CacheControl"], got["TagCount"]) == ("x", 1)
    assert refusal(s3.list_parts, **named).code == "NoSuchUpload"


def test_nothing_is_seen_of_an_upload_before_it_is_complete(s3: Any, bucket: str) -> None:
    named = start(s3, bucket)
    put_parts(s3, named, b"x")
    assert refusal(s3.get_object, Bucket=bucket, Key="k").code == "NoSuchKey"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.abort_multipart_upload(**named)
    for call in (s3.abort_multipart_upload, s3.list_parts):
        gone = refusal(call, **named)
        assert (gone.code, gone.status) == ("NoSuchUpload", 404)
    assert refusal(s3.upload_part, PartNumber=1, Body=b"x", **named).code == "NoSuchUpload"
    assert refusal(complete, s3=s3, named=named, parts=[{"PartNumber": 1, "ETag": "x"}]).code == "NoSuchUpload"


def test_last_upload_of_a_part_number_counts(s3: Any, bucket: str) -> None:
    named = start(s3, bucket)
    (first,) = put_parts(s3, named, b"first")
    (second,) = put_parts(s3, named, b"second")
    refused = refusal(complete, s3=s3, named=named, parts=[first])
    assert (refused.code, refused.status) == ("InvalidPart", 400)
    complete(s3, named, [second])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"second"


def test_complete_may_leave_parts_out_and_is_repeatable(s3: Any, bucket: str) -> None:
    named = start(s3, bucket)
    parts = put_parts(s3, named, b"a" * PART, b"b" * PART, b"c" * 10)
    done = complete(s3, named, [parts[0], parts[2]])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"a" * PART + b"c" * 10
    # "The processing of a CompleteMultipartUpload request could take several minutes": SDKs repeat it.
    again = complete(s3, named, [parts[0], parts[2]])
    assert again["ETag"] == done["ETag"]


def test_parts_but_the_last_must_have_five_mebibytes(s3: Any, bucket: str) -> None:
    named = start(s3, bucket)
    parts = put_parts(s3, named, b"a" * (PART - 1), b"b")
    refused = refusal(complete, s3=s3, named=named, parts=parts)
    assert (refused.code, refused.status) == ("EntityTooSmall", 400)
    assert refused.elements["ProposedSize"] == str(PART - 1)
    assert refused.elements["MinSizeAllowed"] == str(PART)
    assert refused.elements["PartNumber"] == "1"
    complete(s3, named, parts[:1])


def test_list_of_parts_must_be_right(s3: Any, bucket: str) -> None:
    named = start(s3, bucket)
    parts = put_parts(s3, named, b"a" * PART, b"b")
    wrong_etag = {"PartNumber": 2, "ETag": f'"{md5(b"other")}"'}
    for given, code in (
        ([], "MalformedXML"),
        ([parts[1], parts[0]], "InvalidPartOrder"),
        ([parts[0], parts[0]], "InvalidPartOrder"),
        ([parts[0], wrong_etag], "InvalidPart"),
        ([parts[0], {"PartNumber": 3, "ETag": parts[1]["ETag"]}], "InvalidPart"),
        ([parts[0], {"PartNumber": 2}], "MalformedXML"),
    ):
        refused = refusal(complete, s3=s3, named=named, parts=given)
        assert (refused.code, refused.status) == (code, 400), given
    complete(s3, named, parts)


@pytest.mark.parametrize("number", [0, 10_001, -1])
def test_part_number_out_of_range_is_refused(s3: Any, bucket: str, number: int) -> None:
    named = start(s3, bucket)
    refused = refusal(s3.upload_part, PartNumber=number, Body=b"x", **named)
    assert (refused.code, refused.status) == ("InvalidArgument", 400)


def test_part_content_md5_is_verified(s3: Any, bucket: str) -> None:
    named = start(s3, bucket)
    s3.upload_part(PartNumber=1, Body=b"x", ContentMD5=content_md5(b"x"), **named)
    refused = refusal(s3.upload_part, PartNumber=2, Body=b"x", ContentMD5=content_md5(b"y"), **named)
    assert refused.code == "BadDigest"
    assert [part["PartNumber"] for part in s3.list_parts(**named)["Parts"]] == [1]


def test_highest_part_numbers_work(s3: Any, bucket: str) -> None:
    named = start(s3, bucket)
    first = s3.upload_part(PartNumber=9_999, Body=b"a" * PART, **named)
    last = s3.upload_part(PartNumber=10_000, Body=b"b", **named)
    complete(
        s3,
        named,
        [{"PartNumber": 9_999, "ETag": first["ETag"]}, {"PartNumber": 10_000, "ETag": last["ETag"]}],
    )
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == PART + 1


def test_object_is_read_part_by_part(s3: Any, bucket: str) -> None:
    bodies = (b"a" * PART, b"b" * (PART + 5), b"c" * 7)
    named = start(s3, bucket)
    complete(s3, named, put_parts(s3, named, *bodies))
    for number, body in enumerate(bodies, 1):
        for call in (s3.get_object, s3.head_object):
            answer = call(Bucket=bucket, Key="k", PartNumber=number)
            assert answer["PartsCount"] == 3
            assert answer["ContentLength"] == len(body)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
            if call == s3.get_object:
                offset = sum(map(len, bodies[: number - 1]))
                whole = sum(map(len, bodies))
                assert answer["ContentRange"] == f"bytes {offset}-{offset + len(body) - 1}/{whole}"
                assert answer["Body"].read() == body
    refused = refusal(s3.get_object, Bucket=bucket, Key="k", PartNumber=4)
    assert (refused.code, refused.status) == ("InvalidPartNumber", 416)
    both = refusal(s3.get_object, Bucket=bucket, Key="k", PartNumber=1, Range="bytes=0-1")
    assert (both.code, both.status) == ("InvalidRequest", 400)


def test_part_one_of_a_plain_object_is_the_whole(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"whole")
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert got["Body"].read() == b"whole"
    assert "PartsCount" not in got
    assert refusal(s3.get_object, Bucket=bucket, Key="k", PartNumber=2).status == 416


def test_ranges_cross_the_borders_of_parts(s3: Any, bucket: str) -> None:
    content = bytes(range(251)) * (2 * PART // 251 + 1)
    named = start(s3, bucket)
    complete(s3, named, put_parts(s3, named, content[:PART], content[PART:]))
    for first, last in ((PART - 1, PART), (0, PART), (PART, PART), (PART - 1, PART - 1)):
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}")
        assert got["Body"].read() == content[first : last + 1]


def test_parts_are_listed_in_pages(s3: Any, bucket: str) -> None:
    named = start(s3, bucket, StorageClass="STANDARD_IA")
    put_parts(s3, named, b"1", b"22", b"333")
    whole = s3.list_parts(**named)
    assert [part["Size"] for part in whole["Parts"]] == [1, 2, 3]
    assert whole["Parts"][0]["ETag"] == f'"{md5(b"1")}"'
    assert (whole["IsTruncated"], whole["MaxParts"], whole["StorageClass"]) == (False, 1000, "STANDARD_IA")
    assert whole["Owner"]["ID"] == whole["Initiator"]["ID"]
    page = s3.list_parts(MaxParts=2, **named)
    assert (page["IsTruncated"], page["NextPartNumberMarker"]) == (True, 2)
    rest = s3.list_parts(PartNumberMarker=2, **named)
    assert ([part["PartNumber"] for part in rest["Parts"]], rest["PartNumberMarker"]) == ([3], 2)
    assert "Parts" not in s3.list_parts(PartNumberMarker=3, **named)
    assert "Parts" not in s3.list_parts(MaxParts=0, **named)


def test_uploads_are_listed_in_pages(s3: Any, bucket: str) -> None:
    keys = ["a", "b", "b", "dir/1", "dir/2", "é +"]
    started = {(key, start(s3, bucket, key)["UploadId"]) for key in keys}
    whole = s3.list_multipart_uploads(Bucket=bucket)
    assert [upload["Key"] for upload in whole["Uploads"]] == keys
    assert {(upload["Key"], upload["UploadId"]) for upload in whole["Uploads"]} == started
    assert whole["IsTruncated"] is False
    assert whole["Uploads"][0]["Initiator"]["ID"] == whole["Uploads"][0]["Owner"]["ID"]
    pages = list(s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}))
    assert [len(page["Uploads"]) for page in pages] == [2, 2, 2]
    assert [upload for page in pages for upload in page["Uploads"]] == whole["Uploads"]
    folded = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/", KeyMarker="a")
    assert [upload["Key"] for upload in folded["Uploads"]] == ["b", "b", "é +"]
    assert folded["CommonPrefixes"] == [{"Prefix": "dir/"}]
    inside = s3.list_multipart_uploads(Bucket=bucket, Prefix="dir/", Delimiter="/")
    assert [upload["Key"] for upload in inside["Uploads"]] == ["dir/1", "dir/2"]


def test_uploads_do_not_keep_a_bucket_from_being_deleted(s3: Any, bucket_name: str) -> None:
    s3.create_bucket(Bucket=bucket_name)
    named = start(s3, bucket_name)
    put_parts(s3, named, b"x")
    s3.delete_bucket(Bucket=bucket_name)
    s3.create_bucket(Bucket=bucket_name)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket_name)
    assert refusal(s3.list_parts, **named).code == "NoSuchUpload"


def test_upload_id_belongs_to_its_key_and_bucket(s3: Any, bucket: str, bucket_name: str) -> None:
    named = start(s3, bucket)
    other = {**named, "Key": "other"}
    assert refusal(s3.upload_part, PartNumber=1, Body=b"x", **other).code == "NoSuchUpload"
    assert refusal(s3.abort_multipart_upload, **other).code == "NoSuchUpload"
    s3.abort_multipart_upload(**named)


def test_object_size_is_held_against_the_parts(s3: Any, bucket: str) -> None:
    named = start(s3, bucket)
    parts = put_parts(s3, named, b"12345")
    refused = refusal(complete, s3=s3, named=named, parts=parts, MpuObjectSize=6)
    assert (refused.code, refused.status) == ("InvalidRequest", 400)
    complete(s3, named, parts, MpuObjectSize=5)
