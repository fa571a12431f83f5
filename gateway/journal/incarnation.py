"""Epochs, and the names of the index's incarnations. Pure.

An epoch is 64 bits: a counter in the upper half, so that a later proposer is above all that it has seen, and 32 random
bits below, so that two proposers that saw the same never share one.

An incarnation is one opening of the index on one Redis server. Its name is
`<identity of the server>/<how>/<journal>/<epoch>`. `how` is `opened`, or `founded` for the empty segment that a
cluster's journal begins with, which has no predecessor and is ended at once by the first opening. Founding uses the
counter 0 and nothing else does: a node that promised a higher one knows that there is a journal somewhere. `journal` is
drawn at the founding and kept for ever, so that two that were founded apart are told from each other. The epoch is that
of the segment made for it, so no two openings share a name, even of one server (which keeps its identity when it is
emptied by FLUSHALL).
"""

from storagenode.journal_protocol import SegmentHeader

_RANDOM_BITS = 32
_FOUNDED, _OPENED = "founded", "opened"


def epoch_above(epoch: int, random_bits: int) -> int:
    """An epoch of the counter that follows; `random_bits` are 32."""
    return ((epoch >> _RANDOM_BITS) + 1) << _RANDOM_BITS | random_bits


def counter_of(epoch: int) -> int:
    """The counter, which is 0 for founding alone."""
    return epoch >> _RANDOM_BITS


def founding_epoch_above(epoch: int, random_bits: int) -> int:
    """An epoch of counter 0 above one of counter 0, by a random step. Raises ValueError when there are no more."""
    found = epoch + 1 + (random_bits >> 12)
    if counter_of(found):
        raise ValueError("too many attempts to found the journal")
    return found


def founded(identity: str, epoch: int, journal: str) -> str:
    """The name of a cluster's first incarnation."""
    return f"{identity}/{_FOUNDED}/{journal}/{epoch:016x}"


def opened(identity: str, epoch: int, journal: str) -> str:
    """The name of an incarnation that takes up what the journal holds."""
    return f"{identity}/{_OPENED}/{journal}/{epoch:016x}"


def journal_of(incarnation: str) -> str:
    """The journal that the incarnation is one of; empty where it has no name."""
    parts = incarnation.split("/")
    return parts[2] if len(parts) == 4 else ""


def identity_of(incarnation: str) -> str:
    """The server's part of the name."""
    return incarnation.partition("/")[0]


def begins_incarnation(header: SegmentHeader) -> bool:
    """Whether the segment is the first one of its incarnation."""
    return header.incarnation.rpartition("/")[2] == f"{header.epoch:016x}"


def is_founding(header: SegmentHeader) -> bool:
    """Whether the segment is the first of a cluster: it needs no predecessor to be believed in."""
    return begins_incarnation(header) and f"/{_FOUNDED}/" in header.incarnation
