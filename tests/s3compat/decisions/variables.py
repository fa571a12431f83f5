"""Decisions about policy variables. A table. moto does not know them.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from typing import Any, Final

from s3compat.policy import Outcome
from tests.s3compat.decisions.case import Case, Values
from tests.s3compat.policy_making import statement

ALLOW, NONE = Outcome.ALLOW, Outcome.NONE
_OLD: Final = "2008-10-17"
_PHOTOS: Final = "arn:aws:s3:::photos/"

# Resource of the policy, values of the request, key of the request, decision, version
_IN_RESOURCES: Final[list[tuple[str, Values, str, Outcome, str]]] = [
    ("${aws:username}/*", {"aws:username": "paula"}, "paula/a", ALLOW, ""),
    ("${aws:username}/*", {"aws:username": "paula"}, "max/a", NONE, ""),
    ("${aws:userid}/*", {"aws:userid": "ab12"}, "ab12/a", ALLOW, ""),
    ("${aws:userid}/*", {"aws:username": "ab12"}, "ab12/a", NONE, ""),
    ("${AWS:USERNAME}/*", {"aws:username": "paula"}, "paula/a", ALLOW, ""),
    ("home/${aws:username}", {"aws:username": "paula"}, "home/paula", ALLOW, ""),
    ("home/${aws:username}", {"aws:username": "paula"}, "home/paula/a", NONE, ""),
    ("${aws:username}/${aws:userid}/*", {"aws:username": "p", "aws:userid": "1"}, "p/1/a", ALLOW, ""),
    ("${aws:username}/${aws:userid}/*", {"aws:username": "p"}, "p//a", NONE, ""),
    # What a variable brings in is no wildcard.
    ("${aws:username}/*", {"aws:username": "*"}, "max/a", NONE, ""),
    ("${aws:username}/*", {"aws:username": "*"}, "*/a", ALLOW, ""),
    ("${aws:username}/*", {"aws:username": "?"}, "x/a", NONE, ""),
    # Nor is it a variable.
    ("${aws:username}/*", {"aws:username": "${aws:userid}", "aws:userid": "1"}, "1/a", NONE, ""),
    # Without a value a resource with a variable is none.
    ("${aws:username}/*", {}, "/a", NONE, ""),
    ("${aws:username}/*", {}, "${aws:username}/a", NONE, ""),
    ("${aws:username, 'guest'}/*", {}, "guest/a", ALLOW, ""),
    ("${aws:username, 'guest'}/*", {"aws:username": "paula"}, "paula/a", ALLOW, ""),
    ("${aws:username, 'guest'}/*", {"aws:username": "paula"}, "guest/a", NONE, ""),
    ("${aws:username,'a*'}/*", {}, "ax/a", NONE, ""),
    # More than one value is no value.
    ("${aws:PrincipalTag/team}/*", {"aws:PrincipalTag/team": ("red", "blue")}, "red/a", NONE, ""),
    ("${aws:PrincipalTag/team}/*", {"aws:PrincipalTag/team": "red"}, "red/a", ALLOW, ""),
    ("${s3:ExistingObjectTag/owner}/*", {"s3:ExistingObjectTag/owner": "paula"}, "paula/a", ALLOW, ""),
    ("a${*}b", {}, "a*b", ALLOW, ""),
    ("a${*}b", {}, "axb", NONE, ""),
    ("a${?}b", {}, "a?b", ALLOW, ""),
    ("a${?}b", {}, "axb", NONE, ""),
    ("a${$}b", {}, "a$b", ALLOW, ""),
    ("a${$}{x}", {}, "a${x}", ALLOW, ""),
    ("${aws:username}/*", {"aws:username": "paula"}, "paula/a", NONE, _OLD),
    ("${aws:username}/*", {"aws:username": "paula"}, "${aws:username}/a", ALLOW, _OLD),
    ("a${*}b", {}, "a${x}b", ALLOW, _OLD),
]
# Operator, value of the policy, values of the request, decision
_IN_CONDITIONS: Final[list[tuple[str, str, Values, Outcome]]] = [
    ("StringEquals", "${aws:username}", {"s3:prefix": "paula", "aws:username": "paula"}, ALLOW),
    ("StringEquals", "${aws:username}", {"s3:prefix": "max", "aws:username": "paula"}, NONE),
    ("StringEquals", "${aws:username}", {"s3:prefix": ""}, NONE),
    ("StringEquals", "${aws:username}", {"s3:prefix": "${aws:username}"}, NONE),
    ("StringNotEquals", "${aws:username}", {"s3:prefix": "max", "aws:username": "paula"}, ALLOW),
    ("StringNotEquals", "${aws:username}", {"s3:prefix": "paula", "aws:username": "paula"}, NONE),
    ("StringLike", "${aws:username}/*", {"s3:prefix": "paula/a", "aws:username": "paula"}, ALLOW),
    ("StringLike", "${aws:username}/*", {"s3:prefix": "x/a", "aws:username": "*"}, NONE),
    ("StringLike", "${aws:username, 'all'}/*", {"s3:prefix": "all/a"}, ALLOW),
    ("StringEqualsIgnoreCase", "${aws:username}", {"s3:prefix": "PAULA", "aws:username": "paula"}, ALLOW),
    (
        "ArnLike",
        "arn:aws:iam:::user/${aws:username}",
        {"s3:prefix": "arn:aws:iam:::user/p", "aws:username": "p"},
        ALLOW,
    ),
    (
        "ArnEquals",
        "arn:aws:iam:::user/${aws:username}",
        {"s3:prefix": "arn:aws:iam:::user/q", "aws:username": "p"},
        NONE,
    ),
]


def _in_resource(resource: str, values: Values, key: str, outcome: Outcome, version: str) -> Case:
    return Case(
        name=f"{version} {resource} of {dict(values)}: {key}",
        statements=(statement(Resource=_PHOTOS + resource),),
        resource=_PHOTOS + key,
        values=values,
        outcome=outcome,
        version=version or "2012-10-17",
    )


def _in_condition(operator: str, expected: str, values: Values, outcome: Outcome) -> Case:
    condition: dict[str, Any] = {operator: {"s3:prefix": expected}}
    return Case(
        name=f"{operator} {expected} of {dict(values)}",
        statements=(statement(Condition=condition),),
        values=values,
        outcome=outcome,
    )


CASES: Final = (
    *[_in_resource(*row) for row in _IN_RESOURCES],
    *[_in_condition(*row) for row in _IN_CONDITIONS],
)
