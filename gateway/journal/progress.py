"""How far a long piece of work on the index has come, for log lines and progress bars."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import structlog

LOG_EVERY_S = 5.0

_log = structlog.get_logger(__name__)


class Stage(Enum):
    """What is being done."""

    SNAPSHOT = "restoring the snapshot"
    JOURNAL = "replaying the journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`done` of `total` of the stage: bytes of the snapshot, or entries of the journal."""

    stage: Stage
    done: int
    total: int


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """For callers whom nobody watches."""


class ProgressLog:
    """Tells the log of one stage now and then, with the time that is left at the pace so far."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives monotonic seconds."""
        self._clock = clock
        self._started = self._told = clock()

    def __call__(self, made: Progress) -> None:
        now = self._clock()
        if now - self._told < LOG_EVERY_S or not made.done:
            return
        self._told = now
        left_s = (now - self._started) * (made.total - made.done) / made.done
        percent = 100 * made.done // max(made.total, 1)
        _log.info("the index is being rebuilt", stage=made.stage.value, percent=percent, left_s=round(left_s))
