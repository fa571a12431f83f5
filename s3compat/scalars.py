"""The text forms of the model's scalar types, in both directions, shared by headers, query strings and XML.

Readers return None for text that is no such value; which error that is depends on where it stood, so the
callers raise it.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from s3compat.httpdate import parse_http_date
from s3compat.service_model import Kind

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}\Z")
_RANGES: Final = {
    Kind.INTEGER: (-(2**31), 2**31 - 1),
    Kind.LONG: (-(2**63), 2**63 - 1),
}
_BOOLEANS: Final = {"true": True, "false": False}

_ISO_8601: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:?[0-9]{2})?)?\Z"
)
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def read_integer(text: str, kind: Kind) -> int | None:
    """A decimal integer within the 32 or 64 bits of its kind, or None."""
    if _INTEGER.match(text) is None:
        return None
    value = int(text)
    lowest, highest = _RANGES[kind]
    return value if lowest <= value <= highest else None


def read_boolean(text: str) -> bool | None:
    """true or false in any case, or None."""
    return _BOOLEANS.get(text.lower())


def read_iso_timestamp(text: str) -> datetime | None:
    """An ISO 8601 date or moment (UTC where it names no zone), in microseconds and UTC-aware, or None."""
    match = _ISO_8601.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    try:
        date = (int(year), int(month), int(day))
        time = (int(hour or 0), int(minute or 0), int(second or 0), microsecond)
        return datetime(*date, *time, tzinfo=_zone(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def read_timestamp(text: str) -> datetime | None:
    """A moment in any form that AWS takes (ISO 8601, or RFC 9110's three), UTC-aware, or None."""
    return read_iso_timestamp(text) or parse_http_date(text)


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


def iso_seconds(moment: datetime) -> str:
    """2009-10-12T17:50:30.000Z: the form of XML timestamps, whole seconds as in the Last-Modified header."""
    utc = _utc(moment)
    # A listing has a thousand of these; isoformat and f-strings cost more.
    return "%04d-%02d-%02dT%02d:%02d:%02d.000Z" % (  # noqa: UP031
        utc.year,
        utc.month,
        utc.day,
        utc.hour,
        utc.minute,
        utc.second,
    )


def iso_milliseconds(moment: datetime) -> str:
    """2009-10-12T17:50:30.123Z: the form of dates that a client set and wants back (retention, lifecycle)."""
    return f"{_utc(moment).isoformat(timespec='milliseconds')[:23]}Z"


def http_date(moment: datetime) -> str:
    """Mon, 12 Oct 2009 17:50:30 GMT: the IMF-fixdate of RFC 9110 section 5.6.7."""
    utc = _utc(moment)
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day:02d} {_MONTHS[utc.month - 1]} {utc.year:04d} "
        f"{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d} GMT"
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
