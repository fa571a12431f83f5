"""Judges what was gathered: what is not as it should be, and the verdict. Pure."""

from collections.abc import Iterator

from gateway.settings import GatewaySettings
from gateway.status.advice import finding
from gateway.status.collect import Gathered
from gateway.status.report import (
    Finding,
    Health,
    IndexReport,
    JournalReport,
    NodeReport,
    NodeState,
    Severity,
    StatusReport,
)
from gateway.status.units import bytes_text, count_text, duration_text

NEARLY_FULL = 0.10
"""Of a node's capacity that is still free."""
MEMORY_SHARE = 0.9
JOURNAL_LAG = 10_000
"""Changes: seconds of a gateway's work."""
SNAPSHOT_DUE_AFTER = 3
"""Intervals without a new one."""
_RECLAIM_LATE_ENTRIES = 10_000
EVENTS_SKIPPED_SHOWN_MS = 24 * 3600 * 1000
NO_SNAPSHOT_AFTER = 200_000
"""Changes of an index that was never dumped: some ten seconds of replay."""


def judge(gathered: Gathered, settings: GatewaySettings) -> StatusReport:
    """The report, with findings from the worst to the least."""
    findings = sorted(_findings(gathered, settings), key=lambda one: -one.severity)
    health = _health(gathered, findings)
    return StatusReport(
        at_ms=gathered.at_ms,
        health=health,
        summary=_summary(health, findings),
        findings=tuple(findings),
        unknown=dict(gathered.unknown),
        nodes=tuple(gathered.nodes),
        index=gathered.index,
        journal=gathered.journal,
        redundancy=gathered.redundancy,
        repairs=gathered.repairs,
        reclaim=gathered.reclaim,
    )


def _health(gathered: Gathered, findings: list[Finding]) -> Health:
    reachable = [node for node in gathered.nodes if node.reachable]
    if not gathered.nodes_from_index or (gathered.nodes and not reachable):
        return Health.UNREACHABLE
    if any(one.severity >= Severity.WARNING for one in findings):
        return Health.DEGRADED
    return Health.HEALTHY


def _summary(health: Health, findings: list[Finding]) -> str:
    reasons = [one.message for one in findings if one.severity >= Severity.WARNING]
    if health is Health.HEALTHY:
        return "healthy"
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{health.name.lower()}: {reasons[0]}{more}"


def _findings(gathered: Gathered, settings: GatewaySettings) -> Iterator[Finding]:
    if not gathered.nodes_from_index:
        yield finding("index-unreachable", gathered.unknown.get("nodes", "the index cannot be asked"))
    else:
        for name, reason in gathered.unknown.items():
            yield finding("unknown", f"{name} is not known: {reason}")
    yield from _of_nodes(gathered)
    if gathered.index is not None:
        yield from _of_index(gathered.index)
    if gathered.journal is not None:
        yield from _of_journal(gathered.journal, settings)
    yield from _of_bytes(gathered)
    yield from _of_events(gathered)


def _of_nodes(gathered: Gathered) -> Iterator[Finding]:
    members = [node for node in gathered.nodes if node.state is not NodeState.REMOVED]
    if gathered.nodes_from_index and not members:
        yield finding("no-nodes", "no storage node has registered")
    elif members and not any(node.reachable for node in members):
        yield finding("no-node-answers", f"none of {len(members)} storage nodes answers")
    for node in members:
        yield from _of_node(node, gathered.at_ms)


def _of_node(node: NodeReport, at_ms: int) -> Iterator[Finding]:
    name = f"node {node.node_id}"
    if node.state in (NodeState.DEAD, NodeState.STOPPED):
        if node.reachable:
            yield finding("node-silent", f"{name} answers, but was last heard of {_ago(node)}")
        else:
            how = "stopped" if node.state is NodeState.STOPPED else "is silent"
            yield finding("node-dead", f"{name} {how}, last heard of {_ago(node)}")
        return
    if not node.reachable:
        yield finding("node-unreachable", f"{name} does not answer: {node.problem}")
        return
    if node.state is NodeState.DRAINING:
        yield finding("node-draining", f"{name} is being drained")
    elif node.free_bytes <= 0:
        yield finding("node-full", f"{name} is full")
    elif not node.accepting:
        yield finding("node-not-accepting", f"{name} takes no new bytes")
    elif node.free_bytes < NEARLY_FULL * node.capacity_bytes:
        yield finding("node-nearly-full", f"{name} has {bytes_text(node.free_bytes)} left")
    scrub = node.scrub
    if scrub is not None and scrub.damaged:
        yield finding(
            "damage-found", f"{name} found {count_text(scrub.damaged, 'damaged blob')} in this round of scrubbing"
        )
    if scrub is not None and scrub.fraction < 1 and scrub.expected_end_ms <= at_ms:
        yield finding("scrub-late", f"{name} is late with scrubbing, at {scrub.fraction:.0%}")


def _ago(node: NodeReport) -> str:
    return "never" if node.silent_s is None else f"{duration_text(node.silent_s)} ago"


def _of_index(index: IndexReport) -> Iterator[Finding]:
    if not index.is_master:
        yield finding("index-is-replica", f"the index at {index.address} is a replica")
    if index.durability:
        yield finding("index-not-durable", index.durability)
    if index.maximum_bytes and index.used_bytes >= MEMORY_SHARE * index.maximum_bytes:
        used, most = bytes_text(index.used_bytes), bytes_text(index.maximum_bytes)
        yield finding("index-memory", f"the index uses {used} of {most}")
    if not index.worker_active:
        yield finding("no-worker", "no background worker is running")


def _of_journal(journal: JournalReport, settings: GatewaySettings) -> Iterator[Finding]:
    if not journal.is_open:
        yield finding("index-not-open", "the index is not open: its server was restarted, replaced or emptied")
    there = len(journal.segment_nodes) - len(journal.nodes_missing)
    missing = ", ".join(journal.nodes_missing)
    if journal.segment_nodes and there < journal.quorum:
        yield finding(
            "journal-below-quorum", f"{there} of the journal's nodes answer, {journal.quorum} must: {missing}"
        )
    elif journal.nodes_missing:
        yield finding("journal-node-missing", f"the journal does without {missing}")
    if journal.is_open and journal.lag > JOURNAL_LAG:
        yield finding("journal-lags", f"{journal.lag:,} changes are not durable yet")
    if journal.damaged_segments:
        yield finding("journal-damaged", f"damaged files of the journal: {', '.join(journal.damaged_segments)}")
    sequence = journal.sequence or 0
    if not journal.snapshots:
        if sequence > NO_SNAPSHOT_AFTER:
            yield finding("no-snapshot", f"no snapshot of the index after {sequence:,} changes")
        return
    newest = journal.snapshots[0]
    if newest.age_s > SNAPSHOT_DUE_AFTER * settings.snapshot_interval_s and sequence > newest.sequence:
        yield finding("snapshot-old", f"the newest snapshot of the index is {duration_text(newest.age_s)} old")


def _of_bytes(gathered: Gathered) -> Iterator[Finding]:
    census, repairs, reclaim = gathered.redundancy, gathered.repairs, gathered.reclaim
    if census is None:
        if gathered.nodes_from_index and "redundancy" not in gathered.unknown:
            yield finding("no-census", "copies have not been counted yet")
    else:
        if census.lost_objects:
            yield finding("objects-lost", f"{count_text(census.lost_objects, 'object')} without a living copy")
        if census.short_objects > census.lost_objects:
            short = census.short_objects - census.lost_objects
            yield finding("objects-short", f"{count_text(short, 'object')} with fewer copies than wanted")
    if repairs is not None and repairs.failing:
        yield finding("repairs-fail", f"repairs fail: {repairs.failing[0].last_error}")
    if reclaim is not None and reclaim.failing.entries:
        size = bytes_text(reclaim.failing.size_bytes)
        yield finding(
            "reclaim-fails", f"{size} of {count_text(reclaim.failing.entries, 'deletion')} cannot be given back"
        )
    if reclaim is not None and reclaim.due.entries > _RECLAIM_LATE_ENTRIES:
        yield finding("reclaim-late", f"{count_text(reclaim.due.entries, 'deletion')} past the grace")


def _of_events(gathered: Gathered) -> Iterator[Finding]:
    for name, failure in sorted(gathered.event_failures.items()):
        if name in gathered.event_cursors:
            down = duration_text(max(0.0, (gathered.at_ms - failure.since_ms) / 1000))
            yield finding("events-not-taken", f"target {name} takes no events since {down}: {failure.reason}")
    for name, cursor in sorted(gathered.event_cursors.items()):
        recently = gathered.at_ms - cursor.skipped_ms < EVENTS_SKIPPED_SHOWN_MS
        if cursor.skipped and recently:
            skipped = count_text(cursor.skipped, "change")
            yield finding("events-skipped", f"target {name} was not told of {skipped} that the journal no longer had")
