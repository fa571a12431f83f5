"""Clients of the storm: threads that draw what to do next, again and again."""

from collections.abc import Callable, Sequence

from tests.storm.history import Outcome
from tests.storm.keys import PLAIN, PRUNED, VERSIONED
from tests.storm.requests import RecordedRequests

_PAUSE_AFTER_FAILURE_S = 0.03

_Operation = Callable[[str, str], object]


class StormClient(RecordedRequests):
    """One thread of a storm."""

    def run(self) -> None:
        """Until the storm is told to stop."""
        while not self._shared.stop.is_set():
            self.step()
            if self._last.outcome is Outcome.UNKNOWN or self._last.never_sent:
                self._shared.stop.wait(_PAUSE_AFTER_FAILURE_S)

    def step(self) -> None:
        """One operation on one key, both drawn."""
        if self._draw.random() < 0.75:
            key = self._choose(self._shared.keys.plain)
            (step,) = self._draw.choices(*_weighted(self._plain_steps()))
            step(PLAIN, key)
        else:
            key = self._choose(self._shared.keys.versioned)
            (step,) = self._draw.choices(*_weighted(self._versioned_steps(key)))
            step(VERSIONED, key)

    def _choose(self, keys: Sequence[str]) -> str:
        """A third of the time one of the first ten, so that clients meet."""
        return self._draw.choice(keys[:10] if self._draw.random() < 0.33 else keys)

    def _plain_steps(self) -> dict[_Operation, int]:
        return {
            self.put: 28,
            self.get: 26,
            self.head: 6,
            self.delete: 8,
            self.put_if_absent: 7,
            self.put_if_match: 7,
            self.copy: 6,
            self.multipart: 5,
            self.list: 7,
        }

    def _versioned_steps(self, key: str) -> dict[_Operation, int]:
        steps: dict[_Operation, int] = {
            self.put: 35,
            self.get: 20,
            self.delete: 8,
            self.get_version: 20,
            self.list_versions: 10,
        }
        return steps | ({self.delete_version: 15, self.get_deleted_version: 5} if key.startswith(PRUNED) else {})

    def copy(self, bucket: str, key: str) -> None:
        """CopyObject from a key that is drawn."""
        source = self._choose(self._shared.keys.plain)
        if source != key:
            self.copy_from(source, bucket, key)


def _weighted(steps: dict[_Operation, int]) -> tuple[list[_Operation], list[int]]:
    return list(steps), list(steps.values())
