"""Telling one target what concerns it, in the order in which it happened, as often as it takes until it has taken it.

The cursor is moved behind what was taken, so a process that dies tells again what it told last: at least once. All
that waits for a target that is down stays in the journal, which is kept for it within limits.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from gateway.events.senders import Message, Sender, SendFailed
from gateway.events.subscriptions import Subscriber
from gateway.events.tail import EntriesGone, Entry, JournalTail
from gateway.index.errors import IndexFailure
from gateway.index.event_targets import EventCursor, EventFailure, EventTarget, skipped_to
from gateway.index.journal_entries import Change, decode_change
from gateway.index.store import Index
from gateway.journal.failures import JournalBlocked

POLL_S = 0.2
"""How often the journal is asked for something new: what an event waits at most while all is well."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
"""Between two attempts, doubled each time."""
QUIET_CHANGES = 1000
"""Changes of no concern to the target after which its cursor is moved nevertheless."""
QUIET_S = 600.0
"""The time after which it is, if there were any."""

_CURSOR_KIND = "move_event_cursor"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BacklogLimits:
    """How much of the journal is kept for a target that does not take its events."""

    entries: int = 1_000_000
    age_ms: int = 24 * 3600 * 1000

    def keeps(self, cursor: EventCursor, failure: EventFailure | None, *, sequence: int, now_ms: int) -> bool:
        """Whether the journal behind this cursor is still kept, for a target that is in this state."""
        down_ms = 0 if failure is None else now_ms - failure.since_ms
        return sequence - cursor.sequence <= self.entries and down_ms <= self.age_ms


class Delivery:
    """Of one target. `run` goes on until it is cancelled."""

    def __init__(
        self,
        index: Index,
        tail: JournalTail,
        target: EventTarget,
        cursor: EventCursor,
        failure: EventFailure | None,
        sender: Sender,
        *,
        region: str,
        clock: Callable[[], float],
        random: Callable[[], float],
        limits: BacklogLimits,
    ) -> None:
        """`clock` gives seconds since the epoch, `random` numbers in [0, 1)."""
        self._index = index
        self._tail = tail
        self._target = target
        self._sender = sender
        self._subscriber = Subscriber(index, target, region=region)
        self._clock = clock
        self._random = random
        self._limits = limits
        self._noted = cursor
        self._reached = cursor
        self._quiet = True
        self._failure = failure

    async def run(self) -> None:
        """Raises IndexFailure, NoSuchTarget; what the target does wrong is dealt with here."""
        try:
            while True:
                await self.step()
        finally:
            await self._sender.aclose()

    async def step(self) -> None:
        """Tell of one page of the journal, or wait a moment where there is none."""
        watermark = await self._tail.watermark()
        if watermark <= self._reached.sequence:
            await self._note_quietly()
            await asyncio.sleep(POLL_S)
            return
        try:
            entries = await self._tail.read(self._reached.sequence, watermark)
        except EntriesGone as gone:
            await self._skip(gone, watermark)
        except JournalBlocked as blocked:
            await self._fail(f"the journal cannot be read: {blocked}")
            await self._pause(LONGEST_PAUSE_S / 10)
        else:
            await self._tell(entries)

    async def _tell(self, entries: Sequence[Entry]) -> None:
        changes = [decode_change(packed) for _, packed in entries]
        messages = [message for change in changes for message in await self._subscriber.messages(change)]
        if messages:
            await self._send(messages)
        self._advance(changes)
        if messages:
            await self._note()
        else:
            await self._note_quietly()

    def _advance(self, changes: Sequence[Change]) -> None:
        last = changes[-1]
        self._reached = replace(self._reached, sequence=last.sequence, change_ms=last.at_ms)
        # Cursors are changes too: one moved for the sake of another would never end.
        self._quiet = self._quiet and all(change.kind == _CURSOR_KIND for change in changes)

    async def _send(self, messages: Sequence[Message]) -> None:
        """Until the target has taken them."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._sender.send(messages)
            except SendFailed as failure:
                await self._fail(str(failure))
            else:
                await self._recover()
                return
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _fail(self, reason: str) -> None:
        if self._failure is None or self._failure.reason != reason:
            _log.warning("target does not take its events", target=self._target.name, reason=reason)
            since_ms = self._now_ms() if self._failure is None else self._failure.since_ms
            await self._note_failure(EventFailure(since_ms=since_ms, reason=reason))

    async def _recover(self) -> None:
        if self._failure is not None:
            _log.info("target takes its events again", target=self._target.name)
            await self._note_failure(None)

    async def _note_failure(self, failure: EventFailure | None) -> None:
        """A report that cannot be made must not keep events from being told."""
        self._failure = failure
        try:
            await self._index.note_event_failure(self._target.name, failure)
        except IndexFailure as error:
            _log.warning("state of a target not noted", target=self._target.name, error=str(error))

    async def _skip(self, gone: EntriesGone, watermark: int) -> None:
        """Go on behind what the journal no longer has."""
        cursor, now_ms = self._reached, self._now_ms()
        if not gone.sure and self._limits.keeps(cursor, self._failure, sequence=watermark, now_ms=now_ms):
            await self._fail(f"{gone}, as far as the nodes that answer show it")
            await self._pause(LONGEST_PAUSE_S / 10)
            return
        self._reached = skipped_to(cursor, sequence=gone.begins_after, now_ms=now_ms)
        _log.error(
            "changes skipped, a target will never be told of them",
            target=self._target.name,
            changes=gone.begins_after - cursor.sequence,
        )
        await self._note()

    async def _note(self) -> None:
        await self._index.move_event_cursor(self._target.name, self._reached)
        self._noted, self._quiet = self._reached, True

    async def _note_quietly(self) -> None:
        """Move the cursor behind changes that did not concern the target, when there were many or for long."""
        ahead = self._reached.sequence - self._noted.sequence
        is_due = ahead >= QUIET_CHANGES or self._now_ms() - self._noted.change_ms >= QUIET_S * 1000
        if ahead and is_due and not self._quiet:
            await self._note()

    async def _pause(self, seconds: float) -> None:
        # Spread, so that targets that went down together are not tried together for ever.
        await asyncio.sleep(seconds * (0.75 + 0.5 * self._random()))

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
