"""What the parts of the index share: the connection, replies of scripts, bounds of a listing."""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gateway.index import errors, keys
from gateway.index.connection import Connection
from gateway.index.object_encoding import ORDER_SIZE, sequence_of, version_id_of

_REFUSALS: dict[bytes, type[errors.IndexRefusal]] = {
    kind.__name__.encode(): kind
    for kind in (
        errors.NoSuchBucket,
        errors.BucketNotEmpty,
        errors.TooManyBuckets,
        errors.NoSuchKey,
        errors.NoSuchUpload,
        errors.UploadChanged,
        errors.ObjectChanged,
        errors.ObjectLocked,
        errors.QuotaExceeded,
        errors.VersioningRequired,
        errors.CopyReleased,
        errors.NotInTrash,
        errors.KeepsVersions,
        errors.OlderThanIndex,
        errors.WriteCondemned,
        errors.UserExists,
        errors.NoSuchUser,
        errors.UserChanged,
        errors.UserOwnsBuckets,
        errors.KmsKeyChanged,
        errors.TargetExists,
        errors.NoSuchTarget,
    )
}


class IndexBase:
    """Holds the connection and the source of randomness; the subclasses hold the operations, by topic."""

    def __init__(self, connection: Connection, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._connection = connection
        self._random_bytes = random_bytes

    def _draw_id(self) -> str:
        return self._random_bytes(16).hex()


@lru_cache(maxsize=1024)
def bucket_keys(bucket: str) -> tuple[str, ...]:
    """The keys that every script on a bucket gets, in the order that `bucket.lua` expects."""
    partition = keys.partition_of(bucket)
    return (
        keys.sequence(partition),
        keys.reclaim(partition),
        keys.trash(partition),
        keys.condemned(partition),
        keys.bucket(bucket),
        keys.objects(bucket),
        keys.uploads(bucket),
    )


def accepted(reply: list[Any], subject: str) -> list[Any]:
    """What a script returned behind its OK; a refusal is raised, with `subject` as its message."""
    if reply[0] != b"OK":
        raise refusal(reply, subject)
    return reply[1:]


def refusal(reply: list[Any], subject: str) -> errors.IndexRefusal:
    """The exception that a script's refusal stands for."""
    name = reply[0]
    if name == b"ConditionFailed":
        return errors.ConditionFailed(subject, condition=reply[1].decode())
    if name == b"BucketExists":
        return errors.BucketExists(subject, owner_id=reply[1].decode())
    return _REFUSALS[name](subject)


def version_id_from(name: bytes) -> str | None:
    """How a script names a version: nothing, `null`, or the version's order."""
    if not name:
        return None
    return version_id_of(sequence_of(name)) if len(name) == ORDER_SIZE else name.decode()


def flag(value: bool) -> str:
    """A truth value as an argument of a script."""
    return "1" if value else ""


def successor(prefix: bytes) -> bytes:
    """The least string greater than every string that begins with `prefix`; empty where there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b""


def before_nul(text: str) -> bytes:
    """The bound of a listing that a client asked for, as bytes; what follows a NUL decides nothing.

    Stored names hold no NUL, so a name is greater than `a NUL b` exactly when it is greater than `a`.
    """
    return text.partition("\0")[0].encode()
