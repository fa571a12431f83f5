"""Decisions about Condition: single examples, and every operator in every form that it can be written in. A table."""

from collections.abc import Iterator
from typing import Any, Final

from s3compat.policy import Outcome
from tests.s3compat.decisions.case import Case
from tests.s3compat.policy_making import statement

HOLDS, FAILS = True, False
# operator, key, values of the policy, value of the request (None: it has none), whether it holds
EXAMPLES: Final[list[tuple[str, str, Any, Any, bool]]] = [
    ("StringEquals", "s3:prefix", "home/", "home/", HOLDS),
    ("StringEquals", "s3:prefix", ["home/", "away/"], "away/", HOLDS),
    ("StringEquals", "s3:prefix", "home/", "Home/", FAILS),
    ("StringEquals", "s3:prefix", "home/*", "home/x", FAILS),
    ("StringEquals", "s3:prefix", "home/", None, FAILS),
    ("StringEquals", "S3:PREFIX", "home/", "home/", HOLDS),
    ("StringEqualsIfExists", "s3:prefix", "home/", None, HOLDS),
    ("StringEqualsIfExists", "s3:prefix", "home/", "away/", FAILS),
    ("StringNotEquals", "s3:prefix", "home/", "away/", HOLDS),
    ("StringNotEquals", "s3:prefix", ["home/", "away/"], "away/", FAILS),
    ("StringNotEquals", "s3:prefix", "home/", None, HOLDS),
    ("StringEqualsIgnoreCase", "s3:prefix", "HOME/", "home/", HOLDS),
    ("StringNotEqualsIgnoreCase", "s3:prefix", "HOME/", "home/", FAILS),
    ("StringLike", "s3:prefix", "home/*", "home/x/y", HOLDS),
    ("StringLike", "s3:prefix", "home/?", "home/xy", FAILS),
    ("StringLike", "s3:prefix", "*", "", HOLDS),
    ("StringLike", "s3:prefix", "*", None, FAILS),
    ("StringNotLike", "s3:prefix", "home/*", "away/", HOLDS),
    ("StringNotLike", "s3:prefix", "home/*", "home/x", FAILS),
    ("StringNotLike", "s3:prefix", "home/*", None, HOLDS),
    ("StringLike", "s3:prefix", "${aws:username}/*", "paula/x", HOLDS),
    ("StringLike", "s3:prefix", "${aws:username}/*", "max/x", FAILS),
    ("StringLike", "s3:prefix", "${AWS:UserName}/*", "paula/x", HOLDS),
    ("StringLike", "s3:prefix", "${aws:sourcevpc}/*", "/x", FAILS),
    ("StringNotLike", "s3:prefix", "${aws:sourcevpc}/*", "x", HOLDS),
    ("StringLike", "s3:prefix", "${aws:sourcevpc, 'none'}/*", "none/x", HOLDS),
    ("StringEquals", "s3:prefix", "a${*}b${?}${$}", "a*b?$", HOLDS),
    ("StringLike", "s3:prefix", "a${*}b", "axb", FAILS),
    ("NumericEquals", "s3:max-keys", "10", "10", HOLDS),
    ("NumericEquals", "s3:max-keys", 10, "10.0", HOLDS),
    ("NumericEquals", "s3:max-keys", "10", "ten", FAILS),
    ("NumericNotEquals", "s3:max-keys", "10", "11", HOLDS),
    ("NumericNotEquals", "s3:max-keys", "10", None, HOLDS),
    ("NumericLessThan", "s3:max-keys", "10", "9", HOLDS),
    ("NumericLessThan", "s3:max-keys", "10", "10", FAILS),
    ("NumericLessThanEquals", "s3:max-keys", "10", "10", HOLDS),
    ("NumericLessThanEquals", "s3:max-keys", "10", None, FAILS),
    ("NumericLessThanEqualsIfExists", "s3:max-keys", "10", None, HOLDS),
    ("NumericGreaterThan", "s3:max-keys", "10", "10.5", HOLDS),
    ("NumericGreaterThanEquals", "s3:max-keys", "10", "9", FAILS),
    ("DateLessThan", "aws:CurrentTime", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", HOLDS),
    ("DateLessThan", "aws:CurrentTime", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+02:00", HOLDS),
    ("DateGreaterThan", "aws:CurrentTime", "2026-01-01", "2026-01-01T00:00:01Z", HOLDS),
    ("DateGreaterThan", "aws:EpochTime", "1767225600", "1767225600", FAILS),
    ("DateGreaterThanEquals", "aws:EpochTime", "1767225600", "2026-01-01T00:00:00Z", HOLDS),
    ("DateEquals", "aws:CurrentTime", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00", HOLDS),
    ("DateNotEquals", "aws:CurrentTime", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", HOLDS),
    ("DateLessThanEquals", "aws:CurrentTime", "2026-01-01T00:00:00Z", "soon", FAILS),
    ("Bool", "aws:SecureTransport", "false", "false", HOLDS),
    ("Bool", "aws:SecureTransport", False, "false", HOLDS),
    ("Bool", "aws:SecureTransport", "TRUE", "true", HOLDS),
    ("Bool", "aws:SecureTransport", "true", "false", FAILS),
    ("Bool", "aws:MultiFactorAuthPresent", "true", None, FAILS),
    ("BoolIfExists", "aws:MultiFactorAuthPresent", "true", None, HOLDS),
    ("BinaryEquals", "s3:VersionId", "YWJj", "abc", HOLDS),
    ("BinaryEquals", "s3:VersionId", "YWJj", "abd", FAILS),
    ("IpAddress", "aws:SourceIp", "192.0.2.0/24", "192.0.2.17", HOLDS),
    ("IpAddress", "aws:SourceIp", "192.0.2.0/24", "192.0.3.17", FAILS),
    ("IpAddress", "aws:SourceIp", "192.0.2.17", "192.0.2.17", HOLDS),
    ("IpAddress", "aws:SourceIp", ["198.51.100.0/24", "2001:db8::/32"], "2001:db8::1", HOLDS),
    ("IpAddress", "aws:SourceIp", "192.0.2.0/24", "::ffff:192.0.2.17", HOLDS),
    ("IpAddress", "aws:SourceIp", "192.0.2.0/24", None, FAILS),
    ("IpAddress", "aws:SourceIp", "192.0.2.0/24", "elsewhere", FAILS),
    ("NotIpAddress", "aws:SourceIp", "192.0.2.0/24", "192.0.3.17", HOLDS),
    ("NotIpAddress", "aws:SourceIp", "192.0.2.0/24", "192.0.2.17", FAILS),
    ("NotIpAddress", "aws:SourceIp", "192.0.2.0/24", None, HOLDS),
    ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:user/pa*", "arn:aws:iam::1:user/paula", HOLDS),
    ("ArnLike", "aws:PrincipalArn", "arn:aws:*:user/paula", "arn:aws:iam::1:user/paula", FAILS),
    ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::?:user/*", "arn:aws:iam::1:user/a:b", HOLDS),
    ("ArnNotEquals", "aws:PrincipalArn", "arn:aws:iam:::user/paula", "arn:aws:iam:::user/max", HOLDS),
    ("ArnNotLike", "aws:PrincipalArn", "arn:aws:iam:::user/*", "arn:aws:iam:::user/max", FAILS),
    ("Null", "s3:VersionId", "true", None, HOLDS),
    ("Null", "s3:VersionId", "false", None, FAILS),
    ("Null", "s3:VersionId", "false", "3", HOLDS),
    ("Null", "s3:VersionId", True, "3", FAILS),
    ("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], ("a", "b"), HOLDS),
    ("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], ("a", "c"), FAILS),
    ("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], None, HOLDS),
    ("ForAllValues:StringNotEquals", "s3:RequestObjectTagKeys", ["a"], ("b", "c"), HOLDS),
    ("ForAllValues:StringNotEquals", "s3:RequestObjectTagKeys", ["a"], ("a", "c"), FAILS),
    ("ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], ("c", "b"), HOLDS),
    ("ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], ("c",), FAILS),
    ("ForAnyValue:StringEquals", "s3:RequestObjectTagKeys", ["a", "b"], None, FAILS),
    ("ForAnyValue:StringNotEquals", "s3:RequestObjectTagKeys", ["a"], ("a", "c"), HOLDS),
    ("ForAnyValue:StringNotEquals", "s3:RequestObjectTagKeys", ["a"], None, FAILS),
    ("ForAnyValue:StringLikeIfExists", "s3:RequestObjectTagKeys", ["a*"], None, HOLDS),
    ("ForAnyValue:StringLike", "s3:RequestObjectTagKeys", ["a*"], ("xa", "ax"), HOLDS),
    ("StringEquals", "s3:ExistingObjectTag/Status", "public", None, FAILS),
]

# operator, values of the policy, two values that are what the operator without Not asks for, two that are not
OPERATORS: Final[list[tuple[str, Any, tuple[str, str], tuple[str, str]]]] = [
    ("StringEquals", ["a", "b"], ("a", "b"), ("c", "A")),
    ("StringEqualsIgnoreCase", ["A", "b"], ("a", "B"), ("c", "aa")),
    ("StringLike", ["a*", "?b"], ("ax", "xb"), ("b", "xa")),
    ("NumericEquals", ["7", "8"], ("7.0", "8"), ("9", "seven")),
    ("NumericLessThan", "7", ("6", "-1"), ("7", "8")),
    ("NumericLessThanEquals", "7", ("6", "7"), ("8", "7.1")),
    ("NumericGreaterThan", "7", ("8", "7.1"), ("7", "6")),
    ("NumericGreaterThanEquals", "7", ("7", "8"), ("6", "6.9")),
    ("DateEquals", "2026-01-01T00:00:00Z", ("2026-01-01T00:00:00Z", "1767225600"), ("2026-01-02T00:00:00Z", "then")),
    ("DateLessThan", "2026-01-01T00:00:00Z", ("2025-12-31T23:59:59Z", "0"), ("2026-01-01T00:00:00Z", "1767225601")),
    ("DateLessThanEquals", "2026-01-01T00:00:00Z", ("2026-01-01T00:00:00Z", "0"), ("2026-01-02T00:00:00Z", "never")),
    ("DateGreaterThan", "2026-01-01T00:00:00Z", ("2026-01-01T00:00:01Z", "1767225601"), ("2026-01-01T00:00:00Z", "0")),
    ("DateGreaterThanEquals", "2026-01-01T00:00:00Z", ("2026-01-01T00:00:00Z", "2027-01-01"), ("2025-01-01", "0")),
    ("Bool", "true", ("true", "TRUE"), ("false", "1")),
    ("BinaryEquals", "YWJj", ("abc", "YWJj"), ("abd", "")),
    ("IpAddress", ["192.0.2.0/24", "2001:db8::/32"], ("192.0.2.1", "2001:db8::9"), ("192.0.3.1", "::1")),
    (
        "ArnEquals",
        "arn:aws:iam::*:user/a*",
        ("arn:aws:iam::1:user/a", "arn:aws:iam:::user/ab"),
        ("arn:aws:iam::1:x", "a"),
    ),
    (
        "ArnLike",
        "arn:aws:iam::?:user/*",
        ("arn:aws:iam::1:user/a", "arn:aws:iam::2:user/b:c"),
        ("arn:aws:iam:::user/a", "*"),
    ),
]
# operator with Not, the one that it is the opposite of
OPPOSITES: Final = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
# Form of the operator, values of the request (y: one of the first two, n: one of the others), whether it holds without
# Not, whether with.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html
FORMS: Final[list[tuple[str, str, bool, bool]]] = [
    ("{}", "y", HOLDS, FAILS),
    ("{}", "n", FAILS, HOLDS),
    ("{}", "", FAILS, HOLDS),
    # AWS leaves open what an operator for one value makes of several: one that fits is enough, and Not is its opposite.
    ("{}", "ny", HOLDS, FAILS),
    ("{}IfExists", "y", HOLDS, FAILS),
    ("{}IfExists", "n", FAILS, HOLDS),
    ("{}IfExists", "", HOLDS, HOLDS),
    ("ForAnyValue:{}", "ny", HOLDS, HOLDS),
    ("ForAnyValue:{}", "nn", FAILS, HOLDS),
    ("ForAnyValue:{}", "yy", HOLDS, FAILS),
    ("ForAnyValue:{}", "", FAILS, FAILS),
    ("ForAnyValue:{}IfExists", "", HOLDS, HOLDS),
    ("ForAllValues:{}", "yy", HOLDS, FAILS),
    ("ForAllValues:{}", "yn", FAILS, FAILS),
    ("ForAllValues:{}", "nn", FAILS, HOLDS),
    ("ForAllValues:{}", "", HOLDS, HOLDS),
    ("ForAllValues:{}IfExists", "yn", FAILS, FAILS),
]


def cases() -> Iterator[Case]:
    """All of them; each is decided as an Allow."""
    for operator, key, expected, value, holds in EXAMPLES:
        yield _case(f"{operator} {key} {expected}: {value}", operator, key, expected, value, holds)
    by_name = {operator: (expected, yes, no) for operator, expected, yes, no in OPERATORS}
    for name in (*by_name, *OPPOSITES):
        expected, yes, no = by_name[OPPOSITES.get(name, name)]
        for form, letters, holds, opposite_holds in FORMS:
            # The first y and the second are different values, and so with n.
            value = tuple(
                [(yes if letter == "y" else no)[letters[:at].count(letter)] for at, letter in enumerate(letters)]
            )
            wanted = opposite_holds if name in OPPOSITES else holds
            operator = form.format(name)
            yield _case(
                f"{operator} with {letters or 'nothing'}", operator, "s3:RequestObjectTagKeys", expected, value, wanted
            )


def _case(name: str, operator: str, key: str, expected: Any, value: Any, holds: bool) -> Case:
    values = {"aws:username": "paula"} | ({} if not value and value != "" else {key: value})
    expressible = operator == "StringEquals" and isinstance(value, str) and isinstance(expected, str | list)
    return Case(
        name=name,
        statements=(statement(Condition={operator: {key: expected}}),),
        values=values,
        outcome=Outcome.ALLOW if holds else Outcome.NONE,
        moto=_moto(expected, holds) if expressible else None,
    )


def _moto(expected: Any, holds: bool) -> str:
    """What makes moto decide otherwise."""
    if "${" in str(expected):
        return "knows no variables"
    return "" if holds else "denies where a condition of an Allow fails"
