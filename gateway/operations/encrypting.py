"""Encryption between requests and records: the key of an object that is written or read, the members of an answer.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html (what each request of an upload brings)

Wherever bytes of an object are read, they come through `reading_key` and `read_object`.
"""

import hashlib
import ipaddress
from collections.abc import AsyncGenerator

import structlog

from gateway.context import Context, Output
from gateway.encryption.envelope import (
    CustomerKeyMissing,
    CustomerKeyWrong,
    EnvelopeError,
    ObjectKey,
)
from gateway.encryption.keyring import KeyRingError, UnknownKmsKey
from gateway.encryption.streams import read_encrypted
from gateway.index.encryption_record import Encryption, EncryptionMode
from gateway.index.records import ObjectRecord, UploadRecord
from gateway.operations.bucket_encryption import default_encryption
from s3compat.encryption import (
    AES256,
    AWS_KMS,
    CUSTOMER_PREFIX,
    KEY_MISSING,
    KEY_WRONG,
    METHOD_HEADER,
    NEEDS_SIGNATURE,
    NEEDS_TLS,
    NOT_APPLICABLE,
    SOURCE_PREFIX,
    UPLOAD_DIFFERS,
    UPLOAD_KEY_DIFFERS,
    CustomerKey,
    Method,
    WantedEncryption,
    bucket_key,
    customer_key,
    has_customer_headers,
    refuse_managed_encryption,
    wanted_encryption,
)
from s3compat.errors import S3Error

log = structlog.get_logger("cairn.gateway")

_METHODS = {EncryptionMode.SSE_S3: AES256, EncryptionMode.SSE_KMS: AWS_KMS}


def requested_encryption(context: Context) -> WantedEncryption | None:
    """What an object that is written now is to be encrypted with: what the headers ask for, else the bucket's default.

    Raises InvalidArgument, InvalidEncryptionAlgorithmError, InvalidRequest (SSE-C in the clear), AccessDenied (SSE-C
    where the bucket blocks it), NotImplemented.
    """
    headers = context.request.headers
    wanted = wanted_encryption(headers)
    default = default_encryption(context.target_bucket)
    stated_bucket_key = bucket_key(headers)
    if wanted is not None and wanted.method is Method.SSE_C:
        _require_private_channel(context)
        if default is not None and default.blocks_customer_keys:
            raise _blocked(context)
    if default is None:
        return wanted
    if wanted is None:
        wanted = default.wanted
    if wanted.method is not Method.SSE_KMS:
        return wanted
    chosen = default.bucket_key if stated_bucket_key is None else stated_bucket_key
    return WantedEncryption(
        method=wanted.method, kms_key_id=wanted.kms_key_id, context=wanted.context, bucket_key=chosen
    )


async def key_of_write(context: Context, wanted: WantedEncryption | None) -> ObjectKey | None:
    """A new data key, None where nothing is wanted. Raises KMS.NotFoundException, InvalidArgument (anonymous)."""
    if wanted is None:
        return None
    if wanted.method is Method.SSE_KMS:
        _require_signature(context)
    try:
        return await context.services.envelopes.make(wanted)
    except KeyRingError as error:
        raise _kms_error(error) from error


async def rewrapped(context: Context, encryption: Encryption, wanted: WantedEncryption) -> Encryption:
    """The data key of an object that is not under its writer's own, under another key.

    Raises KMS.NotFoundException, InvalidArgument (anonymous).
    """
    _require_signature(context)
    key = await _open(context, encryption, None)
    try:
        return await context.services.envelopes.rewrap(key, wanted)
    except KeyRingError as error:
        raise _kms_error(error) from error


async def key_of_upload(context: Context, upload: UploadRecord) -> ObjectKey | None:
    """The data key of an upload, for a part of it or its end.

    A part must bring the client's own key again. SSE-S3 and SSE-KMS are the business of the request that began the
    upload: AWS refuses their headers here. Those that name the method which the upload has anyway are taken, as by
    other servers: the answer says what holds. Raises InvalidRequest, InvalidArgument.
    """
    headers = context.request.headers
    encryption = upload.encryption
    if encryption is None or headers.get(METHOD_HEADER) != _METHODS.get(encryption.mode, ""):
        refuse_managed_encryption(headers)
    customer = _customer_key(context, CUSTOMER_PREFIX)
    of_customer = encryption is not None and encryption.mode is EncryptionMode.SSE_C
    if of_customer != (customer is not None):
        raise S3Error("InvalidRequest", UPLOAD_DIFFERS)
    if encryption is None:
        return None
    try:
        return await _open(context, encryption, customer)
    except CustomerKeyWrong as error:
        raise S3Error("InvalidRequest", UPLOAD_KEY_DIFFERS) from error


async def check_key_of_end(context: Context, upload: UploadRecord) -> None:
    """CompleteMultipartUpload must bring the client's own key where the upload names a checksum algorithm, says AWS.

    One that it brings without need must be the upload's all the same. Raises InvalidRequest, InvalidArgument.
    """
    of_customer = upload.encryption is not None and upload.encryption.mode is EncryptionMode.SSE_C
    needed = not of_customer or upload.checksum_algorithm is not None
    if needed or has_customer_headers(context.request.headers):
        await key_of_upload(context, upload)


async def reading_key(context: Context, record: ObjectRecord, *, of_source: bool = False) -> ObjectKey | None:
    """The data key of an object that is read, None where it is not encrypted; `of_source` for that of a copy.

    Raises InvalidRequest (key missing, or not applicable), AccessDenied (wrong key), InvalidArgument.
    """
    encryption = record.encryption
    headers = context.request.headers
    if not of_source:
        refuse_managed_encryption(headers)
    prefix = SOURCE_PREFIX if of_source else CUSTOMER_PREFIX
    if encryption is None:
        if has_customer_headers(headers, prefix):
            _customer_key(context, prefix)
            raise S3Error("InvalidRequest", NOT_APPLICABLE)
        return None
    customer = _customer_key(context, prefix)
    if customer is not None and encryption.mode is not EncryptionMode.SSE_C:
        raise S3Error("InvalidRequest", NOT_APPLICABLE)
    try:
        return await _open(context, encryption, customer)
    except CustomerKeyMissing as error:
        raise S3Error("InvalidRequest", KEY_MISSING) from error
    except CustomerKeyWrong as error:
        raise S3Error("AccessDenied", KEY_WRONG) from error


def read_object(
    context: Context, record: ObjectRecord, offset: int, length: int, key: ObjectKey | None
) -> AsyncGenerator[bytes, None]:
    """Bytes of an object as its writer sent them; `key` is what `reading_key` gave. `aclose` it when leaving early.

    Raises BytesUnavailable, BytesAltered.
    """
    if key is None:
        return context.datapath.read(record.extents, offset, length)
    return read_encrypted(context.datapath, record.extents, key.data_key, offset, length)


def encryption_members(key: ObjectKey | None) -> Output:
    """What the answer to a write or a read says of the object's encryption."""
    if key is None:
        return {}
    if key.encryption.mode is EncryptionMode.SSE_C:
        return {"SSECustomerAlgorithm": AES256, "SSECustomerKeyMD5": key.customer_md5}
    return managed_members(key.encryption)


def managed_members(encryption: Encryption | None) -> Output:
    """The same where no key is at hand: nothing of SSE-C."""
    if encryption is None or encryption.mode is EncryptionMode.SSE_C:
        return {}
    members: Output = {"ServerSideEncryption": _METHODS[encryption.mode]}
    if encryption.mode is EncryptionMode.SSE_KMS:
        members["SSEKMSKeyId"] = encryption.kms_key_id
        if encryption.bucket_key:
            members["BucketKeyEnabled"] = True
    return members


def context_member(key: ObjectKey | None) -> Output:
    """The encryption context, which only answers to writes repeat."""
    if key is None or not key.encryption.context:
        return {}
    return {"SSEKMSEncryptionContext": key.encryption.context}


def etag_of(key: ObjectKey | None, md5: bytes) -> str:
    """The ETag of a stream: its MD5 in hexadecimal, unless SSE-KMS or SSE-C forbid that anybody learns it.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html. The same part sent twice keeps its ETag.
    """
    if key is None or key.encryption.mode is EncryptionMode.SSE_S3:
        return md5.hex()
    return hashlib.md5(b"cairn etag" + key.encryption.wrapped_key + md5, usedforsecurity=False).hexdigest()


async def _open(context: Context, encryption: Encryption, customer: CustomerKey | None) -> ObjectKey:
    if encryption.mode is EncryptionMode.SSE_KMS:
        _require_signature(context)
    try:
        return await context.services.envelopes.open(encryption, customer)
    except KeyRingError as error:
        raise _kms_error(error) from error
    except (CustomerKeyMissing, CustomerKeyWrong):
        raise
    except EnvelopeError as error:
        log.error("data key cannot be opened", request_id=context.request_id, error=str(error))
        raise S3Error("InternalError") from error


def _customer_key(context: Context, prefix: str) -> CustomerKey | None:
    headers = context.request.headers
    if not has_customer_headers(headers, prefix):
        return None
    _require_private_channel(context)
    return customer_key(headers, prefix)


def _require_private_channel(context: Context) -> None:
    """AWS takes keys over TLS only. Here a proxy on this machine may have had the TLS, which its address tells."""
    if context.request.secure or context.services.settings.ssec_over_http:
        return
    if not _is_loopback(context.access.client_address):
        raise S3Error("InvalidRequest", NEEDS_TLS)


def _is_loopback(address: str | None) -> bool:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    # A socket for both protocols shows 127.0.0.1 as ::ffff:127.0.0.1.
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _require_signature(context: Context) -> None:
    """Keys of the ring are for users; what is public is not so under one of them."""
    if context.identity.is_anonymous:
        raise S3Error("InvalidArgument", NEEDS_SIGNATURE, ArgumentName="Authorization", ArgumentValue="null")


def _blocked(context: Context) -> S3Error:
    # The text is AWS's own for this refusal, with the sender left out.
    return S3Error(
        "AccessDenied",
        f'Not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::{context.target_bucket.name}'
        f'/{context.key}" because this bucket has blocked upload requests that specify Server Side Encryption with '
        "Customer provided keys (SSE-C). Please specify a different server-side encryption type",
    )


def _kms_error(error: KeyRingError) -> S3Error:
    if isinstance(error, UnknownKmsKey):
        return S3Error("KMS.NotFoundException", str(error))
    log.error("key ring", error=str(error))
    return S3Error("InternalError")
