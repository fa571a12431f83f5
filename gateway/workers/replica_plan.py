"""What is to become of the copies of one segment: pure, from what was found on its nodes.

The rules, in this order: no copy that can be read is given up before as many as are wanted can be read elsewhere; a
copy that its node has lost or damaged is put back there, which changes no record; others go where placement sends them,
in zones that have none yet; a node that is only away keeps its place.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from gateway.index.repair_records import SegmentRef
from gateway.placement.membership import Node
from gateway.placement.rendezvous import choose


class CopyState(Enum):
    """What was found of one copy."""

    GOOD = "good"
    BROKEN = "broken"
    """Its node answers, and has it not or not whole."""
    AWAY = "away"
    """Its node does not answer, and may come back."""
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCopy:
    """A copy that the record names."""

    node_id: str
    zone: str
    state: CopyState
    leaving: bool = False
    """Its node is draining or removed."""
    node: Node | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where copies are to be made, in the order of preference: `count` of them."""

    count: int
    targets: tuple[Node, ...]


def plan_copies(segment: SegmentRef, found: Sequence[FoundCopy], wanted: int, candidates: Sequence[Node]) -> Plan:
    """Which copies to make. `candidates` are the nodes that take new blobs, those of `found` among them."""
    staying = _staying(found)
    need = wanted - len(staying)
    takers = {node.node_id: node for node in candidates}
    held = {one.node_id for one in found}
    restored = [takers[one.node_id] for one in found if one.state is CopyState.BROKEN and one.node_id in takers]
    others = [node for node in candidates if node.node_id not in held]
    zones = [one.zone for one in staying]
    if need <= 0:
        elsewhere = [node for node in others if node.zone not in zones]
        if not (is_in_one_zone(zones) and elsewhere):
            return Plan(count=0, targets=())
        return Plan(count=1, targets=tuple(choose(segment.write_id, segment.number, elsewhere, len(elsewhere))))
    zones += [node.zone for node in restored[:need]]
    return Plan(count=need, targets=(*restored, *_in_order(segment, others, zones)))


def plan_rebalance(found: Sequence[FoundCopy], belongs_on: Sequence[Node]) -> Plan:
    """Which copies to make so that the segment lies where placement by capacity would have it."""
    held = {one.node_id for one in found if one.state is CopyState.GOOD}
    missing = tuple(node for node in belongs_on if node.node_id not in held)
    return Plan(count=len(missing), targets=missing)


def nodes_after(
    segment: SegmentRef,
    found: Sequence[FoundCopy],
    made: Sequence[Node],
    wanted: int,
    *,
    belongs_on: Collection[str] = (),
) -> tuple[str, ...]:
    """The nodes that the record is to name once copies were made on `made`.

    `belongs_on` are preferred where there are more copies than wanted.
    """
    new = {node.node_id for node in made}
    firm = [(one.node_id, one.zone) for one in found if one.state is CopyState.GOOD and not one.leaving]
    firm += [(node.node_id, node.zone) for node in made if node.node_id not in {node_id for node_id, _ in firm}]
    if len(firm) >= wanted:
        kept = _best(segment, firm, wanted, preferred={*belongs_on} or new)
        away = [one.node_id for one in found if one.state is CopyState.AWAY and not one.leaving]
        names = {*kept, *away[: wanted - len(kept)]}
    else:
        leaving = [one.node_id for one in found if one.state is CopyState.GOOD and one.leaving]
        names = {*(node_id for node_id, _ in firm), *leaving[: wanted - len(firm)]}
        if len(names) < wanted:
            # Too few can be read: whatever may yet come back stays named.
            names |= {one.node_id for one in found}
    ordered = [one.node_id for one in found if one.node_id in names]
    return (*ordered, *(node.node_id for node in made if node.node_id in names and node.node_id not in ordered))


def is_in_one_zone(zones: Sequence[str]) -> bool:
    """Whether the loss of one zone would take every one of several copies."""
    return len(zones) > 1 and len(set(zones)) == 1


def _staying(found: Sequence[FoundCopy]) -> list[FoundCopy]:
    return [one for one in found if one.state in (CopyState.GOOD, CopyState.AWAY) and not one.leaving]


def _in_order(segment: SegmentRef, nodes: Sequence[Node], zones: Sequence[str]) -> list[Node]:
    """All nodes, in the order in which placement would take one after the other."""
    chosen: list[Node] = []
    left = list(nodes)
    while len(left) > 1:
        taken = [*zones, *(node.zone for node in chosen)]
        (best,) = choose(segment.write_id, segment.number, left, 1, taken_zones=taken)
        chosen.append(best)
        left.remove(best)
    return [*chosen, *left]


def _best(
    segment: SegmentRef, firm: Sequence[tuple[str, str]], wanted: int, *, preferred: Collection[str]
) -> list[str]:
    """`wanted` of the copies: preferred ones first, then one of each zone."""
    kept: list[tuple[str, str]] = []
    left = list(firm)
    while left and len(kept) < wanted:
        used = [zone for _, zone in kept]
        best = min(left, key=lambda one: (one[0] not in preferred, used.count(one[1]), firm.index(one)))
        left.remove(best)
        kept.append(best)
    return [node_id for node_id, _ in kept]
