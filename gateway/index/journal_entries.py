"""Reading an entry of the journal: what one change did, and why. Pure."""

from dataclasses import dataclass
from typing import Any

import msgpack

from gateway.index.cause import Cause, unpack_cause
from gateway.index.packing import DECODE_ERRORS, corrupt

_FORMAT = 1
_CAUSE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One entry."""

    sequence: int
    at_ms: int
    kind: str
    """The name that its script gave it."""
    effects: tuple[tuple[Any, ...], ...]
    """Commands; their words are bytes or numbers."""
    cause: Cause | None


def decode_change(packed: bytes) -> Change:
    """An entry as `commit_change` (prelude.lua) made it. Raises CorruptRecord."""
    try:
        fields = msgpack.unpackb(packed, raw=True)
        form, sequence, at_ms, kind, effects = fields[:_CAUSE]
        if form != _FORMAT:
            raise ValueError(f"format {form} is not known")
        return Change(
            sequence=int(sequence),
            at_ms=int(at_ms),
            kind=kind.decode(),
            # Lua has one kind of table: no effects at all arrive as an empty map.
            effects=tuple([tuple(command) for command in effects]),
            cause=unpack_cause(fields[_CAUSE]) if len(fields) > _CAUSE else None,
        )
    except DECODE_ERRORS as error:
        corrupt("journal entry", packed, error)
