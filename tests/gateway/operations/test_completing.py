"""Choosing the parts of an object and combining their checksums."""

import pytest

from gateway.index.records import Checksum, Extent, PartRecord, UploadRecord
from gateway.operations.completing import PART_MINIMUM_BYTES, choose_parts, object_checksum
from s3compat import checksums
from s3compat.errors import S3Error


def part(number: int, *, size: int = PART_MINIMUM_BYTES, etag: str = "e", body: bytes = b"") -> PartRecord:
    hasher = checksums.new("CRC32")
    hasher.update(body)
    return PartRecord(
        part_number=number,
        size_bytes=len(body) or size,
        etag=etag,
        checksum=Checksum(algorithm="CRC32", type="FULL_OBJECT", value=checksums.encode(hasher.digest())),
        modified_ms=0,
        extent=Extent(write_id="0" * 32, segments=()),
    )


def upload(checksum_type: str = "FULL_OBJECT") -> UploadRecord:
    return UploadRecord(key="k", owner_id="o", initiated_ms=0, checksum_algorithm="CRC32", checksum_type=checksum_type)


def test_named_parts_are_chosen_whatever_else_was_uploaded() -> None:
    held = {number: part(number) for number in (1, 2, 3)}
    assert choose_parts("u", [{"PartNumber": 1, "ETag": '"e"'}, {"PartNumber": 3, "ETag": "e"}], held) == [
        held[1],
        held[3],
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"PartNumber": 2, "ETag": "e"},
        {"PartNumber": 1, "ETag": "other"},
        {"PartNumber": 1, "ETag": "e", "ChecksumCRC32": "AAAAAQ=="},
    ],
    ids=["missing", "other etag", "other checksum"],
)
def test_part_that_is_not_there_is_invalid(entry: dict[str, object]) -> None:
    with pytest.raises(S3Error, match="InvalidPart"):
        choose_parts("u", [entry], {1: part(1)})


def test_only_the_last_part_may_be_small() -> None:
    held = {1: part(1, size=PART_MINIMUM_BYTES), 2: part(2, size=1)}
    listed = [{"PartNumber": 1, "ETag": "e"}, {"PartNumber": 2, "ETag": "e"}]
    assert len(choose_parts("u", listed, held)) == 2
    held[1] = part(1, size=PART_MINIMUM_BYTES - 1)
    with pytest.raises(S3Error, match="EntityTooSmall") as refused:
        choose_parts("u", listed, held)
    assert refused.value.elements["PartNumber"] == "1"


def test_full_object_checksum_is_that_of_the_bytes_laid_end_to_end() -> None:
    whole = checksums.new("CRC32")
    whole.update(b"hello world")
    parts = [part(1, body=b"hello "), part(2, body=b"world")]
    assert object_checksum({}, [], upload(), parts) == Checksum(
        algorithm="CRC32", type="FULL_OBJECT", value=checksums.encode(whole.digest())
    )


def test_claimed_checksum_must_be_the_objects() -> None:
    with pytest.raises(S3Error, match="BadDigest"):
        object_checksum({"ChecksumCRC32": "AAAAAA=="}, [], upload(), [part(1, body=b"hello")])


def test_composite_upload_needs_every_parts_checksum_in_the_request() -> None:
    parts = [part(1, body=b"hello")]
    with pytest.raises(S3Error, match="InvalidRequest"):
        object_checksum({}, [{"PartNumber": 1, "ETag": "e"}], upload("COMPOSITE"), parts)


def test_checksum_type_must_be_the_uploads() -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        object_checksum({"ChecksumType": "COMPOSITE"}, [], upload(), [part(1, body=b"x")])
