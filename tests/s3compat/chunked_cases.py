"""Encoders of aws-chunked bodies, and the contexts of AWS's two examples."""

import hashlib
from collections.abc import Iterable

from s3compat.signing import (
    SigningContext,
    chunk_string_to_sign,
    sign,
    signing_key,
    trailer_string_to_sign,
)
from tests.s3compat.signing_cases import ACCESS_KEY, SECRET_KEY

SCOPE = "20130524/us-east-1/s3/aws4_request"
CRC32C = "x-amz-checksum-crc32c"
TRAILER = {CRC32C: "sOO8/Q=="}


def context(seed: str) -> SigningContext:
    return SigningContext(
        signing_key=signing_key(SECRET_KEY, "20130524", "us-east-1"),
        scope=SCOPE,
        timestamp="20130524T000000Z",
        seed_signature=seed,
        access_key=ACCESS_KEY,
    )


SEED = context("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
TRAILER_SEED = context("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")


def signed_chunks(signing: SigningContext, chunks: Iterable[bytes]) -> tuple[bytes, str]:
    """A signed body without its final line end, and the signature of its last chunk."""
    body, previous = b"", signing.seed_signature
    for chunk in [*chunks, b""]:
        to_sign = chunk_string_to_sign(signing, previous, hashlib.sha256(chunk).hexdigest())
        previous = sign(signing.signing_key, to_sign)
        body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    return body, previous


def trailer_lines(signing: SigningContext, previous: str, trailers: dict[str, str]) -> tuple[bytes, bytes]:
    """The trailers and the line with their signature, without line ends."""
    lines = "".join(f"{name}:{value}\n" for name, value in trailers.items())
    digest = hashlib.sha256(lines.encode()).hexdigest()
    signature = sign(signing.signing_key, trailer_string_to_sign(signing, previous, digest))
    joined = "\r\n".join(f"{name}:{value}" for name, value in trailers.items())
    return joined.encode(), f"x-amz-trailer-signature:{signature}".encode()


def unsigned(chunks: Iterable[bytes], end: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end
