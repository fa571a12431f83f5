"""Object lock: documents, headers of writes, and what may become of a retention."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3compat.errors import S3Error
from s3compat.object_lock import (
    DefaultRetention,
    Retention,
    check_change,
    hold_of_write,
    parse_configuration,
    parse_retention,
    retention_of_write,
)

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DAY = timedelta(days=1)
G, C = "GOVERNANCE", "COMPLIANCE"


def configuration(**default: Any) -> Mapping[str, Any]:
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": default}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"ObjectLockEnabled": "Enabled"}, None),
        (configuration(Mode=G, Days=1), DefaultRetention(mode=G, days=1)),
        (configuration(Mode=C, Years=100), DefaultRetention(mode=C, years=100)),
    ],
)
def test_configuration_is_read(document: Mapping[str, Any], expected: DefaultRetention | None) -> None:
    assert parse_configuration(document) == expected


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "MalformedXML"),
        ({"ObjectLockEnabled": "Disabled"}, "MalformedXML"),
        ({"ObjectLockEnabled": "Enabled", "Rule": {}}, "MalformedXML"),
        (configuration(), "MalformedXML"),
        (configuration(Mode=G), "MalformedXML"),
        (configuration(Days=1), "MalformedXML"),
        (configuration(Mode="governance", Days=1), "MalformedXML"),
        (configuration(Mode=G, Days=1, Years=1), "MalformedXML"),
        (configuration(Mode=G, Days=0), "InvalidRetentionPeriod"),
        (configuration(Mode=G, Years=-1), "InvalidRetentionPeriod"),
        (configuration(Mode=G, Days=36_501), "InvalidRetentionPeriod"),
        (configuration(Mode=G, Years=101), "InvalidRetentionPeriod"),
        (configuration(Mode=G, Days=1, DefaultEventHold={}), "NotImplemented"),
    ],
)
def test_configuration_is_refused(document: Mapping[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as refused:
        parse_configuration(document)
    assert refused.value.code == code


def test_default_counts_from_the_write() -> None:
    assert DefaultRetention(mode=G, days=3).from_now(NOW) == Retention(mode=G, until=NOW + 3 * DAY)
    assert DefaultRetention(mode=C, years=2).from_now(NOW) == Retention(mode=C, until=NOW + 730 * DAY)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"Mode": G}, "MalformedXML"),
        ({"RetainUntilDate": NOW + DAY}, "MalformedXML"),
        ({"Mode": "x", "RetainUntilDate": NOW + DAY}, "MalformedXML"),
        ({"Mode": G, "RetainUntilDate": NOW}, "InvalidArgument"),
        ({"EventHold": {}}, "NotImplemented"),
    ],
)
def test_retention_is_refused(document: Mapping[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as refused:
        parse_retention(document, NOW)
    assert refused.value.code == code


def test_retention_is_read() -> None:
    assert parse_retention({}, NOW) is None
    naive = (NOW + DAY).replace(tzinfo=None)
    assert parse_retention({"Mode": C, "RetainUntilDate": naive}, NOW) == Retention(mode=C, until=NOW + DAY)


@pytest.mark.parametrize(("mode", "until"), [(G, None), (None, NOW + DAY), ("x", NOW + DAY), (G, NOW - DAY)], ids=str)
def test_headers_of_a_write_are_refused(mode: str | None, until: datetime | None) -> None:
    with pytest.raises(S3Error) as refused:
        retention_of_write(mode, until, NOW)
    assert refused.value.code == "InvalidArgument"


def test_headers_of_a_write_are_read() -> None:
    assert retention_of_write(None, None, NOW) is None
    assert retention_of_write(G, NOW + DAY, NOW) == Retention(mode=G, until=NOW + DAY)
    assert [hold_of_write(text) for text in (None, "ON", "OFF")] == [None, True, False]
    with pytest.raises(S3Error):
        hold_of_write("on")


def retained(mode: str, days: int) -> Retention:
    return Retention(mode=mode, until=NOW + days * DAY)


@pytest.mark.parametrize(
    ("present", "wanted", "plain", "bypassed"),
    [
        (None, None, True, True),
        (None, retained(C, 1), True, True),
        (retained(C, 0), None, True, True),
        (retained(C, -1), retained(G, 1), True, True),
        (retained(G, 5), retained(G, 5), True, True),
        (retained(G, 5), retained(G, 6), True, True),
        (retained(G, 5), retained(G, 4), False, True),
        (retained(G, 5), None, False, True),
        (retained(G, 5), retained(C, 6), False, True),
        (retained(C, 5), retained(C, 6), True, True),
        (retained(C, 5), retained(C, 4), False, False),
        (retained(C, 5), retained(G, 6), False, False),
        (retained(C, 5), None, False, False),
    ],
)
def test_what_may_become_of_a_retention(
    present: Retention | None, wanted: Retention | None, plain: bool, bypassed: bool
) -> None:
    for bypass, allowed in ((False, plain), (True, bypassed)):
        if allowed:
            check_change(present, wanted, now=NOW, bypass=bypass)
        else:
            with pytest.raises(S3Error) as refused:
                check_change(present, wanted, now=NOW, bypass=bypass)
            assert refused.value.code == "AccessDenied"
