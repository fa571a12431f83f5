"""boto3: both ListObjects, page by page, held against a model that lists the same keys the slow way."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.interop.support import md5, refusal

KEYS = (
    "a",
    "a/",
    "a/1",
    "a/2",
    "a/b/c",
    "a/b/d",
    "aa",
    "b//x",
    "b/x",
    "c",
    "d-1",
    "d-1/e",
    "d-2",
    "ä/ö",
    "\U0001f5ff/stone",
)
PREFIXES = ("", "a", "a/", "a/b", "a/b/", "b/", "d-", "ä", "none")
DELIMITERS = ("", "/", "-", "//", "b/", "1")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing: a key, or a common prefix."""

    name: str
    is_prefix: bool


def model(prefix: str, delimiter: str, after: str = "") -> list[Entry]:
    """What a listing without a limit holds, in order."""
    entries: dict[str, Entry] = {}
    for key in sorted(KEYS, key=str.encode):
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if end < 0 else key[: end + len(delimiter)]
        entries.setdefault(name, Entry(name, end >= 0))
    return list(entries.values())


@pytest.fixture(scope="module")
def filled(s3: Any) -> str:
    """A bucket that holds an object of each of KEYS; only to be read."""
    s3.create_bucket(Bucket="interop-listing")
    for key in KEYS:
        s3.put_object(Bucket="interop-listing", Key=key, Body=key.encode())
    return "interop-listing"


def entries_of(answer: Any) -> list[Entry]:
    """Keys and common prefixes of one page, in the order of their bytes."""
    keys = [Entry(entry["Key"], False) for entry in answer.get("Contents", ())]
    prefixes = [Entry(entry["Prefix"], True) for entry in answer.get("CommonPrefixes", ())]
    for part in (keys, prefixes):
        assert part == sorted(part, key=lambda entry: entry.name.encode())
    return sorted((*keys, *prefixes), key=lambda entry: entry.name.encode())


def pages_v2(s3: Any, bucket: str, **parameters: Any) -> Iterator[Any]:
    """Answers of ListObjectsV2, following the continuation tokens."""
    token: dict[str, str] = {}
    while True:
        answer = s3.list_objects_v2(Bucket=bucket, **parameters, **token)
        yield answer
        assert answer["IsTruncated"] == ("NextContinuationToken" in answer)
        if not answer["IsTruncated"]:
            return
        token = {"ContinuationToken": answer["NextContinuationToken"]}


def pages_v1(s3: Any, bucket: str, **parameters: Any) -> Iterator[Any]:
    """Answers of ListObjects, following the markers as its page tells to."""
    marker: dict[str, str] = {}
    while True:
        answer = s3.list_objects(Bucket=bucket, **parameters, **marker)
        yield answer
        if not answer["IsTruncated"]:
            return
        # "This element is returned only if you have the delimiter request parameter specified."
        assert ("NextMarker" in answer) == bool(parameters.get("Delimiter"))
        marker = {"Marker": answer.get("NextMarker") or answer["Contents"][-1]["Key"]}


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_pages_of_any_size_join_to_the_whole_listing(s3: Any, filled: str, delimiter: str) -> None:
    for prefix, limit in itertools.product(PREFIXES, (1, 2, 3, 1000)):
        expected = model(prefix, delimiter)
        for pages in (pages_v1, pages_v2):
            parameters = {"Prefix": prefix, "Delimiter": delimiter, "MaxKeys": limit}
            answers = list(pages(s3, filled, **parameters))
            assert list(itertools.chain.from_iterable(map(entries_of, answers))) == expected, parameters
            assert all(len(entries_of(answer)) == limit for answer in answers[:-1])
            assert len(answers) == max(1, -(-len(expected) // limit)), parameters


@pytest.mark.parametrize("after", ["a", "a/", "a/1", "a/b", "a/b/z", "d-1/", "z", "ä/ö", "\U0010ffff"])
def test_listing_starts_after_the_given_key(s3: Any, filled: str, after: str) -> None:
    for prefix in ("", "a/"):
        expected = model(prefix, "", after)
        first = s3.list_objects_v2(Bucket=filled, StartAfter=after, Prefix=prefix)
        assert entries_of(first) == expected
        assert first["StartAfter"] == after
        second = s3.list_objects(Bucket=filled, Marker=after, Prefix=prefix)
        assert entries_of(second) == expected
        assert second["Marker"] == after


def test_listing_starts_after_a_whole_common_prefix(s3: Any, filled: str) -> None:
    # A marker or start-after that is a common prefix of the listing, as NextMarker is, skips what it stands for.
    answer = s3.list_objects(Bucket=filled, Delimiter="/", Marker="a/")
    assert entries_of(answer)[0].name == "aa"


def test_page_tells_what_was_asked(s3: Any, filled: str) -> None:
    answer = s3.list_objects_v2(Bucket=filled, Prefix="a/", Delimiter="/", MaxKeys=2)
    assert (answer["Name"], answer["Prefix"], answer["Delimiter"]) == (filled, "a/", "/")
    assert (answer["MaxKeys"], answer["KeyCount"], answer["IsTruncated"]) == (2, 2, True)
    assert "Owner" not in answer["Contents"][0]
    (entry,) = s3.list_objects_v2(Bucket=filled, Prefix="a/1", FetchOwner=True)["Contents"]
    assert (entry["Key"], entry["Size"], entry["ETag"]) == ("a/1", 3, f'"{md5(b"a/1")}"')
    assert entry["StorageClass"] == "STANDARD"
    assert entry["ChecksumAlgorithm"] == ["CRC32"]
    assert entry["Owner"]["ID"]
    (entry,) = s3.list_objects(Bucket=filled, Prefix="a/1")["Contents"]
    assert entry["Owner"]["ID"]


def test_listing_of_no_keys_at_most_is_empty_and_whole(s3: Any, filled: str) -> None:
    for answer in (
        s3.list_objects_v2(Bucket=filled, MaxKeys=0),
        s3.list_objects(Bucket=filled, MaxKeys=0),
    ):
        assert "Contents" not in answer
        assert (answer["MaxKeys"], answer["IsTruncated"]) == (0, False)


def test_page_holds_a_thousand_keys_at_most(s3: Any, bucket: str) -> None:
    keys = [f"{number:05}" for number in range(1050)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key), keys))
    for pages in (pages_v1, pages_v2):
        answers = list(pages(s3, bucket, MaxKeys=5000))
        assert [len(answer["Contents"]) for answer in answers] == [1000, 50]
        assert [entry["Key"] for answer in answers for entry in answer["Contents"]] == keys
        assert answers[0]["MaxKeys"] == 1000
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, StartAfter="01048")["Contents"]] == ["01049"]


def test_keys_are_url_encoded_where_asked(s3: Any, bucket: str) -> None:
    # botocore asks for encoding-type=url by itself and decodes; asked explicitly, it leaves that to the caller.
    for key in ("a b/c+d", "ü/\x01", "plain"):
        s3.put_object(Bucket=bucket, Key=key)
    parameters = {"Bucket": bucket, "EncodingType": "url", "Delimiter": "/"}
    for answer in (s3.list_objects(**parameters), s3.list_objects_v2(**parameters)):
        assert answer["EncodingType"] == "url"
        assert [entry["Key"] for entry in answer["Contents"]] == ["plain"]
        assert {entry["Prefix"] for entry in answer["CommonPrefixes"]} <= {"a+b/", "a%20b/", "%C3%BC/"}
    answer = s3.list_objects_v2(Bucket=bucket, EncodingType="url", Prefix="a b/")
    assert answer["Contents"][0]["Key"] in ("a+b/c%2Bd", "a%20b/c%2Bd")
    answer = s3.list_objects_v2(Bucket=bucket, EncodingType="url", Prefix="ü/")
    assert answer["Contents"][0]["Key"] == "%C3%BC/%01"


def test_bad_list_parameters_are_invalid_arguments(s3: Any, filled: str) -> None:
    for call, parameters in (
        (s3.list_objects_v2, {"ContinuationToken": "not one of ours"}),
        (s3.list_objects_v2, {"ContinuationToken": ""}),
        (s3.list_objects_v2, {"MaxKeys": -1}),
        (s3.list_objects, {"MaxKeys": -1}),
        (s3.list_objects, {"EncodingType": "base64"}),
    ):
        refused = refusal(call, Bucket=filled, **parameters)
        assert (refused.code, refused.status) == ("InvalidArgument", 400), parameters


def test_listing_a_missing_bucket_names_it(s3: Any) -> None:
    for call in (s3.list_objects, s3.list_objects_v2, s3.list_multipart_uploads):
        refused = refusal(call, Bucket="never-made")
        assert (refused.code, refused.status) == ("NoSuchBucket", 404)
        assert refused.elements["BucketName"] == "never-made"
