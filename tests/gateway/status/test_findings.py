"""What is wrong is said, with what to do about it; what is well is not made a worry of."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.index.event_targets import EventCursor, EventFailure
from gateway.status import findings
from gateway.status.advice import SYMPTOMS, repair_advice
from gateway.status.findings import judge
from gateway.status.report import Health, NodeState, Severity, Waiting
from tests.gateway.status import making
from tests.gateway.status.making import FAILURE, GIB, NOW_MS, SCRUB, SETTINGS, gathered

OTHERS = [making.node(1), making.node(2)]
DAYS_S = 86_400.0
TOLD = EventCursor(sequence=5, change_ms=NOW_MS)


def test_a_healthy_cluster_has_no_findings() -> None:
    report = judge(gathered(), SETTINGS)
    assert (report.health, report.summary, report.findings) == (Health.HEALTHY, "healthy", ())


CASES: list[tuple[dict[str, Any], str, Health]] = [
    (
        {"nodes_from_index": False, "nodes": [], "unknown": {"nodes": "no route"}},
        "index-unreachable",
        Health.UNREACHABLE,
    ),
    ({"nodes": []}, "no-nodes", Health.DEGRADED),
    ({"nodes": [making.node(reachable=False, problem="refused")]}, "no-node-answers", Health.UNREACHABLE),
    ({"nodes": [making.node(reachable=False, problem="refused"), *OTHERS]}, "node-unreachable", Health.DEGRADED),
    ({"nodes": [making.node(state=NodeState.DEAD, reachable=False), *OTHERS]}, "node-dead", Health.DEGRADED),
    ({"nodes": [making.node(state=NodeState.STOPPED, reachable=False), *OTHERS]}, "node-dead", Health.DEGRADED),
    ({"nodes": [making.node(state=NodeState.DEAD), *OTHERS]}, "node-silent", Health.DEGRADED),
    ({"nodes": [making.node(free_bytes=0, accepting=False), *OTHERS]}, "node-full", Health.DEGRADED),
    ({"nodes": [making.node(free_bytes=GIB), *OTHERS]}, "node-nearly-full", Health.HEALTHY),
    ({"nodes": [making.node(accepting=False), *OTHERS]}, "node-not-accepting", Health.DEGRADED),
    (
        {"nodes": [making.node(state=NodeState.DRAINING, accepting=False), *OTHERS]},
        "node-draining",
        Health.HEALTHY,
    ),
    ({"nodes": [making.node(scrub=replace(SCRUB, damaged=2)), *OTHERS]}, "damage-found", Health.HEALTHY),
    ({"nodes": [making.node(scrub=replace(SCRUB, expected_end_ms=NOW_MS)), *OTHERS]}, "scrub-late", Health.HEALTHY),
    ({"index": making.index(is_master=False)}, "index-is-replica", Health.DEGRADED),
    ({"index": making.index(durability="appendfsync everysec")}, "index-not-durable", Health.HEALTHY),
    ({"index": making.index(used_bytes=4 * GIB)}, "index-memory", Health.DEGRADED),
    ({"index": making.index(worker_active=False)}, "no-worker", Health.DEGRADED),
    ({"journal": making.journal(is_open=False)}, "index-not-open", Health.DEGRADED),
    ({"journal": making.journal(nodes_missing=("a", "b"))}, "journal-below-quorum", Health.DEGRADED),
    ({"journal": making.journal(nodes_missing=("a",))}, "journal-node-missing", Health.DEGRADED),
    ({"journal": making.journal(lag=50_000)}, "journal-lags", Health.DEGRADED),
    ({"journal": making.journal(damaged_segments=("s@n",))}, "journal-damaged", Health.DEGRADED),
    ({"journal": making.journal(snapshots=())}, "no-snapshot", Health.DEGRADED),
    ({"journal": making.journal(snapshots=(making.snapshot(age_s=30 * DAYS_S),))}, "snapshot-old", Health.DEGRADED),
    ({"redundancy": None}, "no-census", Health.HEALTHY),
    ({"redundancy": making.redundancy(short_objects=2, lost_objects=2)}, "objects-lost", Health.DEGRADED),
    ({"redundancy": making.redundancy(short_objects=2)}, "objects-short", Health.DEGRADED),
    ({"repairs": making.repairs(items=1, failing=(FAILURE,))}, "repairs-fail", Health.DEGRADED),
    (
        {
            "event_cursors": {"hook": TOLD},
            "event_failures": {"hook": EventFailure(since_ms=1, reason="it answers 503")},
        },
        "events-not-taken",
        Health.DEGRADED,
    ),
    ({"event_cursors": {"hook": replace(TOLD, skipped=7, skipped_ms=NOW_MS)}}, "events-skipped", Health.DEGRADED),
    ({"reclaim": making.reclaim(failing=Waiting(entries=1, size_bytes=5))}, "reclaim-fails", Health.DEGRADED),
    ({"reclaim": making.reclaim(due=Waiting(entries=50_000, size_bytes=5))}, "reclaim-late", Health.HEALTHY),
    ({"repairs": None, "unknown": {"repairs": "slow"}}, "unknown", Health.DEGRADED),
]


@pytest.mark.parametrize(("changes", "symptom", "health"), CASES, ids=[case[1] for case in CASES])
def test_each_symptom_is_found_alone(changes: dict[str, Any], symptom: str, health: Health) -> None:
    report = judge(gathered(**changes), SETTINGS)
    # With one node out of all, that it does not answer is said twice: of the node, and of the cluster.
    expected = [symptom] if symptom != "no-node-answers" else [symptom, "node-unreachable"]
    assert [one.symptom for one in report.findings] == expected
    assert report.health is health
    finding = report.findings[0]
    assert finding.advice == SYMPTOMS[symptom].advice
    assert (finding.message in report.summary) is (health is not Health.HEALTHY)


def test_every_symptom_has_a_case_and_is_used() -> None:
    used = set(re.findall(r'finding\(\s*"([a-z-]+)"', Path(findings.__file__).read_text()))
    assert used == set(SYMPTOMS) == {case[1] for case in CASES}


def test_the_worst_comes_first_and_the_first_line_says_how_many_more() -> None:
    report = judge(
        gathered(
            index=making.index(worker_active=False, durability="everysec"),
            redundancy=making.redundancy(short_objects=3, lost_objects=1),
        ),
        SETTINGS,
    )
    assert [one.severity for one in report.findings] == sorted([one.severity for one in report.findings], reverse=True)
    assert report.findings[0].symptom == "objects-lost"
    assert report.findings[0].severity is Severity.CRITICAL
    assert report.summary == "degraded: 1 object without a living copy (and 2 more)"


def test_a_removed_node_is_no_worry() -> None:
    gone = making.node(0, state=NodeState.REMOVED, reachable=False)
    report = judge(gathered(nodes=[gone, *OTHERS]), SETTINGS)
    assert report.health is Health.HEALTHY
    assert report.capacity_bytes == 200 * GIB


def test_an_old_snapshot_of_an_index_that_did_not_change_is_no_worry() -> None:
    same = making.snapshot(age_s=30 * DAYS_S, sequence=1_000_000)
    assert judge(gathered(journal=making.journal(snapshots=(same,))), SETTINGS).health is Health.HEALTHY


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("no good copy can be read at present", "bring back the nodes"),
        ("1 copies more are wanted, 0 of 2 nodes could take it", "add nodes"),
        ("abc: NodeUnreachable('…')", "runs and is reachable"),
        ("abc: NodeFailed('the disk failed with EIO')", "disk fails"),
        ("something else", "worker's log"),
    ],
)
def test_a_repairs_error_comes_with_what_to_do(error: str, advice: str) -> None:
    assert advice in repair_advice(error)
