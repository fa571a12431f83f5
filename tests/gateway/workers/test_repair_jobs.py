"""How the jobs of repair are put together: how many copies are wanted as nodes stop, drain and go."""

from dataclasses import replace

from gateway.index.node_states import NodeState
from gateway.index.records import BucketRecord
from gateway.redundancy import REDUNDANCY, Redundancy, encode_redundancy
from gateway.settings import GatewaySettings
from gateway.workers.repair_jobs import repair_jobs, wanted_copies
from tests.gateway.datapath.cluster import Cluster
from tests.gateway.workers.repairing import Repair

BUCKET = BucketRecord(name="b", bucket_id=1, owner_id="o", created_ms=1, region="r")


async def test_a_restart_lowers_nothing_and_a_drain_does(cluster: Cluster) -> None:
    wanted = wanted_copies(GatewaySettings(), cluster.membership)
    assert wanted(BUCKET) == 3
    cluster.nodes[0].stop()
    await cluster.membership.refresh()
    assert len(cluster.membership.expected_nodes()) == 2  # of a new write
    assert wanted(BUCKET) == 3
    repair = Repair(cluster, wanted=wanted)
    await repair.state(cluster.nodes[1], NodeState.DRAINING)
    assert wanted(BUCKET) == 2
    await repair.state(cluster.nodes[1], NodeState.REMOVED)
    assert wanted(BUCKET) == 2


async def test_what_bucket_or_settings_say_holds_whatever_nodes_there_are(cluster: Cluster) -> None:
    stated = replace(BUCKET, configs={REDUNDANCY: encode_redundancy(Redundancy(replicas=5, write_quorum=3))})
    wanted = wanted_copies(GatewaySettings(replicas=2), cluster.membership)
    assert (wanted(BUCKET), wanted(stated)) == (2, 5)


async def test_every_job_has_a_name_of_its_own(cluster: Cluster) -> None:
    jobs = repair_jobs(GatewaySettings(), cluster.index, cluster.client, cluster.membership)
    assert set(jobs) == {"repair", "audit", "rebalance", "surplus", "released copies"}
