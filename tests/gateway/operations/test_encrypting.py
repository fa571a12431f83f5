"""Encryption between requests and nodes: who may send keys, what is read of an object, what is done with damage."""

import base64
import contextlib
import hashlib
import random
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.authorization import AccessCheck
from gateway.condition_values import Sender
from gateway.context import Context
from gateway.credentials import ANONYMOUS, Identity
from gateway.datapath import Origin
from gateway.encryption.cipher import BLOCK_BYTES, SEALED_BLOCK_BYTES, BytesAltered
from gateway.encryption.envelope import Envelopes, ObjectKey
from gateway.index.records import ObjectRecord
from gateway.operations.encrypting import (
    etag_of,
    key_of_write,
    read_object,
    reading_key,
    requested_encryption,
)
from gateway.operations.writing import store_blocks
from gateway.settings import GatewaySettings
from gateway.translation import to_s3_error
from s3compat.errors import S3Error
from s3compat.request import NO_PARAMS, Headers, S3Request
from tests.gateway.datapath.fakes import FakeNode
from tests.gateway.operations.test_bucket_redundancy import context_of

GATEWAY = Path(__file__).resolve().parents[3] / "gateway"
KEY = bytes(range(32))
PREFIX = "x-amz-server-side-encryption-customer-"
SSE_C = {
    f"{PREFIX}algorithm": "AES256",
    f"{PREFIX}key": base64.b64encode(KEY).decode(),
    f"{PREFIX}key-md5": base64.b64encode(hashlib.md5(KEY, usedforsecurity=False).digest()).decode(),
}
SSE_S3 = {"x-amz-server-side-encryption": "AES256"}
ANN = Identity(canonical_id="ann", display_name="Ann", name="ann")


def context_for(
    nodes: list[FakeNode],
    headers: dict[str, str],
    *,
    secure: bool = False,
    client: str | None = "127.0.0.1",
    identity: Identity = ANN,
    settings: GatewaySettings | None = None,
) -> Context:
    """Of a request on a bucket, as far as encryption looks at it. The key ring is not there."""
    made = context_of(nodes, None, settings=settings or GatewaySettings())
    request = S3Request(
        method="PUT",
        raw_path=b"/b/k",
        raw_query=b"",
        headers=Headers(headers.items()),
        secure=secure,
        bucket="b",
        key="k",
        query=NO_PARAMS,
    )
    now = datetime(2026, 1, 1, tzinfo=UTC)
    sender = Sender(identity=identity, request=request, now=now, region="r", client_address=client, claim=None)
    envelopes = Envelopes(b"m" * 32, cast(Any, None))
    return replace(
        made,
        request=request,
        identity=identity,
        access=AccessCheck(sender),
        services=replace(made.services, envelopes=envelopes),
    )


@pytest.mark.parametrize(
    ("client", "secure", "setting", "taken"),
    [
        ("127.0.0.1", False, False, True),
        ("127.8.9.1", False, False, True),
        ("::1", False, False, True),
        ("::ffff:127.0.0.1", False, False, True),
        ("192.0.2.7", False, False, False),
        ("::ffff:192.0.2.7", False, False, False),
        ("2001:db8::1", False, False, False),
        ("localhost.example", False, False, False),
        (None, False, False, False),
        ("192.0.2.7", True, False, True),
        (None, True, False, True),
        ("192.0.2.7", False, True, True),
    ],
)
async def test_keys_of_clients_come_over_tls_or_from_this_machine(
    client: str | None, secure: bool, setting: bool, taken: bool
) -> None:
    settings = GatewaySettings(ssec_over_http=setting)
    context = context_for([], SSE_C, client=client, secure=secure, settings=settings)
    record = (await stored_object(context_for([FakeNode(node_id="n")], SSE_C), b"x"))[0]
    if taken:
        assert requested_encryption(context) is not None
        assert await reading_key(context, record) is not None
        return
    with pytest.raises(S3Error, match="must be made over a secure connection") as refused:
        requested_encryption(context)
    assert refused.value.code == "InvalidRequest"
    with pytest.raises(S3Error, match="must be made over a secure connection"):
        await reading_key(context, record)


async def stored_object(context: Context, body: bytes) -> tuple[ObjectRecord, ObjectKey | None]:
    async def blocks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 100_000):
            yield body[at : at + 100_000]

    key = await key_of_write(context, requested_encryption(context))
    stored = await store_blocks(context, Origin(bucket="b", key="k"), len(body), blocks(), "CRC32", key)
    record = ObjectRecord(
        etag=stored.etag,
        size_bytes=stored.size_bytes,
        modified_ms=0,
        owner_id="ann",
        extents=stored.extents,
        encryption=key.encryption if key else None,
    )
    return record, key


async def read_back(context: Context, record: ObjectRecord, offset: int, length: int) -> list[bytes]:
    """What was given, up to the damage that is met."""
    given: list[bytes] = []
    key = await reading_key(context, record)
    async with contextlib.aclosing(read_object(context, record, offset, length, key)) as blocks:
        async for block in blocks:
            given.append(block)
    return given


@pytest.mark.parametrize("headers", [{}, SSE_S3, SSE_C], ids=["none", "SSE-S3", "SSE-C"])
async def test_a_range_is_read_from_the_blocks_that_it_touches(headers: dict[str, str]) -> None:
    node = FakeNode(node_id="n")
    context = context_for([node], headers)
    body = random.Random(1).randbytes(5 * BLOCK_BYTES + 7)
    record, _ = await stored_object(context, body)
    reader = context if headers is SSE_C else replace(context, request=replace(context.request, headers=Headers([])))

    assert b"".join(await read_back(reader, record, 0, len(body))) == body
    node.gets.clear()
    assert b"".join(await read_back(reader, record, 2 * BLOCK_BYTES + 5, 10)) == body[2 * BLOCK_BYTES + 5 :][:10]
    ((_, offset, length),) = node.gets
    expected = (2 * SEALED_BLOCK_BYTES, SEALED_BLOCK_BYTES) if headers else (2 * BLOCK_BYTES + 5, 10)
    assert (offset, length) == expected
    assert record.size_bytes == len(body)
    (stored,) = node.blobs.values()
    assert (body[:64] in stored) is not bool(headers)


async def test_what_was_changed_on_a_node_ends_the_answer_before_it() -> None:
    node = FakeNode(node_id="n")
    context = context_for([node], SSE_C)
    body = random.Random(2).randbytes(3 * BLOCK_BYTES)
    record, _ = await stored_object(context, body)
    ((name, stored),) = node.blobs.items()
    altered = bytearray(stored)
    altered[2 * SEALED_BLOCK_BYTES + 100] ^= 1
    node.blobs[name] = bytes(altered)

    key = await reading_key(context, record)
    given = b""
    with pytest.raises(BytesAltered) as found:
        async for block in read_object(context, record, 0, len(body), key):
            given += block
    assert given == body[: 2 * BLOCK_BYTES]
    assert to_s3_error(found.value).code == "InternalError"


async def test_nothing_is_encrypted_where_nobody_asks() -> None:
    node = FakeNode(node_id="n")
    record, key = await stored_object(context_for([node], {}), b"plain")
    assert key is None
    assert record.encryption is None
    assert list(node.blobs.values()) == [b"plain"]


async def test_an_etag_is_the_md5_unless_the_key_is_the_clients() -> None:
    md5 = hashlib.md5(b"x", usedforsecurity=False).digest()
    managed = await key_of_write(context_for([], SSE_S3), requested_encryption(context_for([], SSE_S3)))
    own = await key_of_write(context_for([], SSE_C), requested_encryption(context_for([], SSE_C)))
    assert etag_of(None, md5) == etag_of(managed, md5) == md5.hex()
    assert re.fullmatch("[0-9a-f]{32}", etag_of(own, md5))
    assert etag_of(own, md5) != md5.hex()
    assert etag_of(own, md5) == etag_of(own, md5)


async def test_nobody_in_particular_has_no_key_of_the_ring() -> None:
    headers = {"x-amz-server-side-encryption": "aws:kms"}
    context = context_for([], headers, identity=ANONYMOUS)
    with pytest.raises(S3Error, match="require AWS Signature Version 4"):
        await key_of_write(context, requested_encryption(context))


def test_all_bytes_of_objects_are_read_in_one_place() -> None:
    """Reads, ranges, parts, copies and forms: what is encrypted would come as it is stored otherwise."""
    reading = re.compile(r"datapath\.read\(")
    sources = [path for path in GATEWAY.rglob("*.py") if "datapath" not in path.parts]
    found = sorted(path.name for path in sources if reading.search(path.read_text()))
    assert found == ["encrypting.py", "streams.py"]
