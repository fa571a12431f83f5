"""The checksums of S3: their algorithms, their values in headers and trailers, and how parts make a whole.

Facts are from AWS's pages "Checking object integrity in Amazon S3" and "Checking object integrity for data
uploads". Nothing here reads a body: callers feed a Hasher beside the bytes and compare digests.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

import xxhash
from awscrt import checksums as crt

from s3compat.errors import S3Error
from s3compat.request import Headers

Buffer = bytes | bytearray | memoryview

COMPOSITE: Final = "COMPOSITE"
FULL_OBJECT: Final = "FULL_OBJECT"

HEADER_PREFIX: Final = "x-amz-checksum-"
SDK_ALGORITHM_HEADER: Final = "x-amz-sdk-checksum-algorithm"
TRAILER_HEADER: Final = "x-amz-trailer"

# Headers under the prefix that carry no value of a checksum.
_NOT_VALUES: Final = frozenset(
    {"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"},
)


class Hasher(Protocol):
    """A running checksum. Feed large buffers in a worker thread: all of ours release the GIL on them."""

    def update(self, data: Buffer, /) -> object: ...

    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """One checksum algorithm under its AWS name; `digest_size` is in bytes.

    `supports_composite` and `supports_full_object` say which types a multipart upload may ask for; a single
    PutObject is FULL_OBJECT under every algorithm.
    """

    name: str
    header: str
    member: str
    digest_size: int
    supports_composite: bool
    supports_full_object: bool

    @property
    def default_multipart_type(self) -> str:
        """The type CreateMultipartUpload takes when none is asked for."""
        return COMPOSITE if self.supports_composite else FULL_OBJECT


class _Crc:
    """A CRC of awscrt as a Hasher; the value on the wire is big-endian."""

    __slots__ = ("_compute", "_size", "_value")

    def __init__(self, compute: Callable[[Buffer, int], int], size: int) -> None:
        self._compute = compute
        self._size = size
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._compute(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def _algorithm(name: str, digest_size: int, *, composite: bool, full: bool) -> Algorithm:
    return Algorithm(
        name=name,
        header=HEADER_PREFIX + name.lower(),
        member="Checksum" + name,
        digest_size=digest_size,
        supports_composite=composite,
        supports_full_object=full,
    )


# Only a CRC can be had for the whole object from those of its parts, so only CRCs are FULL_OBJECT in a
# multipart upload, and CRC64NVME is that alone (table "Full object and composite checksum types").
ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        algorithm.name: algorithm
        for algorithm in (
            _algorithm("CRC32", 4, composite=True, full=True),
            _algorithm("CRC32C", 4, composite=True, full=True),
            _algorithm("CRC64NVME", 8, composite=False, full=True),
            _algorithm("SHA1", 20, composite=True, full=False),
            _algorithm("SHA256", 32, composite=True, full=False),
            _algorithm("SHA512", 64, composite=True, full=False),
            _algorithm("MD5", 16, composite=True, full=False),
            _algorithm("XXHASH64", 8, composite=True, full=False),
            _algorithm("XXHASH3", 8, composite=True, full=False),
            _algorithm("XXHASH128", 16, composite=True, full=False),
        )
    }
)

BY_HEADER: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {algorithm.header: algorithm for algorithm in ALGORITHMS.values()}
)

_HASHERS: Final[Mapping[str, Callable[[], Hasher]]] = MappingProxyType(
    {
        "CRC32": lambda: _Crc(crt.crc32, 4),
        "CRC32C": lambda: _Crc(crt.crc32c, 4),
        "CRC64NVME": lambda: _Crc(crt.crc64nvme, 8),
        "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
        "SHA256": hashlib.sha256,
        "SHA512": hashlib.sha512,
        "MD5": lambda: hashlib.md5(usedforsecurity=False),
        "XXHASH64": xxhash.xxh64,
        "XXHASH3": xxhash.xxh3_64,
        "XXHASH128": xxhash.xxh3_128,
    }
)

_COMBINERS: Final[Mapping[str, Callable[[int, int, int], int]]] = MappingProxyType(
    {
        "CRC32": crt.combine_crc32,
        "CRC32C": crt.combine_crc32c,
        "CRC64NVME": crt.combine_crc64nvme,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedChecksum:
    """The checksum a request brings: its value now, or (`trailer`) after the body."""

    algorithm: Algorithm
    value: bytes | None
    trailer: bool


def new(name: str) -> Hasher:
    """A fresh hasher of an algorithm of ALGORITHMS. Raises KeyError for another name."""
    return _HASHERS[name]()


def encode(digest: bytes) -> str:
    """A digest as headers and XML carry it: base64."""
    return base64.b64encode(digest).decode("ascii")


def decode(name: str, text: str, *, trailer: bool = False) -> bytes:
    """The digest in a header (or trailer) value. Raises S3Error InvalidRequest when it is not one."""
    algorithm = ALGORITHMS[name]
    try:
        digest = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        digest = b""
    # The comparison refuses what b64decode lets pass (stray bits in the last character).
    if len(digest) != algorithm.digest_size or encode(digest) != text:
        where = "trailing header" if trailer else "header"
        raise S3Error("InvalidRequest", f"Value for {algorithm.header} {where} is invalid.")
    return digest


def mismatch(name: str) -> S3Error:
    """The error for a body whose checksum is not the one the client gave."""
    return S3Error("BadDigest", f"The {name} you specified did not match the calculated checksum.")


def combine_crc(name: str, parts: Iterable[tuple[bytes, int]]) -> bytes:
    """The full-object CRC from (digest, size in bytes) of each part, in order, without reading the bytes.

    Raises KeyError when `name` is not a CRC.
    """
    combine = _COMBINERS[name]
    whole = 0
    for digest, size_bytes in parts:
        whole = combine(whole, int.from_bytes(digest, "big"), size_bytes)
    return whole.to_bytes(ALGORITHMS[name].digest_size, "big")


def composite(name: str, digests: Sequence[bytes]) -> str:
    """The COMPOSITE checksum of parts: base64 of the checksum of their digests, '-', the number of parts."""
    hasher = new(name)
    hasher.update(b"".join(digests))
    return f"{encode(hasher.digest())}-{len(digests)}"


def check_multipart_type(algorithm: Algorithm, checksum_type: str) -> None:
    """Whether a multipart upload may have this checksum type. Raises S3Error InvalidRequest otherwise."""
    allowed = {COMPOSITE: algorithm.supports_composite, FULL_OBJECT: algorithm.supports_full_object}
    if checksum_type not in allowed:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    if not allowed[checksum_type]:
        raise S3Error(
            "InvalidRequest",
            f"The {checksum_type} checksum type cannot be used with the {algorithm.name.lower()} checksum algorithm.",
        )


def requested_checksum(headers: Headers) -> RequestedChecksum | None:
    """The checksum by which the client wants this body verified, from its headers, or None.

    Raises S3Error InvalidRequest for two checksums, an unknown algorithm, a malformed value, an unsupported
    x-amz-trailer, and an x-amz-sdk-checksum-algorithm that names another algorithm or stands alone.
    """
    given = [name for name in headers if name.startswith(HEADER_PREFIX) and name not in _NOT_VALUES]
    trailer = _trailing_algorithm(headers.get(TRAILER_HEADER))
    if len(given) + (trailer is not None) > 1:
        raise S3Error(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    requested = None
    if trailer is not None:
        requested = RequestedChecksum(algorithm=trailer, value=None, trailer=True)
    elif given:
        algorithm = BY_HEADER.get(given[0])
        if algorithm is None:
            raise S3Error("InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid.")
        value = decode(algorithm.name, headers.get(given[0]) or "")
        requested = RequestedChecksum(algorithm=algorithm, value=value, trailer=False)
    _check_sdk_algorithm(headers.get(SDK_ALGORITHM_HEADER), requested)
    return requested


def trailer_names(headers: Headers) -> frozenset[str]:
    """The trailers that x-amz-trailer announces, in lower case."""
    names = (headers.get(TRAILER_HEADER) or "").split(",")
    return frozenset(name.strip().lower() for name in names if name.strip())


def _trailing_algorithm(announced: str | None) -> Algorithm | None:
    if announced is None or not announced.strip():
        return None
    algorithm = BY_HEADER.get(announced.strip().lower())
    if algorithm is None:
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    return algorithm


def _check_sdk_algorithm(named: str | None, requested: RequestedChecksum | None) -> None:
    if named is None or not named:
        return
    if named.upper() not in ALGORITHMS:
        raise S3Error(
            "InvalidRequest",
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(sorted(ALGORITHMS))}]",
        )
    if requested is None:
        raise S3Error(
            "InvalidRequest",
            f"{SDK_ALGORITHM_HEADER} specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
            "headers were found.",
        )
    if named.upper() != requested.algorithm.name:
        raise S3Error("InvalidRequest", f"Value for {SDK_ALGORITHM_HEADER} header is invalid.")
