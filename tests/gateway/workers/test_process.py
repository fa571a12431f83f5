"""`cairn worker` as a process: it does its work, ends in order, and does not outlive its parent."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from gateway.datapath import Origin
from gateway.datapath.origin import unpack_origin
from gateway.journal.snapshot_writer import SNAPSHOT_BUCKET
from gateway.workers.runner import LEASE_NAME
from tests.gateway.datapath.cluster import PROJECT, SECRET, Cluster
from tests.gateway.workers.objects import delete_object, put_object

STOP_TIMEOUT_S = 20.0


def environment(cluster: Cluster, directory: Path, parent_pid: int) -> dict[str, str]:
    return {
        **os.environ,
        "REDIS_HOST": cluster.redis.address,
        "BASE_STORAGE_PATH": str(directory),
        "CAIRN_CLUSTER_SECRET": SECRET,
        "CAIRN_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
        "CAIRN_ROOT_ACCESS_KEY": "root",
        "CAIRN_ROOT_SECRET_KEY": "secret-of-root",
        "CAIRN_EXPECTED_NODES": str(len(cluster.nodes)),
        "CAIRN_RECLAIM_GRACE_S": "0.01",
        "CAIRN_ORPHAN_GRACE_S": "0.01",
        "CAIRN_RECLAIM_INTERVAL_S": "0.05",
        "CAIRN_PARENT_PID": str(parent_pid),
    }


async def clients_blobs(cluster: Cluster) -> int:
    """How many copies the nodes hold, but for snapshots of the index, the first of which is taken at once."""
    held = [info for node in cluster.nodes for info in await cluster.blobs(node)]
    return sum(unpack_origin(info.origin).origin.bucket != SNAPSHOT_BUCKET for info in held)


COMMAND = [sys.executable, "-P", "-m", "gateway.cli", "worker"]


@pytest.fixture
async def worker(cluster: Cluster, tmp_path: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            COMMAND, cwd=PROJECT, env=environment(cluster, tmp_path, os.getpid()), stdout=log, stderr=log
        )
    yield process
    process.kill()
    process.wait()


async def test_it_reclaims_and_sweeps_by_itself_until_it_is_told_to_stop(
    cluster: Cluster, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    await put_object(cluster, "deleted", b"x")
    await delete_object(cluster, "deleted")
    await cluster.write(b"never committed", origin=Origin(bucket="b", key="lost"))
    deadline = time.monotonic() + 30
    while await clients_blobs(cluster):
        if worker.poll() is not None or time.monotonic() > deadline:
            pytest.fail((tmp_path / "worker.log").read_text())
        await asyncio.sleep(0.02)
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, STOP_TIMEOUT_S) == 0
    assert await cluster.index.try_lease(LEASE_NAME, "the next", ttl_ms=1000)
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


async def test_it_stops_in_order_while_the_index_is_away(cluster: Cluster, tmp_path: Path) -> None:
    nowhere = environment(cluster, tmp_path, os.getpid()) | {"REDIS_HOST": f"unix:{tmp_path}/none"}
    process = subprocess.Popen(COMMAND, cwd=PROJECT, env=nowhere, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout
    lines = iter(process.stdout.readline, b"")
    assert any(b"lease not renewed" in line for line in lines)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, STOP_TIMEOUT_S) == 0
    assert b"Traceback" not in process.stdout.read()
    process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
async def test_it_dies_with_its_parent(cluster: Cluster, tmp_path: Path) -> None:
    start = (
        "import os, subprocess, sys, time\n"
        "os.environ['CAIRN_PARENT_PID'] = str(os.getpid())\n"
        "child = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE)\n"
        "child.stderr.readline()\n"  # it has started, and asked for the signal before
        "print(child.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", start, *COMMAND],
        cwd=PROJECT,
        env=environment(cluster, tmp_path, 0),
        stdout=subprocess.PIPE,
    )
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    await asyncio.to_thread(child.wait, STOP_TIMEOUT_S)
    assert not child.is_running()
