"""Keeps one node of the open segment supplied with entries; each node has its own, so that none waits for another."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.journal.buffer import EntryBuffer
from gateway.journal.nodes import JournalNodes
from storagenode.client import JournalFenced, NodeError, NodeFailed, SegmentGap, SegmentNotFound, SegmentSealed
from storagenode.journal_protocol import SegmentHeader

APPEND_BYTES = 4 * 1024 * 1024
APPEND_TIMEOUT_S = 5.0
"""Includes the node's fsync, for which others may be waiting too."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

_log = structlog.get_logger(__name__)


class SegmentEnded(Exception):
    """A node refuses appends to the segment: it promised a higher epoch, or is sealed."""


class Sender:
    """One node's: how far it is, and the loop that brings it on."""

    def __init__(
        self,
        node_id: str,
        *,
        header: SegmentHeader,
        nodes: JournalNodes,
        address: Callable[[], str | None],
        buffer: EntryBuffer,
        after: int,
        durable: Callable[[], int],
        on_progress: Callable[[], None],
        on_failure: Callable[[str], None],
        from_stream: Callable[[int], Awaitable[list[bytes]]],
    ) -> None:
        """`address()` is None while the node is not in the node table; `durable()` is the watermark to tell;
        `from_stream(after)` gives entries that the buffer no longer has, none when they are gone there too.
        """
        self.node_id = node_id
        self.acknowledged = 0
        """Everything up to it is durable on this node, as it said in this segment."""
        self.is_failing = False
        self.is_lost = False
        """It cannot get on in this segment: only another one brings it back."""
        self.cursor = after
        self.wake = asyncio.Event()
        self._header = header
        self._nodes = nodes
        self._address = address
        self._buffer = buffer
        self._durable = durable
        self._on_progress = on_progress
        self._on_failure = on_failure
        self._from_stream = from_stream
        self._told = -1

    @property
    def is_broken(self) -> bool:
        return self.is_failing or self.is_lost

    async def run(self) -> None:
        """Until cancelled or lost. Raises SegmentEnded, IndexUnavailable."""
        pause_s = FIRST_PAUSE_S
        while not self.is_lost:
            await self.wake.wait()
            self.wake.clear()
            try:
                while await self._send_once():
                    pause_s = FIRST_PAUSE_S
            except (JournalFenced, SegmentSealed) as error:
                raise SegmentEnded(f"node {self.node_id}: {error}") from error
            except (SegmentNotFound, NodeFailed) as error:  # a failed fsync: never again in this file
                self._lose(str(error))
            except (NodeError, TimeoutError) as error:
                self._fail(error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                self.wake.set()

    async def _send_once(self) -> bool:
        """One append, of all that waits; whether there was something to send. Raises NodeError, TimeoutError."""
        run = self._buffer.run_after(self.cursor, limit_bytes=APPEND_BYTES)
        if run is None and not (run := await self._from_stream(self.cursor)):
            self._lose(f"what follows entry {self.cursor} is gone from the index's stream")
            return False
        watermark = self._durable()
        if not run and self._told >= watermark and not self.is_failing:
            return False
        address = self._address()
        if address is None:
            raise NodeError("not in the node table")
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                last = await self._nodes.append(
                    address,
                    self._header.segment_id,
                    epoch=self._header.epoch,
                    watermark=watermark,
                    first_sequence=self.cursor + 1,
                    entries=run or [],
                )
        except SegmentGap as error:
            if error.last_sequence >= self.cursor:
                raise
            self.cursor = error.last_sequence  # where it is in truth; an entry more than once does no harm
            return True
        self._told = watermark
        self.is_failing = False
        self.acknowledged = max(self.acknowledged, last)
        self.cursor = max(self.cursor + len(run or []), last)
        self._on_progress()
        return True

    def doubt(self) -> None:
        """The node did not answer somebody else: it counts as failing until it has taken an append, if an empty one."""
        if not self.is_broken:
            self._fail(NodeError("it does not answer"))
            self.wake.set()

    def _fail(self, error: Exception) -> None:
        if not self.is_failing:
            _log.warning("node takes no journal entries", node=self.node_id, error=str(error) or "no answer in time")
        self.is_failing = True
        self._on_failure(self.node_id)

    def _lose(self, reason: str) -> None:
        _log.warning("node is left behind in this segment", node=self.node_id, reason=reason)
        self.is_lost = True
        self.is_failing = False  # nothing more is tried that could end it; another segment will tell
        self._on_failure(self.node_id)
