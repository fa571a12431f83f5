"""A long restoring is told of now and then, with the time left."""

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.journal import progress as progress_module
from gateway.journal.progress import Progress, ProgressLog, Stage


def test_log_tells_of_a_long_stage_now_and_then_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    log = ProgressLog(clock=lambda: now)
    with capture_logs() as lines:
        monkeypatch.setattr(progress_module, "_log", structlog.get_logger())
        for done in range(1, 21):
            now += 1
            log(Progress(stage=Stage.JOURNAL, done=5 * done, total=100))
    assert [(line["percent"], line["left_s"]) for line in lines] == [(25, 15), (50, 10), (75, 5), (100, 0)]
