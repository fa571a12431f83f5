"""Reading a run's outcomes and comparing them with the committed list."""

from pathlib import Path

from tests.conformance.results import Outcome, compare, passed, read_expected, read_outcomes, write_expected

_JUNIT = """<?xml version="1.0"?><testsuites><testsuite>
<testcase classname="s3tests.functional.test_s3" name="test_a" time="0.1" />
<testcase classname="s3tests.functional.test_s3" name="test_b[1-x]"><failure message="no">trace</failure></testcase>
<testcase classname="s3tests.functional.test_headers" name="test_c"><skipped message="why" /></testcase>
<testcase classname="s3tests.functional.test_headers" name="test_d"><error message="setup">trace</error></testcase>
<testcase classname="s3tests.functional.test_headers" name="test_d" />
</testsuite></testsuites>"""


def test_outcomes_are_read_under_module_and_name_with_parameters(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    junit.write_text(_JUNIT)
    assert read_outcomes(junit) == {
        "test_s3.test_a": Outcome.PASSED,
        "test_s3.test_b[1-x]": Outcome.FAILED,
        "test_headers.test_c": Outcome.SKIPPED,
        "test_headers.test_d": Outcome.FAILED,
    }


def test_comparison_names_what_is_new_and_what_broke_but_not_what_did_not_run() -> None:
    outcomes = {"new": Outcome.PASSED, "kept": Outcome.PASSED, "worse": Outcome.FAILED, "gone": Outcome.SKIPPED}
    comparison = compare(outcomes, ["kept", "worse", "gone", "not chosen"])
    assert comparison.newly_passing == ("new",)
    assert comparison.broken == ("gone", "worse")


def test_list_that_is_written_is_read_again_in_order(tmp_path: Path) -> None:
    path = tmp_path / "expected.txt"
    write_expected(["b", "a"], path)
    assert read_expected(path) == ("a", "b")
    assert passed({"b": Outcome.PASSED, "a": Outcome.PASSED, "c": Outcome.FAILED}) == ("a", "b")


def test_no_list_yet_expects_nothing(tmp_path: Path) -> None:
    assert read_expected(tmp_path / "absent.txt") == ()
