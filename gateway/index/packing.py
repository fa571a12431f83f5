"""The pieces that the encodings share: msgpack, pairs, checksums, hexadecimal text, errors.

Records outside of objects are framed as one format byte and a msgpack array.
"""

import struct
from collections.abc import Sequence
from typing import Any, NoReturn

import msgpack

from gateway.index.encryption_record import Encryption, EncryptionMode
from gateway.index.errors import CorruptRecord, UnsupportedFormat
from gateway.index.records import Checksum

FORMAT = 1

# Header names that take one byte in a record. Stored: append only.
HEADER_NAMES = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-website-redirect-location",
    "x-amz-storage-class",
)
_HEADER_CODES = {name: code for code, name in enumerate(HEADER_NAMES)}
# The same for checksums.
_ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
_CHECKSUM_TYPES = ("FULL_OBJECT", "COMPOSITE")

# What decoding of foreign bytes may raise.
DECODE_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    struct.error,
    msgpack.UnpackException,
)

Pairs = tuple[tuple[str, str], ...]


def pack(value: Any) -> bytes:
    """msgpack with separate types for text and bytes."""
    packed: bytes = msgpack.packb(value)
    return packed


def unpack(data: bytes) -> Any:
    """The inverse of `pack`; maps may have integer keys. Raises one of DECODE_ERRORS."""
    return msgpack.unpackb(data, strict_map_key=False)


def pack_record(fields: Sequence[Any]) -> bytes:
    """A format byte and an array."""
    return bytes([FORMAT]) + pack(fields)


def unpack_record(data: bytes) -> list[Any]:
    """The inverse of `pack_record`. Raises UnsupportedFormat, or one of DECODE_ERRORS."""
    check_format(data[0])
    fields = unpack(data[1:])
    if not isinstance(fields, list):
        raise TypeError("the record is not an array")
    return fields


def check_format(number: int) -> None:
    """Refuse what a newer release has written. Raises UnsupportedFormat."""
    if number != FORMAT:
        raise UnsupportedFormat(f"a record has format {number}, this release reads {FORMAT}")


def corrupt(what: str, data: bytes, error: Exception) -> NoReturn:
    """Raise CorruptRecord with the beginning of the bytes that did not parse."""
    raise CorruptRecord(f"{what} of {len(data)} bytes ({data[:40].hex()}…): {error}") from error


def compact_hex(text: str) -> bytes | str:
    """Hexadecimal in lower case as bytes, any other text as it is."""
    try:
        packed = bytes.fromhex(text)
    except ValueError:
        return text
    return packed if packed.hex() == text else text


def expand_hex(packed: bytes | str) -> str:
    """The inverse of `compact_hex`."""
    return packed.hex() if isinstance(packed, bytes) else packed


def pack_pairs(pairs: Pairs) -> list[str]:
    """Name, value, name, value, …"""
    return [text for pair in pairs for text in pair]


def unpack_pairs(packed: list[str]) -> Pairs:
    """The inverse of `pack_pairs`."""
    return tuple(zip(packed[::2], packed[1::2], strict=True))


def pack_headers(headers: Pairs) -> list[int | str]:
    """As `pack_pairs`, with a number for each name that has one."""
    return [item for name, value in headers for item in (_HEADER_CODES.get(name, name), value)]


def unpack_headers(packed: list[Any]) -> Pairs:
    """The inverse of `pack_headers`."""
    return tuple(
        [
            (HEADER_NAMES[name] if isinstance(name, int) else name, value)
            for name, value in zip(packed[::2], packed[1::2], strict=True)
        ]
    )


def pack_checksum(checksum: Checksum | None) -> list[int | str] | None:
    """Algorithm and type (numbers where they have one) and value; None as nil."""
    if checksum is None:
        return None
    return [_code(checksum.algorithm, _ALGORITHMS), _code(checksum.type, _CHECKSUM_TYPES), checksum.value]


def unpack_checksum(packed: list[Any] | None) -> Checksum | None:
    """The inverse of `pack_checksum`."""
    if packed is None:
        return None
    algorithm, kind, value = packed
    return Checksum(
        algorithm=_ALGORITHMS[algorithm] if isinstance(algorithm, int) else algorithm,
        type=_CHECKSUM_TYPES[kind] if isinstance(kind, int) else kind,
        value=value,
    )


def pack_encryption(encryption: Encryption | None) -> list[Any] | None:
    """The fields in their order; None as nil."""
    if encryption is None:
        return None
    return [
        int(encryption.mode),
        encryption.wrapped_key,
        encryption.kms_key_id,
        encryption.kms_key_version,
        encryption.context,
        encryption.bucket_key,
        encryption.block_format,
    ]


def unpack_encryption(packed: list[Any] | None) -> Encryption | None:
    """The inverse of `pack_encryption`."""
    if packed is None:
        return None
    mode, wrapped_key, kms_key_id, kms_key_version, context, bucket_key, block_format = packed
    return Encryption(
        mode=EncryptionMode(mode),
        wrapped_key=wrapped_key,
        kms_key_id=kms_key_id,
        kms_key_version=kms_key_version,
        context=context,
        bucket_key=bucket_key,
        block_format=block_format,
    )


def _code(text: str, table: tuple[str, ...]) -> int | str:
    return table.index(text) if text in table else text
