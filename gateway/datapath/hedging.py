"""When a read that gets no bytes asks a second replica beside the first: the bound, the budget, who is slow.

After Dean and Barroso, "The Tail at Scale" (CACM 56:2, 2013): a request that takes longer than nearly all of its kind
is sent once more to another replica, and the first answer wins. Bookkeeping only: no tasks, no sockets; the times come
from the caller. One for the whole process, used by one event loop.
"""

import math
from collections import deque
from dataclasses import dataclass

SIZE_CLASSES_BYTES = (64 * 1024, 1024 * 1024)
"""Ranges up to a block of a node, up to a small object, and longer ones. Each has its own idea of what is slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgeLimits:
    """The figures of hedging; times in seconds."""

    factor: float = 3.0
    """How many times the p95 of recent reads a read may take until another replica is asked too."""
    least_s: float = 0.05
    """A few milliseconds more or less are not worth a second read."""
    most_s: float = 1.0
    """However slow everything is."""
    unknown_s: float = 0.5
    """Until there are enough reads to tell."""
    gap_s: float = 0.5
    """Without a further byte once some have come."""
    share: float = 0.05
    """Hedges for each read, in the long run: all nodes being slow costs so much more and not twice as much."""
    burst: float = 10.0
    """Hedges that may come at once: a node that has just died is noticed by several reads."""


class LatencyWindow:
    """The times of the latest reads of one kind, and their p95."""

    SAMPLES = 200
    """Some seconds of a busy gateway: what was slow a minute ago says nothing."""
    LEAST_SAMPLES = 20
    """With fewer there is no p95."""
    _RECKON_EVERY = 20

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=self.SAMPLES)
        self._unreckoned = 0
        self._p95: float | None = None

    def add(self, seconds: float) -> None:
        self._samples.append(seconds)
        self._unreckoned += 1
        if self._unreckoned >= self._RECKON_EVERY and len(self._samples) >= self.LEAST_SAMPLES:
            self._unreckoned = 0
            ordered = sorted(self._samples)
            self._p95 = ordered[math.ceil(len(ordered) * 0.95) - 1]

    @property
    def p95(self) -> float | None:
        """Seconds; None while there are too few samples."""
        return self._p95


class Hedging:
    """What the reads of a process have seen of the nodes, and what they may spend on hedges."""

    LOSSES_TO_DOUBT = 3
    """Lost races in a row after which a node counts as failed for a while: one may be chance."""

    def __init__(self, limits: HedgeLimits | None = None) -> None:
        self.limits = limits or HedgeLimits()
        self._windows = tuple(LatencyWindow() for _ in range(len(SIZE_CLASSES_BYTES) + 1))
        self._budget = self.limits.burst
        self._losses: dict[str, int] = {}

    def bound_s(self, length: int) -> float:
        """How long the first bytes of a range of `length` bytes are waited for."""
        p95 = self._window(length).p95
        if p95 is None:
            return self.limits.unknown_s
        return min(max(self.limits.factor * p95, self.limits.least_s), self.limits.most_s)

    def began(self) -> None:
        """A range was asked for."""
        self._budget = min(self._budget + self.limits.share, self.limits.burst)

    def may_hedge(self) -> bool:
        """Take one hedge from the budget, if there is one."""
        # The shares are binary fractions: twenty of them may add up to a little less than one.
        if self._budget < 1.0 - 1e-9:
            return False
        self._budget -= 1.0
        return True

    def delivered(self, node_id: str, length: int, seconds: float) -> None:
        """The first bytes of a range came from this node so long after it was asked."""
        self._losses.pop(node_id, None)
        self._window(length).add(seconds)

    def lost(self, node_id: str, length: int, seconds: float) -> bool:
        """Another replica was faster, after this one had kept silent so long; whether it is to be avoided for a while.

        The time counts, though it was not waited out: when everything is slow, the bound must grow.
        """
        self._window(length).add(seconds)
        return self.fell_silent(node_id)

    def fell_silent(self, node_id: str) -> bool:
        """As `lost`, of a node that stopped midway: its time says nothing about first bytes."""
        losses = self._losses.get(node_id, 0) + 1
        if losses >= self.LOSSES_TO_DOUBT:
            self._losses.pop(node_id, None)
            return True
        self._losses[node_id] = losses
        return False

    def _window(self, length: int) -> LatencyWindow:
        return self._windows[sum(length > bound for bound in SIZE_CLASSES_BYTES)]
