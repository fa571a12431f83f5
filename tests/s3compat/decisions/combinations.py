"""Decisions of several statements, and of users' policies. A table, asked of moto as well."""

from typing import Any, Final

from s3compat.policy import Outcome
from tests.s3compat.decisions.case import Case
from tests.s3compat.policy_making import NOBODY, statement

ALLOW, DENY, NONE = Outcome.ALLOW, Outcome.DENY, Outcome.NONE
_ANY: Final = statement()
_NO_A: Final = statement(Effect="Deny", Resource="arn:aws:s3:::photos/a*")
_NO_B: Final = statement(Effect="Deny", Resource="arn:aws:s3:::photos/b*")
_NO_WRITING: Final = statement(Effect="Deny", Action="s3:Put*")
_ALL_BUT_READING: Final = statement(Effect="Deny", Action=None, NotAction="s3:GetObject")
_INSECURE: Final = statement(Effect="Deny", Action="s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}})

_SEVERAL: Final[list[tuple[str, tuple[dict[str, Any], ...], Outcome]]] = [
    ("an allow", (_ANY,), ALLOW),
    ("a deny alone", (_NO_A,), DENY),
    ("a deny of something else alone", (_NO_B,), NONE),
    ("deny after allow", (_ANY, _NO_A), DENY),
    ("deny before allow", (_NO_A, _ANY), DENY),
    ("deny between allows", (_ANY, _NO_A, _ANY), DENY),
    ("deny of something else", (_ANY, _NO_B), ALLOW),
    ("deny of another action", (_ANY, _NO_WRITING), ALLOW),
    ("deny of all other actions", (_ANY, _ALL_BUT_READING), ALLOW),
    ("two allows of which one is about it", (statement(Action="s3:PutObject"), _ANY), ALLOW),
    ("two allows of which none is about it", (statement(Action="s3:PutObject"), statement(Action="s3:Del*")), NONE),
    (
        "action of one and resource of another",
        (statement(Action="s3:PutObject"), statement(Resource="arn:aws:s3:::photos/b")),
        NONE,
    ),
]


def _bare(*statements: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple([{name: value for name, value in one.items() if name != "Principal"} for one in statements])


_IDENTITY: Final[list[tuple[dict[str, Any], str, str, Outcome, str | None]]] = [
    ({"Action": "*", "Resource": "*"}, "s3:GetObject", "arn:aws:s3:::photos/a", ALLOW, ""),
    ({"Action": "s3:*", "Resource": "*"}, "s3:ListAllMyBuckets", "arn:aws:s3:::*", ALLOW, ""),
    ({"Action": "s3:ListAllMyBuckets", "Resource": "*"}, "s3:ListAllMyBuckets", "arn:aws:s3:::*", ALLOW, ""),
    # Written so in AWS's older examples.
    (
        {"Action": "s3:ListAllMyBuckets", "Resource": "arn:aws:s3:::*"},
        "s3:ListAllMyBuckets",
        "arn:aws:s3:::*",
        ALLOW,
        "",
    ),
    (
        {"Action": "s3:ListAllMyBuckets", "Resource": "arn:aws:s3:::photos"},
        "s3:ListAllMyBuckets",
        "arn:aws:s3:::*",
        NONE,
        "",
    ),
    (
        {"Action": "s3:CreateBucket", "Resource": "arn:aws:s3:::ada-*"},
        "s3:CreateBucket",
        "arn:aws:s3:::ada-1",
        ALLOW,
        "",
    ),
    (
        {"Action": "s3:CreateBucket", "Resource": "arn:aws:s3:::ada-*"},
        "s3:CreateBucket",
        "arn:aws:s3:::max-1",
        NONE,
        "",
    ),
    (
        {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::*/public/*"},
        "s3:GetObject",
        "arn:aws:s3:::b/public/a",
        ALLOW,
        "",
    ),
    ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::*/public/*"}, "s3:GetObject", "arn:aws:s3:::b/a", NONE, ""),
    ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::other/*"}, "s3:GetObject", "arn:aws:s3:::photos/a", NONE, ""),
    ({"NotAction": "s3:Delete*", "Resource": "*"}, "s3:GetObject", "arn:aws:s3:::photos/a", ALLOW, ""),
    ({"NotAction": "s3:Delete*", "Resource": "*"}, "s3:DeleteObject", "arn:aws:s3:::photos/a", NONE, ""),
    ({"Action": "s3:*", "NotResource": "arn:aws:s3:::photos/*"}, "s3:GetObject", "arn:aws:s3:::photos/a", NONE, None),
    ({"Action": "s3:*", "NotResource": "arn:aws:s3:::photos/*"}, "s3:GetObject", "arn:aws:s3:::films/a", ALLOW, None),
    ({"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"}, "s3:PutObject", "arn:aws:s3:::photos/a", DENY, ""),
    ({"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"}, "s3:GetObject", "arn:aws:s3:::photos/a", NONE, ""),
    # AWS checks no combination of actions and resources in a user's policy: this one allows nothing.
    (
        {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::photos/*"},
        "s3:ListBucket",
        "arn:aws:s3:::photos",
        NONE,
        "",
    ),
]

CASES: Final = (
    *[Case(name=name, statements=statements, outcome=outcome, moto="") for name, statements, outcome in _SEVERAL],
    Case(
        name="insecure transport",
        statements=(_ANY, _INSECURE),
        values={"aws:SecureTransport": "false"},
        outcome=DENY,
        moto="",
    ),
    Case(
        name="secure transport",
        statements=(_ANY, _INSECURE),
        values={"aws:SecureTransport": "true"},
        outcome=ALLOW,
        moto="knows no operator but StringEquals, and takes others for fulfilled",
    ),
    *[
        Case(
            name=f"identity policy {changes}: {action} {resource}",
            statements=({"Effect": "Allow"} | changes,),
            action=action,
            resource=resource,
            outcome=outcome,
            identity=True,
            moto=moto,
        )
        for changes, action, resource, outcome, moto in _IDENTITY
    ],
    # An identity policy is about its user, whoever that is.
    Case(name="identity policy of anybody", statements=_bare(_ANY), outcome=ALLOW, identity=True, principals=NOBODY),
    Case(name="identity policy denies", statements=_bare(_ANY, _NO_A), outcome=DENY, identity=True, moto=""),
)
