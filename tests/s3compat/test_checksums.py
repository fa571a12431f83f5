"""Checksums: known values, values in headers, and making a whole of parts."""

import base64
import contextlib
import hashlib
import zlib

import botocore.session
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat import checksums
from s3compat.checksums import ALGORITHMS, requested_checksum, trailer_names
from s3compat.errors import S3Error
from s3compat.request import Headers

# Check values: CRCs of "123456789" from the catalogue of parametrised CRC algorithms, hashes of the same text
# from RFC test programs, XXH* from the xxHash reference (xxhsum).
CHECK_VALUES = {
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "SHA256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
    "MD5": "25f9e794323b453885f5181f1b624d0b",
    "XXHASH64": "8cb841db40e6ae83",
}


@pytest.mark.parametrize(("name", "expected"), CHECK_VALUES.items())
def test_check_values(name: str, expected: str) -> None:
    hasher = checksums.new(name)
    hasher.update(b"12345")
    hasher.update(memoryview(b"x6789")[1:])
    hasher.update(bytearray())
    assert hasher.digest().hex() == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("XXHASH3", xxhash.xxh3_64_intdigest(b"123456789").to_bytes(8, "big")),
        ("XXHASH128", xxhash.xxh3_128_intdigest(b"123456789").to_bytes(16, "big")),
        ("SHA512", hashlib.sha512(b"123456789").digest()),
    ],
)
def test_digests_are_big_endian(name: str, expected: bytes) -> None:
    hasher = checksums.new(name)
    hasher.update(b"123456789")
    assert hasher.digest() == expected


@pytest.mark.parametrize("name", ALGORITHMS)
def test_digest_sizes_headers_and_members(name: str) -> None:
    algorithm = ALGORITHMS[name]
    assert len(checksums.new(name).digest()) == algorithm.digest_size
    assert algorithm.header == f"x-amz-checksum-{name.lower()}"
    assert algorithm.member == f"Checksum{name}"


def test_every_algorithm_of_the_service_model_is_here() -> None:
    model = botocore.session.get_session().get_service_model("s3")
    assert set(model.shape_for("ChecksumAlgorithm").enum) == set(ALGORITHMS)
    members = set(model.shape_for("Checksum").members) - {"ChecksumType"}
    assert members == {algorithm.member for algorithm in ALGORITHMS.values()}


@pytest.mark.parametrize(
    ("name", "composite", "full"),
    [
        ("CRC32", True, True),
        ("CRC32C", True, True),
        ("CRC64NVME", False, True),
        ("SHA1", True, False),
        ("SHA256", True, False),
    ],
)
def test_types_of_multipart_checksums(name: str, composite: bool, full: bool) -> None:
    algorithm = ALGORITHMS[name]
    assert (algorithm.supports_composite, algorithm.supports_full_object) == (composite, full)
    assert algorithm.default_multipart_type == ("COMPOSITE" if composite else "FULL_OBJECT")
    for wanted, allowed in (("COMPOSITE", composite), ("FULL_OBJECT", full)):
        if allowed:
            checksums.check_multipart_type(algorithm, wanted)
        else:
            with pytest.raises(S3Error) as caught:
                checksums.check_multipart_type(algorithm, wanted)
            assert caught.value.code == "InvalidRequest"
    with pytest.raises(S3Error):
        checksums.check_multipart_type(algorithm, "HALF_OBJECT")


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"]), st.lists(st.binary(max_size=64), max_size=6))
def test_combined_crc_is_that_of_the_whole(name: str, parts: list[bytes]) -> None:
    digests = []
    for part in parts:
        hasher = checksums.new(name)
        hasher.update(part)
        digests.append((hasher.digest(), len(part)))
    whole = checksums.new(name)
    whole.update(b"".join(parts))
    assert checksums.combine_crc(name, digests) == whole.digest()


def test_composite_is_the_checksum_of_the_digests() -> None:
    digests = [hashlib.sha256(part).digest() for part in (b"one", b"two", b"three")]
    expected = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    assert checksums.composite("SHA256", digests) == f"{expected}-3"
    crcs = [zlib.crc32(part).to_bytes(4, "big") for part in (b"one", b"two")]
    combined = base64.b64encode(zlib.crc32(b"".join(crcs)).to_bytes(4, "big")).decode()
    assert checksums.composite("CRC32", crcs) == f"{combined}-2"


@settings(derandomize=True, deadline=None)
@given(st.sampled_from(sorted(ALGORITHMS)), st.data())
def test_encoded_digests_decode(name: str, data: st.DataObject) -> None:
    size = ALGORITHMS[name].digest_size
    digest = data.draw(st.binary(min_size=size, max_size=size))
    assert checksums.decode(name, checksums.encode(digest)) == digest


@pytest.mark.parametrize(
    "value",
    ["", "bad", "AAAA", "AAAAAAA=", "AAAAAB==", "AAAA AA==", "AAAAAA", "AAAAAA===", "é", "AAAA-_==", "AAAAAA==-1"],
)
def test_malformed_values_are_refused(value: str) -> None:
    with pytest.raises(S3Error) as caught:
        checksums.decode("CRC32", value)
    assert (caught.value.code, caught.value.message) == (
        "InvalidRequest",
        "Value for x-amz-checksum-crc32 header is invalid.",
    )


def test_malformed_trailer_value_is_named_so() -> None:
    with pytest.raises(S3Error, match="x-amz-checksum-crc32 trailing header is invalid"):
        checksums.decode("CRC32", "!", trailer=True)


def test_mismatch_names_the_algorithm() -> None:
    error = checksums.mismatch("CRC64NVME")
    assert error.code == "BadDigest"
    assert error.message == "The CRC64NVME you specified did not match the calculated checksum."


def test_no_checksum_is_requested() -> None:
    headers = [("x-amz-checksum-type", "COMPOSITE"), ("x-amz-checksum-algorithm", "CRC32"), ("Content-MD5", "x")]
    assert requested_checksum(Headers(headers)) is None


def test_checksum_in_a_header() -> None:
    headers = Headers([("X-Amz-Checksum-CRC32", "AAAAAA=="), ("x-amz-sdk-checksum-algorithm", "crc32")])
    requested = requested_checksum(headers)
    assert requested is not None
    assert requested.algorithm.name == "CRC32"
    assert requested.value == bytes(4)
    assert not requested.trailer


def test_checksum_in_a_trailer() -> None:
    headers = Headers([("x-amz-trailer", "X-Amz-Checksum-SHA256 "), ("x-amz-sdk-checksum-algorithm", "SHA256")])
    requested = requested_checksum(headers)
    assert requested is not None
    assert (requested.algorithm.name, requested.value, requested.trailer) == ("SHA256", None, True)
    assert trailer_names(headers) == {"x-amz-checksum-sha256"}


def test_trailer_names_of_a_list() -> None:
    assert trailer_names(Headers([("x-amz-trailer", "A, b,,"), ("x-amz-trailer", "c")])) == {"a", "b", "c"}
    assert trailer_names(Headers([])) == frozenset()


CRC32 = ("x-amz-checksum-crc32", "AAAAAA==")
TRAILER = ("x-amz-trailer", "x-amz-checksum-crc32")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([CRC32, ("x-amz-checksum-crc32c", "AAAAAA==")], "Expecting a single x-amz-checksum- header"),
        ([CRC32, TRAILER], "Expecting a single x-amz-checksum- header"),
        ([("x-amz-checksum-crc16", "AAA=")], "algorithm type you specified in x-amz-checksum- header is invalid"),
        ([("x-amz-checksum-crc32", "AAAAAA==,AAAAAA==")], "Value for x-amz-checksum-crc32 header is invalid"),
        ([CRC32, CRC32], "Value for x-amz-checksum-crc32 header is invalid"),
        ([("x-amz-trailer", "x-amz-meta-a")], "x-amz-trailer header is not supported"),
        ([("x-amz-trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1")], "x-amz-trailer header is not supported"),
        ([("x-amz-sdk-checksum-algorithm", "CRC32")], "no corresponding x-amz-checksum"),
        ([CRC32, ("x-amz-sdk-checksum-algorithm", "SHA1")], "Value for x-amz-sdk-checksum-algorithm"),
        ([TRAILER, ("x-amz-sdk-checksum-algorithm", "SHA1")], "Value for x-amz-sdk-checksum-algorithm"),
        ([CRC32, ("x-amz-sdk-checksum-algorithm", "CRC16")], "Checksum algorithm provided is unsupported"),
    ],
)
def test_contradictions_are_invalid_requests(headers: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(S3Error, match=message) as caught:
        requested_checksum(Headers(headers))
    assert caught.value.code == "InvalidRequest"


HEADER_NAMES = [*checksums.BY_HEADER, "x-amz-trailer", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-x"]


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(HEADER_NAMES),
            st.one_of(st.text(st.characters(max_codepoint=255)), st.sampled_from(["AAAAAA==", "CRC32", *HEADER_NAMES])),
        ),
        max_size=4,
    )
)
def test_nothing_but_s3_errors_comes_out(headers: list[tuple[str, str]]) -> None:
    with contextlib.suppress(S3Error):
        requested_checksum(Headers(headers))
