"""Targets of events in the index, and their cursors, which never go back."""

import pytest

from gateway.index.errors import CorruptRecord, NoSuchTarget, TargetExists
from gateway.index.event_targets import EventCursor, EventFailure, EventTarget, decode_cursor, decode_target
from gateway.index.store import Index

HOOK = EventTarget(name="hook", kind="webhook", place="http://h/", sealed_secret=b"\x00\xff", created_ms=5)
STREAM = EventTarget(name="a", kind="stream", place="events", server="host:6379")


async def test_targets_are_found_as_they_were_declared(index: Index) -> None:
    await index.add_event_target(HOOK)
    await index.add_event_target(STREAM)

    assert await index.list_event_targets() == [STREAM, HOOK]
    with pytest.raises(TargetExists):
        await index.add_event_target(HOOK)


async def test_a_new_target_hears_of_what_comes_after(index: Index) -> None:
    sequence = await index.add_event_target(HOOK)
    cursor = (await index.event_cursors())["hook"]

    assert cursor.sequence == sequence
    assert cursor.change_ms > 1_600_000_000_000
    assert (cursor.skipped, cursor.skipped_ms) == (0, 0)


async def test_a_removed_target_has_no_cursor(index: Index) -> None:
    await index.add_event_target(HOOK)
    await index.remove_event_target("hook")

    assert await index.list_event_targets() == []
    assert await index.event_cursors() == {}
    with pytest.raises(NoSuchTarget):
        await index.remove_event_target("hook")
    with pytest.raises(NoSuchTarget):
        await index.move_event_cursor("hook", EventCursor(sequence=9, change_ms=1))


async def test_a_cursor_never_goes_back(index: Index) -> None:
    await index.add_event_target(HOOK)
    ahead = EventCursor(sequence=50, change_ms=7, skipped=3, skipped_ms=4)

    assert await index.move_event_cursor("hook", ahead) > 0
    assert await index.move_event_cursor("hook", EventCursor(sequence=49, change_ms=8)) == 0
    assert await index.move_event_cursor("hook", ahead) == 0

    assert await index.event_cursors() == {"hook": ahead}


async def test_a_failure_is_kept_until_it_is_over(index: Index) -> None:
    failure = EventFailure(since_ms=12, reason="it answers 500 no ü")
    await index.note_event_failure("hook", failure)
    assert await index.event_failures() == {"hook": failure}
    await index.note_event_failure("hook", None)
    assert await index.event_failures() == {}


def test_foreign_bytes_are_no_target() -> None:
    with pytest.raises(CorruptRecord):
        decode_target(b"\x01\x90")
    with pytest.raises(CorruptRecord):
        decode_cursor(b"1 2 x 3")
