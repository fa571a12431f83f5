"""What the nodes should hold according to the index, in bytes and copies.

The rule that reclaim must keep: bytes on nodes = bytes of records and parts on each of their nodes + what waits in
the trash + orphans that were not swept yet. This is the index's side of it; the nodes' side is a listing of each.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.record_encoding import decode_reclaim
from gateway.index.records import Extent
from gateway.index.references import PAGE_MEMBERS, ReferenceKind, entry_extents, references


@dataclass(slots=True, kw_only=True)
class Holding:
    """Bytes of one kind."""

    entries: int = 0
    """Extents, or entries of the trash."""
    logical_bytes: int = 0
    """Each byte once."""
    stored_bytes: int = 0
    """Each byte as often as there are nodes that should hold it; headers and checksums of files not counted."""

    def add(self, extent: Extent) -> None:
        for segment in extent.segments:
            self.logical_bytes += segment.size_bytes
            self.stored_bytes += segment.size_bytes * len(segment.nodes)


@dataclass(slots=True, kw_only=True)
class IndexAccount:
    """What one walk over the whole index found."""

    objects: Holding = field(default_factory=Holding)
    parts: Holding = field(default_factory=Holding)
    trash: Holding = field(default_factory=Holding)

    @property
    def stored_bytes(self) -> int:
        """What all nodes together should hold."""
        return self.objects.stored_bytes + self.parts.stored_bytes + self.trash.stored_bytes


async def accounting(connection: Connection) -> IndexAccount:
    """Walk the whole index. Raises IndexUnavailable, UnsupportedFormat, CorruptRecord."""
    account = IndexAccount()
    holdings = {
        ReferenceKind.OBJECT: account.objects,
        ReferenceKind.PART: account.parts,
        ReferenceKind.TRASH: account.trash,
    }
    async for reference in references(connection):
        holding = holdings[reference.kind]
        holding.entries += 1
        holding.add(reference.extent)
    return account


@dataclass(slots=True, kw_only=True)
class ReclaimAccount:
    """What waits to be given back."""

    waiting: Holding = field(default_factory=Holding)
    """Within its grace: can still be undeleted."""
    due: Holding = field(default_factory=Holding)
    """Its grace is over; the worker takes it next."""
    handed_out: Holding = field(default_factory=Holding)
    """A worker has it; the bytes go or are gone."""
    failing: Holding = field(default_factory=Holding)
    """Handed out for longer than `failing_after_ms`: a node that holds it is away or refuses."""
    complete: bool = True
    """False: there were more entries than were looked at."""


async def reclaim_account(
    connection: Connection, *, grace_ms: int, failing_after_ms: int, limit: int
) -> ReclaimAccount:
    """What the trash holds, of its first `limit` entries. Times are the index server's. Raises as `accounting`."""
    account, seen, lower = ReclaimAccount(), 0, b"-"
    seconds, microseconds = await connection.command("TIME")
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    while True:
        page: list[bytes] = await connection.command("ZRANGEBYLEX", keys.trash(), lower, "+", "LIMIT", 0, PAGE_MEMBERS)
        entries = [decode_reclaim(member) for member in page]
        if entries:
            names = [entry.reference for entry in entries]
            queued = await connection.command("ZMSCORE", keys.reclaim(), *names)
            taken = await connection.command("ZMSCORE", keys.reclaiming(), *names)
            choose = _classifier(account, now_ms - grace_ms, now_ms - failing_after_ms)
            for entry, queued_at, taken_at in zip(entries, queued, taken, strict=True):
                holding = choose(queued_at, taken_at)
                holding.entries += 1
                async for extent in entry_extents(connection, entry):
                    holding.add(extent)
        seen += len(page)
        if len(page) < PAGE_MEMBERS:
            return account
        if seen >= limit:
            account.complete = False
            return account
        lower = b"(" + page[-1]


def _classifier(
    account: ReclaimAccount, due_ms: int, failing_ms: int
) -> Callable[[bytes | None, bytes | None], Holding]:
    def choose(queued_at: bytes | None, taken_at: bytes | None) -> Holding:
        if taken_at is not None:
            return account.failing if float(taken_at) <= failing_ms else account.handed_out
        if queued_at is not None and float(queued_at) > due_ms:
            return account.waiting
        return account.due

    return choose
