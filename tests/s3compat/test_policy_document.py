"""Reading bucket policies: what S3 refuses, and that nothing else comes out of the parser."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3compat.errors import S3Error
from s3compat.policy import RequestContext, evaluate, is_public, parse_identity_policy, parse_policy
from s3compat.policy_document import IDENTITY_POLICY_LIMIT
from tests.s3compat.policy_making import BUCKET, BUCKET_ARN, OBJECTS_ARN, policy_text, statement


def refusal_of(text: str) -> str:
    with pytest.raises(S3Error) as refused:
        parse_policy(text, bucket=BUCKET)
    assert (refused.value.code, refused.value.status) == ("MalformedPolicy", 400)
    return refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        *("", " {}", "[]", "null", "{", "}", "{]", '"*"', "\ufeff{}", "{'Version': 1}", "{" * 10_000),
        '{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}',
        json.dumps({"Statement": [], "Version": "2012-10-17"}),
        json.dumps({"Version": "2012-10-17"}),
        json.dumps({"Version": "2012-10-17", "Statement": "s3:*"}),
        json.dumps({"Version": "2012-10-17", "Statement": ["s3:*"]}),
        json.dumps({"Version": "2020-01-01", "Statement": [statement()]}),
        json.dumps({"Version": 2012, "Statement": [statement()]}),
        json.dumps({"Version": "2012-10-17", "Statement": [statement()], "Comment": "x"}),
        json.dumps({"Version": "2012-10-17", "Id": 3, "Statement": [statement()]}),
        policy_text(statement(Resource=[f"{BUCKET_ARN}/{'x' * 1000}"] * 21)),
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    refusal_of(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Effect": None}, "Missing required field Effect"),
        ({"Effect": "allow"}, "Invalid effect: allow"),
        ({"Effect": ["Allow"]}, "Invalid effect: ['Allow']"),
        ({"Principal": None}, "Missing required field Principal"),
        ({"NotPrincipal": "*"}, "Missing required field Principal"),
        ({"Principal": None, "NotPrincipal": {"AWS": "x"}}, "Allow with NotPrincipal is not allowed."),
        ({"Principal": "paula"}, "Invalid policy syntax."),
        ({"Principal": {}}, "Invalid policy syntax."),
        ({"Principal": {"User": "paula"}}, "Invalid policy syntax."),
        ({"Principal": {"AWS": []}}, "Invalid principal in policy"),
        ({"Principal": {"AWS": "arn:aws:s3:::photos"}}, "Invalid principal in policy"),
        ({"Principal": {"AWS": "arn:aws:iam::1:user/"}}, "Invalid principal in policy"),
        ({"Principal": {"AWS": "two words"}}, "Invalid principal in policy"),
        ({"Principal": {"CanonicalUser": "*"}}, "Invalid principal in policy"),
        ({"Action": None}, "Missing required field Action"),
        ({"NotAction": "s3:PutObject"}, "Action and NotAction exclude another"),
        ({"Action": []}, "Missing required field Action cannot be empty!"),
        ({"Action": [1]}, "Missing required field Action cannot be empty!"),
        ({"Action": "GetObject"}, "Policy has invalid action"),
        ({"Action": "s3:GetObjects"}, "Policy has invalid action"),
        ({"Action": "s3:"}, "Policy has invalid action"),
        ({"Action": "iam:*"}, "Policy has invalid action"),
        ({"Action": "s3:Frob*"}, "Policy has invalid action"),
        ({"Resource": None}, "Missing required field Resource"),
        ({"NotResource": OBJECTS_ARN}, "Resource and NotResource exclude another"),
        ({"Resource": []}, "Missing required field Resource cannot be empty!"),
        ({"Resource": "*"}, "Policy has invalid resource"),
        ({"Resource": "photos/*"}, "Policy has invalid resource"),
        ({"Resource": "arn:aws:s3:::other/*"}, "Policy has invalid resource"),
        ({"Resource": [OBJECTS_ARN, "arn:aws:s3:::other/*"]}, "Policy has invalid resource"),
        ({"Resource": None, "NotResource": "arn:aws:s3:::other/*"}, "Policy has invalid resource"),
        ({"Resource": BUCKET_ARN}, "Action does not apply to any resource(s) in statement"),
        ({"Action": "s3:ListBucket"}, "Action does not apply to any resource(s) in statement"),
        ({"Sid": 1}, "Sid must be a single string"),
        ({"Comment": "x"}, "Unknown field Comment"),
        ({"Condition": []}, "Invalid policy syntax."),
        ({"Condition": {"StringEquals": "x"}}, "Invalid policy syntax."),
        ({"Condition": {"StringEquals": {"s3:prefix": []}}}, "Invalid policy syntax."),
        ({"Condition": {"StringEquals": {"s3:prefix": {}}}}, "Invalid policy syntax."),
        ({"Condition": {"StringIs": {"s3:prefix": "x"}}}, "Invalid Condition type : StringIs"),
        ({"Condition": {"stringEquals": {"s3:prefix": "x"}}}, "Invalid Condition type : stringEquals"),
        ({"Condition": {"ForEach:StringLike": {"s3:prefix": "x"}}}, "Invalid Condition type : ForEach:StringLike"),
        ({"Condition": {"NullIfExists": {"s3:prefix": "true"}}}, "Invalid Condition type : NullIfExists"),
        ({"Condition": {"StringEquals": {"s3:color": "x"}}}, "Policy has an invalid condition key"),
        ({"Condition": {"StringEquals": {"prefix": "x"}}}, "Policy has an invalid condition key"),
        ({"Condition": {"StringEquals": {"s3:ExistingObjectTag": "x"}}}, "Policy has an invalid condition key"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}}, "Invalid value in a condition"),
        ({"Condition": {"Bool": {"aws:SecureTransport": "yes"}}}, "Invalid value in a condition"),
        ({"Condition": {"NumericEquals": {"s3:max-keys": "1e9999"}}}, "Invalid value in a condition"),
        ({"Condition": {"DateEquals": {"aws:CurrentTime": "soon"}}}, "Invalid value in a condition"),
        ({"Condition": {"Null": {"s3:prefix": "maybe"}}}, "Invalid value in a condition"),
    ],
)
def test_malformed_statement_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal_of(policy_text(statement(**changes))) == message


def test_statement_ids_are_unique() -> None:
    assert "unique" in refusal_of(policy_text(statement(Sid="a"), statement(Sid="a")))
    parse_policy(policy_text(statement(Sid=""), statement(Sid="")), bucket=BUCKET)


@pytest.mark.parametrize(
    "changes",
    [
        {"Action": ["s3:ListBucket", "s3:GetObject"], "Resource": [BUCKET_ARN, OBJECTS_ARN]},
        {"Action": "s3:*", "Resource": BUCKET_ARN},
        {"Action": "*", "Resource": "arn:aws:s3:::*"},
        {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::photos*"},
        {"Action": None, "NotAction": "s3:DeleteBucket", "Resource": OBJECTS_ARN},
        {"Principal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:role/admin"]}},
        {"Condition": {"StringEquals": {"s3:ExistingObjectTag/A Tag": ["x", "y"]}}},
    ],
)
def test_what_aws_takes_is_taken(changes: dict[str, Any]) -> None:
    parse_policy(policy_text(statement(**changes)), bucket=BUCKET)


WORDS = st.sampled_from(
    [
        *("*", "Allow", "Deny", "s3:GetObject", "s3:*", BUCKET_ARN, OBJECTS_ARN, "arn:aws:s3:::photos/${aws:x}/*"),
        *("true", "10.0.0.0/8", "1", "2026-01-01", "AWS", "${", "${a, 'b'}", "arn:aws:iam:::user/paula"),
    ]
)
LEAVES = st.one_of(WORDS, st.text(max_size=6), st.integers(), st.booleans(), st.none(), st.floats())
FIELDS = st.sampled_from(
    [
        *("Version", "Id", "Statement", "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"),
        *("Resource", "NotResource", "Condition", "AWS", "StringLike", "IpAddress", "aws:SourceIp", "s3:prefix"),
        *("ForAllValues:ArnLike", "NumericLessThan", "DateEquals", "Null", "BinaryEquals"),
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=5)),
    max_leaves=20,
)
OPERATORS = st.sampled_from(
    ["StringLike", "ArnEquals", "NumericEquals", "DateLessThan", "Bool", "BinaryEquals", "IpAddress", "Null"]
)
KEYS = st.sampled_from(["s3:prefix", "aws:SourceIp", "aws:CurrentTime", "s3:max-keys"])
NEARLY = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Principal": st.sampled_from(["*", {"AWS": "arn:aws:iam:::user/paula"}]),
        "Action": st.sampled_from(["s3:GetObject", "s3:*", "*"]),
        "Resource": st.builds("arn:aws:s3:::photos/{}".format, st.text(max_size=12)),
        "Condition": st.dictionaries(OPERATORS, st.dictionaries(KEYS, LEAVES, max_size=2), max_size=2),
    }
)


@given(TREES)
def test_no_document_raises_anything_but_an_s3_error(tree: Any) -> None:
    codes = set()
    for document in (tree, {"Statement": tree}, {"Statement": [statement(Condition=tree)]}):
        try:
            parse_policy(json.dumps(document), bucket=BUCKET)
        except S3Error as refused:
            codes.add(refused.code)
        try:
            parse_identity_policy(json.dumps(document))
        except S3Error as refused:
            codes.add(refused.code)
    assert codes <= {"MalformedPolicy"}


@given(NEARLY, st.text(max_size=12))
def test_no_evaluation_fails(one: dict[str, Any], value: str) -> None:
    try:
        policy = parse_policy(json.dumps({"Version": "2012-10-17", "Statement": [one]}), bucket=BUCKET)
    except S3Error:
        return
    request = RequestContext(
        action="s3:GetObject",
        resource=f"arn:aws:s3:::photos/{value}",
        principals=frozenset(),
        values=lambda name: (value,),
    )
    evaluate((policy,), request)
    is_public(policy)


@given(st.text(max_size=200))
def test_no_text_raises_anything_but_an_s3_error(text: str) -> None:
    for candidate in (text, "{" + text):
        with pytest.raises(S3Error):
            parse_policy(candidate, bucket=BUCKET)
        with pytest.raises(S3Error):
            parse_identity_policy(candidate)


def identity_statement(**changes: Any) -> dict[str, Any]:
    return statement(**{"Principal": None, "Resource": "*"} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Principal": "*"}, "Policy document should not specify a principal."),
        ({"NotPrincipal": {"AWS": "x"}, "Effect": "Deny"}, "Policy document should not specify a principal."),
        ({"Sid": "no spaces"}, "Statement IDs (SID) must be alpha-numeric."),
        ({"Action": "s3:GetObjekt"}, "Policy has invalid action"),
        ({"Action": "iam:*"}, "Policy has invalid action"),
        ({"Action": None}, "Missing required field Action"),
        ({"Resource": None}, "Missing required field Resource"),
        ({"Resource": "photos"}, 'Resource photos must be in ARN format or "*".'),
        ({"Resource": "arn:aws:s3:::"}, 'Resource arn:aws:s3::: must be in ARN format or "*".'),
        ({"Resource": "arn:aws:sqs:::q"}, 'Resource arn:aws:sqs:::q must be in ARN format or "*".'),
        ({"Effect": "Maybe"}, "Invalid effect: Maybe"),
        ({"Condition": {"StringEquals": {"s3:no-such-key": "x"}}}, "Policy has an invalid condition key"),
        ({"Condition": {"StringIs": {"s3:prefix": "x"}}}, "Invalid Condition type : StringIs"),
    ],
)
def test_what_an_identity_policy_cannot_say(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(S3Error) as refused:
        parse_identity_policy(policy_text(identity_statement(**changes)))
    assert (refused.value.code, refused.value.message) == ("MalformedPolicy", message)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Action": "*"},
        {"Action": "s3:ListAllMyBuckets"},
        {"Action": "s3:ListBucket", "Resource": OBJECTS_ARN},
        {"Resource": ["arn:aws:s3:::*", "arn:aws:s3:::${aws:username}-*/*"]},
        {"Resource": None, "NotResource": BUCKET_ARN},
        {"Sid": "Reading1"},
    ],
)
def test_what_an_identity_policy_may_say(changes: dict[str, Any]) -> None:
    (parsed,) = parse_identity_policy(policy_text(identity_statement(**changes))).statements
    assert parsed.principals.everybody


def test_size_of_an_identity_policy_is_counted_without_white_space() -> None:
    def text_of(size: int, spaces: str = "") -> str:
        filled = policy_text(identity_statement(Resource=f"{BUCKET_ARN}/"))
        return filled.replace(f"{BUCKET_ARN}/", f"{BUCKET_ARN}/" + "x" * (size - len("".join(filled.split())))) + spaces

    parse_identity_policy(text_of(IDENTITY_POLICY_LIMIT, spaces=" " * 5000))
    for too_large in (text_of(IDENTITY_POLICY_LIMIT + 1), text_of(1000, spaces=" " * 100_000)):
        with pytest.raises(S3Error, match="Maximum policy size of 2048 characters"):
            parse_identity_policy(too_large)


def test_bucket_policy_cannot_be_about_all_buckets() -> None:
    assert refusal_of(policy_text(statement(Action="s3:ListAllMyBuckets"))) == "Policy has invalid action"
