"""Explanations of refusals: bounded in number and age, and no part of the state."""

import asyncio

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.explanations import KEPT_MS
from gateway.index.store import Index


async def test_kept_by_request_id(index: Index) -> None:
    await index.put_explanations([("A", b"\x00one"), ("B", b"two")])
    assert [await index.get_explanation(name) for name in "ABC"] == [b"\x00one", b"two", None]


async def test_of_too_many_the_newest_stay(index: Index, connection: Connection) -> None:
    for number in range(6):
        await index.put_explanations([(f"R{number}", b"x")], most=4)
        await asyncio.sleep(0.002)  # times are whole milliseconds, and the order of one millisecond is open
    assert [await index.get_explanation(f"R{number}") for number in range(6)] == [None, None, *[b"x"] * 4]
    assert await connection.command("ZCARD", keys.explanation_times()) == 4


async def test_old_ones_go_with_the_next(index: Index, connection: Connection) -> None:
    await index.put_explanations([("OLD", b"x"), ("NEW", b"y")])
    await connection.command("ZINCRBY", keys.explanation_times(), -KEPT_MS - 1, "OLD")
    await index.put_explanations([("NEXT", b"z")])
    assert [await index.get_explanation(name) for name in ("OLD", "NEW", "NEXT")] == [None, b"y", b"z"]
    for name in (keys.explanations(), keys.explanation_times()):
        assert 0 < await connection.command("PTTL", name) <= KEPT_MS


async def test_not_journaled_and_no_state(index: Index, connection: Connection) -> None:
    before = await connection.command("XLEN", keys.journal_stream())
    await index.put_explanations([("A", b"x")])
    assert await connection.command("XLEN", keys.journal_stream()) == before
    assert not keys.is_state(keys.explanations().encode())
    assert not keys.is_state(keys.explanation_times().encode())
