"""The status on paper: at 80 columns, plain where it is no terminal, nothing hidden that is unknown."""

import io
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway.status import report as report_records
from gateway.status.findings import judge
from gateway.status.render import render
from gateway.status.report import NodeState, StatusReport, Waiting, to_json
from gateway.status.units import bytes_text, duration_text
from tests.gateway.status import making
from tests.gateway.status.making import FAILURE, GIB, SETTINGS, gathered

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "status.md"


def text_of(report: StatusReport, *, width: int | None = None) -> str:
    output = io.StringIO()
    render(report, output, width=width)
    return output.getvalue()


def bad_report() -> StatusReport:
    return judge(
        gathered(
            nodes=[
                making.node(0, zone="a-rather-long-zone-name", address="storage-node-17.example.internal:9000"),
                making.node(
                    1, state=NodeState.DEAD, reachable=False, problem="no route", silent_s=86_400.0, scrub=None
                ),
                making.node(2, reachable=False, problem="refused"),
            ],
            journal=making.journal(nodes_missing=("0" * 15 + "1",), lag=123_456, snapshots=()),
            redundancy=making.redundancy(
                objects_by_copies={3: 900, 2: 70, 1: 20, 0: 10},
                bytes_by_copies={3: 9 * GIB, 2: GIB, 1: 5, 0: 7},
                short_objects=100,
                lost_objects=10,
            ),
            repairs=making.repairs(
                items=90,
                items_by_class={"last_copy": 20, "short": 70, "enough": 0, "move": 0},
                size_bytes=GIB,
                time_left_s=10.24,
                oldest_s=400.0,
                failing=(FAILURE,),
            ),
            reclaim=making.reclaim(due=Waiting(entries=3, size_bytes=GIB), released_copies=4, complete=False),
        ),
        SETTINGS,
    )


def test_it_is_plain_and_within_80_columns_where_it_is_no_terminal() -> None:
    for report in (judge(gathered(), SETTINGS), bad_report()):
        text = text_of(report)
        assert "\x1b" not in text
        assert max(len(line) for line in text.splitlines()) <= 80
        assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_the_first_line_is_the_verdict() -> None:
    assert text_of(judge(gathered(), SETTINGS)).splitlines()[0] == "healthy"
    assert text_of(bad_report()).startswith("degraded: 10 objects without a living copy")


def test_figures_are_there() -> None:
    text = " ".join(text_of(bad_report()).split())
    for wanted in (
        "900 with all copies, 100 short",
        "2 copies left: 70 of 1.0 GiB",
        "1 copy left: 20 of 5 B",
        "lost: 10 of 7 B",
        "90 segments waiting, 1.0 GiB",
        "last copy 20, short 70",
        "at most 100 MiB a second, 10 s left at that",
        "the oldest has waited 7 min",
        "at least 5.0 GiB (12) within the grace of 60 min",
        "due: 1.0 GiB (3)",
        "4 copies that are no longer named",
        "change 1,000,000, durable up to 999,990 (123,456 behind)",
        "0000000000000001 (no answer)",
        "no snapshot",
        "storage-node",
        "could take it",
        "add nodes",
        "[bold]not",
    ):
        assert wanted in text, wanted


def test_what_is_unknown_is_said_once_when_the_index_is_away() -> None:
    names = ("nodes", "journal", "index", "redundancy", "repairs", "reclaim")
    away = gathered(
        nodes_from_index=False,
        nodes=[making.node(0, silent_s=None)],
        **dict.fromkeys(names[1:]),
        unknown=dict.fromkeys(names, "no answer for 5 s"),
    )
    text = text_of(judge(away, SETTINGS))
    assert text.startswith("unreachable: no answer for 5 s\n")
    assert "while the index is away: nodes, journal, index, redundancy, repairs," in text
    assert "0000000000000000" in text


def test_a_section_that_failed_alone_gives_its_reason() -> None:
    text = text_of(judge(gathered(repairs=None, unknown={"repairs": "a record is damaged"}), SETTINGS))
    assert "repairs  unknown: a record is damaged" in text.replace("   ", "  ")


def test_a_terminal_gets_colours_and_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output = Terminal()
    render(bad_report(), output, width=120)
    assert "\x1b[" in output.getvalue()
    assert Console(file=output).is_terminal


def _names(record: Any) -> set[str]:
    """Every field name of the JSON document."""
    found: set[str] = set()
    if isinstance(record, dict):
        for name, value in record.items():
            found |= ({name} if not name.isdigit() else set()) | _names(value)
    elif isinstance(record, list):
        for one in record:
            found |= _names(one)
    return found


def test_json_is_complete_and_documented() -> None:
    document = json.loads(json.dumps(to_json(bad_report())))
    assert document["format"] == 1
    assert document["health"] == "degraded"
    assert document["nodes"][1]["state"] == "dead"
    assert document["findings"][0]["severity"] == "critical"
    assert document["redundancy"]["objects_by_copies"]["2"] == 70
    records = [one for one in vars(report_records).values() if isinstance(one, type) and is_dataclass(one)]
    declared = {field.name for record in records for field in fields(record)}
    names = _names(document) | _names(to_json(judge(gathered(), SETTINGS)))
    assert declared <= names
    documented = DOCUMENT.read_text(encoding="utf-8")
    missing = sorted(name for name in names if f"`{name}`" not in documented)
    assert not missing


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 << 20, "200 MiB"), (1 << 50, "1.0 PiB")],
)
def test_bytes_for_people(size_bytes: int, text: str) -> None:
    assert bytes_text(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59, "59 s"), (600, "10 min"), (7200, "2 h"), (1e6, "12 days")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
