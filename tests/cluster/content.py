"""Content that is made and verified as a stream, whatever its size. No test lives here."""

import hashlib
from collections.abc import Iterator

BLOCK_BYTES = 1024**2


def blocks(size_bytes: int, seed: bytes = b"") -> Iterator[bytes]:
    """Blocks that all differ, the same for the same seed; made at memory speed."""
    base = hashlib.shake_256(seed).digest(BLOCK_BYTES - 16)
    for offset in range(0, size_bytes, BLOCK_BYTES):
        block = offset.to_bytes(16, "big") + base
        yield block[: min(BLOCK_BYTES, size_bytes - offset)]


def content(size_bytes: int, seed: bytes = b"") -> bytes:
    """The same as one piece."""
    return b"".join(blocks(size_bytes, seed))


def sha256_of(pieces: Iterator[bytes]) -> str:
    """Hex digest of a stream."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
