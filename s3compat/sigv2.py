"""Signature Version 2 of presigned URLs and Authorization headers: read, and proved.

AWS has deprecated Version 2 and says so, but boto3 and version 1 of the aws command line still presign with it for
us-east-1 unless they are told otherwise (botocore: S3 presigning defaults to sigv2 in regions that have it), so a
store without it cannot be used with their default. The Authorization header of Version 2 is for clients that know
nothing else; the caller decides whether it is taken. Forms are in post_signature.py.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

import base64
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from s3compat.errors import S3Error
from s3compat.httpdate import format_iso_date
from s3compat.request import S3Request
from s3compat.service_model import load
from s3compat.signing import same_signature, signature_mismatch
from s3compat.sigv4 import request_time

#: Parameters that are signed because they change the answer. Those that select an operation are signed too, all that
#: the service model knows: otherwise whoever holds a URL could make it do something else.
_SIGNED_VALUES: Final = frozenset(
    {
        "partNumber",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "uploadId",
        "versionId",
    }
)
#: Selects nothing but the form of the listing, and is younger than Version 2: no client signs it.
_NEVER_SIGNED: Final = frozenset({"list-type"})
_SCHEME: Final = "AWS "
_EPOCH_SECONDS: Final = re.compile(r"[0-9]{1,11}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldClaim:
    """What a request signed with Version 2 says of itself.

    `moment` is the line of the string to sign that tells the time: of a presigned URL when it expires, in seconds since
    1970, of a header its Date, "" where x-amz-date is signed in its place.
    """

    access_key: str
    signature: str
    moment: str
    presigned: bool


def is_presigned(request: S3Request) -> bool:
    """Whether the query string claims a signature of Version 2."""
    return "AWSAccessKeyId" in request.query and "Signature" in request.query


def parse_presigned(request: S3Request, now: datetime) -> OldClaim:
    """Read and check the query parameters. Raises S3Error AccessDenied (incomplete, malformed, expired)."""
    found = {name: request.query.get(name) or "" for name in ("AWSAccessKeyId", "Signature", "Expires")}
    if not all(found.values()):
        raise S3Error(
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
        )
    expires = found["Expires"]
    if not _EPOCH_SECONDS.fullmatch(expires):
        raise S3Error("AccessDenied", f"Invalid date (should be seconds since epoch): {expires}")
    if int(expires) < now.timestamp():
        raise S3Error(
            "AccessDenied",
            "Request has expired",
            Expires=format_iso_date(datetime.fromtimestamp(int(expires), UTC)),
            ServerTime=format_iso_date(now),
        )
    return OldClaim(access_key=found["AWSAccessKeyId"], signature=found["Signature"], moment=expires, presigned=True)


def is_signed(request: S3Request) -> bool:
    """Whether the Authorization header claims a signature of Version 2."""
    return (request.headers.get("authorization") or "").startswith(_SCHEME)


def parse_header(request: S3Request, now: datetime) -> OldClaim:
    """Read and check the Authorization header. Raises S3Error InvalidArgument, AccessDenied, RequestTimeTooSkewed."""
    headers = request.headers
    authorization = headers.get("authorization") or ""
    access_key, colon, signature = authorization.removeprefix(_SCHEME).strip().partition(":")
    if not colon or not access_key or not signature:
        raise S3Error(
            "InvalidArgument",
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
            ArgumentName="Authorization",
            ArgumentValue=authorization,
        )
    request_time(headers, now)
    moment = "" if "x-amz-date" in headers else headers.get("date") or ""
    return OldClaim(access_key=access_key, signature=signature, moment=moment, presigned=False)


def verify(claim: OldClaim, request: S3Request, secret_key: str) -> None:
    """Prove the claim with the secret key of its access key. Raises S3Error SignatureDoesNotMatch."""
    to_sign = string_to_sign(claim, request)
    digest = hmac.digest(secret_key.encode(), to_sign, "sha1")
    if not same_signature(base64.b64encode(digest).decode(), claim.signature):
        shown = to_sign.decode("utf-8", "replace")
        raise signature_mismatch(access_key=claim.access_key, signature=claim.signature, to_sign=shown)


def string_to_sign(claim: OldClaim, request: S3Request) -> bytes:
    """Method, Content-MD5, Content-Type, Expires, the x-amz-* headers, and what is addressed."""
    headers = request.headers
    own = (headers.get("content-md5") or "", headers.get("content-type") or "")
    text = "\n".join((request.method, *own, claim.moment, _amz_headers(claim, request) + _resource(request)))
    return text.encode("latin-1")


def _amz_headers(claim: OldClaim, request: S3Request) -> str:
    """The x-amz-* headers, which a URL may carry as parameters too: all of them are signed, whoever added them."""
    found: dict[str, str] = {}
    if claim.presigned:
        query = [(name.lower(), value) for name, value in request.query.items()]
        found = {name: _bytes(value) for name, value in query if name.startswith("x-amz-")}
    found |= {name: request.headers.get(name) or "" for name in request.headers if name.startswith("x-amz-")}
    return "".join(f"{_bytes(name)}:{found[name].strip()}\n" for name in sorted(found))


def _resource(request: S3Request) -> str:
    path = request.raw_path.decode("latin-1")
    if request.bucket is not None and unquote_to_bytes(request.raw_path[1:]) == (request.key or "").encode():
        path = f"/{request.bucket}{path}"  # the bucket is in the host name, and the key alone in the path
    elif request.key is None and not path.endswith("/"):
        path += "/"  # `/bucket` is signed as `/bucket/`
    signed = sorted((name, value) for name, value in request.query.items() if name in _signed_parameters())
    shown = "&".join(f"{name}={_bytes(value)}" if value else name for name, value in signed)
    return f"{path}?{shown}" if shown else path


def _bytes(text: str) -> str:
    """Text as the UTF-8 that is signed, one character a byte, the form in which Headers holds values."""
    return text.encode().decode("latin-1")


@lru_cache(maxsize=1)
def _signed_parameters() -> frozenset[str]:
    selecting = {name for operation in load().operations.values() for name, _ in operation.query}
    return frozenset(selecting | _SIGNED_VALUES) - _NEVER_SIGNED
