"""The condition keys of policies: what a request, its sender and the object that it is about have for each.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html

A key is looked up only when a policy asks for it. One that is not here has no value, as for a request that lacks it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from math import ceil
from urllib.parse import unquote

from gateway.bucket_tags import bucket_tags
from gateway.credentials import Identity
from gateway.index.records import BucketRecord, ObjectRecord
from s3compat.errors import S3Error
from s3compat.policy_conditions import as_time
from s3compat.request import S3Request
from s3compat.signing import SignatureClaim
from s3compat.tags import Tags, parse_tagging_header

Texts = Sequence[str]
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A request as access decisions see it: who sent it, from where, when and how signed."""

    identity: Identity
    request: S3Request
    now: datetime
    region: str
    client_address: str | None
    claim: SignatureClaim | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an action is on: `record` is the object that is there, `tags` are those that the request's body sets."""

    bucket: BucketRecord
    key: str | None
    version_id: str | None = None
    record: ObjectRecord | None = None
    tags: Tags | None = None
    listing_prefix: str | None = None
    """Set where ListBucket is asked about a single key."""
    upload_headers: Mapping[str, str] | None = None
    """Of a part of an upload: what the request that began the upload said of encryption, by header names."""
    stated: Mapping[str, str] = field(default_factory=dict)
    """What operation and body say in place of the headers, by the lower-case names of condition keys; "" is nothing."""


@lru_cache(maxsize=1024)
def principals_of(identity: Identity) -> frozenset[tuple[str, str]]:
    """The names under which a policy may mean this user, who is an account of its own; nobody's for the anonymous."""
    if identity.is_anonymous:
        return frozenset()
    canonical_id = identity.canonical_id
    return frozenset(
        {
            ("CanonicalUser", canonical_id),
            ("AWS", canonical_id),
            ("AWS", f"arn:aws:iam::{canonical_id}:root"),
            ("AWS", f"arn:aws:iam:::user/{canonical_id}"),
            ("AWS", arn_of(identity)),
        }
    )


def arn_of(identity: Identity) -> str:
    """How a user is called where AWS shows an ARN."""
    return f"arn:aws:iam:::user/{identity.name}"


class ConditionValues:
    """The values of one request for one subject, by the lower-case names of their keys."""

    def __init__(self, sender: Sender, subject: Subject) -> None:
        self._sender = sender
        self._subject = subject

    def __call__(self, name: str) -> Texts | None:
        """The values of a key, None where the request has none."""
        if name in self._subject.stated:
            stated = self._subject.stated[name]
            return (stated,) if stated else None
        if name.startswith("s3:x-amz-") or name in _HEADER_KEYS:
            return self._header(_HEADER_KEYS.get(name, name.removeprefix("s3:")))
        if name in _QUERY_KEYS:
            return self._query(_QUERY_KEYS[name])
        base, slash, tag = name.partition("/")
        if slash:
            return self._tag(base, tag)
        reader = _READERS.get(name)
        return None if reader is None else reader(self._sender, self._subject)

    def _header(self, name: str) -> Texts | None:
        value = self._sender.request.headers.get(name)
        if value is None and self._subject.upload_headers is not None:
            value = self._subject.upload_headers.get(name)
        if value is not None and name == "x-amz-copy-source":
            value = unquote(value).removeprefix("/")
        return None if value is None else (value,)

    def _query(self, name: str) -> Texts | None:
        subject = self._subject
        if name == "prefix" and subject.listing_prefix is not None:
            return (subject.listing_prefix,)
        value = self._sender.request.query.get(name)
        return None if value is None else (value,)

    def _tag(self, base: str, tag: str) -> Texts | None:
        record = self._subject.record
        if base == "s3:existingobjecttag":
            tags: Tags = record.tags if record is not None else ()
        elif base == "s3:requestobjecttag":
            tags = _request_tags(self._sender, self._subject)
        elif base == "s3:buckettag" or (base == "aws:resourcetag" and self._subject.key is None):
            tags = bucket_tags(self._subject.bucket)
        else:
            return None
        # Keys of conditions have no case, those of tags have: a policy's `Security` finds the tag `security`, too.
        return tuple([value for key, value in tags if key.lower() == tag]) or None


def _request_tags(sender: Sender, subject: Subject) -> Tags:
    if subject.tags is not None:
        return subject.tags
    try:
        return parse_tagging_header(sender.request.headers.get("x-amz-tagging"))
    except S3Error:
        return ()  # the handler refuses the request for it


def _request_tag_keys(sender: Sender, subject: Subject) -> Texts | None:
    return tuple([key for key, _ in _request_tags(sender, subject)]) or None


def _source_ip(sender: Sender, subject: Subject) -> Texts | None:
    return None if sender.client_address is None else (sender.client_address,)


def _is_version_2(sender: Sender) -> bool:
    """Of a sender who is known and has no claim of Version 4. Forms of either version say nothing here."""
    request = sender.request
    return not sender.identity.is_anonymous and (
        "AWSAccessKeyId" in request.query or (request.headers.get("authorization") or "").startswith("AWS ")
    )


def _auth_type(sender: Sender, subject: Subject) -> Texts | None:
    if sender.claim is None and _is_version_2(sender):
        return ("REST-QUERY-STRING",) if "AWSAccessKeyId" in sender.request.query else ("REST-HEADER",)
    if sender.claim is None:
        return None
    return ("REST-QUERY-STRING",) if sender.claim.presigned else ("REST-HEADER",)


def _signature_age_ms(sender: Sender, subject: Subject) -> Texts | None:
    if sender.claim is None:
        return None
    return (str(int((sender.now - sender.claim.timestamp).total_seconds() * 1000)),)


def _signature_version(sender: Sender, subject: Subject) -> Texts | None:
    if sender.claim is None:
        return ("AWS",) if _is_version_2(sender) else None
    return ("AWS4-HMAC-SHA256",)


def _of_user(read: Callable[[Identity], str]) -> "Reader":
    def reader(sender: Sender, subject: Subject) -> Texts | None:
        return None if sender.identity.is_anonymous else (read(sender.identity),)

    return reader


def _remaining_retention_days(sender: Sender, subject: Subject) -> Texts | None:
    """Of the retention that the request asks for, in whole days that have begun.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html#object-lock-managing-retention-limits
    """
    found = ConditionValues(sender, subject)("s3:object-lock-retain-until-date")
    until = as_time(found[0]) if found else None
    return None if until is None else (str(ceil((until - sender.now).total_seconds() / _DAY_S)),)


def _version_id(sender: Sender, subject: Subject) -> Texts | None:
    return None if subject.version_id is None else (subject.version_id,)


Reader = Callable[[Sender, Subject], Texts | None]

_HEADER_KEYS: Mapping[str, str] = {
    "aws:referer": "referer",
    "aws:useragent": "user-agent",
    "s3:if-match": "if-match",
    "s3:if-none-match": "if-none-match",
    "s3:object-lock-mode": "x-amz-object-lock-mode",
    "s3:object-lock-retain-until-date": "x-amz-object-lock-retain-until-date",
    "s3:object-lock-legal-hold": "x-amz-object-lock-legal-hold",
}
_QUERY_KEYS: Mapping[str, str] = {
    "s3:prefix": "prefix",
    "s3:delimiter": "delimiter",
    "s3:max-keys": "max-keys",
}
_READERS: Mapping[str, Reader] = {
    "aws:currenttime": lambda sender, subject: (sender.now.isoformat(),),
    "aws:epochtime": lambda sender, subject: (str(int(sender.now.timestamp())),),
    "aws:sourceip": _source_ip,
    "aws:securetransport": lambda sender, subject: ("true" if sender.request.secure else "false",),
    "aws:requestedregion": lambda sender, subject: (sender.region,),
    "aws:principalarn": _of_user(arn_of),
    "aws:principalaccount": _of_user(lambda identity: identity.canonical_id),
    "aws:userid": _of_user(lambda identity: identity.canonical_id),
    "aws:username": _of_user(lambda identity: identity.name),
    "aws:principaltype": lambda sender, subject: ("Anonymous" if sender.identity.is_anonymous else "User",),
    "aws:principalisawsservice": lambda sender, subject: ("false",),
    "aws:viaawsservice": lambda sender, subject: ("false",),
    "aws:resourceaccount": lambda sender, subject: (subject.bucket.owner_id,),
    "s3:resourceaccount": lambda sender, subject: (subject.bucket.owner_id,),
    "s3:authtype": _auth_type,
    "s3:signatureage": _signature_age_ms,
    "s3:signatureversion": _signature_version,
    "s3:object-lock-remaining-retention-days": _remaining_retention_days,
    "s3:versionid": _version_id,
    "s3:requestobjecttagkeys": _request_tag_keys,
}
