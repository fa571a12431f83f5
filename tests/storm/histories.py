"""Short notation for histories in the checker's own tests, and a checker that tries every order. No test lives here.

A call is written on a time line of its own: `h.put("a", 1, 3)` begins at 1 and ends at 3.
"""

import itertools
from collections.abc import Sequence

from tests.storm.history import ABSENT, MARKER, Action, Call, Outcome


class History:
    """Collects calls on one key."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def put(self, value: str, begin: int, end: int, outcome: Outcome = Outcome.OK, *, version: str = "") -> "History":
        return self._add(Action.PUT, begin, end, outcome, values=(value,), version_id=version)

    def put_if_absent(self, value: str, begin: int, end: int, outcome: Outcome = Outcome.OK) -> "History":
        return self._add(Action.PUT_IF_ABSENT, begin, end, outcome, values=(value,))

    def put_if_match(self, value: str, expected: str, begin: int, end: int, outcome: Outcome = Outcome.OK) -> "History":
        return self._add(Action.PUT_IF_MATCH, begin, end, outcome, values=(value,), expected=expected)

    def copy(self, values: tuple[str, ...], begin: int, end: int, outcome: Outcome = Outcome.OK) -> "History":
        return self._add(Action.PUT, begin, end, outcome, values=values)

    def delete(self, begin: int, end: int, outcome: Outcome = Outcome.OK, *, version: str = "") -> "History":
        return self._add(Action.DELETE, begin, end, outcome, version_id=version)

    def get(self, seen: str, begin: int, end: int, outcome: Outcome = Outcome.OK) -> "History":
        return self._add(Action.READ, begin, end, outcome, seen=seen)

    def get_version(self, version: str, seen: str, begin: int, end: int) -> "History":
        return self._add(Action.READ_VERSION, begin, end, Outcome.OK, seen=seen, version_id=version)

    def delete_version(self, version: str, begin: int, end: int, outcome: Outcome = Outcome.OK) -> "History":
        return self._add(Action.DELETE_VERSION, begin, end, outcome, version_id=version)

    def versions(self, listed: Sequence[tuple[str, str]], begin: int, end: int) -> "History":
        return self._add(Action.LIST_VERSIONS, begin, end, Outcome.OK, versions=tuple(listed))

    def _add(
        self,
        action: Action,
        begin: int,
        end: int,
        outcome: Outcome,
        *,
        values: tuple[str, ...] = (),
        expected: str = ABSENT,
        seen: str = ABSENT,
        version_id: str = "",
        versions: tuple[tuple[str, str], ...] = (),
    ) -> "History":
        self.calls.append(
            Call(
                number=len(self.calls) + 1,
                client=f"c{len(self.calls)}",
                what=str(action),
                bucket="bucket",
                key="key",
                action=action,
                invoked_at=begin,
                completed_at=end,
                outcome=outcome,
                values=values,
                expected=expected,
                seen=seen,
                version_id=version_id,
                versions=versions,
            )
        )
        return self


def marker(version: str) -> tuple[str, str]:
    return version, MARKER


def is_linearizable_by_force(calls: Sequence[Call]) -> bool:
    """Whether any order of any choice of the calls explains them: every one is tried. For a handful of calls.

    Written from the definition (Herlihy and Wing 1990) and from nothing in linearizability.py.
    """
    unknown = [call for call in calls if call.outcome is Outcome.UNKNOWN and call.action is not Action.READ]
    silent = (Outcome.FAILED, Outcome.UNKNOWN)
    certain = [call for call in calls if call.outcome not in silent]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            for order in itertools.permutations([*certain, *chosen]):
                if _keeps_real_time(order) and _explains(order):
                    return True
    return False


def _keeps_real_time(order: Sequence[Call]) -> bool:
    for index, call in enumerate(order):
        for later in order[index + 1 :]:
            if later.outcome is not Outcome.UNKNOWN and later.completed_at < call.invoked_at:
                return False
    return True


def _explains(order: Sequence[Call], state: str = ABSENT) -> bool:
    if not order:
        return True
    call, *rest = order
    if call.action is Action.READ:
        return state == call.seen and _explains(rest, state)
    if call.action is Action.DELETE:
        return _explains(rest, ABSENT)
    holds = {
        Action.PUT: True,
        Action.PUT_IF_ABSENT: state == ABSENT,
        Action.PUT_IF_MATCH: state == call.expected,
    }[call.action]
    if call.outcome is Outcome.REFUSED:
        return not holds and state != ABSENT and _explains(rest, state)
    if call.outcome is Outcome.NOTHING_THERE:
        return state == ABSENT and _explains(rest, state)
    return holds and any(_explains(rest, value) for value in call.values)
