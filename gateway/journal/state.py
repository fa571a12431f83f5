"""Whether the index can be used, and if not, why: what readiness shows and changes are refused with."""

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """Where the journal of this process stands."""

    OPENING = "opening"
    """On its way: asking the nodes, catching the index up."""
    OPEN = "open"
    BLOCKED = "blocked"
    """Something outside must change first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalCondition:
    """`reason` is a sentence without a full stop, empty when open."""

    phase: Phase
    reason: str = ""
