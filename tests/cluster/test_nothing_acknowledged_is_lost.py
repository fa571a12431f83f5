"""Writers at work while processes are killed: what was acknowledged is there afterwards, whole."""

from pathlib import Path

import psutil
import pytest

from tests.cluster.support import PATIENCE_S, kill_and_await_successor, start
from tests.cluster.writers import stop_and_check, writing
from tests.harness.cairn import CairnServer

KILLS = 3


def make_bucket(server: CairnServer) -> None:
    client = server.client()
    client.create_bucket(Bucket="bucket")
    client.close()


@pytest.mark.parametrize("role", ["index", "gateway", "node"])
def test_writes_outlive_the_kill_of_a_process(tmp_path: Path, role: str) -> None:
    with start(tmp_path, nodes=2, replicas=2) as server:
        make_bucket(server)
        with writing(server, "bucket") as writers:
            for _ in range(KILLS):
                kill_and_await_successor(server, server.processes(role)[0])
                writers.await_more()
            stop_and_check(writers, server.client)


def test_writes_outlive_the_kill_of_everything(tmp_path: Path) -> None:
    with start(tmp_path, nodes=3, replicas=3) as server:
        make_bucket(server)
        with writing(server, "bucket") as writers:
            processes = psutil.Process(server.pid).children(recursive=True)
            server.process.kill()
            writers.stop()
        _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
        assert alive == []
    with start(tmp_path, nodes=3, replicas=3) as server:
        stop_and_check(writers, server.client)


def test_killed_supervisor_leaves_no_process_and_a_directory_that_serves_again(tmp_path: Path) -> None:
    with start(tmp_path, nodes=2, replicas=2) as server:
        make_bucket(server)
        client = server.client()
        client.put_object(Bucket="bucket", Key="k", Body=b"kept")
        client.close()
        processes = psutil.Process(server.pid).children(recursive=True)
        assert len(processes) >= 5  # index, two nodes, worker, gateway
        server.process.kill()
        # Started at once: those of the killed one may still be on their way out.
        with start(tmp_path, nodes=2, replicas=2) as successor:
            client = successor.client()
            assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == b"kept"
            client.close()
        _, alive = psutil.wait_procs(processes, timeout=PATIENCE_S)
        assert alive == []
