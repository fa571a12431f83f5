"""What bucket policies decide: tables of decisions, some of them asked of moto as well."""

import itertools
import json
from typing import Any

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from s3compat.policy import Outcome, is_public, parse_policy
from tests.s3compat.policy_making import (
    BUCKET,
    BUCKET_ARN,
    NOBODY,
    OBJECTS_ARN,
    PAULA,
    decide,
    policy_text,
    statement,
)

ALLOW, DENY, NONE = Outcome.ALLOW, Outcome.DENY, Outcome.NONE


@pytest.mark.parametrize(
    ("principal", "who", "outcome"),
    [
        ("*", PAULA, ALLOW),
        ("*", NOBODY, ALLOW),
        ({"AWS": "*"}, NOBODY, ALLOW),
        ({"AWS": ["arn:aws:iam:::user/max", "*"]}, NOBODY, ALLOW),
        ({"AWS": "arn:aws:iam:::user/paula"}, PAULA, ALLOW),
        ({"AWS": "arn:aws:iam:::user/paula"}, NOBODY, NONE),
        ({"AWS": "arn:aws:iam:::user/max"}, PAULA, NONE),
        ({"AWS": "arn:aws:iam:::user/Paula"}, PAULA, NONE),
        ({"CanonicalUser": "ab" * 32}, PAULA, ALLOW),
        ({"CanonicalUser": "cd" * 32}, PAULA, NONE),
        ({"Service": "logging.s3.amazonaws.com"}, PAULA, NONE),
        ({"Service": "*"}, PAULA, NONE),
        ({"Federated": "cognito-identity.amazonaws.com", "CanonicalUser": "ab" * 32}, PAULA, ALLOW),
    ],
)
def test_principal(principal: Any, who: frozenset[tuple[str, str]], outcome: Outcome) -> None:
    assert decide(statement(Principal=principal), principals=who).outcome is outcome


@pytest.mark.parametrize(
    ("not_principal", "who", "outcome"),
    [
        ({"AWS": "arn:aws:iam:::user/paula"}, PAULA, NONE),
        ({"AWS": "arn:aws:iam:::user/max"}, PAULA, DENY),
        ({"AWS": "arn:aws:iam:::user/max"}, NOBODY, DENY),
        ("*", PAULA, NONE),
    ],
)
def test_not_principal_denies_everybody_else(
    not_principal: Any, who: frozenset[tuple[str, str]], outcome: Outcome
) -> None:
    denied = statement(Effect="Deny", Principal=None, NotPrincipal=not_principal)
    assert decide(denied, principals=who).outcome is outcome


ACTIONS = ["s3:GetObject", "s3:GetObjectAcl", "s3:PutObject", "s3:ListBucket", "s3:DeleteBucketPolicy"]
ACTION_PATTERNS = [
    *("s3:GetObject", "S3:getobject", "s3:Get*", "s3:*Object", "s3:*", "*", "s3:*Bucket*"),
    *("s3:PutObject", "s3:G*A*l", "s3:List*"),
]
RESOURCES = [
    *(BUCKET_ARN, "arn:aws:s3:::photos/a.jpg", "arn:aws:s3:::photos/", "arn:aws:s3:::photos/a/b/c.jpg"),
    *("arn:aws:s3:::photos/A.jpg", "arn:aws:s3:::photos/[a].jpg"),
]
RESOURCE_PATTERNS = [
    *(OBJECTS_ARN, "arn:aws:s3:::photos*", "arn:aws:s3:::photos/a.jpg"),
    *("arn:aws:s3:::photos/a/*", "arn:aws:s3:::photos/*/c.jpg", "arn:aws:s3:::*/*", "arn:aws:s3:::photos/[a].jpg"),
]
_MOTO = {PermissionResult.PERMITTED: ALLOW, PermissionResult.DENIED: DENY, PermissionResult.NEUTRAL: NONE}


def moto_says(*statements: dict[str, Any], action: str, resource: str) -> Outcome:
    """The same of an identity policy, which names no principal."""
    bare = [{name: value for name, value in one.items() if name != "Principal"} for one in statements]
    policy = IAMPolicy(json.dumps({"Version": "2012-10-17", "Statement": bare}))
    return _MOTO[policy.is_action_permitted(action, resource)]


@pytest.mark.parametrize("pattern", ACTION_PATTERNS)
def test_actions_match_as_in_moto(pattern: str) -> None:
    for field, action in itertools.product(("Action", "NotAction"), ACTIONS):
        one = statement(**{"Action": None, "Resource": "arn:aws:s3:::photos*", field: pattern})
        expected = moto_says(one, action=action, resource="arn:aws:s3:::photos/a.jpg")
        if pattern == "S3:getobject":
            # moto compares the case of actions; AWS does not.
            expected = ALLOW if (action == "s3:GetObject") == (field == "Action") else NONE
        assert decide(one, action=action).outcome is expected, (field, action)


@pytest.mark.parametrize("pattern", RESOURCE_PATTERNS)
def test_resources_match_as_in_moto(pattern: str) -> None:
    for resource in RESOURCES:
        one = statement(Action="s3:*", Resource=pattern)
        expected = moto_says(one, action="s3:GetObject", resource=resource)
        if "[" in pattern:
            expected = ALLOW if pattern == resource else NONE  # moto takes [a] for a range
        assert decide(one, resource=resource).outcome is expected, resource


@pytest.mark.parametrize(
    ("changes", "matches"),
    [
        ({"Action": "s3:?etObject"}, True),
        ({"Action": "s3:GetObjectAc?"}, False),
        ({"Resource": "arn:aws:s3:::photos/?.jpg"}, True),
        ({"Resource": "arn:aws:s3:::photos/??.jpg"}, False),
        ({"Resource": "arn:aws:s3:::phot?s/a.jp?"}, True),
    ],
)
def test_a_question_mark_is_any_one_character(changes: dict[str, Any], matches: bool) -> None:
    # moto does not know it.
    assert decide(statement(**changes)).outcome is (ALLOW if matches else NONE)


@pytest.mark.parametrize(
    ("pattern", "resource", "outcome"),
    [
        (OBJECTS_ARN, BUCKET_ARN, ALLOW),
        (OBJECTS_ARN, "arn:aws:s3:::photos/a", NONE),
        ("arn:aws:s3:::photos/private/*", "arn:aws:s3:::photos/public", ALLOW),
        ("arn:aws:s3:::photos/private/*", "arn:aws:s3:::photos/private/a", NONE),
    ],
)
def test_not_resource_is_everything_else(pattern: str, resource: str, outcome: Outcome) -> None:
    assert decide(statement(Resource=None, NotResource=pattern), resource=resource).outcome is outcome


def test_explicit_deny_wins_in_any_order() -> None:
    allowed, denied = statement(), statement(Effect="Deny", Sid="no", Resource="arn:aws:s3:::photos/a*")
    for order in itertools.permutations([allowed, denied]):
        decision = decide(*order)
        assert decision.outcome is DENY
        assert decision.statement is not None
        assert decision.statement.sid == "no"
        assert decide(*order, resource="arn:aws:s3:::photos/b").outcome is ALLOW
        assert moto_says(*order, action="s3:GetObject", resource="arn:aws:s3:::photos/a.jpg") is DENY


def test_all_conditions_must_hold() -> None:
    one = statement(
        Condition={
            "StringEquals": {"s3:VersionId": "1", "aws:username": "paula"},
            "Bool": {"aws:SecureTransport": "true"},
        }
    )
    whole = {"s3:VersionId": "1", "aws:username": "paula", "aws:SecureTransport": "true"}
    assert decide(one, values=whole).outcome is ALLOW
    for missing in whole:
        rest = {name: value for name, value in whole.items() if name != missing}
        assert decide(one, values=rest).outcome is NONE


@pytest.mark.parametrize(
    ("name", "resource", "outcome"),
    [
        ("paula", "arn:aws:s3:::photos/home/paula/a", ALLOW),
        ("paula", "arn:aws:s3:::photos/home/max/a", NONE),
        ("*", "arn:aws:s3:::photos/home/max/a", NONE),
        ("*", "arn:aws:s3:::photos/home/*/a", ALLOW),
        (None, "arn:aws:s3:::photos/home//a", NONE),
    ],
)
def test_variable_in_a_resource_stands_for_itself(name: str | None, resource: str, outcome: Outcome) -> None:
    one = statement(Resource="arn:aws:s3:::photos/home/${aws:username}/*")
    values = {} if name is None else {"aws:username": name}
    assert decide(one, resource=resource, values=values).outcome is outcome


def test_old_version_has_no_variables() -> None:
    one = statement(Resource="arn:aws:s3:::photos/${aws:username}/*")
    decided = {
        resource: decide(one, resource=resource, values={"aws:username": "paula"}, version="2008-10-17").outcome
        for resource in ("arn:aws:s3:::photos/paula/a", "arn:aws:s3:::photos/${aws:username}/a")
    }
    assert list(decided.values()) == [NONE, ALLOW]


@pytest.mark.parametrize(
    ("changes", "public"),
    [
        ({}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::s3tenant1:root"}}, False),
        ({"Principal": {"CanonicalUser": "ab" * 32}}, False),
        ({"Effect": "Deny"}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/24"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/24", "0.0.0.0/0"]}}}, True),
        ({"Condition": {"IpAddressIfExists": {"aws:SourceIp": "10.0.0.0/24"}}}, True),
        ({"Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/24"}}}, True),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}, False),
        ({"Condition": {"StringLike": {"aws:SourceVpc": "vpc-*"}}}, True),
        ({"Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}}, True),
        ({"Condition": {"ForAllValues:StringEquals": {"aws:SourceVpc": "vpc-1"}}}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:*:111122223333:*"}}}, False),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:*:*:*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:userid": "${aws:username}"}}}, True),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, True),
        ({"Condition": {"StringLike": {"aws:Referer": "http://www.example.com/*"}}}, True),
    ],
)
def test_public(changes: dict[str, Any], public: bool) -> None:
    assert is_public(parse_policy(policy_text(statement(**changes)), bucket=BUCKET)) is public


def test_a_pattern_of_stars_takes_no_long_time() -> None:
    pattern = "arn:aws:s3:::photos/" + "*a" * 400 + "*b"
    assert decide(statement(Resource=pattern), resource="arn:aws:s3:::photos/" + "a" * 1000).outcome is NONE
