"""A lifecycle configuration as its document states it, held against S3's limits, and as it is stored.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from s3compat.errors import S3Error
from s3compat.lifecycle import Filter, Moment, Rule, Transition

RULES_LIMIT: Final = 1000
ID_LIMIT: Final = 255
NEWER_VERSIONS_LIMIT: Final = 100

_DATE_KEY: Final = "Date"


def with_ids(document: Mapping[str, Any], *, new_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> dict[str, Any]:
    """The document with an id for each rule that has none, as AWS keeps it."""
    rules = [{**rule, "ID": rule.get("ID") or new_id()} for rule in document.get("Rules") or ()]
    return {**document, "Rules": rules}


def encode_document(document: Mapping[str, Any]) -> bytes:
    """A document that `parse_rules` took, for storing: JSON, dates in ISO 8601."""
    return json.dumps(document, default=lambda date: date.isoformat(), separators=(",", ":")).encode()


def decode_document(stored: bytes) -> dict[str, Any]:
    """The inverse of `encode_document`."""

    def revive(fields: dict[str, Any]) -> dict[str, Any]:
        if isinstance(fields.get(_DATE_KEY), str):
            fields[_DATE_KEY] = datetime.fromisoformat(fields[_DATE_KEY])
        return fields

    document: dict[str, Any] = json.loads(stored, object_hook=revive)
    return document


def parse_rules(document: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules of a BucketLifecycleConfiguration in which each has an id.

    Raises MalformedXML, InvalidArgument, InvalidRequest.
    """
    stated: Sequence[Mapping[str, Any]] = document.get("Rules") or ()
    if not 1 <= len(stated) <= RULES_LIMIT:
        raise S3Error("MalformedXML")
    ids = [rule["ID"] for rule in stated]
    if any(len(rule_id) > ID_LIMIT for rule_id in ids):
        raise _invalid("ID length should not exceed allowed limit of 255")
    if len(set(ids)) != len(ids):
        raise _invalid("Rule ID must be unique. Found same ID for more than one rule")
    return tuple([_rule(rule) for rule in stated])


def _rule(stated: Mapping[str, Any]) -> Rule:
    if stated.get("Status") not in ("Enabled", "Disabled"):
        raise S3Error("MalformedXML")
    wanted = _filter(stated)
    expiration, removes_markers = _expiration_of(stated.get("Expiration"), wanted)
    noncurrent = stated.get("NoncurrentVersionExpiration")
    rule = Rule(
        id=stated["ID"],
        enabled=stated["Status"] == "Enabled",
        filter=wanted,
        expiration=expiration,
        removes_lone_markers=removes_markers,
        noncurrent_expiration=None if noncurrent is None else Moment(days=_noncurrent_days(noncurrent)),
        noncurrent_kept=0 if noncurrent is None else _kept(noncurrent),
        abort_uploads_after_days=_abort_days(stated.get("AbortIncompleteMultipartUpload"), wanted),
        transitions=tuple([_transition_of(one) for one in stated.get("Transitions") or ()]),
        noncurrent_transitions=tuple(
            [_noncurrent_transition_of(one) for one in stated.get("NoncurrentVersionTransitions") or ()]
        ),
    )
    if not _has_action(stated):
        raise S3Error("InvalidRequest", "At least one action needs to be specified in a rule.")
    _check_order_of_transitions(rule)
    return rule


def _has_action(stated: Mapping[str, Any]) -> bool:
    actions = ("Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
    return any(stated.get(name) is not None for name in actions) or any(
        stated.get(name) for name in ("Transitions", "NoncurrentVersionTransitions")
    )


def _filter(stated: Mapping[str, Any]) -> Filter:
    """The Filter, or the Prefix that stood in its place before there were filters; one of the two."""
    wanted = stated.get("Filter")
    if (wanted is None) == ("Prefix" not in stated):
        raise S3Error("MalformedXML")
    if wanted is None:
        return Filter(prefix=stated["Prefix"] or "")
    both = wanted.get("And")
    parts = both if both is not None else wanted
    if both is not None and len(wanted) > 1:
        raise S3Error("MalformedXML")
    stated_tags = (both.get("Tags") or ()) if both is not None else ([wanted["Tag"]] if "Tag" in wanted else ())
    tags = tuple([(tag["Key"], tag["Value"]) for tag in stated_tags])
    if len({name for name, _ in tags}) != len(tags):
        raise S3Error("InvalidRequest", "Duplicate Tag Keys are not allowed.")
    others = [name for name in ("Prefix", "ObjectSizeGreaterThan", "ObjectSizeLessThan") if name in parts]
    if both is not None and len(others) + len(tags) < 2:
        raise S3Error("MalformedXML")
    if both is None and len(others) + len(tags) > 1:
        raise S3Error("MalformedXML")
    larger, smaller = parts.get("ObjectSizeGreaterThan"), parts.get("ObjectSizeLessThan")
    if (larger is not None and larger < 0) or (smaller is not None and smaller < 1):
        raise _invalid("Object size bounds must not be negative")
    if larger is not None and smaller is not None and larger >= smaller:
        raise _invalid("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
    return Filter(prefix=parts.get("Prefix") or "", tags=tags, larger_than=larger, smaller_than=smaller)


def _expiration_of(stated: Mapping[str, Any] | None, wanted: Filter) -> tuple[Moment | None, bool]:
    if stated is None:
        return None, False
    marker = stated.get("ExpiredObjectDeleteMarker")
    if len([name for name in ("Date", "Days", "ExpiredObjectDeleteMarker") if name in stated]) != 1:
        raise S3Error("MalformedXML")
    if marker is not None:
        if wanted.tags or wanted.larger_than is not None or wanted.smaller_than is not None:
            raise S3Error("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with tags or object sizes.")
        return None, bool(marker)
    return _moment(stated, "'Days' for Expiration action must be a positive integer", least_days=1), False


def _moment(stated: Mapping[str, Any], message: str, *, least_days: int) -> Moment:
    date: datetime | None = stated.get("Date")
    days: int | None = stated.get("Days")
    if days is not None:
        if date is not None:
            raise S3Error("MalformedXML")
        if days < least_days:
            raise _invalid(message)
        return Moment(days=days)
    if date is None:
        raise S3Error("MalformedXML")
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    if (aware.hour, aware.minute, aware.second, aware.microsecond) != (0, 0, 0, 0):
        raise _invalid("'Date' must be at midnight GMT")
    return Moment(date=aware)


def _noncurrent_days(stated: Mapping[str, Any]) -> int:
    days = stated.get("NoncurrentDays")
    if days is None:
        raise S3Error("MalformedXML")
    if days < 1:
        raise _invalid("'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer")
    return int(days)


def _kept(stated: Mapping[str, Any]) -> int:
    kept = stated.get("NewerNoncurrentVersions")
    if kept is None:
        return 0
    if not 1 <= kept <= NEWER_VERSIONS_LIMIT:
        raise _invalid(f"'NewerNoncurrentVersions' must be between 1 and {NEWER_VERSIONS_LIMIT}")
    return int(kept)


def _abort_days(stated: Mapping[str, Any] | None, wanted: Filter) -> int | None:
    if stated is None:
        return None
    if wanted.tags or wanted.larger_than is not None or wanted.smaller_than is not None:
        raise S3Error("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with tags or object sizes.")
    days = stated.get("DaysAfterInitiation")
    if days is None:
        raise S3Error("MalformedXML")
    if days < 1:
        raise _invalid("'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer")
    return int(days)


def _transition_of(stated: Mapping[str, Any]) -> Transition:
    moment = _moment(stated, "'Days' in Transition action must be nonnegative", least_days=0)
    return Transition(moment=moment, storage_class=_class_of(stated))


def _noncurrent_transition_of(stated: Mapping[str, Any]) -> Transition:
    days = stated.get("NoncurrentDays")
    if days is None:
        raise S3Error("MalformedXML")
    if days < 0:
        raise _invalid("'NoncurrentDays' in NoncurrentVersionTransition action must be nonnegative")
    return Transition(moment=Moment(days=days), storage_class=_class_of(stated), kept=_kept(stated))


def _class_of(stated: Mapping[str, Any]) -> str:
    storage_class: str | None = stated.get("StorageClass")
    if storage_class is None:
        raise S3Error("MalformedXML")
    return storage_class


def _check_order_of_transitions(rule: Rule) -> None:
    """One class once; days or dates, not both; nothing changes its class after it has expired."""
    for transitions, expiration in (
        (rule.transitions, rule.expiration),
        (rule.noncurrent_transitions, rule.noncurrent_expiration),
    ):
        classes = [one.storage_class for one in transitions]
        if len(set(classes)) != len(classes):
            raise _invalid("'StorageClass' must be different for 'Transition' actions in same 'Rule'")
        moments = [one.moment for one in transitions] + ([expiration] if expiration is not None else [])
        if len({moment.date is None for moment in moments}) > 1:
            raise S3Error("InvalidRequest", "Found mixed 'Date' and 'Days' based Expiration and Transition actions")
        for one in transitions:
            days, last = one.moment.days, expiration.days if expiration is not None else None
            if days is not None and last is not None and days >= last:
                raise _invalid("'Days' in the Expiration action must be greater than 'Days' in the Transition action")


def _invalid(message: str) -> S3Error:
    return S3Error("InvalidArgument", message)
