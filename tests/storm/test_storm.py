"""The storm in its short form; `make storm` is the long one."""

from pathlib import Path

import pytest

from tests.harness.cluster import ClusterPlan
from tests.storm.journal import has_journal
from tests.storm.schedule import FaultKind, Switches
from tests.storm.storm import StormPlan, run_storm

pytestmark = [pytest.mark.storm, pytest.mark.timeout(180)]

KILLS = 22


def test_nothing_acknowledged_is_lost_or_wrong_in_a_storm(tmp_path: Path) -> None:
    """With the journal Redis also forgets its last seconds at every other kill, and is emptied once."""
    journal = has_journal()
    plan = StormPlan(
        seed=20,
        seconds=30,
        kills=KILLS,
        clients=5,
        balance_timeout_s=40,
        cluster=ClusterPlan(redis_fsync="everysec" if journal else "always"),
        switches=Switches(forgetful_redis=journal, wipes=int(journal)),
    )
    report = run_storm(plan, tmp_path / "storm")
    assert report.is_clean, str(report)
    assert report.kills >= KILLS
    assert report.outcomes["ok"] > 100, str(report)  # far more where nothing else runs
    assert report.faults["redis", FaultKind.WIPE] == int(journal)
