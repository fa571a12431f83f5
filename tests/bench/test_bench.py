"""The benchmark runs to its end and its arithmetic is right; how fast anything is, is not tested here."""

import json
import sys

import pytest

from bench.__main__ import MEASURES
from bench.report import Measurement, as_json
from bench.wire import Answer, parse_head
from tests.harness.cairn import PROJECT, clean_environment
from tests.harness.tools import run


def test_every_measurement_runs_on_a_small_scale() -> None:
    command = [sys.executable, "-m", "bench", "--rounds", "1", "--size-mib", "2", "--requests", "40", "--json"]
    done = run(*command, cwd=PROJECT, env=clean_environment())
    measured = json.loads(done.stdout)
    assert len(measured) == len(MEASURES)
    assert all(found["ratio"] > 0 for found in measured)
    assert {found["name"] for found in measured if found["target"]} == {"GET 2 MiB", "PUT 2 MiB, signed payload"}


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    found = Measurement(
        name="x", unit="1/s", cairn=(1.0, 8.0, 30.0), yardstick=(10.0, 10.0, 60.0), yardstick_name="y", target=0.5
    )
    assert found.ratio == 0.5
    assert found.is_met
    assert json.loads(as_json([found]))[0]["is_met"] is True


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12", Answer(status=200, body_size_bytes=12)),
        (b"HTTP/1.1 206 Partial Content\r\ncontent-length:3\r\nx: y", Answer(status=206, body_size_bytes=3)),
        (b"HTTP/1.1 204 No Content", Answer(status=204, body_size_bytes=0)),
    ],
)
def test_head_of_an_answer_is_read(head: bytes, answer: Answer) -> None:
    assert parse_head(head) == answer
