"""Server-side encryption as the headers of a request ask for it: SSE-S3, SSE-KMS, SSE-C; and what AWS says to
contradictions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-kms-encryption.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-s3-c-encryption.html

A POST form's fields have become headers before they come here. Texts and ArgumentNames are those that AWS was seen to
answer with: it calls nearly every argument of SSE-C `x-amz-server-side-encryption`, with the value `null`.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from s3compat.errors import S3Error
from s3compat.request import Headers

METHOD_HEADER: Final = "x-amz-server-side-encryption"
KMS_KEY_HEADER: Final = "x-amz-server-side-encryption-aws-kms-key-id"
CONTEXT_HEADER: Final = "x-amz-server-side-encryption-context"
BUCKET_KEY_HEADER: Final = "x-amz-server-side-encryption-bucket-key-enabled"
CUSTOMER_PREFIX: Final = "x-amz-server-side-encryption-customer-"
"""Of the algorithm, the key and its MD5."""
SOURCE_PREFIX: Final = "x-amz-copy-source-server-side-encryption-customer-"
"""The same, for the source of a copy."""

AES256: Final = "AES256"
AWS_KMS: Final = "aws:kms"
AWS_KMS_DSSE: Final = "aws:kms:dsse"

CUSTOMER_KEY_SIZE_BYTES: Final = 32
#: The header's text. A context is a few pairs; KMS itself takes at most 8 KiB of JSON.
CONTEXT_LIMIT_CHARACTERS: Final = 8192
#: KMS: "Length Constraints: Minimum length of 1. Maximum length of 2048."
KMS_KEY_ID_LIMIT_CHARACTERS: Final = 2048

NOT_APPLICABLE: Final = "The encryption parameters are not applicable to this object."
KEY_MISSING: Final = (
    "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve "
    "the object."
)
KEY_WRONG: Final = (
    "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key."
)
UPLOAD_DIFFERS: Final = (
    "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate "
    "encryption parameters."
)
UPLOAD_KEY_DIFFERS: Final = "The provided encryption parameters did not match the ones used originally."
NEEDS_TLS: Final = (
    "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection."
)
NEEDS_SIGNATURE: Final = (
    "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4."
)
_INCOMPATIBLE: Final = (
    "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
)
_KMS_WITHOUT_METHOD: Final = (
    "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms"
)
_CUSTOMER_KEYS: Final = "Requests specifying Server Side Encryption with Customer provided keys must provide "


class Method(Enum):
    """What a request, or a bucket's default, asks for."""

    SSE_S3 = "SSE-S3"
    SSE_KMS = "SSE-KMS"
    SSE_C = "SSE-C"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerKey:
    """A client's own key, which comes with every request and stays nowhere."""

    key: bytes = field(repr=False)
    md5: str  # base64


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedEncryption:
    """What an object that is written is to be encrypted with."""

    method: Method
    kms_key_id: str | None = None  # as the client names it; None is the default key
    context: str | None = None  # base64 as it was given
    bucket_key: bool | None = None  # None: the request does not say
    customer_key: CustomerKey | None = None


def wanted_encryption(headers: Headers) -> WantedEncryption | None:
    """What the headers of PutObject, CopyObject, CreateMultipartUpload or a form ask for; None where they do not.

    Raises InvalidArgument, InvalidEncryptionAlgorithmError, NotImplemented (aws:kms:dsse).
    """
    method = headers.get(METHOD_HEADER)
    if has_customer_headers(headers):
        if method is not None:
            raise _invalid(_INCOMPATIBLE, value=method)
        for name in (KMS_KEY_HEADER, CONTEXT_HEADER):
            if name in headers:
                raise _invalid(_INCOMPATIBLE)
        return WantedEncryption(method=Method.SSE_C, customer_key=customer_key(headers))
    if method is None or method == AES256:
        for name in (KMS_KEY_HEADER, CONTEXT_HEADER):
            if name in headers:
                raise _invalid(_KMS_WITHOUT_METHOD, value=method or "null")
        # A bucket key header alone says something of a method that the bucket may bring: see `bucket_key`.
        return None if method is None else WantedEncryption(method=Method.SSE_S3)
    if method == AWS_KMS_DSSE:
        raise S3Error("NotImplemented", "aws:kms:dsse is not implemented.", Header=METHOD_HEADER)
    if method != AWS_KMS:
        raise _invalid("The encryption method specified is not supported", value=method[:100])
    return WantedEncryption(
        method=Method.SSE_KMS,
        kms_key_id=_kms_key_id(headers.get(KMS_KEY_HEADER)),
        context=_context(headers.get(CONTEXT_HEADER)),
        bucket_key=bucket_key(headers),
    )


def bucket_key(headers: Headers) -> bool | None:
    """What a request says of bucket keys, None where nothing. Raises InvalidArgument."""
    text = headers.get(BUCKET_KEY_HEADER)
    if text is None:
        return None
    if text.lower() not in ("true", "false"):
        raise S3Error("InvalidArgument", ArgumentName=BUCKET_KEY_HEADER, ArgumentValue=text[:100])
    return text.lower() == "true"


def has_customer_headers(headers: Headers, prefix: str = CUSTOMER_PREFIX) -> bool:
    """Whether a request says anything of a key of its own."""
    return any(prefix + name in headers for name in ("algorithm", "key", "key-md5"))


def customer_key(headers: Headers, prefix: str = CUSTOMER_PREFIX) -> CustomerKey | None:
    """The client's own key, None where the request brings none.

    Raises InvalidArgument (incomplete; MD5 of another key; not 32 bytes), InvalidEncryptionAlgorithmError.
    """
    if not has_customer_headers(headers, prefix):
        return None
    algorithm, text, md5 = (headers.get(prefix + name) for name in ("algorithm", "key", "key-md5"))
    if algorithm is None:
        raise _invalid(_CUSTOMER_KEYS + "a valid encryption algorithm.")
    if algorithm != AES256:
        raise S3Error(
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256.",
            ArgumentName=METHOD_HEADER,
            ArgumentValue=algorithm[:100],
        )
    if not text:
        raise _invalid(_CUSTOMER_KEYS + "an appropriate secret key.")
    if not md5:
        raise _invalid(_CUSTOMER_KEYS + "the client calculated MD5 of the secret key.")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as malformed:
        raise _invalid("The secret key was invalid for the specified algorithm.") from malformed
    actual = base64.b64encode(hashlib.md5(key, usedforsecurity=False).digest()).decode()
    if not hmac.compare_digest(actual.encode(), md5.encode("latin-1", "replace")):
        raise _invalid("The calculated MD5 hash of the key did not match the hash that was provided.")
    if len(key) != CUSTOMER_KEY_SIZE_BYTES:
        raise _invalid("The secret key was invalid for the specified algorithm.")
    return CustomerKey(key=key, md5=actual)


def refuse_managed_encryption(headers: Headers) -> None:
    """Raise InvalidArgument for SSE-S3 and SSE-KMS headers where only an object's writer may send them.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html ("Encryption request headers ... should not be
    sent for GET requests").
    """
    for name in headers:
        if name.startswith(METHOD_HEADER) and not name.startswith(CUSTOMER_PREFIX):
            raise S3Error(
                "InvalidArgument",
                "x-amz-server-side-encryption header is not supported for this operation.",
                ArgumentName=name,
                ArgumentValue=headers.get(name) or "",
            )


def _kms_key_id(text: str | None) -> str | None:
    if not text:
        return None
    if len(text) > KMS_KEY_ID_LIMIT_CHARACTERS:
        raise S3Error("KMS.NotFoundException", "Invalid keyId")
    return text


def _context(text: str | None) -> str | None:
    """An encryption context, as it was given: base64 of the JSON of an object whose values are strings."""
    if text is None:
        return None
    try:
        if len(text) > CONTEXT_LIMIT_CHARACTERS:
            raise ValueError("too long")
        pairs = json.loads(base64.b64decode(text, validate=True).decode())
        well_formed = isinstance(pairs, dict) and all(isinstance(value, str) for value in pairs.values())
    except (ValueError, RecursionError):  # those of base64 and UTF-8 are ValueErrors, too
        well_formed = False
    if not well_formed:
        raise S3Error(
            "InvalidArgument",
            f"The header '{CONTEXT_HEADER}' shall be Base64-encoded UTF-8 string holding JSON which represents a "
            "string-string map",
            ArgumentName=CONTEXT_HEADER,
            ArgumentValue=text[:100],
        )
    return text


def _invalid(message: str, *, value: str = "null") -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=METHOD_HEADER, ArgumentValue=value)
