"""How many copies of every byte a bucket keeps (R), and how many a write waits for (W). Pure.

The stored form is the configuration document `redundancy` of the bucket, a JSON object in ASCII:
    {"format": 1, "replicas": R, "write_quorum": W}
A bucket without one follows the cluster: R copies as the settings say (one a node, at most 3), W a majority of them.

W is at least a majority of R. An acknowledged write is on W nodes and perhaps on no more until repair comes by, so W
decides what may be lost at that moment: with a majority, no minority of a blob's R nodes takes an acknowledged byte
with it; with less, W nodes would, and R would promise what does not hold. More than a majority asks for more
copies before the answer, and for more living nodes: a write is refused when fewer than W can be reached.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from gateway.index.errors import CorruptRecord, UnsupportedFormat
from gateway.index.records import BucketRecord

REDUNDANCY = "redundancy"
"""The name of the configuration document."""

FORMAT = 1

MOST_REPLICAS = 16
"""More copies than this guard against nothing that fewer do not."""


class RedundancyError(ValueError):
    """R and W that a bucket cannot have; the message tells an administrator why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redundancy:
    """R and W of new writes. Raises RedundancyError unless R/2 < W <= R."""

    replicas: int
    write_quorum: int

    def __post_init__(self) -> None:
        if self.replicas < 1:
            raise RedundancyError(f"a bucket keeps at least one copy, not {self.replicas}")
        if self.write_quorum > self.replicas:
            raise RedundancyError(f"a write cannot wait for {self.write_quorum} of {self.replicas} copies")
        if self.write_quorum < majority(self.replicas):
            raise RedundancyError(
                f"a write waits for at least a majority of its copies, {majority(self.replicas)} of {self.replicas}: "
                f"with {self.write_quorum}, losing a minority of the nodes could lose an acknowledged object"
            )


class ReplicaSettings(Protocol):
    """GatewaySettings, or what stands for them."""

    def replicas_for(self, node_count: int, /) -> int:
        """R of a bucket that does not say, in a cluster of so many nodes."""
        ...


def majority(replicas: int) -> int:
    """The least number of which two always share one."""
    return replicas // 2 + 1


def redundancy_of(bucket: BucketRecord, expected_node_count: int, settings: ReplicaSettings) -> Redundancy:
    """What holds of new writes to a bucket. Raises UnsupportedFormat, CorruptRecord.

    `expected_node_count` are the nodes that the cluster is made of, dead ones included (Membership.expected_nodes):
    the death of a node must not lower how many copies are wanted.
    """
    stated = stated_redundancy(bucket)
    if stated is not None:
        return stated
    replicas = settings.replicas_for(expected_node_count)
    return Redundancy(replicas=replicas, write_quorum=majority(replicas))


def replicas_of(bucket: BucketRecord, expected_node_count: int, settings: ReplicaSettings) -> int:
    """How many copies each blob of a bucket is to have, old ones too: what repair works towards.

    A bucket may ask for more copies than there are nodes. Raises UnsupportedFormat, CorruptRecord.
    """
    return redundancy_of(bucket, expected_node_count, settings).replicas


def stated_redundancy(bucket: BucketRecord) -> Redundancy | None:
    """What the bucket's own document says, None where it has none. Raises UnsupportedFormat, CorruptRecord."""
    stored = bucket.configs.get(REDUNDANCY)
    return None if stored is None else decode_redundancy(stored)


def changed_redundancy(present: Redundancy, *, replicas: int | None, write_quorum: int | None) -> Redundancy:
    """What an administrator asked for; W follows R unless it is given too. Raises RedundancyError."""
    wanted = present.replicas if replicas is None else replicas
    if wanted > MOST_REPLICAS:
        raise RedundancyError(f"a bucket keeps at most {MOST_REPLICAS} copies, not {wanted}")
    return Redundancy(replicas=wanted, write_quorum=majority(wanted) if write_quorum is None else write_quorum)


def encode_redundancy(redundancy: Redundancy) -> bytes:
    """The stored form."""
    fields = {"format": FORMAT, "replicas": redundancy.replicas, "write_quorum": redundancy.write_quorum}
    return json.dumps(fields, separators=(",", ":")).encode()


@lru_cache(maxsize=256)
def decode_redundancy(stored: bytes) -> Redundancy:
    """The inverse of `encode_redundancy`. Raises UnsupportedFormat, CorruptRecord.

    A document that is not understood is never read as the default: that could be fewer copies than were promised.
    """
    try:
        fields = json.loads(stored)
    except ValueError as error:
        raise CorruptRecord(f"bucket redundancy {stored!r} is not JSON") from error
    match fields:
        case {"format": 1, "replicas": int(replicas), "write_quorum": int(write_quorum)}:
            try:
                return Redundancy(replicas=replicas, write_quorum=write_quorum)
            except RedundancyError as error:
                raise CorruptRecord(f"bucket redundancy {stored!r}: {error}") from error
        case {"format": int(number)} if number != FORMAT:
            raise UnsupportedFormat(f"bucket redundancy of format {number}")
    raise CorruptRecord(f"bucket redundancy {stored!r} has other fields")
