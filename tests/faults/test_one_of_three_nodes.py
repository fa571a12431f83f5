"""One node of three under a failing kernel: the client notices nothing, and what it was told stays true."""

import itertools
import time
from collections.abc import Iterator

import pytest

from tests.faults.cluster import FaultCluster
from tests.faults.ledger import LARGE_BYTES, SMALL_BYTES, Ledger
from tests.faults.strace import RENAMES, failing, require_ptrace
from tests.harness.cluster import ClusterPlan

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultCluster]:
    require_ptrace()
    plan = ClusterPlan(nodes=3, gateways=1, workers=1, replicas=3, redis_fsync="everysec")
    with FaultCluster(plan, tmp_path_factory.mktemp("three")) as running:
        yield running


@pytest.fixture
def ledger(cluster: FaultCluster) -> Iterator[Ledger]:
    client = cluster.client(read_timeout=30)
    yield Ledger(client, f"bucket-{next(NUMBERS)}")
    client.close()


FAULTS = {
    "EIO at fsync": ("fsync,fdatasync", "error=EIO"),
    "ENOSPC at write": ("writev", "error=ENOSPC"),
    "EROFS at rename": (RENAMES, "error=EROFS"),
    "SIGKILL at rename": (RENAMES, "signal=SIGKILL"),
    "SIGKILL at fdatasync": ("fdatasync", "signal=SIGKILL"),
}


@pytest.mark.parametrize(("calls", "fault"), FAULTS.values(), ids=FAULTS)
def test_other_nodes_take_the_writes(cluster: FaultCluster, ledger: Ledger, calls: str, fault: str) -> None:
    node = cluster.nodes[0]
    assert ledger.put("deleted", SMALL_BYTES)
    assert ledger.put("overwritten", LARGE_BYTES)
    with failing(node.pid, calls, fault) as injected:
        for number, size_bytes in enumerate((SMALL_BYTES, LARGE_BYTES) * 2):
            assert ledger.put(f"during {number}", size_bytes), ledger.refused
        assert ledger.put("overwritten", SMALL_BYTES), ledger.refused
        assert ledger.delete("deleted"), ledger.refused
        injected.await_hit()
        ledger.check()
        node.kill()
    ledger.check()
    cluster.restart(node)
    ledger.check_eventually()


def test_slow_node_holds_nobody_up(cluster: FaultCluster, ledger: Ledger) -> None:
    """Its fsyncs take 3 s each; a write is there when two nodes have it, and so is its journal entry."""
    delay_s = 3.0
    with failing(cluster.nodes[0].pid, "fsync,fdatasync", f"delay_enter={delay_s * 1e6:.0f}") as injected:
        started = time.monotonic()
        for number, size_bytes in enumerate((SMALL_BYTES, LARGE_BYTES)):
            assert ledger.put(f"slow {number}", size_bytes)
        assert time.monotonic() - started < 2 * delay_s
        injected.await_hit()
    cluster.restart(cluster.nodes[0])
    ledger.check_eventually()


def test_writes_that_lie_are_found_out(cluster: FaultCluster, ledger: Ledger) -> None:
    """The disk says that it took bytes, and did not. When they were those of its promise, the node takes no part in
    the journal until it is replaced; its blobs are verified one by one.
    """
    node = cluster.nodes[0]
    with failing(node.pid, "writev", "retval=7:when=1+2") as injected:
        for number in range(8):
            assert ledger.put(f"lied {number}", (SMALL_BYTES, LARGE_BYTES)[number % 2]), ledger.refused
        injected.await_hit()
        ledger.check()
    ledger.check()
    cluster.restart(node)
    ledger.check_eventually()
