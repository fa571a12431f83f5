"""What must hold of the versions of one key in a versioned bucket, version by version.

* An acknowledged version stays readable with its bytes until somebody asks for its deletion by id, and after an
  acknowledged deletion it never comes back.
* An id means the same version for ever; a version is the write of somebody, and no write makes two.
* The order in a list agrees with real time: of two writes one of which ended before the other began, the later one
  stands first. Objects and delete markers are held against their own kind only: botocore lists them apart.

The current version is a register as in a bucket without versions, see linearizability.py.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.storm.history import ABSENT, MARKER, Action, Call, Outcome
from tests.storm.linearizability import Violation

_NEVER = 1 << 63


@dataclass(slots=True)
class _Version:
    """What is known of one version id, in nanoseconds."""

    value: str
    """The value's name, or MARKER."""
    began_at: int
    """The write that made it began no earlier than this."""
    there_by: int = _NEVER
    """It was there when this call ended: acknowledged or seen."""
    witness: Call | None = None
    deletion_began_at: int = _NEVER
    deleted_by: int = _NEVER
    """An acknowledged deletion ended."""


def check_versions(calls: Sequence[Call]) -> list[Violation]:
    """Every violation in the history of one key of a versioned bucket; the calls in the order of their beginning."""
    return list(_Versions(calls).check())


class _Versions:
    def __init__(self, calls: Sequence[Call]) -> None:
        self._key = calls[0].key if calls else ""
        self._calls = calls
        self._known: dict[str, _Version] = {}
        self._writes = {call.values[0]: call for call in calls if call.action is Action.PUT and call.values}
        self._first_delete_at = min((call.invoked_at for call in calls if call.action is Action.DELETE), default=_NEVER)

    def check(self) -> Iterator[Violation]:
        for call in self._calls:
            yield from self._learn(call)
        for call in self._calls:
            if call.action is Action.DELETE_VERSION and call.version_id in self._known:
                self._note_deletion(self._known[call.version_id], call)
        yield from self._double_writes()
        for call in self._calls:
            yield from self._hold_against(call)

    def _learn(self, call: Call) -> Iterator[Violation]:
        """Which versions a call acknowledges or shows."""
        if call.outcome is not Outcome.OK:
            return
        if call.action is Action.PUT and call.version_id:
            yield from self._meet(call, call.version_id, call.values[0])
        elif call.action is Action.DELETE and call.version_id:
            yield from self._meet(call, call.version_id, MARKER)
        elif call.action is Action.READ_VERSION and call.seen != ABSENT:
            yield from self._meet(call, call.version_id, call.seen)
        for version_id, value in call.versions:
            yield from self._meet(call, version_id, value)

    def _meet(self, call: Call, version_id: str, value: str) -> Iterator[Violation]:
        version = self._known.get(version_id)
        if version is None:
            write = self._writes.get(value)
            if value == MARKER:
                began_at = call.invoked_at if call.action is Action.DELETE else self._first_delete_at
            else:
                began_at = _NEVER if write is None else write.invoked_at
            version = self._known[version_id] = _Version(value=value, began_at=began_at)
            if write is not None and write.outcome is Outcome.FAILED:
                yield self._violation(f"version {version_id} is of a write that failed for sure", write, call)
        if version.value != value:
            yield self._violation(f"version {version_id} was {version.value} and is {value}", call)
        if value == MARKER and call.action is Action.DELETE:
            version.began_at = max(version.began_at, call.invoked_at)
        if version.began_at > call.completed_at:
            yield self._violation(f"version {version_id} shows {value}, which nobody had written yet", call)
        if call.completed_at < version.there_by:
            version.there_by, version.witness = call.completed_at, call

    @staticmethod
    def _note_deletion(version: _Version, call: Call) -> None:
        if call.outcome is not Outcome.FAILED:
            version.deletion_began_at = min(version.deletion_began_at, call.invoked_at)
        if call.outcome is Outcome.OK:
            version.deleted_by = min(version.deleted_by, call.completed_at)

    def _double_writes(self) -> Iterator[Violation]:
        by_value: dict[str, list[str]] = defaultdict(list)
        for version_id, version in self._known.items():
            if version.value != MARKER:
                by_value[version.value].append(version_id)
        for value, version_ids in by_value.items():
            if len(version_ids) > 1:
                yield self._violation(f"{value} was written once and is {len(version_ids)} versions: {version_ids}")

    def _hold_against(self, call: Call) -> Iterator[Violation]:
        """A call that ended well against everything that was known by then."""
        if call.outcome is not Outcome.OK:
            return
        if call.action is Action.READ_VERSION:
            version = self._known.get(call.version_id)
            if version is not None:
                yield from self._presence(call, call.version_id, version, call.seen != ABSENT)
        elif call.action is Action.LIST_VERSIONS:
            listed = dict(call.versions)
            for version_id, version in self._known.items():
                yield from self._presence(call, version_id, version, version_id in listed)
            yield from self._order(call)

    def _presence(self, call: Call, version_id: str, version: _Version, there: bool) -> Iterator[Violation]:
        if there and version.deleted_by < call.invoked_at:
            yield self._violation(f"version {version_id} ({version.value}) is back after its deletion", call)
        must_be_there = version.there_by < call.invoked_at and call.completed_at < version.deletion_began_at
        if not there and must_be_there:
            witness = (version.witness,) if version.witness is not None else ()
            yield self._violation(f"version {version_id} ({version.value}) is lost", *witness, call)

    def _order(self, call: Call) -> Iterator[Violation]:
        for is_marker in (False, True):
            earliest_end, earliest = _NEVER, ""
            # Newest first: nothing may have ended before something that stands below it began.
            for version_id, value in call.versions:
                if (value == MARKER) is not is_marker:
                    continue
                version = self._known[version_id]
                if earliest_end < version.began_at < _NEVER:
                    yield self._violation(f"version {version_id} is newer than {earliest}, which stands above it", call)
                if version.there_by < earliest_end:
                    earliest_end, earliest = version.there_by, version_id

    def _violation(self, reason: str, *calls: Call) -> Violation:
        return Violation(key=self._key, reason=reason, calls=calls)
