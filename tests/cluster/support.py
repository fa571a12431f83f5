"""Starting clusters that clean up quickly, looking at their files, waiting for what must come. No test lives here."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.harness.cairn import CairnServer
from tests.harness.cluster import readiness

MIB = 1024**2
#: What a restart, a grace and a round of the worker take together stays far below this.
PATIENCE_S = 40.0
_POLL_S = 0.05

#: Unreferenced and unfinished bytes go within seconds instead of hours.
QUICK = {
    "CAIRN_ORPHAN_GRACE_S": "1.5",
    "CAIRN_RECLAIM_GRACE_S": "1",
    "CAIRN_RECLAIM_INTERVAL_S": "0.3",
    "CAIRN_BODY_TIMEOUT_S": "10",
}

#: Where a storage node has blobs in files of their own, and where they are written. Small blobs share files with
#: others, snapshots of the index among them; tests/harness/accounting.py looks at those.
_OF_BLOBS = ("blobs", "tmp")
_OWN_FILES = ("node.json", "scrub.json")


def start(tmp_path: Path, *arguments: str, nodes: int = 1, replicas: int = 1) -> CairnServer:
    """A `cairn serve` of its own with short graces; the caller ends it (it is a context manager)."""
    wanted = ("--nodes", str(nodes), "--replicas", str(replicas), *arguments)
    return CairnServer.start(tmp_path / "data", *wanted, env=QUICK)


def stored_files(server: CairnServer) -> list[Path]:
    """Every file on the nodes that holds bytes of large blobs, whole or unfinished."""
    nodes = (server.data_dir / "nodes").iterdir()
    found = (path for node in nodes for name in _OF_BLOBS for path in (node / name).rglob("*"))
    return [path for path in found if path.name not in _OWN_FILES and path.is_file()]


def stored_bytes(server: CairnServer) -> int:
    """The size of all of them."""
    total = 0
    for path in stored_files(server):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # it was published under its name, or deleted, in between
    return total


def published_files(server: CairnServer) -> list[Path]:
    """Those that a node has acknowledged."""
    return [path for path in stored_files(server) if "tmp" not in path.parts[len(server.data_dir.parts) :]]


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Look again and again; fails the test with `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(_POLL_S)


def wait_until_nothing_is_stored(server: CairnServer) -> None:
    """No node holds a byte of an object any more."""

    def is_empty() -> bool:
        return not stored_files(server)

    deadline = time.monotonic() + PATIENCE_S
    while not is_empty():
        if time.monotonic() > deadline:
            left = [f"{path} {path.stat().st_size}" for path in stored_files(server)]
            pytest.fail("\n".join(["left over:", *left, server.read_log()[-3000:]]))
        time.sleep(_POLL_S)


def kill_and_await_successor(server: CairnServer, *victims: psutil.Process) -> None:
    """SIGKILL processes of one role, and wait until the supervisor has started others in their place."""
    role = next(name for name in ("gateway", "node", "worker", "index") if victims[0] in server.processes(name))
    count = len(server.processes(role))
    for victim in victims:
        victim.kill()
    wait_until(
        lambda: len(server.processes(role)) == count and not set(victims) & set(server.processes(role)),
        f"a {role} in place of the killed one",
    )


def wait_until_nodes_listen(server: CairnServer, starts: int) -> None:
    """Wait until nodes have said so often that they serve, and the gateway that it can write to them again."""
    wait_until(lambda: server.read_log().count("listening on") >= starts, f"{starts} starts of nodes")
    wait_until(lambda: readiness(server.port) is None, "a gateway that is ready")
