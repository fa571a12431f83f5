"""Browser uploads: a POST form read from the wire, its file kept until its size is known.

What a form means is in s3compat (form_data, post_form, post_policy, post_signature); here is what needs a socket, a
credential store or a file. A write to the nodes is opened with its exact size, and a form does not tell that of its
file before the end: so the file waits in memory, and past a MiB in a temporary file.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

from gateway.operations.writing import SINGLE_WRITE_LIMIT_BYTES
from gateway.payload import Payload, PayloadChecks, parse_content_md5, parse_length
from gateway.receiver import BLOCK_BYTES, ClientGone, Receiver
from s3compat import checksums
from s3compat.errors import S3Error
from s3compat.form_data import Event, Field, FileData, FileStart, FormDecoder, boundary_of
from s3compat.post_form import form_fields
from s3compat.post_policy import Fields, LengthRange
from s3compat.request import S3Request

#: Files up to this size never touch the disk before they are on their nodes.
MEMORY_LIMIT_BYTES = 1024 * 1024
#: What a form may be larger than its file: fields, and whatever comes after the file.
_AROUND_FILE_BYTES = 1024 * 1024
#: A disk that gives nothing for so long gives nothing any more.
_DISK_TIMEOUT_S = 60.0


@dataclass(slots=True)
class FormUpload:
    """A form whose fields have been read and whose file has not."""

    fields: Fields
    _waiting: list[Event]
    _following: AsyncIterator[list[Event]]

    @classmethod
    async def read(cls, request: S3Request, receiver: Receiver) -> "FormUpload":
        """Read the fields before the file.

        Raises MalformedPOSTRequest, MaxPostPreDataLengthExceededError, InvalidArgument (no file), MissingContentLength,
        EntityTooLarge, IncompleteBody.
        """
        length = parse_length(request, "content-length")
        if length is None:
            raise S3Error("MissingContentLength")
        if length > SINGLE_WRITE_LIMIT_BYTES + _AROUND_FILE_BYTES:
            raise S3Error("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(SINGLE_WRITE_LIMIT_BYTES))
        decoder = FormDecoder(boundary_of(request.headers.get("content-type") or ""))
        fields: list[Field] = []
        batches = _batches(receiver, decoder)
        async for events in batches:
            for position, event in enumerate(events):
                if isinstance(event, FileStart):
                    named = form_fields(fields, event.filename, request.bucket or "")
                    return cls(named, events[position + 1 :], batches)
                if isinstance(event, Field):
                    fields.append(event)
        raise S3Error("MalformedPOSTRequest")

    @asynccontextmanager
    async def payload(self, request: S3Request, allowed: LengthRange) -> AsyncIterator[Payload]:
        """The file as the payload of the PutObject that the form stands for, once all of it has come.

        Raises EntityTooLarge (as soon as it is), EntityTooSmall, MalformedPOSTRequest, IncompleteBody, and what is
        wrong with a checksum.
        """
        checks = PayloadChecks(
            content_md5=parse_content_md5(request.headers.get("content-md5")),
            sha256=None,
            checksum=checksums.requested_checksum(request.headers),
        )
        allowed = allowed.within(LengthRange(highest=SINGLE_WRITE_LIMIT_BYTES))
        with tempfile.SpooledTemporaryFile(max_size=MEMORY_LIMIT_BYTES) as file:
            size = 0
            async for block in self._file_blocks():
                size += len(block)
                allowed.check_so_far(size)
                # Both the block that rolls the file over to the disk and those after it are written in a thread.
                if size > MEMORY_LIMIT_BYTES:
                    await asyncio.to_thread(file.write, block)
                else:
                    file.write(block)
            allowed.check(size)
            file.seek(0)
            yield Payload(_receiver_of(file, size), size_bytes=size, decoder=None, checks=checks)

    async def _file_blocks(self) -> AsyncIterator[bytes]:
        for block in _file_data(self._waiting):
            yield block
        self._waiting = []
        async for events in self._following:
            for block in _file_data(events):
                yield block


def _file_data(events: list[Event]) -> Iterator[bytes]:
    return (event.payload for event in events if isinstance(event, FileData))


async def _batches(receiver: Receiver, decoder: FormDecoder) -> AsyncIterator[list[Event]]:
    """What comes until the file has ended; the rest of the body is left unread."""
    try:
        async for block in receiver.blocks():
            yield decoder.feed(block)
            if decoder.done:
                return
    except ClientGone:
        raise S3Error("IncompleteBody") from None
    decoder.finish()


def _receiver_of(file: IO[bytes], size_bytes: int) -> Receiver:
    """A receiver that reads a body from a file."""
    left = size_bytes

    async def receive() -> MutableMapping[str, Any]:
        nonlocal left
        if size_bytes > MEMORY_LIMIT_BYTES:
            block = await asyncio.to_thread(file.read, BLOCK_BYTES)
        else:
            block = file.read(BLOCK_BYTES)
        left -= len(block)
        return {"type": "http.request", "body": block, "more_body": left > 0}

    return Receiver(receive, idle_timeout_s=_DISK_TIMEOUT_S, has_body=size_bytes > 0)
