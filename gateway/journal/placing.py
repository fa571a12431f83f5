"""Which nodes a segment of the journal goes to, and when another set would be better. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gateway.journal.nodes import JournalNode
from gateway.placement.rendezvous import choose
from storagenode.journal_protocol import SegmentHeader

MOST_BY_DEFAULT = 3

_PLACED = "journal"
"""The same for every segment, so that the set changes only where the nodes do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """`replicas` 0: one a node, at most 3. `nodes` is everywhere the whole node table."""

    replicas: int = 0

    def wanted(self, nodes: Sequence[JournalNode]) -> int:
        """R. Nodes that died count, or their death would lower how many copies an acknowledgement stands for."""
        expected = sum(node.expected for node in nodes)
        return self.replicas or max(1, min(MOST_BY_DEFAULT, expected))

    def quorum(self, nodes: Sequence[JournalNode]) -> int:
        """W, a majority of R, also of a segment that has fewer nodes for want of them."""
        return self.wanted(nodes) // 2 + 1

    def choose(self, nodes: Sequence[JournalNode], *, among: Collection[str]) -> list[JournalNode]:
        """Up to R nodes, spread over zones; doubtful ones only where the others are too few for a quorum."""
        candidates = [node for node in nodes if node.node_id in among]
        good = [node for node in candidates if node.live and node.accepting]
        ranks = (
            [node for node in good if not node.suspect],
            [node for node in good if node.suspect],
            [node for node in candidates if not (node.live and node.accepting)],
        )
        chosen: list[JournalNode] = []
        for rank in ranks:
            if len(chosen) < self.quorum(nodes):
                taken = [node.zone for node in chosen]
                chosen += choose(_PLACED, 0, rank, self.wanted(nodes) - len(chosen), taken_zones=taken)
        return chosen

    def better_nodes(
        self,
        header: SegmentHeader,
        nodes: Sequence[JournalNode],
        *,
        failing: Collection[str] = (),
        left_behind: Collection[str] = (),
    ) -> list[JournalNode]:
        """The nodes of another set that would have more sound members, or would free one that drains or was removed;
        none where the present set had better stay.

        `failing` members take no entries, `left_behind` ones none in this segment, but would in another.
        """
        good = [node for node in nodes if node.live and node.accepting and not node.suspect]
        usable = [node for node in good if not (node.node_id in failing and node.node_id in header.nodes)]
        best = choose(_PLACED, 0, usable, self.wanted(nodes))
        if len(best) < self.quorum(nodes):
            return []
        staying = {node.node_id for node in nodes if node.accepting or not node.live}
        unsound = {*failing, *left_behind}
        sound = sum(node_id in staying and node_id not in unsound for node_id in header.nodes)
        leaving = any(node_id not in staying for node_id in header.nodes)
        return best if len(best) > sound or (leaving and len(best) >= sound) else []
