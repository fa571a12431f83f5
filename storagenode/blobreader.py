"""Reads one blob file: no byte leaves here that did not match its checksum.

A mismatch may come from the medium, or from a bad transfer or a flipped bit in memory, which reading once
more from the device does away with. So a mismatch is looked at twice before the file is called damaged;
only bytes that are wrong both times send it to quarantine. An input/output error says nothing about the
bytes: it is reported as an error of the disk and the file stays where it is, for a later read may well
succeed.
"""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar

from storagenode import blobfile, frames
from storagenode.blobfile import Damaged, Footer, Layout, UnknownFormat
from storagenode.disk import Disk
from storagenode.errors import BlobCorrupt, BlobNotFound, InvalidRequest, NodeFailed, disk_errors
from storagenode.protocol import BlobInfo

_log = logging.getLogger(__name__)

_FIRST_READ_BYTES = 16 * 1024
"""Read at once on opening: the whole of a small file, the header of any other."""

_T = TypeVar("_T")


class OpenBlob(Protocol):
    """A blob to be read, be it a file of its own or an entry of a pack; to be closed."""

    @property
    def info(self) -> BlobInfo: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def close(self) -> None: ...

    def read(self, offset: int, length: int) -> memoryview:
        """A range that must lie within the blob, verified. Raises InvalidRequest, BlobCorrupt, NodeFailed."""


class BlobReader:
    """An open blob file. Raises BlobNotFound, BlobCorrupt, NodeFailed on opening and on reading.

    `set_aside(descriptor, reason)` is called once damage is certain, to put the file that the descriptor has open
    into quarantine. A reader is used by one thread at a time.
    """

    def __init__(self, disk: Disk, path: str, blob_id: str, set_aside: Callable[[int, str], None]) -> None:
        self._disk = disk
        self._blob_id = blob_id
        self._set_aside = set_aside
        self._start = b""  # the beginning of the file, as read on opening
        with disk_errors():
            try:
                self._descriptor = disk.open(path)
            except FileNotFoundError as error:
                raise BlobNotFound(blob_id) from error
        try:
            self._layout, self._footer = self._twice(self._read_structure)
            with disk_errors():
                durable_ms = disk.modified_ms(self._descriptor)
        except BaseException:
            disk.close(self._descriptor)
            raise
        self.info: BlobInfo = blobfile.info(self._layout, self._footer, durable_ms=durable_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._disk.close(self._descriptor)

    def read(self, offset: int, length: int) -> memoryview:
        """A range that must lie within the blob (else InvalidRequest), from whole blocks, each of them verified."""
        if offset < 0 or length < 0 or offset + length > self.info.size_bytes:
            raise InvalidRequest(f"{self._blob_id}: bytes {offset}+{length} of {self.info.size_bytes}")
        if not length:
            return memoryview(b"")
        block_bytes = self._layout.block_bytes
        first_block = offset // block_bytes
        span_start = first_block * block_bytes
        end_block = -(-(offset + length) // block_bytes)
        span_bytes = min(end_block * block_bytes, self.info.size_bytes) - span_start
        span = self._twice(lambda: self._read_blocks(first_block, span_bytes))
        return span[offset - span_start : offset - span_start + length]

    def verify(self) -> None:
        """Read the whole blob. Raises BlobCorrupt, NodeFailed."""
        for offset, length in frames.frames(0, self.info.size_bytes):
            self.read(offset, length)

    def verify_device(self) -> None:
        """verify(), of what the device holds and not of what memory remembers of it; memory forgets it afterwards.

        The header and footer as well, which were read on opening. Raises BlobCorrupt, NodeFailed.
        """
        self._disk.drop_cache(self._descriptor)
        self._start = b""
        self._layout, self._footer = self._twice(self._read_structure)
        try:
            self.verify()
        finally:
            self._disk.drop_cache(self._descriptor)

    def _twice(self, attempt: Callable[[], _T]) -> _T:
        with disk_errors():
            try:
                return attempt()
            except Damaged as first:
                _log.warning("blob %s looks damaged (%s), reading it once more", self._blob_id, first)
            except UnknownFormat as error:
                raise NodeFailed(f"{self._blob_id}: {error}") from error
            self._disk.drop_cache(self._descriptor)
            self._start = b""
            try:
                return attempt()
            except Damaged as second:
                try:
                    self._set_aside(self._descriptor, str(second))
                except OSError as error:
                    _log.error("blob %s is damaged and cannot be quarantined: %r", self._blob_id, error)
                raise BlobCorrupt(f"{self._blob_id}: {second}") from second

    def _read_structure(self) -> tuple[Layout, Footer]:
        file_bytes = self._disk.size(self._descriptor)
        self._start = self._disk.read(self._descriptor, 0, min(file_bytes, _FIRST_READ_BYTES))
        header = self._at(0, blobfile.header_bytes(self._start))
        layout = blobfile.parse_header(header, self._blob_id)
        if file_bytes != layout.file_bytes:
            raise Damaged(f"the file has {file_bytes} bytes, not {layout.file_bytes}")
        footer = self._at(layout.footer_offset, layout.footer_bytes)
        return layout, blobfile.parse_footer(footer, layout)

    def _read_blocks(self, first_block: int, span_bytes: int) -> memoryview:
        start = self._layout.header_bytes + first_block * self._layout.block_bytes
        span = memoryview(self._at(start, span_bytes))
        bad_block = blobfile.find_damage(self._layout, self._footer, first_block, span)
        if len(span) != span_bytes or bad_block is not None:
            raise Damaged(f"block {bad_block} of {self._layout.block_count}")
        return span

    def _at(self, offset: int, size_bytes: int) -> bytes:
        if offset + size_bytes <= len(self._start):
            return self._start[offset : offset + size_bytes]
        return self._disk.read(self._descriptor, offset, size_bytes)
