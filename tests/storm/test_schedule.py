"""Schedules are drawn as asked for, and the same from the same seed."""

from collections import Counter

from tests.storm.schedule import KILLS, Fault, FaultKind, Switches, draw_schedule

PROCESSES = ["node-1", "node-2", "node-3", "worker-1", "gateway-1", "gateway-2"]
LINKS = ["node-1", "gateway-1>redis"]


def draw(seed: int = 1, kills: int = 500, **switches: object) -> list[Fault]:
    chosen = Switches(**switches)  # type: ignore[arg-type]
    return draw_schedule(seed, seconds=1000, kills=kills, processes=PROCESSES, links=LINKS, switches=chosen)


def test_same_seed_same_schedule_and_another_another() -> None:
    assert draw(1) == draw(1) != draw(2)


def test_as_many_kills_as_asked_for_spread_over_time_and_roles() -> None:
    kills = [fault for fault in draw() if fault.kind in KILLS]
    assert len(kills) == 500
    assert [fault.at_s for fault in kills] == sorted(fault.at_s for fault in kills)
    assert all(sum(start <= fault.at_s < start + 100 for fault in kills) > 30 for start in range(0, 1000, 100))
    assert set(Counter(fault.target for fault in kills)) == {*PROCESSES, "redis"}


def test_nothing_happens_that_was_not_asked_for() -> None:
    kinds = {fault.kind for fault in draw(network=False, pauses=False)}
    assert kinds == {FaultKind.KILL, FaultKind.TERMINATE}


def test_switches_add_their_faults_and_take_the_place_of_kills() -> None:
    faults = draw(forgetful_redis=True, wipes=3, lost_nodes=2)
    kinds = Counter(fault.kind for fault in faults)
    assert (kinds[FaultKind.WIPE] + kinds[FaultKind.FLUSH], kinds[FaultKind.LOSE_NODE]) == (3, 2)
    assert kinds[FaultKind.FORGET] > 10
    assert len([fault for fault in faults if fault.kind in KILLS]) == 500
    lost = [fault.target for fault in faults if fault.kind is FaultKind.LOSE_NODE]
    assert len(set(lost)) == 2
