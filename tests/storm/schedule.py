"""Which fault happens when: drawn from a seed, before the storm begins. Pure."""

import enum
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace


class FaultKind(enum.StrEnum):
    KILL = "kill"
    TERMINATE = "terminate"
    PAUSE = "pause"
    CUT = "cut"
    DELAY = "delay"
    SWALLOW_REQUESTS = "swallow requests"
    SWALLOW_REPLIES = "swallow replies"
    FORGET = "kill Redis and its last seconds"
    WIPE = "wipe Redis"
    FLUSH = "flush Redis"
    LOSE_NODE = "lose a node's directory"


#: Faults that end a process, and so count as kills.
KILLS = frozenset({FaultKind.KILL, FaultKind.TERMINATE, FaultKind.FORGET, FaultKind.WIPE, FaultKind.LOSE_NODE})

REDIS = "redis"
#: How often each role is killed, compared with the others.
KILL_WEIGHTS = {"node": 7, "gateway": 5, REDIS: 5, "worker": 2}
#: Network faults and pauses for one kill.
OTHERS_A_KILL = 0.8
#: A pause or a black hole of this length outlasts some patience of the product's (5 s) and not other (10 s).
LONGEST_FAULT_S = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: what, to whom, when (seconds from the beginning) and for how long."""

    at_s: float
    kind: FaultKind
    target: str
    """A process, `redis`, or a link."""
    duration_s: float
    """Until it is undone: restarted, resumed, healed."""
    strength: float = 0.0
    """Of a delay: seconds for each chunk. Of FORGET: how many seconds are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Which faults there are besides kills, pauses and a bad network."""

    forgetful_redis: bool = False
    """Every other kill of Redis takes back what was not yet synced (appendfsync everysec)."""
    wipes: int = 0
    lost_nodes: int = 0
    """At most W - 1 in all, until repair has had its time."""
    network: bool = True
    pauses: bool = True


def draw_schedule(
    seed: int, *, seconds: float, kills: int, processes: Sequence[str], links: Sequence[str], switches: Switches
) -> list[Fault]:
    """So many kills in so many seconds, with the other faults between them; in the order of their time."""
    draw = random.Random(f"schedule {seed}")
    special = _special_faults(draw, seconds, processes, switches)
    faults = [_draw_kill(draw, _spread(draw, seconds, number, kills), processes) for number in range(kills)]
    if switches.forgetful_redis:
        faults = list(_made_forgetful(draw, faults))
    # The special ones end processes too: they take the place of kills.
    faults = special + faults[len([one for one in special if one.kind in KILLS]) :]
    others = int(kills * OTHERS_A_KILL)
    for number in range(others):
        at_s = _spread(draw, seconds, number, others)
        if (fault := _draw_other(draw, at_s, processes, links, switches)) is not None:
            faults.append(fault)
    return sorted(faults, key=lambda fault: fault.at_s)


def _spread(draw: random.Random, seconds: float, number: int, count: int) -> float:
    """The moment of one of `count` faults, each in its own slice of the time."""
    return seconds * (number + draw.random()) / count


def _special_faults(draw: random.Random, seconds: float, processes: Sequence[str], switches: Switches) -> list[Fault]:
    nodes = [name for name in processes if name.startswith("node")]
    faults = []
    for number in range(switches.wipes):
        at_s = seconds * (number + 0.3 + 0.5 * draw.random()) / switches.wipes
        kind = FaultKind.FLUSH if number % 3 == 2 else FaultKind.WIPE
        faults.append(Fault(at_s=at_s, kind=kind, target=REDIS, duration_s=draw.uniform(0, 0.5)))
    for number, node in enumerate(draw.sample(nodes, min(switches.lost_nodes, len(nodes)))):
        at_s = seconds * (number + 0.1 + 0.5 * draw.random()) / switches.lost_nodes
        faults.append(Fault(at_s=at_s, kind=FaultKind.LOSE_NODE, target=node, duration_s=draw.uniform(0.1, 3)))
    return faults


def _made_forgetful(draw: random.Random, faults: Sequence[Fault]) -> Iterator[Fault]:
    forgets = False
    for fault in faults:
        if fault.target == REDIS:
            forgets = not forgets
        if fault.target == REDIS and forgets:
            yield replace(fault, kind=FaultKind.FORGET, strength=draw.uniform(0.1, 1.5))
        else:
            yield fault


def _draw_kill(draw: random.Random, at_s: float, processes: Sequence[str]) -> Fault:
    roles = [role for role in KILL_WEIGHTS if role == REDIS or any(name.startswith(role) for name in processes)]
    (role,) = draw.choices(roles, [KILL_WEIGHTS[role] for role in roles])
    target = role if role == REDIS else draw.choice([name for name in processes if name.startswith(role)])
    # Mostly back soon, as under a supervisor; sometimes away for long enough to be noticed.
    duration_s = draw.uniform(0, 0.3) if draw.random() < 0.7 else draw.uniform(0.5, 3)
    kind = FaultKind.TERMINATE if role != REDIS and draw.random() < 0.1 else FaultKind.KILL
    return Fault(at_s=at_s, kind=kind, target=target, duration_s=duration_s)


def _draw_other(
    draw: random.Random, at_s: float, processes: Sequence[str], links: Sequence[str], switches: Switches
) -> Fault | None:
    duration_s = draw.uniform(0.2, 2) if draw.random() < 0.7 else draw.uniform(2, LONGEST_FAULT_S)
    if draw.random() < 0.3:
        target = draw.choice([*processes, REDIS])
        if not switches.pauses:
            return None
        return Fault(at_s=at_s, kind=FaultKind.PAUSE, target=target, duration_s=duration_s)
    kinds = (FaultKind.CUT, FaultKind.DELAY, FaultKind.SWALLOW_REQUESTS, FaultKind.SWALLOW_REPLIES)
    kind, link, strength = draw.choice(kinds), draw.choice(links), draw.uniform(0.01, 0.4)
    if not switches.network:
        return None
    return Fault(at_s=at_s, kind=kind, target=link, duration_s=duration_s, strength=strength)
