"""Weighted rendezvous hashing, spread over zones: which nodes a segment goes to.

Pure: no clock, no randomness, no node table. Every (segment, node) pair has a score of its own, so adding
or losing a node moves only what that node wins or held. The logarithmic method of Schindelhauer and
Schomaker ("Weighted Distributed Hash Tables", 2005) makes a node's share of the segments proportional to
its weight.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import xxhash

_HASH_SPAN = 2.0**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What placement looks at in a node; `weight` is any positive measure, such as its free bytes."""

    node_id: str
    zone: str
    weight: float


_Node = TypeVar("_Node", bound=Candidate)


def score(write_id: str, segment: int, candidate: Candidate) -> float:
    """The lower the better: exponentially distributed with the weight as its rate."""
    hashed = xxhash.xxh3_64_intdigest(f"{write_id}-{segment:08x}/{candidate.node_id}".encode())
    # (hashed + 1) / 2^64 lies in (0, 1]: the logarithm is finite.
    return -math.log((hashed + 1) / _HASH_SPAN) / max(candidate.weight, 1.0)


def ranked(write_id: str, segment: int, candidates: Iterable[_Node]) -> list[_Node]:
    """All candidates, best first, zones not considered."""
    return sorted(candidates, key=lambda one: (score(write_id, segment, one), one.node_id))


def choose(
    write_id: str,
    segment: int,
    candidates: Sequence[_Node],
    count: int,
    *,
    taken_zones: Collection[str] = (),
) -> list[_Node]:
    """Up to `count` candidates: a zone is used a second time only when all have been used once, and so on.

    `taken_zones` are the zones of the replicas that the segment has already, one entry a replica. A small
    zone so gets more than its share by weight: surviving the loss of a zone comes before even filling.
    """
    if len(candidates) <= count:
        return list(candidates)
    remaining = ranked(write_id, segment, candidates)
    used = Counter(taken_zones)
    chosen: list[_Node] = []
    while remaining and len(chosen) < count:
        best = min(remaining, key=lambda one: used[one.zone])  # min keeps the rank among equals
        remaining.remove(best)
        used[best.zone] += 1
        chosen.append(best)
    return chosen
