"""The data keys of objects: random, 32 bytes, one for each object, kept in its record wrapped under another key.

    SSE-S3    the master key, for the purpose `sse-s3`
    SSE-KMS   a version of a key of the ring; key, version and encryption context are authenticated with it
    SSE-C     the client's key, which is forgotten with the request: whether a later request brings the same one is told
              by whether it opens the data key, so nothing about it is stored

Bucket and key of the object are not bound: a rename moves the record alone. That a record was put under another name
would show nowhere but in the index, whose entries vouch for names anyway; bytes are bound to their write (cipher.py).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.encryption.cipher import BLOCK_FORMAT, KEY_BYTES
from gateway.encryption.keyring import DEFAULT_KEY, KeyRing
from gateway.encryption.wrapping import WrongKey, unwrap_key, wrap_key
from gateway.index.encryption_record import Encryption, EncryptionMode
from s3compat.encryption import CustomerKey, Method, WantedEncryption


class EnvelopeError(Exception):
    """A data key cannot be had."""


class CustomerKeyMissing(EnvelopeError):
    """The object is under a client's own key, and the request brings none."""


class CustomerKeyWrong(EnvelopeError):
    """The object is under another key than the request brings."""


class DataKeyUnreadable(EnvelopeError):
    """The key that should open the data key does not: another master key made it, or the record was altered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKey:
    """An object's data key, opened, and what its record says of it."""

    data_key: bytes = field(repr=False)
    encryption: Encryption
    customer_md5: str | None = None  # of the client's own key, base64; for the answer


class Envelopes:
    """Makes and opens data keys. Any number of tasks may use it at once."""

    def __init__(
        self, master_key: bytes, keyring: KeyRing, *, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._master_key = master_key
        self._keyring = keyring
        self._random_bytes = random_bytes

    async def make(self, wanted: WantedEncryption) -> ObjectKey:
        """A new data key, wrapped as the writer wants it. Raises KeyRingError, IndexUnavailable."""
        return await self._wrapped(self._random_bytes(KEY_BYTES), wanted)

    async def rewrap(self, key: ObjectKey, wanted: WantedEncryption) -> Encryption:
        """The same data key under another key: the bytes stay as they are. Raises KeyRingError, IndexUnavailable."""
        return (await self._wrapped(key.data_key, wanted)).encryption

    async def _wrapped(self, data_key: bytes, wanted: WantedEncryption) -> ObjectKey:
        customer = wanted.customer_key
        if wanted.method is Method.SSE_C:
            if customer is None:
                raise CustomerKeyMissing
            wrapped = self._wrap(customer.key, data_key, b"sse-c", b"")
            encryption = Encryption(mode=EncryptionMode.SSE_C, wrapped_key=wrapped, block_format=BLOCK_FORMAT)
            return ObjectKey(data_key=data_key, encryption=encryption, customer_md5=customer.md5)
        if wanted.method is Method.SSE_S3:
            wrapped = self._wrap(self._master_key, data_key, b"sse-s3", b"")
            encryption = Encryption(mode=EncryptionMode.SSE_S3, wrapped_key=wrapped, block_format=BLOCK_FORMAT)
            return ObjectKey(data_key=data_key, encryption=encryption)
        ring_key = await self._keyring.current(wanted.kms_key_id or DEFAULT_KEY)
        context = wanted.context or ""
        bound = _kms_bound(ring_key.name, ring_key.version, context)
        encryption = Encryption(
            mode=EncryptionMode.SSE_KMS,
            wrapped_key=self._wrap(ring_key.key, data_key, b"sse-kms", bound),
            kms_key_id=wanted.kms_key_id or DEFAULT_KEY,
            kms_key_version=ring_key.version,
            context=context,
            bucket_key=bool(wanted.bucket_key),
            block_format=BLOCK_FORMAT,
        )
        return ObjectKey(data_key=data_key, encryption=encryption)

    async def open(self, encryption: Encryption, customer: CustomerKey | None) -> ObjectKey:
        """The data key of a record. `customer` is asked for with SSE-C only.

        Raises CustomerKeyMissing, CustomerKeyWrong, DataKeyUnreadable, KeyRingError, IndexUnavailable.
        """
        if encryption.block_format != BLOCK_FORMAT:
            raise DataKeyUnreadable(f"blocks have format {encryption.block_format}, this release reads {BLOCK_FORMAT}")
        if encryption.mode is EncryptionMode.SSE_C:
            if customer is None:
                raise CustomerKeyMissing
            try:
                data_key = unwrap_key(customer.key, encryption.wrapped_key, purpose=b"sse-c", bound=b"")
            except WrongKey as error:
                raise CustomerKeyWrong from error
            return ObjectKey(data_key=data_key, encryption=encryption, customer_md5=customer.md5)
        if encryption.mode is EncryptionMode.SSE_S3:
            root_key, purpose, bound = self._master_key, b"sse-s3", b""
        else:
            ring_key = await self._keyring.version(encryption.kms_key_id, encryption.kms_key_version)
            root_key, purpose = ring_key.key, b"sse-kms"
            bound = _kms_bound(ring_key.name, ring_key.version, encryption.context)
        try:
            data_key = unwrap_key(root_key, encryption.wrapped_key, purpose=purpose, bound=bound)
        except WrongKey as error:
            raise DataKeyUnreadable(f"data key under {encryption.kms_key_id or 'the master key'}: {error}") from error
        return ObjectKey(data_key=data_key, encryption=encryption)

    def _wrap(self, root_key: bytes, data_key: bytes, purpose: bytes, bound: bytes) -> bytes:
        return wrap_key(root_key, data_key, purpose=purpose, bound=bound, random_bytes=self._random_bytes)


def _kms_bound(name: str, version: int, context: str) -> bytes:
    packed_name = name.encode()
    return b"".join((len(packed_name).to_bytes(2), packed_name, version.to_bytes(4), context.encode("latin-1")))
