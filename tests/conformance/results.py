"""Outcomes of a run, read from its JUnit file, against the committed list of names. Pure but for reading files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from defusedxml import ElementTree

EXPECTED_PASSES = Path(__file__).with_name("expected_passes.txt")
_HEADER = "# Tests of ceph/s3-tests that Cairn passes. Written by `python -m tests.conformance --update CHECKOUT`.\n"


class Outcome(Enum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a run says about the list; names in order."""

    newly_passing: tuple[str, ...]
    #: Expected to pass and ran, but did not.
    broken: tuple[str, ...]


def read_outcomes(junit: Path) -> dict[str, Outcome]:
    """Outcomes by test name, `test_s3.test_bucket_list_empty` or with `[parameters]` behind it."""
    outcomes: dict[str, Outcome] = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        module = case.get("classname", "").rpartition(".")[2]
        name = f"{module}.{case.get('name')}"
        found = _outcome({child.tag for child in case})
        # A test that passes and then errs in its clean-up is written twice.
        if outcomes.get(name) is not Outcome.FAILED:
            outcomes[name] = found
    return outcomes


def _outcome(tags: set[str]) -> Outcome:
    if tags & {"failure", "error"}:
        return Outcome.FAILED
    return Outcome.SKIPPED if "skipped" in tags else Outcome.PASSED


def passed(outcomes: Mapping[str, Outcome]) -> tuple[str, ...]:
    """The names that passed, in order."""
    return tuple(sorted(name for name, outcome in outcomes.items() if outcome is Outcome.PASSED))


def compare(outcomes: Mapping[str, Outcome], expected: Iterable[str]) -> Comparison:
    """Tests that did not run (a part of the suite was chosen) say nothing."""
    passing, wanted = set(passed(outcomes)), set(expected)
    return Comparison(
        newly_passing=tuple(sorted(passing - wanted)),
        broken=tuple(sorted((wanted & outcomes.keys()) - passing)),
    )


def read_expected(path: Path = EXPECTED_PASSES) -> tuple[str, ...]:
    """The committed names; none where there is no list yet."""
    if not path.exists():
        return ()
    return tuple(line for line in path.read_text().splitlines() if line and not line.startswith("#"))


def write_expected(names: Iterable[str], path: Path = EXPECTED_PASSES) -> None:
    """Replace the committed list."""
    path.write_text(_HEADER + "".join(f"{name}\n" for name in sorted(names)))
