"""The index against the journal: rebuilt on a scratch server up to one change and compared with the live one.

The live index goes on changing. So the first comparison, page by page, only gathers suspects; each suspect is then read
from the live index together with the number of its last change, the scratch index is brought to exactly that change,
and what differs then differs.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from gateway.fsck.findings import Finding, FindingKind, Report
from gateway.fsck.journal_check import journal_entries
from gateway.fsck.surroundings import Surroundings
from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.journal_feed import JournalFeed, ReplayGap, RestoreClaim
from gateway.journal.chain import Link
from gateway.journal.dump import state_rows
from gateway.journal.failures import JournalBlocked
from gateway.journal.restore import restore_newest
from gateway.journal.snapshot_format import Row, RowKind

SUSPECTS_AT_ONCE = 50
_ATTEMPTS = 20
_WAIT_S = 0.05
_SHOWN_BYTES = 60

Suspect = tuple[RowKind, bytes, bytes]
"""Kind of row, key, and member or field; b"" for a string."""

_STREAM_PAGE = 1000


class Rebuilt:
    """The index that the journal leads to, on a scratch server, at one change after another."""

    def __init__(self, around: Surroundings, scratch: Connection) -> None:
        self._around = around
        self.connection = scratch
        self._feed = JournalFeed(scratch)
        self._claim = RestoreClaim(token="fsck")  # nobody else writes there
        self.sequence = 0

    async def rebuild(self, chain: Sequence[Link], last: int) -> None:
        """Restore the newest snapshot and replay the nodes' journal up to `last`. Raises JournalBlocked, ReplayGap."""
        around = self._around
        await self._feed.begin_restore(self._claim)
        after = await restore_newest(self._feed, self._claim, around.client, around.addresses)
        self.sequence = after
        async with aclosing(journal_entries(around, chain, after, last)) as pages:
            async for page in pages:
                self.sequence = await self._feed.replay(page, self._claim)

    async def follow(self) -> None:
        """Replay what has come meanwhile, before the live index's stream forgets it. Raises as `bring_to`."""
        more = True
        while more:
            entries = await self._around.feed.entries(self.sequence, _STREAM_PAGE)
            if entries:
                self.sequence = await self._feed.replay(entries, self._claim)
            more = len(entries) == _STREAM_PAGE

    async def bring_to(self, sequence: int) -> None:
        """Replay what the live index's own stream has since. Raises ReplayGap, IndexUnavailable."""
        while self.sequence < sequence:
            limit = min(sequence - self.sequence, _STREAM_PAGE)
            entries = await self._around.feed.entries(self.sequence, limit)
            if not entries:
                raise ReplayGap(f"entry {self.sequence + 1} is no longer in the index's stream")
            self.sequence = await self._feed.replay(entries, self._claim)


async def check_index(around: Surroundings, rebuilt: Rebuilt, chain: Sequence[Link], report: Report) -> bool:
    """Compare; whether the scratch index could be built. Raises IndexUnavailable, IndexFault."""
    state = await around.feed.read_state()
    try:
        await rebuilt.rebuild(chain, state.watermark)
    except (JournalBlocked, ReplayGap) as error:
        report.add(Finding(kind=FindingKind.NOT_CHECKED, text=f"the index cannot be rebuilt from the journal: {error}"))
        return False
    try:
        await _compare(around, rebuilt, report)
    except ReplayGap as error:
        text = f"the index changes faster than it can be compared: {error}"
        report.add(Finding(kind=FindingKind.NOT_CHECKED, text=text))
    return True


async def _compare(around: Surroundings, rebuilt: Rebuilt, report: Report) -> None:
    batch: dict[Suspect, None] = {}
    for here, there in ((around.raw, rebuilt.connection), (rebuilt.connection, around.raw)):
        async with aclosing(_suspects(here, there, report, rebuilt)) as suspects:
            async for suspect, is_absent in suspects:
                if here is rebuilt.connection and not is_absent:
                    continue  # what both have was compared the first time
                batch[suspect] = None
                if len(batch) >= SUSPECTS_AT_ONCE:
                    await _judge(around, rebuilt, list(batch), report)
                    batch.clear()
        await _judge(around, rebuilt, list(batch), report)
        batch.clear()


async def _suspects(
    here: Connection, there: Connection, report: Report, rebuilt: Rebuilt
) -> AsyncGenerator[tuple[Suspect, bool], None]:
    """What one index has and the other has otherwise, or (True) does not have."""
    async with aclosing(state_rows(here)) as rows:
        async for row in rows:
            await rebuilt.follow()
            kind, key = RowKind(row[0]), row[1]
            names, values = _items(row)
            found = await _read_many(there, kind, key, names)
            report.looked_at["index entries"] += len(names)
            for name, value, other in zip(names, values, found, strict=True):
                if value != other:
                    yield (kind, key, name), other is None


def _items(row: Row) -> tuple[list[bytes], list[Any]]:
    """Members or fields of a row, and what stands beside them."""
    kind = row[0]
    if kind == RowKind.STRING:
        return [b""], [row[2]]
    if kind == RowKind.LEXICAL:
        return row[2], [0.0] * len(row[2])
    if kind == RowKind.SET:
        return row[2], [1] * len(row[2])
    if kind == RowKind.SCORED:
        return row[2][1::2], [float(score) for score in row[2][::2]]
    return row[2][::2], row[2][1::2]


async def _read_many(connection: Connection, kind: RowKind, key: bytes, names: Sequence[bytes]) -> list[Any]:
    """What an index has beside these names, None where it has none."""
    if kind is RowKind.STRING:
        return [await connection.command("GET", key)]
    if kind is RowKind.SET:
        return [present or None for present in await connection.command("SMISMEMBER", key, *names)]
    if kind is RowKind.HASH:
        values: list[Any] = await connection.command("HMGET", key, *names)
        return values
    scores = await connection.command("ZMSCORE", key, *names)
    return [None if score is None else float(score) for score in scores]


async def _judge(around: Surroundings, rebuilt: Rebuilt, suspects: Sequence[Suspect], report: Report) -> None:
    """Raises ReplayGap, IndexUnavailable, IndexFault."""
    if not suspects:
        return
    reading = await _read_at_once(around.raw, suspects)
    if reading is None:  # too much changes in between: one after the other
        if len(suspects) == 1:
            report.add(Finding(kind=FindingKind.NOT_CHECKED, text=f"{_shown(suspects[0])} changes all the time"))
            return
        for suspect in suspects:
            await _judge(around, rebuilt, [suspect], report)
        return
    sequence, live = reading
    await rebuilt.bring_to(sequence)
    for suspect, has, should in zip(suspects, live, await _read_all(rebuilt.connection, suspects), strict=True):
        if has != should:
            report.add(_difference(suspect, has, should))


async def _read_at_once(raw: Connection, suspects: Sequence[Suspect]) -> tuple[int, list[Any]] | None:
    """What the live index has, and its last change; None where it never stood still for that long."""
    for _ in range(_ATTEMPTS):
        before, *live, after = await asyncio.gather(
            raw.command("GET", keys.sequence()),
            *(_read_many(raw, kind, key, [name]) for kind, key, name in suspects),
            raw.command("GET", keys.sequence()),
        )
        if before == after and before is not None:
            return int(before), [values[0] for values in live]
        await asyncio.sleep(_WAIT_S)
    return None


async def _read_all(connection: Connection, suspects: Iterable[Suspect]) -> list[Any]:
    found = await asyncio.gather(*(_read_many(connection, kind, key, [name]) for kind, key, name in suspects))
    return [values[0] for values in found]


def _difference(suspect: Suspect, has: Any, should: Any) -> Finding:
    if has is None:
        return Finding(kind=FindingKind.INDEX_MISSING, text=f"the index lacks {_shown(suspect)}, which the journal has")
    if should is None:
        text = f"the index has {_shown(suspect)}, to which the journal does not lead"
        return Finding(kind=FindingKind.INDEX_UNEXPLAINED, text=text)
    text = f"the index has {_brief(has)} at {_shown(suspect)}, the journal leads to {_brief(should)}"
    return Finding(kind=FindingKind.INDEX_DIFFERS, text=text)


def _shown(suspect: Suspect) -> str:
    _, key, name = suspect
    return f"{_brief(key)} {_brief(name)}".rstrip()


def _brief(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    readable = value[:_SHOWN_BYTES].decode("ascii", errors="backslashreplace")
    text = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in readable)
    return text + ("…" if len(value) > _SHOWN_BYTES else "")
