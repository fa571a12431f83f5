"""boto3: the five checksums as headers (HTTP) and as trailers (HTTPS), of objects and of multipart uploads.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import base64
import hashlib
import zlib
from typing import Any

import pytest
from awscrt import checksums as crt

from tests.harness.cairn import CairnServer
from tests.interop.support import MIB, refusal

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
FULL_OBJECT = ("CRC32", "CRC32C", "CRC64NVME")
COMPOSITE = ("CRC32", "CRC32C", "SHA1", "SHA256")
CONTENT = b"The stones mark the way."
PART = 5 * MIB


def raw_checksum(algorithm: str, content: bytes) -> bytes:
    match algorithm:
        case "CRC32":
            return zlib.crc32(content).to_bytes(4, "big")
        case "CRC32C":
            return int(crt.crc32c(content)).to_bytes(4, "big")
        case "CRC64NVME":
            return int(crt.crc64nvme(content)).to_bytes(8, "big")
        case _:
            return hashlib.new(algorithm, content, usedforsecurity=False).digest()


def checksum(algorithm: str, content: bytes) -> str:
    """As headers and XML carry it."""
    return base64.b64encode(raw_checksum(algorithm, content)).decode()


def composite(algorithm: str, *parts: bytes) -> str:
    """The checksum of the parts' checksums, and how many there are."""
    joined = b"".join(raw_checksum(algorithm, part) for part in parts)
    return f"{checksum(algorithm, joined)}-{len(parts)}"


@pytest.fixture(params=["http", "https"])
def place(request: pytest.FixtureRequest) -> tuple[Any, str]:
    """Client and bucket: over HTTP boto3 sends a checksum as a header, over HTTPS as a trailer."""
    secure = request.param == "https"
    client = request.getfixturevalue("s3_tls" if secure else "s3")
    return client, request.getfixturevalue("bucket_tls" if secure else "bucket")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksum_is_verified_stored_and_returned(place: tuple[Any, str], algorithm: str) -> None:
    s3, bucket = place
    member, expected = f"Checksum{algorithm}", checksum(algorithm, CONTENT)
    put = s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, ChecksumAlgorithm=algorithm)
    assert (put[member], put["ChecksumType"]) == (expected, "FULL_OBJECT")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got[member], got["ChecksumType"]) == (expected, "FULL_OBJECT")
    assert got["Body"].read() == CONTENT  # botocore verifies
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (expected, "FULL_OBJECT")
    (listed,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ([algorithm], "FULL_OBJECT")
    # Chunked and trailing encodings are the transport's business, not the object's.
    assert "ContentEncoding" not in head


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_given_checksum_that_is_wrong_is_refused(s3: Any, bucket: str, algorithm: str) -> None:
    member = f"Checksum{algorithm}"
    s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, **{member: checksum(algorithm, CONTENT)})
    wrong = {member: checksum(algorithm, b"other")}
    refused = refusal(s3.put_object, Bucket=bucket, Key="k", Body=CONTENT + b"!", **wrong)
    assert (refused.code, refused.status) == ("BadDigest", 400)
    for value in ("AA==", "not base64 at all"):
        malformed = refusal(s3.put_object, Bucket=bucket, Key="k", Body=CONTENT, **{member: value})
        assert (malformed.code, malformed.status) == ("InvalidRequest", 400), value
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == CONTENT


def test_checksum_is_not_returned_unasked_nor_with_a_range(cairn: CairnServer, s3: Any, bucket: str) -> None:
    client = cairn.client(response_checksum_validation="when_required")
    s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, ChecksumAlgorithm="CRC32")
    unasked = client.get_object(Bucket=bucket, Key="k")
    assert unasked["Body"].read() == CONTENT
    assert not [name for name in unasked if name.startswith("Checksum")]
    part = s3.get_object(Bucket=bucket, Key="k", Range="bytes=1-2", ChecksumMode="ENABLED")
    assert part["Body"].read() == CONTENT[1:3]
    assert "ChecksumCRC32" not in part
    client.close()


def test_object_without_a_checksum_gets_crc64nvme(cairn: CairnServer, bucket: str) -> None:
    # "If there's no checksum in the request, S3 computes CRC64NVME": see the page in the docstring above.
    client = cairn.client(request_checksum_calculation="when_required")
    client.put_object(Bucket=bucket, Key="k", Body=CONTENT)
    head = client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == checksum("CRC64NVME", CONTENT)
    client.close()


def test_stream_of_unknown_length_is_sent_with_a_trailer(s3_tls: Any, bucket_tls: str) -> None:
    content = bytes(range(256)) * 4096 * 3
    s3_tls.put_object(Bucket=bucket_tls, Key="k", Body=content, ChecksumAlgorithm="SHA256")
    got = s3_tls.get_object(Bucket=bucket_tls, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == content
    assert got["ChecksumSHA256"] == checksum("SHA256", content)


def upload(s3: Any, bucket: str, algorithm: str, checksum_type: str, parts: tuple[bytes, ...], **last: Any) -> Any:
    """A whole multipart upload; `last` goes to CompleteMultipartUpload."""
    member = f"Checksum{algorithm}"
    created = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=checksum_type
    )
    assert (created["ChecksumAlgorithm"], created["ChecksumType"]) == (algorithm, checksum_type)
    named = {"Bucket": bucket, "Key": "k", "UploadId": created["UploadId"]}
    listed = []
    for number, body in enumerate(parts, 1):
        answer = s3.upload_part(PartNumber=number, Body=body, ChecksumAlgorithm=algorithm, **named)
        assert answer[member] == checksum(algorithm, body)
        listed.append({"PartNumber": number, "ETag": answer["ETag"], member: answer[member]})
    shown = s3.list_parts(**named)
    assert (shown["ChecksumAlgorithm"], shown["ChecksumType"]) == (algorithm, checksum_type)
    assert [part[member] for part in shown["Parts"]] == [part[member] for part in listed]
    return s3.complete_multipart_upload(MultipartUpload={"Parts": listed}, **named, **last)


@pytest.mark.parametrize("algorithm", COMPOSITE)
def test_composite_checksum_of_a_multipart_upload(place: tuple[Any, str], algorithm: str) -> None:
    s3, bucket = place
    member, parts = f"Checksum{algorithm}", (b"a" * PART, b"b" * 100)
    done = upload(s3, bucket, algorithm, "COMPOSITE", parts)
    expected = composite(algorithm, *parts)
    assert (done[member], done["ChecksumType"]) == (expected, "COMPOSITE")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (expected, "COMPOSITE")
    part = s3.get_object(Bucket=bucket, Key="k", PartNumber=2, ChecksumMode="ENABLED")
    assert part["Body"].read() == parts[1]
    assert part[member] == checksum(algorithm, parts[1])


@pytest.mark.parametrize("algorithm", FULL_OBJECT)
def test_full_object_checksum_of_a_multipart_upload(place: tuple[Any, str], algorithm: str) -> None:
    s3, bucket = place
    member, parts = f"Checksum{algorithm}", (b"a" * PART, b"b" * (PART + 3), b"c")
    expected = checksum(algorithm, b"".join(parts))
    done = upload(s3, bucket, algorithm, "FULL_OBJECT", parts, **{member: expected, "ChecksumType": "FULL_OBJECT"})
    assert (done[member], done["ChecksumType"]) == (expected, "FULL_OBJECT")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got[member], got["ChecksumType"]) == (expected, "FULL_OBJECT")
    assert got["Body"].read() == b"".join(parts)


def test_wrong_checksum_of_the_whole_object_is_refused(s3: Any, bucket: str) -> None:
    wrong = {"ChecksumCRC32": checksum("CRC32", b"other"), "ChecksumType": "FULL_OBJECT"}
    refused = refusal(
        upload, s3=s3, bucket=bucket, algorithm="CRC32", checksum_type="FULL_OBJECT", parts=(b"x",), **wrong
    )
    assert (refused.code, refused.status) == ("BadDigest", 400)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("algorithm", "checksum_type"), [("CRC64NVME", "COMPOSITE"), ("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT")]
)
def test_type_that_an_algorithm_does_not_have_is_refused(
    s3: Any, bucket: str, algorithm: str, checksum_type: str
) -> None:
    refused = refusal(
        s3.create_multipart_upload,
        Bucket=bucket,
        Key="k",
        ChecksumAlgorithm=algorithm,
        ChecksumType=checksum_type,
    )
    assert (refused.code, refused.status) == ("InvalidRequest", 400)


def test_default_type_of_a_multipart_checksum(s3: Any, bucket: str) -> None:
    # The page "Tutorial / Using part-level checksums": CRC64NVME is FULL_OBJECT, the others are COMPOSITE.
    for algorithm in ALGORITHMS:
        created = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm)
        expected = "FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE"
        assert created["ChecksumType"] == expected, algorithm


def test_part_with_another_checksum_than_the_upload_is_refused(s3: Any, bucket: str) -> None:
    created = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")
    named = {"Bucket": bucket, "Key": "k", "UploadId": created["UploadId"], "PartNumber": 1}
    refused = refusal(s3.upload_part, Body=b"x", ChecksumAlgorithm="CRC32", **named)
    assert (refused.code, refused.status) == ("InvalidRequest", 400)


def test_composite_upload_is_completed_with_the_checksum_of_each_part(s3: Any, bucket: str) -> None:
    created = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")
    named = {"Bucket": bucket, "Key": "k", "UploadId": created["UploadId"]}
    part = s3.upload_part(PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256", **named)
    without = {"PartNumber": 1, "ETag": part["ETag"]}
    wrong = {**without, "ChecksumSHA256": checksum("SHA256", b"other")}
    refused = refusal(s3.complete_multipart_upload, MultipartUpload={"Parts": [wrong]}, **named)
    assert (refused.code, refused.status) == ("InvalidPart", 400)
    right = {**without, "ChecksumSHA256": part["ChecksumSHA256"]}
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": [right]}, **named)
    assert done["ChecksumSHA256"] == composite("SHA256", b"x")
