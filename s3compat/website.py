"""Websites: a bucket's website configuration, and what a request for a page comes to under it. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketWebsite.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-page-redirect.html
"""

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from s3compat.errors import S3Error

RULES_LIMIT: Final = 50
#: What AWS takes, whatever its message says.
REDIRECT_CODES: Final = frozenset({"301", "302", "303", "304", "305", "307", "308"})
DEFAULT_REDIRECT_STATUS: Final = 301
#: Of an object with x-amz-website-redirect-location.
OBJECT_REDIRECT_STATUS: Final = 301
#: To a page's address with the slash that was missing.
SLASH_REDIRECT_STATUS: Final = 302

#: RFC 9110 section 15.
_PHRASES: Final[Mapping[int, str]] = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_HOST_NAME = re.compile(r"[A-Za-z0-9._\[\]:-]{1,255}")
_PATH_SAFE: Final = "/~!$&'()*+,;=:@-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Where a request is sent instead; None leaves that part as it was."""

    host: str | None = None
    protocol: str | None = None
    status: int = DEFAULT_REDIRECT_STATUS
    key: str | None = None
    key_prefix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """A redirect and when it is made."""

    redirect: Redirect
    prefix: str = ""
    error_status: int | None = None
    """None: whatever the answer would be."""

    def applies(self, key: str, status: int | None) -> bool:
        """Before a page was looked for `status` is None; rules about errors apply after that alone."""
        return self.error_status == status and key.startswith(self.prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Website:
    """A website configuration. With `redirect_all` nothing else counts."""

    index_suffix: str = ""
    error_key: str | None = None
    redirect_all: Redirect | None = None
    rules: tuple[RoutingRule, ...] = ()

    def page_key(self, key: str) -> str:
        """The key of the object that a request is for: the index document of a directory."""
        return key + self.index_suffix if not key or key.endswith("/") else key

    def directory_key(self, key: str) -> str | None:
        """The index document that there would be, had the request ended in a slash; None where it did."""
        return f"{key}/{self.index_suffix}" if key and not key.endswith("/") else None

    def rule_for(self, key: str, status: int | None = None) -> RoutingRule | None:
        """The first rule for a request's key, before (None) or after a page was looked for."""
        return next((rule for rule in self.rules if rule.applies(key, status)), None)


def encode_document(document: Mapping[str, Any]) -> bytes:
    """A document that `parse_website` took, for storing."""
    return json.dumps(document, separators=(",", ":")).encode()


def decode_document(stored: bytes) -> dict[str, Any]:
    """The inverse of `encode_document`."""
    document: dict[str, Any] = json.loads(stored)
    return document


def parse_website(document: Mapping[str, Any]) -> Website:
    """What a WebsiteConfiguration says. Raises MalformedXML, InvalidArgument, InvalidRequest."""
    everything = document.get("RedirectAllRequestsTo")
    if everything is not None:
        if len(document) > 1:
            raise S3Error("MalformedXML")
        redirect = Redirect(host=_host(everything["HostName"]), protocol=everything.get("Protocol"))
        return Website(redirect_all=redirect)
    index = document.get("IndexDocument")
    if index is None:
        raise _invalid(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty", "IndexDocument", ""
        )
    suffix = str(index.get("Suffix") or "")
    if not suffix or "/" in suffix:
        raise _invalid("The IndexDocument Suffix is not well formed", "IndexDocument", suffix)
    error = document.get("ErrorDocument")
    error_key = None if error is None else str(error.get("Key") or "")
    if error_key == "":
        raise _invalid("The ErrorDocument Key is not well formed", "ErrorDocument", "")
    stated = document.get("RoutingRules") or ()
    if len(stated) > RULES_LIMIT:
        raise S3Error("InvalidRequest", f"The number of routing rules must not exceed the limit of {RULES_LIMIT}.")
    return Website(index_suffix=suffix, error_key=error_key, rules=tuple([_rule(one) for one in stated]))


def location(redirect: Redirect, *, secure: bool, host: str, key: str, prefix: str = "") -> str:
    """The address that a request for `key`, which came to this host, is sent to; `prefix` is that of the rule."""
    if redirect.key is not None:
        key = redirect.key
    elif redirect.key_prefix is not None:
        key = redirect.key_prefix + key[len(prefix) :]
    protocol = redirect.protocol or ("https" if secure else "http")
    return f"{protocol}://{redirect.host or host}/{quoted_key(key)}"


def quoted_key(key: str) -> str:
    """A key as the path of an address."""
    return quote(key, safe=_PATH_SAFE)


def error_page(error: S3Error, *, request_id: str, host_id: str, unreadable: S3Error | None = None) -> bytes:
    """The page that AWS shows for an error; `unreadable` is why the website's own error document cannot be."""
    title = _title(error.status)
    items = [("Code", error.code), ("Message", error.message), *error.elements.items()]
    lines = [
        *("<html>", f"<head><title>{title}</title></head>", "<body>", f"<h1>{title}</h1>"),
        *_list([*items, ("RequestId", request_id), ("HostId", host_id)]),
    ]
    if unreadable is not None:
        lines.append("<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>")
        lines += _list([("Code", unreadable.code), ("Message", unreadable.message), *unreadable.elements.items()])
    return "\n".join([*lines, "<hr/>", "</body>", "</html>", ""]).encode()


def _list(items: list[tuple[str, str]]) -> list[str]:
    return ["<ul>", *[f"<li>{name}: {html.escape(value)}</li>" for name, value in items], "</ul>"]


def _title(status: int) -> str:
    return f"{status} {_PHRASES.get(status, '')}".rstrip()


def _rule(stated: Mapping[str, Any]) -> RoutingRule:
    condition = stated.get("Condition")
    if condition is not None and not condition:
        raise S3Error(
            "InvalidRequest",
            "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't "
            "be present.",
        )
    condition = condition or {}
    error = condition.get("HttpErrorCodeReturnedEquals")
    if error is not None and not re.fullmatch("[45][0-9]{2}", error):
        raise S3Error(
            "InvalidRequest", f"The provided HTTP error code ({error[:20]}) is not valid. Valid codes are 4XX or 5XX."
        )
    return RoutingRule(
        redirect=_redirect(stated["Redirect"]),
        prefix=condition.get("KeyPrefixEquals") or "",
        error_status=None if error is None else int(error),
    )


def _redirect(stated: Mapping[str, Any]) -> Redirect:
    if not stated:
        raise S3Error("MalformedXML")
    if "ReplaceKeyWith" in stated and "ReplaceKeyPrefixWith" in stated:
        raise S3Error("InvalidRequest", "You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    code = str(stated.get("HttpRedirectCode", DEFAULT_REDIRECT_STATUS))
    if code not in REDIRECT_CODES:
        raise S3Error(
            "InvalidRequest",
            f"The provided HTTP redirect code ({code[:20]}) is not valid. Valid codes are 3XX except 300.",
        )
    return Redirect(
        host=_host(stated["HostName"]) if "HostName" in stated else None,
        protocol=stated.get("Protocol"),
        status=int(code),
        key=stated.get("ReplaceKeyWith"),
        key_prefix=stated.get("ReplaceKeyPrefixWith"),
    )


def _host(name: str) -> str:
    """A host name goes into a header of answers: nothing may be in it that ends the one or begins another."""
    if not _HOST_NAME.fullmatch(name):
        raise _invalid("The host name is not well formed", "HostName", name[:255])
    return name


def _invalid(message: str, name: str, value: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)
