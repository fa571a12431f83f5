"""Notification configurations: the document held against AWS's rules, and which of its rules an event meets. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html

Where AWS names a queue, a topic or a function, an ARN names a target that the administrator has declared:
`arn:cairn:webhook:::NAME` or `arn:cairn:stream:::NAME`. For tools that insist on AWS's own form, what stands last in
an ARN of SQS, SNS or Lambda is the name of a target of either kind.
"""

import itertools
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from s3compat.errors import S3Error

#: https://docs.aws.amazon.com/general/latest/gr/s3.html ("Event notifications": 100 a bucket)
RULES_LIMIT: Final = 100
ID_LIMIT: Final = 255
FILTER_VALUE_LIMIT: Final = 1024

WEBHOOK: Final = "webhook"
STREAM: Final = "stream"

_NAME = r"[A-Za-z0-9_-]{1,80}"
TARGET_NAME: Final = re.compile(_NAME)
"""What a target may be called: what a queue may be called."""

_OURS = re.compile(rf"arn:cairn:(?P<kind>{WEBHOOK}|{STREAM}):[a-z0-9-]*:[0-9A-Za-z]*:(?P<name>{_NAME})")
_PLACE = "[a-z0-9-]*:[0-9]*"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One of the three lists of a configuration."""

    arn_member: str
    noun: str
    theirs: re.Pattern[str]


_KINDS: Final[Mapping[str, _Kind]] = {
    "TopicConfigurations": _Kind(
        arn_member="TopicArn", noun="topic", theirs=re.compile(rf"arn:aws[a-z-]*:sns:{_PLACE}:(?P<name>{_NAME})")
    ),
    "QueueConfigurations": _Kind(
        arn_member="QueueArn", noun="queue", theirs=re.compile(rf"arn:aws[a-z-]*:sqs:{_PLACE}:(?P<name>{_NAME})")
    ),
    "LambdaFunctionConfigurations": _Kind(
        arn_member="LambdaFunctionArn",
        noun="function",
        theirs=re.compile(rf"arn:aws[a-z-]*:lambda:{_PLACE}:function:(?P<name>{_NAME})"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A target as a configuration names it; `kind` is empty where an ARN of AWS's form leaves it open."""

    arn: str
    name: str
    kind: str
    noun: str
    """What the configuration takes it for: topic, queue or function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRule:
    """One configuration: which events of which keys go where."""

    id: str
    destination: Destination
    events: tuple[str, ...]
    prefix: str
    suffix: str

    def takes(self, event: str, key: str) -> bool:
        """Whether an event, by its full name (`s3:ObjectCreated:Put`), on this key is to be told."""
        return (
            any(_covers(wanted, event) for wanted in self.events)
            and key.startswith(self.prefix)
            and key.endswith(self.suffix)
        )


def with_ids(document: Mapping[str, Any], *, new_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> dict[str, Any]:
    """The document with an id for each configuration that has none, as AWS keeps it."""
    named = {
        member: [{**one, "Id": one.get("Id") or new_id()} for one in document[member]]
        for member in _KINDS
        if document.get(member)
    }
    return {**document, **named}


def encode_document(document: Mapping[str, Any]) -> bytes:
    """A document that `parse_rules` took, for storing."""
    return json.dumps(document, separators=(",", ":")).encode()


def decode_document(stored: bytes) -> dict[str, Any]:
    """The inverse of `encode_document`."""
    document: dict[str, Any] = json.loads(stored)
    return document


def parse_rules(document: Mapping[str, Any]) -> tuple[NotificationRule, ...]:
    """The configurations of a document in which each has an id.

    Raises InvalidArgument (what contradicts itself or another, what is no ARN), NotImplemented (EventBridge),
    MalformedXML (no events).
    """
    if document.get("EventBridgeConfiguration") is not None:
        raise S3Error("NotImplemented", "There is no EventBridge here: declare a webhook or a stream as the target.")
    rules = tuple([_rule(one, kind) for member, kind in _KINDS.items() for one in document.get(member) or ()])
    if len(rules) > RULES_LIMIT:
        raise _invalid(f"The number of notification configurations exceeds the limit of {RULES_LIMIT}.")
    ids = [rule.id for rule in rules]
    if any(len(rule_id) > ID_LIMIT for rule_id in ids):
        raise _invalid("ID length should not exceed allowed limit of 255", "Id")
    if len(set(ids)) != len(ids):
        raise _invalid("Same ID used for multiple configurations. IDs must be unique", "Id")
    for one, other in itertools.combinations(rules, 2):
        if _overlap(one, other):
            raise _invalid(_AMBIGUOUS)
    return rules


_AMBIGUOUS = (
    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
    "overlapping for the same event type."
)


def unknown_destination(destination: Destination) -> S3Error:
    """The error of AWS's for a destination that is not there."""
    return _invalid(
        "Unable to validate the following destination configurations",
        destination.arn,
        f"The destination {destination.noun} does not exist",
    )


def _rule(stated: Mapping[str, Any], kind: _Kind) -> NotificationRule:
    events = tuple(stated.get("Events") or ())
    if not events:
        raise S3Error("MalformedXML")
    for one, other in itertools.combinations(events, 2):
        if _covers(one, other) or _covers(other, one):
            raise _invalid("Overlapping event types in a configuration", "Event", f"{one}, {other}")
    prefix, suffix = _filters(stated.get("Filter"))
    return NotificationRule(
        id=stated["Id"],
        destination=_destination(stated[kind.arn_member], kind),
        events=events,
        prefix=prefix,
        suffix=suffix,
    )


def _destination(arn: str, kind: _Kind) -> Destination:
    arn = arn.strip()
    if (ours := _OURS.fullmatch(arn)) is not None:
        return Destination(arn=arn, name=ours["name"], kind=ours["kind"], noun=kind.noun)
    if (theirs := kind.theirs.fullmatch(arn)) is not None:
        return Destination(arn=arn, name=theirs["name"], kind="", noun=kind.noun)
    raise _invalid("The ARN could not be parsed", arn[:100])


def _filters(stated: Mapping[str, Any] | None) -> tuple[str, str]:
    """Prefix and suffix; empty is no filter."""
    found: dict[str, str] = {}
    rules = ((stated or {}).get("Key") or {}).get("FilterRules") or ()
    for rule in rules:
        name, value = str(rule.get("Name") or "").lower(), str(rule.get("Value") or "")
        if name not in ("prefix", "suffix"):
            raise _invalid("filter rule name must be either prefix or suffix", "FilterRule.Name", name)
        if name in found:
            raise _invalid(f"Cannot specify more than one {name} rule in a filter.", "FilterRule.Name", name)
        if len(value.encode()) > FILTER_VALUE_LIMIT:
            raise _invalid("Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation")
        found[name] = value
    return found.get("prefix", ""), found.get("suffix", "")


def _covers(wanted: str, event: str) -> bool:
    """Whether an event type takes in another; `s3:ObjectCreated:*` takes in all that begin so."""
    return wanted == event or (wanted.endswith(":*") and event.startswith(wanted[:-1]))


def _overlap(one: NotificationRule, other: NotificationRule) -> bool:
    """Whether one event on one key could meet both, which AWS refuses wherever they send it."""
    return (
        any(_covers(mine, its) or _covers(its, mine) for mine, its in _pairs(one, other))
        and (one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix))
        and (one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix))
    )


def _pairs(one: NotificationRule, other: NotificationRule) -> Iterator[tuple[str, str]]:
    return itertools.product(one.events, other.events)


def _invalid(message: str, name: str = "", value: str = "") -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)
