"""The status for people: a verdict, what is wrong and what to do, then figures. At 80 columns, plain in a pipe."""

import io
from collections.abc import Iterable, Iterator
from typing import IO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.status.report import (
    Finding,
    Health,
    JournalReport,
    NodeReport,
    NodeState,
    ReclaimReport,
    RedundancyReport,
    RepairsReport,
    Severity,
    StatusReport,
    Waiting,
)
from gateway.status.units import bytes_text, duration_text

PLAIN_WIDTH = 80
_FAILURES_SHOWN = 5

_HEALTH_STYLES = {Health.HEALTHY: "bold green", Health.DEGRADED: "bold yellow", Health.UNREACHABLE: "bold red"}
_SEVERITY_STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_STATE_STYLES = {NodeState.LIVE: "green", NodeState.DRAINING: "cyan", NodeState.REMOVED: "dim"}
_UNKNOWN = "unknown"


def render(report: StatusReport, output: IO[str], *, width: int | None = None) -> None:
    """Print to `output`; with colours and its own width where that is a terminal, plainly at 80 columns elsewhere."""
    console = Console(file=output, highlight=False, width=width)
    if console.is_terminal:
        _print(report, console)
        return
    plain = Console(file=io.StringIO(), highlight=False, width=width or PLAIN_WIDTH, color_system=None)
    with plain.capture() as captured:
        _print(report, plain)
    output.writelines(line.rstrip() + "\n" for line in captured.get().splitlines())


def _print(report: StatusReport, console: Console) -> None:
    console.print(Text(report.summary, style=_HEALTH_STYLES[report.health]))
    _print_findings(console, report.findings)
    if report.nodes:
        console.print()
        console.print(_nodes(report.nodes))
    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, lines in _facts(report):
        facts.add_row(name, Text("\n".join(lines)))
    console.print(facts)
    if report.repairs is not None and report.repairs.failing:
        console.print()
        console.print(_failures(report.repairs))


def _print_findings(console: Console, findings: Iterable[Finding]) -> None:
    for one in findings:
        console.print()
        console.print(Padding(Text(one.message, style=_SEVERITY_STYLES[one.severity]), (0, 0, 0, 2)))
        console.print(Padding(Text(one.advice), (0, 0, 0, 4)))


def _nodes(nodes: tuple[NodeReport, ...]) -> Table:
    with_zones = any(node.zone for node in nodes)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("node", no_wrap=True)
    table.add_column("address", overflow="fold")
    if with_zones:
        table.add_column("zone", overflow="fold")
    table.add_column("state", no_wrap=True)
    for name in ("free", "heard", "scrub"):
        table.add_column(name, justify="right", no_wrap=True)
    for node in nodes:
        state = Text(node.state.value, style=_STATE_STYLES.get(node.state, "red"))
        if not node.reachable and node.state is NodeState.LIVE:
            state = Text("no answer", style="red")
        table.add_row(
            node.node_id,
            node.address,
            *([node.zone] if with_zones else []),
            state,
            _free(node),
            "" if node.silent_s is None else duration_text(node.silent_s),
            "" if node.scrub is None else f"{node.scrub.fraction:.0%}",
        )
    return table


def _free(node: NodeReport) -> str:
    share = node.free_bytes / node.capacity_bytes if node.capacity_bytes else 0.0
    return f"{share:.0%} of {bytes_text(node.capacity_bytes)}"


def _facts(report: StatusReport) -> Iterator[tuple[str, list[str]]]:
    """Name and lines of each section."""
    members = [node for node in report.nodes if node.state is not NodeState.REMOVED]
    if members:
        used = report.capacity_bytes - sum(node.free_bytes for node in members)
        yield "capacity", [f"{bytes_text(used)} of {bytes_text(report.capacity_bytes)} used or reserved"]
        yield "scrub", [_scrub(members, report.at_ms)]
    if len(report.unknown) > 1 and len(set(report.unknown.values())) == 1:
        yield _UNKNOWN, [f"while the index is away: {', '.join(report.unknown)}"]
        return
    uncounted = "not counted yet"
    yield "objects", _objects(report.redundancy) if report.redundancy else [_why(report, "redundancy", uncounted)]
    yield "repairs", _repairs(report.repairs) if report.repairs else [_why(report, "repairs")]
    yield "reclaim", _reclaim(report.reclaim) if report.reclaim else [_why(report, "reclaim")]
    yield "journal", _journal(report.journal) if report.journal else [_why(report, "journal")]
    yield "index", _index(report)


def _why(report: StatusReport, section: str, otherwise: str = _UNKNOWN) -> str:
    reason = report.unknown.get(section)
    return otherwise if reason is None else f"{_UNKNOWN}: {reason}"


def _scrub(nodes: list[NodeReport], at_ms: int) -> str:
    known = [node.scrub for node in nodes if node.scrub is not None]
    if not known:
        return _UNKNOWN
    least = min(known, key=lambda scrub: scrub.fraction)
    left = duration_text(max(0, max(scrub.expected_end_ms for scrub in known) - at_ms) / 1000)
    damaged = sum(scrub.damaged for scrub in known)
    return f"at {least.fraction:.0%} or more everywhere, {left} left, {damaged:,} damaged found in this round"


def _objects(census: RedundancyReport) -> list[str]:
    lines = [
        f"{census.objects:,} of {bytes_text(census.size_bytes)}, counted {duration_text(census.age_s)} ago:"
        f" {census.objects - census.short_objects:,} with all copies, {census.short_objects:,} short"
    ]
    for copies in sorted(census.objects_by_copies, reverse=True):
        name = "lost" if copies == 0 else "1 copy left" if copies == 1 else f"{copies} copies left"
        size = bytes_text(census.bytes_by_copies.get(copies, 0))
        lines.append(f"{name}: {census.objects_by_copies[copies]:,} of {size}")
    return lines


def _repairs(repairs: RepairsReport) -> list[str]:
    if not repairs.items:
        return ["none waiting"]
    at_least = "" if repairs.complete else "at least "
    lines = [f"{repairs.items:,} segments waiting, {at_least}{bytes_text(repairs.size_bytes)}"]
    lines.append(", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in repairs.items_by_class.items() if n))
    if repairs.rate_limit_bytes_s:
        left = "" if repairs.time_left_s is None else f", {duration_text(repairs.time_left_s)} left at that"
        lines.append(f"at most {bytes_text(repairs.rate_limit_bytes_s)} a second{left}")
    if repairs.oldest_s is not None:
        lines.append(f"the oldest has waited {duration_text(repairs.oldest_s)}")
    return lines


def _reclaim(reclaim: ReclaimReport) -> list[str]:
    at_least = "" if reclaim.complete else "at least "
    lines = [f"{at_least}{_waiting(reclaim.within_grace)} within the grace of {duration_text(reclaim.grace_s)}"]
    others = [("due", reclaim.due), ("under way", reclaim.under_way), ("failing", reclaim.failing)]
    if any(waiting.entries for _, waiting in others):
        lines.append(", ".join(f"{name}: {_waiting(waiting)}" for name, waiting in others if waiting.entries))
    if reclaim.released_copies:
        lines.append(f"{reclaim.released_copies:,} copies that are no longer named go after their grace")
    return lines


def _waiting(waiting: Waiting) -> str:
    return f"{bytes_text(waiting.size_bytes)} ({waiting.entries:,})"


def _journal(journal: JournalReport) -> list[str]:
    sequence = "-" if journal.sequence is None else f"{journal.sequence:,}"
    state = "open" if journal.is_open else "not open"
    lines = [f"{state}, change {sequence}, durable up to {journal.watermark:,} ({journal.lag:,} behind)"]
    if journal.segment_id:
        counter = journal.epoch >> 32
        lines.append(f"epoch {counter}, segment {journal.segment_id}")
        lines.append(f"on {', '.join(_segment_nodes(journal))}; {journal.quorum} must answer")
    for number, one in enumerate(journal.snapshots):
        name = "newest snapshot" if number == 0 else "before it"
        lines.append(f"{name}: change {one.sequence:,}, {duration_text(one.age_s)} old, {bytes_text(one.size_bytes)}")
    if not journal.snapshots:
        lines.append("no snapshot")
    return lines


def _segment_nodes(journal: JournalReport) -> Iterator[str]:
    for node_id in journal.segment_nodes:
        yield f"{node_id} (no answer)" if node_id in journal.nodes_missing else node_id


def _index(report: StatusReport) -> list[str]:
    index = report.index
    if index is None:
        return [_why(report, "index")]
    most = f" of {bytes_text(index.maximum_bytes)}" if index.maximum_bytes else ""
    role = "master" if index.is_master else "replica"
    return [
        f"{index.address}, {role}, version {index.version}, {bytes_text(index.used_bytes)}{most} of memory",
        f"{index.durability or 'its append-only file is synced on every command'}",
    ]


def _failures(repairs: RepairsReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    table.add_column("failing repairs", overflow="fold", ratio=1)
    table.add_column("tried", justify="right", no_wrap=True)
    table.add_column("last error, and what to do", overflow="fold", ratio=2)
    for one in repairs.failing[:_FAILURES_SHOWN]:
        table.add_row(Text(f"{one.bucket}/{one.key}"), str(one.attempts), Text(f"{one.last_error}\n{one.advice}"))
    return table
