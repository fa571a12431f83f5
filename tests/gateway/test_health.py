"""What readiness says of a gateway whose index is not open."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from gateway.health import ready
from gateway.index.errors import IndexNotOpen, IndexUnavailable
from gateway.journal.state import JournalCondition, Phase
from gateway.settings import GatewaySettings

OPEN = JournalCondition(phase=Phase.OPEN)


class FakeMembership:
    def __init__(self, *, live: int, known: int, away: bool) -> None:
        self._live, self._known, self._away = live, known, away

    async def refresh(self) -> None:
        if self._away:
            raise IndexUnavailable("away", maybe_applied=False)

    def live_nodes(self) -> list[int]:
        return list(range(self._live))

    def expected_nodes(self) -> list[int]:
        return list(range(self._known))


class FakeJournal:
    def __init__(self, condition: JournalCondition, *, restarted: bool) -> None:
        self.condition = condition
        self._restarted = restarted

    async def check_open(self) -> None:
        if self._restarted:
            raise IndexNotOpen("not opened yet on this server")


async def ask(
    condition: JournalCondition, *, live: int = 3, away: bool = False, restarted: bool = False
) -> tuple[int, Any]:
    services = SimpleNamespace(
        settings=GatewaySettings(),
        membership=FakeMembership(live=live, known=3, away=away),
        journal=FakeJournal(condition, restarted=restarted),
    )
    application = SimpleNamespace(state=SimpleNamespace(services=services))
    answer = await ready(cast(Request, SimpleNamespace(app=application)))
    return answer.status_code, json.loads(bytes(answer.body))


async def test_open_index_with_its_nodes_is_ready() -> None:
    assert await ask(OPEN) == (200, {"status": "ready"})


async def test_server_that_restarted_is_not_ready_before_the_journal_has_noticed() -> None:
    status, told = await ask(OPEN, restarted=True)
    assert status == 503
    assert told["reasons"] == ["not opened yet on this server"]


@pytest.mark.parametrize("phase", [Phase.OPENING, Phase.BLOCKED])
async def test_index_that_is_not_open_is_not_ready_and_says_why(phase: Phase) -> None:
    status, told = await ask(JournalCondition(phase=phase, reason="replaying the journal: 40 %"))
    assert status == 503
    assert told["reasons"] == ["replaying the journal: 40 %"]


async def test_too_few_nodes_and_an_index_that_is_away_are_told() -> None:
    status, told = await ask(OPEN, live=1, away=True)
    assert status == 503
    assert told["reasons"] == ["the index does not answer", "1 storage nodes are live, a write needs 2"]
