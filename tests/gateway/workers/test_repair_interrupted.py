"""Repair interrupted at any moment and begun again: in the end records name what is there, and no more is there."""

import asyncio
import contextlib
import random

import pytest

from gateway.index import keys
from gateway.index.errors import IndexUnavailable
from storagenode.protocol import blob_id
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.objects import complete_upload, create_upload, put_object, put_part
from tests.gateway.workers.repairing import Repair


@pytest.fixture
def cluster(cluster_of_four: Cluster) -> Cluster:
    return cluster_of_four


async def named(cluster: Cluster) -> dict[str, set[str]]:
    """The nodes of every blob, by the index."""
    found: dict[str, set[str]] = {}
    cursor = b""
    while True:
        step = await cluster.index.walk(cursor)
        for record in step.records:
            for extent in record.extents:
                for segment in extent.segments:
                    found[blob_id(extent.write_id, segment.number)] = set(segment.nodes)
        cursor = step.cursor
        if not cursor:
            return found


async def held(cluster: Cluster) -> dict[str, set[str]]:
    """The nodes of every blob, by the nodes."""
    found: dict[str, set[str]] = {}
    for node in cluster.nodes:
        for info in await cluster.blobs(node):
            found.setdefault(info.blob_id, set()).add(node.node_id)
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_a_drain_survives_interruptions_at_any_moment(cluster: Cluster, seed: int) -> None:
    draw = random.Random(seed)
    for number in range(12):
        await put_object(cluster, f"k{number}", draw.randbytes(1 + number * 3000))
    upload_id = await create_upload(cluster, "parts")
    for number in range(1, 41):
        await put_part(cluster, "parts", upload_id, number, bytes([number]) * 50)
    await complete_upload(cluster, "parts", upload_id, *range(1, 41))
    leaving = draw.choice(cluster.nodes)
    await Repair(cluster, wanted=lambda bucket: 2).drain(leaving)
    for _ in range(25):
        repair = Repair(cluster, wanted=lambda bucket: 2)  # another worker each time
        job = draw.choice((repair.auditor.run_once, repair.worker.run_once, repair.disposal.delete_released))
        running = asyncio.create_task(job())
        await asyncio.wait([running], timeout=draw.uniform(0, 0.06))
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, IndexUnavailable):
            await running
        await cluster.connection.command("DEL", keys.repairs_taken())
        # Whatever was interrupted: what is named is there, but for copies that wait to be looked at again.
        there = await held(cluster)
        for name, nodes in (await named(cluster)).items():
            assert len(nodes & there[name]) >= 2, name
    repair = Repair(cluster, wanted=lambda bucket: 2)
    for _ in range(3):
        await cluster.index.request_audit("again")
        await repair.auditor.run_once()
        await cluster.index.hurry_repairs()
        assert (await repair.worker.run_once()).failed == 0
    for member in await cluster.connection.command("ZRANGE", keys.releasing(), 0, -1):
        await cluster.connection.command("ZADD", keys.releasing(), 1, member)
    await repair.sweeper.run_once()
    await repair.disposal.delete_released()
    records = await named(cluster)
    assert await held(cluster) == records
    assert all(len(nodes) == 2 and leaving.node_id not in nodes for nodes in records.values())
