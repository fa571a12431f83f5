"""Notification configurations: what is refused and why, what a rule takes, and the messages that come of it."""

from typing import Any

import pytest

from s3compat.errors import S3Error
from s3compat.event_message import ObjectEvent, event_record, probe_message
from s3compat.notification import decode_document, encode_document, parse_rules, with_ids

HOOK = "arn:cairn:webhook:::hook"


def queue(*events: str, prefix: str = "", suffix: str = "", arn: str = HOOK, name: str = "") -> dict[str, Any]:
    rules = [{"Name": kind, "Value": value} for kind, value in (("prefix", prefix), ("suffix", suffix)) if value]
    made: dict[str, Any] = {"QueueArn": arn, "Events": list(events or ("s3:ObjectCreated:*",))}
    if rules:
        made["Filter"] = {"Key": {"FilterRules": rules}}
    if name:
        made["Id"] = name
    return made


def rules_of(*queues: dict[str, Any], **others: Any) -> Any:
    return parse_rules(with_ids({"QueueConfigurations": list(queues), **others}))


ARNS = {
    "arn:cairn:webhook:::hook": ("hook", "webhook"),
    "arn:cairn:stream:::a-b_C": ("a-b_C", "stream"),
    "arn:cairn:stream:us-east-1:123456789012:s": ("s", "stream"),
    "arn:aws:sqs:us-east-1:123456789012:hook": ("hook", ""),
    "arn:aws-cn:sqs:::hook": ("hook", ""),
}


@pytest.mark.parametrize("arn", ARNS)
def test_an_arn_names_a_target(arn: str) -> None:
    (rule,) = rules_of(queue(arn=arn))
    assert (rule.destination.name, rule.destination.kind) == ARNS[arn]


@pytest.mark.parametrize(
    "arn",
    [
        "hook",
        "",
        "arn:cairn:ftp:::hook",
        "arn:cairn:webhook:::",
        "arn:cairn:webhook:::a b",
        "arn:cairn:webhook:::" + "a" * 81,
        "arn:aws:sns:us-east-1:123456789012:topic",
        "arn:aws:sqs:us-east-1:123456789012:hook:more",
    ],
)
def test_what_is_no_arn_of_a_queue_is_refused(arn: str) -> None:
    with pytest.raises(S3Error, match="ARN") as refused:
        rules_of(queue(arn=arn))
    assert refused.value.code == "InvalidArgument"


def test_topics_and_functions_have_arns_of_their_own() -> None:
    topic = {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Events": ["s3:ObjectCreated:Put"]}
    function = {
        "LambdaFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "Events": ["s3:ObjectCreated:Copy"],
    }
    document = with_ids({"TopicConfigurations": [topic], "LambdaFunctionConfigurations": [function]})
    assert [rule.destination.name for rule in parse_rules(document)] == ["t", "f"]


OVERLAPPING = {
    "the same": (queue(), queue()),
    "a wildcard takes in the other": (queue("s3:ObjectCreated:*"), queue("s3:ObjectCreated:Put")),
    "one without a prefix": (queue(prefix="a"), queue()),
    "a prefix of the prefix": (queue(prefix="images/"), queue(prefix="images/cats/")),
    "suffixes too": (queue(prefix="a", suffix=".jpg"), queue(prefix="a", suffix="g")),
    "no suffix against one": (queue(suffix=".jpg"), queue(prefix="a")),
}
APART = {
    "events": (queue("s3:ObjectCreated:Put"), queue("s3:ObjectCreated:Copy", "s3:ObjectRemoved:*")),
    "prefixes": (queue(prefix="a/"), queue(prefix="b/")),
    "suffixes": (queue(prefix="a", suffix=".jpg"), queue(prefix="a", suffix=".png")),
}


@pytest.mark.parametrize("name", OVERLAPPING)
def test_rules_that_one_event_could_meet_together_are_refused(name: str) -> None:
    with pytest.raises(S3Error, match="ambiguously defined") as refused:
        rules_of(*OVERLAPPING[name])
    assert refused.value.code == "InvalidArgument"


@pytest.mark.parametrize("name", APART)
def test_rules_that_are_apart_are_taken(name: str) -> None:
    assert len(rules_of(*APART[name])) == 2


def test_overlap_is_looked_for_between_queues_and_topics_too() -> None:
    topic = {"TopicArn": HOOK, "Events": ["s3:ObjectCreated:Put"]}
    with pytest.raises(S3Error, match="ambiguously defined"):
        rules_of(queue(), TopicConfigurations=[topic])


def filters(*rules: tuple[str, str]) -> dict[str, Any]:
    return {"Key": {"FilterRules": [{"Name": name, "Value": value} for name, value in rules]}}


REFUSED = {
    "an id twice": [queue("s3:ObjectCreated:Put", name="x"), queue("s3:ObjectCreated:Copy", name="x")],
    "an id that is too long": [queue(name="x" * 256)],
    "a prefix twice": [{**queue(), "Filter": filters(("prefix", "a"), ("Prefix", "b"))}],
    "a filter of another name": [{**queue(), "Filter": filters(("infix", "a"))}],
    "a value that is too long": [queue(prefix="ü" * 513)],
    "an event twice": [queue("s3:ObjectCreated:*", "s3:ObjectCreated:Put")],
    "too many": [queue(prefix=f"{number:03d}") for number in range(101)],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_a_limit_is_an_invalid_argument(name: str) -> None:
    with pytest.raises(S3Error) as refused:
        rules_of(*REFUSED[name])
    assert refused.value.code == "InvalidArgument"


def test_no_events_are_malformed_and_eventbridge_is_not_implemented() -> None:
    with pytest.raises(S3Error) as malformed:
        rules_of({"QueueArn": HOOK, "Events": []})
    with pytest.raises(S3Error) as bridge:
        rules_of(EventBridgeConfiguration={})
    assert (malformed.value.code, bridge.value.code) == ("MalformedXML", "NotImplemented")


def test_a_rule_takes_what_its_events_and_filters_say() -> None:
    (rule,) = rules_of(queue("s3:ObjectCreated:*", "s3:ObjectRemoved:Delete", prefix="in/", suffix=".jpg"))

    assert rule.takes("s3:ObjectCreated:Put", "in/a.jpg")
    assert rule.takes("s3:ObjectRemoved:Delete", "in/.jpg")
    assert not rule.takes("s3:ObjectRemoved:DeleteMarkerCreated", "in/a.jpg")
    assert not rule.takes("s3:ObjectCreated:Put", "in/a.png")
    assert not rule.takes("s3:ObjectCreated:Put", "out/a.jpg")


def test_a_document_is_stored_and_read_back_with_its_ids() -> None:
    document = with_ids({"QueueConfigurations": [queue(prefix="ü")]}, new_id=lambda: "made")
    assert decode_document(encode_document(document)) == document
    assert document["QueueConfigurations"][0]["Id"] == "made"


def event(name: str, **other: Any) -> ObjectEvent:
    fields: dict[str, Any] = {
        "name": name,
        "bucket": "b",
        "key": "a b/c",
        "version_id": None,
        "etag": "e",
        "size_bytes": 3,
        "sequence": 255,
        "at_ms": 1_600_000_000_123,
        "principal_id": "p",
        "source_address": "::1",
        "request_id": "r",
        "host_id": "h",
        **other,
    }
    return ObjectEvent(**fields)


def record(name: str, **other: Any) -> dict[str, Any]:
    return event_record(event(name, **other), region="eu", owner_id="o", configuration_id="c")


def test_a_record_is_as_aws_documents_it() -> None:
    assert record("ObjectCreated:Put", version_id="v") == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu",
        "eventTime": "2020-09-13T12:26:40.123Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "p"},
        "requestParameters": {"sourceIPAddress": "::1"},
        "responseElements": {"x-amz-request-id": "r", "x-amz-id-2": "h"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "c",
            "bucket": {"name": "b", "ownerIdentity": {"principalId": "o"}, "arn": "arn:aws:s3:::b"},
            "object": {
                "key": "a+b/c",
                "size": 3,
                "eTag": "e",
                "versionId": "v",
                "sequencer": "00000000000000FF",
            },
        },
    }


def test_what_is_gone_has_neither_size_nor_etag() -> None:
    assert set(record("ObjectRemoved:Delete")["s3"]["object"]) == {"key", "sequencer"}


def test_later_kinds_of_events_have_the_later_version() -> None:
    moved = record("LifecycleTransition", storage_class="GLACIER")
    assert moved["eventVersion"] == "2.3"
    assert moved["lifecycleEventData"] == {"transitionEventData": {"destinationStorageClass": "GLACIER"}}
    assert record("ObjectTagging:Put")["eventVersion"] == "2.3"


def test_the_probe_is_no_record() -> None:
    probe = probe_message("b", at_ms=0, request_id="r", host_id="h")
    assert (probe["Event"], probe["Bucket"], probe["Time"]) == ("s3:TestEvent", "b", "1970-01-01T00:00:00.000Z")
