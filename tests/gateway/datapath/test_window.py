"""The window of a segment: every cursor gets every block in order, and memory stays bounded."""

import asyncio

from gateway.datapath.window import BlockWindow, Cursor


def make(limit_bytes: int = 10) -> tuple[BlockWindow, list[None]]:
    spaces: list[None] = []
    return BlockWindow(limit_bytes=limit_bytes, on_space=lambda: spaces.append(None)), spaces


async def drain(cursor: Cursor) -> bytes:
    return b"".join([block async for block in cursor])


async def test_every_cursor_gets_every_block_in_order() -> None:
    window, _ = make(limit_bytes=100)
    readers = [asyncio.create_task(drain(window.open_cursor())) for _ in range(3)]
    for block in (b"one", b"two", b"", b"three"):
        window.append(block)
        await asyncio.sleep(0)
    window.close()
    assert await asyncio.gather(*readers) == [b"onetwothree"] * 3


async def test_the_slowest_cursor_decides_when_there_is_space() -> None:
    window, spaces = make()
    fast, slow = window.open_cursor(), window.open_cursor()
    for _ in range(3):
        window.append(b"12345")
        assert await window.next_block(fast) == b"12345"
    assert window.full
    assert not spaces
    assert await window.next_block(slow) == b"12345"
    assert not window.full
    assert spaces


async def test_a_dropped_cursor_holds_nothing_back() -> None:
    window, spaces = make()
    fast, stuck = window.open_cursor(), window.open_cursor()
    for _ in range(3):
        window.append(b"12345")
        await window.next_block(fast)
    window.drop_cursor(stuck)
    assert not window.full
    assert spaces


async def test_a_late_cursor_starts_at_the_first_byte_as_long_as_nothing_was_let_go() -> None:
    window, _ = make()
    early = window.open_cursor()
    window.append(b"12345")
    window.append(b"67890")
    assert [await window.next_block(early), await window.next_block(early)] == [b"12345", b"67890"]
    assert window.replayable
    late = window.open_cursor()
    window.close()
    assert await drain(late) == b"1234567890"


async def test_past_the_limit_there_is_no_replay_and_only_unsent_blocks_are_held() -> None:
    window, _ = make()
    cursor = window.open_cursor()
    for _ in range(3):
        window.append(b"12345")
    assert window.replayable  # all is still there, because the cursor has not moved
    for _ in range(3):
        await window.next_block(cursor)
    assert not window.replayable
    window.append(b"x")
    assert not window.replayable
    assert await window.next_block(cursor) == b"x"


async def test_a_segment_of_one_block_is_taken_whole() -> None:
    window, _ = make(limit_bytes=3)
    cursor = window.open_cursor()
    window.append(b"12345")
    assert window.take_whole(cursor) is None  # more may follow
    window.close()
    assert window.take_whole(cursor) == b"12345"
    assert window.exhausted(cursor)
