"""The journal of one process: what acknowledgements wait for, and the loop that keeps it going.

The loop reads how the index server stands, makes sure that the journal's nodes do not serve another incarnation, ships
until the segment ends, and then rolls to another, follows the process that did, or has the index recovered. The
waiters outlive segments, but never their incarnation.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol, Self

import structlog

from gateway.index.errors import IndexFailure, IndexNotOpen, IndexUnavailable
from gateway.index.journal_feed import JournalState
from gateway.journal.change_segment import SegmentChanger
from gateway.journal.failures import JournalBlocked, RaceLost, Superseded, TwoJournals
from gateway.journal.feed import Feed
from gateway.journal.nodes import JournalNodes, Roster
from gateway.journal.placing import Placing
from gateway.journal.recovery import Recovery
from gateway.journal.sender import SegmentEnded
from gateway.journal.shipping import BetterSet, SegmentChanged, Shipping, require_unfenced
from gateway.journal.state import JournalCondition, Phase
from gateway.journal.vouching import LEASE_S, Fenced
from storagenode.journal_protocol import SegmentHeader, pack_header, unpack_header

LONGEST_PAUSE_S = 0.15
"""Before a process rolls: several notice at once, and one is enough. Drawn at random below this."""

FOLLOW_S = 0.5
"""For another process that is ending the segment, to name the next one: some fsyncs in a row on a slow disk."""

RETRY_S = 0.3
"""After something that stands in the way."""

LONGEST_RETRY_S = 3.0
"""After the same for long."""

LONGEST_VOUCHING_S = 1.0
"""That a read waits for the word of nodes that may be silent."""

SOON_S = 0.06
"""While another process is at it."""

_log = structlog.get_logger(__name__)


class GuardedConnection(Protocol):
    """Of gateway.index.connection.Connection: the socket that serves one incarnation."""

    @property
    def incarnation(self) -> str: ...

    def drop(self, reason: str) -> None: ...


class Journal:
    """A Durability (gateway.index.connection) while it is entered."""

    def __init__(
        self,
        *,
        connection: GuardedConnection,
        feed: Feed,
        changer: SegmentChanger,
        recovery: Recovery,
        nodes: JournalNodes,
        roster: Roster,
        placing: Placing,
        timeout_s: float,
        random: Callable[[], float],
    ) -> None:
        """`feed` goes over `connection`, which is guarded; `timeout_s` bounds `reach`; `random` draws from [0, 1)."""
        self._connection = connection
        self._feed = feed
        self._changer = changer
        self._recovery = recovery
        self._nodes = nodes
        self._roster = roster
        self._placing = placing
        self._timeout_s = timeout_s
        self._random = random
        self._condition = JournalCondition(phase=Phase.OPENING, reason="the journal is being looked for")
        self._blocked_in_a_row = 0
        self._rolls_in_a_row = 0  # that brought no entry home
        self._opened = asyncio.Event()
        self._woken = asyncio.Event()
        self._word_given = asyncio.Event()
        self._vouched_at = float("-inf")
        self._superseded: set[str] = set()
        self._incarnation = ""
        self._watermark = 0
        self._waiters: dict[str, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._tickets = 0
        self._shipping: Shipping | None = None
        self._loop_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop_task = asyncio.create_task(self._run(), name="journal")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
        self._fail_waiters("the process ends")

    @property
    def condition(self) -> JournalCondition:
        """Whether changes can be made durable, and if not, why."""
        stuck = self._shipping.stuck if self._shipping is not None else None
        if self._condition.phase is Phase.OPEN and stuck is not None:
            return JournalCondition(phase=Phase.BLOCKED, reason=stuck)
        return self._condition

    @property
    def watermark(self) -> int:
        """Everything up to it is durable, as far as this process knows."""
        return self._watermark

    async def wait_until_open(self, timeout_s: float) -> None:
        """Return once the index is open. Raises IndexUnavailable with the reason why it is not."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._opened.wait()
        except TimeoutError:
            raise IndexUnavailable(f"the index is not open: {self.condition.reason}", maybe_applied=False) from None

    async def check_open(self) -> None:
        """Ask the server now, as a request would. Raises IndexNotOpen, IndexUnavailable, IndexFault."""
        if (await self._feed.read_state()).sequence is None:
            self.not_open()
            raise IndexNotOpen("the index server holds no index")

    def admit(self) -> None:
        """See Durability."""
        # While the index is being opened the guard refuses; once it does not, the journal is about to ship.
        condition = self.condition
        if condition.phase is Phase.BLOCKED:
            raise IndexUnavailable(f"the index takes no changes: {condition.reason}", maybe_applied=False)

    def recognise(self, incarnation: str) -> None:
        """See Durability."""
        if incarnation in self._superseded:
            raise IndexNotOpen(f"the index was abandoned, another server or journal has taken over ({incarnation})")
        if incarnation != self._incarnation:
            self._woken.set()  # somebody has opened the index: no reason to wait any longer

    def not_open(self) -> None:
        """A call found the index not open: the loop is to find out now and not at its next tick."""
        if self._shipping is not None:
            self._shipping.poke()

    def is_vouched(self, incarnation: str) -> bool:
        """See Durability."""
        age_s = asyncio.get_running_loop().time() - self._vouched_at
        return incarnation == self._incarnation and age_s <= LEASE_S

    async def vouch(self, incarnation: str) -> None:
        """See Durability."""
        begun = asyncio.get_running_loop().time()
        while not self.is_vouched(incarnation):
            if incarnation in self._superseded or (self._incarnation and incarnation != self._incarnation):
                raise IndexUnavailable("the index was opened anew while it was read", maybe_applied=False)
            if self.condition.phase is Phase.BLOCKED:
                return  # too few nodes can be asked: they take nothing back either
            if self._shipping is not None:
                self._shipping.ask_to_vouch()
            self._word_given.clear()
            try:
                async with asyncio.timeout_at(begun + LONGEST_VOUCHING_S):
                    await self._word_given.wait()
            except TimeoutError:
                return

    def _on_vouched(self, begun: float) -> None:
        self._vouched_at = max(self._vouched_at, begun)
        self._word_given.set()

    async def reach(self, sequence: int, *, incarnation: str) -> None:
        """See Durability."""
        if incarnation == self._incarnation and sequence <= self._watermark:
            return
        self._tickets += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters.setdefault(incarnation, []), (sequence, self._tickets, future))
        if self._shipping is not None:
            self._shipping.poke()
        try:
            async with asyncio.timeout(self._timeout_s):
                await future
        except TimeoutError:
            raise IndexUnavailable(
                f"the journal did not make change {sequence} durable within {self._timeout_s:g} s", maybe_applied=True
            ) from None

    def _on_durable(self, watermark: int) -> None:
        if watermark > self._watermark:
            self._rolls_in_a_row = 0
        self._watermark = watermark
        waiters = self._waiters.get(self._incarnation, [])
        while waiters and waiters[0][0] <= watermark:
            future = heapq.heappop(waiters)[2]
            if not future.done():
                future.set_result(None)

    def _fail_waiters(self, reason: str, *, but: str | None = None) -> None:
        for incarnation in [name for name in self._waiters if name != but]:
            for _, _, future in self._waiters.pop(incarnation):
                if not future.done():
                    future.set_exception(IndexUnavailable(reason, maybe_applied=True))

    async def _run(self) -> None:
        while True:
            try:
                await self._serve_segment()
            except IndexNotOpen as error:
                await self._cautiously(self._open_index, str(error))
            except (Superseded, RaceLost, JournalBlocked, IndexFailure) as error:
                await self._pause(error)
            except Exception as error:  # noqa: BLE001
                _log.exception("journal loop failed")
                await self._pause(error)

    async def _cautiously(self, step: Callable[[], Awaitable[None]], reason: str) -> None:
        if self._condition.phase is Phase.OPEN:
            self._say(Phase.OPENING, reason)
        try:
            await step()
        except (RaceLost, JournalBlocked, IndexFailure) as error:
            await self._pause(error)
        except Exception as error:  # noqa: BLE001
            _log.exception("opening the index failed")
            await self._pause(error)

    async def _pause(self, error: Exception) -> None:
        """Say what stands in the way, and leave it some time."""
        blocked = isinstance(error, JournalBlocked | Superseded)
        self._say(Phase.BLOCKED if blocked else Phase.OPENING, str(error) or repr(error))
        self._blocked_in_a_row = self._blocked_in_a_row + 1 if blocked else 0
        pause_s = SOON_S if isinstance(error, RaceLost) else RETRY_S
        if blocked:  # each try may cost a segment
            pause_s = min(RETRY_S * 1.3**self._blocked_in_a_row, LONGEST_RETRY_S)
        self._woken.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s * (0.5 + self._random())):
                await self._woken.wait()

    def _say(self, phase: Phase, reason: str = "") -> None:
        condition = JournalCondition(phase=phase, reason=reason)
        if phase is not self._condition.phase:
            _log.info("journal", phase=phase.value, reason=reason)
        elif condition != self._condition:
            _log.debug("journal", phase=phase.value, reason=reason)
        self._condition = condition
        if phase is Phase.OPEN:
            self._blocked_in_a_row = 0
            self._opened.set()
        else:
            self._opened.clear()

    async def _open_index(self) -> None:
        await self._recovery.run(superseded=self._superseded, say=self._say_progress)

    def _say_progress(self, sentence: str) -> None:
        """What is tried is told only where nothing worse is known."""
        if self._condition.phase is not Phase.BLOCKED:
            self._say(Phase.OPENING, sentence)

    async def _serve_segment(self) -> None:
        """From reading which segment is open to leaving it behind."""
        state = await self._feed.read_state()
        if not state.segment:
            raise IndexNotOpen("the index has no journal yet")
        header = unpack_header(state.segment)
        self._adopt(header, state)
        try:
            heard = await require_unfenced(header, self._nodes, self._roster)
            if len(heard) < len(header.nodes) - header.quorum + 1:
                raise JournalBlocked(f"{len(heard)} of the {len(header.nodes)} nodes of the journal answer")
            await self._ship(header, state)
        except BetterSet:
            await self._roll(header)
        except (Fenced, SegmentEnded):
            if not await self._is_followed(header):
                await self._roll(header)
        except SegmentChanged:
            pass
        except TwoJournals as error:
            self._abandon(header, str(error))
            raise

    def _adopt(self, header: SegmentHeader, state: JournalState) -> None:
        if header.incarnation != self._incarnation:
            # A number may stand for another change now: whoever waits for the old one gets no answer from the new.
            self._fail_waiters("the index was opened anew before the change was durable", but=header.incarnation)
            self._incarnation, self._watermark = header.incarnation, 0
            self._vouched_at = float("-inf")
            self._word_given.set()
        if self._connection.incarnation not in ("", header.incarnation):
            self._connection.drop("the index was opened anew")
        # A segment begins behind what is on W nodes of the one before, and is named only once that is agreed on.
        self._on_durable(max(self._watermark, state.watermark, header.first_sequence - 1))

    async def _ship(self, header: SegmentHeader, state: JournalState) -> None:
        shipping = Shipping(
            header,
            state,
            feed=self._feed,
            nodes=self._nodes,
            roster=self._roster,
            placing=self._placing,
            on_durable=self._on_durable,
            on_vouched=self._on_vouched,
        )
        self._shipping = shipping
        self._say(Phase.OPEN)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            await shipping.run()
        finally:
            self._shipping = None
            if clock() - began > LONGEST_RETRY_S:
                self._rolls_in_a_row = 0

    async def _is_followed(self, header: SegmentHeader) -> bool:
        """Leave whoever ends the segment some time to name the next one; whether it did. It may have died over it."""
        ends_at = asyncio.get_running_loop().time() + FOLLOW_S
        while asyncio.get_running_loop().time() < ends_at:
            if (await self._feed.read_state()).epoch != header.epoch:
                return True
            await asyncio.sleep(SOON_S)
        return False

    async def _roll(self, header: SegmentHeader) -> None:
        # Where disks are slow a roll takes longer than the pause: each would end what another has just begun, for ever.
        longest_s = min(LONGEST_PAUSE_S * 2 ** min(self._rolls_in_a_row, 8), LONGEST_RETRY_S)
        await asyncio.sleep(longest_s * self._random())
        state = await self._feed.read_state()
        if state.epoch != header.epoch:
            return
        self._rolls_in_a_row += 1
        try:
            changed = await self._changer.roll(header)
        except (Superseded, TwoJournals) as error:
            self._abandon(header, str(error))
            raise
        except RaceLost:
            await asyncio.sleep(LONGEST_PAUSE_S * self._random())
            return
        await self._tell_index(changed.header)

    def _abandon(self, header: SegmentHeader, reason: str) -> None:
        """Answer nothing from this incarnation any more, until the recovery finds that it may go on."""
        _log.error("this index is abandoned", incarnation=header.incarnation, reason=reason)
        self._superseded.add(header.incarnation)
        self._word_given.set()
        self._connection.drop(reason)
        self._fail_waiters(reason)

    async def _tell_index(self, header: SegmentHeader) -> None:
        """Unless a later segment is known there already, or the index belongs to another incarnation by now."""
        while True:
            state = await self._feed.read_state()
            if state.incarnation != header.incarnation or state.epoch >= header.epoch:
                return
            packed = pack_header(header)
            if await self._feed.set_segment(old_epoch=state.epoch, epoch=header.epoch, segment=packed):
                return
