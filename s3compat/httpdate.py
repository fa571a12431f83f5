"""Reading and writing the dates of HTTP headers.

Three forms of RFC 9110 section 5.6.7, and the two ISO 8601 forms that AWS also takes. Pure parsing: what a
date means for a request (skew, conditions) is decided by the callers.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Final

# fmt: off
_MONTHS: Final = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}
# fmt: on

# The day of the week is redundant and often wrong (clients format dates by hand), so it is never compared.
_IMF_OR_RFC850: Final = re.compile(
    r"(?:[a-z]{3,9},? )?(\d{1,2})[ -]([a-z]{3})[ -](\d{4}|\d{2}) (\d\d):(\d\d):(\d\d)"
    r"(?: (gmt|utc|z|[+-]\d{4}))?",
    re.ASCII | re.IGNORECASE,
)
_ASCTIME: Final = re.compile(
    r"[a-z]{3} ([a-z]{3}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})", re.ASCII | re.IGNORECASE
)
_ISO_BASIC: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_ISO_EXTENDED: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:?\d\d)", re.ASCII
)


def parse_http_date(text: str) -> datetime | None:
    """The moment that a header value names, UTC-aware with whole seconds, or None when it names none."""
    value = text.strip(" \t")
    for pattern, build in _FORMS:
        match = pattern.fullmatch(value)
        if match is not None:
            try:
                return build(match)
            except (ValueError, OverflowError):
                return None
    return None


def parse_amz_date(text: str) -> datetime | None:
    """The moment of an ISO 8601 basic date (20130524T000000Z), the form SigV4 asks for, or None."""
    match = _ISO_BASIC.fullmatch(text)
    if match is None:
        return None
    try:
        return _from_iso_basic(match)
    except ValueError:
        return None


def format_http_date(moment: datetime) -> str:
    """The IMF-fixdate of an aware datetime: Fri, 24 May 2013 00:00:00 GMT."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def format_amz_date(moment: datetime) -> str:
    """The ISO 8601 basic form of an aware datetime: 20130524T000000Z."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ").zfill(16)


def format_iso_date(moment: datetime) -> str:
    """The ISO 8601 extended form that error bodies carry: 2013-05-24T00:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)


def _from_imf(match: re.Match[str]) -> datetime:
    day, month, year, hour, minute, second, zone = match.groups()
    return datetime(
        _full_year(year), _month(month), int(day), int(hour), int(minute), int(second), tzinfo=_zone(zone)
    ).astimezone(UTC)


def _from_asctime(match: re.Match[str]) -> datetime:
    month, day, hour, minute, second, year = match.groups()
    return datetime(int(year), _month(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)


def _from_iso_basic(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second = map(int, match.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def _from_iso_extended(match: re.Match[str]) -> datetime:
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    return datetime(year, month, day, hour, minute, second, tzinfo=_zone(match[7])).astimezone(UTC)


def _month(name: str) -> int:
    number = _MONTHS.get(name.lower())
    if number is None:
        raise ValueError(name)
    return number


def _full_year(year: str) -> int:
    # Two digits are RFC 850's; the pivot is that of POSIX and of email.utils.
    if len(year) == 4:
        return int(year)
    return int(year) + (1900 if int(year) >= 69 else 2000)


def _zone(text: str | None) -> timezone:
    if text is None or text[0] not in "+-":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], datetime]], ...]] = (
    (_IMF_OR_RFC850, _from_imf),
    (_ISO_BASIC, _from_iso_basic),
    (_ISO_EXTENDED, _from_iso_extended),
    (_ASCTIME, _from_asctime),
)
