"""Targets of events as an administrator declared them, and how far each has been told.

A value of the `event-targets` hash is a record framed as `packing` says: [name, kind, place, server, sealed secret,
created in ms]. One of `event-cursors` is text: number of the last change told of, when that change was made (ms),
how many changes were never looked at because the journal no longer had them, when that was found (ms).
"""

from dataclasses import dataclass, replace

from gateway.index import keys
from gateway.index.base import IndexBase, accepted
from gateway.index.packing import DECODE_ERRORS, corrupt, pack_record, unpack_record
from gateway.index.scripts import load_script

_SET = load_script("set_event_target")
_MOVE = load_script("move_event_cursor")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTarget:
    """Where events may be sent."""

    name: str
    kind: str
    """`webhook` or `stream`, as ARNs have it."""
    place: str
    """A URL, or the key of a stream."""
    server: str = ""
    """The stream's server: host:port or unix:path, empty for that of the index."""
    sealed_secret: bytes = b""
    """The key of signatures, or the password of the server; encrypted by the caller."""
    created_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCursor:
    """How far a target has been told."""

    sequence: int
    """Of the last change of which nothing is left to be told."""
    change_ms: int
    """When that change was made, roughly."""
    skipped: int = 0
    """Changes that were gone from the journal before the target could be told of them, ever."""
    skipped_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFailure:
    """Why a target is not being told at the moment."""

    since_ms: int
    reason: str


class EventTargetIndex(IndexBase):
    """The part of the index that knows targets of events."""

    async def add_event_target(self, target: EventTarget) -> int:
        """Declare a target, which hears of what comes after; returns the number of the change.

        Raises TargetExists, IndexUnavailable.
        """
        return await self._set_target(target.name, encode_target(target))

    async def remove_event_target(self, name: str) -> int:
        """Configurations that name it stay, and are of no effect. Raises NoSuchTarget, IndexUnavailable."""
        return await self._set_target(name, b"")

    async def _set_target(self, name: str, record: bytes) -> int:
        names = (keys.sequence(), keys.event_targets(), keys.event_cursors())
        sequence: int = accepted(await self._connection.change(_SET, names, (name, record)), name)[0]
        return sequence

    async def list_event_targets(self) -> list[EventTarget]:
        """By name. Raises IndexUnavailable."""
        fields = await self._connection.observe("HVALS", keys.event_targets())
        return sorted((decode_target(stored) for stored in fields), key=lambda target: target.name)

    async def event_cursors(self) -> dict[str, EventCursor]:
        """How far each target has been told, by name. Raises IndexUnavailable.

        A cursor may not be durable yet; what it says was told was.
        """
        reply = await self._connection.command("HGETALL", keys.event_cursors())
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return {name.decode(): decode_cursor(stored) for name, stored in pairs}

    async def durable_sequence(self) -> int:
        """The number of the last change that targets may be told of. Raises IndexUnavailable."""
        return int(await self._connection.command("HGET", keys.journal(), "watermark") or 0)

    async def move_event_cursor(self, name: str, cursor: EventCursor) -> int:
        """Note how far a target has been told; returns the number of the change, 0 where it was farther already.

        Raises NoSuchTarget, IndexUnavailable.
        """
        numbers = (cursor.sequence, cursor.change_ms, cursor.skipped, cursor.skipped_ms)
        value = " ".join(map(str, numbers))
        reply = await self._connection.change(
            _MOVE, (keys.sequence(), keys.event_cursors()), (name, cursor.sequence, value)
        )
        sequence: int = accepted(reply, name)[0]
        return sequence

    async def note_event_failure(self, name: str, failure: EventFailure | None) -> None:
        """For status reports; no part of the journaled state. Raises IndexUnavailable."""
        if failure is None:
            await self._connection.command("HDEL", keys.event_failures(), name)
        else:
            await self._connection.command(
                "HSET", keys.event_failures(), name, f"{failure.since_ms} {failure.reason[:500]}"
            )

    async def event_failures(self) -> dict[str, EventFailure]:
        """By target. Raises IndexUnavailable."""
        reply = await self._connection.command("HGETALL", keys.event_failures())
        found = {}
        for name, value in zip(reply[::2], reply[1::2], strict=True):
            since, _, reason = value.decode(errors="replace").partition(" ")
            found[name.decode()] = EventFailure(since_ms=int(since), reason=reason)
        return found


def encode_target(target: EventTarget) -> bytes:
    """A value of the hash."""
    return pack_record((target.name, target.kind, target.place, target.server, target.sealed_secret, target.created_ms))


def decode_target(stored: bytes) -> EventTarget:
    """A value of the hash. Raises UnsupportedFormat, CorruptRecord."""
    try:
        name, kind, place, server, sealed_secret, created_ms = unpack_record(stored)
    except DECODE_ERRORS as error:
        corrupt("target of events", stored, error)
    return EventTarget(
        name=name, kind=kind, place=place, server=server, sealed_secret=sealed_secret, created_ms=created_ms
    )


def decode_cursor(stored: bytes) -> EventCursor:
    """A value of the hash. Raises CorruptRecord."""
    try:
        sequence, change_ms, skipped, skipped_ms = map(int, stored.split())
    except ValueError as error:
        corrupt("cursor of events", stored, error)
    return EventCursor(sequence=sequence, change_ms=change_ms, skipped=skipped, skipped_ms=skipped_ms)


def skipped_to(cursor: EventCursor, *, sequence: int, now_ms: int) -> EventCursor:
    """The cursor behind changes that nobody can be told of any more."""
    lost = sequence - cursor.sequence
    return replace(cursor, sequence=sequence, change_ms=now_ms, skipped=cursor.skipped + lost, skipped_ms=now_ms)
