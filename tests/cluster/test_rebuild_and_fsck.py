"""A real cluster whose index is thrown away, by an administrator and by accident, and what fsck says of it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import hiredis
from botocore.exceptions import BotoCoreError, ClientError

from gateway.supervisor.layout import DataDirectory
from tests.cluster.support import QUICK, wait_until
from tests.harness.cairn import CairnServer, clean_environment

OFTEN = QUICK | {"CAIRN_SNAPSHOT_ENTRIES": "40", "CAIRN_RECLAIM_GRACE_S": "600"}
BUCKET = "photos"


def start(tmp_path: Path, environment: Mapping[str, str]) -> CairnServer:
    return CairnServer.start(tmp_path / "data", "--nodes", "3", "--replicas", "2", env=environment)


def cairn(server: CairnServer, *arguments: str, status: int = 0) -> str:
    """Run a command on the cluster; what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gateway.cli", *arguments, "--data", str(server.data_dir)],
        env=clean_environment() | QUICK,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def fsck(server: CairnServer, *flags: str, status: int = 0) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(cairn(server, "fsck", "--json", *flags, status=status))
    return report


def wipe_index(server: CairnServer) -> None:
    path = DataDirectory(root=server.data_dir).read_index_address().removeprefix("unix:")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(hiredis.pack_command(("FLUSHALL",)))
        assert connection.recv(100) == b"+OK\r\n"


def files(server: CairnServer, pattern: str) -> set[Path]:
    return set((server.data_dir / "nodes").glob(pattern))


def snapshots(server: CairnServer) -> set[str]:
    """The manifests that any node has."""
    return {path.name for path in files(server, "*/journal/manifests/snapshot-*")}


def has_another_snapshot(server: CairnServer, known: set[str]) -> bool:
    return bool(snapshots(server) - known)


def put(client: Any, *names: str) -> None:
    for name in names:
        client.put_object(Bucket=BUCKET, Key=name, Body=name.encode() * 7)


def is_readable(client: Any, name: str) -> bool:
    try:
        body: bytes = client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
    except (ClientError, BotoCoreError):
        return False
    return body == name.encode() * 7


def check_objects(client: Any, names: list[str]) -> None:
    listed = [found["Key"] for found in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert listed == sorted(names)
    for name in names:
        assert client.get_object(Bucket=BUCKET, Key=name)["Body"].read() == name.encode() * 7


def test_wiped_index_comes_back_from_snapshot_and_trimmed_journal(tmp_path: Path) -> None:
    with start(tmp_path, OFTEN) as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        first_segments = files(server, "*/journal/**/*-0000000000000001*")
        assert first_segments
        names: list[str] = []
        for number in range(4):
            batch = [f"{number}/{at}" for at in range(60)]
            known = snapshots(server)
            put(client, *batch)
            names += batch
            wait_until(partial(has_another_snapshot, server, known), "a snapshot")
        wait_until(lambda: not any(path.exists() for path in first_segments), "the journal is trimmed")
        assert len(snapshots(server)) <= 3
        put(client, "behind the last snapshot")
        names.append("behind the last snapshot")
        wipe_index(server)
        wait_until(lambda: is_readable(client, names[0]), "the index is open again")
        check_objects(client, names)
        assert fsck(server)["clean"]
        client.close()


def test_rebuild_makes_the_same_index_anew_while_gateways_run(tmp_path: Path) -> None:
    with start(tmp_path, QUICK) as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        names = [f"name {number}" for number in range(50)]
        put(client, *names)
        assert "the index is open" in cairn(server, "rebuild", "--yes")
        check_objects(client, names)
        put(client, "later")
        check_objects(client, [*names, "later"])
        assert fsck(server)["clean"]
        client.close()


def test_rebuild_asks_and_does_nothing_without_a_yes(tmp_path: Path) -> None:
    with start(tmp_path, QUICK) as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        put(client, "a")
        cairn(server, "rebuild", status=1)
        check_objects(client, ["a"])
        client.close()


def test_fsck_has_a_lost_copy_made_good(tmp_path: Path) -> None:
    with start(tmp_path, QUICK) as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="large", Body=os.urandom(300_000))
        assert "clean" in cairn(server, "fsck")
        blobs = sorted(path for path in files(server, "*/blobs/**/*") if path.stat().st_size > 200_000)
        assert len(blobs) == 2
        blobs[0].unlink()
        report = fsck(server, "--repair", status=1)
        assert report["counts"] == {"copy-missing": 1}
        wait_until(lambda: fsck_is_clean(server), "the copy is made good")
        client.close()


def fsck_is_clean(server: CairnServer) -> bool:
    try:
        return bool(fsck(server)["clean"])
    except AssertionError:
        return False
