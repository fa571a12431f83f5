"""The only node of the journal under a failing kernel: what cannot be made durable is not acknowledged, and what was
acknowledged does not rest on a file whose fsync failed.
"""

import itertools
from collections.abc import Iterator

import pytest

from tests.faults.cluster import FaultCluster, wait_until
from tests.faults.ledger import SMALL_BYTES, Ledger
from tests.faults.strace import RENAMES, failing, require_ptrace
from tests.harness.cluster import ClusterPlan

NUMBERS = itertools.count()
SOON = {"CAIRN_JOURNAL_TIMEOUT_S": "3"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultCluster]:
    require_ptrace()
    plan = ClusterPlan(nodes=1, gateways=1, workers=0, replicas=1, redis_fsync="everysec", environment=SOON)
    with FaultCluster(plan, tmp_path_factory.mktemp("single")) as running:
        yield running


@pytest.fixture
def ledger(cluster: FaultCluster) -> Iterator[Ledger]:
    client = cluster.client(read_timeout=30)
    made = Ledger(client, f"bucket-{next(NUMBERS)}")
    wait_until(lambda: made.put("small before", SMALL_BYTES), "writes are possible")
    yield made
    client.close()


#: Of the open segment of the journal: the call, the fault.
OF_SEGMENT = {
    "EIO at fdatasync": ("fdatasync", "error=EIO"),
    "ENOSPC at write": ("writev", "error=ENOSPC"),
    "nothing written": ("writev", "retval=0:when=1..3"),
    "SIGKILL at fdatasync": ("fdatasync", "signal=SIGKILL"),
}


@pytest.mark.parametrize(("calls", "fault"), OF_SEGMENT.values(), ids=OF_SEGMENT)
def test_journal_goes_on_in_another_segment(cluster: FaultCluster, ledger: Ledger, calls: str, fault: str) -> None:
    """And what was acknowledged is durable there: the failed file loses what its disk did not take, and Redis all."""
    node = cluster.nodes[0]
    log = cluster.segment_log(node)
    durable_bytes = log.stat().st_size
    with failing(node.pid, calls, fault, path=log) as injected:
        ledger.put("new", SMALL_BYTES)
        injected.await_hit()
        if "SIGKILL" in fault:
            node.kill()
            node.start()
            cluster.await_answer(node)
    wait_until(lambda: ledger.put("after the fault", SMALL_BYTES), "the journal takes entries")
    if "error" in fault:
        assert cluster.segment_log(node) != log
        node.kill()
        with log.open("r+b") as file:
            file.truncate(durable_bytes)
        cluster.wipe_redis()
        node.start()
        cluster.await_ready()
    ledger.check_eventually()


OF_PROMISE = {
    "EIO at fsync": ("fsync", "error=EIO"),
    "EROFS at rename": (RENAMES, "error=EROFS"),
    "SIGKILL at rename": (RENAMES, "signal=SIGKILL"),
}


@pytest.mark.parametrize(("calls", "fault"), OF_PROMISE.values(), ids=OF_PROMISE)
def test_index_stays_closed_until_the_promise_is_kept(
    cluster: FaultCluster, ledger: Ledger, calls: str, fault: str
) -> None:
    """The promise of an epoch, which a restarted Redis calls for."""
    node = cluster.nodes[0]
    promise = cluster.node_directory(node) / "journal" / "promise"
    promised = promise.read_bytes()
    with failing(node.pid, calls, fault) as injected:
        cluster.redis.kill()
        cluster.redis.start()
        injected.await_hit()
        assert not ledger.put("new", SMALL_BYTES)
        assert promise.read_bytes() == promised
        node.kill()
    cluster.restart(node)
    ledger.check_eventually()
    assert ledger.put("new", SMALL_BYTES)
