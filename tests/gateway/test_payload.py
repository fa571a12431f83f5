"""The payload pipeline: decoding, digests, and every way in which a body can contradict its headers."""

import asyncio
import base64
import hashlib
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway.payload import UNSIGNED, Payload, build_payload
from gateway.receiver import Receiver
from s3compat import checksums
from s3compat.errors import S3Error
from s3compat.request import Headers, S3Request
from s3compat.sigv4 import SignatureClaim

BODY = b"what the client sends" * 5000


def receiver_of(*pieces: bytes, ends: bool = True, idle_timeout_s: float = 5.0) -> Receiver:
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages.append({"type": "http.request", "body": b"", "more_body": False} if ends else {"type": "http.disconnect"})
    waiting = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(waiting)

    return Receiver(receive, idle_timeout_s=idle_timeout_s, has_body=True)


def request_with(*headers: tuple[str, str], method: str = "PUT") -> S3Request:
    return S3Request.build(method, b"/bucket/key", b"", Headers(headers), False, ())


def payload_with(*headers: tuple[str, str], body: bytes = BODY, claim: SignatureClaim | None = None) -> Payload:
    return build_payload(request_with(*headers), receiver_of(body), claim, None)


async def read_all(payload: Payload, *digests: str) -> bytes:
    return b"".join([block async for block in payload.blocks(digests)])


async def test_plain_body_is_yielded_whole_and_hashed() -> None:
    payload = payload_with(("content-length", str(len(BODY))))
    assert await read_all(payload, "MD5", "CRC32C") == BODY
    assert payload.digest("MD5") == hashlib.md5(BODY).digest()
    hasher = checksums.new("CRC32C")
    hasher.update(BODY)
    assert payload.digest("CRC32C") == hasher.digest()


async def test_size_is_unknown_without_content_length() -> None:
    with pytest.raises(S3Error) as refused:
        _ = payload_with().size_bytes
    assert (refused.value.code, refused.value.status) == ("MissingContentLength", 411)


@pytest.mark.parametrize("length", ["-1", "1.5", "ten", "", "9" * 30, "+5"])
def test_malformed_content_length_is_refused(length: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        payload_with(("content-length", length))


@pytest.mark.parametrize("delta", [-1, 1])
async def test_body_of_another_length_than_declared_is_incomplete(delta: int) -> None:
    with pytest.raises(S3Error, match="IncompleteBody"):
        await read_all(payload_with(("content-length", str(len(BODY) + delta))))


@pytest.mark.parametrize("text", ["not base64!", "AAAA", base64.b64encode(b"x" * 17).decode(), ""])
def test_malformed_content_md5_is_an_invalid_digest(text: str) -> None:
    with pytest.raises(S3Error, match="InvalidDigest"):
        payload_with(("content-length", "0"), ("content-md5", text))


async def test_wrong_content_md5_is_a_bad_digest() -> None:
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(S3Error, match="BadDigest"):
        await read_all(payload_with(("content-length", str(len(BODY))), ("content-md5", md5)))


async def test_right_content_md5_passes() -> None:
    md5 = base64.b64encode(hashlib.md5(BODY).digest()).decode()
    assert await read_all(payload_with(("content-length", str(len(BODY))), ("content-md5", md5))) == BODY


async def test_wrong_checksum_header_is_a_bad_digest() -> None:
    value = checksums.encode(bytes(4))
    with pytest.raises(S3Error, match="BadDigest"):
        await read_all(payload_with(("content-length", str(len(BODY))), ("x-amz-checksum-crc32", value)))


async def test_signed_payload_hash_is_checked() -> None:
    headers = ("content-length", str(len(BODY))), ("x-amz-content-sha256", hashlib.sha256(b"other").hexdigest())
    with pytest.raises(S3Error, match="XAmzContentSHA256Mismatch"):
        await read_all(payload_with(*headers))


@pytest.mark.parametrize("value", ["abc", "g" * 64, "STREAMING-SOMETHING"])
def test_malformed_payload_hash_is_refused(value: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        payload_with(("content-length", "0"), ("x-amz-content-sha256", value))


async def test_trailing_checksum_of_unsigned_chunks_is_verified() -> None:
    hasher = checksums.new("CRC32")
    hasher.update(b"hello")
    right = checksums.encode(hasher.digest())
    headers = (
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    )
    body = f"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{right}\r\n\r\n".encode()
    assert await read_all(payload_with(*headers, body=body)) == b"hello"
    wrong = body.replace(right.encode(), b"AAAAAA==")
    with pytest.raises(S3Error, match="BadDigest"):
        await read_all(payload_with(*headers, body=wrong))


def test_streaming_payload_needs_a_decoded_length() -> None:
    with pytest.raises(S3Error, match="MissingContentLength"):
        payload_with(("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"))


def test_trailer_without_a_streaming_payload_is_refused() -> None:
    with pytest.raises(S3Error, match="InvalidRequest"):
        payload_with(("x-amz-content-sha256", UNSIGNED), ("x-amz-trailer", "x-amz-checksum-crc32"))


async def test_document_over_the_limit_is_not_buffered() -> None:
    with pytest.raises(S3Error, match="EntityTooLarge"):
        await payload_with().read(len(BODY) - 1)


async def test_client_that_leaves_midway_leaves_an_incomplete_body() -> None:
    receiver = receiver_of(b"half", ends=False)
    payload = build_payload(request_with(("content-length", "8")), receiver, None, None)
    with pytest.raises(S3Error, match="IncompleteBody"):
        await read_all(payload)


async def test_client_that_stalls_gets_a_request_timeout() -> None:
    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    receiver = Receiver(receive, idle_timeout_s=0.01, has_body=True)
    payload = build_payload(request_with(("content-length", "8")), receiver, None, None)
    with pytest.raises(S3Error, match="RequestTimeout"):
        await read_all(payload)
