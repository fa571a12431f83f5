"""What may be lost for good without losing anything: W - 1 nodes with their directories, Redis, and both."""

import time
from pathlib import Path

import pytest

from tests.harness.cluster import Cluster, ClusterPlan
from tests.storm.journal import needs_journal
from tests.storm.schedule import Switches
from tests.storm.storm import StormPlan, run_storm

pytestmark = [pytest.mark.storm, pytest.mark.timeout(180)]

STORM_SECONDS = 6.0
SECONDS = 8.0


def lose(tmp_path: Path, *, seed: int, lost_nodes: int = 0, wipes: int = 0, replicas: int = 3) -> None:
    """Clients at work, and nothing but these losses; then everything is read and held against the history."""
    journal_replicas = {"CAIRN_JOURNAL_REPLICAS": str(replicas)}
    plan = StormPlan(
        seed=seed,
        seconds=STORM_SECONDS,
        kills=lost_nodes + wipes,
        clients=4,
        all_given_back=False,
        cluster=ClusterPlan(nodes=replicas + 1, replicas=replicas, environment=journal_replicas),
        switches=Switches(lost_nodes=lost_nodes, wipes=wipes, network=False, pauses=False),
    )
    report = run_storm(plan, tmp_path / "storm")
    assert report.nothing_wrong, str(report)
    assert sum(report.faults.values()) == lost_nodes + wipes
    assert report.outcomes["ok"] > 100, str(report)


@pytest.mark.large
@pytest.mark.parametrize(("replicas", "lost_nodes"), [(3, 1), (5, 2)])
def test_directories_of_one_node_less_than_a_write_quorum_are_removed(
    tmp_path: Path, replicas: int, lost_nodes: int
) -> None:
    lose(tmp_path, seed=31, lost_nodes=lost_nodes, replicas=replicas)


@needs_journal
def test_redis_is_wiped(tmp_path: Path) -> None:
    lose(tmp_path, seed=32, wipes=2)


@needs_journal
def test_redis_is_wiped_while_a_node_is_down_for_good(tmp_path: Path) -> None:
    with Cluster(ClusterPlan(), tmp_path / "cluster") as cluster:
        client = cluster.client()
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="k", Body=b"kept")
        cluster.nodes[0].kill()
        cluster.wipe_redis()
        cluster.await_ready(timeout_s=25, restart=False)
        assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == b"kept"
        client.close()


@needs_journal
def test_a_node_and_redis_are_lost_one_after_the_other(tmp_path: Path) -> None:
    lose(tmp_path, seed=33, lost_nodes=1, wipes=1)


@needs_journal
def test_redis_and_a_node_are_lost_at_once_and_the_empty_node_is_heard_first(tmp_path: Path) -> None:
    """The others are silent for a while, as they are between two heartbeats of the usual 30 s."""
    heartbeats = {"NODE_HEARTBEAT_INTERVAL": str(SECONDS), "NODE_TIMEOUT": str(3 * SECONDS)}
    plan = ClusterPlan(nodes=3, environment={"CAIRN_EXPECTED_NODES": "0", **heartbeats})
    with Cluster(plan, tmp_path / "cluster") as cluster:
        client = cluster.client()
        client.create_bucket(Bucket="bucket")
        client.put_object(Bucket="bucket", Key="k", Body=b"kept")
        for node in cluster.nodes[1:]:
            node.pause()
        cluster.remove_node_directory(cluster.nodes[0])
        cluster.wipe_redis()
        cluster.nodes[0].start()
        time.sleep(SECONDS)
        for node in cluster.nodes[1:]:
            node.resume()
        cluster.await_ready()
        assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == b"kept"
        client.close()
