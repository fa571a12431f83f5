"""The bytes of an extent as they lie encrypted: AES-256-GCM over blocks of plaintext. Pure.

    sealed block   ciphertext (as long as its plaintext) ‖ 16 bytes, the tag

A block holds 64 KiB of plaintext, the last one of an extent what is left. So the sealed size says the plain one, and a
range is read by reading the blocks that it touches; 64 KiB is what a range of one byte costs, and one part in 4,096 is
what the tags cost.

    key     HKDF-SHA256 of the object's data key, for "cairn extent 1" ‖ write id
    nonce   12 bytes, big-endian: the number of the block in its extent
    AAD     write id, 16 bytes ‖ number of the block, 8 bytes ‖ plaintext bytes of the whole extent, 8 bytes

Every write has a random id of its own and is encrypted once, so a key never meets a nonce twice. The additional data
repeats what key and nonce already bind, and adds the length: a block in another place, of another write or another
object does not open, nor does any block of an extent that was cut short or made longer at a block's end. What the order
of the extents is, the object's record says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.datapath.errors import DataPathError
from gateway.index.records import Extent

BLOCK_FORMAT = 1
BLOCK_BYTES = 64 * 1024
TAG_BYTES = 16
SEALED_BLOCK_BYTES = BLOCK_BYTES + TAG_BYTES
KEY_BYTES = 32

_NONCE_BYTES = 12
_PURPOSE = b"cairn extent 1"


class BytesAltered(DataPathError):
    """Stored bytes are not what was encrypted: changed, cut, moved, or of another key."""


def sealed_size(size_bytes: int) -> int:
    """What so many bytes of plaintext take."""
    return size_bytes + -(-size_bytes // BLOCK_BYTES) * TAG_BYTES


def plain_size(sealed_bytes: int) -> int:
    """The inverse of `sealed_size`. Raises BytesAltered for a size that nothing encrypts to."""
    blocks = -(-sealed_bytes // SEALED_BLOCK_BYTES)
    if sealed_bytes % SEALED_BLOCK_BYTES in range(1, TAG_BYTES + 1):
        raise BytesAltered(f"an extent of {sealed_bytes} bytes cannot be encrypted")
    return sealed_bytes - blocks * TAG_BYTES


def _extent_cipher(data_key: bytes, write_id: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=_PURPOSE + write_id).derive(data_key))


class _ExtentCipher:
    """Key and additional data of the blocks of one extent."""

    __slots__ = ("_cipher", "_size", "_write_id")

    def __init__(self, data_key: bytes, write_id: str, size_bytes: int) -> None:
        self._write_id = bytes.fromhex(write_id)
        self._size = size_bytes.to_bytes(8)
        self._cipher = _extent_cipher(data_key, self._write_id)

    def seal(self, number: int, block: bytes | bytearray | memoryview) -> bytes:
        return self._cipher.encrypt(number.to_bytes(_NONCE_BYTES), block, self._bound(number))

    def open(self, number: int, sealed: bytes | bytearray | memoryview) -> bytes:
        try:
            return self._cipher.decrypt(number.to_bytes(_NONCE_BYTES), sealed, self._bound(number))
        except InvalidTag as error:
            raise BytesAltered(f"block {number} of write {self._write_id.hex()} is not what was encrypted") from error

    def _bound(self, number: int) -> bytes:
        return b"".join((self._write_id, number.to_bytes(8), self._size))


class Sealer:
    """Encrypts one extent as its bytes come: `update` with each, `finish` at the end."""

    def __init__(self, data_key: bytes, write_id: str, size_bytes: int) -> None:
        """`size_bytes` is the plaintext's, which is known before its first byte."""
        self._cipher = _ExtentCipher(data_key, write_id, size_bytes)
        self._left_bytes = size_bytes
        self._number = 0
        self._tail = bytearray()

    def update(self, plain: bytes | memoryview) -> bytes:
        """The blocks that are complete with these bytes, possibly none. Raises ValueError past the size."""
        view = memoryview(plain)
        self._left_bytes -= len(view)
        if self._left_bytes < 0:
            raise ValueError("more bytes than announced")
        sealed: list[bytes] = []
        if self._tail:
            missing = BLOCK_BYTES - len(self._tail)
            self._tail += view[:missing]
            view = view[missing:]
            if len(self._tail) < BLOCK_BYTES:
                return b""
            sealed.append(self._seal(self._tail))
            self._tail = bytearray()
        whole_bytes = len(view) - len(view) % BLOCK_BYTES
        for at in range(0, whole_bytes, BLOCK_BYTES):
            sealed.append(self._seal(view[at : at + BLOCK_BYTES]))
        self._tail += view[whole_bytes:]
        return sealed[0] if len(sealed) == 1 else b"".join(sealed)

    def finish(self) -> bytes:
        """The last block, where it is not a whole one. Raises ValueError when bytes are missing."""
        if self._left_bytes:
            raise ValueError(f"{self._left_bytes} bytes fewer than announced")
        return self._seal(self._tail) if self._tail else b""

    def _seal(self, block: bytes | bytearray | memoryview) -> bytes:
        self._number += 1
        return self._cipher.seal(self._number - 1, block)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The blocks of one extent that a range touches, and what it wants of them."""

    write_id: str
    size_bytes: int
    """Of the extent's plaintext."""
    start: int
    stop: int
    """The wanted bytes, in the extent's plaintext."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRange:
    """What must be read to get a range of plaintext: one range of the extents laid end to end as they are stored."""

    offset: int
    length: int
    runs: tuple[_Run, ...]


def plan_range(extents: Sequence[Extent], offset: int, length: int) -> SealedRange:
    """Where `length` bytes of plaintext from `offset` on lie. Raises ValueError past the end, BytesAltered."""
    if offset < 0 or length < 0:
        raise ValueError("a range has no negative offset or length")
    runs: list[_Run] = []
    position = stored_position = stored_start = stored_stop = 0
    for extent in extents:
        stored_bytes = extent.size_bytes
        size_bytes = plain_size(stored_bytes)
        start, stop = max(offset - position, 0), min(offset + length - position, size_bytes)
        if start < stop:
            first, last = start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES
            if not runs:
                stored_start = stored_position + first * SEALED_BLOCK_BYTES
            stored_stop = stored_position + min((last + 1) * SEALED_BLOCK_BYTES, stored_bytes)
            runs.append(_Run(write_id=extent.write_id, size_bytes=size_bytes, start=start, stop=stop))
        position += size_bytes
        stored_position += stored_bytes
        if position >= offset + length:
            break
    if offset + length > position:
        raise ValueError(f"the range ends at byte {offset + length}, the extents at {position}")
    return SealedRange(offset=stored_start, length=stored_stop - stored_start, runs=tuple(runs))


@dataclass(frozen=True, slots=True)
class _Expected:
    """One block as it must come next."""

    cipher: _ExtentCipher
    number: int
    sealed_bytes: int
    start: int
    stop: int
    """What is wanted of its plaintext."""


class Opener:
    """Decrypts the bytes of a SealedRange as they come: `update` with each, `finish` at the end.

    Nothing of a block is given before the whole of it was verified.
    """

    def __init__(self, data_key: bytes, sealed: SealedRange) -> None:
        self._blocks = _expected_blocks(data_key, sealed.runs)
        self._next = next(self._blocks, None)
        self._tail = bytearray()

    def update(self, stored: bytes | memoryview) -> bytes:
        """The wanted plaintext of the blocks that are complete with these bytes. Raises BytesAltered."""
        view = memoryview(stored)
        opened: list[bytes] = []
        while view:
            block = self._next
            if block is None:
                raise BytesAltered("more bytes were stored than were encrypted")
            missing = block.sealed_bytes - len(self._tail)
            if len(view) < missing:
                self._tail += view
                break
            if self._tail:
                self._tail += view[:missing]
                opened.append(_open(block, self._tail))
                self._tail = bytearray()
            else:
                opened.append(_open(block, view[:missing]))
            view = view[missing:]
            self._next = next(self._blocks, None)
        return opened[0] if len(opened) == 1 else b"".join(opened)

    def finish(self) -> None:
        """Raise BytesAltered unless every block has come."""
        if self._next is not None:
            raise BytesAltered(f"block {self._next.number} is missing or cut short")


def _open(block: _Expected, sealed: bytes | bytearray | memoryview) -> bytes:
    plain = block.cipher.open(block.number, sealed)
    return plain if block.stop - block.start == len(plain) else plain[block.start : block.stop]


def _expected_blocks(data_key: bytes, runs: Sequence[_Run]) -> Iterator[_Expected]:
    for run in runs:
        cipher = _ExtentCipher(data_key, run.write_id, run.size_bytes)
        for number in range(run.start // BLOCK_BYTES, (run.stop - 1) // BLOCK_BYTES + 1):
            begin = number * BLOCK_BYTES
            plain_bytes = min(BLOCK_BYTES, run.size_bytes - begin)
            yield _Expected(
                cipher, number, plain_bytes + TAG_BYTES, max(run.start - begin, 0), min(run.stop - begin, plain_bytes)
            )
