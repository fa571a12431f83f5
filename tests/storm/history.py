"""What clients did and saw: one record for each attempt, with the interval in which it can have taken effect.

Times are nanoseconds of the monotonic clock, one for all threads of the storm. Nothing here knows S3's wire or decides
what is right; linearizability.py and versions.py do.
"""

import enum
import itertools
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

#: What a read sees where there is no object, and what a delete leaves.
ABSENT = ""
#: What stands in a list of versions for a delete marker.
MARKER = "(delete marker)"


class Action(enum.StrEnum):
    """What was asked for, as far as the state of one key is concerned."""

    PUT = "put"
    PUT_IF_ABSENT = "put if absent"
    PUT_IF_MATCH = "put if match"
    DELETE = "delete"
    READ = "read"
    """A GET, a HEAD, the source of a copy, or what a list says of the key."""
    READ_VERSION = "read version"
    DELETE_VERSION = "delete version"
    LIST_VERSIONS = "list versions"


class Outcome(enum.StrEnum):
    """How it ended."""

    OK = "ok"
    FAILED = "failed"
    """For sure without effect: refused with 4xx, or never sent."""
    REFUSED = "refused"
    """Its condition did not hold, which tells something about the state (412)."""
    NOTHING_THERE = "nothing there"
    """Its condition asked for an object where there was none (404), which tells that too."""
    UNKNOWN = "unknown"
    """Took effect at some time after its beginning, perhaps after its end, or never will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt on one key."""

    number: int
    client: str
    what: str
    """The S3 operation, for people."""
    bucket: str
    key: str
    action: Action
    invoked_at: int
    completed_at: int
    outcome: Outcome
    values: tuple[str, ...] = ()
    """What it writes: one value; several where only the outcome would tell which (a copy without an answer)."""
    expected: str = ABSENT
    """Of PUT_IF_MATCH: the value that must be there."""
    seen: str = ABSENT
    """Of reads that ended well."""
    version_id: str = ""
    """The version that was written, read or deleted."""
    versions: tuple[tuple[str, str], ...] = ()
    """Of LIST_VERSIONS: (version id, value) of the objects, newest first, then (version id, MARKER) of the markers."""
    code: str = ""
    """The error, for people."""

    def __str__(self) -> str:
        told = [
            f"{self.what} {self.key}",
            str(self.outcome),
            f"[{self.invoked_at / 1e9:.6f} {self.completed_at / 1e9:.6f}]",
        ]
        if self.values:
            told.append("writes " + " or ".join(self.values))
        if self.action is Action.PUT_IF_MATCH:
            told.append(f"expects {self.expected}")
        if self.action in (Action.READ, Action.READ_VERSION) and self.outcome is Outcome.OK:
            told.append(f"sees {self.seen or 'nothing'}")
        told += [f"version {self.version_id}"] if self.version_id else []
        told += [self.code] if self.code else []
        return f"{self.client}: " + ", ".join(told)


class Recorder:
    """Collects calls of many threads. `anomalies` are answers that are wrong whatever the order of events."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.anomalies: list[str] = []
        self.answers: Counter[tuple[str, str]] = Counter()
        self._numbers = itertools.count(1)
        self._turn = threading.Lock()

    def add(self, call: Call) -> None:
        with self._turn:
            self.calls.append(replace(call, number=next(self._numbers)))

    def note_answer(self, operation: str, code: str) -> None:
        """Count how an attempt of an S3 operation ended."""
        with self._turn:
            self.answers[operation, code] += 1

    def note_anomaly(self, text: str) -> None:
        with self._turn:
            self.anomalies.append(text)

    def by_key(self) -> Mapping[tuple[str, str], list[Call]]:
        """The calls of each (bucket, key) in the order of their beginning."""
        return group(self.calls)

    def save(self, path: Path, calls: Iterable[Call] | None = None) -> None:
        """One JSON object a line, for looking at later."""
        chosen = self.calls if calls is None else calls
        path.write_text("".join(json.dumps(asdict(call)) + "\n" for call in chosen))


def group(calls: Iterable[Call]) -> dict[tuple[str, str], list[Call]]:
    """Calls by (bucket, key), each in the order of their beginning."""
    found: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda one: one.invoked_at):
        found[call.bucket, call.key].append(call)
    return dict(found)


def load(path: Path) -> list[Call]:
    """What `Recorder.save` wrote."""
    calls = []
    for line in path.read_text().splitlines():
        fields = json.loads(line)
        fields["action"], fields["outcome"] = Action(fields["action"]), Outcome(fields["outcome"])
        fields["values"] = tuple(fields["values"])
        fields["versions"] = tuple((name, value) for name, value in fields["versions"])
        calls.append(Call(**fields))
    return calls


def now() -> int:
    return time.monotonic_ns()
