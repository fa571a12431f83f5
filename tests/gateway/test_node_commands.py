"""Draining and removing nodes as an administrator does: what is refused, why, and what is told."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from gateway import node_commands
from gateway.cli_options import CommandRefused
from gateway.command_services import CommandServices
from gateway.index.journal_feed import JournalFeed
from gateway.journal.catalogue import drop_everywhere, snapshot_ids
from gateway.journal.snapshot_format import Manifest
from gateway.journal.snapshot_writer import SnapshotWriter
from gateway.settings import GatewaySettings
from gateway.workers import audit as audit_module
from storagenode.journal_protocol import Seal, SegmentHeader
from tests.gateway.datapath.cluster import Cluster, Processes, open_cluster, running_processes
from tests.gateway.journal.rebuilding import DurableAtOnce
from tests.gateway.workers.objects import OWNER, delete_object, empty_index, put_object
from tests.gateway.workers.repairing import Repair, nodes_in_record
from tests.harness.opened_index import open_as_it_is


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with running_processes(tmp_path_factory.mktemp("commands"), nodes=3) as processes:
        yield processes


@pytest.fixture
async def cluster(three_nodes: Processes) -> AsyncIterator[Cluster]:
    async with open_cluster(three_nodes, replicas=2) as cluster:
        await empty_index(cluster)
        await cluster.index.create_bucket("b", OWNER, "r", now_ms=1, limit=10)
        yield cluster


@pytest.fixture
def services(cluster: Cluster) -> CommandServices:
    return CommandServices(
        settings=GatewaySettings(replicas=2),
        index=cluster.index,
        membership=cluster.membership,
        client=cluster.client,
    )


@pytest.fixture
def repair(cluster: Cluster) -> Repair:
    return Repair(cluster, wanted=lambda bucket: 2)


async def settle(cluster: Cluster, repair: Repair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repair everything, then audit as if the time for writes under way were over."""
    monkeypatch.setattr(node_commands, "SETTLED_AFTER_MS", 0)
    monkeypatch.setattr(audit_module, "SETTLED_AFTER_MS", 0)
    await repair.auditor.run_once()
    await repair.worker.run_once()
    await cluster.index.request_audit("once more")
    assert await repair.auditor.run_once()


async def test_nodes_are_listed_with_what_lies_on_them(
    cluster: Cluster, services: CommandServices, repair: Repair
) -> None:
    await put_object(cluster, "k", b"body")
    assert {(one.state, one.holding) for one in await node_commands.list_nodes(services)} == {("live", None)}
    await repair.auditor.run_once()
    found = await node_commands.list_nodes(services)
    held = [one.holding.size_bytes for one in found if one.holding is not None]
    assert sorted(held) == [0, 4, 4]
    assert {one.node_id for one in found} == {node.node_id for node in cluster.nodes}


async def test_a_node_is_named_by_its_id_the_beginning_of_it_or_its_address(
    cluster: Cluster, services: CommandServices
) -> None:
    node = cluster.nodes[1]
    for name in (node.node_id, node.node_id[:14], node.address):
        assert (await node_commands.drain(services, name)).node_id == node.node_id
        assert (await node_commands.undrain(services, name)).state == "live"
    for name in ("", "nowhere:1", "zz"):
        with pytest.raises(CommandRefused, match="there is no node"):
            await node_commands.drain(services, name)


async def test_a_node_in_use_is_not_removed(cluster: Cluster, services: CommandServices) -> None:
    for force in (False, True):
        with pytest.raises(CommandRefused, match="is in use: cairn node drain"):
            await node_commands.remove(services, cluster.nodes[0].node_id, force=force, accept_loss=force)


async def test_a_drained_node_is_removed_once_nothing_names_it(
    cluster: Cluster, services: CommandServices, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = await put_object(cluster, "k", b"body")
    name = extent.segments[0].nodes[0]
    await repair.auditor.run_once()
    assert (await node_commands.drain(services, name)).state == "draining"
    with pytest.raises(CommandRefused, match="only the next audit can tell"):
        await node_commands.remove(services, name, force=False, accept_loss=False)
    monkeypatch.setattr(node_commands, "SETTLED_AFTER_MS", 0)
    await repair.auditor.run_once()
    with pytest.raises(CommandRefused, match=r"1 segments \(4 bytes\) still name"):
        await node_commands.remove(services, name, force=False, accept_loss=False)
    await settle(cluster, repair, monkeypatch)
    assert (await node_commands.remove(services, name, force=False, accept_loss=False)).state == "removed"
    assert name not in {node.node_id for node in cluster.membership.nodes()}
    assert (await nodes_in_record(cluster, "k"))[0] == {node.node_id for node in cluster.nodes} - {name}
    with pytest.raises(CommandRefused, match="was removed already"):
        await node_commands.remove(services, name, force=False, accept_loss=False)
    with pytest.raises(CommandRefused, match="was removed"):
        await node_commands.drain(services, name)
    assert (await node_commands.undrain(services, name)).state == "live"
    assert name in {node.node_id for node in cluster.membership.nodes()}


async def test_what_waits_in_the_trash_keeps_a_node(
    cluster: Cluster, services: CommandServices, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    extent = await put_object(cluster, "k", b"body")
    await delete_object(cluster, "k")
    name = extent.segments[0].nodes[0]
    await node_commands.drain(services, name)
    await settle(cluster, repair, monkeypatch)
    with pytest.raises(CommandRefused, match="still name"):
        await node_commands.remove(services, name, force=False, accept_loss=False)


async def test_a_dead_node_is_removed_by_force_once_it_was_repaired_around(
    cluster: Cluster, services: CommandServices, repair: Repair
) -> None:
    extent = await put_object(cluster, "k", b"body")
    only = await put_object(cluster, "only", b"copy")
    name = extent.segments[0].nodes[0]
    if name not in only.segments[0].nodes:
        name = next(one for one in extent.segments[0].nodes if one in only.segments[0].nodes)
    for node_id in only.segments[0].nodes:
        if node_id != name:  # the other copy is lost with its node
            cluster.node(node_id).stop()
    cluster.node(name).stop()
    await cluster.membership.refresh()
    lost = await node_commands.what_only_it_has(services, name)
    assert lost.objects >= 1
    with pytest.raises(CommandRefused, match="from no other node: start it again, or give them up"):
        await node_commands.remove(services, name, force=True, accept_loss=False)
    done = await node_commands.remove(services, name, force=True, accept_loss=True)
    assert done.state == "removed, stopped"
    assert cluster.membership.node(name) is None
    assert cluster.membership.was_removed(name)


async def test_by_force_goes_what_can_be_read_elsewhere(cluster: Cluster, services: CommandServices) -> None:
    extent = await put_object(cluster, "k", b"body")
    name = extent.segments[0].nodes[0]
    await node_commands.drain(services, name)
    await node_commands.remove(services, name, force=True, accept_loss=False)
    assert await cluster.read(extent) == b"body"


async def test_a_forecast_names_every_node_and_moves_nothing(cluster: Cluster, services: CommandServices) -> None:
    for number in range(20):
        await put_object(cluster, f"k{number}", bytes(10))
    found = await node_commands.forecast(services)
    assert sum(found.now.values()) == sum(found.after.values()) == 400
    assert await services.index.repairs_waiting() == 0


async def test_a_forecast_is_refused_while_a_node_is_away(cluster: Cluster, services: CommandServices) -> None:
    cluster.nodes[0].stop()
    await cluster.membership.refresh()
    with pytest.raises(CommandRefused, match="nodes are away"):
        await node_commands.forecast(services)


async def test_a_rebalance_is_ordered_and_stopped(services: CommandServices) -> None:
    assert not await node_commands.stop_rebalance(services)
    await node_commands.order_rebalance(services, 1000)
    order = await services.index.rebalance_order()
    assert order
    assert order.rate_bytes_s == 1000
    assert await node_commands.stop_rebalance(services)
    assert await services.index.rebalance_order() is None


async def take_snapshot(cluster: Cluster) -> Manifest:
    """One on two nodes, as the worker takes them."""
    await open_as_it_is(cluster.connection)
    writer = SnapshotWriter(
        *(JournalFeed(cluster.connection), cluster.connection, cluster.client, cluster.membership),
        durability=DurableAtOnce(),
        replicas=lambda _: 2,
    )
    return await writer.take()


async def test_a_node_with_a_part_of_a_snapshot_is_not_removed_before_there_are_others(
    cluster: Cluster, services: CommandServices, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_object(cluster, "k", b"body")
    manifest = await take_snapshot(cluster)
    name, other = manifest.chunks[0].nodes
    await node_commands.drain(services, name)
    await settle(cluster, repair, monkeypatch)
    with pytest.raises(CommandRefused, match="snapshots of the index lie on"):
        await node_commands.remove(services, name, force=False, accept_loss=False)
    chunk = manifest.blob_id(0)
    await cluster.client.delete(cluster.node(other).address, chunk)
    with pytest.raises(CommandRefused, match=f"snapshot {manifest.snapshot_id} of the index is on {name} alone"):
        await node_commands.remove(services, name, force=True, accept_loss=False)
    for _ in range(2):
        assert name not in (await take_snapshot(cluster)).chunks[0].nodes
    assert (await node_commands.remove(services, name, force=False, accept_loss=False)).state == "removed"
    addresses = {one.node_id: one.address for one in cluster.nodes}
    for snapshot_id in await snapshot_ids(cluster.client, addresses):
        assert await drop_everywhere(cluster.client, addresses, snapshot_id)


async def test_a_node_with_entries_of_the_journal_that_no_other_has_is_not_removed(
    cluster: Cluster, services: CommandServices, repair: Repair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = cluster.nodes
    header = SegmentHeader(
        segment_id=f"{1 << 32:016x}-{1:016x}",
        epoch=1 << 32,
        first_sequence=1,
        nodes=(one.node_id, two.node_id),
        quorum=2,
        incarnation="i",
        opened_at=0,
    )
    following = replace(header, segment_id=f"{2 << 32:016x}-{3:016x}", epoch=2 << 32, first_sequence=3)
    journal = cluster.client.journal
    fields = {"epoch": header.epoch, "watermark": 0, "first_sequence": 1}
    for node, entries in ((one, [b"1", b"2"]), (two, [b"1"])):
        await journal.create(node.address, header)
        await journal.append(node.address, header.segment_id, entries=entries, **fields)
    await node_commands.drain(services, one.node_id)
    await settle(cluster, repair, monkeypatch)
    with pytest.raises(CommandRefused, match="the journal is still written to"):
        await node_commands.remove(services, one.node_id, force=False, accept_loss=False)
    seal = Seal(epoch=following.epoch, end_sequence=2, next=replace(following, nodes=(two.node_id,), quorum=1))
    await journal.seal(one.address, header.segment_id, seal)
    await journal.seal(two.address, header.segment_id, seal)
    for force in (False, True):
        with pytest.raises(CommandRefused, match="entries of the journal"):
            await node_commands.remove(services, one.node_id, force=force, accept_loss=False)
    await journal.drop(one.address, header.segment_id)
    assert (await node_commands.remove(services, one.node_id, force=False, accept_loss=False)).state == "removed"
    await journal.drop(two.address, header.segment_id)
