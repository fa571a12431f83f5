"""The index server under a failing kernel: what it cannot write it refuses, and what it forgets the journal has."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest

from gateway.index.connection import connect
from gateway.workers.index_file import IndexFileKeeper
from tests.faults.cluster import FaultCluster, wait_until
from tests.faults.ledger import SMALL_BYTES, Ledger
from tests.faults.strace import RENAMES, failing, require_ptrace
from tests.harness.cluster import ClusterPlan

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultCluster]:
    require_ptrace()
    plan = ClusterPlan(nodes=1, gateways=1, workers=0, replicas=1, redis_fsync="everysec")
    with FaultCluster(plan, tmp_path_factory.mktemp("index")) as running:
        yield running


@pytest.fixture
def ledger(cluster: FaultCluster) -> Iterator[Ledger]:
    client = cluster.client(read_timeout=30)
    made = Ledger(client, f"bucket-{next(NUMBERS)}")
    assert made.put("before", SMALL_BYTES)
    yield made
    client.close()


def ask(cluster: FaultCluster, *command: str) -> None:
    """One command to the index server; what it answers does not matter."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(cluster.redis.socket_path))
        connection.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub takes one
        connection.recv(1000)


async def keep_file(cluster: FaultCluster) -> None:
    """What the worker's job does when it looks."""
    connection = connect(f"unix:{cluster.redis.socket_path}")
    try:
        assert await IndexFileKeeper(connection).run_once()
    finally:
        await connection.close()


def append_only_file(cluster: FaultCluster) -> Path:
    """The file that is written to now."""
    files = (cluster.redis.directory / "appendonlydir").glob("*.incr.aof")
    return max(files, key=lambda path: int(path.name.split(".")[2]))


REFUSES = {
    "EIO at fdatasync": ("fdatasync", "error=EIO"),
    "ENOSPC at write": ("write,writev", "error=ENOSPC"),
}


@pytest.mark.parametrize(("calls", "fault"), REFUSES.values(), ids=REFUSES)
def test_server_that_cannot_write_refuses_until_it_can(
    cluster: FaultCluster, ledger: Ledger, calls: str, fault: str
) -> None:
    with failing(cluster.redis.pid, calls, fault, path=append_only_file(cluster)) as injected:
        wait_until(lambda: not ledger.put("during", SMALL_BYTES), "the server notices")
        assert injected.count
        assert not ledger.delete("before")
        assert ledger.read("before") is not None
    if calls == "fdatasync":  # nothing that was written before is sure: the worker has all of it written anew
        assert not ledger.put("after", SMALL_BYTES)
        asyncio.run(keep_file(cluster))
    wait_until(lambda: ledger.put("after", SMALL_BYTES), "the server recovers by itself")
    ledger.check()
    cluster.redis.kill()
    cluster.redis.start()
    cluster.await_ready()
    ledger.check_eventually()


def test_writes_that_take_nothing_at_first_are_gone_on_with(cluster: FaultCluster, ledger: Ledger) -> None:
    log = append_only_file(cluster)
    with failing(cluster.redis.pid, "write,writev", "retval=0:when=1..3", path=log) as injected:
        assert ledger.put("new", SMALL_BYTES)
        injected.await_hit()
    cluster.redis.kill()
    cluster.redis.start()
    cluster.await_ready()
    ledger.check_eventually()


ENDS = {
    "EIO at fdatasync of every command": ("always", "fdatasync", "error=EIO"),
    "ENOSPC at write of every command": ("always", "write,writev", "error=ENOSPC"),
    "SIGKILL at fdatasync": ("everysec", "fdatasync", "signal=SIGKILL"),
    "SIGKILL at write": ("everysec", "write,writev", "signal=SIGKILL"),
}


@pytest.mark.parametrize(("policy", "calls", "fault"), ENDS.values(), ids=ENDS)
def test_server_that_ends_loses_nothing_acknowledged(
    cluster: FaultCluster, ledger: Ledger, policy: str, calls: str, fault: str
) -> None:
    """One that fsyncs every command ends itself when it cannot."""
    ask(cluster, "CONFIG", "SET", "appendfsync", policy)
    with failing(cluster.redis.pid, calls, fault, path=append_only_file(cluster)) as injected:
        wait_until(lambda: not ledger.put("during", SMALL_BYTES), "the server is gone")
        injected.await_hit()
        assert not ledger.put("away", SMALL_BYTES)
    cluster.redis.kill()
    cluster.redis.start()
    cluster.await_ready()
    ledger.check_eventually()
    assert ledger.put("after", SMALL_BYTES)


@pytest.mark.parametrize("fault", ["error=EROFS", "signal=SIGKILL"])
def test_rewrite_of_the_append_only_file_fails_at_its_rename(cluster: FaultCluster, ledger: Ledger, fault: str) -> None:
    with failing(cluster.redis.pid, RENAMES, fault) as injected:
        ask(cluster, "BGREWRITEAOF")
        injected.await_hit()
        ledger.put("during", SMALL_BYTES)
        cluster.redis.kill()
    cluster.redis.start()
    cluster.await_ready()
    ledger.check_eventually()
    assert ledger.put("after", SMALL_BYTES)


def test_slow_fdatasync_refuses_nobody(cluster: FaultCluster, ledger: Ledger) -> None:
    with failing(cluster.redis.pid, "fdatasync", "delay_enter=1500000") as injected:
        for number in range(10):
            assert ledger.put(f"slow {number}", SMALL_BYTES)
        injected.await_hit()
    ledger.check()
