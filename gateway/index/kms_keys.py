"""Keys of the key ring, each with all its versions. The key bytes arrive sealed and stay so.

A value of the `kms-keys` hash is 8 bytes, big-endian, the number of the change that wrote it, and a record framed as
`packing` says: [key id, [[version, created in ms, sealed key], ...]], versions from the oldest to the newest. A version
is never taken away: it would take every object with it whose data key it wraps.
"""

from dataclasses import dataclass, replace

from gateway.index import keys
from gateway.index.base import IndexBase, accepted
from gateway.index.packing import DECODE_ERRORS, corrupt, pack_record, unpack_record
from gateway.index.scripts import load_script

_PUT = load_script("put_kms_key")
_REVISION_SIZE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsKeyVersion:
    """One version; `sealed_key` is encrypted by the caller."""

    number: int
    created_ms: int
    sealed_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsKeyRecord:
    """A key. `revision` is given by the index and tells whether the key was changed since it was read."""

    key_id: str
    versions: tuple[KmsKeyVersion, ...]
    revision: int = 0

    @property
    def current(self) -> KmsKeyVersion:
        """The newest version, which wraps what is written now."""
        return self.versions[-1]


class KmsKeyIndex(IndexBase):
    """The part of the index that knows the key ring."""

    async def put_kms_key(self, key: KmsKeyRecord) -> KmsKeyRecord:
        """Create a key (revision 0) or replace one at the revision that was read; returns it as it is now.

        Raises KmsKeyChanged (there is one; or it is not what was read), IndexUnavailable.
        """
        reply = await self._connection.change(
            _PUT, (keys.sequence(), keys.kms_keys()), (key.key_id, key.revision, encode_kms_key(key))
        )
        return replace(key, revision=accepted(reply, key.key_id)[0])

    async def get_kms_key(self, key_id: str) -> KmsKeyRecord | None:
        """The key of this id. Raises IndexUnavailable."""
        stored = await self._connection.observe("HGET", keys.kms_keys(), key_id)
        return None if stored is None else decode_kms_key(stored)

    async def list_kms_keys(self) -> list[KmsKeyRecord]:
        """All keys by id. Raises IndexUnavailable."""
        stored = await self._connection.observe("HVALS", keys.kms_keys())
        return sorted([decode_kms_key(value) for value in stored], key=lambda key: key.key_id)


def encode_kms_key(key: KmsKeyRecord) -> bytes:
    """A key without its revision, which the script puts before it."""
    versions = [[version.number, version.created_ms, version.sealed_key] for version in key.versions]
    return pack_record((key.key_id, versions))


def decode_kms_key(stored: bytes) -> KmsKeyRecord:
    """A value of the hash. Raises UnsupportedFormat, CorruptRecord."""
    try:
        key_id, versions = unpack_record(stored[_REVISION_SIZE:])
        return KmsKeyRecord(
            key_id=key_id,
            versions=tuple(
                [
                    KmsKeyVersion(number=number, created_ms=created_ms, sealed_key=sealed_key)
                    for number, created_ms, sealed_key in versions
                ]
            ),
            revision=int.from_bytes(stored[:_REVISION_SIZE]),
        )
    except DECODE_ERRORS as error:
        corrupt("key of the key ring", stored[:_REVISION_SIZE], error)
