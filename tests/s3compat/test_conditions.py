"""Conditional requests and ranges, by AWS's tables and RFC 9110 sections 13 and 14."""

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.conditions import (
    ByteRange,
    CopySourceConditions,
    ReadConditions,
    WriteConditions,
    evaluate_copy_source,
    evaluate_read,
    evaluate_write,
    parse_copy_source_range,
    parse_entity_tags,
    parse_range,
    quote_etag,
    unquote_etag,
)
from s3compat.errors import S3Error
from s3compat.httpdate import format_http_date
from s3compat.request import Headers

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
MODIFIED = datetime(2026, 5, 24, 12, 0, 0, 700_000, tzinfo=UTC)
BEFORE = format_http_date(MODIFIED - timedelta(hours=1))
SAME = format_http_date(MODIFIED)
AFTER = format_http_date(MODIFIED + timedelta(hours=1))
NOW = MODIFIED + timedelta(days=1)

MATCH, OTHER = f'"{ETAG}"', '"other"'
IM, INM, IMS, IUS = "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"

# (headers, status of GetObject, status of CopyObject with the same conditions on its source)
CASES: list[tuple[list[tuple[str, str]], int, int]] = [
    ([], 200, 200),
    ([(IM, MATCH)], 200, 200),
    ([(IM, OTHER)], 412, 412),
    ([(IM, ETAG)], 200, 200),
    ([(IM, "*")], 200, 200),
    ([(IM, f"{OTHER}, {MATCH}")], 200, 200),
    ([(IM, OTHER), (IM, MATCH)], 200, 200),
    ([(IM, f"W/{MATCH}")], 412, 412),
    ([(IM, '"')], 412, 412),
    ([(IM, "")], 200, 200),
    ([(INM, MATCH)], 304, 412),
    ([(INM, OTHER)], 200, 200),
    ([(INM, "ABCORZ")], 200, 200),
    ([(INM, ETAG)], 304, 412),
    ([(INM, "*")], 304, 412),
    ([(INM, f"W/{MATCH}")], 304, 412),
    ([(INM, f"{OTHER},{MATCH}")], 304, 412),
    ([(IMS, BEFORE)], 200, 200),
    ([(IMS, SAME)], 304, 412),
    ([(IMS, AFTER)], 304, 412),
    ([(IMS, "Sat, 29 Oct 1994 19:43:31 GMT")], 200, 200),
    ([(IMS, "not a date")], 200, 200),
    ([(IUS, BEFORE)], 412, 412),
    ([(IUS, SAME)], 200, 200),
    ([(IUS, AFTER)], 200, 200),
    ([(IUS, "not a date")], 200, 200),
    # The pairs of AWS's tables.
    ([(IM, MATCH), (IUS, BEFORE)], 200, 200),
    ([(INM, MATCH), (IMS, BEFORE)], 304, 412),
    # And what RFC 9110 section 13.2.2 says of the rest.
    ([(IM, OTHER), (IUS, AFTER)], 412, 412),
    ([(INM, OTHER), (IMS, AFTER)], 200, 200),
    ([(IM, OTHER), (INM, MATCH)], 412, 412),
    ([(IM, MATCH), (INM, MATCH)], 304, 412),
    ([(IUS, BEFORE), (INM, OTHER)], 412, 412),
]


def read_status(headers: list[tuple[str, str]]) -> int:
    conditions = ReadConditions.from_headers(Headers(headers), now=NOW)
    try:
        evaluate_read(conditions, etag=ETAG, modified=MODIFIED)
    except S3Error as error:
        return error.status
    return 200


def copy_status(headers: list[tuple[str, str]]) -> int:
    source = Headers([(f"x-amz-copy-source-{name}", value) for name, value in headers])
    try:
        evaluate_copy_source(CopySourceConditions.from_headers(source, now=NOW), etag=ETAG, modified=MODIFIED)
    except S3Error as error:
        return error.status
    return 200


@pytest.mark.parametrize(("headers", "read", "copy"), CASES)
def test_tables_of_conditions(headers: list[tuple[str, str]], read: int, copy: int) -> None:
    assert (read_status(headers), copy_status(headers)) == (read, copy)


def test_future_modified_since_is_ignored() -> None:
    future = [(IMS, format_http_date(NOW + timedelta(seconds=1)))]
    assert read_status(future) == 200
    assert copy_status(future) == 200
    conditions = ReadConditions.from_headers(Headers(future))
    with pytest.raises(S3Error):
        evaluate_read(conditions, etag=ETAG, modified=MODIFIED)


def test_not_modified_carries_the_validators() -> None:
    conditions = ReadConditions.from_headers(Headers([(INM, MATCH)]))
    with pytest.raises(S3Error) as caught:
        evaluate_read(conditions, etag=ETAG, modified=MODIFIED)
    assert caught.value.code == "NotModified"
    assert caught.value.headers == {"ETag": MATCH, "Last-Modified": SAME}


@pytest.mark.parametrize(
    ("headers", "condition"), [([(IM, OTHER)], "If-Match"), ([(IUS, BEFORE)], "If-Unmodified-Since")]
)
def test_failed_condition_is_named(headers: list[tuple[str, str]], condition: str) -> None:
    with pytest.raises(S3Error) as caught:
        evaluate_read(ReadConditions.from_headers(Headers(headers)), etag=ETAG, modified=MODIFIED)
    assert caught.value.code == "PreconditionFailed"
    assert caught.value.elements == {"Condition": condition}
    source = Headers([(f"x-amz-copy-source-{name}", value) for name, value in headers])
    with pytest.raises(S3Error) as caught:
        evaluate_copy_source(CopySourceConditions.from_headers(source), etag=ETAG, modified=MODIFIED)
    assert caught.value.elements == {"Condition": f"x-amz-copy-source-{condition}"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], WriteConditions()),
        ([(IM, MATCH)], WriteConditions(if_match=ETAG)),
        ([(IM, ETAG)], WriteConditions(if_match=ETAG)),
        ([(IM, "*")], WriteConditions(if_match="*")),
        ([(INM, "*")], WriteConditions(if_none_match=True)),
        ([(IM, " ")], WriteConditions()),
    ],
)
def test_write_conditions(headers: list[tuple[str, str]], expected: WriteConditions) -> None:
    conditions = WriteConditions.from_headers(Headers(headers))
    assert conditions == expected
    assert bool(conditions) == (expected != WriteConditions())


@pytest.mark.parametrize("headers", [[(INM, MATCH)], [(IM, MATCH), (INM, "*")], [(IM, f"{MATCH},{OTHER}")]])
def test_write_conditions_that_s3_does_not_have(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(S3Error) as caught:
        WriteConditions.from_headers(Headers(headers))
    assert (caught.value.code, caught.value.status) == ("NotImplemented", 501)
    assert caught.value.elements["Header"] in {IM, INM}


def test_etag_in_none_match_is_read_when_asked_for() -> None:
    conditions = WriteConditions.from_headers(Headers([(INM, MATCH)]), etag_in_none_match=True)
    assert conditions == WriteConditions(if_none_match_etag=ETAG)
    assert conditions


@pytest.mark.parametrize(
    ("conditions", "current", "code"),
    [
        (WriteConditions(), None, None),
        (WriteConditions(), ETAG, None),
        (WriteConditions(if_match=ETAG), ETAG, None),
        (WriteConditions(if_match="*"), ETAG, None),
        (WriteConditions(if_match="other"), ETAG, "PreconditionFailed"),
        (WriteConditions(if_match=ETAG), None, "NoSuchKey"),
        (WriteConditions(if_match="*"), None, "NoSuchKey"),
        (WriteConditions(if_none_match=True), None, None),
        (WriteConditions(if_none_match=True), ETAG, "PreconditionFailed"),
        (WriteConditions(if_none_match_etag=ETAG), ETAG, "PreconditionFailed"),
        (WriteConditions(if_none_match_etag="other"), ETAG, None),
        (WriteConditions(if_none_match_etag=ETAG), None, None),
    ],
)
def test_evaluate_write(conditions: WriteConditions, current: str | None, code: str | None) -> None:
    if code is None:
        evaluate_write(conditions, current_etag=current)
        return
    with pytest.raises(S3Error) as caught:
        evaluate_write(conditions, current_etag=current)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "strong", "weak"),
    [
        ('"a"', {"a"}, set()),
        ('"a","b" , W/"c", d', {"a", "b", "d"}, {"c"}),
        ('"with,comma"', {"with,comma"}, set()),
        ('""', {""}, set()),
        ('"open', set(), set()),
        (",,", set(), set()),
    ],
)
def test_lists_of_entity_tags(text: str, strong: set[str], weak: set[str]) -> None:
    tags = parse_entity_tags(text)
    assert tags is not None
    assert (set(tags.strong), set(tags.weak), tags.any) == (strong, weak, False)


def test_quoting() -> None:
    assert quote_etag("a-1") == '"a-1"'
    assert [unquote_etag(text) for text in ('"a"', "a", ' "a" ', '"', "", '""', 'W/"a"')] == [
        "a", "a", "a", '"', "", "", 'W/"a"',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "size_bytes", "expected"),
    [
        (None, 11, None),
        ("bytes=4-7", 11, (4, 7)),
        ("bytes=4-", 11, (4, 10)),
        ("bytes=-7", 11, (4, 10)),
        ("bytes=0-0", 11, (0, 0)),
        ("bytes=10-10", 11, (10, 10)),
        ("bytes=0-999", 11, (0, 10)),
        ("bytes=-999", 11, (0, 10)),
        ("Bytes=4-7", 11, (4, 7)),
        ("bytes= 4 - 7 ", 11, (4, 7)),
        ("bytes=0000000000000000000000004-7", 11, (4, 7)),
        ("bytes=4-" + "9" * 5000, 11, (4, 10)),
        ("bytes=-" + "9" * 5000, 11, (0, 10)),
        # Ignored: the whole object with 200.
        ("", 11, None),
        ("bytes", 11, None),
        ("bytes=", 11, None),
        ("bytes=-", 11, None),
        ("bytes=7-4", 11, None),
        ("bytes=a-b", 11, None),
        ("bytes=4-b", 11, None),
        ("bytes=--4", 11, None),
        ("bytes=+4-7", 11, None),
        ("bytes=4_0-7", 11, None),
        ("lines=4-7", 11, None),
        ("bytes=0-1,3-4", 11, None),
        ("bytes=4-7,", 11, None),
        ("bytes=\u0664-\u0667", 11, None),
        ("4-7", 11, None),
        ("bytes=-5", 0, None),
    ],
)
def test_ranges(header: str | None, size_bytes: int, expected: tuple[int, int] | None) -> None:
    found = parse_range(header, size_bytes)
    assert found == (None if expected is None else ByteRange(start=expected[0], end_inclusive=expected[1]))


@pytest.mark.parametrize(
    ("header", "size_bytes"),
    [
        ("bytes=40-50", 11),
        ("bytes=11-", 11),
        ("bytes=-0", 11),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=40-50", 0),
        ("bytes=-0", 0),
        ("bytes=" + "9" * 5000 + "-", 11),
    ],
)
def test_unsatisfiable_ranges(header: str, size_bytes: int) -> None:
    with pytest.raises(S3Error) as caught:
        parse_range(header, size_bytes)
    error = caught.value
    assert (error.code, error.status) == ("InvalidRange", 416)
    assert error.elements == {"RangeRequested": header, "ActualObjectSize": str(size_bytes)}
    assert error.headers == {"Content-Range": f"bytes */{size_bytes}"}


def test_content_range() -> None:
    part = ByteRange(start=4, end_inclusive=7)
    assert part.size_bytes == 4
    assert part.content_range(11) == "bytes 4-7/11"


def test_copy_source_range() -> None:
    assert parse_copy_source_range("bytes=0-4", 5) == ByteRange(start=0, end_inclusive=4)
    for outside in ("bytes=0-21", "bytes=5-5", "bytes=0-5"):
        with pytest.raises(S3Error) as caught:
            parse_copy_source_range(outside, 5)
        assert caught.value.code == "InvalidRange"


@pytest.mark.parametrize(
    "text",
    [
        "0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=-2",
        "bytes=2-", "bytes=3-2", "", "bytes=0-" + "9" * 5000,
    ],
)  # fmt: skip
def test_improper_copy_source_ranges(text: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_copy_source_range(text, 5)
    assert (caught.value.code, caught.value.elements["ArgumentValue"]) == ("InvalidArgument", text)


HEADER_TEXT = st.one_of(
    st.text(st.characters(max_codepoint=255)),
    st.text(st.sampled_from('bytes=0123456789-, \t"W/*aGMTNov:')),
)


@settings(derandomize=True, deadline=None)
@given(HEADER_TEXT, st.integers(0, 20))
def test_ranges_are_within_the_object_or_s3_errors(text: str, size_bytes: int) -> None:
    with contextlib.suppress(S3Error):
        part = parse_range(text, size_bytes)
        assert part is None or 0 <= part.start <= part.end_inclusive < size_bytes
    with contextlib.suppress(S3Error):
        part = parse_copy_source_range(text, size_bytes)
        assert 0 <= part.start <= part.end_inclusive < size_bytes


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([IM, INM, IMS, IUS]), HEADER_TEXT), max_size=5))
def test_conditions_raise_nothing_but_s3_errors(headers: list[tuple[str, str]]) -> None:
    assert read_status(headers) in {200, 304, 412}
    assert copy_status(headers) in {200, 412}
    with contextlib.suppress(S3Error):
        conditions = WriteConditions.from_headers(Headers(headers), etag_in_none_match=True)
        evaluate_write(conditions, current_etag=ETAG)
