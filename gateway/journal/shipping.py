"""Making the changes of one incarnation durable in one segment, for as long as it stays open.

One reader takes entries from the index's stream, a sender for each node of the segment passes them on, and the
watermark is where W of them have acknowledged. Whatever was committed meanwhile rides in the next append. All
processes ship all entries: what one leaves behind when it dies, any other brings home.
"""

import asyncio
from collections.abc import Callable, Set
from contextlib import suppress

import structlog

from gateway.index.journal_feed import JournalState
from gateway.journal.buffer import EntryBuffer
from gateway.journal.chain import require_one_journal, views_of
from gateway.journal.feed import Feed
from gateway.journal.nodes import JournalNodes, Roster, ask_all
from gateway.journal.placing import Placing
from gateway.journal.sender import Sender
from gateway.journal.vouching import Fenced, Vouching
from storagenode.client import NodeError
from storagenode.journal_protocol import JournalStatus, SegmentHeader

TICK_S = 1.0
"""Between two looks for what others left, for a better set of nodes, for promises to others."""

ADVANCE_PAUSE_S = 0.002
"""Readers in other processes wait on what the index does not know to be durable: told soon, but not each time."""

READ_ENTRIES = 1000
BUFFER_BYTES = 32 * 1024 * 1024
"""A node that lags further than this is supplied from the index's stream, or left behind."""

STATUS_TIMEOUT_S = 2.0

_log = structlog.get_logger(__name__)


class SegmentChanged(Exception):
    """The index names another segment, or belongs to another incarnation, than the one that is shipped to."""


class BetterSet(Exception):
    """Another set of nodes would serve better than the segment's."""


class Shipping:
    """One segment's shipping; `run` ends by one of the exceptions above, SegmentEnded or IndexUnavailable."""

    def __init__(
        self,
        header: SegmentHeader,
        state: JournalState,
        *,
        feed: Feed,
        nodes: JournalNodes,
        roster: Roster,
        placing: Placing,
        on_durable: Callable[[int], None],
        on_vouched: Callable[[float], None],
    ) -> None:
        """`on_durable(sequence)` is told how far all is durable, each time that changes; `on_vouched`: vouching.py."""
        self.header = header
        # What precedes the segment was durable when it was opened, whether or not the index was told of that since.
        self.watermark = max(state.watermark, header.first_sequence - 1)
        self._told_index = state.watermark
        self._feed = feed
        self._nodes = nodes
        self._roster = roster
        self._placing = placing
        self._on_durable = on_durable
        self._buffer = EntryBuffer(self.watermark)
        self._promised: set[str] = set()
        self._silent: set[str] = set()
        self._poked = asyncio.Event()
        self._advanced = asyncio.Event()
        self._trouble = asyncio.Event()
        self._vouching = Vouching(header, nodes=nodes, roster=roster, on_vouched=on_vouched)
        self._senders = [self._make_sender(node_id) for node_id in header.nodes]

    @property
    def stuck(self) -> str | None:
        """Why nothing becomes durable at present, or None."""
        broken = [sender.node_id for sender in self._senders if sender.is_broken]
        taking = len(self._senders) - len(broken)
        if taking >= self.header.quorum:
            return None
        return (
            f"the journal needs {self.header.quorum} of its nodes, {taking} take entries; "
            f"not among them: {', '.join(broken)}"
        )

    def poke(self) -> None:
        """There may be entries that nobody has shipped."""
        self._poked.set()

    def ask_to_vouch(self) -> None:
        """A reader waits for the word of the nodes."""
        self._vouching.ask()

    async def run(self) -> None:
        """Ship until the segment ends.

        Raises SegmentEnded, SegmentChanged, BetterSet, Fenced, TwoJournals, IndexUnavailable.
        """
        loops = [
            self._read(),
            self._advance(),
            self._look_around(),
            self._vouching.run(),
            *(sender.run() for sender in self._senders),
        ]
        tasks = [asyncio.create_task(loop, name="journal") for loop in loops]
        try:
            self.poke()
            pending = set(tasks)
            while True:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:  # a sender whose node is left behind ends without an exception
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _make_sender(self, node_id: str) -> Sender:
        return Sender(
            node_id,
            header=self.header,
            nodes=self._nodes,
            address=lambda: next((node.address for node in self._roster.nodes() if node.node_id == node_id), None),
            buffer=self._buffer,
            after=self._buffer.end,
            durable=lambda: self.watermark,
            on_progress=self._count,
            on_failure=self._on_failure,
            from_stream=self._from_stream,
        )

    async def _from_stream(self, after: int) -> list[bytes]:
        return [entry for _, entry in await self._feed.entries(after, READ_ENTRIES)]

    async def _read(self) -> None:
        while True:
            await self._poked.wait()
            self._poked.clear()
            self._buffer.skip_to(self.watermark)
            while found := await self._feed.entries(self._buffer.end, READ_ENTRIES):
                if found[0][0] == self._buffer.end + 1:  # else the watermark went on meanwhile
                    self._buffer.extend(found)
                    self._wake_senders()
                self._buffer.skip_to(self.watermark)
                while self._buffer.size_bytes > BUFFER_BYTES:
                    self._buffer.forget(self.watermark)
                    if self._buffer.size_bytes > BUFFER_BYTES:
                        self._advanced.clear()
                        await self._advanced.wait()

    def _wake_senders(self) -> None:
        for sender in self._senders:
            sender.wake.set()

    def _count(self) -> None:
        """A node acknowledged something: what W of them have is durable."""
        acknowledged = sorted((sender.acknowledged for sender in self._senders), reverse=True)
        self._raise_watermark(acknowledged[self.header.quorum - 1])
        self._buffer.forget(min((sender.cursor for sender in self._senders if not sender.is_broken), default=0))

    def _raise_watermark(self, watermark: int) -> None:
        if watermark > self.watermark:
            self.watermark = watermark
            self._advanced.set()
            self._on_durable(watermark)

    def _on_failure(self, node_id: str) -> None:
        self._roster.failed(node_id)
        self._trouble.set()

    async def _advance(self) -> None:
        """Keep the index told of the watermark."""
        while True:
            if self._told_index < self.watermark:
                watermark = self.watermark
                if not await self._feed.advance(epoch=self.header.epoch, watermark=watermark):
                    raise SegmentChanged
                self._told_index = watermark
            else:
                self._advanced.clear()
                await self._advanced.wait()
            await asyncio.sleep(ADVANCE_PAUSE_S)

    async def _look_around(self) -> None:
        """At once, once a tick, and when a node fails; failures do not put off the tick, however many follow."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            await self._look_for_better_nodes()
            if clock() >= due:
                await self._look_at_index()
                await self._look_for_promises()
                self.poke()
                self._wake_senders()
                due = clock() + TICK_S
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._trouble.wait()
            self._trouble.clear()

    async def _look_for_better_nodes(self) -> None:
        failing = {sender.node_id for sender in self._senders if sender.is_failing}
        left_behind = {sender.node_id for sender in self._senders if sender.is_lost}
        best = self._placing.better_nodes(self.header, self._roster.nodes(), failing=failing, left_behind=left_behind)
        # The node table may call a dead node live for long: a segment is not given up for one that does not answer.
        needed = [node for node in best if node.node_id not in self.header.nodes or node.node_id in left_behind]
        answers = await ask_all(needed, self._nodes.status, patience_s=STATUS_TIMEOUT_S)
        absent = [node_id for node_id, answer in answers.items() if isinstance(answer, NodeError)]
        for node_id in absent:
            self._roster.failed(node_id)
        if best and not absent:
            raise BetterSet

    async def _look_at_index(self) -> None:
        state = await self._feed.read_state()
        if state.epoch != self.header.epoch or state.incarnation != self.header.incarnation:
            raise SegmentChanged
        self._raise_watermark(state.watermark)

    async def _look_for_promises(self) -> None:
        """A gateway that has nothing to append would not hear that it was superseded, nor that nodes are gone and the
        next change had no prospect.
        """
        heard = await require_unfenced(self.header, self._nodes, self._roster)
        silent = [sender for sender in self._senders if sender.node_id not in heard]
        for sender in silent:
            if sender.node_id in self._silent:  # once may be the load of the moment
                sender.doubt()
        self._silent = {sender.node_id for sender in silent}
        await self._spread_promise()

    async def _spread_promise(self) -> None:
        """Have nodes that came later know that there is a journal: none is founded where they are the first to be
        seen after everything else was lost. Raises TwoJournals when they know of another one.
        """
        known = {node.node_id for node in self._roster.nodes() if node.live and not node.suspect}
        self._promised &= known
        missing = [node for node in self._roster.nodes() if node.node_id in known - self._promised]
        statuses = await ask_all(missing, self._nodes.status, patience_s=STATUS_TIMEOUT_S)
        heard = {node_id: status for node_id, status in statuses.items() if isinstance(status, JournalStatus)}
        require_one_journal(views_of(heard), self.header)
        missing = [node for node in missing if node.node_id in heard]
        answers = await ask_all(
            missing, lambda address: self._nodes.promise(address, self.header.epoch), patience_s=STATUS_TIMEOUT_S
        )
        self._promised |= {node_id for node_id, answer in answers.items() if not isinstance(answer, NodeError)}


async def require_unfenced(header: SegmentHeader, nodes: JournalNodes, roster: Roster) -> Set[str]:
    """Which nodes of the segment answered. Raises Fenced when one of them promised a higher epoch."""

    async def look(node_id: str, address: str) -> str | None:
        try:
            async with asyncio.timeout(STATUS_TIMEOUT_S):
                status = await nodes.status(address)
        except (NodeError, TimeoutError):
            return None
        if status.promised_epoch > header.epoch:
            raise Fenced(f"node {node_id} promised a higher epoch")
        return node_id

    members = [node for node in roster.nodes() if node.node_id in header.nodes]
    answers = await asyncio.gather(*(look(node.node_id, node.address) for node in members), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return {answer for answer in answers if isinstance(answer, str)}
