"""Presigned URLs: SigV4 in the query string (AWS: sigv4-query-string-auth).

Reading the claim of a presigned request, and making presigned URLs. Proving a claim is sigv4.verify.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NoReturn
from urllib.parse import urlsplit

from s3compat.errors import S3Error
from s3compat.httpdate import format_amz_date, format_iso_date, parse_amz_date
from s3compat.request import S3Request
from s3compat.signing import (
    ALGORITHM,
    MAX_SKEW,
    UNSIGNED_PAYLOAD,
    CredentialError,
    SignatureClaim,
    canonical_headers,
    canonical_path,
    canonical_query,
    canonical_request,
    check_payload_hash,
    credential_scope,
    sign_canonical,
    split_credential,
    split_signed_headers,
    uri_encode,
)

MAX_EXPIRES_S: Final = 604_800
"""Seven days, the longest life of a presigned URL."""

_REQUIRED: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_INTEGER: Final = re.compile(r"-?\d{1,18}", re.ASCII)


def is_presigned(request: S3Request) -> bool:
    """Whether the query string claims a SigV4 signature, however badly."""
    query = request.query
    return "X-Amz-Algorithm" in query or "X-Amz-Signature" in query or "X-Amz-Credential" in query


def parse_presigned(request: S3Request, now: datetime, *, region: str | None = None) -> SignatureClaim:
    """Read and check the query parameters of a presigned request.

    Raises S3Error AuthorizationQueryParametersError, AccessDenied (expired, or not valid yet),
    InvalidArgument, NotImplemented.
    """
    found = {name: request.query.get(name) or "" for name in _REQUIRED}
    if not all(found.values()):
        _refuse(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if found["X-Amz-Algorithm"] != ALGORITHM:
        _refuse(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    timestamp = parse_amz_date(found["X-Amz-Date"])
    if timestamp is None:
        _refuse("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    try:
        access_key, date, claimed_region, service = split_credential(
            found["X-Amz-Credential"], amz_date=found["X-Amz-Date"], region=region
        )
    except CredentialError as error:
        raise S3Error(
            "AuthorizationQueryParametersError",
            f"Error parsing the X-Amz-Credential parameter; {error}",
            headers={},
            **error.elements,
        ) from error
    signed_headers = split_signed_headers(found["X-Amz-SignedHeaders"])
    if signed_headers is None:
        _refuse("X-Amz-SignedHeaders is malformed.")
    _check_expiry(found["X-Amz-Expires"], timestamp, now)
    return SignatureClaim(
        access_key=access_key,
        timestamp=timestamp,
        date=date,
        region=claimed_region,
        service=service,
        signed_headers=signed_headers,
        signature=found["X-Amz-Signature"],
        presigned=True,
        payload_hash=_payload_hash(request),
    )


def presign_url(
    *,
    method: str,
    url: str,
    access_key: str,
    secret_key: str,
    region: str,
    timestamp: datetime,
    expires_s: int,
    headers: Iterable[tuple[str, str]] = (),
) -> str:
    """The URL with the parameters that let anyone who has it make this request for `expires_s` seconds.

    `url` is percent-encoded as it will be sent; `headers` besides Host must then be sent as given.
    """
    parts = urlsplit(url)
    signed = canonical_headers([("host", parts.netloc), *headers])
    claim = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{access_key}/{credential_scope(timestamp, region)}",
        "X-Amz-Date": format_amz_date(timestamp),
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": ";".join(name for name, _ in signed),
    }
    added = "&".join(f"{name}={uri_encode(value)}" for name, value in claim.items())
    query = f"{parts.query}&{added}" if parts.query else added
    canonical = canonical_request(
        method=method,
        path=canonical_path(parts.path.encode()),
        query=canonical_query(query.encode()),
        headers=signed,
        payload_hash=UNSIGNED_PAYLOAD,
    )
    signature = sign_canonical(canonical, secret_key=secret_key, timestamp=timestamp, region=region)
    return f"{parts.scheme}://{parts.netloc}{parts.path or '/'}?{query}&X-Amz-Signature={signature}"


def _check_expiry(text: str, timestamp: datetime, now: datetime) -> None:
    if not _INTEGER.fullmatch(text):
        _refuse("X-Amz-Expires should be a number")
    expires_s = int(text)
    if expires_s < 0:
        _refuse("X-Amz-Expires must be non-negative")
    if expires_s > MAX_EXPIRES_S:
        _refuse(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be "
            f"less than {MAX_EXPIRES_S} seconds"
        )
    if timestamp - now > MAX_SKEW:
        raise S3Error("AccessDenied", "Request is not valid yet", ServerTime=format_iso_date(now))
    # Ages, not timestamp + expires_s: X-Amz-Date may be at the end of time.
    if now - timestamp >= timedelta(seconds=expires_s):
        raise S3Error(
            "AccessDenied",
            "Request has expired",
            headers={},
            **{
                "X-Amz-Expires": text,
                "Expires": format_iso_date(timestamp + timedelta(seconds=expires_s)),
                "ServerTime": format_iso_date(now),
            },
        )


def _payload_hash(request: S3Request) -> str:
    # SDKs that sign a body's hash into a URL put it in either place; without it, it is unsigned.
    value = request.query.get("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256")
    return check_payload_hash(value) if value else UNSIGNED_PAYLOAD


def _refuse(message: str) -> NoReturn:
    raise S3Error("AuthorizationQueryParametersError", message)
