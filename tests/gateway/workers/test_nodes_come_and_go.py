"""Draining, removing, adding and rebalancing nodes under continuous reading: nothing is unreadable at any moment."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.datapath import Origin
from gateway.index.node_states import NodeState
from gateway.index.records import Extent
from tests.gateway.datapath.cluster import Cluster, NodeProcess, Processes, open_cluster
from tests.gateway.workers.objects import OWNER, commit, complete_upload, create_upload, empty_index, put_part
from tests.gateway.workers.repairing import Repair

GRACE_S = 2.0
"""Longer than a read of these small objects ever takes from its record to its first byte."""


class Readers:
    """Read every object again and again, and note what was wrong."""

    def __init__(self, cluster: Cluster, bodies: dict[str, bytes]) -> None:
        self.cluster = cluster
        self.bodies = bodies
        self.reads = 0
        self.wrong: list[str] = []

    async def read_forever(self, seed: int) -> None:
        draw = random.Random(seed)
        while True:
            for key in draw.sample(sorted(self.bodies), len(self.bodies)):
                try:
                    _, record = await self.cluster.index.get_object("b", key)
                    assert record
                    body = await self.cluster.read(*record.extents)
                except Exception as error:  # noqa: BLE001
                    self.wrong.append(f"{key}: {error!r}")
                else:
                    if body != self.bodies[key]:
                        self.wrong.append(f"{key}: other bytes")
                self.reads += 1


@contextlib.asynccontextmanager
async def in_background(*loops: Callable[[], object]) -> AsyncIterator[None]:
    """Run each again and again; what it raises fails the test."""

    async def repeat(step: Callable[[], object]) -> None:
        while True:
            await step()  # type: ignore[misc]
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(repeat(step)) for step in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # type: ignore[misc]
            await asyncio.sleep(0.05)
    assert what


async def store_objects(cluster: Cluster) -> dict[str, bytes]:
    """Small ones, and one of 50 parts whose layout lies in a key of its own."""
    bodies = {f"k{number}": random.Random(number).randbytes(1 + number * 700) for number in range(30)}
    for key, body in bodies.items():
        extent: Extent = await cluster.write(body, origin=Origin(bucket="b", key=key))
        await commit(cluster, key, extent)
    upload_id = await create_upload(cluster, "parts")
    for number in range(1, 51):
        await put_part(cluster, "parts", upload_id, number, bytes([number]) * 100)
    await complete_upload(cluster, "parts", upload_id, *range(1, 51))
    return bodies | {"parts": b"".join(bytes([number]) * 100 for number in range(1, 51))}


async def references(repair: Repair, node: NodeProcess) -> int:
    """What the index names on a node."""
    cursor, count = b"", 0
    while True:
        step = await repair.cluster.index.walk(cursor)
        count += sum(
            node.node_id in segment.nodes
            for record in step.records
            for extent in record.extents
            for segment in extent.segments
        )
        cursor = step.cursor
        if not cursor:
            return count


@pytest.fixture(params=[1, 2])
async def cluster(four_nodes: Processes, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Four nodes, one or two replicas."""
    async with open_cluster(four_nodes, replicas=request.param) as cluster:
        await empty_index(cluster)
        await cluster.index.create_bucket("b", OWNER, "r", now_ms=1, limit=10)
        yield cluster


async def test_nothing_is_unreadable_while_nodes_are_drained_removed_added_and_rebalanced(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    replicas = request.node.callspec.params["cluster"]
    bodies = await store_objects(cluster)
    readers = Readers(cluster, bodies)
    repair = Repair(cluster, wanted=lambda bucket: replicas, grace_s=GRACE_S)
    leaving, added = cluster.nodes[0], NodeProcess(tmp_path / "added", cluster.redis.address)
    reading = [asyncio.create_task(readers.read_forever(seed)) for seed in range(3)]

    async def moved_away() -> bool:
        return not await references(repair, leaving)

    async def empty() -> bool:
        return not await cluster.blobs(leaving)

    async def rebalanced() -> bool:
        idle = await cluster.index.rebalance_order() is None and not await cluster.index.repairs_waiting()
        return idle and not (await repair.rebalancer.forecast()).moved_copies

    workers = (
        repair.auditor.run_once,
        repair.worker.run_once,
        repair.disposal.delete_released,
        repair.rebalancer.run_once,
    )
    try:
        async with in_background(*workers):
            assert await references(repair, leaving)
            await repair.drain(leaving)
            await until(moved_away, "the drain")
            await until(empty, "the drained node's bytes")
            await repair.state(leaving, NodeState.REMOVED)
            leaving.kill()
            added.start()
            cluster.nodes.append(added)
            async with asyncio.timeout(20):
                while cluster.membership.node(added.node_id) is None:
                    await cluster.membership.refresh()
            await cluster.index.order_rebalance(rate_bytes_s=1 << 30, now_ms=1)
            await until(rebalanced, "the rebalance")
            assert await references(repair, added)
        done = readers.reads
        while readers.reads < done + 3 * len(bodies):
            await asyncio.sleep(0.01)
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        added.kill()
        cluster.nodes[:] = [node for node in cluster.nodes if node is not added]
        await cluster.index.set_node_state(leaving.node_id, None, now_ms=1)
        await cluster.index.forget_node(added.node_id)
    assert readers.wrong == []
    assert readers.reads > 10 * len(bodies)


async def test_the_forecast_of_a_rebalance_is_what_it_then_does(
    cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    replicas = request.node.callspec.params["cluster"]
    await store_objects(cluster)
    repair = Repair(cluster, wanted=lambda bucket: replicas)
    crowded = cluster.nodes[0]
    for node in cluster.nodes[1 + replicas :]:
        await repair.drain(node)
    await repair.auditor.run_once()
    await repair.worker.run_once()
    for node in cluster.nodes:
        await repair.state(node, None)
    forecast = await repair.rebalancer.forecast()
    assert forecast.moved_copies
    assert await cluster.index.repairs_waiting() == 0  # it only looked
    assert sum(forecast.now.values()) == sum(forecast.after.values())
    await cluster.index.order_rebalance(rate_bytes_s=1 << 30, now_ms=1)
    while await repair.rebalancer.run_once():
        pass
    result = await repair.worker.run_once()
    assert (result.copies_made, result.bytes_copied) == (forecast.moved_copies, forecast.moved_bytes)
    done = await repair.rebalancer.forecast()
    assert (done.moved_copies, +done.now) == (0, +forecast.after)
    assert crowded.node_id in done.now
