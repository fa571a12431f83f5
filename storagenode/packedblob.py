"""A small blob on its way into a pack, and one read out of it: both are in memory whole."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import xxhash

from storagenode import packformat
from storagenode.disk import Buffer
from storagenode.errors import InvalidRequest
from storagenode.packwriter import Put
from storagenode.protocol import BlobInfo
from storagenode.space import Promise


class PackedWriter:
    """A small blob being received. Leaving the `with` block gives it up unless it was published by then."""

    def __init__(
        self, blob_id: str, origin: bytes, size_bytes: int, promise: Promise, ended: Callable[["PackedWriter"], None]
    ) -> None:
        """`ended` is called at the end of each discard()."""
        self.blob_id = blob_id
        self.condemned = False  # the blob was deleted meanwhile: not to be published
        self._origin = origin
        self._size_bytes = size_bytes
        self._promise = promise
        self._ended = ended
        self._pieces: list[Buffer] = []
        self._received_bytes = 0
        self._digest = xxhash.xxh3_128()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append to the blob's bytes. Raises InvalidRequest when they become more than were announced."""
        for piece in pieces:
            self._received_bytes += len(piece)
            self._digest.update(piece)
        if self._received_bytes > self._size_bytes:
            raise InvalidRequest(f"more than the {self._size_bytes} bytes announced")
        self._pieces += pieces

    def finish(self) -> Put:
        """What is to be written. Raises InvalidRequest when bytes are missing."""
        if self._received_bytes != self._size_bytes:
            raise InvalidRequest(f"{self._received_bytes} bytes instead of the {self._size_bytes} announced")
        return Put(
            key=packformat.key_of(self.blob_id),
            origin=self._origin,
            pieces=self._pieces,
            size_bytes=self._size_bytes,
            digest=self._digest.digest(),
            promise=self._promise,
            condemned=lambda: self.condemned,
        )

    def discard(self) -> None:
        """Give up what was not published. Harmless when repeated."""
        self._promise.release()
        self._ended(self)


class PackedReader:
    """A blob that was read whole and verified."""

    def __init__(self, info: BlobInfo, payload: memoryview) -> None:
        self.info = info
        self._payload = payload

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._payload = memoryview(b"")

    def read(self, offset: int, length: int) -> memoryview:
        """A range that must lie within the blob (else InvalidRequest)."""
        if offset < 0 or length < 0 or offset + length > self.info.size_bytes:
            raise InvalidRequest(f"{self.info.blob_id}: bytes {offset}+{length} of {self.info.size_bytes}")
        return self._payload[offset : offset + length]

    def verify(self) -> None:
        """Was done on reading."""
