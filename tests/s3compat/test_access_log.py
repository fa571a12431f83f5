"""Lines of server access logs in AWS's format, the keys of log objects, the configuration."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from s3compat.access_log import (
    KeyFormat,
    LoggedRequest,
    LogTarget,
    decode_document,
    encode_document,
    log_key,
    log_line,
    log_operation,
    parse_logging,
)
from s3compat.errors import S3Error

AT = datetime(2019, 2, 6, 0, 0, 38, tzinfo=UTC)
REQUEST = LoggedRequest(
    bucket_owner_id="79a5",
    bucket="b",
    at=AT,
    remote_address="192.0.2.3",
    requester_id="79a5",
    request_id="3E57",
    operation="REST.GET.OBJECT",
    key="a b/ü",
    request_line="GET /b/a%20b/%C3%BC HTTP/1.1",
    status=200,
    error_code="",
    sent_bytes=113,
    object_bytes=113,
    total_ms=7,
    turnaround_ms=6,
    referer="",
    user_agent="S3Console/0.4",
    version_id="",
    host_id="s9lz",
    signature_version="SigV4",
    authentication_type="AuthHeader",
    host="b.s3.test",
    region="us-east-1",
)
#: How readers of these logs take a line apart.
FIELD = re.compile(r'\[[^\]]*\]|"(?:[^"\\]|\\.)*"|\S+')


def test_a_line_has_the_fields_of_aws_in_their_order() -> None:
    assert log_line(REQUEST) == (
        "79a5 b [06/Feb/2019:00:00:38 +0000] 192.0.2.3 79a5 3E57 REST.GET.OBJECT a%20b/%C3%BC "
        '"GET /b/a%20b/%C3%BC HTTP/1.1" 200 - 113 113 7 6 "-" "S3Console/0.4" - s9lz SigV4 - AuthHeader '
        "b.s3.test - - - us-east-1"
    )


@pytest.mark.parametrize("text", ['" 200 - "', "a\r\nb", "\\", '\\"', "\x00", "x" * 5000, "ü", ""])
def test_nothing_that_a_client_says_changes_the_number_of_fields(text: str) -> None:
    line = log_line(replace(REQUEST, user_agent=text, referer=text, key=text, host=text, request_line=text))

    assert len(FIELD.findall(line)) == 27
    assert "\n" not in line
    assert "\r" not in line


OPERATIONS = {
    ("GetObject", "GET"): "REST.GET.OBJECT",
    ("HeadObject", "HEAD"): "REST.HEAD.OBJECT",
    ("PutObject", "PUT"): "REST.PUT.OBJECT",
    ("DeleteObject", "DELETE"): "REST.DELETE.OBJECT",
    ("CopyObject", "PUT"): "REST.COPY.OBJECT",
    ("DeleteObjects", "POST"): "REST.POST.MULTI_OBJECT_DELETE",
    ("UploadPart", "PUT"): "REST.PUT.PART",
    ("ListObjectsV2", "GET"): "REST.GET.BUCKET",
    ("HeadBucket", "HEAD"): "REST.HEAD.BUCKET",
    ("GetBucketVersioning", "GET"): "REST.GET.VERSIONING",
    ("GetBucketLogging", "GET"): "REST.GET.LOGGING_STATUS",
    ("GetObjectTagging", "GET"): "REST.GET.OBJECT_TAGGING",
    ("", "GET"): "REST.GET.UNKNOWN",
    ("", "A B\n"): "REST.AB.UNKNOWN",
}


@pytest.mark.parametrize(("operation", "method"), OPERATIONS)
def test_operations_are_called_as_in_the_logs_of_aws(operation: str, method: str) -> None:
    assert log_operation(operation, method) == OPERATIONS[operation, method]


KEYS = {
    KeyFormat.SIMPLE: "p/2019-02-06-00-00-38-0123456789ABCDEF",
    KeyFormat.BY_DELIVERY_TIME: "p/id/eu/b/2019/02/06/2019-02-06-00-00-38-0123456789ABCDEF",
    KeyFormat.BY_EVENT_TIME: "p/id/eu/b/2019/02/06/2019-02-06-00-00-00-0123456789ABCDEF",
}


@pytest.mark.parametrize("key_format", KEYS)
def test_keys_of_log_objects_have_the_format_that_was_asked_for(key_format: KeyFormat) -> None:
    target = LogTarget(bucket="t", prefix="p/", key_format=key_format)
    key = log_key(target, at=AT, unique="0123456789ABCDEF", account_id="id", region="eu", bucket="b")
    assert key == KEYS[key_format]


def enabled(**more: Any) -> dict[str, Any]:
    return {"LoggingEnabled": {"TargetBucket": "t", "TargetPrefix": "p/", **more}}


FORMATS: dict[str, tuple[dict[str, Any], KeyFormat]] = {
    "none": ({}, KeyFormat.SIMPLE),
    "simple": ({"TargetObjectKeyFormat": {"SimplePrefix": {}}}, KeyFormat.SIMPLE),
    "partitioned": ({"TargetObjectKeyFormat": {"PartitionedPrefix": {}}}, KeyFormat.BY_DELIVERY_TIME),
    "by events": (
        {"TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}},
        KeyFormat.BY_EVENT_TIME,
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_configuration_names_its_target(name: str) -> None:
    more, key_format = FORMATS[name]
    document = enabled(**more)
    assert parse_logging(document) == LogTarget(bucket="t", prefix="p/", key_format=key_format)
    assert decode_document(encode_document(document)) == document


def test_an_empty_configuration_ends_logging_and_two_formats_are_malformed() -> None:
    assert parse_logging({}) is None
    with pytest.raises(S3Error, match="MalformedXML"):
        parse_logging(enabled(TargetObjectKeyFormat={"SimplePrefix": {}, "PartitionedPrefix": {}}))
    with pytest.raises(S3Error, match="InvalidTargetBucketForLogging"):
        parse_logging({"LoggingEnabled": {"TargetBucket": "", "TargetPrefix": ""}})
