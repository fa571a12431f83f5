"""What nothing refers to any more, and what must not be given up yet: reclaim queue, orphans, write leases."""

from collections.abc import AsyncIterator

from gateway.index import keys
from gateway.index.base import IndexBase, accepted, bucket_keys
from gateway.index.layout_encoding import decode_layout
from gateway.index.record_encoding import decode_part, decode_reclaim
from gateway.index.records import Extent, Origin, ReclaimEntry
from gateway.index.scripts import load_script

_TAKE = load_script("take_reclaims")
_FINISH = load_script("finish_reclaim")
_CONDEMN = load_script("condemn")
_LEASE = load_script("lease_write")

# A worker that has not finished an entry by then is taken for dead, and the entry is handed out again.
_HAND_OUT_AGAIN_MS = 10 * 60 * 1000
# How long a late commit of a condemned write is refused: far longer than a write lives without its lease.
_TIME_DIGITS = 12  # of a write id: milliseconds in hexadecimal, see storagenode/protocol.py
_CONDEMNED_MS = 24 * 3600 * 1000
_PARTS_A_PAGE = 500


class ReclaimIndex(IndexBase):
    """The part of the index that knows which bytes can go."""

    async def due_reclaims(self, *, grace_ms: int, limit: int) -> list[ReclaimEntry]:
        """Take up to `limit` entries that were queued at least `grace_ms` ago by the index server's clock.

        Until `finish_reclaim` they are nobody else's for ten minutes, then they are handed out again.
        Raises IndexUnavailable.
        """
        names = (keys.sequence(), keys.reclaim(), keys.trash(), keys.reclaiming())
        reply = await self._connection.change(_TAKE, names, (grace_ms, _HAND_OUT_AGAIN_MS, limit))
        (members,) = accepted(reply, "reclaim")
        return [decode_reclaim(member) for member in members]

    async def extents_of(self, entry: ReclaimEntry) -> AsyncIterator[Extent]:
        """Every extent whose bytes an entry gives back. Raises IndexUnavailable."""
        for extent in (*entry.extents, *(entry.record.extents if entry.record else ())):
            yield extent
        if entry.record is not None and entry.record.layout_ref is not None:
            name = keys.layout(entry.bucket, entry.record.layout_ref)
            stored = await self._connection.command("GET", name)
            for extent in decode_layout(stored)[0] if stored is not None else ():
                yield extent
        if entry.upload_id is not None:
            async for extent in self._extents_of_parts(keys.parts(entry.bucket, entry.upload_id)):
                yield extent

    async def finish_reclaim(self, entry: ReclaimEntry) -> bool:
        """Forget an entry whose bytes are gone; False when that was done before. Raises IndexUnavailable."""
        names = [keys.sequence(), keys.reclaim(), keys.trash(), keys.reclaiming()]
        if entry.record is not None and entry.record.layout_ref is not None:
            names.append(keys.layout(entry.bucket, entry.record.layout_ref))
        if entry.upload_id is not None:
            names.append(keys.parts(entry.bucket, entry.upload_id))
            names.append(keys.parts_revision(entry.bucket, entry.upload_id))
        reply = await self._connection.change(_FINISH, names, (entry.reference,))
        return bool(accepted(reply, "reclaim")[0])

    async def condemn(self, write_id: str, origin: Origin) -> bool:
        """Forbid the commit of a write whose blobs look like orphans, so that they can be removed.

        False, and nothing is done, when the index refers to it or a writer holds its lease. `origin` must be
        the one that the blobs were written with. Raises OlderThanIndex, IndexUnavailable.
        """
        names = (
            *bucket_keys(origin.bucket),
            keys.write_leases(),
            keys.parts(origin.bucket, origin.upload_id or ""),
            keys.layout(origin.bucket, ""),
            keys.born(),
        )
        arguments = (
            origin.bucket,
            origin.key,
            bytes.fromhex(write_id),
            _CONDEMNED_MS,
            int(write_id[:_TIME_DIGITS], 16),
        )
        reply = await self._connection.change(_CONDEMN, names, arguments)
        return bool(accepted(reply, write_id)[0])

    async def keep_lease(self, write_id: str, *, ttl_ms: int) -> None:
        """Say that a write is under way: it is not condemned for `ttl_ms`. Raises IndexUnavailable."""
        await self._lease_write(write_id, ttl_ms)

    async def drop_lease(self, write_id: str) -> None:
        """Say that a write has ended, one way or the other. Raises IndexUnavailable."""
        await self._lease_write(write_id, 0)

    async def _lease_write(self, write_id: str, ttl_ms: int) -> None:
        names = (keys.sequence(), keys.write_leases())
        reply = await self._connection.transient(_LEASE, names, (bytes.fromhex(write_id), ttl_ms))
        accepted(reply, write_id)

    async def _extents_of_parts(self, name: str) -> AsyncIterator[Extent]:
        after: int | str = 0
        while True:
            bounds = (f"({after}", "+inf", "LIMIT", 0, _PARTS_A_PAGE)
            members = await self._connection.command("ZRANGEBYSCORE", name, *bounds)
            for member in members:
                part = decode_part(member)
                after = part.part_number
                yield part.extent
            if len(members) < _PARTS_A_PAGE:
                return
