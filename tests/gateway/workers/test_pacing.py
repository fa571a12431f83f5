"""The rate of repair, by a clock of its own."""

import asyncio

from gateway.workers.pacing import Pace


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds


async def test_bytes_pass_at_the_rate() -> None:
    time = Time()
    pace = Pace(1000.0, clock=time, sleep=time.sleep)
    for _ in range(20):
        await pace.draw(500)
    assert 9.5 <= time.now <= 10.0


async def test_a_pause_is_not_saved_up() -> None:
    time = Time()
    pace = Pace(1000.0, clock=time, sleep=time.sleep)
    time.now = 1000.0
    for _ in range(20):
        await pace.draw(500)
    assert 1009.5 <= time.now <= 1010.0


async def test_a_block_larger_than_a_second_is_paid_for() -> None:
    time = Time()
    pace = Pace(1000.0, clock=time, sleep=time.sleep)
    await pace.draw(5000)
    assert 4.5 <= time.now <= 5.0
