"""Decisions about Action, NotAction, Resource and NotResource. A table, asked of moto as well."""

from collections.abc import Iterator
from typing import Final

from s3compat.policy import Outcome
from tests.s3compat.decisions.case import Case
from tests.s3compat.policy_making import statement

ALLOW, NONE = Outcome.ALLOW, Outcome.NONE
EVERYTHING: Final = "arn:aws:s3:::photos*"
_CASE: Final = "compares the case of actions"
_MARK: Final = "does not know the question mark"
_RANGE: Final = "takes brackets for a range of characters"
_LISTS: Final = ["s3:GetObject", "s3:PutObject"]

# Pattern of actions, action of the request, whether it is of the pattern, why moto sees that otherwise
_ACTIONS: Final[list[tuple[str | list[str], str, bool, str]]] = [
    ("s3:GetObject", "s3:GetObject", True, ""),
    ("s3:GetObject", "s3:GetObjectAcl", False, ""),
    ("s3:GetObject", "s3:GetObjectVersion", False, ""),
    ("s3:GetObject", "s3:ListBucket", False, ""),
    ("S3:getobject", "s3:GetObject", True, _CASE),
    ("s3:GETOBJECT", "s3:GetObject", True, _CASE),
    ("s3:Get*", "s3:GetObject", True, ""),
    ("s3:Get*", "s3:GetBucketPolicy", True, ""),
    ("s3:Get*", "s3:PutObject", False, ""),
    ("s3:*Object", "s3:PutObject", True, ""),
    ("s3:*Object", "s3:PutObjectAcl", False, ""),
    ("s3:*Object*", "s3:PutObjectAcl", True, ""),
    ("s3:G*A*l", "s3:GetObjectAcl", True, ""),
    ("s3:G*A*l", "s3:GetObject", False, ""),
    ("s3:*", "s3:DeleteBucketPolicy", True, ""),
    ("*", "s3:DeleteBucketPolicy", True, ""),
    ("s3:?etObject", "s3:GetObject", True, _MARK),
    ("s3:GetObjec?", "s3:GetObject", True, _MARK),
    ("s3:GetObjectAc?", "s3:GetObject", False, ""),
    (_LISTS, "s3:PutObject", True, ""),
    (_LISTS, "s3:DeleteObject", False, ""),
    (["s3:List*", "s3:Get*"], "s3:GetObject", True, ""),
]
# Pattern of resources, resource of the request, whether it is of the pattern, why moto sees that otherwise
_RESOURCES: Final[list[tuple[str | list[str], str, bool, str]]] = [
    ("arn:aws:s3:::photos/a.jpg", "arn:aws:s3:::photos/a.jpg", True, ""),
    ("arn:aws:s3:::photos/a.jpg", "arn:aws:s3:::photos/b.jpg", False, ""),
    ("arn:aws:s3:::photos/a.jpg", "arn:aws:s3:::photos/A.jpg", False, ""),
    ("arn:aws:s3:::photos/a.jpg", "arn:aws:s3:::photos/a-jpg", False, "takes a dot for any character"),
    ("arn:aws:s3:::photos/*", "arn:aws:s3:::photos/a.jpg", True, ""),
    ("arn:aws:s3:::photos/*", "arn:aws:s3:::photos/a/b/c.jpg", True, ""),
    ("arn:aws:s3:::photos/*", "arn:aws:s3:::photos/", True, ""),
    ("arn:aws:s3:::photos/*", "arn:aws:s3:::photos", False, ""),
    ("arn:aws:s3:::photos*", "arn:aws:s3:::photos", True, ""),
    ("arn:aws:s3:::photos*", "arn:aws:s3:::photos/a", True, ""),
    ("arn:aws:s3:::photos/a/*", "arn:aws:s3:::photos/a.jpg", False, ""),
    ("arn:aws:s3:::photos/a/*", "arn:aws:s3:::photos/a/", True, ""),
    ("arn:aws:s3:::photos/*/c.jpg", "arn:aws:s3:::photos/a/b/c.jpg", True, ""),
    ("arn:aws:s3:::photos/*/c.jpg", "arn:aws:s3:::photos/c.jpg", False, ""),
    ("arn:aws:s3:::*/*", "arn:aws:s3:::photos/a", True, ""),
    ("arn:aws:s3:::*/*", "arn:aws:s3:::photos", False, ""),
    ("arn:aws:s3:::phot?s/*", "arn:aws:s3:::photos/a", True, _MARK),
    ("arn:aws:s3:::photos/?.jpg", "arn:aws:s3:::photos/a.jpg", True, _MARK),
    ("arn:aws:s3:::photos/?.jpg", "arn:aws:s3:::photos/ab.jpg", False, ""),
    ("arn:aws:s3:::photos/??.jpg", "arn:aws:s3:::photos/a.jpg", False, ""),
    ("arn:aws:s3:::photos/[a].jpg", "arn:aws:s3:::photos/[a].jpg", True, _RANGE),
    ("arn:aws:s3:::photos/[a].jpg", "arn:aws:s3:::photos/a.jpg", False, _RANGE),
    (["arn:aws:s3:::photos/x", "arn:aws:s3:::photos/a*"], "arn:aws:s3:::photos/a.jpg", True, ""),
    (["arn:aws:s3:::photos/x", "arn:aws:s3:::photos/y"], "arn:aws:s3:::photos/a.jpg", False, ""),
    ("arn:aws:s3:::photos/ü*", "arn:aws:s3:::photos/über", True, ""),
    ("arn:aws:s3:::photos/a b", "arn:aws:s3:::photos/a b", True, ""),
    ("arn:aws:s3:::photos/**", "arn:aws:s3:::photos/a", True, ""),
]


def cases() -> Iterator[Case]:
    """Each row twice: as it is, and as everything but that."""
    for pattern, action, matches, moto in _ACTIONS:
        for field, holds in (("Action", matches), ("NotAction", not matches)):
            yield Case(
                name=f"{field} {pattern}: {action}",
                statements=(statement(**{"Action": None, "Resource": EVERYTHING, field: pattern}),),
                action=action,
                outcome=ALLOW if holds else NONE,
                moto=moto,
            )
    for pattern, resource, matches, moto in _RESOURCES:
        for field, holds in (("Resource", matches), ("NotResource", not matches)):
            yield Case(
                name=f"{field} {pattern}: {resource}",
                statements=(statement(**{"Action": "s3:*", "Resource": None, field: pattern}),),
                resource=resource,
                outcome=ALLOW if holds else NONE,
                # moto takes a statement without Resource for one about everything.
                moto=moto if field == "Resource" else None,
            )
