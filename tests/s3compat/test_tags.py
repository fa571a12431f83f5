"""Tags: the header's form, the limits, and nothing but S3's errors for anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.tags import Tags, check_bucket_tags, check_object_tags, parse_tagging_header


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        (None, ()),
        ("", ()),
        ("a=1&b=", (("a", "1"), ("b", ""))),
        ("foo=bar&bar", (("bar", ""), ("foo", "bar"))),
        ("k%20x=v%2B1", (("k x", "v+1"),)),
        ("k=a+b", (("k", "a b"),)),
        ("k=a=b", (("k", "a=b"),)),
        ("%C3%A9=1", (("é", "1"),)),
        ("\xc3\xa9=1", (("é", "1"),)),
    ],
)
def test_tagging_header_is_a_query_string(header: str | None, tags: Tags) -> None:
    assert parse_tagging_header(header) == tags


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("&".join(f"k{n}=v" for n in range(11)), "BadRequest"),
        ("a=1&a=2", "InvalidArgument"),
        ("a=1&&b=2", "InvalidArgument"),
        ("%ff=1", "InvalidArgument"),
        ("=1", "InvalidTag"),
        ("aws:x=1", "InvalidTag"),
        ("AWS:x=1", "InvalidTag"),
        ("k" * 129 + "=1", "InvalidTag"),
        ("k=" + "v" * 257, "InvalidTag"),
        ("k=a<b", "InvalidTag"),
        ("k=%09", "InvalidTag"),
    ],
)
def test_tagging_header_over_the_limits_is_refused(header: str, code: str) -> None:
    with pytest.raises(S3Error, match=code):
        parse_tagging_header(header)


@pytest.mark.parametrize("text", ["", "a b", "Größe", "_.:/=+-@", "東京", "x" * 128])
def test_letters_digits_spaces_and_a_few_signs_may_stand_in_tags(text: str) -> None:
    assert check_object_tags([("k", text), ("l", text)]) == (("k", text), ("l", text))


def test_limits_count_characters_and_not_bytes() -> None:
    assert check_object_tags([("é" * 128, "é" * 256)])
    assert check_bucket_tags([("é" * 128, "é" * 256)])


def test_tags_come_back_in_order_of_their_keys() -> None:
    assert check_object_tags([("b", "1"), ("a", "2")]) == (("a", "2"), ("b", "1"))


def test_a_wrong_tag_is_found_before_they_are_counted() -> None:
    with pytest.raises(S3Error, match="InvalidTag"):
        check_object_tags([(f"k{n}", "v") for n in range(20)] + [("k<", "v")])


@pytest.mark.parametrize(("count", "refused"), [(50, False), (51, True)])
def test_buckets_have_at_most_fifty_tags(count: int, refused: bool) -> None:
    pairs = [(f"k{n:02}", "v") for n in range(count)]
    if not refused:
        assert check_bucket_tags(pairs) == tuple(pairs)
        return
    with pytest.raises(S3Error, match="Bucket tag count cannot be greater than 50"):
        check_bucket_tags(pairs)


def test_reserved_prefix_is_worded_for_what_is_tagged() -> None:
    with pytest.raises(S3Error, match="Your TagKey cannot be prefixed"):
        check_object_tags([("aws:x", "")])
    with pytest.raises(S3Error, match="System tags cannot"):
        check_bucket_tags([("aws:x", "")])


@given(st.text(st.characters(max_codepoint=255)))
def test_any_header_is_tags_or_an_s3_error(header: str) -> None:
    try:
        tags = parse_tagging_header(header)
    except S3Error:
        return
    assert len(tags) <= 10
    assert len(dict(tags)) == len(tags)
