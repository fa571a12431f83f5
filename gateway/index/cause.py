"""Why a change is made: which operation, for whom, from where. It goes along with whatever the change leaves behind.

Each task carries its cause, as it carries a request id for logs; no operation has to hand it on. What is changed
without a cause was nobody's wish: repair, reclaim.

In a journal entry it is the sixth element, msgpack of its own: [format, operation, requester's canonical id, address,
request id, host id]; nothing where there is none.
"""

from contextvars import ContextVar
from dataclasses import dataclass

import msgpack

from gateway.index.packing import compact_hex, expand_hex

LIFECYCLE_RULE = "Lifecycle"
"""The operation of changes that a lifecycle rule makes."""

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a change is due to. Texts are empty where nothing is known."""

    operation: str
    requester_id: str = ""
    address: str = ""
    request_id: str = ""
    host_id: str = ""


_current: ContextVar[bytes] = ContextVar("cause", default=b"")


def set_cause(cause: Cause) -> None:
    """From here on the changes of this task, and of those that it starts, are due to this."""
    fields = (cause.operation, compact_hex(cause.requester_id), cause.address, cause.request_id, cause.host_id)
    _current.set(msgpack.packb((_FORMAT, *fields)))


def packed_cause() -> bytes:
    """The cause of the present task's changes, as scripts take it."""
    return _current.get()


def unpack_cause(packed: bytes) -> Cause | None:
    """None where there is none, or one of a newer release. Raises ValueError where it is none at all."""
    if not packed:
        return None
    form, *fields = msgpack.unpackb(packed)
    if form != _FORMAT:
        return None
    operation, requester_id, address, request_id, host_id = fields
    return Cause(
        operation=operation,
        requester_id=expand_hex(requester_id),
        address=address,
        request_id=request_id,
        host_id=host_id,
    )
