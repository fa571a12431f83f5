"""How far the orphan worker has come: one hash in the index, so that a restart goes on where it stopped.

Fields of the hash:
    cursor:<node id>     the last blob id that was checked on the node
    started:<node id>    milliseconds at which the present sweep of the node began at its first blob
    revisit:<write id>   a write that was still under way when the cursors passed its time; value unused
"""

from dataclasses import dataclass, field

from gateway.index import keys
from gateway.index.connection import Connection

_CURSOR, _STARTED, _REVISIT = "cursor:", "started:", "revisit:"


@dataclass(slots=True, kw_only=True)
class NodeSweep:
    """The sweep of one node."""

    cursor: str = ""
    started_ms: int = 0


@dataclass(slots=True, kw_only=True)
class SweepState:
    """The hash as read at the beginning of a pass."""

    nodes: dict[str, NodeSweep] = field(default_factory=dict)
    revisits: set[str] = field(default_factory=set)

    def node(self, node_id: str) -> NodeSweep:
        return self.nodes.setdefault(node_id, NodeSweep())


class SweepStateStore:
    """Reads and writes the hash. Every method raises IndexUnavailable.

    The writes set values that may be set again, and so may be sent again by `Connection.command`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def load(self) -> SweepState:
        reply: list[bytes] = await self._connection.command("HGETALL", keys.orphan_sweep())
        state = SweepState()
        for raw_name, raw_value in zip(reply[::2], reply[1::2], strict=True):
            name, value = raw_name.decode(), raw_value.decode()
            if name.startswith(_CURSOR):
                state.node(name.removeprefix(_CURSOR)).cursor = value
            elif name.startswith(_STARTED):
                state.node(name.removeprefix(_STARTED)).started_ms = int(value)
            elif name.startswith(_REVISIT):
                state.revisits.add(name.removeprefix(_REVISIT))
        return state

    async def save_cursor(self, node_id: str, cursor: str) -> None:
        await self._connection.command("HSET", keys.orphan_sweep(), _CURSOR + node_id, cursor)

    async def save_start(self, node_id: str, started_ms: int) -> None:
        """A sweep of the node begins, at its first blob."""
        await self._connection.command(
            "HSET", keys.orphan_sweep(), _STARTED + node_id, started_ms, _CURSOR + node_id, ""
        )

    async def add_revisit(self, write_id: str) -> None:
        await self._connection.command("HSET", keys.orphan_sweep(), _REVISIT + write_id, "")

    async def drop_revisit(self, write_id: str) -> None:
        await self._connection.command("HDEL", keys.orphan_sweep(), _REVISIT + write_id)
