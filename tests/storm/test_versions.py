"""The checker of versions itself: histories known good and known bad."""

import pytest

from tests.storm.histories import History, marker
from tests.storm.history import ABSENT, Outcome
from tests.storm.versions import check_versions

UNKNOWN, FAILED = Outcome.UNKNOWN, Outcome.FAILED


def h() -> History:
    return History()


def two_versions() -> History:
    """Versions 1 (a) and 2 (b), acknowledged one after the other."""
    return h().put("a", 1, 2, version="1").put("b", 3, 4, version="2")


GOOD = {
    "nothing": h(),
    "written, read, listed": two_versions().get_version("1", "a", 5, 6).versions([("2", "b"), ("1", "a")], 7, 8),
    "list during the write of one": h().put("a", 1, 5, version="1").versions([], 2, 3),
    "unknown write is a version": h().put("a", 1, 2, UNKNOWN).versions([("1", "a")], 3, 4).get_version("1", "a", 5, 6),
    "unknown write is none": h().put("a", 1, 2, UNKNOWN).versions([], 3, 4),
    "unknown write comes late and on top": h()
    .put("a", 1, 2, UNKNOWN)
    .put("b", 3, 4, version="1")
    .versions([("1", "b")], 5, 6)
    .versions([("2", "a"), ("1", "b")], 7, 8),
    "writes at once in either order": h()
    .put("a", 1, 5, version="2")
    .put("b", 2, 4, version="1")
    .versions([("2", "a"), ("1", "b")], 6, 7),
    "deleted by id": two_versions()
    .delete_version("1", 5, 6)
    .get_version("1", ABSENT, 7, 8)
    .versions([("2", "b")], 7, 8),
    "deletion of unknown outcome, gone": two_versions().delete_version("1", 5, 6, UNKNOWN).versions([("2", "b")], 7, 8),
    "deletion of unknown outcome, there": two_versions()
    .delete_version("1", 5, 6, UNKNOWN)
    .versions([("2", "b"), ("1", "a")], 7, 8),
    "read during its deletion": two_versions().delete_version("1", 5, 9).get_version("1", "a", 6, 7),
    "markers": two_versions().delete(5, 6, version="3").versions([("2", "b"), ("1", "a"), marker("3")], 7, 8),
    "marker of an unknown delete": two_versions()
    .delete(5, 6, UNKNOWN)
    .versions([("2", "b"), ("1", "a"), marker("3")], 7, 8),
}

BAD = {
    "acknowledged version lost from the list": (two_versions().versions([("2", "b")], 5, 6), "lost"),
    "acknowledged version unreadable": (two_versions().get_version("1", ABSENT, 5, 6), "lost"),
    "version seen in a list and lost": (
        h().put("a", 1, 2, UNKNOWN).versions([("1", "a")], 3, 4).versions([], 5, 6),
        "lost",
    ),
    "acknowledged marker lost": (h().delete(1, 2, version="1").versions([], 3, 4), "lost"),
    "wrong bytes": (two_versions().get_version("1", "b", 5, 6), "version 1 was a and is b"),
    "bytes change": (two_versions().versions([("2", "b"), ("1", "b")], 5, 6), "version 1 was a and is b"),
    "deleted version back": (
        two_versions().delete_version("1", 5, 6).versions([("2", "b"), ("1", "a")], 7, 8),
        "back after its deletion",
    ),
    "deleted version readable": (
        two_versions().delete_version("1", 5, 6).get_version("1", "a", 7, 8),
        "back after its deletion",
    ),
    "deletion that failed": (two_versions().delete_version("1", 5, 6, FAILED).versions([("2", "b")], 7, 8), "lost"),
    "gone before its deletion began": (
        two_versions().get_version("1", ABSENT, 5, 6).delete_version("1", 7, 8),
        "lost",
    ),
    "phantom": (two_versions().versions([("3", "x"), ("2", "b"), ("1", "a")], 5, 6), "nobody had written yet"),
    "shown before it was written": (
        h().versions([("1", "a")], 1, 2).put("a", 3, 4, version="1"),
        "nobody had written yet",
    ),
    "marker before any delete": (h().versions([marker("1")], 1, 2).delete(3, 4, version="1"), "nobody had written yet"),
    "failed write that shows": (h().put("a", 1, 2, FAILED).versions([("1", "a")], 3, 4), "failed for sure"),
    "one write, two versions": (
        h().put("a", 1, 2, version="1").versions([("2", "a"), ("1", "a")], 3, 4),
        "written once and is 2 versions",
    ),
    "order against real time": (two_versions().versions([("1", "a"), ("2", "b")], 5, 6), "stands above it"),
    "order of markers against real time": (
        h().delete(1, 2, version="1").delete(3, 4, version="2").versions([marker("1"), marker("2")], 5, 6),
        "stands above it",
    ),
    "late unknown write sorted in below": (
        h()
        .put("a", 5, 6, UNKNOWN)
        .put("b", 1, 2, version="1")
        .versions([("1", "b")], 7, 8)
        .versions([("1", "b"), ("2", "a")], 9, 10),
        "stands above it",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history_is_accepted(name: str) -> None:
    assert check_versions(GOOD[name].calls) == []


@pytest.mark.parametrize("name", BAD)
def test_bad_history_is_refused_for_its_reason(name: str) -> None:
    history, reason = BAD[name]
    assert any(reason in violation.reason for violation in check_versions(history.calls))
