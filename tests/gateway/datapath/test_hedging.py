"""When to ask a second replica: the bound that follows recent reads, the budget, nodes that lose again and again."""

import pytest

from gateway.datapath.hedging import HedgeLimits, Hedging, LatencyWindow

KIB = 1024


def test_p95_is_unknown_until_there_are_enough_samples() -> None:
    window = LatencyWindow()
    for _ in range(LatencyWindow.LEAST_SAMPLES - 1):
        window.add(1.0)
    assert window.p95 is None
    window.add(1.0)
    assert window.p95 == 1.0


def test_p95_is_the_sample_that_95_in_a_hundred_do_not_exceed() -> None:
    window = LatencyWindow()
    for number in range(1, 101):
        window.add(float(number))
    assert window.p95 == 95.0


def test_p95_forgets_what_is_long_ago() -> None:
    window = LatencyWindow()
    for _ in range(LatencyWindow.SAMPLES):
        window.add(9.0)
    for _ in range(LatencyWindow.SAMPLES):
        window.add(0.001)
    assert window.p95 == 0.001


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.001, 0.05), (0.016, 0.05), (0.1, 0.3), (0.333, 0.999), (2.0, 1.0)],
)
def test_bound_is_three_times_the_p95_within_its_limits(seconds: float, expected: float) -> None:
    hedging = Hedging()
    for _ in range(100):
        hedging.delivered("n", 10, seconds)
    assert hedging.bound_s(10) == pytest.approx(expected)


def test_each_size_class_has_a_bound_of_its_own() -> None:
    hedging = Hedging()
    for _ in range(100):
        hedging.delivered("n", 64 * KIB, 0.1)
        hedging.delivered("n", 1024 * KIB, 0.2)
    assert hedging.bound_s(1) == pytest.approx(0.3)
    assert hedging.bound_s(64 * KIB + 1) == pytest.approx(0.6)
    assert hedging.bound_s(1024 * KIB + 1) == hedging.limits.unknown_s


def test_the_time_of_the_loser_counts_so_that_the_bound_grows_when_all_are_slow() -> None:
    hedging = Hedging()
    for number in range(100):
        hedging.lost(f"n{number}", 10, 0.2)
    assert hedging.bound_s(10) == pytest.approx(0.6)


def test_budget_allows_a_burst_and_then_one_hedge_in_twenty_reads() -> None:
    hedging = Hedging(HedgeLimits(burst=10.0, share=0.05))
    allowed = 0
    for _ in range(2000):
        hedging.began()
        allowed += hedging.may_hedge()
    assert 100 <= allowed <= 110


def test_budget_is_not_saved_up_beyond_the_burst() -> None:
    hedging = Hedging(HedgeLimits(burst=10.0))
    for _ in range(10_000):
        hedging.began()
    assert sum(hedging.may_hedge() for _ in range(100)) == 10


def test_node_is_doubted_after_losing_three_times_in_a_row() -> None:
    hedging = Hedging()
    assert [hedging.lost("n", 10, 1.0) for _ in range(6)] == [False, False, True, False, False, True]


def test_a_delivery_in_time_clears_a_node() -> None:
    hedging = Hedging()
    for _ in range(5):
        assert not hedging.lost("n", 10, 1.0)
        assert not hedging.fell_silent("n")
        hedging.delivered("n", 10, 0.01)
