"""HTTP dates: the forms that clients send, and nothing else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.httpdate import (
    format_amz_date,
    format_http_date,
    format_iso_date,
    parse_amz_date,
    parse_http_date,
)

MOMENT = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Tue, 06 Nov 1994 08:49:37 GMT",  # the wrong day of the week
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 -0000",  # botocore's email.utils.formatdate
        "Sun, 06 Nov 1994 10:49:37 +0200",
        "  Sun, 06 Nov 1994 08:49:37 GMT ",
        "19941106T084937Z",
        "1994-11-06T08:49:37Z",
        "1994-11-06T08:49:37.123Z",
        "1994-11-06T10:49:37+02:00",
    ],
)
def test_known_forms_are_read(text: str) -> None:
    assert parse_http_date(text) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Bad Date",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "0",
        "1994-11-06",
        "19941306T084937Z",
        "Fri, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Fri, 31 Dec 1999 23:59:59 +9999",
        "\u0661\u0669\u0669\u0664\u0661\u0661\u0660\u0666T084937Z",
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    assert parse_http_date(text) is None


def test_amz_date_takes_the_basic_form_only() -> None:
    assert parse_amz_date("19941106T084937Z") == MOMENT
    assert parse_amz_date("1994-11-06T08:49:37Z") is None
    assert parse_amz_date("19941106T084937z") is None
    assert parse_amz_date("19941106T084961Z") is None


@pytest.mark.parametrize(
    ("moment", "http", "amz", "iso"),
    [
        (MOMENT, "Sun, 06 Nov 1994 08:49:37 GMT", "19941106T084937Z", "1994-11-06T08:49:37Z"),
        (
            datetime(1, 1, 1, tzinfo=UTC),
            "Mon, 01 Jan 0001 00:00:00 GMT",
            "00010101T000000Z",
            "0001-01-01T00:00:00Z",
        ),
    ],
)
def test_formats(moment: datetime, http: str, amz: str, iso: str) -> None:
    assert format_http_date(moment) == http
    assert format_amz_date(moment) == amz
    assert format_iso_date(moment) == iso


@settings(derandomize=True, deadline=None)
@given(st.text())
def test_no_text_raises(text: str) -> None:
    parse_http_date(text)
    parse_amz_date(text)


@settings(derandomize=True, deadline=None)
@given(st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0)))
def test_what_is_formatted_is_read_back(moment: datetime) -> None:
    assert parse_http_date(format_http_date(moment)) == moment
    assert parse_http_date(format_amz_date(moment)) == moment
    assert parse_http_date(format_iso_date(moment)) == moment
