"""The status of a cluster at one moment, as frozen records; None is what could not be found out. Pure.

`to_json` makes of it what docs/status.md describes. Fields are only ever added.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import Any

FORMAT = 1


class Health(IntEnum):
    """The verdict; also the exit status of the command."""

    HEALTHY = 0
    DEGRADED = 1
    UNREACHABLE = 2


class Severity(IntEnum):
    """Of a finding."""

    NOTE = 0
    """Worth knowing; nothing is wrong."""
    WARNING = 1
    """Something does less than it should."""
    CRITICAL = 2
    """Requests fail, or bytes are in danger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be, and what to do about it."""

    symptom: str
    """One of advice.SYMPTOMS."""
    severity: Severity
    message: str
    advice: str


class NodeState(StrEnum):
    """What becomes of a node's bytes follows from it."""

    LIVE = "live"
    DRAINING = "draining"
    DEAD = "dead"
    STOPPED = "stopped"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubReport:
    """How far the scrubbing of one node is; times are Unix milliseconds of its clock."""

    round: int
    fraction: float
    started_ms: int
    expected_end_ms: int
    damaged: int
    completed_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One storage node."""

    node_id: str
    address: str
    zone: str
    state: NodeState
    accepting: bool
    capacity_bytes: int
    free_bytes: int
    silent_s: float | None
    """Since its last heartbeat; None: it was asked directly, without the index."""
    reachable: bool
    problem: str = ""
    """Why it did not answer."""
    quarantined: int | None = None
    scrub: ScrubReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedundancyReport:
    """Of the last complete walk over the index."""

    age_s: float
    objects: int
    size_bytes: int
    objects_by_copies: Mapping[int, int] = field(hash=False)
    """Copies on living nodes; 0: cannot be read at present."""
    bytes_by_copies: Mapping[int, int] = field(hash=False)
    short_objects: int
    """With fewer copies than wanted, those without any included."""
    short_bytes: int
    lost_objects: int
    lost_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairFailure:
    """A repair that failed at least once."""

    bucket: str
    key: str
    blob_id: str
    copies_left: int
    attempts: int
    last_error: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairsReport:
    """The repair queue."""

    items: int
    items_by_class: Mapping[str, int] = field(hash=False)
    size_bytes: int
    complete: bool
    """False: bytes and failures are of a part of the items."""
    oldest_s: float | None
    rate_limit_bytes_s: float | None
    time_left_s: float | None
    """At the limit; it takes longer while clients are served or nodes are away."""
    failing: tuple[RepairFailure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Entries of the trash, and their bytes on all nodes together."""

    entries: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimReport:
    """What is to be given back."""

    grace_s: float
    within_grace: Waiting
    due: Waiting
    under_way: Waiting
    failing: Waiting
    released_copies: int
    """Copies on nodes that their records no longer name."""
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport:
    """A snapshot of the index that can be restored."""

    snapshot_id: str
    age_s: float
    sequence: int
    """The journal is replayed from here."""
    size_bytes: int
    manifests: int
    """Nodes that hold its manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalReport:
    """The journal, by the index's books and by what nodes say."""

    is_open: bool
    """The index was opened on this server as it is now."""
    sequence: int | None
    watermark: int
    lag: int
    """Changes that are not known to be durable yet; some tens are usual under load."""
    epoch: int
    segment_id: str
    segment_nodes: tuple[str, ...]
    nodes_missing: tuple[str, ...]
    """Of the segment's nodes, those that did not answer."""
    quorum: int
    damaged_segments: tuple[str, ...]
    """`segment@node` of files in which damage was found."""
    snapshots: tuple[SnapshotReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """The index server."""

    address: str
    is_master: bool
    version: str
    used_bytes: int
    maximum_bytes: int
    """0: no limit was set."""
    durability: str
    """Why it may lose what its append-only file should keep; empty: it syncs each command."""
    worker_active: bool
    """A background worker holds the lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """Everything."""

    at_ms: int
    health: Health
    summary: str
    """The first line: why it is not healthy."""
    findings: tuple[Finding, ...]
    unknown: Mapping[str, str] = field(hash=False)
    """By section: why it could not be found out."""
    nodes: tuple[NodeReport, ...]
    index: IndexReport | None
    journal: JournalReport | None
    redundancy: RedundancyReport | None
    repairs: RepairsReport | None
    reclaim: ReclaimReport | None

    @property
    def capacity_bytes(self) -> int:
        """Of the nodes that are in use."""
        return sum(node.capacity_bytes for node in self.nodes if node.state is not NodeState.REMOVED)

    @property
    def free_bytes(self) -> int:
        """What may still be written, all copies together."""
        return sum(node.free_bytes for node in self.nodes if node.state is NodeState.LIVE)


def to_json(report: StatusReport) -> dict[str, Any]:
    """See docs/status.md."""
    fields: dict[str, Any] = _plain(asdict(report))
    capacity = {"capacity_bytes": report.capacity_bytes, "free_bytes": report.free_bytes}
    return {"format": FORMAT, **fields, **capacity}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
