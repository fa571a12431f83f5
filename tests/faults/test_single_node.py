"""The only node of a cluster under a failing kernel: the client hears 503 or the truth, and what was refused is not
served later as if it were durable.
"""

import itertools
import resource
import time
from collections.abc import Iterator

import pytest

from tests.faults.cluster import FaultCluster, wait_until
from tests.faults.ledger import LARGE_BYTES, SMALL_BYTES, Ledger
from tests.faults.strace import RENAMES, failing, require_ptrace
from tests.harness.cluster import ClusterPlan

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultCluster]:
    require_ptrace()
    plan = ClusterPlan(nodes=1, gateways=1, workers=0, replicas=1, redis_fsync="everysec")
    with FaultCluster(plan, tmp_path_factory.mktemp("single")) as running:
        yield running


@pytest.fixture
def ledger(cluster: FaultCluster) -> Iterator[Ledger]:
    """With an object of each kind acknowledged before the fault."""
    client = cluster.client(read_timeout=30)
    made = Ledger(client, f"bucket-{next(NUMBERS)}")
    wait_until(lambda: made.put("small before", SMALL_BYTES), "writes are possible")
    assert made.put("large before", LARGE_BYTES)
    yield made
    client.close()


#: Of one blob: its size, the calls, the fault.
REFUSED = {
    "file: EIO at fsync": (LARGE_BYTES, "fsync", "error=EIO"),
    "file: ENOSPC at write": (LARGE_BYTES, "writev", "error=ENOSPC"),
    "file: EROFS at rename": (LARGE_BYTES, RENAMES, "error=EROFS"),
    "pack: EIO at fdatasync": (SMALL_BYTES, "fdatasync", "error=EIO"),
    "pack: ENOSPC at write": (SMALL_BYTES, "writev", "error=ENOSPC"),
}


@pytest.mark.parametrize(("size_bytes", "calls", "fault"), REFUSED.values(), ids=REFUSED)
def test_refused_blob_is_never_served(
    cluster: FaultCluster, ledger: Ledger, size_bytes: int, calls: str, fault: str
) -> None:
    node = cluster.nodes[0]
    before = cluster.held(node)
    with failing(node.pid, calls, fault) as injected:
        assert not ledger.put("small before", size_bytes)
        assert not ledger.put("new", size_bytes)
        assert injected.count
        ledger.check()
        assert cluster.held(node) == before
        node.kill()
    node.start()
    cluster.await_answer(node)
    assert cluster.held(node) == before
    cluster.await_ready()
    ledger.check_eventually()
    assert ledger.put("new", size_bytes)
    ledger.check()


@pytest.mark.parametrize("size_bytes", [SMALL_BYTES, LARGE_BYTES])
def test_writes_that_take_nothing_at_first_are_gone_on_with(
    cluster: FaultCluster, ledger: Ledger, size_bytes: int
) -> None:
    node = cluster.nodes[0]
    with failing(node.pid, "writev", "retval=0:when=1..3") as injected:
        assert ledger.put("new", size_bytes)
        assert injected.count
    cluster.restart(node)
    ledger.check_eventually()


@pytest.mark.parametrize("size_bytes", [SMALL_BYTES, LARGE_BYTES])
def test_write_that_is_cut_short_leaves_nothing_torn(cluster: FaultCluster, ledger: Ledger, size_bytes: int) -> None:
    """By the limit of a file's size: the kernel writes what fits, and refuses the rest with EFBIG."""
    node = cluster.nodes[0]
    before = cluster.held(node)
    packs = (cluster.node_directory(node) / "packs").glob("*.pack")
    open_pack = max((path.stat() for path in packs), key=lambda found: found.st_mtime_ns)
    limit = LARGE_BYTES // 2 if size_bytes == LARGE_BYTES else open_pack.st_size + SMALL_BYTES // 2
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        assert not ledger.put("small before", size_bytes)
    finally:
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert cluster.held(node) == before
    assert ledger.put("after", size_bytes)
    cluster.restart(node)
    ledger.check_eventually()


KILLED = {
    "file: at fsync": (LARGE_BYTES, "fsync"),
    "file: at rename": (LARGE_BYTES, RENAMES),
    "pack: at write": (SMALL_BYTES, "writev"),
    "pack: at fdatasync": (SMALL_BYTES, "fdatasync"),
}


@pytest.mark.parametrize(("size_bytes", "calls"), KILLED.values(), ids=KILLED)
def test_nothing_is_torn_when_killed(cluster: FaultCluster, ledger: Ledger, size_bytes: int, calls: str) -> None:
    node = cluster.nodes[0]
    with failing(node.pid, calls, "signal=SIGKILL") as injected:
        assert not ledger.put("small before", size_bytes)
        injected.await_hit()
    assert not node.is_running
    cluster.restart(node)
    ledger.check_eventually()
    assert ledger.put("small before", size_bytes)


@pytest.mark.parametrize("size_bytes", [SMALL_BYTES, LARGE_BYTES])
def test_acknowledgement_waits_for_a_slow_fsync(cluster: FaultCluster, ledger: Ledger, size_bytes: int) -> None:
    node = cluster.nodes[0]
    with failing(node.pid, "fsync,fdatasync", "delay_enter=400000"):
        started = time.monotonic()
        assert ledger.put("slow", size_bytes)
        assert time.monotonic() - started >= 0.8  # one fsync of the blob, and one of the journal behind it
    ledger.check()
