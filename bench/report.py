"""A measurement's numbers, and how they are shown: a table for people, JSON for programs."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Alternating rounds of Cairn and of a yardstick, both as rates: more is better."""

    name: str
    #: Of both rates: "MiB/s" or "1/s".
    unit: str
    cairn: tuple[float, ...]
    yardstick: tuple[float, ...]
    yardstick_name: str
    #: The least ratio that the project wants; None where nothing was promised.
    target: float | None = None
    #: CPU seconds of one round by process role, median over the rounds.
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    #: Other numbers, such as latencies in milliseconds.
    notes: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Median over the rounds of Cairn's rate by the yardstick's rate of the same round."""
        return statistics.median(mine / its for mine, its in zip(self.cairn, self.yardstick, strict=True))

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        return None if self.target is None else self.ratio >= self.target


def as_json(measurements: Sequence[Measurement]) -> str:
    """All rounds, with ratios and verdicts."""
    return json.dumps(
        [asdict(found) | {"ratio": found.ratio, "is_met": found.is_met} for found in measurements], indent=2
    )


def print_table(measurements: Sequence[Measurement], console: Console) -> None:
    """One line a measurement: medians, ratio, target, where the CPU went."""
    table = Table("measured", "cairn", "yardstick", "ratio", "target", "CPU s a round, notes")
    for found in measurements:
        remarks = [f"{role} {seconds:.2f}" for role, seconds in found.cpu_s.items()]
        remarks += [f"{name} {value:.2f}" for name, value in found.notes.items()]
        table.add_row(
            found.name,
            f"{statistics.median(found.cairn):,.0f} {found.unit}",
            f"{statistics.median(found.yardstick):,.0f} {found.unit} {found.yardstick_name}",
            f"{found.ratio:.3f}",
            _verdict(found),
            ", ".join(remarks),
        )
    console.print(table)


def _verdict(found: Measurement) -> str:
    if found.target is None:
        return "-"
    return f"{found.target} {'met' if found.is_met else 'MISSED'}"
