"""The journal's books on the index server: the stream of entries, how far it is durable, for whom it is open.

An entry is what one change did, `[format, number, time (ms), kind, [[command, argument, …], …], cause]` in msgpack,
made in `commit_change` (prelude.lua). Its commands write resulting values; applied in the order of their numbers, as
often as one likes, they lead to the same state. The cause (cause.py) is missing in entries of earlier releases. Who
makes entries durable, and when an index is open, is gateway/journal's.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import IndexFailure
from gateway.index.pipe import Argument
from gateway.index.scripts import load_script
from gateway.index.server_identity import read_identity

ENTRIES_KEPT = 10_000
"""Durable entries that stay in the stream, so that a node of the journal that lagged can catch up from there."""

_ADVANCE = load_script("journal_advance")
_SET_SEGMENT = load_script("journal_set_segment")
_OPEN = load_script("journal_open")
_REPLAY = load_script("journal_replay")
_LEASE = load_script("recovery_lease")
_BEGIN_RESTORE = load_script("begin_restore")
_LOAD = load_script("load_restored")

_KEYS_A_PAGE = 1000
_REPLAY_BYTES = 1024 * 1024
"""Of one call: some 10 ms in which the server does nothing else."""


class ReplayGap(IndexFailure):
    """The entries do not begin where the index ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalState:
    """What the index server says of itself and of its journal. Texts are empty where it says nothing."""

    identity: str  # of the server as it is now
    is_master: bool
    opened: str  # the identity for which the index was opened last
    incarnation: str  # the name of that opening, which no other ever has
    epoch: int
    segment: bytes  # the header of the journal's open segment, packed
    watermark: int  # every change up to it is durable
    sequence: int | None  # the number of the last change; None: there is no index
    restored: int | None  # how far the restoring of an index has come; None: none is being restored


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreClaim:
    """By what the index server tells the writes of the recovery that goes on from those of one that lost its lease."""

    token: str  # never used twice
    old_epoch: int | None = None  # the journal's, as the recovery found it; None: any


class JournalFeed:
    """Over a guarded connection to ship, over one without a guard to recover. Raises IndexUnavailable, IndexFault."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read_state(self) -> JournalState:
        """How it stands at the moment."""
        identity, is_master = await read_identity(self._connection.command)
        names = ("opened", "incarnation", "epoch", "segment", "watermark")
        opened, incarnation, epoch, segment, watermark = await self._connection.command("HMGET", keys.journal(), *names)
        sequence = await self._connection.command("GET", keys.sequence())
        restored = await self._connection.command("HGET", keys.restored(), "sequence")
        return JournalState(
            identity=identity,
            is_master=is_master,
            opened=_text(opened),
            incarnation=_text(incarnation),
            epoch=int(epoch or 0),
            segment=segment or b"",
            watermark=int(watermark or 0),
            sequence=None if sequence is None else int(sequence),
            restored=None if restored is None else int(restored),
        )

    async def watermark(self) -> int:
        """Every change up to it is durable."""
        return int(await self._connection.command("HGET", keys.journal(), "watermark") or 0)

    async def entries(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` entries that follow change `after` without a gap, by number; none where the next is missing."""
        start = f"{after + 1}-0"
        found = await self._connection.command("XRANGE", keys.journal_stream(), start, "+", "COUNT", limit)
        numbered = [(int(stream_id.partition(b"-")[0]), fields[1]) for stream_id, fields in found]
        contiguous = 0
        while contiguous < len(numbered) and numbered[contiguous][0] == after + 1 + contiguous:
            contiguous += 1
        return numbered[:contiguous]

    async def advance(self, *, epoch: int, watermark: int) -> bool:
        """Say how far the journal is durable; False, and nothing is noted, when the epoch is another by now."""
        names = (keys.journal(), keys.journal_stream(), keys.pending())
        return bool(await self._connection.transient(_ADVANCE, names, (epoch, watermark, ENTRIES_KEPT)))

    async def set_segment(self, *, old_epoch: int, epoch: int, segment: bytes) -> bool:
        """Name the segment in which the journal goes on; False when the epoch is no longer `old_epoch`."""
        arguments = (old_epoch, epoch, segment)
        return bool(await self._connection.transient(_SET_SEGMENT, (keys.journal(),), arguments))

    async def open(
        self,
        *,
        identity: str,
        incarnation: str,
        epoch: int,
        segment: bytes,
        watermark: int,
        old_epoch: int | None = None,
        token: str = "",
    ) -> bool:
        """Open the index to clients, as the last step of a recovery.

        False, and nothing is done, when the epoch is no longer `old_epoch`, or what was restored was not restored under
        `token` (empty: any): another recovery came first. Raises IndexNotOpen when the index ends before `watermark`:
        the server was emptied meanwhile.
        """
        names = (
            keys.journal(),
            keys.sequence(),
            keys.restored(),
            keys.pending(),
            keys.journal_stream(),
        )
        expected = "" if old_epoch is None else old_epoch
        arguments = (identity, incarnation, epoch, segment, watermark, expected, token)
        return bool(await self._connection.transient(_OPEN, names, arguments))

    async def replay(self, entries: Sequence[tuple[int, bytes]], claim: RestoreClaim) -> int:
        """Apply entries, in order, that the index does not have yet; returns the number of its last change.

        Raises ReplayGap when there is a gap between them, or between the index and them; IndexNotOpen when there is no
        index, or another recovery restores or has opened it.
        """
        names = (keys.journal(), keys.sequence(), keys.restored())
        claimed = (claim.token, "" if claim.old_epoch is None else claim.old_epoch)
        sequence, first = 0, 0
        while first < len(entries) or not entries:
            batch = _batch(entries, first)
            first += max(len(batch), 1)
            gap, sequence = await self._connection.transient(_REPLAY, names, (*claimed, *batch))
            if gap:
                raise ReplayGap(f"the index ends with change {sequence}, the journal goes on behind a gap")
            if not entries:
                break
        return sequence

    async def begin_restore(self, claim: RestoreClaim) -> None:
        """Empty the index, all but the node table, and close it to clients until `open`.

        From now on only this claim can fill it. Raises IndexNotOpen when another recovery came first.
        """
        names = (keys.journal(), keys.sequence(), keys.restored())
        expected = "" if claim.old_epoch is None else claim.old_epoch
        await self._connection.transient(_BEGIN_RESTORE, names, (claim.token, expected))
        kept = {name.encode() for name in (keys.nodes(), keys.restored(), keys.recovery_lease(), keys.journal())}
        cursor: Any = b"0"
        while True:
            cursor, names = await self._connection.command(
                "SCAN", cursor, "MATCH", keys.everything(), "COUNT", _KEYS_A_PAGE
            )
            if doomed := [name for name in names if name not in kept]:
                await self.load([("UNLINK", *doomed)], claim)
            if cursor == b"0":
                return

    async def load(self, commands: Iterable[tuple[Argument, ...]], claim: RestoreClaim) -> None:
        """Execute commands that write into an index that is restored, all at once.

        Raises IndexNotOpen when another recovery came first, or the server was emptied meanwhile.
        """
        await asyncio.gather(
            *(self._connection.transient(_LOAD, (keys.restored(),), (claim.token, *words)) for words in commands)
        )

    async def end_restore(self, sequence: int, claim: RestoreClaim) -> None:
        """Say that what was loaded stands for the index after this change: `replay` goes on from there.

        Raises as `load`.
        """
        await self.load([("HSET", keys.restored(), "sequence", sequence)], claim)

    async def try_recovery_lease(self, holder: str, *, ttl_ms: int) -> bool:
        """Take or renew the right to recover the index; False while another process has it."""
        return bool(await self._connection.transient(_LEASE, (keys.recovery_lease(),), (holder, ttl_ms)))

    async def release_recovery_lease(self, holder: str) -> None:
        """Give it up."""
        await self._connection.transient(_LEASE, (keys.recovery_lease(),), (holder, 0))


def _batch(entries: Sequence[tuple[int, bytes]], first: int) -> list[bytes]:
    """As many entries, one at least, as one call should apply."""
    batch: list[bytes] = []
    size_bytes = 0
    for _, entry in entries[first:]:
        if batch and size_bytes + len(entry) > _REPLAY_BYTES:
            break
        batch.append(entry)
        size_bytes += len(entry)
    return batch


def _text(stored: bytes | None) -> str:
    return "" if stored is None else stored.decode()
