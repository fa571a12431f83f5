"""x-amz-copy-source in all its spellings."""

import pytest

from gateway.operations.copy_source import parse_copy_source
from s3compat.errors import S3Error


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("bucket/key", ("bucket", "key", None)),
        ("/bucket/key", ("bucket", "key", None)),
        ("bucket/a%20b", ("bucket", "a b", None)),
        ("bucket/a+b", ("bucket", "a b", None)),
        ("bucket/a%2Bb", ("bucket", "a+b", None)),
        ("bucket/a//b/../c/", ("bucket", "a//b/../c/", None)),
        ("bucket/key?versionId=abc", ("bucket", "key", "abc")),
        ("bucket/what%3FversionId=x", ("bucket", "what?versionId=x", None)),
        ("bucket%2Fkey", ("bucket", "key", None)),
        ("bucket/%C3%A9", ("bucket", "é", None)),
        ("bucket/é".encode().decode("latin-1"), ("bucket", "é", None)),
    ],
)
def test_source_is_decoded_once(text: str, source: tuple[str, str, str | None]) -> None:
    assert parse_copy_source(text) == source


@pytest.mark.parametrize("text", ["", "bucket", "bucket/", "/", "bucket/%ff", "bucket/a%00b", "bucket/k?versionId="])
def test_source_without_bucket_and_key_is_refused(text: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        parse_copy_source(text)
