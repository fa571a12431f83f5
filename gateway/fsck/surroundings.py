"""What every check looks at."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.index.connection import Connection
from gateway.index.journal_feed import JournalFeed
from gateway.index.store import Index
from gateway.placement.membership import Membership
from storagenode.client import NodeClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """One cluster."""

    raw: Connection
    """Without a guard: the connection of the feed."""
    feed: JournalFeed
    index: Index
    """What changes go through."""
    client: NodeClient
    membership: Membership

    @property
    def addresses(self) -> Mapping[str, str]:
        """Of the live nodes, by id."""
        return {node.node_id: node.address for node in self.membership.live_nodes()}
