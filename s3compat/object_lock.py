"""Object lock as its documents and headers state it: default retention, retention of a write, and what may change.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLockConfiguration.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from s3compat.errors import S3Error

GOVERNANCE: Final = "GOVERNANCE"
COMPLIANCE: Final = "COMPLIANCE"
MODES: Final = (GOVERNANCE, COMPLIANCE)

#: Of a bucket's default: 100 years.
LONGEST_RETENTION_DAYS: Final = 36_500
_DAYS_A_YEAR: Final = 365

MODE_HEADER: Final = "x-amz-object-lock-mode"
UNTIL_HEADER: Final = "x-amz-object-lock-retain-until-date"
HOLD_HEADER: Final = "x-amz-object-lock-legal-hold"
HEADERS: Final = (MODE_HEADER, UNTIL_HEADER, HOLD_HEADER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """A mode of MODES, and until when (UTC-aware) it holds."""

    mode: str
    until: datetime

    def holds(self, now: datetime) -> bool:
        return self.until > now


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultRetention:
    """What a bucket's new objects get where their writer says nothing; one of days and years is set."""

    mode: str
    days: int = 0
    years: int = 0

    def from_now(self, now: datetime) -> Retention:
        """The retention of an object that is written now."""
        return Retention(mode=self.mode, until=now + timedelta(days=self.days or self.years * _DAYS_A_YEAR))


def parse_configuration(document: Mapping[str, Any]) -> DefaultRetention | None:
    """The default of an ObjectLockConfiguration, None where it has none.

    Raises MalformedXML, InvalidRetentionPeriod, NotImplemented (event holds).
    """
    if document.get("ObjectLockEnabled") != "Enabled":
        raise S3Error("MalformedXML")
    rule = document.get("Rule")
    if rule is None:
        return None
    stated = rule.get("DefaultRetention")
    if stated is None:
        raise S3Error("MalformedXML")
    if "DefaultEventHold" in stated:
        raise S3Error("NotImplemented", "Event holds are not implemented.")
    mode, days, years = stated.get("Mode"), stated.get("Days"), stated.get("Years")
    if mode not in MODES or (days is None) == (years is None):
        raise S3Error("MalformedXML")
    length_days = days if days is not None else years * _DAYS_A_YEAR
    if length_days <= 0:
        raise S3Error("InvalidRetentionPeriod")
    if length_days > LONGEST_RETENTION_DAYS:
        raise S3Error("InvalidRetentionPeriod", "Default retention period must be at most 100 years.")
    return DefaultRetention(mode=mode, days=days or 0, years=years or 0)


def parse_retention(document: Mapping[str, Any], now: datetime) -> Retention | None:
    """The retention that a Retention document asks for; None where it asks for none.

    Raises MalformedXML, InvalidArgument (a time that has passed), NotImplemented (event holds).
    """
    if "EventHold" in document or "EventHoldDuration" in document:
        raise S3Error("NotImplemented", "Event holds are not implemented.")
    mode, until = document.get("Mode"), document.get("RetainUntilDate")
    if mode is None and until is None:
        return None
    if mode not in MODES or until is None:
        raise S3Error("MalformedXML")
    return Retention(mode=mode, until=check_until(until, now))


def retention_of_write(mode: str | None, until: datetime | None, now: datetime) -> Retention | None:
    """The retention that the headers of a write ask for. Raises InvalidArgument."""
    if mode is None and until is None:
        return None
    if mode is None or until is None:
        raise S3Error(
            "InvalidArgument", f"{UNTIL_HEADER} and {MODE_HEADER} must both be supplied", ArgumentName=MODE_HEADER
        )
    if mode not in MODES:
        raise S3Error("InvalidArgument", "Unknown wormMode directive.", ArgumentName=MODE_HEADER, ArgumentValue=mode)
    return Retention(mode=mode, until=check_until(until, now))


def hold_of_write(status: str | None) -> bool | None:
    """The legal hold that the header of a write asks for. Raises InvalidArgument."""
    if status is None:
        return None
    if status not in ("ON", "OFF"):
        raise S3Error(
            "InvalidArgument",
            "Legal Hold must be either of 'ON' or 'OFF'",
            ArgumentName=HOLD_HEADER,
            ArgumentValue=status,
        )
    return status == "ON"


def check_until(until: datetime, now: datetime) -> datetime:
    """A retain-until date, UTC-aware. Raises InvalidArgument for one that has passed."""
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    if aware <= now:
        raise S3Error("InvalidArgument", "The retain until date must be in the future!", ArgumentName="RetainUntilDate")
    return aware


def check_change(present: Retention | None, wanted: Retention | None, *, now: datetime, bypass: bool) -> None:
    """Raise AccessDenied unless a version's retention may become the wanted one.

    One that holds may be extended; GOVERNANCE may be shortened, taken away or made COMPLIANCE with the bypass only.
    """
    if present is None or not present.holds(now) or (present.mode == GOVERNANCE and bypass):
        return
    if wanted is None or wanted.mode != present.mode or wanted.until < present.until:
        raise S3Error("AccessDenied", "Access Denied because object protected by object lock.")
