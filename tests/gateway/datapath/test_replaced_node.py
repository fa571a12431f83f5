"""A node that comes back with an empty directory, and so with another id, at an address that is known."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.datapath.damage import DamageKind
from tests.gateway.datapath.cluster import Cluster, open_cluster, running_processes


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    with running_processes(tmp_path, nodes=3) as processes:
        async with open_cluster(processes) as opened:
            monkeypatch.setattr(opened.membership, "_read_table", _not_now)  # what it knows grows old
            yield opened


async def _not_now() -> None:
    return


async def test_a_record_names_nobody_who_did_not_store_it(cluster: Cluster) -> None:
    await cluster.write(b"before")
    lost = cluster.nodes[0]
    old_id = lost.node_id
    lost.lose_directory()
    assert lost.node_id != old_id
    assert cluster.membership.node(old_id) is not None
    for number in range(5):
        cluster.membership.node_answered(old_id)  # no suspicion keeps the write from it
        extent = await cluster.write(bytes([number]))
        assert old_id not in extent.segments[0].nodes
        assert len(extent.segments[0].nodes) == 2
    assert await cluster.blobs(lost) == []


async def test_a_read_from_the_wrong_node_goes_on_elsewhere_and_reports_no_damage(cluster: Cluster) -> None:
    extents = [await cluster.write(bytes([number])) for number in range(20)]
    old_id = cluster.nodes[0].node_id
    cluster.nodes[0].lose_directory()
    for number, extent in enumerate(extents):
        cluster.membership.node_answered(old_id)
        assert await cluster.read(extent) == bytes([number])
    assert [damage for damage in cluster.damages if damage.kind is DamageKind.MISSING] == []
