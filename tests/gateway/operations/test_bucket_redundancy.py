"""Whatever stores bytes for a bucket stores as many copies as the bucket wants."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.context import Context, Services
from gateway.datapath import DataPath, NotEnoughNodes, Origin
from gateway.index.records import BucketRecord
from gateway.operations.writing import store_blocks
from gateway.redundancy import REDUNDANCY, Redundancy, encode_redundancy
from gateway.settings import GatewaySettings
from tests.gateway.datapath.fakes import FakeClient, FakeMembership, FakeNode

GATEWAY = Path(__file__).resolve().parents[3] / "gateway"


async def _no_lease(write_id: str, ttl_s: float) -> None:
    pass


def context_of(nodes: list[FakeNode], document: bytes | None, *, settings: GatewaySettings) -> Context:
    """Of a request on a bucket, as far as storing looks at it."""
    membership = FakeMembership(nodes)
    datapath = DataPath(
        client=FakeClient(nodes),
        membership=membership,
        replicas_for=settings.replicas_for,
        keep_lease=_no_lease,
        orphan_grace_s=3600.0,
    )
    configs = {} if document is None else {REDUNDANCY: document}
    absent = cast(Any, None)
    return Context(
        request=absent,
        request_id="",
        now=absent,
        identity=absent,
        payload=absent,
        services=Services(
            settings=settings,
            index=absent,
            datapath=datapath,
            membership=membership,
            credentials=absent,
            journal=absent,
            envelopes=absent,
        ),
        bucket=BucketRecord(name="b", bucket_id=1, owner_id="o", created_ms=0, region="r", configs=configs),
        access=absent,
    )


async def blocks() -> AsyncIterator[bytes]:
    yield b"x" * 1000


async def copies_made(context: Context) -> int:
    stored = await store_blocks(context, Origin(bucket="b", key="k"), 1000, blocks(), "CRC32")
    (segment,) = stored.extent.segments
    return len(segment.nodes)


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
async def test_write_makes_the_copies_that_the_bucket_wants(replicas: int) -> None:
    nodes = [FakeNode(node_id=f"n{number}") for number in range(6)]
    document = encode_redundancy(Redundancy(replicas=replicas, write_quorum=replicas))
    assert await copies_made(context_of(nodes, document, settings=GatewaySettings(replicas=4))) == replicas


async def test_write_to_a_bucket_that_does_not_say_follows_the_settings() -> None:
    nodes = [FakeNode(node_id=f"n{number}") for number in range(6)]
    assert await copies_made(context_of(nodes, None, settings=GatewaySettings())) == 3
    assert await copies_made(context_of(nodes, None, settings=GatewaySettings(replicas=4))) == 4


@pytest.mark.parametrize(("write_quorum", "is_acknowledged"), [(2, True), (3, False)])
async def test_write_is_refused_when_fewer_nodes_than_the_quorum_take_it(
    write_quorum: int, is_acknowledged: bool
) -> None:
    nodes = [FakeNode(node_id="n0"), FakeNode(node_id="n1"), FakeNode(node_id="n2", accepting=False)]
    context = context_of(
        nodes,
        encode_redundancy(Redundancy(replicas=3, write_quorum=write_quorum)),
        settings=GatewaySettings(),
    )
    if is_acknowledged:
        assert await copies_made(context) == 2
    else:
        with pytest.raises(NotEnoughNodes):
            await copies_made(context)


def test_all_bytes_of_buckets_are_stored_in_one_place() -> None:
    """PutObject, UploadPart, both copies, forms and the legacy upload end in one call, which asks the bucket."""
    opening = re.compile(r"\.open_write\(")
    sources = [path for path in GATEWAY.rglob("*.py") if "datapath" not in path.parts]
    assert [path.name for path in sources if opening.search(path.read_text())] == ["writing.py"]
    assert len(opening.findall((GATEWAY / "operations" / "writing.py").read_text())) == 1
