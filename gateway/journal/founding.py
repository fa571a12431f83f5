"""Whether a cluster is new, so that its journal may be founded: only where it is certain that there is none.

Index server and node table may be lost together. Then the nodes come back one by one, and the first to be heard may be
one that is new itself, or lost its directory. A journal founded on it would hide the one that the others hold. So:

- every node in the table has answered, and knows of no journal;
- all nodes that are expected have registered; where nobody said how many that are, none came for as long as the nodes
  that live need to be heard;
- no node holds bytes, unless the index is there that they belong to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from gateway.journal.chain import Statuses, may_be_founded
from gateway.journal.change_segment import PATIENCE_S, SegmentChanger
from gateway.journal.failures import JournalBlocked
from gateway.journal.feed import Feed
from gateway.journal.nodes import Roster, ask_all
from storagenode.journal_protocol import unpack_header

SETTLED_AFTER_S = 3.0
"""At the least: how long the node table must not have grown, unless it is known how many nodes to expect."""

POLL_S = 0.1

HoldsBytes = Callable[[str], Awaitable[bool]]
"""`holds_bytes(address)`: whether a node has blobs or snapshots. Raises NodeError."""

_log = structlog.get_logger(__name__)


class Founding:
    """`found_if_new` is one step of a recovery."""

    def __init__(
        self,
        *,
        feed: Feed,
        changer: SegmentChanger,
        roster: Roster,
        holds_bytes: HoldsBytes,
        expected_nodes: int,
        settled_after_s: float,
    ) -> None:
        """`expected_nodes` 0: unknown, the table must not grow for `settled_after_s`."""
        self._feed = feed
        self._changer = changer
        self._roster = roster
        self._holds_bytes = holds_bytes
        self._expected_nodes = expected_nodes
        self._settled_after_s = settled_after_s

    async def found_if_new(self, say: Callable[[str], None]) -> None:
        """Return when there is a journal: one that was found, or a new one.

        Raises JournalBlocked where there must have been one, RaceLost when one appears; IndexUnavailable.
        """
        clock = asyncio.get_running_loop().time
        count, since, is_told = 0, clock(), False
        while True:
            statuses = await self._changer.survey()
            if not may_be_founded(statuses):
                return
            await self._require_nodes_of_known(statuses)
            if len(self._roster.nodes()) != count:
                count, since = len(self._roster.nodes()), clock()
            obstacle = self._obstacle(statuses, clock() - since)
            if obstacle is None:
                break
            say(obstacle)
            if not is_told:
                _log.info("the journal is not founded yet", reason=obstacle)
            is_told = True
            await asyncio.sleep(POLL_S)
            await self._roster.refresh()
        state = await self._feed.read_state()
        if not state.sequence:
            await self._require_no_bytes(statuses)
        await self._changer.found(state.identity, state.sequence or 0)
        if state.sequence:
            _log.warning("an index without a journal is taken over: take a snapshot soon", sequence=state.sequence)

    async def _require_nodes_of_known(self, statuses: Statuses) -> None:
        """A segment that the index server names was there."""
        segment = (await self._feed.read_state()).segment
        if not segment:
            return
        if absent := [node_id for node_id in unpack_header(segment).nodes if node_id not in statuses]:
            raise JournalBlocked(f"the nodes of the journal do not answer: {', '.join(absent)}")

    def _obstacle(self, statuses: Statuses, settled_s: float) -> str | None:
        """What is waited for, or None."""
        nodes = self._roster.nodes()
        if not nodes or len(nodes) < self._expected_nodes:
            wanted = self._expected_nodes or "at least 1"
            return f"no journal is found, waiting for storage nodes: {len(nodes)} of {wanted} have registered"
        if silent := [node.node_id for node in nodes if node.node_id not in statuses and not node.removed]:
            return f"no journal is found, and storage nodes that may have it do not answer: {', '.join(silent)}"
        left_s = self._settled_after_s - settled_s
        if not self._expected_nodes and left_s > 0:
            return (
                f"no journal is found on the {len(nodes)} storage nodes that have registered: waiting for others for "
                f"{left_s:.0f} s (CAIRN_EXPECTED_NODES, if set, says how many there are)"
            )
        return None

    async def _require_no_bytes(self, statuses: Collection[str]) -> None:
        nodes = [node for node in self._roster.nodes() if node.node_id in statuses]
        answers = await ask_all(nodes, self._holds_bytes, patience_s=PATIENCE_S)
        if silent := [node_id for node_id, answer in answers.items() if not isinstance(answer, bool)]:
            raise JournalBlocked(f"storage nodes do not tell whether they hold bytes: {', '.join(silent)}")
        if holding := [node_id for node_id, answer in answers.items() if answer]:
            raise JournalBlocked(
                f"the index is empty and no journal is found, but these storage nodes hold bytes of an index that is "
                f"not here: {', '.join(holding)}"
            )
