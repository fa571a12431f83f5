"""`cairn node …` and `cairn rebalance` from the shell, against `cairn serve` with its own worker."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from gateway.cli_nodes import _parse_rate
from tests.harness.cairn import PROJECT, CairnServer, clean_environment

BUCKET = "drained"
OBJECTS = 12


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CairnServer]:
    quick = {"CAIRN_RECLAIM_GRACE_S": "1", "CAIRN_ORPHAN_GRACE_S": "2", "CAIRN_RECLAIM_INTERVAL_S": "0.3"}
    data = tmp_path_factory.mktemp("nodes") / "data"
    with CairnServer.start(data, "--nodes", "3", "--replicas", "2", env=quick) as started:
        client = started.client()
        client.create_bucket(Bucket=BUCKET)
        for number in range(OBJECTS):
            client.put_object(Bucket=BUCKET, Key=f"k{number}", Body=bytes([number]) * 100)
        yield started


def cairn(server: CairnServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "gateway.cli", *arguments, "--data", str(server.data_dir)],
        cwd=PROJECT,
        env=clean_environment() | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )


def listed(server: CairnServer) -> dict[str, dict[str, Any]]:
    done = cairn(server, "node", "list", "--json")
    assert done.returncode == 0, done.stderr
    return {one["node_id"]: one for one in json.loads(done.stdout)}


def test_a_node_is_drained_and_removed_while_everything_can_be_read(server: CairnServer) -> None:
    name, found = next(iter(listed(server).items()))
    assert found["state"] == "live"
    refused = cairn(server, "node", "remove", name)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(f"cairn: {name} is in use")
    assert cairn(server, "node", "drain", name[:12]).returncode == 0
    client = server.client()
    deadline = time.monotonic() + 60
    while (holding := listed(server)[name]["holding"]) is None or holding["segments"]:
        assert time.monotonic() < deadline, server.read_log()[-3000:]
        for number in range(OBJECTS):
            body = client.get_object(Bucket=BUCKET, Key=f"k{number}")["Body"].read()
            assert body == bytes([number]) * 100
        cairn_audit(server)
    assert "only the next audit can tell" in cairn(server, "node", "remove", name).stderr
    assert cairn(server, "node", "remove", name, "--force").returncode == 0
    assert listed(server)[name]["state"] == "removed"
    client.put_object(Bucket=BUCKET, Key="later", Body=b"x")
    assert cairn(server, "node", "undrain", name).returncode == 0
    assert listed(server)[name]["state"] == "live"


def cairn_audit(server: CairnServer) -> None:
    """Change what audits look at, there and back: the next one is due at once and not in a minute."""
    other = next(name for name, one in listed(server).items() if one["state"] == "live")
    cairn(server, "node", "drain", other)
    cairn(server, "node", "undrain", other)


def test_a_rebalance_is_told_of_ordered_and_stopped(server: CairnServer) -> None:
    told = cairn(server, "rebalance", "--dry-run", "--json")
    assert told.returncode == 0, told.stderr
    forecast = json.loads(told.stdout)
    assert sum(one["now_bytes"] for one in forecast["nodes"]) == sum(one["after_bytes"] for one in forecast["nodes"])
    assert "bytes to move" in cairn(server, "rebalance", "--dry-run").stdout
    assert cairn(server, "rebalance", "--rate", "5M").stdout.startswith("rebalancing at 5242880 bytes a second")
    assert cairn(server, "rebalance", "--stop").returncode == 0
    assert cairn(server, "rebalance", "--stop", "--dry-run").returncode == 2


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("50M", 50 << 20), ("2k", 2048), ("1GiB", 1 << 30), ("7b", 7)]
)
def test_rates_are_read(text: str, expected: int) -> None:
    assert _parse_rate(text) == expected


@pytest.mark.parametrize("text", ["", "0", "fast", "-1", "1.5M", "5 M", "M"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        _parse_rate(text)
