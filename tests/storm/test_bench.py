"""The bench itself: clients, recorder and checker against an S3 in memory that is right, or lies in one known way."""

import random
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.storm.clients import StormClient
from tests.storm.fake_s3 import FakeS3, Lie
from tests.storm.history import Outcome, Recorder, load
from tests.storm.keys import Keys
from tests.storm.requests import Shared
from tests.storm.storm import read_everything
from tests.storm.verdict import Verdict, judge

STEPS = 200
CLIENTS = 4


def storm_over(lie: Lie, seed: int = 1, *, at_once: bool = False) -> tuple[Recorder, Verdict]:
    """Some clients against the fake, in turns by the seed or all at once; then everything is read."""
    draw = random.Random(seed)
    fake = FakeS3(lie, random.Random(seed))
    recorder = Recorder()
    shared = Shared(recorder=recorder, keys=Keys.make(20, 10))
    clients = [
        StormClient(f"c{number}", shared, [fake], random.Random(f"{seed} {number}"), sizes=(0, 1, 300))
        for number in range(CLIENTS)
    ]
    if at_once:
        work_at_once(clients)
    else:
        for _ in range(STEPS * CLIENTS):
            draw.choice(clients).step()
    read_everything(shared, StormClient("last reader", shared, [fake], random.Random(seed)))
    return recorder, judge(recorder)


def work_at_once(clients: Sequence[StormClient]) -> None:
    def work(client: StormClient) -> None:
        for _ in range(STEPS):
            client.step()

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_wrong_with_an_s3_that_is_right(seed: int) -> None:
    recorder, verdict = storm_over(Lie.NONE, seed, at_once=True)
    assert verdict.is_clean, str(verdict)
    outcomes = {call.outcome for call in recorder.calls}
    assert outcomes >= {Outcome.OK, Outcome.UNKNOWN, Outcome.REFUSED}


@pytest.mark.parametrize("lie", [lie for lie in Lie if lie is not Lie.NONE])
def test_every_lie_is_found(lie: Lie) -> None:
    _, verdict = storm_over(lie)
    assert not verdict.is_clean
    assert not verdict.undecided


def test_history_can_be_kept_and_judged_again(tmp_path: Path) -> None:
    recorder, _ = storm_over(Lie.LOSES_WRITES)
    path = tmp_path / "history.jsonl"
    recorder.save(path)
    again = Recorder()
    again.calls = load(path)
    assert again.calls == recorder.calls
    assert judge(again).violations
