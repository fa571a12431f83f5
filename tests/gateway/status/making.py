"""What was gathered of a healthy cluster of three nodes, to be changed by tests."""

from dataclasses import replace
from typing import Any

from gateway.settings import GatewaySettings
from gateway.status.collect import Gathered
from gateway.status.report import (
    IndexReport,
    JournalReport,
    NodeReport,
    NodeState,
    ReclaimReport,
    RedundancyReport,
    RepairFailure,
    RepairsReport,
    ScrubReport,
    SnapshotReport,
    Waiting,
)

NOW_MS = 1_800_000_000_000
GIB = 1 << 30
SETTINGS = GatewaySettings()
NOTHING = Waiting(entries=0, size_bytes=0)

SCRUB = ScrubReport(
    round=3,
    fraction=0.25,
    started_ms=NOW_MS - 1_000_000,
    expected_end_ms=NOW_MS + 3_000_000,
    damaged=0,
    completed_ms=NOW_MS - 1_000_000,
)


def node(number: int = 0, **changes: Any) -> NodeReport:
    made = NodeReport(
        node_id=f"{number:016x}",
        address=f"127.0.0.1:4000{number}",
        zone="",
        state=NodeState.LIVE,
        accepting=True,
        capacity_bytes=100 * GIB,
        free_bytes=60 * GIB,
        silent_s=3.0,
        reachable=True,
        quarantined=0,
        scrub=SCRUB,
    )
    return replace(made, **changes)


def index(**changes: Any) -> IndexReport:
    made = IndexReport(
        address="redis.test:6379",
        is_master=True,
        version="7.0.15",
        used_bytes=GIB,
        maximum_bytes=4 * GIB,
        durability="",
        worker_active=True,
    )
    return replace(made, **changes)


def snapshot(**changes: Any) -> SnapshotReport:
    made = SnapshotReport(snapshot_id="0" * 32, age_s=600.0, sequence=900_000, size_bytes=GIB, manifests=3)
    return replace(made, **changes)


def journal(**changes: Any) -> JournalReport:
    made = JournalReport(
        is_open=True,
        sequence=1_000_000,
        watermark=999_990,
        lag=10,
        epoch=7 << 32 | 5,
        segment_id="0000000700000005-00000000000f4240",
        segment_nodes=tuple(node(number).node_id for number in range(3)),
        nodes_missing=(),
        quorum=2,
        damaged_segments=(),
        snapshots=(snapshot(),),
    )
    return replace(made, **changes)


def redundancy(**changes: Any) -> RedundancyReport:
    made = RedundancyReport(
        age_s=300.0,
        objects=1000,
        size_bytes=20 * GIB,
        objects_by_copies={3: 1000},
        bytes_by_copies={3: 20 * GIB},
        short_objects=0,
        short_bytes=0,
        lost_objects=0,
        lost_bytes=0,
    )
    return replace(made, **changes)


FAILURE = RepairFailure(
    bucket="photos",
    key="a long key/" * 12 + "[bold]not markup[/bold]",
    blob_id="0" * 32 + "-00000003",
    copies_left=1,
    attempts=4,
    last_error="2 copies more are wanted, 0 of 3 nodes could take it",
    advice="add nodes",
)


def repairs(**changes: Any) -> RepairsReport:
    made = RepairsReport(
        items=0,
        items_by_class={"last_copy": 0, "short": 0, "enough": 0, "move": 0},
        size_bytes=0,
        complete=True,
        oldest_s=None,
        rate_limit_bytes_s=100 << 20,
        time_left_s=0.0,
        failing=(),
    )
    return replace(made, **changes)


def reclaim(**changes: Any) -> ReclaimReport:
    made = ReclaimReport(
        grace_s=3600.0,
        within_grace=Waiting(entries=12, size_bytes=5 * GIB),
        due=NOTHING,
        under_way=NOTHING,
        failing=NOTHING,
        released_copies=0,
        complete=True,
    )
    return replace(made, **changes)


def gathered(**changes: Any) -> Gathered:
    fields: dict[str, Any] = {
        "nodes": [node(number) for number in range(3)],
        "nodes_from_index": True,
        "index": index(),
        "journal": journal(),
        "redundancy": redundancy(),
        "repairs": repairs(),
        "reclaim": reclaim(),
    }
    return Gathered(at_ms=NOW_MS, **(fields | changes))
