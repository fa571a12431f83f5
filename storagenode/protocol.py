"""The internal HTTP protocol between a gateway and a storage node: names, records, framing, request
authentication.

Pure: no sockets, no clock, no randomness but what is passed in. Both the node and its client are built on
this file.

    PUT    /v1/blobs/{blob_id}                   body: the bytes; Cairn-Origin: base64 -> 201, StoredBlob
    GET    /v1/blobs/{blob_id}?offset=&length=   -> 200, the bytes in checksummed frames (frames.py)
    GET    /v1/blobs/{blob_id}/info              -> 200, BlobInfo
    DELETE /v1/blobs/{blob_id}                   -> 200, whether there was something to delete
    POST   /v1/blobs/{blob_id}/quarantine        -> 200, whether there was something to set aside
    GET    /v1/blobs?after=&before_ms=&limit=    -> 200, list of BlobInfo in blob id order
    GET    /v1/damaged?after=&limit=             -> 200, list of DamagedBlob, oldest first
    GET    /v1/status                            -> 200, NodeHealth
    GET    /health                               -> 200, NodeIdentity; the only path without authentication

Answers are msgpack, that of /health is JSON. Request bodies are sent with a Content-Length, never chunked.
A failure is answered with the status of its NodeError, the name of the class in Cairn-Error, and a line of
text.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Any

import msgpack

HEALTH_PATH = "/health"
STATUS_PATH = "/v1/status"
BLOBS_PATH = "/v1/blobs"
DAMAGED_PATH = "/v1/damaged"

AUTHORIZATION_HEADER = "Authorization"
ORIGIN_HEADER = "Cairn-Origin"
ERROR_HEADER = "Cairn-Error"
ERROR_NUMBER_HEADER = "Cairn-Error-Number"  # of a NumberedError, decimal
AUTHORIZATION_SCHEME = "Cairn-HMAC-SHA256"

ORIGIN_LIMIT_BYTES = 16 * 1024
LIST_LIMIT = 1000
"""Most entries of one list answer; each may carry an origin of 16 KiB, so an answer stays under 17 MiB."""

DIGEST_BYTES = 16
"""A digest is the XXH3-128 of a blob's bytes: it finds accidents, it is no proof against an attacker."""

CLOCK_SKEW_MS = 5 * 60 * 1000
"""How far a request's timestamp may lie from the node's clock. Clients sign with the node's clock, which they
ask for on first contact, so what this bounds is how long a request may be on its way."""

_BLOB_ID = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}")
_WRITE_ID = re.compile(r"[0-9a-f]{32}")
_AUTHORIZATION = re.compile(
    rf"{AUTHORIZATION_SCHEME} timestamp=([0-9]{{1,15}}),"
    r"nonce=([0-9a-f]{32})\.([0-9]{1,18}),signature=([0-9a-f]{64})"
)


# --- blob ids ---------------------------------------------------------------------------------------------


def new_write_id(now_ms: int, random_bytes: bytes) -> str:
    """A time-ordered id: 12 hex digits of Unix milliseconds, then 20 of the 10 random bytes passed in."""
    if not 0 <= now_ms < 1 << 48:
        raise ValueError(f"a write id holds 48 bits of milliseconds, not {now_ms}")
    if len(random_bytes) != 10:
        raise ValueError(f"a write id takes 10 random bytes, not {len(random_bytes)}")
    return f"{now_ms:012x}{random_bytes.hex()}"


def blob_id(write_id: str, segment: int) -> str:
    """The name of one segment of one write, `<write id>-<8 hex digits>`."""
    if _WRITE_ID.fullmatch(write_id) is None:
        raise ValueError(f"not a write id: {write_id!r}")
    if not 0 <= segment < 1 << 32:
        raise ValueError(f"a segment number has 32 bits, not {segment}")
    return f"{write_id}-{segment:08x}"


def is_blob_id(text: str) -> bool:
    """Whether text is a blob id, exactly (and so safe as a file name)."""
    return _BLOB_ID.fullmatch(text) is not None


def blob_time_ms(blob_id: str) -> int:
    """The Unix milliseconds at which the write of this blob began."""
    return int(blob_id[:12], 16)


# --- records ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """What a node durably holds after a put."""

    size_bytes: int
    digest: bytes  # XXH3-128 of the bytes, DIGEST_BYTES long


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobInfo:
    """A blob as a node knows it."""

    blob_id: str
    size_bytes: int
    origin: bytes  # opaque back pointer to the record that owns the blob, as given to put
    digest: bytes
    # When its last byte was written, just before the fsync, in Unix milliseconds of the node's clock; 0: not known.
    # Tells of one copy and not of the blob: two nodes that hold the same differ in it.
    durable_ms: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedBlob:
    """One entry of a node's list of damage (quarantine.py)."""

    cursor: str  # its place in the list: to be given as `after` to go on behind it
    blob_id: str
    found_ms: int  # Unix milliseconds of the node's clock
    found_by: str  # scrub or read
    reason: str
    origin: bytes  # as given to put; empty where the damage is in it
    size_bytes: int  # -1 where the origin is empty


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """What a node tells to anybody: who it is and what its clock says."""

    node_id: str
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubProgress:
    """How far a node's scrubbing is (scrub.py). Times are Unix milliseconds of its clock."""

    number: int  # of the round
    started_ms: int
    expected_end_ms: int
    blobs: int  # verified in this round
    blobs_left: int  # as of the last count; blobs written since come on top
    size_bytes: int  # read in this round
    damaged: int  # found in this round
    completed_ms: int  # when the round before ended; 0: there was none

    @property
    def fraction(self) -> float:
        """How much of the round is done, from 0 to 1."""
        total = self.blobs + self.blobs_left
        return self.blobs / total if total else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHealth:
    """How a node is, told to those who hold the secret."""

    node_id: str
    zone: str
    capacity_bytes: int
    free_bytes: int  # what it would still take: free space less the reserve and the writes in flight
    accepting: bool
    quarantined: int  # damaged files set aside so far
    scrub: ScrubProgress | None = None  # None: a node of before scrubbing


def pack_identity(identity: NodeIdentity) -> dict[str, Any]:
    """For /health, which is JSON: it is also read by container health checks."""
    return {"status": "ok", "node_id": identity.node_id, "time_ms": identity.time_ms}


def unpack_identity(fields: Any) -> NodeIdentity:
    """Raises ValueError when fields are not what pack_identity made."""
    match fields:
        case {"node_id": str(node_id), "time_ms": int(time_ms)}:
            return NodeIdentity(node_id=node_id, time_ms=time_ms)
        case _:
            raise ValueError("not a node identity")


def pack_stored(stored: StoredBlob) -> list[Any]:
    return [stored.size_bytes, stored.digest]


def unpack_stored(fields: Any) -> StoredBlob:
    """Raises ValueError when fields are not what pack_stored made."""
    match fields:
        case [int(size_bytes), bytes(digest)]:
            return StoredBlob(size_bytes=size_bytes, digest=digest)
        case _:
            raise ValueError("not a stored blob")


def pack_info(info: BlobInfo) -> list[Any]:
    return [info.blob_id, info.size_bytes, info.origin, info.digest, info.durable_ms]


def unpack_info(fields: Any) -> BlobInfo:
    """Raises ValueError when fields are not what pack_info made."""
    match fields:
        case [str(name), int(size_bytes), bytes(origin), bytes(digest)]:  # a node of before durable_ms
            return BlobInfo(blob_id=name, size_bytes=size_bytes, origin=origin, digest=digest)
        case [str(name), int(size_bytes), bytes(origin), bytes(digest), int(durable_ms), *_]:
            return BlobInfo(blob_id=name, size_bytes=size_bytes, origin=origin, digest=digest, durable_ms=durable_ms)
        case _:
            raise ValueError("not a blob info")


def pack_damaged(damaged: DamagedBlob) -> list[Any]:
    return [
        damaged.cursor,
        damaged.blob_id,
        damaged.found_ms,
        damaged.found_by,
        damaged.reason,
        damaged.origin,
        damaged.size_bytes,
    ]


def unpack_damaged(fields: Any) -> DamagedBlob:
    """Raises ValueError when fields are not what pack_damaged made; further ones are a newer node's."""
    match fields:
        case [str(cursor), str(name), int(found_ms), str(found_by), str(reason), bytes(origin), int(size_bytes), *_]:
            return DamagedBlob(
                cursor=cursor,
                blob_id=name,
                found_ms=found_ms,
                found_by=found_by,
                reason=reason,
                origin=origin,
                size_bytes=size_bytes,
            )
        case _:
            raise ValueError("not a damaged blob")


def pack_health(health: NodeHealth) -> list[Any]:
    return [
        health.node_id,
        health.zone,
        health.capacity_bytes,
        health.free_bytes,
        health.accepting,
        health.quarantined,
        None if health.scrub is None else pack_scrub(health.scrub),
    ]


def unpack_health(fields: Any) -> NodeHealth:
    """Raises ValueError when fields are not what pack_health made."""
    match fields:
        case [str(node_id), str(zone), int(capacity), int(free), bool(accepting), int(quarantined), *newer]:
            return NodeHealth(
                node_id=node_id,
                zone=zone,
                capacity_bytes=capacity,
                free_bytes=free,
                accepting=accepting,
                quarantined=quarantined,
                scrub=unpack_scrub(newer[0]) if newer and newer[0] is not None else None,
            )
        case _:
            raise ValueError("not a node health")


def pack_scrub(scrub: ScrubProgress) -> list[Any]:
    return [
        scrub.number,
        scrub.started_ms,
        scrub.expected_end_ms,
        scrub.blobs,
        scrub.blobs_left,
        scrub.size_bytes,
        scrub.damaged,
        scrub.completed_ms,
    ]


def unpack_scrub(fields: Any) -> ScrubProgress:
    """Raises ValueError when fields are not what pack_scrub made; further ones are a newer node's."""
    match fields:
        case [
            int(number),
            int(started_ms),
            int(expected_end_ms),
            int(blobs),
            int(blobs_left),
            int(size_bytes),
            int(damaged),
            int(completed_ms),
            *_,
        ]:
            return ScrubProgress(
                number=number,
                started_ms=started_ms,
                expected_end_ms=expected_end_ms,
                blobs=blobs,
                blobs_left=blobs_left,
                size_bytes=size_bytes,
                damaged=damaged,
                completed_ms=completed_ms,
            )
        case _:
            raise ValueError("not a scrub's progress")


def encode(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def decode(payload: bytes) -> Any:
    """Raises ValueError on anything that is not one msgpack value."""
    return msgpack.unpackb(payload)


# --- request authentication -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestToSign:
    """All of a request that its signature binds.

    The node's id is part of it: nodes share the secret, and a DELETE recorded at one must not be good at
    another. Of the body only the length is bound; its bytes are vouched for by the digest in the answer.
    """

    node_id: str
    method: str
    path_and_query: str  # as on the wire
    body_bytes: int
    origin: str  # the Cairn-Origin header, or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The parts of an Authorization header.

    The nonce is a session (random, one for each client process) and a sequence number that never repeats
    within it, so that a node need not keep every nonce of ten minutes to know one that it has seen.
    """

    timestamp_ms: int
    session: str
    sequence: int
    signature: str

    def render(self) -> str:
        return (
            f"{AUTHORIZATION_SCHEME} timestamp={self.timestamp_ms},"
            f"nonce={self.session}.{self.sequence},signature={self.signature}"
        )


def parse_authorization(header: str) -> Authorization | None:
    """The parts of an Authorization header, or None when it is not one of ours."""
    match = _AUTHORIZATION.fullmatch(header)
    if match is None:
        return None
    timestamp, session, sequence, signature = match.groups()
    return Authorization(timestamp_ms=int(timestamp), session=session, sequence=int(sequence), signature=signature)


def authorize(
    secret: bytes, request: RequestToSign, *, timestamp_ms: int, session: str, sequence: int
) -> Authorization:
    """Sign a request: HMAC-SHA256 over its parts, one a line, in hex."""
    origin_hash = hashlib.sha256(request.origin.encode("latin-1")).hexdigest()
    lines = (
        AUTHORIZATION_SCHEME,
        request.node_id,
        request.method,
        request.path_and_query,
        str(request.body_bytes),
        origin_hash,
        str(timestamp_ms),
        f"{session}.{sequence}",
    )
    signature = hmac.digest(secret, "\n".join(lines).encode("latin-1"), "sha256").hex()
    return Authorization(timestamp_ms=timestamp_ms, session=session, sequence=sequence, signature=signature)


def is_authentic(secret: bytes, request: RequestToSign, claim: Authorization) -> bool:
    """Whether the claim was made over this request by a holder of the secret; compared in constant time."""
    ours = authorize(secret, request, timestamp_ms=claim.timestamp_ms, session=claim.session, sequence=claim.sequence)
    return hmac.compare_digest(ours.signature, claim.signature)
