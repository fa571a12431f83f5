"""Why a Version 4 signature does not match: which other request it would have been right for. Pure.

The client signed the request that it meant to send. What arrives differs when something on the way has changed it, and
the usual changes are few: each is undone here, and the one whose canonical request gives the client's signature is what
happened. Asked only after a request was refused; nothing here lets one in.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from s3compat.httpdate import format_amz_date
from s3compat.request import Headers, S3Request
from s3compat.signing import (
    EMPTY_SHA256,
    UNSIGNED_PAYLOAD,
    SignatureClaim,
    canonical_path,
    canonical_query,
    canonical_request,
    collapse_spaces,
    same_signature,
    sign,
    signing_key,
    string_to_sign,
)

#: Candidates looked at for one request: each costs two hashes of a few hundred bytes.
MOST_CANDIDATES: Final = 300
#: Of all their canonical requests together: whoever sends a large head gets fewer looked at.
MOST_BYTES: Final = 256 * 1024
_PORT: Final = re.compile(r":\d+\Z")
_SHOWN_CHARACTERS: Final = 200

#: What clients are known to sign for a header that proxies take out or rewrite.
_USUAL_VALUES: Final = {
    "accept-encoding": ("identity", "gzip", "gzip, deflate", "gzip, deflate, br", ""),
    "connection": ("keep-alive", "close", ""),
    "content-encoding": ("aws-chunked", ""),
    "content-length": ("0", ""),
    "content-type": ("application/octet-stream", "binary/octet-stream", "application/xml", "text/plain", ""),
    "expect": ("100-continue", ""),
    "te": ("trailers", ""),
    "transfer-encoding": ("chunked", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where what was signed is not what arrived, and who usually does that."""

    where: str
    signed: str
    received: str
    culprit: str

    def __str__(self) -> str:
        return f"{self.where} was signed as {self.signed!r} and arrived as {self.received!r}: {self.culprit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """`differences` are proven, for with them undone the signature is right. `suspicions` are not."""

    differences: tuple[Difference, ...] = ()
    suspicions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    """One part of a canonical request as the client may have had it; `difference` is None as it arrived."""

    value: str
    difference: Difference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What a canonical request is made of."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    payload_hash: str


def diagnose(claim: SignatureClaim, request: S3Request, secret_key: str) -> Diagnosis:
    """Find the request that the signature was made for. The result holds no secret and no signature."""
    key = signing_key(secret_key, claim.date, claim.region, claim.service)
    timestamp = format_amz_date(claim.timestamp)
    left_bytes = MOST_BYTES
    for parts, differences in islice(_candidates(claim, request), MOST_CANDIDATES):
        canonical = canonical_request(
            method=parts.method,
            path=parts.path,
            query=parts.query,
            headers=parts.headers,
            payload_hash=parts.payload_hash,
        )
        if same_signature(sign(key, string_to_sign(timestamp, claim.scope, canonical)), claim.signature):
            return Diagnosis(differences=differences)
        left_bytes -= len(canonical)
        if left_bytes < 0:
            break
    return Diagnosis(suspicions=tuple(_suspicions(claim, request)))


def _candidates(claim: SignatureClaim, request: S3Request) -> Iterator[tuple[_Parts, tuple[Difference, ...]]]:
    """One change alone first, then a host and a path that were both changed, as proxies that rewrite do."""
    arrived = _Parts(
        method=request.method,
        path=canonical_path(request.raw_path),
        query=canonical_query(request.raw_query),
        headers=tuple([(name, collapse_spaces(request.headers.get(name) or "")) for name in claim.signed_headers]),
        payload_hash=claim.payload_hash,
    )
    hosts, paths = list(_hosts(request)), list(_paths(request))
    for host in hosts:
        yield _with(arrived, host=host), _differences(host)
    for path in paths:
        yield _with(arrived, path=path), _differences(path)
    yield from _single_changes(claim, request, arrived)
    for host in hosts:
        for path in paths:
            yield _with(arrived, host=host, path=path), _differences(host, path)


def _with(parts: _Parts, *, host: _Variant | None = None, path: _Variant | None = None) -> _Parts:
    return _Parts(
        method=parts.method,
        path=parts.path if path is None else path.value,
        query=parts.query,
        headers=parts.headers if host is None else _replaced(parts.headers, "host", host.value),
        payload_hash=parts.payload_hash,
    )


def _replaced(headers: Sequence[tuple[str, str]], wanted: str, value: str) -> tuple[tuple[str, str], ...]:
    return tuple([(name, value if name.lower() == wanted else old) for name, old in headers])


def _differences(*variants: _Variant) -> tuple[Difference, ...]:
    return tuple([variant.difference for variant in variants if variant.difference is not None])


def _hosts(request: S3Request) -> Iterator[_Variant]:
    """The hosts that the client may have named: those that proxies pass on beside, with and without ports."""
    received = request.headers.get("host") or ""
    named = [
        value.split(",")[0].strip()
        for name in ("x-forwarded-host", "x-original-host", "x-host")
        if (value := request.headers.get(name))
    ]
    forwarded = re.search(r'(?i)(?:^|[;,\s])host="?([^";,\s]+)', request.headers.get("forwarded") or "")
    named += [forwarded.group(1)] if forwarded else []
    port = (request.headers.get("x-forwarded-port") or "").strip()
    hosts: dict[str, str] = {}
    for host in named:
        hosts.setdefault(host, "a proxy replaced Host: let it pass the client's Host on")
    for host in (*named, received):
        bare = _PORT.sub("", host)
        for suffix in ("", f":{port}" if port.isdigit() else "", ":443", ":80", ":9000", ":8080", ":8443"):
            hosts.setdefault(bare + suffix, "a proxy or the client changed the port in Host")
    if request.bucket and request.bucket.isascii():
        hosts.setdefault(f"{request.bucket}.{received}", "a proxy moved the bucket from Host to the path")
    for host, culprit in hosts.items():
        if host != received:
            yield _Variant(value=host, difference=_difference("Host", host, received, culprit))


def _paths(request: S3Request) -> Iterator[_Variant]:
    """The paths that the client may have signed. Their canonical form is decoded and encoded once."""
    raw = request.raw_path
    received = canonical_path(raw)
    decoded = unquote_to_bytes(raw)
    found: dict[str, str] = {}
    found[quote_from_bytes(decoded, safe="/%")] = "the path was sent with escapes that the client did not sign"
    found[quote_from_bytes(raw, safe="/")] = "the path was decoded on the way, or the client encoded it twice"
    found[quote_from_bytes(received.encode(), safe="/")] = "the client encoded the path twice, as for other services"
    found[quote_from_bytes(unquote_to_bytes(decoded), safe="/")] = "the path was encoded once more on the way"
    found[quote_from_bytes(decoded, safe="")] = "the client encoded the slashes of the key, too"
    found[received.replace("%20", "%2B")] = "a plus sign in the path was taken for a space on the way"
    found[received.replace("%2B", "%20")] = "a space in the path was turned into a plus sign on the way"
    found[received.rstrip("/") or "/"] = "a slash was added to the path on the way"
    found[received + "/"] = "the slash at the end of the path was taken away on the way"
    prefix = (request.headers.get("x-forwarded-prefix") or "").rstrip("/")
    if prefix:
        found[canonical_path(prefix.encode("latin-1") + raw)] = "a proxy took a prefix off the path"
    if request.bucket:
        bucket = quote_from_bytes(request.bucket.encode())
        if received.startswith(f"/{bucket}"):
            found[received.removeprefix(f"/{bucket}") or "/"] = "a proxy put the bucket in front of the path"
        else:
            found[f"/{bucket}{received}"] = "a proxy took the bucket off the path"
    for path, culprit in found.items():
        if path != received:
            yield _Variant(value=path, difference=_difference("the path", path, received, culprit))


def _single_changes(
    claim: SignatureClaim, request: S3Request, arrived: _Parts
) -> Iterator[tuple[_Parts, tuple[Difference, ...]]]:
    headers = request.headers
    for name in claim.signed_headers:
        lowered = name.lower()
        received = headers.get(name)
        for value in _USUAL_VALUES.get(lowered, ("",)):
            if value == received or lowered == "host":
                continue
            culprit = "a proxy took the header out" if received is None else "a proxy changed the header"
            changed = _Parts(
                method=arrived.method,
                path=arrived.path,
                query=arrived.query,
                headers=_replaced(arrived.headers, lowered, value),
                payload_hash=arrived.payload_hash,
            )
            # Other headers may be keys and tokens: what they hold is not shown.
            shown = (received or "") if lowered in _USUAL_VALUES else f"({len(received or '')} characters)"
            yield changed, (_difference(f"header {lowered}", value, shown, culprit),)
    for method, query, payload_hash, difference in _other_lines(request, arrived):
        changed = _Parts(
            method=method, path=arrived.path, query=query, headers=arrived.headers, payload_hash=payload_hash
        )
        yield changed, (difference,)


def _other_lines(request: S3Request, arrived: _Parts) -> Iterator[tuple[str, str, str, Difference]]:
    """Method, query and payload hash as they may have been signed."""
    if request.method == "GET":
        yield (
            "HEAD",
            arrived.query,
            arrived.payload_hash,
            _difference("the method", "HEAD", "GET", "a caching proxy asks with GET for a HEAD"),
        )
    raw = request.raw_query
    queries = {
        canonical_query(raw.replace(b"+", b"%2B")): "a plus sign in the query was signed as itself",
        quote_from_bytes(raw, safe="&=%"): "the client did not sort or escape the query",
        "": "the query was added on the way, or not signed",
    }
    for query, culprit in queries.items():
        if query != arrived.query:
            difference = _difference("the query", "its other form", "this one", culprit)
            yield arrived.method, query, arrived.payload_hash, difference
    for payload_hash in (UNSIGNED_PAYLOAD, EMPTY_SHA256):
        if payload_hash != arrived.payload_hash:
            difference = _difference(
                "x-amz-content-sha256", payload_hash, arrived.payload_hash, "the client signed another hash of the body"
            )
            yield arrived.method, arrived.query, payload_hash, difference


def _difference(where: str, signed: str, received: str, culprit: str) -> Difference:
    shown = [text[:_SHOWN_CHARACTERS] for text in (signed, received)]
    return Difference(where=where, signed=shown[0], received=shown[1], culprit=culprit)


def _suspicions(claim: SignatureClaim, request: S3Request) -> Iterator[str]:
    """What may have happened where nothing can be proven."""
    missing = [name for name in claim.signed_headers if name.lower() not in request.headers]
    if missing:
        names = ", ".join(missing)[:_SHOWN_CHARACTERS]
        yield f"signed and not in the request that arrived: {names}; a proxy drops them"
    passed_on = sorted(_proxy_headers(request.headers))
    if passed_on:
        yield f"the request came through a proxy ({', '.join(passed_on)}), which may change what was signed"
    yield (
        f"the secret key that the client has for access key {claim.access_key} is another one, if nothing on the way "
        "changes a signed header, the path or the query"
    )


def _proxy_headers(headers: Headers) -> Iterator[str]:
    for name in ("via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"):
        if name in headers:
            yield name
