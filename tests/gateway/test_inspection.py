"""Telling which of several whole copies is the wrong one."""

import pytest

from gateway.inspection import Copy, CopyState, compared


def copy(digest: str, state: CopyState = CopyState.OK) -> Copy:
    return Copy(node_id="n", address="a:1", zone="", state=state, digest=digest)


@pytest.mark.parametrize(
    ("digests", "expected"),
    [
        ("aaa", "ok ok ok"),
        ("a", "ok"),
        ("aab", "ok ok differs"),
        ("baa", "differs ok ok"),
        ("ab", "differs differs"),  # nobody can say which
        ("aabb", "differs differs differs differs"),
        ("aabc", "ok ok differs differs"),
    ],
)
def test_copies_that_are_not_as_most_are_differ(digests: str, expected: str) -> None:
    assert [one.state.value for one in compared([copy(digest) for digest in digests])] == expected.split()


def test_copies_that_are_not_whole_do_not_count() -> None:
    copies = [copy("a"), copy("", CopyState.MISSING), copy("b", CopyState.CORRUPT), copy("", CopyState.UNREACHABLE)]
    assert compared(copies) == tuple(copies)
