"""Placement: spread by weight and zone, and little movement when nodes come and go."""

from collections import Counter

import pytest

from gateway.placement.rendezvous import Candidate, choose, ranked

SAMPLES = 4000


def node(name: str, *, zone: str = "z", weight: float = 1e9) -> Candidate:
    return Candidate(node_id=name, zone=zone, weight=weight)


def write_ids(count: int = SAMPLES) -> list[str]:
    return [f"{number:032x}" for number in range(count)]


def first_choices(nodes: list[Candidate]) -> dict[str, str]:
    return {write_id: choose(write_id, 0, nodes, 1)[0].node_id for write_id in write_ids()}


def test_a_node_takes_segments_in_proportion_to_its_weight() -> None:
    nodes = [node("a", weight=1e12), node("b", weight=2e12), node("c", weight=5e12)]
    shares = Counter(first_choices(nodes).values())
    assert shares["a"] / SAMPLES == pytest.approx(1 / 8, abs=0.02)
    assert shares["b"] / SAMPLES == pytest.approx(2 / 8, abs=0.03)
    assert shares["c"] / SAMPLES == pytest.approx(5 / 8, abs=0.03)


def test_the_segments_of_one_write_go_to_different_nodes() -> None:
    nodes = [node(name) for name in "abcdefgh"]
    chosen = {choose("ab" * 16, segment, nodes, 1)[0].node_id for segment in range(64)}
    assert len(chosen) >= 6


def test_a_new_node_takes_its_share_and_moves_nothing_else() -> None:
    nodes = [node(name) for name in "abcd"]
    before, after = first_choices(nodes), first_choices([*nodes, node("e")])
    moved = {write_id for write_id in before if before[write_id] != after[write_id]}
    assert {after[write_id] for write_id in moved} == {"e"}
    assert len(moved) / SAMPLES == pytest.approx(1 / 5, abs=0.03)


def test_a_lost_node_moves_only_what_it_held() -> None:
    nodes = [node(name) for name in "abcd"]
    before, after = first_choices(nodes), first_choices(nodes[1:])
    assert {before[write_id] for write_id in before if before[write_id] != after[write_id]} == {"a"}


def test_replicas_are_spread_over_zones_before_a_zone_is_used_twice() -> None:
    nodes = [node(f"{zone}{number}", zone=zone) for zone in "xyz" for number in range(3)]
    for write_id in write_ids(200):
        assert len({one.zone for one in choose(write_id, 0, nodes, 3)}) == 3
        assert max(Counter(one.zone for one in choose(write_id, 0, nodes, 5)).values()) == 2


def test_a_substitute_goes_to_a_zone_that_holds_no_replica() -> None:
    nodes = [node("x1", zone="x"), node("x2", zone="x"), node("y1", zone="y")]
    for write_id in write_ids(50):
        assert [one.node_id for one in choose(write_id, 0, nodes, 1, taken_zones=["x"])] == ["y1"]


def test_fewer_candidates_than_wanted_are_all_chosen_and_none_is_no_error() -> None:
    assert {one.node_id for one in choose("ab" * 16, 0, [node("a"), node("b")], 3)} == {"a", "b"}
    assert choose("ab" * 16, 0, [], 3) == []


def test_a_node_without_free_space_still_has_a_finite_rank() -> None:
    order = ranked("ab" * 16, 0, [node("empty", weight=0.0), node("roomy", weight=1e12)])
    assert [one.node_id for one in order] == ["roomy", "empty"]
