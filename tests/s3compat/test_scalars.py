"""The text forms of scalars, read and written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3compat.scalars import (
    http_date,
    iso_milliseconds,
    iso_seconds,
    read_boolean,
    read_integer,
    read_iso_timestamp,
    read_timestamp,
)
from s3compat.service_model import Kind

WHOLE_SECONDS = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("0", Kind.INTEGER, 0),
        ("+5", Kind.INTEGER, 5),
        ("-2147483648", Kind.INTEGER, -(2**31)),
        ("2147483648", Kind.INTEGER, None),
        ("2147483648", Kind.LONG, 2**31),
        ("9223372036854775808", Kind.LONG, None),
        *((text, Kind.LONG, None) for text in ("", " 1", "1\n", "1_000", "0x1", "١", "1.0", "--1", "9" * 5000)),
    ],
)
def test_integers(text: str, kind: Kind, value: int | None) -> None:
    assert read_integer(text, kind) == value


@pytest.mark.parametrize(("text", "value"), [("true", True), ("FALSE", False), ("1", None), ("", None), ("yes", None)])
def test_booleans(text: str, value: bool | None) -> None:
    assert read_boolean(text) is value


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2017-09-27", datetime(2017, 9, 27, tzinfo=UTC)),
        ("2017-09-27T01:02:03", datetime(2017, 9, 27, 1, 2, 3, tzinfo=UTC)),
        ("2017-09-27T01:02:03Z", datetime(2017, 9, 27, 1, 2, 3, tzinfo=UTC)),
        ("2017-09-27T01:02:03.5Z", datetime(2017, 9, 27, 1, 2, 3, 500_000, tzinfo=UTC)),
        ("2017-09-27T01:02:03.123456789Z", datetime(2017, 9, 27, 1, 2, 3, 123_456, tzinfo=UTC)),
        ("2017-09-27T01:02:03+02:00", datetime(2017, 9, 26, 23, 2, 3, tzinfo=UTC)),
        ("2017-09-27T01:02:03-0130", datetime(2017, 9, 27, 2, 32, 3, tzinfo=UTC)),
        ("20170927", None),
        ("2017-13-01", None),
        ("2017-02-30", None),
        ("2017-09-27T24:00:00Z", None),
        ("2017-09-27T01:02:03+24:00", None),
        ("0001-01-01T00:00:00+01:00", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("2017-09-27\n", None),
        ("Wed, 27 Sep 2017 01:02:03 GMT", None),
    ],
)
def test_iso_timestamps(text: str, moment: datetime | None) -> None:
    assert read_iso_timestamp(text) == moment


@settings(max_examples=100, deadline=None, derandomize=True)
@given(moment=WHOLE_SECONDS)
def test_every_form_that_is_written_is_read_back(moment: datetime) -> None:
    assert read_timestamp(iso_seconds(moment)) == moment
    assert read_timestamp(iso_milliseconds(moment)) == moment
    assert read_timestamp(http_date(moment)) == moment


def test_moments_of_other_zones_are_written_in_utc() -> None:
    moment = datetime(2020, 1, 1, 0, 30, 0, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert iso_seconds(moment) == "2019-12-31T23:30:00.000Z"
    assert iso_milliseconds(moment) == "2019-12-31T23:30:00.999Z"
    assert http_date(moment) == "Tue, 31 Dec 2019 23:30:00 GMT"
