"""The figures of a storm."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.harness.accounting import Accounting
from tests.storm.attack import Attack
from tests.storm.history import Action, Call, Outcome, Recorder
from tests.storm.verdict import Verdict

_CHANGES = frozenset({Action.PUT, Action.PUT_IF_ABSENT, Action.PUT_IF_MATCH, Action.DELETE, Action.DELETE_VERSION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of the calls that ended well, in seconds."""

    median_s: float
    p99_s: float
    worst_s: float

    @classmethod
    def of(cls, calls: Sequence[Call]) -> "Latency":
        took = sorted((call.completed_at - call.invoked_at) / 1e9 for call in calls) or [0.0]
        return cls(median_s=took[len(took) // 2], p99_s=took[len(took) * 99 // 100], worst_s=took[-1])

    def __str__(self) -> str:
        return f"median {self.median_s * 1000:.0f} ms, 99 % {self.p99_s:.2f} s, worst {self.worst_s:.2f} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened, and the verdict on it."""

    verdict: Verdict
    kills: int
    faults: Counter[tuple[str, str]]
    outcomes: Counter[str]
    answers: Counter[tuple[str, str]]
    reads: Latency
    writes: Latency
    longest_silence_s: float
    """The longest time in which no change was acknowledged to anybody."""
    storm_s: float
    heal_s: float
    fallen: Sequence[str]
    """Processes that ended without having been asked to."""
    books: Accounting

    @property
    def nothing_wrong(self) -> bool:
        """Nothing lost and nothing wrong, whatever is still to be given back."""
        return self.verdict.is_clean and not self.fallen and self.books.nothing_lost

    @property
    def is_clean(self) -> bool:
        """Nothing wrong, and the nodes hold exactly what the index refers to."""
        return self.nothing_wrong and self.books.balanced

    def __str__(self) -> str:
        calls = sum(self.outcomes.values())
        lines = [
            f"{calls} calls in {self.storm_s:.0f} s ({calls / self.storm_s:.0f} a second) on {self.verdict.keys} keys: "
            + ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items())),
            f"{self.kills} kills; "
            + ", ".join(f"{role}: {kind} {count}" for (role, kind), count in sorted(self.faults.items())),
            "errors: "
            + ", ".join(
                f"{operation} {code} {count}"
                for (operation, code), count in sorted(self.answers.items())
                if code != "ok"
            ),
            f"reads: {self.reads}; writes: {self.writes}; longest time without an acknowledged write "
            f"{self.longest_silence_s:.1f} s; whole again after {self.heal_s:.1f} s",
            *(f"ended by itself: {text}" for text in self.fallen),
            self.books.explain(),
            f"{len(self.verdict.violations)} violations, {len(self.verdict.anomalies)} anomalies, "
            f"{len(self.verdict.undecided)} undecided",
        ]
        return "\n".join(lines if self.verdict.is_clean else [*lines, str(self.verdict)])


def make_report(
    recorder: Recorder,
    verdict: Verdict,
    attack: Attack,
    *,
    storm_s: float,
    heal_s: float,
    began_at: float,
    ended_at: float,
    fallen: Sequence[str],
    books: Accounting,
) -> Report:
    """Count what the recorder holds; `began_at` and `ended_at` are monotonic seconds."""
    calls = [call for call in recorder.calls if call.invoked_at < ended_at * 1e9]
    good = [call for call in calls if call.outcome is Outcome.OK]
    changes = [call for call in good if call.action in _CHANGES]
    moments = sorted([began_at * 1e9, ended_at * 1e9, *(call.completed_at for call in changes)])
    return Report(
        verdict=verdict,
        kills=attack.kills,
        faults=attack.done,
        outcomes=Counter(str(call.outcome) for call in calls),
        answers=recorder.answers,
        reads=Latency.of([call for call in good if call.action not in _CHANGES]),
        writes=Latency.of(changes),
        longest_silence_s=max(later - earlier for earlier, later in itertools.pairwise(moments)) / 1e9,
        storm_s=storm_s,
        heal_s=heal_s,
        fallen=fallen,
        books=books,
    )
