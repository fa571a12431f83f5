"""Decides whether what was seen of one key can be explained by calls that took effect one after the other.

The search is Wing and Gong's (Testing and Verifying Concurrent Objects, 1993) with Lowe's memoisation of visited
configurations (Testing for Linearizability, 2016): at each step take one of the calls that no other call not yet
taken precedes in real time, apply it, go on; step back where nothing fits. The key is a register: it holds a value
or is absent.

A call of unknown outcome may be taken at any time after its beginning, or never. Left at that, each doubles the
search; two observations keep it small without losing an explanation:

* A value that was seen, and that only one call can have written, was written before the first that saw it ended. So
  that call is one that must be taken, by then.
* Any other unknown call need only be taken right before a call that depends on the state: in front of one that does
  not, it may as well be left out.
* A read that fits the state is taken at once: it changes nothing, so an explanation with it later is one with it now.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.storm.history import ABSENT, Action, Call, Outcome

#: Configurations looked at before the search is given up, about ten seconds. Real histories need some thousands.
MOST_CONFIGURATIONS = 2_000_000

_NEVER = 1 << 63
_WRITES = frozenset({Action.PUT, Action.PUT_IF_ABSENT, Action.PUT_IF_MATCH, Action.DELETE})


class Undecided(Exception):
    """The search was too large; this is no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A history that no order of effects explains."""

    key: str
    reason: str
    calls: tuple[Call, ...] = ()
    """Those that could not be taken where the longest explanation ended."""

    def __str__(self) -> str:
        return "\n    ".join([f"{self.key}: {self.reason}", *map(str, self.calls)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A call as the search sees it."""

    call: Call
    begins: int
    ends: int
    """_NEVER for one that may be left out."""
    value: str
    """The state after it, for calls that change it."""
    changes: bool

    @property
    def depends(self) -> bool:
        return not self.changes or self.call.action in (Action.PUT_IF_ABSENT, Action.PUT_IF_MATCH)

    def fits(self, state: str) -> bool:
        call = self.call
        if call.action is Action.READ:
            return state == call.seen
        if call.outcome is Outcome.NOTHING_THERE:
            return state == ABSENT
        if call.action is Action.PUT_IF_ABSENT:
            return (state == ABSENT) != (call.outcome is Outcome.REFUSED)
        if call.action is Action.PUT_IF_MATCH:
            if call.outcome is Outcome.REFUSED:
                return state not in (ABSENT, call.expected)
            return state == call.expected
        return True


def check_register(calls: Sequence[Call], *, initial: str = ABSENT) -> Violation | None:
    """The violation in a history of one key, or None when it is linearizable. Raises Undecided."""
    telling = [call for call in calls if _tells(call)]
    if not telling:
        return None
    required, optional = _steps(telling)
    return _Search(telling[0].key, required, optional).run(initial)


def _tells(call: Call) -> bool:
    """Whether a call can have changed something or tells what was there."""
    if call.action in _WRITES:
        return call.outcome is not Outcome.FAILED
    return call.action is Action.READ and call.outcome is Outcome.OK


def _steps(calls: Sequence[Call]) -> tuple[list[_Step], list[_Step]]:
    """Those that must be taken, by their beginning, and those that may be."""
    first_seen = _first_seen(calls)
    writers: dict[str, int] = defaultdict(int)
    for call in calls:
        for value in call.values:
            writers[value] += 1
    required: list[_Step] = []
    optional: list[_Step] = []
    for call in calls:
        if call.outcome is not Outcome.UNKNOWN:
            changes = call.action in _WRITES and call.outcome is Outcome.OK
            value = call.values[0] if call.values else ABSENT
            required.append(
                _Step(call=call, begins=call.invoked_at, ends=call.completed_at, value=value, changes=changes)
            )
            continue
        seen = [value for value in call.values if value in first_seen and writers[value] == 1]
        ends = first_seen[seen[0]] if len(call.values) == 1 and seen else _NEVER
        for value in call.values or (ABSENT,):
            step = _Step(call=call, begins=call.invoked_at, ends=ends, value=value, changes=True)
            (optional if ends == _NEVER else required).append(step)
    return sorted(required, key=lambda step: step.begins), sorted(optional, key=lambda step: step.begins)


def _first_seen(calls: Sequence[Call]) -> dict[str, int]:
    """By value: when the first call ended that found it there."""
    found: dict[str, int] = {}
    for call in calls:
        if call.action is Action.READ:
            value = call.seen
        elif call.action is Action.PUT_IF_MATCH and call.outcome is Outcome.OK:
            value = call.expected
        else:
            continue
        found[value] = min(found.get(value, _NEVER), call.completed_at)
    return found


class _Configuration(NamedTuple):
    """How far an explanation has come."""

    first: int
    """All required calls before this one were taken, and it was not."""
    window: int
    """Bit n: the required call `first` + n was taken. Short: only calls at the same time go out of turn."""
    optional: int
    """Bit n: the optional call n was taken, or an alternative of it."""
    state: str
    depending: bool
    """The next call must be one that depends on the state."""


class _Search:
    """One search over one history."""

    def __init__(self, key: str, required: list[_Step], optional: list[_Step]) -> None:
        self._key = key
        self._required = required
        self._optional = optional
        # The alternatives of one call are taken together: one of them, or none.
        self._alternatives: dict[int, int] = defaultdict(int)
        for index, step in enumerate(optional):
            self._alternatives[id(step.call)] |= 1 << index
        self._seen: set[_Configuration] = set()
        self._deepest = -1
        self._stuck: tuple[str, list[_Step]] = ("", [])

    def run(self, initial: str) -> Violation | None:
        stack = [_Configuration(0, 0, 0, initial, False)]
        while stack:
            configuration = stack.pop()
            if configuration in self._seen:
                continue
            if configuration.first == len(self._required):
                return None
            self._seen.add(configuration)
            if len(self._seen) > MOST_CONFIGURATIONS:
                raise Undecided(f"{self._key}: {len(self._required)} calls, {len(self._optional)} unknown")
            stack.extend(self._following(configuration))
        state, stuck = self._stuck
        return Violation(
            key=self._key,
            reason=f"after {self._deepest} of {len(self._required)} calls the key holds {state or 'nothing'}; none of "
            "the calls that may come next fits",
            calls=tuple(step.call for step in stuck),
        )

    def _following(self, now: _Configuration) -> list[_Configuration]:
        """The configurations one step on, the likeliest last."""
        candidates, horizon = self._candidates(now)
        following = []
        for index in candidates:
            step = self._required[index]
            if not step.fits(now.state) or (now.depending and not step.depends):
                continue
            if not step.changes:
                return [_take(now, index, now.state)]
            following.append((step.ends, _take(now, index, step.value)))
        ordered = [one for _, one in sorted(following, key=lambda pair: pair[0], reverse=True)]
        depth = now.first + now.window.bit_count()
        steps = [self._required[index] for index in candidates]
        if depth > self._deepest:
            self._deepest, self._stuck = depth, (now.state, steps)
        return self._optional_following(now, steps, horizon) + ordered

    def _optional_following(self, now: _Configuration, candidates: list[_Step], horizon: int) -> list[_Configuration]:
        following = []
        tried = set()
        begun = [step for step in self._optional if step.begins <= horizon]
        followers = [step for step in (*candidates, *begun) if step.depends]
        for step in begun if followers else ():
            alternatives = self._alternatives[id(step.call)]
            if now.optional & alternatives or not step.fits(now.state) or (now.depending and not step.depends):
                continue
            # Of calls that do the same, the earliest is as good as any; not of those that may do something else.
            others = step.call.number if len(step.call.values) > 1 else 0
            effect = (step.call.action, step.call.expected, step.value, others)
            if step.value == now.state or effect in tried:
                continue
            tried.add(effect)
            if any(follower.fits(step.value) for follower in followers):
                optional = now.optional | alternatives
                following.append(now._replace(optional=optional, state=step.value, depending=True))
        return following

    def _candidates(self, now: _Configuration) -> tuple[list[int], int]:
        """The required calls that none not yet taken precedes, and the time until which a call may have begun."""
        index = now.first
        horizon = _NEVER
        candidates = []
        while index < len(self._required) and self._required[index].begins <= horizon:
            if not now.window >> (index - now.first) & 1:
                candidates.append(index)
                horizon = min(horizon, self._required[index].ends)
            index += 1
        return [one for one in candidates if self._required[one].begins <= horizon], horizon


def _take(now: _Configuration, index: int, state: str) -> _Configuration:
    """The configuration after a required call."""
    window = now.window | 1 << (index - now.first)
    skipped = (~window & (window + 1)).bit_length() - 1
    return now._replace(first=now.first + skipped, window=window >> skipped, state=state, depending=False)
