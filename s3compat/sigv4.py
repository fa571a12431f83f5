"""SigV4 authentication of a request: what it claims (parse_claim) and whether that is true (verify).

The Authorization header is read here, the query string in presigned.py; both end in one SignatureClaim. The
caller looks the secret up between the two steps, and compares the body with claim.payload_hash as it comes.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, NoReturn

from s3compat.errors import S3Error
from s3compat.httpdate import format_amz_date, format_iso_date, parse_http_date
from s3compat.presigned import is_presigned, parse_presigned, presign_url
from s3compat.request import Headers, S3Request
from s3compat.signing import (
    ALGORITHM,
    EMPTY_SHA256,
    MAX_SKEW,
    CredentialError,
    SignatureClaim,
    SigningContext,
    canonical_headers,
    canonical_path,
    canonical_query,
    canonical_request,
    check_payload_hash,
    collapse_spaces,
    credential_scope,
    same_signature,
    sign,
    sign_canonical,
    signature_mismatch,
    signing_key,
    split_credential,
    split_signed_headers,
    string_to_sign,
)

__all__ = [
    "SignatureClaim",
    "SigningContext",
    "parse_claim",
    "presign_url",
    "sign_request_headers",
    "verify",
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PORT: Final = re.compile(r":(?:80|443)\Z")

# Part of every canonical request or string to sign in their own right, so a client may leave them out of
# SignedHeaders; and the one that CloudFront adds on the way.
_NEED_NOT_BE_SIGNED: Final = frozenset({"x-amz-content-sha256", "x-amz-date", "x-amz-cf-id"})


def parse_claim(request: S3Request, now: datetime, *, region: str | None = None) -> SignatureClaim | None:
    """What the request says about who signed it; None when it is anonymous.

    `now` is aware; `region` is the only one served, None for any.
    Raises S3Error: AuthorizationHeaderMalformed, AuthorizationQueryParametersError, RequestTimeTooSkewed,
    AccessDenied (no date, expired, headers that are not signed), InvalidArgument, InvalidRequest (Signature
    Version 2, no x-amz-content-sha256), NotImplemented.
    """
    authorization = request.headers.get("authorization")
    presigned = is_presigned(request)
    if authorization and (presigned or _is_presigned_v2(request)):
        raise S3Error(
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
            "string parameter or the Authorization header should be specified",
            ArgumentName="Authorization",
            ArgumentValue=authorization,
        )
    if presigned:
        claim = parse_presigned(request, now, region=region)
    elif authorization:
        claim = _parse_header(authorization, request.headers, now, region)
    elif _is_presigned_v2(request):
        _refuse_version_2()
    else:
        return None
    _check_signed_headers(claim, request.headers)
    return claim


def verify(claim: SignatureClaim, request: S3Request, secret_key: str) -> SigningContext:
    """Prove the claim with the secret key of its access key.

    Raises S3Error SignatureDoesNotMatch with the canonical request and the string to sign.
    """
    key = signing_key(secret_key, claim.date, claim.region, claim.service)
    timestamp = format_amz_date(claim.timestamp)
    expected: tuple[bytes, str] | None = None
    for canonical in _canonical_forms(claim, request):
        to_sign = string_to_sign(timestamp, claim.scope, canonical)
        if same_signature(sign(key, to_sign), claim.signature):
            return SigningContext(
                signing_key=key,
                scope=claim.scope,
                timestamp=timestamp,
                seed_signature=claim.signature,
                access_key=claim.access_key,
            )
        expected = expected or (canonical, to_sign)
    assert expected is not None, "there is always one canonical form"
    raise signature_mismatch(
        access_key=claim.access_key,
        signature=claim.signature,
        to_sign=expected[1],
        canonical=expected[0],
    )


def sign_request_headers(
    *,
    method: str,
    raw_path: bytes,
    raw_query: bytes,
    headers: Iterable[tuple[str, str]],
    payload_hash: str,
    access_key: str,
    secret_key: str,
    region: str,
    timestamp: datetime,
) -> list[tuple[str, str]]:
    """For clients: the headers to add to a request so that it is signed.

    `headers` hold Host and whatever else is to be signed; path and query are as they will be sent.
    """
    amz_date = format_amz_date(timestamp)
    added = [("x-amz-content-sha256", payload_hash), ("x-amz-date", amz_date)]
    signed = canonical_headers([*headers, *added])
    canonical = canonical_request(
        method=method,
        path=canonical_path(raw_path),
        query=canonical_query(raw_query),
        headers=signed,
        payload_hash=payload_hash,
    )
    signature = sign_canonical(canonical, secret_key=secret_key, timestamp=timestamp, region=region)
    names = ";".join(name for name, _ in signed)
    credential = f"{access_key}/{credential_scope(timestamp, region)}"
    added.append(
        (
            "authorization",
            f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}",
        )
    )
    return added


def _parse_header(authorization: str, headers: Headers, now: datetime, region: str | None) -> SignatureClaim:
    # AWS looks at the date before it looks at what is signed.
    timestamp = request_time(headers, now)
    scheme, space, rest = authorization.partition(" ")
    if not space:
        _refuse_authorization("Authorization header is invalid -- one and only one ' ' (space) required", authorization)
    if scheme == "AWS":
        if ":" not in rest:
            _refuse_authorization(
                "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature", authorization
            )
        _refuse_version_2()
    if scheme != ALGORITHM:
        _refuse_authorization("Unsupported Authorization Type", authorization)
    components = _components(rest)
    try:
        access_key, date, claimed_region, service = split_credential(
            components["Credential"], amz_date=format_amz_date(timestamp), region=region
        )
    except CredentialError as error:
        raise _malformed(str(error), **error.elements) from error
    signed_headers = split_signed_headers(components["SignedHeaders"])
    if signed_headers is None:
        raise _malformed("SignedHeaders is malformed.")
    return SignatureClaim(
        access_key=access_key,
        timestamp=timestamp,
        date=date,
        region=claimed_region,
        service=service,
        signed_headers=signed_headers,
        signature=components["Signature"],
        presigned=False,
        payload_hash=_payload_hash(headers),
    )


def _components(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for component in text.split(","):
        name, equals, value = component.strip().partition("=")
        if not equals:
            raise _malformed(f'the authorization component "{component.strip()}" is malformed.')
        found[name] = value
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not found.get(name):
            raise _malformed(f"missing {name}.")
    return found


def request_time(headers: Headers, now: datetime) -> datetime:
    """X-Amz-Date if there is one, else Date. A broken X-Amz-Date is not made good by a Date."""
    text = headers.get("x-amz-date")
    if text is None:
        text = headers.get("date")
    timestamp = None if text is None else parse_http_date(text)
    if text is None or timestamp is None or timestamp < _EPOCH:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    if abs(timestamp - now) > MAX_SKEW:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=text,
            ServerTime=format_iso_date(now),
            MaxAllowedSkewMilliseconds=str(int(MAX_SKEW.total_seconds()) * 1000),
        )
    return timestamp


def _payload_hash(headers: Headers) -> str:
    value = headers.get("x-amz-content-sha256")
    if value is None and headers.get("content-length") in (None, "0") and "transfer-encoding" not in headers:
        # S3 insists on the header; SigV4 itself does not, and curl before version 8 sends none. Nothing is left
        # unproven: the signature must then be one over the hash of the empty body.
        return EMPTY_SHA256
    if not value:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    return check_payload_hash(value)


def _check_signed_headers(claim: SignatureClaim, headers: Headers) -> None:
    signed = {name.lower() for name in claim.signed_headers}
    unsigned = [
        name for name in headers if name.startswith("x-amz-") and name not in signed and name not in _NEED_NOT_BE_SIGNED
    ]
    if "host" not in signed:
        unsigned.insert(0, "host")
    if unsigned:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(unsigned),
        )


def _canonical_forms(claim: SignatureClaim, request: S3Request) -> Iterator[bytes]:
    """AWS's canonical request first, then the forms that other clients and proxies make of it.

    Each form says all that the first one does, so accepting it lets nobody sign for something else.
    """
    seen: set[bytes] = set()
    for path, query in _targets(claim, request):
        for headers in _signed_header_forms(claim, request.headers):
            canonical = canonical_request(
                method=request.method,
                path=path,
                query=query,
                headers=headers,
                payload_hash=claim.payload_hash,
            )
            if canonical not in seen:
                seen.add(canonical)
                yield canonical


def _targets(claim: SignatureClaim, request: S3Request) -> Iterator[tuple[str, str]]:
    yield canonical_path(request.raw_path), canonical_query(request.raw_query)
    if not claim.presigned:
        # curl before 8.3 signs path and query as it sends them, neither sorted nor escaped ("?delete").
        yield request.raw_path.decode("latin-1"), request.raw_query.decode("latin-1")


def _signed_header_forms(claim: SignatureClaim, headers: Headers) -> Iterator[list[tuple[str, str]]]:
    collapsed = [(name, collapse_spaces(_value(headers, name))) for name in claim.signed_headers]
    yield collapsed
    trimmed = [(name, _value(headers, name)) for name in claim.signed_headers]
    for host in _other_hosts(headers.get("host") or ""):
        yield [(name, host if name.lower() == "host" else value) for name, value in collapsed]
    # AWS's S3 page says Trim where the general one says Trimall, and some clients do no more than that.
    if trimmed != collapsed:
        yield trimmed


def _value(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if value is None and name.lower() == "expect":
        # Proxies answer "Expect: 100-continue" themselves and take it out.
        return "100-continue"
    return value or ""


def _other_hosts(host: str) -> Iterator[str]:
    """The Host header with the default port taken off, or put on: clients and proxies disagree about it."""
    without = _PORT.sub("", host)
    if without != host:
        yield without
    elif host and not re.search(r":\d+\Z", host):
        yield host + ":443"
        yield host + ":80"


def _is_presigned_v2(request: S3Request) -> bool:
    return "AWSAccessKeyId" in request.query and "Signature" in request.query


def _refuse_version_2() -> NoReturn:
    raise S3Error(
        "InvalidRequest",
        "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
    )


def _refuse_authorization(message: str, authorization: str) -> NoReturn:
    raise S3Error("InvalidArgument", message, ArgumentName="Authorization", ArgumentValue=authorization)


def _malformed(message: str, **elements: str) -> S3Error:
    return S3Error(
        "AuthorizationHeaderMalformed",
        f"The authorization header is malformed; {message}",
        headers={},
        **elements,
    )
