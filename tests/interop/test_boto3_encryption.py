"""Server-side encryption through boto3: every mode written, read, copied and completed; wrong and missing keys."""

import os
from typing import Any

import pytest

from tests.harness.cairn import CairnServer
from tests.interop.encrypting import KEY, MODES, OTHER_KEY, READS, said, sse_c, upload
from tests.interop.support import MIB, md5, refusal

SIZES = (0, 1, 65_535, 65_536, 65_537, 3 * MIB + 5)
PART = 5 * MIB + 77


@pytest.fixture(params=[mode for mode in MODES if mode != "none"])
def mode(request: pytest.FixtureRequest) -> str:
    """Each way of encrypting."""
    return str(request.param)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_an_object_comes_back(s3: Any, bucket: str, mode: str, size_bytes: int) -> None:
    body = os.urandom(size_bytes)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, **MODES[mode])
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", **READS[mode])
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", **READS[mode])

    assert got["Body"].read() == body
    assert said(put) == said(got) == said(head) == mode
    assert put["ETag"] == got["ETag"] == head["ETag"]
    assert (put["ETag"] == f'"{md5(body)}"') is (mode == "s3")
    assert put["ChecksumCRC32"] == got["ChecksumCRC32"] == head["ChecksumCRC32"]
    (listed,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert listed["Size"] == head["ContentLength"] == size_bytes
    assert listed["ETag"] == put["ETag"]


def test_the_nodes_hold_no_plaintext(cairn: CairnServer, s3: Any, bucket: str, mode: str) -> None:
    needle = os.urandom(64)
    s3.put_object(Bucket=bucket, Key="plain", Body=needle)
    secret = os.urandom(64)
    s3.put_object(Bucket=bucket, Key="k", Body=secret, **MODES[mode])
    stored = [path.read_bytes() for path in (cairn.data_dir / "nodes").rglob("*") if path.is_file()]
    assert any(needle in one for one in stored), "the test looks in the right place"
    assert not any(secret in one for one in stored)


@pytest.mark.parametrize(
    "span", ["bytes=0-0", "bytes=65535-65536", "bytes=65536-131071", "bytes=100000-", "bytes=-1", "bytes=0-"]
)
def test_a_range_comes_back(s3: Any, bucket: str, mode: str, span: str) -> None:
    body = os.urandom(200_001)
    s3.put_object(Bucket=bucket, Key="k", Body=body, **MODES[mode])
    got = s3.get_object(Bucket=bucket, Key="k", Range=span, **READS[mode])
    first, _, last = span.removeprefix("bytes=").partition("-")
    wanted = body[-int(last) :] if not first else body[int(first) : int(last) + 1 if last else None]
    assert got["Body"].read() == wanted
    assert got["ContentRange"].endswith("/200001")


def test_an_upload_in_parts_comes_back_whole_by_part_and_by_range(s3: Any, bucket: str, mode: str) -> None:
    bodies = [os.urandom(PART), os.urandom(PART), os.urandom(10)]
    whole = b"".join(bodies)
    done = upload(s3, bucket, mode, bodies)

    assert done["ETag"].endswith('-3"')
    assert said({**done, **(READS[mode] if mode == "c" else {})}) == mode
    assert s3.get_object(Bucket=bucket, Key="k", **READS[mode])["Body"].read() == whole
    for number, body in enumerate(bodies, 1):
        got = s3.get_object(Bucket=bucket, Key="k", PartNumber=number, **READS[mode])
        assert got["Body"].read() == body
        assert got["PartsCount"] == 3
    for start in (0, 65_530, PART - 10, PART, 2 * PART - 5):
        span = f"bytes={start}-{start + 99}"
        got = s3.get_object(Bucket=bucket, Key="k", Range=span, **READS[mode])
        assert got["Body"].read() == whole[start : start + 100]


@pytest.mark.parametrize("target", MODES)
@pytest.mark.parametrize("source", MODES)
def test_a_copy_goes_from_any_key_to_any_other(s3: Any, bucket: str, source: str, target: str) -> None:
    body = os.urandom(70_000)
    s3.put_object(Bucket=bucket, Key="a", Body=body, Metadata={"m": "1"}, **MODES[source])
    of_source = sse_c(prefix="CopySource") if source == "c" else {}
    place = {"Bucket": bucket, "Key": "b", "CopySource": f"{bucket}/a"}
    copied = s3.copy_object(**place, **of_source, **MODES[target])
    got = s3.get_object(Bucket=bucket, Key="b", **READS[target])

    assert said(copied) == said(got) == target
    assert got["Body"].read() == body
    assert got["Metadata"] == {"m": "1"}
    assert (got["ETag"] == f'"{md5(body)}"') is (target in ("none", "s3"))


@pytest.mark.parametrize("target", MODES)
@pytest.mark.parametrize("source", MODES)
def test_a_part_is_copied_from_any_key_to_any_other(s3: Any, bucket: str, source: str, target: str) -> None:
    body = os.urandom(140_000)
    s3.put_object(Bucket=bucket, Key="a", Body=body, **MODES[source])
    begun = s3.create_multipart_upload(Bucket=bucket, Key="b", **MODES[target])
    place = {"Bucket": bucket, "Key": "b", "UploadId": begun["UploadId"]}
    of_source = sse_c(prefix="CopySource") if source == "c" else {}
    copied = s3.upload_part_copy(
        **place,
        PartNumber=1,
        CopySource=f"{bucket}/a",
        CopySourceRange="bytes=65000-139998",
        **of_source,
        **READS[target],
    )
    assert said(copied) == target
    listed = copied["CopyPartResult"]
    part = {"PartNumber": 1, "ETag": listed["ETag"]}
    s3.complete_multipart_upload(**place, MultipartUpload={"Parts": [part]}, **READS[target])
    assert s3.get_object(Bucket=bucket, Key="b", **READS[target])["Body"].read() == body[65_000:139_999]


def test_a_copy_onto_itself_may_change_the_encryption_and_nothing_else(s3: Any, bucket: str, mode: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    place = {"Bucket": bucket, "Key": "k", "CopySource": f"{bucket}/k"}
    assert refusal(s3.copy_object, **place).code == "InvalidRequest"
    assert said(s3.copy_object(**place, **MODES[mode])) == mode
    assert s3.get_object(Bucket=bucket, Key="k", **READS[mode])["Body"].read() == b"kept"
    if mode == "c":
        rekeyed = s3.copy_object(**place, **sse_c(prefix="CopySource"), **sse_c(OTHER_KEY))
        assert rekeyed["SSECustomerKeyMD5"] == sse_c(OTHER_KEY)["SSECustomerKeyMD5"]
        assert s3.get_object(Bucket=bucket, Key="k", **sse_c(OTHER_KEY))["Body"].read() == b"kept"
        assert refusal(s3.get_object, Bucket=bucket, Key="k", **sse_c()).code == "AccessDenied"


class TestWrongKeys:
    """An object under its writer's own key, and requests without it."""

    @pytest.fixture
    def place(self, s3: Any, bucket: str) -> dict[str, str]:
        s3.put_object(Bucket=bucket, Key="k", Body=b"secret", **sse_c())
        s3.put_object(Bucket=bucket, Key="plain", Body=b"plain")
        return {"Bucket": bucket, "Key": "k"}

    def test_reads_without_the_key_are_refused(self, s3: Any, place: dict[str, str]) -> None:
        missing = refusal(s3.get_object, **place)
        assert (missing.code, missing.status) == ("InvalidRequest", 400)
        assert "correct parameters must be provided" in missing.message
        assert refusal(s3.head_object, **place).status == 400
        attributes = refusal(s3.get_object_attributes, **place, ObjectAttributes=["ETag"])
        assert attributes.code == "InvalidRequest"
        source = f"{place['Bucket']}/k"
        assert refusal(s3.copy_object, Bucket=place["Bucket"], Key="x", CopySource=source).code == "InvalidRequest"

    def test_reads_with_another_key_are_refused(self, s3: Any, place: dict[str, str]) -> None:
        wrong = refusal(s3.get_object, **place, **sse_c(OTHER_KEY))
        assert (wrong.code, wrong.status) == ("AccessDenied", 403)
        assert "must provide the correct secret key" in wrong.message
        assert refusal(s3.head_object, **place, **sse_c(OTHER_KEY)).status == 403
        source = {"CopySource": f"{place['Bucket']}/k", **sse_c(OTHER_KEY, "CopySource")}
        assert refusal(s3.copy_object, Bucket=place["Bucket"], Key="x", **source).code == "AccessDenied"

    def test_a_key_where_none_is_needed_is_refused(self, s3: Any, place: dict[str, str]) -> None:
        bucket = place["Bucket"]
        assert refusal(s3.get_object, Bucket=bucket, Key="plain", **sse_c()).code == "InvalidRequest"
        source = {"CopySource": f"{bucket}/plain", **sse_c(prefix="CopySource")}
        assert refusal(s3.copy_object, Bucket=bucket, Key="x", **source).code == "InvalidRequest"

    def test_attributes_tags_and_deletion_as_always(self, s3: Any, place: dict[str, str]) -> None:
        attributes = s3.get_object_attributes(**place, ObjectAttributes=["ETag", "ObjectSize"], **sse_c())
        assert attributes["ObjectSize"] == 6
        tagging = {"TagSet": [{"Key": "a", "Value": "b"}]}
        s3.put_object_tagging(**place, Tagging=tagging)
        assert s3.get_object_tagging(**place)["TagSet"] == tagging["TagSet"]
        assert s3.get_object(**place, **sse_c())["Body"].read() == b"secret"
        done = s3.delete_objects(Bucket=place["Bucket"], Delete={"Objects": [{"Key": "k"}]})
        assert [one["Key"] for one in done["Deleted"]] == ["k"]

    def test_each_part_needs_the_key_of_the_upload(self, s3: Any, place: dict[str, str]) -> None:
        begun = s3.create_multipart_upload(**place, **sse_c())
        part = {**place, "UploadId": begun["UploadId"], "PartNumber": 1, "Body": b"x"}
        assert "Subsequent part requests must include" in refusal(s3.upload_part, **part).message
        assert "did not match the ones used originally" in refusal(s3.upload_part, **part, **sse_c(OTHER_KEY)).message
        plain = s3.create_multipart_upload(**place)
        assert refusal(s3.upload_part, **{**part, "UploadId": plain["UploadId"]}, **sse_c()).code == "InvalidRequest"

    def test_the_end_of_an_upload_with_checksums_needs_the_key(self, s3: Any, place: dict[str, str]) -> None:
        begun = s3.create_multipart_upload(**place, **sse_c(), ChecksumAlgorithm="CRC32")
        upload_id = {**place, "UploadId": begun["UploadId"]}
        sent = s3.upload_part(**upload_id, PartNumber=1, Body=b"x", **sse_c())
        parts = {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"], "ChecksumCRC32": sent["ChecksumCRC32"]}]}
        for key in ({}, sse_c(OTHER_KEY)):
            assert refusal(s3.complete_multipart_upload, **upload_id, MultipartUpload=parts, **key).status == 400
        s3.complete_multipart_upload(**upload_id, MultipartUpload=parts, **sse_c())
        assert s3.get_object(**place, **sse_c())["Body"].read() == b"x"

    def test_the_end_of_another_upload_does_without_the_key_and_takes_no_other(
        self, s3: Any, place: dict[str, str]
    ) -> None:
        upload_id = {**place, "UploadId": s3.create_multipart_upload(**place, **sse_c())["UploadId"]}
        sent = s3.upload_part(**upload_id, PartNumber=1, Body=b"x", **sse_c())
        parts = {"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]}
        other = refusal(s3.complete_multipart_upload, **upload_id, MultipartUpload=parts, **sse_c(OTHER_KEY))
        assert other.code == "InvalidRequest"
        s3.complete_multipart_upload(**upload_id, MultipartUpload=parts)
        assert s3.get_object(**place, **sse_c())["Body"].read() == b"x"


def test_each_version_has_a_key_of_its_own(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = {
        key: s3.put_object(Bucket=bucket, Key="k", Body=key, **sse_c(key))["VersionId"] for key in (KEY, OTHER_KEY)
    }
    for key, version_id in versions.items():
        got = s3.get_object(Bucket=bucket, Key="k", VersionId=version_id, **sse_c(key))
        assert got["Body"].read() == key
    assert refusal(s3.get_object, Bucket=bucket, Key="k", VersionId=versions[KEY], **sse_c(OTHER_KEY)).status == 403


def test_over_https_too(s3_tls: Any, bucket_tls: str, mode: str) -> None:
    s3, bucket = s3_tls, bucket_tls
    body = os.urandom(3 * MIB)
    assert said(s3.put_object(Bucket=bucket, Key="k", Body=body, **MODES[mode])) == mode
    assert s3.get_object(Bucket=bucket, Key="k", **READS[mode])["Body"].read() == body
