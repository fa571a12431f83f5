"""The checker itself: histories known good and known bad, and every verdict against one that tries all orders."""

import random

import pytest

from tests.storm import linearizability
from tests.storm.histories import History, is_linearizable_by_force
from tests.storm.history import ABSENT, Call, Outcome
from tests.storm.linearizability import Undecided, check_register

OK, FAILED, REFUSED = Outcome.OK, Outcome.FAILED, Outcome.REFUSED
NOTHING_THERE, UNKNOWN = Outcome.NOTHING_THERE, Outcome.UNKNOWN


def h() -> History:
    return History()


GOOD = {
    "nothing happened": h(),
    "read of nothing": h().get(ABSENT, 1, 2),
    "write and read": h().put("a", 1, 2).get("a", 3, 4),
    "read during a write sees the old": h().put("a", 1, 2).put("b", 3, 9).get("a", 4, 5),
    "read during a write sees the new": h().put("a", 1, 2).put("b", 3, 9).get("b", 4, 5),
    "reads during a write see old, then new": h().put("a", 1, 9).get(ABSENT, 2, 3).get("a", 4, 5),
    "writes at once, either wins": h().put("a", 1, 5).put("b", 2, 4).get("a", 6, 7),
    "read that overlaps both writes": h().put("a", 1, 2).put("b", 3, 4).get("a", 1, 5),
    "deleted and gone": h().put("a", 1, 2).delete(3, 4).get(ABSENT, 5, 6),
    "delete during a write": h().put("a", 1, 5).delete(2, 4).get("a", 6, 7),
    "unknown write never shows": h().put("a", 1, 2).put("b", 3, 4, UNKNOWN).get("a", 5, 6),
    "unknown write shows at once": h().put("a", 1, 2).put("b", 3, 4, UNKNOWN).get("b", 5, 6),
    "unknown write shows late": h().put("a", 1, 2).put("b", 3, 4, UNKNOWN).get("a", 5, 6).get("b", 7, 8),
    "unknown write comes after a later one": h().put("b", 1, 2, UNKNOWN).put("a", 3, 4).get("a", 5, 6).get("b", 7, 8),
    "unknown delete takes effect": h().put("a", 1, 2).delete(3, 4, UNKNOWN).get("a", 5, 6).get(ABSENT, 7, 8),
    "unknown delete does not": h().put("a", 1, 2).delete(3, 4, UNKNOWN).get("a", 5, 6),
    "failed write does not show": h().put("a", 1, 2).put("b", 3, 4, FAILED).get("a", 5, 6),
    "unknown reads tell nothing": h().put("a", 1, 2).get(ABSENT, 3, 4, UNKNOWN),
    "if absent on nothing": h().put_if_absent("a", 1, 2).get("a", 3, 4),
    "if absent refused": h().put("a", 1, 2).put_if_absent("b", 3, 4, REFUSED).get("a", 5, 6),
    "one of two wins": h().put_if_absent("a", 1, 5).put_if_absent("b", 2, 6, REFUSED).get("a", 7, 8),
    "both win, with a delete between": h().put_if_absent("a", 1, 2).delete(2, 5).put_if_absent("b", 4, 6),
    "refused because of an unknown write": h().put("a", 1, 2, UNKNOWN).put_if_absent("b", 3, 4, REFUSED),
    "refused, and a second unknown one shows": h()
    .put("a", 1, 2, UNKNOWN)
    .put("c", 1, 2, UNKNOWN)
    .put_if_absent("b", 3, 4, REFUSED)
    .get("c", 5, 6),
    "unknown delete, then unknown if absent": h()
    .put("a", 1, 2)
    .delete(3, 4, UNKNOWN)
    .put_if_absent("b", 3, 4, UNKNOWN)
    .get("b", 5, 6),
    "if match": h().put("a", 1, 2).put_if_match("b", "a", 3, 4).get("b", 5, 6),
    "if match refused": h().put("a", 1, 2).put("c", 3, 4).put_if_match("b", "a", 5, 6, REFUSED),
    "if match on nothing": h().put_if_match("b", "a", 1, 2, NOTHING_THERE).put("a", 3, 4),
    "if match of an unknown write": h().put("a", 1, 2, UNKNOWN).put_if_match("b", "a", 3, 4).get("b", 5, 6),
    "if match refused because of an unknown one": h()
    .put("a", 1, 2)
    .put("c", 3, 4, UNKNOWN)
    .put_if_match("b", "a", 5, 6, REFUSED)
    .get("c", 7, 8),
    "copy of unknown outcome, seen": h().put("a", 1, 2).copy(("x", "y", "?"), 3, 4, UNKNOWN).get("y", 5, 6),
    "copy of unknown outcome, unseen": h().copy(("x", "?"), 1, 2, UNKNOWN).put_if_absent("a", 3, 4, REFUSED),
    "the same copy twice": h().copy(("x",), 1, 2).put("a", 3, 4).copy(("x",), 5, 6).get("x", 7, 8),
}

BAD = {
    "lost write": h().put("a", 1, 2).get(ABSENT, 3, 4),
    "lost overwrite": h().put("a", 1, 2).put("b", 3, 4).get("a", 5, 6),
    "stale read after a write was acknowledged": h().put("a", 1, 2).put("b", 3, 4).get("b", 5, 6).get("a", 7, 8),
    "phantom": h().put("a", 1, 2).get("x", 3, 4),
    "read of what is written later": h().get("a", 1, 2).put("a", 3, 4),
    "read of an unknown write before it began": h().get("a", 1, 2).put("a", 3, 4, UNKNOWN),
    "resurrected delete": h().put("a", 1, 2).delete(3, 4).get("a", 5, 6),
    "delete that comes and goes": h().put("a", 1, 2).delete(3, 4, UNKNOWN).get(ABSENT, 5, 6).get("a", 7, 8),
    "failed write that shows": h().put("a", 1, 2).put("b", 3, 4, FAILED).get("b", 5, 6),
    "failed write that shows later": h().put("b", 1, 2, FAILED).get(ABSENT, 3, 4).get("b", 5, 6),
    "failed delete that shows": h().put("a", 1, 2).delete(3, 4, FAILED).get(ABSENT, 5, 6),
    "if absent won twice": h().put_if_absent("a", 1, 5).put_if_absent("b", 2, 6),
    "if absent won over an object": h().put("a", 1, 2).put_if_absent("b", 3, 4),
    "if absent refused on nothing": h().put_if_absent("a", 1, 2, REFUSED),
    "refused write that shows": h().put("a", 1, 2).put_if_absent("b", 3, 4, REFUSED).get("b", 5, 6),
    "if match of what is gone": h().put("a", 1, 2).put("b", 3, 4).put_if_match("c", "a", 5, 6),
    "if match won twice": h().put("a", 1, 2).put_if_match("b", "a", 3, 6).put_if_match("c", "a", 4, 5),
    "if match refused although it holds": h().put("a", 1, 2).put_if_match("b", "a", 3, 4, REFUSED),
    "if match finds nothing where there is something": h().put("a", 1, 2).put_if_match("b", "a", 3, 4, NOTHING_THERE),
    "read going back during a write": h().put("a", 1, 2).put("b", 3, 9).get("b", 4, 5).get("a", 6, 7),
    "reads in two orders": h().put("a", 1, 9).put("b", 1, 9).get("a", 10, 11).get("b", 12, 13),
    "unknown write seen, unseen, seen": h()
    .put("a", 1, 2)
    .put("b", 3, 4, UNKNOWN)
    .get("b", 5, 6)
    .get("a", 7, 8)
    .get("b", 9, 10),
    "unknown write takes effect twice": h()
    .put("b", 1, 2, UNKNOWN)
    .get("b", 3, 4)
    .put("a", 5, 6)
    .get("a", 7, 8)
    .get("b", 9, 10),
    "one unknown delete, two disappearances": h()
    .put("a", 1, 2)
    .delete(3, 4, UNKNOWN)
    .get(ABSENT, 5, 6)
    .put("b", 7, 8)
    .get(ABSENT, 9, 10),
    "unknown if absent over an object": h()
    .put("a", 1, 2)
    .put_if_absent("b", 3, 4, UNKNOWN)
    .get("a", 5, 6)
    .get("b", 7, 8),
    "copy shows what it cannot have copied": h().copy(("x", "?"), 1, 2, UNKNOWN).get("y", 3, 4),
    "copy of unknown outcome takes effect as two values": h()
    .copy(("x", "y", "?"), 1, 2, UNKNOWN)
    .get("x", 3, 4)
    .get("y", 5, 6),
    "no unknown write explains the refusal": h().put_if_absent("b", 1, 2, REFUSED).put("a", 3, 4, UNKNOWN),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_history_is_accepted(name: str) -> None:
    assert check_register(GOOD[name].calls) is None
    assert is_linearizable_by_force(GOOD[name].calls)


@pytest.mark.parametrize("name", BAD)
def test_bad_history_is_refused(name: str) -> None:
    violation = check_register(BAD[name].calls)
    assert violation is not None
    assert "key" in str(violation)
    assert not is_linearizable_by_force(BAD[name].calls)


def random_history(draw: random.Random) -> list[Call]:
    """A few calls at random, most of them nearly right, since histories that are wrong everywhere test little."""
    history = History()
    names = ["a", "b", "c"]
    for number in range(draw.randint(2, 6)):
        begin = draw.randrange(12)
        end = begin + draw.randint(1, 6)
        kind = draw.randrange(10)
        outcome = draw.choice((OK, OK, OK, UNKNOWN))
        value, other = f"{draw.choice(names)}{number if draw.random() < 0.5 else ''}", draw.choice(names)
        if kind < 4:
            history.get(draw.choice((ABSENT, *names)), begin, end)
        elif kind < 6:
            history.put(draw.choice((value, other)), begin, end, draw.choice((outcome, outcome, FAILED)))
        elif kind < 7:
            history.delete(begin, end, outcome)
        elif kind < 8:
            history.put_if_absent(value, begin, end, draw.choice((outcome, REFUSED)))
        elif kind < 9:
            history.put_if_match(value, other, begin, end, draw.choice((outcome, REFUSED, NOTHING_THERE)))
        else:
            history.copy((value, other), begin, end, UNKNOWN)
    return history.calls


@pytest.mark.parametrize("seed", range(8))
def test_verdict_is_that_of_trying_every_order(seed: int) -> None:
    draw = random.Random(seed)
    accepted = 0
    for _ in range(400):
        calls = random_history(draw)
        expected = is_linearizable_by_force(calls)
        assert (check_register(calls) is None) == expected, "\n".join(map(str, calls))
        accepted += expected
    assert 40 < accepted < 360  # both verdicts were put to the test


def test_long_history_with_many_unknown_writes_is_decided() -> None:
    """What a hot key of a long storm looks like: the search must not grow with the unknown calls."""
    draw = random.Random(1)
    history, state, at = History(), ABSENT, 0
    for number in range(1500):
        at += 10
        if draw.random() < 0.1:
            history.put(f"u{number}", at, at + 15, UNKNOWN)
            state = f"u{number}" if draw.random() < 0.5 else state
        elif draw.random() < 0.4:
            state = f"v{number}"
            history.put(state, at, at + 5)
        elif draw.random() < 0.2 and state != ABSENT:
            history.put_if_absent(f"n{number}", at, at + 5, REFUSED)
        else:
            history.get(state, at, at + 25)
    calls = history.calls
    assert check_register(calls) is None
    assert (
        check_register(History().put("a", 0, 1).calls + calls + History().get("a", at + 50, at + 51).calls) is not None
    )


def test_search_that_grows_too_large_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearizability, "MOST_CONFIGURATIONS", 1)
    with pytest.raises(Undecided, match="2 calls"):
        check_register(h().put("a", 1, 2).put("b", 3, 4).calls)
