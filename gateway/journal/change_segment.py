"""Ending the journal's last segment and opening the next: single-decree Paxos on the seal of each segment.

The value that is agreed on for a segment is its seal: where it ends and which segment follows. A proposer draws an
epoch E above all it has seen, has the nodes promise E, learns from R - W + 1 holders of the last segment (phase 1,
with any W they share a node), makes the next segment and copies into it what may not be on W nodes yet, and then has W
of the last segment's nodes accept the seal (phase 2). The sizes of the two quorums are Flexible Paxos' (Howard, Malkhi
and Spiegelman 2016); fencing and sealing are those of Apache BookKeeper's ledgers.

Why it is safe:

- *An acknowledged entry is found by every later recovery.* It is on W nodes of a segment with all before it. R - W + 1
  holders promised E before they told their last sequence, so no append of the old epoch reaches W after that, and one
  of them has the entry: the end is at or behind it. What lies behind the watermark D is copied to the new segment's
  nodes before the seal is offered; what lies before D is on W nodes already. So the new segment begins at D + 1.
- *Two changes at once cannot both win.* The seal of one segment is one Paxos decree: a proposer that sees an accepted
  seal takes over the one of the highest epoch, completes it on W nodes, and goes on from the segment that it names. A
  segment that was made but lost is named by nobody and is never read, appended to, or taken for the end of the chain
  (chain.py).
- *A forgotten gateway acknowledges nothing.* Once another incarnation has been opened, R - W + 1 nodes of the segment
  that the forgotten one knows refuse its appends. To roll it would have to follow the chain to its end, finds a
  segment of an incarnation that is not its own, and is Superseded. It looks before it asks for promises, and so does
  not even disturb; the answer that counts is the one after the promises.
- *A process may die between any two steps.* Before the first accept: the new segment is an orphan, and the next
  proposer finds the old one unsealed, its entries still there. After some accepts: the next proposer meets the seal,
  or does not and then it was not on W nodes and never will be, since it has promised them away. After W accepts,
  before Redis is told: the next proposer follows the seal, finds an empty segment at the end and goes on from it.
- *Two journals are never mixed.* Paxos agrees within one journal, and that there is one only is founding.py's to make
  sure. Where that failed, for want of nodes that could be asked, incarnations of the two have different journals in
  their names, and whoever sees segments of both stops (`require_one_journal`): before it asks for promises where that
  can be seen by then, and again among the nodes that promised, which are all that a new segment may lie on.
- *A node that lost its copy does not vote*: only nodes that hold the segment are counted, and silence about a seal
  from a damaged one counts for nothing (unless every node answered and none knows of a later segment).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from gateway.journal import incarnation
from gateway.journal.chain import (
    Link,
    SegmentView,
    Statuses,
    chain_up_to,
    highest_epoch,
    may_be_founded,
    missing_nodes,
    newest_member,
    require_one_journal,
    views_of,
    visible_end,
)
from gateway.journal.failures import JournalBlocked, RaceLost, Superseded
from gateway.journal.history import read_page
from gateway.journal.nodes import JournalNodes, Roster, addresses_of, ask_all
from gateway.journal.placing import Placing
from storagenode.client import JournalFenced, NodeError
from storagenode.journal_protocol import JournalStatus, Seal, SegmentHeader, segment_id

PATIENCE_S = 3.0
"""For one answer of one node. Nobody waits that long for a node that is known to be away."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The journal's new open segment and the history that it continues."""

    header: SegmentHeader
    end: int
    """The last sequence of that history: everything up to it is durable."""
    chain: tuple[Link, ...]
    """The segments up to the one that was ended, oldest first, and the new one."""
    addresses: Mapping[str, str]
    """By node id, of the nodes that answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Purpose:
    """What rolling and recovering do not have in common."""

    name: str
    known: SegmentHeader | None
    """The segment that Redis names."""
    check: Callable[[SegmentHeader], None]
    """Raises Superseded when the last segment is none that may be ended for this purpose."""
    begin: Callable[[SegmentHeader, int, int], tuple[str, int]]
    """(last segment, epoch, end) -> incarnation of the new segment and where that began."""


class SegmentChanger:
    """Ends segments and opens others. Raises JournalBlocked, RaceLost; what it leaves half done the next one mends."""

    def __init__(
        self,
        nodes: JournalNodes,
        roster: Roster,
        placing: Placing,
        *,
        random_bits: Callable[[int], int],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`random_bits(n)` draws n of them."""
        self._nodes = nodes
        self._roster = roster
        self._placing = placing
        self._random_bits = random_bits
        self._patience_s = patience_s

    async def roll(self, mine: SegmentHeader) -> Changed:
        """Go on in another segment, within the incarnation of `mine`. Raises Superseded."""

        def check(last: SegmentHeader) -> None:
            if last.incarnation != mine.incarnation:
                raise Superseded(f"the journal goes on for {last.incarnation}, this index is {mine.incarnation}")

        purpose = _Purpose(
            name="roll", known=mine, check=check, begin=lambda last, _epoch, _end: (last.incarnation, last.opened_at)
        )
        views = views_of(await self.survey())
        require_one_journal(views, mine)
        end = visible_end(views, mine)
        if end is not None:
            check(end.header)
        return await self._change(purpose)

    async def recover(self, identity: str, known: SegmentHeader | None) -> Changed:
        """Go on in a segment of a new incarnation, that of the server `identity`."""
        purpose = _Purpose(
            name="recovery",
            known=known,
            check=lambda _last: None,
            begin=lambda last, epoch, end: (_opened(identity, epoch, last), end),
        )
        return await self._change(purpose)

    async def found(self, identity: str, sequence: int) -> None:
        """Plant the empty segment from which a new cluster's journal grows behind `sequence`.

        Raises RaceLost when there is a journal already, JournalBlocked when a node is silent that might know of one.
        """
        survey = await self.survey()
        if not may_be_founded(survey):  # nodes that came later know of a journal
            raise RaceLost("there is a journal already")
        try:
            epoch = incarnation.founding_epoch_above(highest_epoch(survey), self._random_bits(32))
        except ValueError as error:
            raise JournalBlocked(str(error)) from error
        statuses = await self._promise(epoch)
        if not may_be_founded(statuses):
            raise RaceLost("the journal was founded meanwhile")
        if silent := [node.node_id for node in self._roster.nodes() if not (node.removed or node.node_id in statuses)]:
            raise JournalBlocked(f"storage nodes that may have a journal do not answer: {', '.join(silent)}")
        name = incarnation.founded(identity, epoch, f"{self._random_bits(64):016x}")
        await self._create(self._header(epoch, sequence + 1, name, sequence, statuses))

    async def survey(self) -> Statuses:
        """What each node that answers knows of the journal."""
        answers = await ask_all(self._roster.nodes(), self._nodes.status, patience_s=self._patience_s)
        return _only_statuses(answers)

    async def _change(self, purpose: _Purpose) -> Changed:
        epoch, statuses = await self._promised(await self.survey())
        views = views_of(statuses)
        require_one_journal(views, purpose.known)
        last = await self._find_last(epoch, statuses, views, purpose.known)
        purpose.check(last.header)
        first, end = last.durable + 1, last.end
        if end < last.durable:
            raise JournalBlocked(f"nodes lost durable entries of segment {last.header.segment_id} behind {end}")
        name, opened_at = purpose.begin(last.header, epoch, end)
        header = self._header(epoch, first, name, opened_at, statuses)
        await self._create(header)
        await self._copy(last.header, header, end)
        await self._seal(last.header, Seal(epoch=epoch, end_sequence=end, next=header))
        await self._tell_watermark(header, end)
        _log.info("journal goes on in another segment", reason=purpose.name, segment=header.segment_id, end=end)
        return self._changed(header, end, chain_up_to(views, last.header, end), statuses)

    async def _promised(self, survey: Statuses) -> tuple[int, Statuses]:
        """Draw an epoch and have every node that can be reached promise it; what they know since."""
        epoch = incarnation.epoch_above(highest_epoch(survey), self._random_bits(32))
        return epoch, await self._promise(epoch)

    async def _promise(self, epoch: int) -> Statuses:
        answers = await ask_all(
            self._roster.nodes(), lambda address: self._nodes.promise(address, epoch), patience_s=self._patience_s
        )
        if any(isinstance(answer, JournalFenced) for answer in answers.values()):
            raise RaceLost("a node promised a higher epoch")
        for node_id, answer in answers.items():
            if isinstance(answer, NodeError):
                self._roster.failed(node_id)
        return _only_statuses(answers)

    async def _find_last(
        self, epoch: int, statuses: Statuses, views: Mapping[str, SegmentView], known: SegmentHeader | None
    ) -> SegmentView:
        """Follow the chain to the segment that nobody has sealed, completing each seal that is met."""
        view = newest_member(views, known)
        if view is None:
            made = ", ".join(views) or "none"
            raise JournalBlocked(
                f"the nodes of the journal's last segment are not there (segments seen that lead nowhere: {made})"
            )
        while True:
            self._require_readable(view, statuses, views)
            if view.seal is None:
                return view
            following = view.seal.next
            await self._seal(view.header, Seal(epoch=epoch, end_sequence=view.seal.end_sequence, next=following))
            view = views.get(following.segment_id, SegmentView(header=following))

    def _require_readable(self, view: SegmentView, statuses: Statuses, views: Mapping[str, SegmentView]) -> None:
        if not view.is_readable:
            raise JournalBlocked(
                f"the journal's segment {view.header.segment_id} needs {view.readers_needed} of its nodes, "
                f"{len(view.holders)} answered; missing: {', '.join(missing_nodes(view))}"
            )
        if view.is_silent_on_seals:
            all_answered = all(node.node_id in statuses for node in self._roster.nodes())
            later = any(other.header.epoch > view.header.epoch for other in views.values())
            if later or not all_answered:
                raise JournalBlocked(
                    f"the journal's segment {view.header.segment_id} is damaged on the nodes that answer, and a later "
                    f"one may exist; missing: {', '.join(missing_nodes(view)) or 'other nodes of the cluster'}"
                )

    def _header(self, epoch: int, first_sequence: int, name: str, opened_at: int, statuses: Statuses) -> SegmentHeader:
        """A segment on nodes that promised. Raises JournalBlocked when they are too few."""
        nodes = self._roster.nodes()
        quorum = self._placing.quorum(nodes)
        chosen = self._placing.choose(nodes, among=statuses)
        if len(chosen) < quorum:
            raise JournalBlocked(f"the journal needs {quorum} storage nodes, {len(chosen)} can take it")
        return SegmentHeader(
            segment_id=segment_id(epoch, first_sequence),
            epoch=epoch,
            first_sequence=first_sequence,
            nodes=tuple(node.node_id for node in chosen),
            quorum=quorum,
            incarnation=name,
            opened_at=opened_at,
        )

    async def _create(self, header: SegmentHeader) -> None:
        """On all of its nodes: one that does not take it is left out next time."""
        answers = await self._on_nodes_of(header, lambda address: self._nodes.create(address, header))
        self._require(header, answers, len(header.nodes), "take the new segment")

    async def _copy(self, source: SegmentHeader, target: SegmentHeader, end: int) -> None:
        """Entries that may not be on W nodes of `source`, to all nodes of `target`."""
        addresses = addresses_of(self._roster.nodes())
        after = target.first_sequence - 1
        while after < end:
            reasons: list[str] = []
            page = await read_page(self._nodes, addresses, source, after, reasons)
            page = [entry for entry in page if entry[0] <= end]
            if not page:
                raise JournalBlocked(f"entry {after + 1} of the journal cannot be read: {'; '.join(reasons)}")
            answers = await self._on_nodes_of(target, self._appending(target, page))
            self._require(target, answers, len(target.nodes), "take copies")
            after = page[-1][0]

    def _appending(self, target: SegmentHeader, page: Sequence[tuple[int, bytes]]) -> Callable[[str], Awaitable[int]]:
        # The watermark stays below the segment: it is told when the segment has become a part of the chain.
        return lambda address: self._nodes.append(
            address,
            target.segment_id,
            epoch=target.epoch,
            watermark=target.first_sequence - 1,
            first_sequence=page[0][0],
            entries=[entry for _, entry in page],
        )

    async def _seal(self, header: SegmentHeader, seal: Seal) -> None:
        answers = await self._on_nodes_of(header, lambda address: self._nodes.seal(address, header.segment_id, seal))
        self._require(header, answers, header.quorum, "accept the seal")

    async def _tell_watermark(self, header: SegmentHeader, end: int) -> None:
        """That the segment is a part of the chain, and all in it is durable. The seal says so too: it may fail."""
        await self._on_nodes_of(
            header,
            lambda address: self._nodes.append(
                address, header.segment_id, epoch=header.epoch, watermark=end, first_sequence=end + 1, entries=[]
            ),
        )

    async def _on_nodes_of(
        self, header: SegmentHeader, call: Callable[[str], Awaitable[object]]
    ) -> Mapping[str, object]:
        nodes = [node for node in self._roster.nodes() if node.node_id in header.nodes]
        return await ask_all(nodes, call, patience_s=self._patience_s)

    def _require(self, header: SegmentHeader, answers: Mapping[str, object], count: int, what: str) -> None:
        """Raises RaceLost, JournalBlocked unless so many nodes did it."""
        failures = {node_id: answer for node_id, answer in answers.items() if isinstance(answer, NodeError)}
        if len(answers) - len(failures) >= count:
            return
        if any(isinstance(failure, JournalFenced) for failure in failures.values()):
            raise RaceLost(f"a node promised a higher epoch than that of {header.segment_id}")
        for node_id in failures:
            self._roster.failed(node_id)
        absent = [f"{node_id}: not in the node table" for node_id in header.nodes if node_id not in answers]
        reasons = "; ".join([*(f"{node_id}: {failure}" for node_id, failure in failures.items()), *absent])
        raise JournalBlocked(f"{count} nodes of segment {header.segment_id} must {what}: {reasons}")

    def _changed(self, header: SegmentHeader, end: int, chain: list[Link], statuses: Statuses) -> Changed:
        addresses = {node.node_id: node.address for node in self._roster.nodes() if node.node_id in statuses}
        link = Link(header=header, end_sequence=end)
        return Changed(header=header, end=end, chain=(*chain, link), addresses=addresses)


def _opened(identity: str, epoch: int, last: SegmentHeader) -> str:
    return incarnation.opened(identity, epoch, incarnation.journal_of(last.incarnation))


def _only_statuses(answers: Mapping[str, JournalStatus | NodeError]) -> Statuses:
    return {node_id: answer for node_id, answer in answers.items() if isinstance(answer, JournalStatus)}
