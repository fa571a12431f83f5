"""AWS Signature Version 4 as pure functions: canonical forms, strings to sign, keys, signatures.

The rules are on AWS's page "Signature Calculations for the Authorization Header: Transferring Payload in a
Single Chunk". What a request claims of its signature is read in sigv4.py (header) and presigned.py (query).
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from s3compat.errors import S3Error
from s3compat.httpdate import format_amz_date, parse_amz_date

ALGORITHM: Final = "AWS4-HMAC-SHA256"
CHUNK_ALGORITHM: Final = "AWS4-HMAC-SHA256-PAYLOAD"
TRAILER_ALGORITHM: Final = "AWS4-HMAC-SHA256-TRAILER"
SERVICE: Final = "s3"
TERMINATOR: Final = "aws4_request"

EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING_PAYLOADS: Final = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})

_ECDSA_PAYLOADS: Final = frozenset(
    {"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"}
)
_SHA256_HEX: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)

# A path of these bytes alone is its own canonical form.
_CANONICAL_PATH: Final = re.compile(rb"/[A-Za-z0-9\-._~/]*")

_HEADER_NAMES: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+(?:;[\w!#$%&'*+.^`|~-]+)*", re.ASCII)

MAX_SKEW: Final = timedelta(minutes=15)
"""How far a client's clock may be from ours, in the header and in the query."""

_SIGNATURE_PARAMETER: Final = b"X-Amz-Signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureClaim:
    """Who says to have signed a request, and how; nothing is proven until sigv4.verify.

    `date` is the credential's day (20130524), `signed_headers` are in the order given. `payload_hash` is the
    value of x-amz-content-sha256: a hex SHA-256, UNSIGNED-PAYLOAD, or one of STREAMING_PAYLOADS.
    """

    access_key: str
    timestamp: datetime
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)
    presigned: bool
    payload_hash: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningContext:
    """What a verified request hands on to the signatures of its chunks (aws_chunked.py)."""

    signing_key: bytes = field(repr=False)
    scope: str
    timestamp: str
    seed_signature: str
    access_key: str = ""


@lru_cache(maxsize=4096)
def signing_key(secret_key: str, date: str, region: str, service: str = SERVICE) -> bytes:
    """The key of one day, region and service. Cached: four HMACs a request would be most of verifying."""
    key = ("AWS4" + secret_key).encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac_sha256(key, part.encode())
    return key


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def sign(key: bytes, text: str) -> str:
    """The signature of a string to sign, in lower-case hex."""
    return hmac_sha256(key, text.encode()).hex()


def same_signature(expected: str, given: str) -> bool:
    """Comparison in constant time; `given` may hold anything."""
    return hmac.compare_digest(expected.encode(), given.encode())


def string_to_sign(timestamp: str, scope: str, canonical_request: bytes) -> str:
    digest = hashlib.sha256(canonical_request).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}"


def chunk_string_to_sign(context: SigningContext, previous: str, chunk_sha256: str) -> str:
    """For a chunk of an aws-chunked body (AWS: sigv4-streaming)."""
    return f"{CHUNK_ALGORITHM}\n{context.timestamp}\n{context.scope}\n{previous}\n{EMPTY_SHA256}\n{chunk_sha256}"


def trailer_string_to_sign(context: SigningContext, previous: str, trailer_sha256: str) -> str:
    """For the trailing headers of an aws-chunked body (AWS: sigv4-streaming-trailers)."""
    return f"{TRAILER_ALGORITHM}\n{context.timestamp}\n{context.scope}\n{previous}\n{trailer_sha256}"


def canonical_request(
    *, method: str, path: str, query: str, headers: Sequence[tuple[str, str]], payload_hash: str
) -> bytes:
    """Put the canonical parts together; `headers` are the signed ones in order, names in lower case."""
    lines = "".join(f"{name}:{value}\n" for name, value in headers)
    names = ";".join(name for name, _ in headers)
    # latin-1 gives header values back byte for byte; everything else here is ASCII.
    return f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload_hash}".encode("latin-1")


def canonical_path(raw_path: bytes) -> str:
    """UriEncode of the path: decoded once, then every byte but the unreserved ones and '/' escaped.

    S3 alone among AWS services neither normalises the path nor encodes it twice. Whatever a client left
    unescaped on the wire ('a b', '+', '~') thus gets the form that it signed.
    """
    if _CANONICAL_PATH.fullmatch(raw_path):
        return raw_path.decode("ascii")
    return quote_from_bytes(unquote_to_bytes(raw_path), safe="/") or "/"


def canonical_query(raw_query: bytes) -> str:
    """Parameters decoded, escaped by AWS's rule and sorted; X-Amz-Signature, which signs them, left out."""
    if not raw_query:
        return ""
    pairs = []
    for piece in raw_query.split(b"&"):
        name, _, value = piece.partition(b"=")
        if piece and name != _SIGNATURE_PARAMETER:
            pairs.append((_reencode(name), _reencode(value)))
    pairs.sort()
    return "&".join(f"{name}={value}" for name, value in pairs)


def uri_encode(text: str, *, keep_slash: bool = False) -> str:
    """AWS's UriEncode of a decoded name or value."""
    return quote_from_bytes(text.encode(), safe="/" if keep_slash else "")


def collapse_spaces(value: str) -> str:
    """Trimall: no white space around the value, runs of it within become one space.

    Done on ASCII white space only: to str.split() the latin-1 character 0xA0, a byte of UTF-8, is a space.
    """
    return b" ".join(value.encode("latin-1").split()).decode("latin-1")


def check_payload_hash(value: str) -> str:
    """Give back a legal value of x-amz-content-sha256.

    Raises S3Error InvalidArgument, or NotImplemented for the asymmetric (SigV4A) ones.
    """
    if value == UNSIGNED_PAYLOAD or value in STREAMING_PAYLOADS or _SHA256_HEX.fullmatch(value):
        return value
    if value in _ECDSA_PAYLOADS:
        raise S3Error("NotImplemented", f"The chunk encoding algorithm {value} is not supported.")
    raise S3Error(
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER "
        "or a valid sha256 value.",
        ArgumentName="x-amz-content-sha256",
        ArgumentValue=value,
    )


class CredentialError(ValueError):
    """A Credential that is not ACCESS_KEY/DATE/REGION/s3/aws4_request; the text is AWS's."""

    def __init__(self, message: str, **elements: str) -> None:
        super().__init__(message)
        self.elements = elements


def split_credential(credential: str, *, amz_date: str, region: str | None) -> tuple[str, str, str, str]:
    """Access key, date, region and service of a Credential, checked.

    `amz_date` is the request's time (20130524T000000Z); `region` the only one served, None for any.
    Raises CredentialError.
    """
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or not all(parts):
        raise CredentialError(
            'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    access_key, date, claimed_region, service, terminator = parts
    if parse_amz_date(f"{date}T000000Z") is None:
        raise CredentialError(
            f'incorrect date format "{date}". This date in the credential must be in the format "yyyyMMdd".'
        )
    if region is not None and claimed_region != region:
        raise CredentialError(f"the region '{claimed_region}' is wrong; expecting '{region}'", Region=region)
    if service != SERVICE:
        raise CredentialError(f'incorrect service "{service}". This endpoint belongs to "{SERVICE}".')
    if terminator != TERMINATOR:
        raise CredentialError(f'incorrect terminal "{terminator}". This endpoint uses "{TERMINATOR}".')
    if date != amz_date[:8]:
        raise CredentialError(
            f'Invalid credential date "{date}". This date is not the same as X-Amz-Date: "{amz_date[:8]}".'
        )
    return access_key, date, claimed_region, service


def split_signed_headers(text: str) -> tuple[str, ...] | None:
    """The names of SignedHeaders in their order, or None when they are not header names."""
    return tuple(text.split(";")) if _HEADER_NAMES.fullmatch(text) else None


def spaced_hex(raw: bytes) -> str:
    """Bytes as the elements StringToSignBytes and CanonicalRequestBytes show them: 41 57 53."""
    return raw.hex(" ")


def signature_mismatch(*, access_key: str, signature: str, to_sign: str, canonical: bytes | None = None) -> S3Error:
    """SignatureDoesNotMatch with what the server computed, so that a client can see where they differ."""
    elements = {
        "AWSAccessKeyId": access_key,
        "StringToSign": to_sign,
        "SignatureProvided": signature,
        "StringToSignBytes": spaced_hex(to_sign.encode()),
    }
    if canonical is not None:
        elements["CanonicalRequest"] = canonical.decode("utf-8", "replace")
        elements["CanonicalRequestBytes"] = spaced_hex(canonical)
    return S3Error("SignatureDoesNotMatch", headers={}, **elements)


def canonical_headers(headers: Iterable[tuple[str, str]], signed: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """For a client: (name, value) of the headers to sign, sorted; repeats joined with ','."""
    wanted = None if signed is None else {name.lower() for name in signed}
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if wanted is None or key in wanted:
            text = collapse_spaces(value)
            joined[key] = f"{joined[key]},{text}" if key in joined else text
    return sorted(joined.items())


def sign_canonical(
    canonical: bytes, *, secret_key: str, timestamp: datetime, region: str, service: str = SERVICE
) -> str:
    """For a client: the signature of a canonical request."""
    amz_date = format_amz_date(timestamp)
    scope = credential_scope(timestamp, region, service)
    key = signing_key(secret_key, amz_date[:8], region, service)
    return sign(key, string_to_sign(amz_date, scope, canonical))


def credential_scope(timestamp: datetime, region: str, service: str = SERVICE) -> str:
    return f"{format_amz_date(timestamp)[:8]}/{region}/{service}/{TERMINATOR}"


def _reencode(raw: bytes) -> str:
    # In a query string '+' is a space to S3, and so it is signed as one.
    return quote_from_bytes(unquote_to_bytes(raw.replace(b"+", b" ")), safe="")
