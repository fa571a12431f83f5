"""Lifecycle rules: what documents are taken, and what rules ask of a version at a moment."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3compat.errors import S3Error
from s3compat.lifecycle import Action, Moment, Rule, Verb, Version, action_for, expiration_of, upload_is_due
from s3compat.lifecycle_document import decode_document, encode_document, parse_rules, with_ids

T0 = datetime(2026, 11, 1, 15, 30, tzinfo=UTC)
DAY = timedelta(days=1)
MIDNIGHT = datetime(2027, 1, 1, tzinfo=UTC)


def rule(**stated: Any) -> dict[str, Any]:
    """A rule that is fit in every respect but the stated ones; None takes a member away."""
    fields = {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}} | stated
    return {name: value for name, value in fields.items() if value is not None}


def rules(*stated: Mapping[str, Any]) -> tuple[Rule, ...]:
    return parse_rules({"Rules": list(stated)})


@pytest.mark.parametrize(
    ("stated", "code"),
    [
        (rule(ID="x" * 256), "InvalidArgument"),
        (rule(Status="enabled"), "MalformedXML"),
        (rule(Filter=None), "MalformedXML"),
        (rule(Prefix="a"), "MalformedXML"),
        (rule(Expiration=None), "InvalidRequest"),
        (rule(Expiration={}), "MalformedXML"),
        (rule(Expiration={"Days": 0}), "InvalidArgument"),
        (rule(Expiration={"Days": -1}), "InvalidArgument"),
        (rule(Expiration={"Days": 1, "Date": MIDNIGHT}), "MalformedXML"),
        (rule(Expiration={"Date": T0}), "InvalidArgument"),
        (rule(Expiration={"ExpiredObjectDeleteMarker": True, "Days": 1}), "MalformedXML"),
        (
            rule(Expiration={"ExpiredObjectDeleteMarker": True}, Filter={"Tag": {"Key": "k", "Value": "v"}}),
            "InvalidRequest",
        ),
        (rule(Filter={"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}), "MalformedXML"),
        (rule(Filter={"And": {"Prefix": "a"}}), "MalformedXML"),
        (rule(Filter={"And": {"Prefix": "a", "ObjectSizeGreaterThan": 1}, "Prefix": "b"}), "MalformedXML"),
        (rule(Filter={"And": {"Tags": [{"Key": "k", "Value": "v"}, {"Key": "k", "Value": "w"}]}}), "InvalidRequest"),
        (rule(Filter={"ObjectSizeGreaterThan": -1}), "InvalidArgument"),
        (rule(Filter={"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 5}}), "InvalidArgument"),
        (rule(NoncurrentVersionExpiration={}), "MalformedXML"),
        (rule(NoncurrentVersionExpiration={"NoncurrentDays": 0}), "InvalidArgument"),
        (rule(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 101}), "InvalidArgument"),
        (rule(AbortIncompleteMultipartUpload={}), "MalformedXML"),
        (rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0}), "InvalidArgument"),
        (
            rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}, Filter={"ObjectSizeLessThan": 5}),
            "InvalidRequest",
        ),
        (rule(Transitions=[{"Days": 1}]), "MalformedXML"),
        (rule(Transitions=[{"StorageClass": "GLACIER"}]), "MalformedXML"),
        (rule(Transitions=[{"Days": -1, "StorageClass": "GLACIER"}]), "InvalidArgument"),
        (rule(Transitions=[{"Days": 1, "StorageClass": "GLACIER"}]), "InvalidArgument"),
        (rule(Transitions=[{"Date": MIDNIGHT, "StorageClass": "GLACIER"}]), "InvalidRequest"),
    ],
)
def test_a_rule_is_refused(stated: dict[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as refused:
        rules(stated)
    assert refused.value.code == code


@pytest.mark.parametrize("count", [0, 1001])
def test_there_are_one_to_a_thousand_rules(count: int) -> None:
    with pytest.raises(S3Error) as refused:
        rules(*[rule(ID=f"{number}") for number in range(count)])
    assert refused.value.code == "MalformedXML"


def test_ids_are_unique_and_given_where_missing() -> None:
    with pytest.raises(S3Error):
        rules(rule(), rule())
    document = with_ids({"Rules": [rule(ID=None), rule(ID="mine")]}, new_id=lambda: "made up")
    assert [one.id for one in parse_rules(document)] == ["made up", "mine"]


def test_a_document_is_stored_and_read_back() -> None:
    dated = rule(Expiration={"Date": MIDNIGHT}, Filter={"And": {"Prefix": "a", "Tags": [{"Key": "k", "Value": "é"}]}})
    document = {"Rules": [dated, rule(ID="2", Filter=None, Prefix="")]}

    read = decode_document(encode_document(document))

    assert read == document
    assert parse_rules(read) == parse_rules(document)


@pytest.mark.parametrize(
    ("begun", "days", "due"),
    [
        (T0, 1, datetime(2026, 11, 3, tzinfo=UTC)),
        (T0, 0, datetime(2026, 11, 2, tzinfo=UTC)),
        (datetime(2026, 11, 1, tzinfo=UTC), 1, datetime(2026, 11, 2, tzinfo=UTC)),
        (datetime(2028, 2, 28, 23, 59, tzinfo=UTC), 1, datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
def test_days_end_at_the_midnight_that_follows(begun: datetime, days: int, due: datetime) -> None:
    """AWS's own example: created 15 January 10:30 UTC, 3 days -> 19 January 00:00."""
    assert Moment(days=days).due(begun, 86_400.0) == due
    example = datetime(2014, 1, 15, 10, 30, tzinfo=UTC)
    assert Moment(days=3).due(example, 86_400.0) == datetime(2014, 1, 19, tzinfo=UTC)


def test_short_days_are_counted_to_the_second() -> None:
    assert Moment(days=3).due(T0, 2.0) == T0 + timedelta(seconds=6)


def version(**fields: Any) -> Version:
    defaults: dict[str, Any] = {"key": "logs/a", "size_bytes": 100, "modified": T0}
    return Version(**(defaults | fields))


def noncurrent(**fields: Any) -> Version:
    return version(**({"is_current": False, "noncurrent_since": T0} | fields))


NONCURRENT = rule(Expiration=None, NoncurrentVersionExpiration={"NoncurrentDays": 2, "NewerNoncurrentVersions": 1})
MARKERS = rule(Expiration={"ExpiredObjectDeleteMarker": True})
GLACIER = rule(
    Expiration={"Days": 9},
    Transitions=[{"Days": 1, "StorageClass": "STANDARD_IA"}, {"Days": 4, "StorageClass": "GLACIER"}],
)


@pytest.mark.parametrize(
    ("stated", "looked_at", "after", "verb"),
    [
        (rule(), version(), 1.3 * DAY, None),
        (rule(), version(), 2 * DAY, Verb.EXPIRE),
        (rule(Status="Disabled"), version(), 9 * DAY, None),
        (rule(Expiration={"Date": MIDNIGHT}), version(), MIDNIGHT - T0, Verb.EXPIRE),
        (rule(Expiration={"Date": MIDNIGHT}), version(), MIDNIGHT - T0 - DAY, None),
        (rule(Filter={"Prefix": "logs/"}), version(), 9 * DAY, Verb.EXPIRE),
        (rule(Filter={"Prefix": "log/"}), version(), 9 * DAY, None),
        (rule(Filter=None, Prefix="logs/"), version(), 9 * DAY, Verb.EXPIRE),
        (rule(Filter={"ObjectSizeGreaterThan": 100}), version(), 9 * DAY, None),
        (rule(Filter={"ObjectSizeGreaterThan": 99}), version(), 9 * DAY, Verb.EXPIRE),
        (rule(Filter={"ObjectSizeLessThan": 100}), version(), 9 * DAY, None),
        (rule(Filter={"Tag": {"Key": "k", "Value": "v"}}), version(), 9 * DAY, None),
        (rule(Filter={"Tag": {"Key": "k", "Value": "v"}}), version(tags=(("k", "v"),)), 9 * DAY, Verb.EXPIRE),
        (rule(Filter={"Tag": {"Key": "k", "Value": "v"}}), version(tags=(("k", "w"),)), 9 * DAY, None),
        (rule(), noncurrent(), 9 * DAY, None),
        (NONCURRENT, version(), 9 * DAY, None),
        (NONCURRENT, noncurrent(newer_noncurrent=0), 9 * DAY, None),
        (NONCURRENT, noncurrent(newer_noncurrent=1), 2 * DAY, None),
        (NONCURRENT, noncurrent(newer_noncurrent=1), 3 * DAY, Verb.REMOVE),
        (MARKERS, version(is_marker=True, is_alone=True), timedelta(), Verb.REMOVE),
        (MARKERS, version(is_marker=True), 9 * DAY, None),
        (MARKERS, version(is_alone=True), 9 * DAY, None),
        (rule(), version(is_marker=True, is_alone=True), 2 * DAY, Verb.REMOVE),
        (rule(), version(is_marker=True, is_alone=True), DAY, None),
        (rule(), version(is_marker=True), 9 * DAY, None),
        (GLACIER, version(), timedelta(), None),
        (GLACIER, version(), 3 * DAY, Verb.TRANSITION),
        (GLACIER, version(storage_class="STANDARD_IA"), 3 * DAY, None),
        (GLACIER, version(), 10 * DAY, Verb.EXPIRE),
    ],
)
def test_what_a_rule_asks(stated: dict[str, Any], looked_at: Version, after: timedelta, verb: Verb | None) -> None:
    action = action_for(rules(stated), looked_at, now=T0 + after)
    assert (action.verb if action else None) is verb


def test_the_last_transition_that_is_due_counts() -> None:
    action = action_for(rules(GLACIER), version(), now=T0 + 6 * DAY)
    assert action == Action(verb=Verb.TRANSITION, rule_id="r", storage_class="GLACIER")


def test_unfinished_uploads_end_by_prefix_and_age() -> None:
    stated = rule(
        Expiration=None, Filter={"Prefix": "logs/"}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 2}
    )
    assert not upload_is_due(rules(stated), "logs/a", T0, now=T0 + 2 * DAY)
    assert upload_is_due(rules(stated), "logs/a", T0, now=T0 + 3 * DAY)
    assert not upload_is_due(rules(stated), "a", T0, now=T0 + 9 * DAY)
    assert not upload_is_due(rules(rule()), "logs/a", T0, now=T0 + 9 * DAY)


def test_the_earliest_expiration_is_told() -> None:
    both = rules(rule(ID="late", Expiration={"Days": 5}), rule(ID="soon"), rule(ID="other", Filter={"Prefix": "x"}))
    assert expiration_of(both, version()) == (datetime(2026, 11, 3, tzinfo=UTC), "soon")
    assert expiration_of(both[2:], version()) is None
