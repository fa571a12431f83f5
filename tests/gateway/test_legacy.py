"""The old routes' own bounds; what they do with objects is tested through curl."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway import legacy
from gateway.legacy import bounded_receive, refuse_other_sites
from s3compat.errors import S3Error


async def a_block() -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": b"x" * 60, "more_body": True}


async def silence() -> MutableMapping[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_form_without_a_length_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "SINGLE_WRITE_LIMIT_BYTES", 100)
    monkeypatch.setattr(legacy, "_FORM_OVERHEAD_BYTES", 10)
    receive = bounded_receive(a_block, 1.0)
    assert await receive() == await a_block()
    with pytest.raises(S3Error, match="EntityTooLarge"):
        await receive()


async def test_form_that_stops_coming_is_given_up() -> None:
    with pytest.raises(S3Error, match="RequestTimeout"):
        await bounded_receive(silence, 0.01)()


@pytest.mark.parametrize("headers", [{"host": "127.0.0.1:8000"}, {"host": "h:1", "origin": "http://h:1"}])
def test_tools_and_pages_of_the_same_origin_may_use_the_old_routes(headers: dict[str, str]) -> None:
    refuse_other_sites(headers)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:8001"])
def test_form_of_another_site_is_refused(origin: str) -> None:
    with pytest.raises(S3Error, match="AccessDenied"):
        refuse_other_sites({"host": "127.0.0.1:8000", "origin": origin})
