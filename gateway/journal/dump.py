"""Reading the whole state of an index, in pages, while it changes.

Whatever is there from the first page to the last is read; what comes, goes or changes meanwhile may be read in either
form, or not at all. That is enough for a snapshot, over which the journal is replayed.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import IndexFault
from gateway.journal.snapshot_format import Row, RowKind

PAGE_MEMBERS = 1000
"""Some 0.3 ms of the server."""

STRINGS_AT_ONCE = 32
"""Layouts may have some hundreds of KiB each."""

_ABSENT = -2
"""What PEXPIRETIME says of a key that is not there; -1 of one that stays."""


async def state_rows(raw: Connection) -> AsyncGenerator[Row, None]:
    """The rows of every key that is state, in no order that means anything. Raises IndexUnavailable, IndexFault."""
    async for names in state_keys(raw):
        kinds = await asyncio.gather(*(raw.command("TYPE", name) for name in names))
        strings = []
        for name, kind in zip(names, kinds, strict=True):
            if kind == b"string":
                strings.append(name)
                continue
            async for row in rows_of_key(raw, name, kind):
                yield row
        for start in range(0, len(strings), STRINGS_AT_ONCE):
            for string in await asyncio.gather(
                *(_string(raw, name) for name in strings[start : start + STRINGS_AT_ONCE])
            ):
                if string is not None:
                    yield string


async def state_keys(raw: Connection) -> AsyncGenerator[list[bytes], None]:
    """Pages of the names of all keys that are state; a name may come twice. Raises IndexUnavailable, IndexFault."""
    cursor: Any = b"0"
    while True:
        cursor, names = await raw.command("SCAN", cursor, "MATCH", keys.everything(), "COUNT", PAGE_MEMBERS)
        if found := [name for name in names if keys.is_state(name)]:
            yield found
        if cursor == b"0":
            return


async def rows_of_key(raw: Connection, name: bytes, kind: bytes) -> AsyncGenerator[Row, None]:
    """The rows of one key of this type, none where it is gone. Raises IndexUnavailable, IndexFault."""
    if kind == b"none":
        return
    if kind == b"string":
        if (string := await _string(raw, name)) is not None:
            yield string
    elif kind == b"zset" and keys.is_lexical(name):
        async for members in _lexical_pages(raw, name):
            yield (RowKind.LEXICAL, name, members)
    elif kind == b"zset":
        async for page in _scan_pages(raw, "ZSCAN", name):
            scored: list[bytes] = [b""] * len(page)
            scored[::2], scored[1::2] = page[1::2], page[::2]
            yield (RowKind.SCORED, name, scored)
    elif kind == b"hash":
        async for page in _scan_pages(raw, "HSCAN", name):
            yield (RowKind.HASH, name, page)
    elif kind == b"set":
        async for page in _scan_pages(raw, "SSCAN", name):
            yield (RowKind.SET, name, page)
    else:
        raise IndexFault(f"{name.decode(errors='replace')} is a {kind.decode()}, which no snapshot can hold")


def member_count(row: Row) -> int:
    """How many members, fields or values a row has."""
    match row[0]:
        case RowKind.LEXICAL | RowKind.SET:
            return len(row[2])
        case RowKind.SCORED | RowKind.HASH:
            return len(row[2]) // 2
    return 1


async def _string(raw: Connection, name: bytes) -> Row | None:
    value, expires_ms = await asyncio.gather(raw.command("GET", name), raw.command("PEXPIRETIME", name))
    if value is None or expires_ms == _ABSENT:  # it may expire between the two
        return None
    return (RowKind.STRING, name, value, max(0, expires_ms))


async def _lexical_pages(raw: Connection, name: bytes) -> AsyncGenerator[list[bytes], None]:
    lower = b"-"
    while True:
        members: list[bytes] = await raw.command("ZRANGEBYLEX", name, lower, "+", "LIMIT", 0, PAGE_MEMBERS)
        if members:
            yield members
            lower = b"(" + members[-1]
        if len(members) < PAGE_MEMBERS:
            return


async def _scan_pages(raw: Connection, command: str, name: bytes) -> AsyncGenerator[list[bytes], None]:
    cursor: Any = b"0"
    while True:
        cursor, page = await raw.command(command, name, cursor, "COUNT", PAGE_MEMBERS)
        if page:
            yield page
        if cursor == b"0":
            return
