"""Who gets in, and that nobody gets in twice."""

import random

import pytest

from storagenode import guard as guard_module
from storagenode import protocol
from storagenode.errors import NodeRefused
from storagenode.guard import SEQUENCE_WINDOW, SESSION_LIMIT, RequestGuard
from storagenode.protocol import CLOCK_SKEW_MS, RequestToSign
from tests.storagenode.support import NODE_ID, NOW_MS, SECRET

REQUEST = RequestToSign(node_id=NODE_ID, method="DELETE", path_and_query="/p", body_bytes=0, origin="")


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def signed(sequence: int, *, at_ms: int = NOW_MS, session: int = 0, secret: bytes = SECRET) -> str:
    claim = protocol.authorize(secret, REQUEST, timestamp_ms=at_ms, session=f"{session:032x}", sequence=sequence)
    return claim.render()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> RequestGuard:
    return RequestGuard(SECRET, NODE_ID, clock_ms=clock)


def test_a_node_without_a_secret_is_not_made(clock: Clock) -> None:
    with pytest.raises(ValueError, match="secret"):
        RequestGuard(b"", NODE_ID, clock_ms=clock)


def test_a_request_is_served_once(guard: RequestGuard) -> None:
    guard.check(signed(0), REQUEST)
    with pytest.raises(NodeRefused, match="seen before"):
        guard.check(signed(0), REQUEST)
    guard.check(signed(1), REQUEST)
    guard.check(signed(0, session=1), REQUEST)


@pytest.mark.parametrize("header", [None, "", "Basic eDp5"])
def test_a_request_without_a_claim_is_refused(guard: RequestGuard, header: str | None) -> None:
    with pytest.raises(NodeRefused, match="no authorization"):
        guard.check(header, REQUEST)


def test_a_request_signed_with_another_secret_is_refused_and_leaves_no_trace(guard: RequestGuard) -> None:
    with pytest.raises(NodeRefused, match="signature"):
        guard.check(signed(0, secret=b"another"), REQUEST)
    guard.check(signed(0), REQUEST)


def test_a_request_is_good_for_five_minutes(guard: RequestGuard, clock: Clock) -> None:
    header, late = signed(0), signed(1)
    clock.now_ms += CLOCK_SKEW_MS
    guard.check(header, REQUEST)
    clock.now_ms += 1
    with pytest.raises(NodeRefused, match="too long ago"):
        guard.check(late, REQUEST)


def test_a_request_from_the_future_is_refused(guard: RequestGuard) -> None:
    guard.check(signed(0, at_ms=NOW_MS + CLOCK_SKEW_MS), REQUEST)
    with pytest.raises(NodeRefused, match="future"):
        guard.check(signed(1, at_ms=NOW_MS + CLOCK_SKEW_MS + 1), REQUEST)


def test_a_request_signed_before_the_node_started_is_refused(guard: RequestGuard) -> None:
    # A restarted node has forgotten what it saw.
    with pytest.raises(NodeRefused, match="started"):
        guard.check(signed(0, at_ms=NOW_MS - 1), REQUEST)


def test_requests_may_overtake_each_other_within_the_window(guard: RequestGuard) -> None:
    numbers = list(range(3 * SEQUENCE_WINDOW // 2))
    chunk = SEQUENCE_WINDOW // 2
    shuffled: list[int] = []
    for at in range(0, len(numbers), chunk):
        part = numbers[at : at + chunk]
        random.Random(at).shuffle(part)
        shuffled += part
    for number in shuffled[::50]:
        guard.check(signed(number), REQUEST)
    for number in shuffled[::50]:
        with pytest.raises(NodeRefused, match="seen before"):
            guard.check(signed(number), REQUEST)


def test_a_request_overtaken_by_a_whole_window_counts_as_seen(guard: RequestGuard) -> None:
    guard.check(signed(SEQUENCE_WINDOW), REQUEST)
    with pytest.raises(NodeRefused, match="seen before"):
        guard.check(signed(0), REQUEST)
    guard.check(signed(1), REQUEST)


def test_memory_of_a_session_is_bounded_and_still_knows_the_window(
    guard: RequestGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "SEQUENCE_WINDOW", 100)
    for number in range(1000):
        guard.check(signed(number), REQUEST)
    (session,) = guard._sessions.values()
    assert len(session.seen) <= 201
    for number in (0, 500, 899, 900, 950, 999):
        with pytest.raises(NodeRefused, match="seen before"):
            guard.check(signed(number), REQUEST)


def test_sessions_are_bounded_and_forgotten_only_when_they_could_not_be_replayed(
    guard: RequestGuard, clock: Clock
) -> None:
    for number in range(SESSION_LIMIT):
        guard.check(signed(0, session=number), REQUEST)
    with pytest.raises(NodeRefused, match="too many sessions"):
        guard.check(signed(0, session=SESSION_LIMIT), REQUEST)
    clock.now_ms += CLOCK_SKEW_MS + 1
    guard.check(signed(0, session=SESSION_LIMIT, at_ms=clock.now_ms), REQUEST)
    with pytest.raises(NodeRefused, match="too long ago"):
        guard.check(signed(0, session=0), REQUEST)
