"""Clusters whose processes can be met one by one: at their ports, in their files, with an environment of their own.
No test lives here.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from storagenode.client import NodeClient
from storagenode.journal_protocol import JournalStatus
from tests.harness.accounting import list_blobs
from tests.harness.cluster import CLUSTER_SECRET, Cluster, ClusterPlan
from tests.harness.role_process import RoleProcess

PATIENCE_S = 40.0
_POLL_S = 0.05


class FaultCluster(Cluster):
    """A Cluster in which `environments` (by process name) add to what each process is told."""

    def __init__(
        self, plan: ClusterPlan, directory: Path, *, environments: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._environments = environments or {}
        self._node_ports: dict[str, int] = {}
        super().__init__(plan, directory)

    def held(self, node: RoleProcess) -> set[str]:
        """The ids of the blobs that a node would give."""

        async def ask() -> set[str]:
            async with NodeClient(CLUSTER_SECRET.encode()) as client:
                return {info.blob_id for info in await list_blobs(client, self.address(node))}

        return asyncio.run(ask())

    def journal(self, node: RoleProcess) -> JournalStatus:
        """What a node says of its journal."""

        async def ask() -> JournalStatus:
            async with NodeClient(CLUSTER_SECRET.encode()) as client:
                return await client.journal.status(self.address(node))

        return asyncio.run(ask())

    def address(self, node: RoleProcess) -> str:
        return f"127.0.0.1:{self._node_ports[node.name]}"

    def segment_log(self, node: RoleProcess) -> Path:
        """The file of the journal's open segment."""
        open_ones = [one for one in self.journal(node).segments if one.seal is None]
        newest = max(open_ones, key=lambda one: one.header.epoch)
        return self.node_directory(node) / "journal" / "segments" / f"{newest.header.segment_id}.log"

    def restart(self, node: RoleProcess) -> None:
        """SIGKILL, start again, and wait until gateways are ready."""
        node.kill()
        node.start()
        self.await_answer(node)
        self.await_ready()

    def await_answer(self, node: RoleProcess) -> None:
        """Wait until a node answers."""

        def answers() -> bool:
            try:
                self.held(node)
            except Exception:  # noqa: BLE001 - whatever it is, it is not there yet
                return False
            return True

        wait_until(answers, f"{node.name} answers")

    def _node(self, number: int, port: int) -> RoleProcess:
        self._node_ports[f"node-{number}"] = port
        return super()._node(number, port)

    def _role(self, name: str, role: str, variables: Mapping[str, str]) -> RoleProcess:
        return super()._role(name, role, dict(variables) | dict(self._environments.get(name, {})))


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Look again and again; fails the test with `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
        time.sleep(_POLL_S)
