"""Writes one blob file under a temporary name, up to the point where its bytes are durable."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from storagenode import blobfile
from storagenode.blobfile import BlockHasher, Footer, Layout
from storagenode.disk import Buffer, Disk
from storagenode.errors import InvalidRequest, disk_errors
from storagenode.space import Promise

_WRITEBACK_BYTES = 8 * 1024 * 1024
"""Ask for write-out after so many bytes: the fsync of 64 MiB then took 10-20 ms instead of 35 on the disk measured."""

_WRITE_BYTES = 256 * 1024
"""Less than this waits for more, or for the end."""


class NewBlob(Protocol):
    """A blob being received, for a file of its own or for a pack. Leaving the `with` block gives it up.

    Used by one thread at a time, but for `condemned`.
    """

    blob_id: str
    condemned: bool  # the blob was deleted meanwhile: not to be published

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append to the blob's bytes. Raises InvalidRequest when they become more than were announced."""

    def discard(self) -> None:
        """Give up what was not published. Harmless when repeated."""


class BlobWriter:
    """A blob being written. Leaving the `with` block removes the file unless it was published by then.

    The file is created by the first write, so that making a writer blocks nobody. Used by one thread at a
    time. Everything raises NodeFull or NodeFailed when the disk fails.
    """

    def __init__(
        self,
        disk: Disk,
        path: str,
        layout: Layout,
        header: bytes,
        promise: Promise,
        ended: Callable[["BlobWriter"], None],
    ) -> None:
        """`ended` is called at the end of each discard()."""
        self.path = path
        self.layout = layout
        self.blob_id = layout.blob_id
        self.condemned = False  # the blob was deleted meanwhile: not to be published
        self._ended = ended
        self._disk = disk
        self._promise = promise
        self._hasher = BlockHasher(layout)
        self._waiting: list[Buffer] = [header]
        self._waiting_bytes = len(header)
        self._written_bytes = 0
        self._written_back_bytes = 0
        self._exists = False
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    @disk_errors()
    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append to the blob's bytes. Raises InvalidRequest when they become more than were announced."""
        self._hasher.update(pieces)
        if self._hasher.size_bytes > self.layout.size_bytes:
            raise InvalidRequest(f"more than the {self.layout.size_bytes} bytes announced")
        self._append(pieces)
        if self._waiting_bytes < _WRITE_BYTES:
            return
        self._flush()
        fresh = self._written_bytes - self._written_back_bytes
        if fresh >= _WRITEBACK_BYTES and self._descriptor is not None:
            self._disk.start_writeback(self._descriptor, self._written_back_bytes, fresh)
            self._written_back_bytes = self._written_bytes

    @disk_errors()
    def finish(self) -> Footer:
        """Complete the file and make its bytes durable. Raises InvalidRequest when bytes are missing."""
        if self._hasher.size_bytes != self.layout.size_bytes:
            raise InvalidRequest(f"{self._hasher.size_bytes} bytes instead of the {self.layout.size_bytes} announced")
        footer = self._hasher.finish()
        self._append([blobfile.make_footer(self.layout, footer)])
        descriptor = self._flush()
        # Before the rename: a name must never stand for bytes that a power loss can still take back. Should
        # it fail, the kernel may have dropped the dirty pages and a second fsync would report success about
        # nothing (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020), so the
        # file is given up.
        self._disk.fsync(descriptor)
        self._close()
        return footer

    def published(self) -> None:
        """The file now has another name; there is nothing to remove any more."""
        self._exists = False

    def discard(self) -> None:
        """Close, and remove the file unless it was published. Harmless when repeated."""
        with suppress(OSError):  # the bytes are unwanted, and what cannot be removed now is wiped at the next start
            self._close()
        if self._exists:
            with suppress(OSError):
                self._disk.unlink(self.path)
            self._exists = False
        self._promise.release()
        self._ended(self)

    def _append(self, pieces: Sequence[Buffer]) -> None:
        self._waiting += pieces
        self._waiting_bytes += sum(len(piece) for piece in pieces)

    def _flush(self) -> int:
        """Write what waits; the descriptor of the file."""
        if self._descriptor is None:
            self._descriptor = self._disk.create(self.path)
            self._exists = True
        self._disk.write(self._descriptor, self._waiting)
        self._promise.spend(self._waiting_bytes)
        self._written_bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._disk.close(descriptor)
