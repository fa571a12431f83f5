"""`cairn status` as a command: exit statuses, JSON, and errors before there is anything to tell."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.status import command
from gateway.status.findings import judge
from gateway.status.report import StatusReport
from tests.gateway.status import making
from tests.gateway.status.making import SETTINGS, gathered

REPORTS: dict[str, tuple[dict[str, Any], int]] = {
    "healthy": ({}, 0),
    "degraded": ({"index": making.index(worker_active=False)}, 1),
    "unreachable": ({"nodes_from_index": False, "nodes": [], "unknown": {"nodes": "refused"}}, 2),
}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("REDIS_HOST", "CAIRN_CONFIG", "CAIRN_CLUSTER_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, report: StatusReport, *arguments: str) -> tuple[Result, list[Any]]:
    asked: list[Any] = []

    async def gather(environment: Mapping[str, str], data: str | None, addresses: Sequence[str] = ()) -> StatusReport:
        del environment
        asked.append((data, list(addresses)))
        return report

    monkeypatch.setattr(command, "gather_status", gather)
    return CliRunner().invoke(app, ["status", *arguments]), asked


@pytest.mark.parametrize("name", list(REPORTS))
def test_the_exit_status_is_the_verdict(environment: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    changes, expected = REPORTS[name]
    report = judge(gathered(**changes), SETTINGS)
    result, asked = run(monkeypatch, report, "--data", str(environment), "--node", "a:1", "--node", "b:2")
    assert result.exit_code == expected
    assert result.output.splitlines()[0].startswith(name)
    assert asked == [(str(environment), ["a:1", "b:2"])]
    result, _ = run(monkeypatch, report, "--json")
    assert result.exit_code == expected
    assert json.loads(result.stdout)["health"] == name


def test_a_directory_without_an_index_is_unreachable(environment: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--data", str(environment)])
    assert result.exit_code == 2
    assert "holds no index" in result.stderr


def test_a_wrong_setting_is_named(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_TIMEOUT", "soon")
    result = CliRunner().invoke(app, ["status", "--data", str(environment)])
    assert result.exit_code == 2
    assert "NODE_TIMEOUT" in result.stderr
