"""How an object lies encrypted, as its record says it; a part of `records`, and opaque to the index."""

from dataclasses import dataclass
from enum import IntEnum


class EncryptionMode(IntEnum):
    """Whose key wraps an object's data key. The numbers are stored: do not change them."""

    SSE_S3 = 1  # one derived from the master key
    SSE_KMS = 2  # a version of a key of the key ring
    SSE_C = 3  # the client's, which is nowhere kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How the bytes of an object lie encrypted, see `gateway.encryption`."""

    mode: EncryptionMode
    wrapped_key: bytes  # the data key, wrapped
    kms_key_id: str = ""  # as the writer named it
    kms_key_version: int = 0
    context: str = ""  # the KMS encryption context, base64 of its JSON as the writer gave it
    bucket_key: bool = False  # the writer asked for a bucket key
    block_format: int = 1  # of the blocks, see `gateway.encryption.cipher`
