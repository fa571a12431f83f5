"""What is to become of copies, from what was found of them: the rules, case by case and at random."""

import random

import pytest

from gateway.index.repair_records import SegmentRef
from gateway.placement.membership import Node
from gateway.workers.replica_plan import CopyState, FoundCopy, is_in_one_zone, nodes_after, plan_copies, plan_rebalance

SEGMENT = SegmentRef(write_id="0" * 32, number=0)
STATES = {"+": CopyState.GOOD, "-": CopyState.BROKEN, "?": CopyState.AWAY, "x": CopyState.GONE, "<": CopyState.GOOD}


def node(name: str, zone: str = "") -> Node:
    return Node(
        node_id=name,
        zone=zone or name,
        weight=1.0,
        address=f"{name}:1",
        capacity_bytes=1,
        free_bytes=1,
        accepting=True,
        stopped=False,
        live=True,
    )


def found(text: str, zones: str = "") -> list[FoundCopy]:
    """`a+` good, `b-` broken, `c?` away, `dx` gone, `e<` good and leaving."""
    return [
        FoundCopy(
            node_id=word[0],
            zone=(zones[at] if zones else word[0]),
            state=STATES[word[1]],
            leaving=word[1] == "<",
            node=node(word[0]),
        )
        for at, word in enumerate(text.split())
    ]


def names(text: str) -> list[Node]:
    return [node(name) for name in text]


@pytest.mark.parametrize(
    ("copies", "wanted", "candidates", "count", "first"),
    [
        ("a+ b+", 2, "abcd", 0, ""),
        ("a+", 2, "abc", 1, ""),
        ("a+ b-", 2, "abcd", 1, "b"),  # put back where it was
        ("a+ b-", 2, "acd", 1, ""),  # but not on a node that takes nothing
        ("a+ bx", 2, "acd", 1, ""),
        ("a+ b?", 2, "acd", 0, ""),  # it may come back
        ("a+ b<", 2, "acd", 1, ""),
        ("a< b<", 2, "cd", 2, ""),
        ("a+ b- c- d-", 3, "abcd", 2, "b"),
        ("a+ b+ c+", 2, "abc", 0, ""),
        ("a+ bx", 3, "ac", 2, "c"),
        ("", 2, "ab", 2, ""),
    ],
)
def test_which_copies_are_made(copies: str, wanted: int, candidates: str, count: int, first: str) -> None:
    plan = plan_copies(SEGMENT, found(copies), wanted, names(candidates))
    assert plan.count == count
    good = {one.node_id for one in found(copies) if one.state is not CopyState.BROKEN}
    assert not good & {target.node_id for target in plan.targets}
    if first:
        assert plan.targets[0].node_id == first


@pytest.mark.parametrize(
    ("copies", "made", "wanted", "expected"),
    [
        ("a+ b+", "", 2, "ab"),
        ("a+ bx", "c", 2, "ac"),
        ("a+ bx", "", 2, "ab"),  # nothing could be made: it stays named
        ("a+ b-", "b", 2, "ab"),
        ("a+ b<", "c", 2, "ac"),
        ("a+ b<", "", 2, "ab"),
        ("a< b<", "c", 2, "ca"),  # as many as before can be read, and one of them has moved
        ("a+ b+ c+", "", 2, "ab"),
        ("a+ b+ c?", "", 2, "ab"),
        ("a+ b?", "", 2, "ab"),
        ("a+ b? cx", "d", 3, "abcd"),
        ("a? bx", "", 2, "ab"),
        ("ax bx", "", 2, "ab"),
        ("a+ b- cx", "d", 2, "ad"),
    ],
)
def test_which_nodes_the_record_names_afterwards(copies: str, made: str, wanted: int, expected: str) -> None:
    after = nodes_after(SEGMENT, found(copies), names(made), wanted)
    assert sorted(after) == sorted(expected)


def test_copies_in_one_zone_are_spread_over_two() -> None:
    copies = found("a+ b+", "zz")
    plan = plan_copies(SEGMENT, copies, 2, [node("c", "z"), node("d", "y")])
    assert (plan.count, [one.node_id for one in plan.targets]) == (1, ["d"])
    after = nodes_after(SEGMENT, copies, [node("d", "y")], 2)
    assert sorted(after) == ["a", "d"]
    assert plan_copies(SEGMENT, copies, 2, [node("c", "z")]).count == 0
    assert is_in_one_zone(["z", "z"])
    assert not is_in_one_zone(["z"])
    assert not is_in_one_zone(["z", "y", "z"])


def test_what_is_missing_goes_to_a_zone_that_has_none() -> None:
    copies = found("a+ bx", "zy")
    plan = plan_copies(SEGMENT, copies, 2, [node("c", "z"), node("d", "z"), node("e", "y")])
    assert plan.targets[0].node_id == "e"
    assert len(plan.targets) == 3  # the others follow, should it refuse


def test_of_too_many_those_in_other_zones_stay() -> None:
    assert sorted(nodes_after(SEGMENT, found("a+ b+ c+", "zzy"), [], 2)) == ["a", "c"]


def test_a_rebalance_moves_only_what_lies_elsewhere() -> None:
    copies = found("a+ b+")
    plan = plan_rebalance(copies, names("bc"))
    assert (plan.count, [one.node_id for one in plan.targets]) == (1, ["c"])
    assert sorted(nodes_after(SEGMENT, copies, names("c"), 2, belongs_on=["b", "c"])) == ["b", "c"]
    assert sorted(nodes_after(SEGMENT, copies, [], 2, belongs_on=["b", "c"])) == ["a", "b"]
    assert plan_rebalance(copies, names("ab")).count == 0


def test_no_readable_copy_is_given_up_before_enough_others_can_be_read() -> None:
    draw = random.Random(7)
    for _ in range(2000):
        copies = found(" ".join(f"{name}{draw.choice('+-?x<')}" for name in draw.sample("abcdef", draw.randint(0, 5))))
        wanted = draw.randint(1, 4)
        takers = names("".join(draw.sample("abcdefgh", draw.randint(0, 8))))
        takers = [one for one in takers if not any(c.leaving and c.node_id == one.node_id for c in copies)]
        plan = plan_copies(SEGMENT, copies, wanted, takers)
        readable = {one.node_id for one in copies if one.state is CopyState.GOOD}
        made = [one for one in plan.targets[: plan.count] if draw.random() < 0.7] if readable else []
        after = set(nodes_after(SEGMENT, copies, made, wanted))
        now_readable = readable | {one.node_id for one in made}
        kept = after & now_readable
        assert len(kept) >= min(wanted, len(now_readable))
        assert after <= {one.node_id for one in copies} | {one.node_id for one in made}
        if len(kept) < wanted:
            # Nothing that may come back is forgotten while there are too few.
            assert {one.node_id for one in copies if one.state in (CopyState.AWAY, CopyState.GONE)} <= after
        else:
            assert len(after) <= max(wanted, len(kept))
