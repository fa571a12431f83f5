"""Reading on in the journal, wherever its entries are: the index's stream, or the nodes for what that no longer holds.

Only what is durable is read: an entry above the watermark may yet be lost with its server, and be another one later.
"""

import asyncio

from gateway.index.journal_feed import JournalFeed
from gateway.journal.chain import chain_up_to, views_of
from gateway.journal.failures import JournalBlocked
from gateway.journal.history import History
from gateway.placement.membership import Membership
from storagenode.client import NodeClient, NodeError, node_at
from storagenode.journal_protocol import JournalStatus, unpack_header

PAGE = 500
"""Entries read at a time from the stream."""

Entry = tuple[int, bytes]


class EntriesGone(Exception):
    """The journal begins later than what is asked for."""

    def __init__(self, begins_after: int, *, sure: bool) -> None:
        """`sure`: every node of the cluster was asked."""
        super().__init__(f"the journal begins after change {begins_after}")
        self.begins_after = begins_after
        self.sure = sure


class JournalTail:
    """Any number of readers may use one, each from its own place."""

    def __init__(self, feed: JournalFeed, client: NodeClient, membership: Membership) -> None:
        self._feed = feed
        self._client = client
        self._membership = membership

    async def watermark(self) -> int:
        """The number of the last change that can be read. Raises IndexUnavailable."""
        return await self._feed.watermark()

    async def read(self, after: int, watermark: int) -> list[Entry]:
        """Entries that follow change `after`, one at least, up to the watermark, without a gap.

        Raises EntriesGone, JournalBlocked (no node has the next one at the moment), IndexUnavailable.
        """
        found = await self._feed.entries(after, PAGE) or await self._read_from_nodes(after, watermark)
        return [entry for entry in found if entry[0] <= watermark]

    async def _read_from_nodes(self, after: int, watermark: int) -> list[Entry]:
        state = await self._feed.read_state()
        if not state.segment:
            raise JournalBlocked("the index names no segment of the journal")
        await self._membership.refresh_if_possible()
        nodes = [node for node in self._membership.nodes() if not node.stopped]
        addresses = {node.node_id: node_at(node.node_id, node.address) for node in nodes}
        answers = await asyncio.gather(*(self._status(address) for address in addresses.values()))
        statuses = {node_id: answer for node_id, answer in zip(addresses, answers, strict=True) if answer is not None}
        chain = chain_up_to(views_of(statuses), unpack_header(state.segment), watermark)
        history = History(self._client.journal, addresses, chain)
        if after < history.begins_after:
            # A node that is silent may hold what came before.
            raise EntriesGone(history.begins_after, sure=len(statuses) == len(self._membership.nodes()))
        async for page in history.read(after):
            return page
        raise JournalBlocked(f"no node has entry {after + 1} of the journal")

    async def _status(self, address: str) -> JournalStatus | None:
        try:
            return await self._client.journal.status(address)
        except NodeError:
            return None
