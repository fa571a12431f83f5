"""What reads and writes notice about replicas that are not as a record wants them, for those who repair."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import structlog


class DamageKind(Enum):
    """What is wrong with a blob."""

    MISSING = "missing"
    """A node that the record names does not have it."""
    CORRUPT = "corrupt"
    """A node that the record names has it and cannot give its bytes."""
    TOO_FEW = "too few"
    """It was written to a majority, but to fewer nodes than wanted."""
    STRAY = "stray"
    """Nodes that the record will not name may have a copy, which could not be deleted at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One blob, and where that is the fault of one node, the node."""

    blob_id: str
    kind: DamageKind
    node_id: str | None = None
    nodes: tuple[str, ...] = field(default=(), compare=False)
    """All nodes that the record names, where a read met it: one of them can tell whose blob it is."""
    origin: bytes = field(default=b"", compare=False)
    """Whose blob it is, where a write met it."""
    size_bytes: int = field(default=0, compare=False)


DamageSink = Callable[[Damage], None]
"""Told of each damage once a request that meets it; must not block."""

_log = structlog.get_logger(__name__)


def log_damage(damage: Damage) -> None:
    """The sink where no repair queue is given."""
    # With a node down every write is one of too few copies; the loss of the node itself is logged elsewhere.
    log = _log.debug if damage.kind in (DamageKind.TOO_FEW, DamageKind.STRAY) else _log.warning
    log("damage", kind=damage.kind.value, blob=damage.blob_id, node=damage.node_id)
