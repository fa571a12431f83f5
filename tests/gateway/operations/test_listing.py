"""Markers and continuation tokens of lists."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.index.records import ListPosition
from gateway.operations.listing import decode_token, encode_token, page_limit, position_after
from s3compat.errors import S3Error


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.booleans())
def test_token_says_where_to_go_on(value: str, is_prefix: bool) -> None:
    position = ListPosition(value=value, is_prefix=is_prefix)
    assert decode_token(encode_token(position)) == position


@pytest.mark.parametrize(
    "token", ["", "x", "!!!", base64.b64encode(b"zfoo").decode(), base64.b64encode(b"k\xff").decode(), "é"]
)
def test_foreign_token_is_an_invalid_argument(token: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        decode_token(token)


@pytest.mark.parametrize(
    ("prefix", "delimiter", "marker", "is_prefix"),
    [
        ("", "/", "foo/", True),
        ("", "/", "foo/bar", False),
        ("", "/", "foo/bar/", False),
        ("foo/", "/", "foo/bar/", True),
        ("foo/", "/", "foo/", False),
        ("", "", "foo/", False),
        ("", "--", "a--", True),
        ("x", "/", "foo/", False),
    ],
)
def test_marker_that_is_a_common_prefix_stands_for_its_keys(
    prefix: str, delimiter: str, marker: str, is_prefix: bool
) -> None:
    params = {"Prefix": prefix, "Delimiter": delimiter}
    assert position_after(params, marker) == ListPosition(value=marker, is_prefix=is_prefix)


def test_no_marker_is_the_beginning() -> None:
    assert position_after({"Delimiter": "/"}, "") is None


def test_negative_page_size_is_refused() -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        page_limit({"MaxKeys": -1}, "MaxKeys", "maxKeys")
