"""Bodies that say what they are: key, writer, counter and size stand in front, and the rest follows from them.

So a body that was torn, mixed up or attributed to another key is recognised whatever else is believed.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

PART_MINIMUM_BYTES = 5 * 1024**2
#: Around the sizes at which a storage engine changes its mind; the rest is drawn between them.
SIZES_BYTES = (0, 1, 300, 4096, 30_000, 70_000, 300_000)


class Torn(Exception):
    """A body that no writer has made; the message tells what it pretends to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What one write puts under a key."""

    key: str
    writer: str
    counter: int
    size_bytes: int
    """Without the line in front."""

    @property
    def name(self) -> str:
        """Unlike that of every other write of the storm."""
        return f"{self.key} {self.writer} {self.counter}"

    @property
    def body(self) -> bytes:
        head = f"{self.name} {self.size_bytes}\n".encode()
        return head + _filling(head, self.size_bytes)


def identify(body: bytes) -> str:
    """The name of the value that a body is. Raises Torn."""
    head, newline, rest = body.partition(b"\n")
    fields = head.decode("utf-8", "replace").split(" ")
    if not newline or len(fields) != 4 or not fields[3].isdigit():
        raise Torn(f"{len(body)} bytes that begin with {body[:60]!r}")
    if len(rest) != int(fields[3]):
        raise Torn(f"{' '.join(fields)}: {len(rest)} bytes follow")
    if rest != _filling(head + newline, len(rest)):
        wrong = next(
            at
            for at, (one, other) in enumerate(zip(rest, _filling(head + newline, len(rest)), strict=True))
            if one != other
        )
        raise Torn(f"{' '.join(fields)}: wrong from byte {wrong} on")
    return " ".join(fields[:3])


def draw_size(draw: random.Random, sizes: Sequence[int] = SIZES_BYTES) -> int:
    """Mostly small; one in five hundred needs a second part."""
    if draw.random() < 0.002:
        return PART_MINIMUM_BYTES + draw.randrange(100_000)
    size = draw.choice(sizes)
    return size if draw.random() < 0.5 else draw.randrange(size + 1)


def etag_of(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def parts_of(body: bytes) -> list[bytes]:
    """The parts of a multipart upload of these bytes."""
    return [body[at : at + PART_MINIMUM_BYTES] for at in range(0, len(body), PART_MINIMUM_BYTES)]


def etag_of_parts(parts: Sequence[bytes]) -> str:
    """As S3 makes it of an object uploaded in parts."""
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f"{etag_of(digests)}-{len(parts)}"


def _filling(head: bytes, size: int) -> bytes:
    return hashlib.shake_128(head).digest(size)
