"""What an administrator has said of storage nodes. What nodes say of themselves is in their heartbeats."""

from enum import StrEnum

from gateway.index import keys
from gateway.index.base import IndexBase, accepted
from gateway.index.scripts import load_script

_SET = load_script("set_node_state")


class NodeState(StrEnum):
    """The states are stored: do not change them. A node without one is in use."""

    DRAINING = "draining"
    """No new blobs; what it holds is moved."""
    REMOVED = "removed"
    """No part of the cluster any more; while it answers, it is still read from."""


class NodeStateIndex(IndexBase):
    """The part of the index that knows states of nodes: a hash of `state since-ms`."""

    async def node_states(self) -> dict[str, tuple[NodeState, int]]:
        """State, and since when (ms), by node id. Raises IndexUnavailable."""
        return parse_node_states(await self._connection.command("HGETALL", keys.node_states()))

    async def set_node_state(self, node_id: str, state: NodeState | None, *, now_ms: int) -> None:
        """Raises IndexUnavailable."""
        value = "" if state is None else f"{state} {now_ms}"
        reply = await self._connection.change(_SET, (keys.sequence(), keys.node_states()), (node_id, value))
        accepted(reply, node_id)

    async def forget_node(self, node_id: str) -> None:
        """Take a node out of the node table; it is back with its next heartbeat. Raises IndexUnavailable."""
        await self._connection.command("HDEL", keys.nodes(), node_id)


def parse_node_states(reply: list[bytes]) -> dict[str, tuple[NodeState, int]]:
    """What HGETALL of the hash returns; states of a newer release are left out."""
    found = {}
    for node_id, value in zip(reply[::2], reply[1::2], strict=True):
        name, _, since = value.decode().partition(" ")
        if name in NodeState.__members__.values() and since.isdigit():
            found[node_id.decode()] = NodeState(name), int(since)
    return found
