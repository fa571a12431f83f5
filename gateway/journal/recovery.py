"""Making an index server fit for use: it gets everything that the journal holds, and a new incarnation begins.

Done by whichever process notices that the server is not the one for which the index was opened, under a lease, so that
not all do it. Nothing here relies on the lease for what is acknowledged: see change_segment.py for that.

What a server holds is the beginning of one history, that of the incarnation whose name it carries:

    nothing                       -> the newest snapshot, and the journal from there on
    less than the journal         -> the journal from there on
    more than the journal         -> nothing: what is in its stream was never acknowledged, and is shipped now
    something else                -> it went on by itself behind the point where a later incarnation began, and nobody
                                     was told of what it did there: as if it held nothing
    an index without a journal    -> it is taken over as it is, where the nodes have no journal either
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from enum import Enum

import structlog

from gateway.index.errors import IndexFailure, IndexNotOpen
from gateway.index.journal_feed import JournalState, ReplayGap, RestoreClaim
from gateway.journal.chain import Link, chain_up_to, end_of_incarnation, require_one_journal, views_of, visible_end
from gateway.journal.change_segment import Changed, SegmentChanger
from gateway.journal.failures import JournalBlocked, RaceLost
from gateway.journal.feed import Feed
from gateway.journal.founding import SETTLED_AFTER_S, Founding, HoldsBytes
from gateway.journal.history import History
from gateway.journal.incarnation import identity_of, is_founding
from gateway.journal.nodes import JournalNodes, Roster
from gateway.journal.progress import Progress, ProgressLog, Stage
from gateway.journal.shipping import require_unfenced
from gateway.journal.vouching import OPENING_DELAY_S, Fenced
from storagenode.journal_protocol import SegmentHeader, pack_header, unpack_header

LEASE_TTL_S = 15.0
LEASE_PERIOD_S = 4.0

Restore = Callable[[Callable[[str], None], RestoreClaim], Awaitable[int]]
"""It empties the index and loads the newest snapshot: the sequence to replay after, 0 without one."""

_log = structlog.get_logger(__name__)


class Standing(Enum):
    """What a server holds, compared with the journal."""

    NOTHING = "nothing"
    PREFIX = "the beginning"
    AHEAD = "more"
    DIVERGED = "something else"


class Recovery:
    """`run` opens the index on the present server, or raises JournalBlocked, RaceLost, IndexUnavailable."""

    def __init__(
        self,
        *,
        feed: Feed,
        changer: SegmentChanger,
        nodes: JournalNodes,
        roster: Roster,
        restore: Restore,
        holds_bytes: HoldsBytes,
        expected_nodes: int = 0,
        settled_after_s: float = SETTLED_AFTER_S,
        holder: str | None = None,
    ) -> None:
        """`feed` is without a guard; see Founding for the nodes that a new cluster waits for."""
        self._feed = feed
        self._changer = changer
        self._nodes = nodes
        self._roster = roster
        self._restore = restore
        self._founding = Founding(
            feed=feed,
            changer=changer,
            roster=roster,
            holds_bytes=holds_bytes,
            expected_nodes=expected_nodes,
            settled_after_s=settled_after_s,
        )
        self._holder = holder or secrets.token_hex(16)
        self._runs = 0

    async def run(self, *, superseded: Collection[str], say: Callable[[str], None]) -> None:
        """Return when the index is open. `superseded` incarnations are known to be forgotten; `say` takes sentences."""
        if not await self._is_needed(superseded):
            return
        if not await self._feed.try_recovery_lease(self._holder, ttl_ms=int(LEASE_TTL_S * 1000)):
            raise RaceLost("another process is opening the index")
        work = asyncio.create_task(self._work(superseded, say), name="recovery")
        lease = asyncio.create_task(self._keep_lease(), name="recovery lease")
        try:
            await asyncio.wait({work, lease}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                lease.result()
                raise RaceLost("the lease of the recovery is gone")
            work.result()
        finally:
            for task in (work, lease):
                task.cancel()
            await asyncio.gather(work, lease, return_exceptions=True)
            with suppress(IndexFailure):
                await self._feed.release_recovery_lease(self._holder)

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(LEASE_PERIOD_S)
            if not await self._feed.try_recovery_lease(self._holder, ttl_ms=int(LEASE_TTL_S * 1000)):
                return

    async def _is_needed(self, superseded: Collection[str]) -> bool:
        state = await self._feed.read_state()
        if not state.is_master:
            raise JournalBlocked("the index server is a replica, not the master")
        if state.opened != state.identity or state.sequence is None or not state.segment:
            return True
        if state.incarnation not in superseded:
            return False
        # Another server has taken over from this one, and nobody restarted it since. Taking the index back from
        # there without being told to would let two servers with clients of their own take it from each other for ever.
        views = views_of(await self._changer.survey())
        require_one_journal(views, unpack_header(state.segment))
        last = visible_end(views, None)
        if last is not None and identity_of(last.header.incarnation) == state.identity:
            return True
        raise JournalBlocked("another server has taken over the index from this one: restart it to have it brought up")

    async def _work(self, superseded: Collection[str], say: Callable[[str], None]) -> None:
        say("asking the storage nodes for the journal")
        await self._roster.refresh()
        if not await self._is_needed(superseded):
            return  # opened by another while we waited for the lease
        await self._founding.found_if_new(say)
        state = await self._feed.read_state()
        known = unpack_header(state.segment) if state.segment else None
        await self._look_before(state, known)
        changed = await self._changer.recover(state.identity, known)
        promised_at = asyncio.get_running_loop().time()
        self._runs += 1
        claim = RestoreClaim(token=f"{self._holder}-{self._runs}", old_epoch=state.epoch)
        try:
            await self._bring_up(state, changed, claim, say)
        except IndexNotOpen as error:
            raise RaceLost(str(error)) from error
        await _outwait_readers(changed, promised_at)
        # Nobody may be shown what this process was slow to bring up, while another brought up more. A later recovery
        # has fenced our segment first and says so in the books last: between the two looks it cannot hide.
        try:
            await require_unfenced(changed.header, self._nodes, self._roster)
        except Fenced as error:
            raise RaceLost("another recovery came first") from error
        if not await self._feed.open(
            identity=state.identity,
            incarnation=changed.header.incarnation,
            epoch=changed.header.epoch,
            segment=pack_header(changed.header),
            watermark=changed.end,
            old_epoch=state.epoch,
            token=claim.token,
        ):
            raise RaceLost("another recovery came first")
        _log.info("index opened", incarnation=changed.header.incarnation, sequence=changed.end)

    async def _look_before(self, state: JournalState, known: SegmentHeader | None) -> None:
        """A server that cannot be brought up must not end the segment in which another one's journal goes on.

        Raises JournalBlocked as far as that can be seen beforehand.
        """
        views = views_of(await self._changer.survey())
        require_one_journal(views, known)
        last = visible_end(views, known)
        if last is not None:
            await self._compare(state, chain_up_to(views, last.header, last.end))

    async def _bring_up(
        self, state: JournalState, changed: Changed, claim: RestoreClaim, say: Callable[[str], None]
    ) -> None:
        """Give the index everything up to the journal's end. Raises JournalBlocked, IndexNotOpen."""
        standing = await self._compare(state, changed.chain)
        await self._require_same(state)
        _log.info("index server compared with the journal", holds=standing.value, sequence=state.sequence)
        if standing is Standing.AHEAD or (standing is Standing.NOTHING and changed.end == 0 and state.restored is None):
            return
        if standing is Standing.PREFIX:
            after = state.sequence or 0
        elif (after := await self._restore(say, claim)) == 0:
            await self._feed.begin_restore(claim)  # hides the index from clients until it is whole
            await self._feed.end_restore(0, claim)
        await self._replay(after, changed, claim, say)

    async def _require_same(self, state: JournalState) -> None:
        """A fail-over while we looked: what was found of one server must not be done to the other."""
        now = await self._feed.read_state()
        if (now.identity, now.opened, now.incarnation) != (state.identity, state.opened, state.incarnation):
            raise RaceLost("the index server is another by now")

    async def _replay(self, after: int, changed: Changed, claim: RestoreClaim, say: Callable[[str], None]) -> None:
        history = History(self._nodes, changed.addresses, changed.chain)
        if after < changed.end and after < history.begins_after:
            raise JournalBlocked(
                f"the journal begins behind entry {history.begins_after}, "
                f"the index or its newest snapshot ends with {after}"
            )
        total, log = changed.end - after, ProgressLog()
        async for page in history.read(after):
            try:
                done = await self._feed.replay(page, claim)
            except ReplayGap as error:
                raise JournalBlocked(f"the journal does not continue the index: {error}") from error
            say(f"replaying the journal: {100 * (done - changed.end + total) // total} %")
            log(Progress(stage=Stage.JOURNAL, done=done - after, total=total))

    async def _compare(self, state: JournalState, chain: Sequence[Link]) -> Standing:
        """Raises JournalBlocked where the server holds an index that is not this journal's."""
        sequence, end = state.sequence, chain[-1].end_sequence
        if sequence is None:
            return Standing.NOTHING
        if not state.segment:
            if sequence == end and _is_empty(chain):
                return Standing.PREFIX
            raise JournalBlocked(
                "the index server holds an index that never had this journal: point to the right server"
            )
        try:
            common = end_of_incarnation(chain, state.incarnation)
        except LookupError:
            if not _is_empty(chain):
                _require_older(state, chain)
                return Standing.DIVERGED
            common = None
        if common is not None and sequence > common and end > common:
            return Standing.DIVERGED
        if sequence <= end:
            return Standing.PREFIX
        if not await self._feed.entries(end, 1):
            raise JournalBlocked(f"the journal ends with entry {end}, the index goes on and has not kept what follows")
        return Standing.AHEAD


async def _outwait_readers(changed: Changed, promised_at: float) -> None:
    """Until nobody relies any more on what nodes said before they promised: a reader of the incarnation before."""
    before = changed.chain[-2].header if len(changed.chain) > 1 else None
    if before is not None and not is_founding(before):
        await asyncio.sleep(max(0.0, promised_at + OPENING_DELAY_S - asyncio.get_running_loop().time()))


def _is_empty(chain: Sequence[Link]) -> bool:
    return all(link.end_sequence < link.header.first_sequence for link in chain)


def _require_older(state: JournalState, chain: Sequence[Link]) -> None:
    """An incarnation that the chain does not show was trimmed, or is another cluster's if it is of the chain's time."""
    if state.epoch >= chain[0].header.epoch:
        raise JournalBlocked(f"the index server belongs to another journal ({state.incarnation})")
