"""boto3: CopyObject and UploadPartCopy."""

from typing import Any
from urllib.parse import quote

from tests.harness.cairn import CairnServer
from tests.interop.support import MIB, md5, refusal
from tests.interop.wire import connect, signed_request


def test_copy_takes_headers_and_metadata_along(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket,
        Key="source",
        Body=b"content",
        ContentType="text/plain",
        CacheControl="no-cache",
        Metadata={"a": "1"},
        Tagging="colour=grey",
    )
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})
    assert copied["CopyObjectResult"]["ETag"] == f'"{md5(b"content")}"'
    assert copied["CopyObjectResult"]["LastModified"]
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert got["Body"].read() == b"content"
    assert (got["ContentType"], got["CacheControl"], got["Metadata"]) == ("text/plain", "no-cache", {"a": "1"})
    assert got["TagCount"] == 1


def test_copy_replaces_metadata_where_told_to(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"x", ContentType="text/plain", Metadata={"a": "1"})
    source = {"Bucket": bucket, "Key": "source"}
    # Without MetadataDirective=REPLACE new metadata is ignored.
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source, Metadata={"b": "2"}, ContentType="text/html")
    assert s3.head_object(Bucket=bucket, Key="same")["Metadata"] == {"a": "1"}
    s3.copy_object(
        Bucket=bucket,
        Key="other",
        CopySource=source,
        Metadata={"b": "2"},
        MetadataDirective="REPLACE",
        TaggingDirective="REPLACE",
        Tagging="t=1&u=2",
    )
    head = s3.get_object(Bucket=bucket, Key="other")
    assert (head["Metadata"], head["ContentType"]) == ({"b": "2"}, "binary/octet-stream")
    assert head["TagCount"] == 2
    head["Body"].read()


def test_copy_onto_itself_must_change_something(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "1"})
    source = {"Bucket": bucket, "Key": "k"}
    refused = refusal(s3.copy_object, Bucket=bucket, Key="k", CopySource=source)
    assert (refused.code, refused.status) == ("InvalidRequest", 400)
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"b": "2"}
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_copy_source_may_be_written_in_several_ways(cairn: CairnServer, s3: Any, bucket: str) -> None:
    # By hand, since botocore encodes what it is given in a way of its own.
    key = "a b+c/ü%2F"
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    ways = (f"{bucket}/{quote(key)}", f"/{bucket}/{quote(key)}", f"{bucket}%2F{quote(key, safe='')}")
    for number, source in enumerate(ways):
        with connect(cairn) as connection:
            headers = {"x-amz-copy-source": source}
            connection.send(signed_request(cairn, "PUT", f"/{bucket}/copy-{number}", headers=headers))
            assert connection.answer().status == 200, source
        assert s3.get_object(Bucket=bucket, Key=f"copy-{number}")["Body"].read() == b"x"


def test_copy_without_a_source_is_refused(s3: Any, bucket: str) -> None:
    missing = refusal(s3.copy_object, Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "absent"})
    assert (missing.code, missing.status) == ("NoSuchKey", 404)
    without = refusal(s3.copy_object, Bucket=bucket, Key="k", CopySource={"Bucket": "never-made", "Key": "k"})
    assert (without.code, without.status) == ("NoSuchBucket", 404)
    for source in ("only-a-bucket", f"{bucket}/"):
        refused = refusal(s3.copy_object, Bucket=bucket, Key="k", CopySource=source)
        assert (refused.code, refused.status) == ("InvalidArgument", 400), source
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_copy_outlives_its_source(s3: Any, bucket: str, bucket_name: str) -> None:
    other = f"{bucket_name}-other"
    s3.create_bucket(Bucket=other)
    content = bytes(range(256)) * 4096 * 6
    s3.put_object(Bucket=bucket, Key="source", Body=content)
    s3.copy_object(Bucket=other, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=other, Key="copy")["Body"].read() == content


def test_copy_computes_the_checksum_it_is_asked_for(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"content", ChecksumAlgorithm="CRC32")
    source = {"Bucket": bucket, "Key": "k"}
    kept = s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)["CopyObjectResult"]
    assert kept["ChecksumCRC32"] == s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC32"]
    s3.copy_object(Bucket=bucket, Key="sha", CopySource=source, ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket=bucket, Key="sha", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="


def test_parts_are_copied_whole_and_by_range(s3: Any, bucket: str) -> None:
    content = bytes(range(256)) * 4096 * 6  # 6 MiB
    s3.put_object(Bucket=bucket, Key="source", Body=content)
    source = {"Bucket": bucket, "Key": "source"}
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}
    first = s3.upload_part_copy(PartNumber=1, CopySource=source, **named)["CopyPartResult"]
    wanted = f"bytes=7-{5 * MIB + 6}"
    second = s3.upload_part_copy(PartNumber=2, CopySource=source, CopySourceRange=wanted, **named)
    third = s3.upload_part_copy(PartNumber=3, CopySource=source, CopySourceRange="bytes=3-3", **named)
    assert first["ETag"] == f'"{md5(content)}"'
    etags = (first["ETag"], second["CopyPartResult"]["ETag"], third["CopyPartResult"]["ETag"])
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **named)
    expected = content + content[7 : 5 * MIB + 7] + content[3:4]
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == expected


def test_bad_copy_ranges_are_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    source = {"Bucket": bucket, "Key": "source"}
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    named = {"Bucket": bucket, "Key": "k", "UploadId": upload_id, "PartNumber": 1, "CopySource": source}
    for wanted in ("bytes=0-10", "bytes=10-10", "bytes=5-", "bytes=-5", "0-5", "bytes=5-2", "bytes=0-1,3-4"):
        refused = refusal(s3.upload_part_copy, CopySourceRange=wanted, **named)
        assert refused.code in ("InvalidArgument", "InvalidRange"), wanted
        assert refused.status in (400, 416)
    gone = refusal(s3.upload_part_copy, **{**named, "UploadId": "no-such-upload"})
    assert (gone.code, gone.status) == ("NoSuchUpload", 404)
