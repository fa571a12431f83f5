"""POST policies: documents that are none, every condition, sizes, and what no condition names."""

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.post_policy import LengthRange, check_form, parse_policy

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = "2026-01-02T03:05:05.000Z"
BUCKET: dict[str, str] = {"bucket": "b"}


def encoded(document: Any) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def policy(*conditions: Any, expiration: str = LATER) -> str:
    return encoded({"expiration": expiration, "conditions": [BUCKET, *conditions]})


def form(document: str, **fields: str) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return {"bucket": "b", "policy": document, "x-amz-signature": "s", **named}


def refusal(fields: dict[str, str], now: datetime = NOW) -> S3Error:
    with pytest.raises(S3Error) as caught:
        check_form(fields, now)
    return caught.value


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ({"key": "a/b"}, {"key": "a/b"}),
        ({"KEY": "a/b"}, {"key": "a/b"}),
        (["eq", "$key", "a/b"], {"key": "a/b"}),
        (["EQ", "$Key", "a/b"], {"key": "a/b"}),
        (["eq", "$key", ""], {"key": ""}),
        (["starts-with", "$key", "a/"], {"key": "a/b"}),
        (["starts-with", "$key", ""], {"key": "anything"}),
        (["Starts-With", "$Content-Type", "image/"], {"content_type": "image/png"}),
        (["starts-with", "$Content-Type", "image/"], {"content_type": "image/png, image/jpeg"}),
        (["starts-with", "$x-amz-meta-tag", ""], {"x_amz_meta_tag": "Ninja,Stallman"}),
        (["eq", "$key", "é\u2028"], {"key": "é\u2028"}),
    ],
)
def test_condition_is_met(condition: Any, fields: dict[str, str]) -> None:
    assert check_form(form(policy(condition), **fields), NOW) == LengthRange()


@pytest.mark.parametrize(
    ("condition", "fields", "shown"),
    [
        ({"acl": "private"}, {"acl": "public-read"}, '["eq", "$acl", "private"]'),
        ({"acl": "private"}, {}, '["eq", "$acl", "private"]'),
        (["eq", "$key", "a"], {"key": "A"}, '["eq", "$key", "a"]'),
        (["eq", "$key", "a"], {"key": "ab"}, '["eq", "$key", "a"]'),
        (["starts-with", "$key", "a/"], {"key": "b/a/"}, '["starts-with", "$key", "a/"]'),
        (["starts-with", "$key", ""], {}, '["starts-with", "$key", ""]'),
        (
            ["starts-with", "$Content-Type", "image/"],
            {"content_type": "image/png,text/html"},
            '["starts-with", "$Content-Type", "image/"]',
        ),
        ({"Bucket": "other"}, {}, '["eq", "$Bucket", "other"]'),
    ],
)
def test_condition_fails_and_is_named(condition: Any, fields: dict[str, str], shown: str) -> None:
    error = refusal(form(policy(condition), **fields))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == f"Invalid according to Policy: Policy Condition failed: {shown}"


def test_every_field_needs_a_condition() -> None:
    error = refusal(form(policy(), acl="private", x_amz_meta_a="1"))
    assert error.code == "AccessDenied"
    assert error.message == "Invalid according to Policy: Extra input fields: acl, x-amz-meta-a"


def test_bucket_needs_a_condition_too() -> None:
    error = refusal(form(encoded({"expiration": LATER, "conditions": [{"key": "k"}]}), key="k"))
    assert error.message == "Invalid according to Policy: Extra input fields: bucket"


@pytest.mark.parametrize("name", ["x_ignore_me", "signature", "awsaccesskeyid", "file"])
def test_what_carries_the_policy_needs_no_condition(name: str) -> None:
    check_form(form(policy(), **{name: "x"}), NOW)


@pytest.mark.parametrize(
    ("expiration", "expired"),
    [
        (LATER, False),
        ("2026-01-02T03:04:06Z", False),
        ("2026-01-02T03:04:05Z", True),
        ("2026-01-02T04:04:05+01:00", True),
        ("2025-01-01T00:00:00.000Z", True),
    ],
)
def test_policy_expires(expiration: str, expired: bool) -> None:
    document = form(policy(expiration=expiration))
    if not expired:
        check_form(document, NOW)
        return
    error = refusal(document)
    assert (error.code, error.message) == ("AccessDenied", "Invalid according to Policy: Policy expired.")


@pytest.mark.parametrize(
    "document",
    [
        "",
        "*",
        "é",
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"{").decode(),
        base64.b64encode(b"[" * 10_000).decode(),
        encoded([]),
        encoded("text"),
        encoded({}),
        encoded({"conditions": []}),
        encoded({"expiration": LATER}),
        encoded({"Expiration": LATER, "conditions": []}),
        encoded({"expiration": LATER, "CONDITIONS": []}),
        encoded({"expiration": LATER, "conditions": [], "Id": "x"}),
        encoded({"expiration": 1, "conditions": []}),
        encoded({"expiration": None, "conditions": []}),
        encoded({"expiration": "soon", "conditions": []}),
        encoded({"expiration": "2026-01-02", "conditions": []}),
        encoded({"expiration": "2026-01-02 03:04:05.000001+00:00", "conditions": []}),
        encoded({"expiration": LATER, "conditions": {}}),
        encoded({"expiration": LATER, "conditions": None}),
    ],
)
def test_document_that_is_none(document: str) -> None:
    error = refusal(form(document))
    assert (error.code, error.status) == ("InvalidPolicyDocument", 400)
    assert error.message.startswith("Invalid Policy: ")


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"a": "1", "b": "2"},
        {"a": 1},
        {"a": None},
        [],
        [1, "$a", "b"],
        "eq",
        None,
        ["equals", "$a", "b"],
        ["eq", "$a"],
        ["eq", "$a", "b", "c"],
        ["eq", "a", "b"],
        ["eq", "$a", 1],
        ["starts-with", ["$a"], "b"],
        ["content-length-range", 0],
        ["content-length-range", 0, 1, 2],
        ["content-length-range", -1, 0],
        ["content-length-range", "a", 1],
        ["content-length-range", 0, 1.5],
        ["content-length-range", True, 1],
        ["content-length-range", None, 1],
        ["content-length-range", 0, "\u0661"],
        ["content-length-range", 0, "9" * 5000],
    ],
)
def test_condition_that_is_none(condition: Any) -> None:
    assert refusal(form(policy(condition))).code == "InvalidPolicyDocument"


def test_ranges_of_sizes_all_hold() -> None:
    document = policy(["content-length-range", 1, 10], ["Content-Length-Range", "5", "20"])
    allowed = check_form(form(document), NOW)
    assert allowed == LengthRange(lowest=5, highest=10)
    for size in (5, 10):
        allowed.check(size)
    with pytest.raises(S3Error, match="EntityTooSmall") as small:
        allowed.check(4)
    assert small.value.elements == {"ProposedSize": "4", "MinSizeAllowed": "5"}
    with pytest.raises(S3Error, match="EntityTooLarge") as large:
        allowed.check_so_far(11)
    assert large.value.elements == {"ProposedSize": "11", "MaxSizeAllowed": "10"}
    allowed.check_so_far(0)


def test_form_without_policy_may_have_any_size() -> None:
    assert check_form({"bucket": "b", "key": "k", "acl": "private"}, NOW) == LengthRange()


def test_base64_in_lines_is_read() -> None:
    text = policy()
    assert parse_policy(f"{text[:20]}\r\n {text[20:]}\n").expiration == NOW + timedelta(seconds=60)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(_JSON, max_size=3), st.dictionaries(st.text(), st.text(), max_size=3))
def test_any_conditions_are_decided_or_refused(conditions: list[Any], fields: dict[str, str]) -> None:
    with contextlib.suppress(S3Error):
        check_form({**fields, "policy": policy(*conditions)}, NOW)


@given(st.text())
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    with pytest.raises(S3Error, match="InvalidPolicyDocument"):
        parse_policy(text)
