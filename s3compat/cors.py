"""Cross-origin resource sharing: a bucket's rules, what is wrong with them, and which of them a request meets. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

from s3compat.errors import S3Error
from s3compat.request import Headers, S3Request

RULES_LIMIT: Final = 100
ID_LIMIT: Final = 255
METHODS: Final = frozenset({"GET", "PUT", "HEAD", "POST", "DELETE"})

_FORMAT: Final = 1
_VARY: Final = ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
_REQUEST_METHOD: Final = "access-control-request-method"
_REQUEST_HEADERS: Final = "access-control-request-headers"

HeaderList = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsRule:
    """One rule; origins and headers may hold one `*` each, which stands for any characters."""

    methods: tuple[str, ...]
    origins: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_s: int | None = None
    rule_id: str | None = None

    def allows(self, origin: str, method: str, headers: Sequence[str] = ()) -> bool:
        """Whether a page from this origin may make such a request; header names are in lower case."""
        return (
            method in self.methods
            and any(_matches(pattern, origin) for pattern in self.origins)
            and all(any(_matches(pattern.lower(), name) for pattern in self.headers) for name in headers)
        )

    def answer(self, origin: str) -> HeaderList:
        """The headers that tell a browser what this rule allows its page."""
        anyone = "*" in self.origins
        found = [("Access-Control-Allow-Origin", "*" if anyone else origin)]
        found.append(("Access-Control-Allow-Methods", ", ".join(self.methods)))
        if self.exposed:
            found.append(("Access-Control-Expose-Headers", ", ".join(self.exposed)))
        if self.max_age_s is not None:
            found.append(("Access-Control-Max-Age", str(self.max_age_s)))
        if not anyone:
            # The Fetch standard forbids credentials with "*".
            found.append(("Access-Control-Allow-Credentials", "true"))
        return (*found, _VARY)


Rules = tuple[CorsRule, ...]


def rules_from_document(configuration: Mapping[str, Any]) -> Rules:
    """A parsed CORSConfiguration, checked. Raises MalformedXML, InvalidRequest."""
    documents = configuration.get("CORSRules") or ()
    if not 1 <= len(documents) <= RULES_LIMIT:
        raise S3Error("MalformedXML")
    return tuple(_rule(document) for document in documents)


def rules_to_document(rules: Rules) -> list[dict[str, Any]]:
    """The rules under AWS's member names, as GetBucketCors gives them."""
    return [
        {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (
                ("ID", rule.rule_id),
                ("AllowedHeaders", rule.headers),
                ("AllowedMethods", rule.methods),
                ("AllowedOrigins", rule.origins),
                ("ExposeHeaders", rule.exposed),
                ("MaxAgeSeconds", rule.max_age_s),
            )
            if value not in (None, ())
        }
        for rule in rules
    ]


def encode_rules(rules: Rules) -> bytes:
    """The stored form: JSON [format, [rule, ...]], each rule by the names of its fields."""
    return json.dumps([_FORMAT, [asdict(rule) for rule in rules]], separators=(",", ":")).encode()


@lru_cache(maxsize=256)
def decode_rules(stored: bytes) -> Rules:
    """The rules of a stored form; cached, since every request of a page asks."""
    _, rules = json.loads(stored)
    return tuple(
        CorsRule(
            methods=tuple(rule["methods"]),
            origins=tuple(rule["origins"]),
            headers=tuple(rule["headers"]),
            exposed=tuple(rule["exposed"]),
            max_age_s=rule["max_age_s"],
            rule_id=rule["rule_id"],
        )
        for rule in rules
    )


def check_preflight(request: S3Request) -> None:
    """Raise BadRequest for an OPTIONS request that names no origin or no method of S3's."""
    if not request.headers.get("origin"):
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    method = request.headers.get(_REQUEST_METHOD)
    if method not in METHODS:
        raise S3Error("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")


def preflight_headers(request: S3Request, rules: Rules | None) -> HeaderList:
    """The headers of the answer to a preflight; `rules` are None where the bucket has none.

    Raises BadRequest (as `check_preflight`), AccessForbidden.
    """
    check_preflight(request)
    origin = request.headers.get("origin") or ""
    method = request.headers.get(_REQUEST_METHOD) or ""
    if rules is None:
        raise forbidden(request, "CORSResponse: CORS is not enabled for this bucket.")
    wanted = _names(request.headers)
    for rule in rules:
        if rule.allows(origin, method, wanted):
            listed: HeaderList = (("Access-Control-Allow-Headers", ", ".join(wanted)),) if wanted else ()
            return (*listed, *rule.answer(origin))
    raise forbidden(request)


def response_headers(request: S3Request, rules: Rules) -> HeaderList:
    """The headers to add to the answer of an actual request; none where no rule allows it.

    S3 goes by Access-Control-Request-Method, where that stands, here too.
    """
    headers = request.headers
    origin = headers.get("origin")
    if not origin:
        return ()
    method = headers.get(_REQUEST_METHOD) or request.method
    for rule in rules:
        if rule.allows(origin, method):
            return rule.answer(origin)
    return ()


def forbidden(request: S3Request, message: str | None = None) -> S3Error:
    """The refusal of a preflight."""
    method = request.headers.get(_REQUEST_METHOD) or ""
    kind = "BUCKET" if request.key is None else "OBJECT"
    return S3Error("AccessForbidden", message, Method=method, ResourceType=kind)


def _rule(document: Mapping[str, Any]) -> CorsRule:
    methods = tuple(document.get("AllowedMethods") or ())
    origins = tuple(document.get("AllowedOrigins") or ())
    headers = tuple(document.get("AllowedHeaders") or ())
    exposed = tuple(document.get("ExposeHeaders") or ())
    rule_id: str | None = document.get("ID")
    max_age_s: int | None = document.get("MaxAgeSeconds")
    if not methods or not origins or (rule_id is not None and len(rule_id) > ID_LIMIT):
        raise S3Error("MalformedXML")
    if max_age_s is not None and max_age_s < 0:
        raise S3Error("MalformedXML")
    for method in methods:
        if method not in METHODS:
            raise S3Error(
                "InvalidRequest",
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method}",
            )
    _check_wildcards("AllowedOrigin", origins)
    _check_wildcards("AllowedHeader", headers)
    for name in exposed:
        if not name.isascii() or not name.isprintable():
            # They become a header of answers, in which a line end would start another one.
            raise S3Error("MalformedXML")
        if "*" in name:
            raise S3Error(
                "InvalidRequest",
                f'ExposeHeader "{name}" contains wildcard. We currently do not support wildcard for ExposeHeader.',
            )
    return CorsRule(
        methods=methods, origins=origins, headers=headers, exposed=exposed, max_age_s=max_age_s, rule_id=rule_id
    )


def _check_wildcards(element: str, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        if pattern.count("*") > 1:
            raise S3Error("InvalidRequest", f'{element} "{pattern}" can not have more than one wildcard.')


def _matches(pattern: str, text: str) -> bool:
    start, star, end = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(start) + len(end) and text.startswith(start) and text.endswith(end)


def _names(headers: Headers) -> list[str]:
    """The headers that a page wants to send, in lower case."""
    text = headers.get(_REQUEST_HEADERS) or ""
    return [name.strip().lower() for name in text.split(",") if name.strip()]
