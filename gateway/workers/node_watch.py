"""Which nodes can be counted on, which are only away, which are gone or are to leave."""

import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from gateway.index.repair_records import SegmentRef
from gateway.placement.membership import Membership, Node
from gateway.placement.rendezvous import choose


class Standing(Enum):
    """What a copy on a node is worth."""

    LIVE = "live"
    LEAVING = "leaving"
    """It answers, but is draining or removed: good to read from, and nothing shall stay there."""
    AWAY = "away"
    """Dead for so short a time that it may well come back."""
    GONE = "gone"


class NodeWatch:
    """Tells standings by the node table, and for nodes that are not in it by how long they have been missed here: a
    table that was lost fills again with the nodes' next heartbeats.
    """

    def __init__(
        self,
        membership: Membership,
        *,
        node_timeout_s: float,
        grace_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`grace_s`: how long a node may be dead before it is repaired around."""
        self.membership = membership
        self._patience_s = node_timeout_s + grace_s
        self._clock = clock
        self._missed_since: dict[str, float] = {}

    def standing(self, node_id: str) -> Standing:
        node = self.membership.node(node_id)
        if node is None and self.membership.was_removed(node_id):
            return Standing.GONE
        if node is None:
            missed_s = self._clock() - self._missed_since.setdefault(node_id, self._clock())
            return Standing.GONE if missed_s > self._patience_s else Standing.AWAY
        self._missed_since.pop(node_id, None)
        if node.live:
            return Standing.LEAVING if node.draining or node.removed else Standing.LIVE
        if node.draining or node.removed or node.silent_s > self._patience_s:
            return Standing.GONE
        return Standing.AWAY

    def usable(self) -> list[Node]:
        """The nodes that copies can stay on: all but those that are gone or leaving."""
        return [
            node for node in self.membership.nodes() if self.standing(node.node_id) in (Standing.LIVE, Standing.AWAY)
        ]

    def placement_by_capacity(self, segment: SegmentRef, wanted: int, size_bytes: int) -> list[Node]:
        """Where a segment lies once everything is balanced: by weighted rendezvous over the nodes' capacity.

        Empty while a node is away: what it holds is not to be moved for that.
        """
        usable = self.usable()
        if any(self.standing(node.node_id) is not Standing.LIVE for node in usable):
            return []
        weighted = [
            replace(node, weight=float(node.capacity_bytes))
            for node in usable
            if node.accepting and node.free_bytes >= size_bytes
        ]
        return choose(segment.write_id, segment.number, weighted, wanted)

    def fingerprint(self) -> str:
        """Changes whenever other copies than before may have to be made or moved."""
        lost = sorted(node.node_id for node in self.membership.nodes() if self.standing(node.node_id) is Standing.GONE)
        leaving = sorted(f"{node.node_id}@{node.state_since_ms}" for node in self.membership.nodes() if node.draining)
        removed = sorted(node.node_id for node in self.membership.removed_nodes())
        usable = sorted(f"{node.node_id}/{node.zone}" for node in self.usable())
        return f"gone {lost} draining {leaving} removed {removed} usable {usable}"
