"""What the journal needs of the storage nodes: calls of one node, and the table that says which nodes there are."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gateway.placement.rendezvous import Candidate
from storagenode.client import NodeError, NodeUnreachable
from storagenode.journal_protocol import JournalStatus, Seal, SegmentHeader

STRAGGLER_S = 0.3
"""How long a node that failed lately is waited for when all others have answered."""

_Answer = TypeVar("_Answer")


class JournalNodes(Protocol):
    """The calls of `storagenode.client.NodeJournal` that are used here, under its contract, so for `address` too."""

    async def status(self, address: str) -> JournalStatus: ...

    async def promise(self, address: str, epoch: int) -> JournalStatus: ...

    async def create(self, address: str, header: SegmentHeader) -> None: ...

    async def append(
        self,
        address: str,
        segment_id: str,
        *,
        epoch: int,
        watermark: int,
        first_sequence: int,
        entries: Sequence[bytes],
    ) -> int: ...

    async def read(self, address: str, segment_id: str, *, after: int, limit_bytes: int) -> list[tuple[int, bytes]]: ...

    async def seal(self, address: str, segment_id: str, seal: Seal) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalNode(Candidate):
    """One storage node as the node table has it. All weigh the same: the journal's load is spread by number."""

    address: str
    """As the calls take it, with the node's id: another node at its address speaks for itself alone."""
    live: bool
    accepting: bool
    """Neither draining nor full nor stopping."""
    expected: bool
    """It counts among those that the cluster is made of: it said no goodbye, and is not to leave."""
    suspect: bool
    """It failed a moment ago."""
    removed: bool = False
    """An administrator took it out of the cluster."""


class Roster(Protocol):
    """The node table."""

    def nodes(self) -> Sequence[JournalNode]:
        """Every node that registered and was not removed."""

    def failed(self, node_id: str) -> None:
        """A call of the node failed."""

    async def refresh(self) -> None:
        """Read the table anew, if that is possible now."""


async def ask_all(
    nodes: Sequence[JournalNode], call: Callable[[str], Awaitable[_Answer]], *, patience_s: float
) -> dict[str, _Answer | NodeError]:
    """The answer of each node to `call(address)`, or how it failed; one that is silent counts as unreachable.

    Nobody waits long for nodes that are not live or failed lately, once all the others have answered.
    """
    tasks = {node.node_id: asyncio.ensure_future(_answer(call, node.address, patience_s)) for node in nodes}
    expected = {tasks[node.node_id] for node in nodes if node.live and not node.suspect}
    try:
        if expected:
            await asyncio.wait(expected)
        if tasks:
            await asyncio.wait(tasks.values(), timeout=STRAGGLER_S if expected else None)
        return {node_id: task.result() if task.done() else NodeUnreachable("silent") for node_id, task in tasks.items()}
    finally:
        for task in tasks.values():
            task.cancel()


async def _answer(call: Callable[[str], Awaitable[_Answer]], address: str, patience_s: float) -> _Answer | NodeError:
    try:
        async with asyncio.timeout(patience_s):
            return await call(address)
    except NodeError as error:
        return error
    except TimeoutError:
        return NodeUnreachable(f"{address} did not answer within {patience_s:g} s")


def addresses_of(nodes: Sequence[JournalNode]) -> Mapping[str, str]:
    """By node id."""
    return {node.node_id: node.address for node in nodes}
