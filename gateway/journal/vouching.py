"""How a process knows that the index that it reads from is still the one: a lease from the journal's nodes.

A read is good if no other incarnation was open when the index server answered it. Opening another one takes promises
from R - W + 1 nodes of the segment, so W nodes that have promised nothing higher vouch for the moment at which they
were asked. Whoever opens an incarnation waits for longer than any such word is relied on (recovery.py). Both count
by their own monotonic clocks, so only their rates matter. The idea is that of leader leases (Gray and Cheriton 1989).

Nodes that do not answer take nothing back: where fewer than W can be asked, reads go on without their word.
"""

import asyncio
from collections.abc import Callable

from gateway.journal.nodes import JournalNodes, Roster
from storagenode.client import NodeError
from storagenode.journal_protocol import SegmentHeader

LEASE_S = 1.0
"""How long the word of W nodes is relied on, from when they were asked."""

OPENING_DELAY_S = 1.3
"""Between the promises for an incarnation and its opening."""

PERIOD_S = 0.4
"""Between two rounds of asking, so that reads do not wait for one."""

ANSWER_TIMEOUT_S = 2.0


class Fenced(Exception):
    """A node of the segment promised a higher epoch than the segment's."""


class Vouching:
    """Keeps asking the nodes of one segment; `on_vouched` is told when a round was begun that W nodes bore out."""

    def __init__(
        self, header: SegmentHeader, *, nodes: JournalNodes, roster: Roster, on_vouched: Callable[[float], None]
    ) -> None:
        self._header = header
        self._nodes = nodes
        self._roster = roster
        self._on_vouched = on_vouched
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Somebody waits: begin the next round now."""
        self._asked.set()

    async def run(self) -> None:
        """Until a node has promised a higher epoch. Raises Fenced."""
        clock = asyncio.get_running_loop().time
        while True:
            self._asked.clear()
            begun = clock()
            if await self._is_borne_out():
                self._on_vouched(begun)
            try:
                async with asyncio.timeout_at(begun + PERIOD_S):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def _is_borne_out(self) -> bool:
        """Whether W nodes have promised nothing higher, as soon as that is known."""
        addresses = [node.address for node in self._roster.nodes() if node.node_id in self._header.nodes]
        asking = {asyncio.create_task(self._vouches(address), name="vouching") for address in addresses}
        count, pending = 0, asking
        try:
            while pending and count < self._header.quorum:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                count += sum([task.result() for task in done])
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return count >= self._header.quorum

    async def _vouches(self, address: str) -> bool:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                status = await self._nodes.status(address)
        except (NodeError, TimeoutError):
            return False
        if status.promised_epoch > self._header.epoch:
            raise Fenced(f"the node at {address} promised a higher epoch")
        return True
