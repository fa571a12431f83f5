"""From the history of a whole storm to the list of what was wrong in it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.storm.history import Action, Call, Outcome, Recorder, group
from tests.storm.keys import PRUNED, VERSIONED
from tests.storm.linearizability import Undecided, Violation, check_register
from tests.storm.versions import check_versions


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the checker says of a history."""

    violations: list[Violation] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    anomalies: list[str] = field(default_factory=list)
    keys: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.violations or self.undecided or self.anomalies)

    def __str__(self) -> str:
        return "\n".join([*map(str, self.violations), *self.undecided, *self.anomalies])


def judge(recorder: Recorder) -> Verdict:
    """Check every key, and collect what was wrong on the face of it."""
    verdict = Verdict(anomalies=list(recorder.anomalies))
    histories = resolve_copies(group(recorder.calls))
    verdict.keys = len(histories)
    for (bucket, key), calls in histories.items():
        if bucket == VERSIONED:
            verdict.violations += check_versions(calls)
            if key.startswith(PRUNED):
                continue  # deleting the current version uncovers another: no register
        try:
            violation = check_register(calls)
        except Undecided as error:
            verdict.undecided.append(f"undecided: {error}")
        else:
            verdict.violations += [] if violation is None else [violation]
    return verdict


def resolve_copies(histories: Mapping[tuple[str, str], Sequence[Call]]) -> dict[tuple[str, str], list[Call]]:
    """Give every copy of unknown outcome the values that it can have written: those that its source may have had and
    that were seen at its target, and one that nobody saw.
    """
    had = {place: set(_values(calls)) for place, calls in histories.items()}
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for place, calls in histories.items():
        seen[place] = {call.seen for call in calls if call.action is Action.READ}
        seen[place] |= {call.expected for call in calls if call.action is Action.PUT_IF_MATCH}
    resolved = {}
    for (bucket, key), calls in histories.items():
        resolved[bucket, key] = [
            _resolve(call, had.get((bucket, call.expected), set()) & seen[bucket, key]) if _is_open_copy(call) else call
            for call in calls
        ]
    return resolved


def _is_open_copy(call: Call) -> bool:
    return call.action is Action.PUT and call.outcome is Outcome.UNKNOWN and not call.values


def _resolve(call: Call, values: set[str]) -> Call:
    return replace(call, values=(*sorted(values - {""}), f"an unseen copy {call.number}"))


def _values(calls: Sequence[Call]) -> Iterator[str]:
    for call in calls:
        yield from call.values
        yield call.seen
