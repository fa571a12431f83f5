"""Whatever fails at which nodes: a write that succeeds is held by a majority, one that fails leaves nothing."""

import contextlib
import random

import pytest

from gateway.datapath import Damage, DamageKind, DataPath, Origin
from gateway.datapath import writer as writer_module
from gateway.datapath.errors import DataPathError
from gateway.datapath.segment import Patience
from gateway.index.records import Extent
from storagenode.protocol import blob_id
from tests.gateway.datapath.fakes import FakeClient, FakeMembership, FakeNode

KIB = 1 << 10
SEGMENT_BYTES = 512 * KIB
REPLICAS = 3
SEEDS = range(80)


async def _no_lease(_write_id: str, _ttl_s: float) -> None:
    return


def random_node(source: random.Random, number: int, *, size_bytes: int) -> FakeNode:
    """About half of the nodes are well; the others fail in one way each."""
    node = FakeNode(node_id=f"n{number}", zone=source.choice("xyz"), free_bytes=source.randrange(1 << 40))
    match source.randrange(12):
        case 0:
            node.refuses = True
        case 1:
            node.full = True
        case 2:
            node.breaks_put_at = source.randrange(size_bytes + 1)
        case 3:
            node.stalls_put_at = source.randrange(size_bytes + 1)
        case 4:
            node.lies_about_digest = True
        case 5:
            node.live = node.accepting = False
        case 6:
            node.breaks_get_at = [source.randrange(SEGMENT_BYTES) for _ in range(3)]
    return node


@pytest.mark.parametrize("seed", SEEDS)
async def test_write_and_read_under_random_failures(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "SEGMENT_BYTES", SEGMENT_BYTES)
    source = random.Random(seed)
    size_bytes = source.choice([1, 1000, SEGMENT_BYTES, SEGMENT_BYTES + 1, 5 * SEGMENT_BYTES])
    nodes = [random_node(source, number, size_bytes=size_bytes) for number in range(source.randrange(1, 9))]
    membership = FakeMembership(nodes)
    damages: list[Damage] = []
    datapath = DataPath(
        client=FakeClient(nodes, idle_timeout_s=0.5),
        membership=membership,
        replicas_for=lambda _: REPLICAS,
        keep_lease=_no_lease,
        orphan_grace_s=3600.0,
        damage=damages.append,
        patience=Patience(stall_s=0.1, straggler_s=0.1),
        random_bytes=source.randbytes,
    )
    body = source.randbytes(size_bytes)
    extent: Extent | None = None
    with contextlib.suppress(DataPathError):
        async with datapath.open_write(origin=Origin(bucket="b", key="k"), size_bytes=size_bytes) as writer:
            at = 0
            while at < size_bytes:
                length = source.choice([1, 10 * KIB, 64 * KIB, 700 * KIB])
                await writer.write(body[at : at + length])
                at += length
            extent = await writer.finish()
    await datapath.idle()
    wanted = {} if extent is None else _wanted_blobs(extent, body)
    strays = {damage.blob_id for damage in damages if damage.kind is DamageKind.STRAY}
    for node in nodes:
        mine = {name: held for (name, at), held in wanted.items() if at == node.node_id}
        assert mine.items() <= node.blobs.items()
        if extent is not None:
            assert node.blobs.keys() - mine.keys() <= strays
        elif not node.refuses and not membership.suspects(node.node_id):
            # A node that does not answer may keep what the orphan worker will find.
            assert not node.blobs
    if extent is None:
        return
    for segment in extent.segments:
        assert len(segment.nodes) >= REPLICAS // 2 + 1
    chunks = datapath.read([extent], 0, size_bytes)
    assert b"".join([chunk async for chunk in chunks]) == body


def _wanted_blobs(extent: Extent, body: bytes) -> dict[tuple[str, str], bytes]:
    """What each node must hold by the extent: bytes by blob id and node id."""
    wanted = {}
    offset = 0
    for segment in extent.segments:
        for node_id in segment.nodes:
            name = blob_id(extent.write_id, segment.number)
            wanted[name, node_id] = body[offset : offset + segment.size_bytes]
        offset += segment.size_bytes
    return wanted
