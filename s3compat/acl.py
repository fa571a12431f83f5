"""Access control lists: who is granted what on a bucket or an object, and how a request says so. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html

A grantee is a user (by canonical id) or one of three groups (by URI). Requests may also name users by e-mail address:
those are `Grantee`s of kind EMAIL until the caller, who knows the users, resolves them with `resolve`. No storage and
no decision about ownership settings lives here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from s3compat.errors import S3Error
from s3compat.request import Headers

#: AWS: "An ACL can have up to 100 grants."
GRANTS_LIMIT: Final = 100

ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS: Final = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY: Final = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY})
#: What AWS counts as public: everybody, and everybody who has any account.
PUBLIC_GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS})

#: Whom AWS makes the owner of what an unsigned request writes.
ANONYMOUS_ID: Final = "65a011a29cdf8ec533ec3d1ccaae921c"
#: The reader of machine images whom aws-exec-read names at AWS.
_EC2_ID: Final = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"

CANNED_HEADER: Final = "x-amz-acl"


class Permission(StrEnum):
    """What a grant allows; FULL_CONTROL is all of the others."""

    FULL_CONTROL = "FULL_CONTROL"
    READ = "READ"
    WRITE = "WRITE"
    READ_ACP = "READ_ACP"
    WRITE_ACP = "WRITE_ACP"


class GranteeKind(StrEnum):
    """How a grantee is named, by the words of its document."""

    USER = "CanonicalUser"
    GROUP = "Group"
    EMAIL = "AmazonCustomerByEmail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grantee:
    """`name` is a canonical id, a group's URI or an e-mail address."""

    kind: GranteeKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One permission for one grantee."""

    grantee: Grantee
    permission: Permission


Grants = tuple[Grant, ...]

GRANT_HEADERS: Final[Mapping[str, Permission]] = {
    "x-amz-grant-full-control": Permission.FULL_CONTROL,
    "x-amz-grant-read": Permission.READ,
    "x-amz-grant-write": Permission.WRITE,
    "x-amz-grant-read-acp": Permission.READ_ACP,
    "x-amz-grant-write-acp": Permission.WRITE_ACP,
}

_GROUP_GRANTS: Final[Mapping[str, tuple[tuple[str, Permission], ...]]] = {
    "private": (),
    "public-read": ((ALL_USERS, Permission.READ),),
    "public-read-write": ((ALL_USERS, Permission.READ), (ALL_USERS, Permission.WRITE)),
    "authenticated-read": ((AUTHENTICATED_USERS, Permission.READ),),
    "log-delivery-write": ((LOG_DELIVERY, Permission.WRITE), (LOG_DELIVERY, Permission.READ_ACP)),
    "aws-exec-read": (),
    "bucket-owner-read": (),
    "bucket-owner-full-control": (),
}
#: Canned ACLs that name the owner of the bucket; for a bucket itself they are private.
_BUCKET_OWNER_GRANTS: Final[Mapping[str, Permission]] = {
    "bucket-owner-read": Permission.READ,
    "bucket-owner-full-control": Permission.FULL_CONTROL,
}
BUCKET_OWNER_FULL_CONTROL: Final = "bucket-owner-full-control"
PUBLIC_CANNED: Final = frozenset({"public-read", "public-read-write", "authenticated-read"})

_GRANTEE_FIELD: Final = {"id": GranteeKind.USER, "uri": GranteeKind.GROUP, "emailaddress": GranteeKind.EMAIL}
_HEADER_GRANTEE: Final = re.compile(r'\s*([A-Za-z]{1,20})\s*=\s*(?:"([^"]*)"|([^",\s]*))\s*\Z')


def user(canonical_id: str) -> Grantee:
    """The grantee of this canonical id."""
    return Grantee(kind=GranteeKind.USER, name=canonical_id)


def group(uri: str) -> Grantee:
    """The group of this URI."""
    return Grantee(kind=GranteeKind.GROUP, name=uri)


def private(owner_id: str) -> Grants:
    """The ACL of whatever was written without one: its owner alone."""
    return (Grant(grantee=user(owner_id), permission=Permission.FULL_CONTROL),)


def canned(name: str, *, owner_id: str, bucket_owner_id: str) -> Grants:
    """The grants that a canned ACL stands for; raises InvalidArgument for an unknown name.

    For a bucket both ids are the same.
    """
    if name not in _GROUP_GRANTS:
        raise S3Error("InvalidArgument", ArgumentName=CANNED_HEADER, ArgumentValue=name)
    grants = [Grant(grantee=group(uri), permission=permission) for uri, permission in _GROUP_GRANTS[name]]
    grants += private(owner_id)
    if name == "aws-exec-read":
        grants.append(Grant(grantee=user(_EC2_ID), permission=Permission.READ))
    to_bucket_owner = _BUCKET_OWNER_GRANTS.get(name)
    if to_bucket_owner is not None and bucket_owner_id != owner_id:
        grants.append(Grant(grantee=user(bucket_owner_id), permission=to_bucket_owner))
    return tuple(grants)


def has_acl_headers(headers: Headers) -> bool:
    """Whether a request gives an ACL in its headers."""
    return CANNED_HEADER in headers or any(name in headers for name in GRANT_HEADERS)


def grants_from_headers(headers: Headers) -> Grants | None:
    """The grants of x-amz-grant-*, None where there are none.

    Raises InvalidArgument, InvalidRequest (beside x-amz-acl).
    """
    given = [(name, permission) for name, permission in GRANT_HEADERS.items() if name in headers]
    if not given:
        return None
    if CANNED_HEADER in headers:
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    grants = [
        Grant(grantee=grantee, permission=permission)
        for name, permission in given
        for grantee in _header_grantees(name, headers.get(name) or "")
    ]
    return _within_limit(grants)


def _header_grantees(name: str, text: str) -> list[Grantee]:
    grantees = []
    for one in text.split(","):
        match = _HEADER_GRANTEE.match(one)
        kind = _GRANTEE_FIELD.get(match.group(1).lower()) if match else None
        if match is None or kind is None:
            raise S3Error(
                "InvalidArgument", "Argument format not recognized", ArgumentName=name, ArgumentValue=text[:1024]
            )
        grantees.append(_checked(kind, match.group(2) or match.group(3) or ""))
    return grantees


def _checked(kind: GranteeKind, name: str) -> Grantee:
    if kind is GranteeKind.GROUP and name not in GROUPS:
        raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName="Group/URI", ArgumentValue=name[:1024])
    if not name or any(character.isspace() for character in name):
        what = "Invalid id" if kind is GranteeKind.USER else "Invalid e-mail address"
        raise S3Error("InvalidArgument", what, ArgumentName=f"{kind.value}/ID", ArgumentValue=name[:1024])
    return Grantee(kind=kind, name=name)


def grants_from_document(document: Mapping[str, Any], *, owner_id: str) -> Grants:
    """The grants of an AccessControlPolicy under AWS's member names.

    Raises MalformedACLError, InvalidArgument, AccessDenied (it names another owner: that cannot be changed).
    """
    owner = document.get("Owner") or {}
    if "Grants" not in document or not owner.get("ID"):
        raise S3Error("MalformedACLError")
    if owner["ID"] != owner_id:
        raise S3Error("AccessDenied")
    return _within_limit([_document_grant(entry) for entry in document["Grants"] or ()])


def _document_grant(entry: Mapping[str, Any]) -> Grant:
    grantee = entry.get("Grantee")
    permission = entry.get("Permission")
    if not grantee or not isinstance(permission, str) or permission not in Permission.__members__:
        raise S3Error("MalformedACLError")
    # Many clients leave xsi:type out; which member is there tells as much.
    for kind, member in ((GranteeKind.USER, "ID"), (GranteeKind.GROUP, "URI"), (GranteeKind.EMAIL, "EmailAddress")):
        name = grantee.get(member)
        if name and grantee.get("Type", kind.value) == kind.value:
            return Grant(grantee=_checked(kind, name.strip()), permission=Permission(permission))
    raise S3Error("MalformedACLError")


def _within_limit(grants: Sequence[Grant]) -> Grants:
    unique = tuple(dict.fromkeys(grants))
    if len(unique) > GRANTS_LIMIT:
        raise S3Error("MalformedACLError", f"An ACL can have up to {GRANTS_LIMIT} grants.")
    return unique


def emails(grants: Iterable[Grant]) -> tuple[str, ...]:
    """The e-mail addresses to be resolved, each once."""
    named = [grant.grantee.name for grant in grants if grant.grantee.kind is GranteeKind.EMAIL]
    return tuple(dict.fromkeys(named))


def user_ids(grants: Iterable[Grant]) -> tuple[str, ...]:
    """The canonical ids among the grantees, each once."""
    named = [grant.grantee.name for grant in grants if grant.grantee.kind is GranteeKind.USER]
    return tuple(dict.fromkeys(named))


def resolve(grants: Grants, ids: Mapping[str, str]) -> Grants:
    """The same grants with users in place of e-mail addresses; raises UnresolvableGrantByEmailAddress."""
    resolved = []
    for grant in grants:
        grantee = grant.grantee
        if grantee.kind is GranteeKind.EMAIL:
            if grantee.name not in ids:
                raise S3Error("UnresolvableGrantByEmailAddress", EmailAddress=grantee.name)
            grantee = user(ids[grantee.name])
        resolved.append(Grant(grantee=grantee, permission=grant.permission))
    return tuple(dict.fromkeys(resolved))


def grants_permission(
    grants: Grants, requester_id: str, permission: Permission, *, ignore_public: bool = False
) -> bool:
    """Whether an ACL lets this requester do this.

    An anonymous requester is ANONYMOUS_ID. `ignore_public` leaves out the grants to everybody (IgnorePublicAcls).
    """
    return any(
        grant.permission in (permission, Permission.FULL_CONTROL)
        and _includes(grant.grantee, requester_id, ignore_public)
        for grant in grants
    )


def _includes(grantee: Grantee, requester_id: str, ignore_public: bool) -> bool:
    if grantee.kind is GranteeKind.USER:
        return grantee.name == requester_id and not (ignore_public and requester_id == ANONYMOUS_ID)
    if ignore_public or grantee.kind is GranteeKind.EMAIL:
        return False
    if grantee.name == ALL_USERS:
        return True
    return grantee.name == AUTHENTICATED_USERS and requester_id != ANONYMOUS_ID


def is_public(grants: Grants) -> bool:
    """Whether an ACL grants anything to everybody, or to everybody with an account."""
    return any(grant.grantee.name in PUBLIC_GROUPS for grant in grants)


def names_only(grants: Grants, owner_id: str) -> bool:
    """Whether nobody but this user is granted anything."""
    return all(grant.grantee == user(owner_id) for grant in grants)


# Stored form: grants apart by a space, each a letter for the permission, one for the grantee, and the user's id.
# The letters are stored: never reuse one. "-" is the ACL without grants, "" is no ACL: the owner alone.
_PERMISSION_LETTERS: Final = {
    Permission.FULL_CONTROL: "F",
    Permission.READ: "R",
    Permission.WRITE: "W",
    Permission.READ_ACP: "r",
    Permission.WRITE_ACP: "w",
}
_GROUP_LETTERS: Final = {ALL_USERS: "*", AUTHENTICATED_USERS: "A", LOG_DELIVERY: "L"}
_USER_LETTER: Final = "u"
_NO_GRANTS: Final = "-"
_LETTER_PERMISSIONS: Final = {letter: permission for permission, letter in _PERMISSION_LETTERS.items()}
_LETTER_GROUPS: Final = {letter: uri for uri, letter in _GROUP_LETTERS.items()}


def encode_grants(grants: Grants, owner_id: str) -> str:
    """The stored form of resolved grants; empty for what `private` of the owner is."""
    if grants == private(owner_id):
        return ""
    return " ".join([_encode_grant(grant) for grant in grants]) or _NO_GRANTS


def _encode_grant(grant: Grant) -> str:
    grantee = grant.grantee
    if grantee.kind is GranteeKind.USER:
        return _PERMISSION_LETTERS[grant.permission] + _USER_LETTER + grantee.name
    return _PERMISSION_LETTERS[grant.permission] + _GROUP_LETTERS[grantee.name]


@lru_cache(maxsize=4096)
def decode_grants(text: str, owner_id: str) -> Grants:
    """The inverse of `encode_grants`. Raises ValueError for text that it did not make."""
    if not text:
        return private(owner_id)
    if text == _NO_GRANTS:
        return ()
    return tuple([_decode_grant(one) for one in text.split(" ")])


def _decode_grant(text: str) -> Grant:
    try:
        permission = _LETTER_PERMISSIONS[text[0]]
        grantee = user(text[2:]) if text[1] == _USER_LETTER else group(_LETTER_GROUPS[text[1]])
    except LookupError as error:
        raise ValueError(f"not a stored grant: {text!r}") from error
    return Grant(grantee=grantee, permission=permission)
