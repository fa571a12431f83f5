"""Which nodes a segment goes to, and when it moves."""

import pytest

from gateway.journal.nodes import JournalNode
from gateway.journal.placing import Placing
from storagenode.journal_protocol import SegmentHeader, segment_id


def node(
    name: str,
    *,
    zone: str = "",
    live: bool = True,
    accepting: bool = True,
    expected: bool = True,
    suspect: bool = False,
) -> JournalNode:
    return JournalNode(
        node_id=name,
        zone=zone or name,
        weight=1.0,
        address=name,
        live=live,
        accepting=accepting,
        expected=expected,
        suspect=suspect,
    )


def on(nodes: str) -> SegmentHeader:
    return SegmentHeader(
        segment_id=segment_id(1, 1),
        epoch=1,
        first_sequence=1,
        nodes=tuple(nodes),
        quorum=len(nodes) // 2 + 1,
        incarnation="r/opened/1",
        opened_at=0,
    )


def ids(nodes: list[JournalNode]) -> str:
    return "".join(sorted(one.node_id for one in nodes))


@pytest.mark.parametrize(("count", "wanted", "quorum"), [(1, 1, 1), (2, 2, 2), (3, 3, 2), (7, 3, 2)])
def test_as_many_nodes_as_there_are_up_to_three(count: int, wanted: int, quorum: int) -> None:
    nodes = [node(str(number)) for number in range(count)]
    assert (Placing().wanted(nodes), Placing().quorum(nodes)) == (wanted, quorum)


def test_dead_node_does_not_lower_the_quorum() -> None:
    nodes = [node("a"), node("b", live=False), node("c", live=False)]
    assert Placing().quorum(nodes) == 2
    assert Placing().quorum([node("a"), node("b", expected=False), node("c", expected=False)]) == 1


def test_zones_are_spread_over() -> None:
    nodes = [node("a", zone="x"), node("b", zone="x"), node("c", zone="x"), node("d", zone="y"), node("e", zone="z")]
    chosen = Placing().choose(nodes, among="abcde")
    assert {one.zone for one in chosen} == {"x", "y", "z"}


def test_doubtful_nodes_are_taken_only_for_want_of_others() -> None:
    nodes = [node("a"), node("b"), node("c", suspect=True), node("d", accepting=False)]
    assert ids(Placing().choose(nodes, among="abcd")) == "ab"
    assert ids(Placing().choose(nodes, among="ac")) == "ac"
    assert ids(Placing().choose(nodes, among="ad")) == "ad"


@pytest.mark.parametrize(
    ("segment", "nodes", "failing", "left_behind", "better"),
    [
        ("a", [node("a"), node("b"), node("c")], "", "", "abc"),
        ("abc", [node("a"), node("b"), node("c")], "", "", ""),
        ("abc", [node("a"), node("b"), node("c"), node("d")], "c", "", "abd"),
        ("abc", [node("a"), node("b"), node("c")], "c", "", ""),
        ("abc", [node("a"), node("b"), node("c")], "", "c", "abc"),
        ("abc", [node("a"), node("b"), node("c", accepting=False), node("d")], "", "", "abd"),
        ("abc", [node("a"), node("b"), node("d")], "", "", "abd"),
        ("abc", [node("a"), node("b", live=False), node("c", live=False)], "bc", "", ""),
    ],
    ids=["grown", "fine", "failed", "nobody instead", "left behind", "draining", "removed", "too few"],
)
def test_segment_moves_where_that_is_better(
    segment: str, nodes: list[JournalNode], failing: str, left_behind: str, better: str
) -> None:
    assert ids(Placing().better_nodes(on(segment), nodes, failing=failing, left_behind=left_behind)) == better
