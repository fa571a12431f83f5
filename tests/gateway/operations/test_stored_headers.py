"""What an object keeps of a request's headers, and what is refused."""

import pytest

from gateway.operations.stored_headers import (
    check_redirect,
    kept_headers,
    refuse_unsupported,
    user_metadata,
)
from s3compat.errors import S3Error
from s3compat.request import Headers


def test_standard_headers_are_kept_as_given() -> None:
    given = {
        "cache-control": "no-cache",
        "content-disposition": 'attachment; filename="x"',
        "content-encoding": "gzip",
        "content-language": "de",
        "content-type": "text/plain",
        "expires": "not even a date",
        "x-amz-website-redirect-location": "/elsewhere",
        "x-amz-storage-class": "GLACIER_IR",
    }
    assert dict(kept_headers(Headers([*given.items(), ("x-other", "gone")]))) == given


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked", "gzip"), ("AWS-Chunked", None)],
)
def test_aws_chunked_is_no_coding_of_the_object(sent: str, kept: str | None) -> None:
    assert dict(kept_headers(Headers([("content-encoding", sent)]))).get("content-encoding") == kept


def test_type_defaults_to_binary() -> None:
    assert kept_headers(Headers([])) == (("content-type", "binary/octet-stream"),)


def test_standard_storage_class_is_not_stored() -> None:
    assert "x-amz-storage-class" not in dict(kept_headers(Headers([("x-amz-storage-class", "STANDARD")])))


@pytest.mark.parametrize("storage_class", ["COLD", "", "standard", "OUTPOSTS"])
def test_unknown_storage_class_is_refused(storage_class: str) -> None:
    with pytest.raises(S3Error, match="InvalidStorageClass"):
        kept_headers(Headers([("x-amz-storage-class", storage_class)]))


@pytest.mark.parametrize("location", ["elsewhere", "ftp://x", ""])
def test_redirect_to_neither_key_nor_url_is_refused(location: str) -> None:
    with pytest.raises(S3Error, match="InvalidRedirectLocation"):
        check_redirect(location)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-amz-write-offset-bytes", "0", "NotImplemented"),
    ],
)
def test_what_has_no_engine_is_refused_and_not_ignored(name: str, value: str, code: str) -> None:
    with pytest.raises(S3Error, match=code):
        refuse_unsupported(Headers([(name, value)]))


def test_owner_acls_are_what_the_bucket_has_anyway() -> None:
    refuse_unsupported(Headers([("x-amz-acl", "private")]))
    refuse_unsupported(Headers([("x-amz-acl", "bucket-owner-full-control")]))


def test_metadata_of_exactly_2_kib_is_kept_and_one_byte_more_is_not() -> None:
    assert user_metadata({"Metadata": {"k": "v" * 2047}}) == (("k", "v" * 2047),)
    with pytest.raises(S3Error, match="MetadataTooLarge"):
        user_metadata({"Metadata": {"k": "v" * 2048}})
