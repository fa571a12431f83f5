"""Bucket names by the rules of the S3 User Guide."""

import pytest

from s3compat.errors import S3Error
from s3compat.names import check_bucket_name


@pytest.mark.parametrize(
    "name",
    [
        "abc",
        "0ab",
        "a-b",
        "a.b",
        "my.bucket.name-1",
        "a" * 63,
        "aaa.111",
        "192.168.5",
        "1.2.3.4.5",
        "blobs",
        "uploads",
        "x--y",
        "anan",
    ],
)
def test_good_names_pass(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "a", "aa", "a" * 64, "Abc", "a_b_c", "-abc", "abc-", ".abc", "abc.", "a..b", "a.-b", "a-.b"),
        *("192.168.5.123", "0.0.0.0", "999.999.999.999"),
        *("xn--abc", "sthree-abc", "sthree-configurator", "amzn-s3-demo-bucket"),
        *("abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--use1-az4--x-s3", "abc--table-s3", "abc-123-us-east-1-an"),
        *("upload", "blob"),
        *("abc\n", "a b", "a/b", "a\0b", "bücket", "١٢٣", "ａｂｃ"),
    ],
)
def test_bad_names_are_refused_with_the_name_in_the_error(name: str) -> None:
    with pytest.raises(S3Error) as caught:
        check_bucket_name(name)
    assert caught.value.code == "InvalidBucketName"
    assert caught.value.elements == {"BucketName": name}
