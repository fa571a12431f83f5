"""The audit: what it queues and what it counts, when it is due, and that it goes on where it was."""

from collections import Counter
from dataclasses import replace

import pytest

from gateway.index import index_walk
from gateway.index.node_states import NodeState
from gateway.index.records import BucketRecord
from gateway.index.repair_records import NodeHolding, RepairItem, RepairReason
from gateway.placement.membership import Node
from gateway.workers import audit as audit_module
from gateway.workers.audit import Auditor, Count
from gateway.workers.node_watch import NodeWatch, Standing
from tests.gateway.datapath.cluster import NODE_TIMEOUT_S, Cluster
from tests.gateway.workers.objects import create_upload, delete_object, put_object, put_part
from tests.gateway.workers.repairing import Clock, Repair, nodes_in_record


@pytest.fixture
def cluster(cluster_of_four: Cluster) -> Cluster:
    return cluster_of_four


@pytest.fixture
def repair(cluster: Cluster) -> Repair:
    return Repair(cluster, wanted=lambda bucket: 2)


async def queued(cluster: Cluster) -> list[RepairItem]:
    await cluster.index.hurry_repairs()
    return await cluster.index.take_repairs(limit=1000, lease_ms=1)


async def test_a_sound_cluster_is_counted_and_nothing_is_queued(cluster: Cluster, repair: Repair) -> None:
    extents = [await put_object(cluster, f"k{number}", bytes(100)) for number in range(5)]
    await put_object(cluster, "empty", b"")
    upload_id = await create_upload(cluster, "u")
    extents.append(await put_part(cluster, "u", upload_id, 1, bytes(30)))
    extents.append(await put_object(cluster, "deleted", bytes(7)))
    await delete_object(cluster, "deleted")
    census = await repair.auditor.run_once()
    assert census
    assert census == await cluster.index.census()
    assert (census.objects_by_copies, census.bytes_by_copies) == ({2: 6}, {2: 500})
    assert (census.short_objects, census.part_bytes, census.lost_objects) == (0, 30, 0)
    held: Counter[str] = Counter()
    for extent in extents:
        for node_id in extent.segments[0].nodes:
            held[node_id] += extent.size_bytes
    assert {node_id: one.size_bytes for node_id, one in census.nodes.items()} == dict(held)
    assert await queued(cluster) == []


async def test_it_is_not_repeated_before_something_changes_or_a_day_is_over(cluster: Cluster, repair: Repair) -> None:
    wanted = ["2"]
    auditor = Auditor(cluster.index, repair.watch, wanted_copies=repair.wanted, policy=lambda: wanted[0])
    assert await auditor.run_once()
    assert await auditor.run_once() is None
    assert (
        await Auditor(cluster.index, repair.watch, wanted_copies=repair.wanted, policy=lambda: "2").run_once() is None
    )  # another worker
    await cluster.index.request_audit("a bucket wants more")
    assert await auditor.run_once()
    wanted[0] = "3"
    assert await auditor.run_once()
    await repair.state(cluster.nodes[0], NodeState.DRAINING)
    assert await auditor.run_once()
    await repair.state(cluster.nodes[0], None)
    assert await auditor.run_once()
    cluster.nodes[1].stop()
    assert await auditor.run_once()
    assert await auditor.run_once() is None
    progress = await cluster.index.progress("audit")
    started = int(progress["started_ms"]) - audit_module.PERIOD_MS - 1
    await cluster.index.save_progress("audit", progress | {"started_ms": str(started)})
    assert await auditor.run_once()


async def test_a_lost_node_has_everything_on_it_queued_by_what_is_left(cluster: Cluster, repair: Repair) -> None:
    extents = {f"k{number}": await put_object(cluster, f"k{number}", bytes(100)) for number in range(12)}
    dead = cluster.node(extents["k0"].segments[0].nodes[0])
    dead.stop()
    hit = {extent.write_id for extent in extents.values() if dead.node_id in extent.segments[0].nodes}
    census = await repair.auditor.run_once()
    assert census
    assert census.objects_by_copies == {1: len(hit)} | ({2: 12 - len(hit)} if len(hit) < 12 else {})
    assert (census.short_objects, census.short_bytes) == (len(hit), 100 * len(hit))
    items = await queued(cluster)
    assert {item.segment.write_id for item in items} == hit
    assert {item.reasons for item in items} == {RepairReason.NODE_LOST | RepairReason.TOO_FEW}
    assert {(item.copies_left, int(item.repair_class)) for item in items} == {(1, 1)}
    result = await Repair(cluster, wanted=lambda bucket: 2).worker.run_once()
    await cluster.index.request_audit("again")
    census = await repair.auditor.run_once()
    assert census
    assert result.copies_made == len(hit) or await repair.worker.run_once()
    assert dead.node_id not in census.nodes or await cluster.index.repairs_waiting()


async def test_what_cannot_be_read_at_present_is_counted_as_lost(cluster: Cluster, repair: Repair) -> None:
    extent = await put_object(cluster, "k", bytes(100))
    for node_id in extent.segments[0].nodes:
        cluster.node(node_id).stop()
    census = await repair.auditor.run_once()
    assert census
    assert (census.lost_objects, census.lost_bytes) == (1, 100)


async def test_a_draining_node_has_everything_on_it_moved(cluster: Cluster, repair: Repair) -> None:
    extents = [await put_object(cluster, f"k{number}", bytes([number])) for number in range(12)]
    leaving = cluster.node(extents[0].segments[0].nodes[0])
    await repair.drain(leaving)
    census = await repair.auditor.run_once()
    assert census
    assert census.objects_by_copies == {2: 12}  # it still serves
    assert census.short_objects == 0
    assert {int(item.repair_class) for item in await queued(cluster)} == {4}
    await cluster.connection.command("DEL", "cairn:{0}:repairs-taken")
    await repair.worker.run_once()
    await cluster.index.request_audit("again")
    census = await repair.auditor.run_once()
    assert census
    assert leaving.node_id not in census.nodes
    for number in range(12):
        (nodes,) = await nodes_in_record(cluster, f"k{number}")
        assert len(nodes) == 2
        assert leaving.node_id not in nodes


async def test_nothing_is_queued_that_nobody_could_repair(cluster: Cluster) -> None:
    repair = Repair(cluster, wanted=lambda bucket: 6)  # more than there are nodes
    extent = await put_object(cluster, "k", b"body")
    await repair.auditor.run_once()
    (item,) = await queued(cluster)
    assert item.reasons == RepairReason.TOO_FEW
    await cluster.connection.command("DEL", "cairn:{0}:repairs-taken")
    await repair.worker.run_once()  # on all four
    await cluster.index.finish_repairs(await queued(cluster))
    await cluster.index.request_audit("again")
    census = await repair.auditor.run_once()
    assert census
    assert (census.objects_by_copies, census.short_objects) == ({4: 1}, 1)
    assert await cluster.index.repairs_waiting() == 0
    assert extent.size_bytes == 4


async def test_surplus_copies_are_queued(cluster: Cluster) -> None:
    await put_object(cluster, "k", b"body")
    await Repair(cluster, wanted=lambda bucket: 1).auditor.run_once()
    assert [item.reasons for item in await queued(cluster)] == [RepairReason.SURPLUS]


async def test_it_goes_on_where_it_was_and_counts_the_same(
    cluster: Cluster, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await put_object(cluster, f"k{number:02}", bytes(10))
    whole = await repair.auditor.run_once()
    assert whole
    await cluster.index.request_audit("again")
    monkeypatch.setattr(index_walk, "_MEMBERS_A_STEP", 2)
    monkeypatch.setattr(audit_module, "STEPS_A_SAVE", 1)

    class Killed(Exception):
        pass

    walked = 0
    walk = cluster.index.walk

    async def killed_at_the_fourth(cursor: bytes = b"") -> object:
        nonlocal walked
        walked += 1
        if walked == 4:
            raise Killed
        return await walk(cursor)

    with monkeypatch.context() as patch:
        patch.setattr(cluster.index, "walk", killed_at_the_fourth)
        with pytest.raises(Killed):
            await repair.auditor.run_once()
    begun = await cluster.index.progress("audit")
    assert begun["cursor"]
    census = await Repair(cluster, wanted=lambda bucket: 2).auditor.run_once()
    assert census
    assert replace(census, started_ms=0, ended_ms=0) == replace(whole, started_ms=0, ended_ms=0)
    assert census.started_ms == int(begun["started_ms"])


async def test_it_waits_for_repair_when_much_is_queued(
    cluster: Cluster, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await put_object(cluster, f"k{number:02}", bytes(10))
    monkeypatch.setattr(index_walk, "_MEMBERS_A_STEP", 2)
    wanted = 3

    def all_short(bucket: BucketRecord) -> int:
        return wanted

    auditor = Auditor(cluster.index, repair.watch, wanted_copies=all_short, most_queued=4)
    assert await auditor.run_once() is None
    assert await cluster.index.repairs_waiting() == 4
    assert await auditor.run_once() is None
    assert await cluster.index.repairs_waiting() == 4
    worker = Repair(cluster, wanted=all_short).worker
    for _ in range(10):
        await worker.run_once()
        if census := await auditor.run_once():
            break
    assert census
    assert sum(census.objects_by_copies.values()) == 12


def test_a_count_comes_back_as_it_was() -> None:
    count = Count(
        objects=Counter({0: 1, 2: 3}),
        bytes=Counter({2: 7}),
        short_objects=1,
        short_bytes=2,
        part_bytes=3,
        node_segments=Counter({"n": 2}),
        node_bytes=Counter({"n": 9}),
    )
    assert Count.unpacked(count.packed()) == count
    census = count.census(started_ms=1, ended_ms=2)
    assert census.nodes == {"n": NodeHolding(segments=2, size_bytes=9)}


class Table:
    """A node table set by hand."""

    def __init__(self, *nodes: Node) -> None:
        self.by_id = {node.node_id: node for node in nodes}

    def node(self, node_id: str) -> Node | None:
        return self.by_id.get(node_id)

    def nodes(self) -> list[Node]:
        return [node for node in self.by_id.values() if not node.removed]

    def was_removed(self, node_id: str) -> bool:
        return node_id == "removed"


@pytest.mark.parametrize(
    ("silent_s", "live", "draining", "removed", "expected"),
    [
        (1, True, False, False, Standing.LIVE),
        (1, True, True, False, Standing.LEAVING),
        (1, True, False, True, Standing.LEAVING),
        (100, False, False, False, Standing.AWAY),
        (990, False, False, False, Standing.AWAY),
        (991, False, False, False, Standing.GONE),
        (100, False, True, False, Standing.GONE),
        (100, False, False, True, Standing.GONE),
    ],
)
def test_what_a_node_is_worth(silent_s: float, live: bool, draining: bool, removed: bool, expected: Standing) -> None:
    node = Node(
        node_id="n",
        zone="z",
        weight=1.0,
        address="n:1",
        capacity_bytes=1,
        free_bytes=1,
        accepting=live,
        stopped=False,
        live=live,
        silent_s=silent_s,
        draining=draining,
        removed=removed,
    )
    watch = NodeWatch(Table(node), node_timeout_s=NODE_TIMEOUT_S, grace_s=900)  # type: ignore[arg-type]
    assert watch.standing("n") is expected


def test_a_node_missing_from_the_table_is_away_until_it_had_the_time_to_come_back() -> None:
    clock = Clock()
    watch = NodeWatch(Table(), node_timeout_s=90, grace_s=900, clock=clock)  # type: ignore[arg-type]
    assert watch.standing("n") is Standing.AWAY
    clock.now += 989
    assert watch.standing("n") is Standing.AWAY
    clock.now += 2
    assert watch.standing("n") is Standing.GONE
    assert watch.standing("another") is Standing.AWAY
    assert watch.standing("removed") is Standing.GONE
