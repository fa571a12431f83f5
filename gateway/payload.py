"""The payload of a request: the body decoded from aws-chunked, hashed on the way and verified at its end.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import AsyncIterator, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from gateway.datapath.hashing import BodyHasher
from gateway.receiver import ClientGone, Receiver
from s3compat import checksums
from s3compat.aws_chunked import ChunkedDecoder, Data, Trailers
from s3compat.checksums import RequestedChecksum
from s3compat.errors import S3Error
from s3compat.request import S3Request
from s3compat.sigv4 import SignatureClaim, SigningContext

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})

#: Blocks smaller than this are decoded inside the loop: a thread hop costs more than the work.
DECODE_INLINE_BYTES = 16 * 1024

_LENGTH = re.compile(r"[0-9]{1,19}\Z")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadChecks:
    """What the request claims about its payload."""

    content_md5: bytes | None
    sha256: bytes | None
    checksum: RequestedChecksum | None


def parse_length(request: S3Request, name: str) -> int | None:
    """The value of a length header in bytes, None when absent; raises InvalidArgument when it is no number."""
    text = request.headers.get(name)
    if text is None:
        return None
    if not _LENGTH.match(text):
        raise S3Error("InvalidArgument", ArgumentName=name, ArgumentValue=text)
    return int(text)


def parse_content_md5(text: str | None) -> bytes | None:
    """Decode a Content-MD5 header (RFC 1864); raises InvalidDigest."""
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as malformed:
        raise S3Error("InvalidDigest") from malformed
    if len(digest) != 16:
        raise S3Error("InvalidDigest")
    return digest


class Payload:
    """The body of one request after decoding; its digests are known and checked once it was read to the end."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        size_bytes: int | None,
        decoder: ChunkedDecoder | None,
        checks: PayloadChecks,
    ) -> None:
        self._receiver = receiver
        self._decoder = decoder
        self._checks = checks
        self._trailers: dict[str, str] = {}
        self._digests: dict[str, bytes] = {}
        self._declared_bytes = size_bytes

    @property
    def requested_checksum(self) -> RequestedChecksum | None:
        """The checksum that the client sends with this payload, if any."""
        return self._checks.checksum

    @property
    def size_bytes(self) -> int:
        """Declared size after decoding; raises MissingContentLength when the client declared none."""
        if self._declared_bytes is None:
            raise S3Error("MissingContentLength")
        return self._declared_bytes

    def digest(self, algorithm: str) -> bytes:
        """The digest of the whole payload; only after it was read to its end."""
        return self._digests[algorithm]

    async def blocks(self, digests: Iterable[str] = ()) -> AsyncIterator[bytes]:
        """Yield decoded blocks, then verify; ``digests`` names further algorithms to compute on the way.

        Raises IncompleteBody, BadDigest, XAmzContentSHA256Mismatch, SignatureDoesNotMatch and the decoder's errors.
        """
        wanted = set(digests)
        if self._checks.content_md5 is not None:
            wanted.add("MD5")
        if self._checks.sha256 is not None:
            wanted.add("SHA256")
        if self._checks.checksum is not None:
            wanted.add(self._checks.checksum.algorithm.name)
        hasher = BodyHasher({name: checksums.new(name) for name in sorted(wanted)})
        received = 0
        async for block in self._decoded():
            received += len(block)
            if self._declared_bytes is not None and received > self._declared_bytes:
                raise S3Error("IncompleteBody")
            await hasher.update(block)
            yield block
        if self._declared_bytes is not None and received != self._declared_bytes:
            raise S3Error("IncompleteBody")
        self._digests = await hasher.digests()
        self._verify()

    async def read(self, limit_bytes: int) -> bytes:
        """The whole payload of a small document, verified; raises EntityTooLarge past the limit."""
        if (self._declared_bytes or 0) > limit_bytes:
            raise S3Error("EntityTooLarge")
        pieces: list[bytes] = []
        size = 0
        async for block in self.blocks():
            size += len(block)
            if size > limit_bytes:
                raise S3Error("EntityTooLarge")
            pieces.append(block)
        return b"".join(pieces)

    async def _decoded(self) -> AsyncIterator[bytes]:
        try:
            async for raw in self._receiver.blocks():
                if self._decoder is None:
                    yield raw
                    continue
                for block in await self._decode(self._decoder, raw):
                    yield block
        except ClientGone:
            # The transport says only that the connection ended; a client that half-closed still reads the answer.
            raise S3Error("IncompleteBody") from None
        if self._decoder is not None:
            self._decoder.finish()

    async def _decode(self, decoder: ChunkedDecoder, raw: bytes) -> list[bytes]:
        if len(raw) < DECODE_INLINE_BYTES:
            events = decoder.feed(raw)
        else:
            events = await asyncio.to_thread(decoder.feed, raw)
        blocks: list[bytes] = []
        for event in events:
            if isinstance(event, Data):
                blocks.append(event.payload)
            elif isinstance(event, Trailers):
                self._trailers.update(event.headers)
        if sum(map(len, blocks)) <= DECODE_INLINE_BYTES and len(blocks) > 1:
            return [b"".join(blocks)]
        return blocks

    def _verify(self) -> None:
        checks = self._checks
        if checks.sha256 is not None and not hmac.compare_digest(checks.sha256, self._digests["SHA256"]):
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=checks.sha256.hex(),
                S3ComputedContentSHA256=self._digests["SHA256"].hex(),
            )
        if checks.content_md5 is not None and checks.content_md5 != self._digests["MD5"]:
            raise S3Error(
                "BadDigest",
                ExpectedDigest=checks.content_md5.hex(),
                CalculatedDigest=self._digests["MD5"].hex(),
            )
        if checks.checksum is not None:
            self._verify_checksum(checks.checksum)

    def _verify_checksum(self, requested: RequestedChecksum) -> None:
        algorithm = requested.algorithm
        value = requested.value
        if requested.trailer:
            text = self._trailers.get(algorithm.header)
            if text is None:
                raise S3Error("MalformedTrailerError")
            value = checksums.decode(algorithm.name, text, trailer=True)
        if value != self._digests[algorithm.name]:
            raise checksums.mismatch(algorithm.name)


def build_payload(
    request: S3Request,
    receiver: Receiver,
    claim: SignatureClaim | None,
    signing: SigningContext | None,
    *,
    checksummed: bool = True,
) -> Payload:
    """Work out from the headers how the body is encoded and what it must match; raises S3's error for each misuse.

    Without ``checksummed`` a checksum header is not about the body: CompleteMultipartUpload brings the object's.
    """
    payload_hash = claim.payload_hash if claim is not None else request.headers.get("x-amz-content-sha256") or UNSIGNED
    checksum = checksums.requested_checksum(request.headers) if checksummed else None
    streaming = payload_hash in STREAMING
    size = parse_length(request, "x-amz-decoded-content-length" if streaming else "content-length")
    decoder = None
    if streaming:
        if size is None:
            raise S3Error("MissingContentLength")
        if signing is None and payload_hash != STREAMING_UNSIGNED_TRAILER:
            raise S3Error("InvalidRequest", "Signed chunks need a request that is signed with AWS4-HMAC-SHA256.")
        decoder = ChunkedDecoder(
            signing if payload_hash != STREAMING_UNSIGNED_TRAILER else None,
            declared_length=size,
            trailer_names=checksums.trailer_names(request.headers),
            signed_trailer=payload_hash == STREAMING_SIGNED_TRAILER,
        )
    elif checksum is not None and checksum.trailer:
        raise S3Error("InvalidRequest", "A trailing checksum needs a STREAMING-…-TRAILER payload.")
    checks = PayloadChecks(
        content_md5=parse_content_md5(request.headers.get("content-md5")),
        sha256=None if streaming or payload_hash == UNSIGNED else _parse_sha256(payload_hash),
        checksum=checksum,
    )
    return Payload(receiver, size_bytes=size, decoder=decoder, checks=checks)


def _parse_sha256(text: str) -> bytes:
    if not _SHA256.match(text):
        raise S3Error("InvalidArgument", ArgumentName="x-amz-content-sha256", ArgumentValue=text)
    return bytes.fromhex(text)


async def _no_body() -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


#: For callers that bring no request body of their own.
EMPTY_PAYLOAD = Payload(
    Receiver(_no_body, idle_timeout_s=0, has_body=False),
    size_bytes=0,
    decoder=None,
    checks=PayloadChecks(content_md5=None, sha256=None, checksum=None),
)
