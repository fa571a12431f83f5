"""What the nodes tell -> the chain of segments. Pure: no calls, no clock.

Each segment but the newest is sealed, and its seal names the next. Headers alone prove nothing: a proposer that dies
leaves a segment that was made and never named, and that must never be taken for the journal. A segment belongs to
the chain (`is_member`) when it is sealed, which only members are; when something was made durable in it beyond what
was copied into it before it was named; when Redis names it; or when the seal of a member that is found valid names it.
Along the chain epochs rise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.journal.failures import TwoJournals
from gateway.journal.incarnation import begins_incarnation, counter_of, is_founding, journal_of
from storagenode.journal_protocol import JournalStatus, Seal, SegmentHeader, SegmentStatus

Statuses = Mapping[str, JournalStatus]
"""By node id, of the nodes that answered."""


@dataclass(slots=True, kw_only=True)
class SegmentView:
    """One segment as all the nodes that answered know it."""

    header: SegmentHeader
    holders: dict[str, SegmentStatus] = field(default_factory=dict)
    """By node id: the nodes of the segment that hold it."""

    @property
    def readers_needed(self) -> int:
        """How many of its nodes must be heard, R - W + 1, to meet every set of W."""
        return len(self.header.nodes) - self.header.quorum + 1

    @property
    def is_readable(self) -> bool:
        return len(self.holders) >= self.readers_needed

    @property
    def seal(self) -> Seal | None:
        """The accepted seal of the highest epoch."""
        seals = [status.seal for status in self.holders.values() if status.seal is not None]
        return max(seals, key=lambda seal: seal.epoch, default=None)

    @property
    def is_silent_on_seals(self) -> bool:
        """Too few holders have sound bytes for their silence about a seal to mean that there is none."""
        sound = sum(not status.damaged or status.seal is not None for status in self.holders.values())
        return sound < self.readers_needed

    @property
    def end(self) -> int:
        """The highest sequence on any holder: nothing above it was ever durable, if `is_readable`."""
        lasts = [status.last_sequence for status in self.holders.values()]
        return max([self.header.first_sequence - 1, *lasts])

    @property
    def durable(self) -> int:
        """Everything up to it is known to be on W nodes of this or an earlier segment."""
        told = [status.watermark for status in self.holders.values()]
        return max([self.header.first_sequence - 1, *told])

    @property
    def is_in_use(self) -> bool:
        """Something was made durable in it after it had become a part of the chain."""
        header = self.header
        if self.durable >= header.first_sequence:
            return True
        # What is copied into the first segment of an incarnation ends where the incarnation begins.
        return begins_incarnation(header) and self.end > header.opened_at

    @property
    def is_member(self) -> bool:
        return self.is_in_use or self.seal is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A segment of the chain and where it ends, which the newest one's own nodes may not know."""

    header: SegmentHeader
    end_sequence: int


def views_of(statuses: Statuses) -> dict[str, SegmentView]:
    """Every segment that any node holds, by segment id. A node that the header does not name does not count."""
    views: dict[str, SegmentView] = {}
    for node_id, status in statuses.items():
        for segment in status.segments:
            view = views.setdefault(segment.header.segment_id, SegmentView(header=segment.header))
            if node_id in segment.header.nodes:
                view.holders[node_id] = segment
    return views


def highest_epoch(statuses: Statuses) -> int:
    """Of all promises and headers; 0 where there is none."""
    promised = [status.promised_epoch for status in statuses.values()]
    made = [segment.header.epoch for status in statuses.values() for segment in status.segments]
    return max([0, *promised, *made])


def may_be_founded(statuses: Statuses) -> bool:
    """Whether the nodes show no trace of a journal but, perhaps, of attempts to found one that came to no end."""
    headers = [segment.header for status in statuses.values() for segment in status.segments]
    if counter_of(highest_epoch(statuses)) or not all(is_founding(header) for header in headers):
        return False
    return not any(view.is_readable for view in views_of(statuses).values())


def require_one_journal(views: Mapping[str, SegmentView], known: SegmentHeader | None) -> None:
    """Raises TwoJournals where segments tell of more than one, be they of the chain or not.

    A founding segment that nobody used tells of nothing but an attempt. `known` is the segment that Redis names.
    """
    nodes: dict[str, set[str]] = {}
    ends: dict[str, int] = {}
    if known is not None:
        name = journal_of(known.incarnation)
        nodes[name], ends[name] = set(known.nodes), known.first_sequence - 1
    for view in views.values():
        if view.is_member or not is_founding(view.header):
            name = journal_of(view.header.incarnation)
            nodes.setdefault(name, set()).update(view.holders)
            ends[name] = max(ends.get(name, 0), view.end)
    if len(nodes) > 1:
        here = "" if known is None else journal_of(known.incarnation)
        told = [
            f"{name or 'without a name'}{' (of this index)' if known is not None and name == here else ''} "
            f"up to entry {ends[name]} on {', '.join(sorted(nodes[name]))}"
            for name in sorted(nodes)
        ]
        raise TwoJournals(f"there are two journals, neither is gone on with: {'; '.join(told)}")


def newest_member(views: Mapping[str, SegmentView], known: SegmentHeader | None) -> SegmentView | None:
    """Where the walk to the end of the chain may begin; None where the nodes show none that is sure.

    `known` is the segment that Redis names. A founding segment that nobody used is taken where there is nothing else.
    """
    members = [view for view in views.values() if view.is_member or (known and view.header == known)]
    if not members:
        members = [view for view in views.values() if is_founding(view.header)]
    return max(members, key=lambda view: view.header.epoch, default=None)


def visible_end(views: Mapping[str, SegmentView], known: SegmentHeader | None) -> SegmentView | None:
    """The last segment as far as the seals that are seen lead, chosen or not: a hint and no proof."""
    view = newest_member(views, known)
    while view is not None and view.seal is not None:
        following = views.get(view.seal.next.segment_id)
        if following is None:
            return view
        view = following
    return view


def chain_up_to(views: Mapping[str, SegmentView], last: SegmentHeader, end: int) -> list[Link]:
    """The chain that ends with `last`, oldest first, as far back as the nodes show it without a gap."""
    named_by: dict[str, list[SegmentView]] = {}
    for view in views.values():
        for status in view.holders.values():
            if status.seal is not None:
                named_by.setdefault(status.seal.next.segment_id, []).append(view)
    chain = [Link(header=last, end_sequence=end)]
    while before := named_by.get(chain[0].header.segment_id):
        view = before[0]
        chain.insert(0, Link(header=view.header, end_sequence=_sealed_end(view, chain[0].header)))
    return chain


def _sealed_end(view: SegmentView, following: SegmentHeader) -> int:
    ends = [
        status.seal.end_sequence
        for status in view.holders.values()
        if status.seal is not None and status.seal.next.segment_id == following.segment_id
    ]
    return max(ends)


def end_of_incarnation(chain: Sequence[Link], incarnation: str) -> int | None:
    """The last sequence of the common history of this incarnation and those after it.

    Raises LookupError where the chain does not show the incarnation; None where none came after it.
    """
    names = [link.header.incarnation for link in chain]
    last = len(names) - 1 - names[::-1].index(incarnation) if incarnation in names else None
    if last is None:
        raise LookupError(incarnation)
    return chain[last + 1].header.opened_at if last + 1 < len(chain) else None


def missing_nodes(view: SegmentView) -> list[str]:
    """The nodes of the segment that were not heard, or do not hold it."""
    return [node_id for node_id in view.header.nodes if node_id not in view.holders]
