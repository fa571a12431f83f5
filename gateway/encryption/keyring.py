"""The key ring of SSE-KMS: named keys in the index, each in versions, sealed by the master key.

A key is named as a client names it, in any of AWS's forms: `ID`, `arn:aws:kms:REGION:ACCOUNT:key/ID` (region and
account are not looked at: there is one ring), `alias/NAME`; `aws/s3` is the one that is used where none is named, and
always there. Rotation adds a version, under which new objects are written; the older ones go on opening what they
have wrapped. There is no way to take a version away: it would take every object under it.

A key that a writer names and nobody has made is made then, unless CAIRN_KMS_CREATE_KEYS is off: with keys that live
beside the data, a name that was misspelt costs nothing, while a refusal costs whoever moves here a list of his keys.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.encryption.wrapping import WrongKey, unwrap_key, wrap_key
from gateway.index.errors import KmsKeyChanged
from gateway.index.kms_keys import KmsKeyRecord, KmsKeyVersion
from gateway.index.store import Index

DEFAULT_KEY = "aws/s3"
#: How long a gateway may go on writing under a version after another was made current, in seconds.
CACHE_TTL_S = 2.0
#: Opened versions that are kept in memory.
CACHE_LIMIT = 10_000

_KEY_BYTES = 32
_PURPOSE = b"kms-key"
_ARN = re.compile(r"arn:[a-z-]+:kms:[^:]*:[^:]*:(?:key/|(?=alias/))(?P<name>.+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9/_.:-]{0,255}")


class KeyRingError(Exception):
    """The key ring cannot do what it was asked; the message says why."""


class UnknownKmsKey(KeyRingError):
    """There is no such key, and none is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingKey:
    """One version of a key, opened."""

    name: str
    version: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Current:
    key: RingKey
    expires_s: float


def ring_name(key_id: str) -> str:
    """What the ring calls a key that a client names. Raises UnknownKmsKey for what cannot be a name."""
    match = _ARN.fullmatch(key_id)
    name = match["name"] if match else key_id
    if name == f"alias/{DEFAULT_KEY}":
        return DEFAULT_KEY
    if not _NAME.fullmatch(name) or (match is None and key_id.startswith("arn:")):
        raise UnknownKmsKey(f"Invalid keyId '{key_id[:100]}'")
    return name


class KeyRing:
    """Finds, makes and rotates keys. Any number of tasks may use it at once."""

    def __init__(
        self,
        index: Index,
        master_key: bytes,
        *,
        creates_keys: bool,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`clock` gives seconds for the ageing of what is remembered, `now_ms` the time of day."""
        self._index = index
        self._master_key = master_key
        self._creates_keys = creates_keys
        self._clock = clock
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._current: dict[str, _Current] = {}
        self._opened: dict[tuple[str, int], bytes] = {}

    async def current(self, key_id: str) -> RingKey:
        """The version that wraps what is written now, of a key that may be made by this.

        Raises UnknownKmsKey, KeyRingError (the master key does not open it), IndexUnavailable.
        """
        name = ring_name(key_id)
        now_s = self._clock()
        cached = self._current.get(name)
        if cached is not None and cached.expires_s > now_s:
            return cached.key
        record = await self._index.get_kms_key(name)
        if record is None:
            if not self._creates_keys and name != DEFAULT_KEY:
                raise UnknownKmsKey(f"Key '{key_id[:2048]}' does not exist")
            record = await self._make(name)
        newest = record.current
        found = RingKey(name=name, version=newest.number, key=self._open(name, newest))
        if len(self._current) >= CACHE_LIMIT:
            self._current.clear()
        self._current[name] = _Current(key=found, expires_s=now_s + CACHE_TTL_S)
        return found

    async def version(self, key_id: str, number: int) -> RingKey:
        """A version that has wrapped something. Raises UnknownKmsKey, KeyRingError, IndexUnavailable."""
        name = ring_name(key_id)
        key = self._opened.get((name, number))
        if key is None:
            record = await self._index.get_kms_key(name)
            versions = () if record is None else record.versions
            found = next((one for one in versions if one.number == number), None)
            if found is None:
                raise UnknownKmsKey(f"Key '{key_id[:2048]}' does not exist")
            key = self._open(name, found)
        return RingKey(name=name, version=number, key=key)

    async def create(self, key_id: str) -> KmsKeyRecord:
        """Make a key. Raises KeyRingError (there is one, or it cannot be named so), IndexUnavailable."""
        name = ring_name(key_id)
        try:
            return await self._index.put_kms_key(self._with_version(KmsKeyRecord(key_id=name, versions=()), 1))
        except KmsKeyChanged as error:
            raise KeyRingError(f"there is a key {name!r} already") from error

    async def rotate(self, key_id: str) -> KmsKeyRecord:
        """Add a version, under which objects are written from now on.

        Raises UnknownKmsKey, KeyRingError (rotated by another at the same moment), IndexUnavailable.
        """
        name = ring_name(key_id)
        record = await self._index.get_kms_key(name)
        if record is None:
            raise UnknownKmsKey(f"there is no key {name!r}")
        try:
            changed = await self._index.put_kms_key(self._with_version(record, record.current.number + 1))
        except KmsKeyChanged as error:
            raise KeyRingError(f"the key {name!r} was changed at the same moment: try again") from error
        self._current.pop(name, None)
        return changed

    async def list_all(self) -> list[KmsKeyRecord]:
        """All keys by name. Raises IndexUnavailable."""
        return await self._index.list_kms_keys()

    async def _make(self, name: str) -> KmsKeyRecord:
        try:
            return await self._index.put_kms_key(self._with_version(KmsKeyRecord(key_id=name, versions=()), 1))
        except KmsKeyChanged:
            record = await self._index.get_kms_key(name)
            if record is None:
                raise UnknownKmsKey(f"Key '{name}' does not exist") from None
            return record

    def _with_version(self, record: KmsKeyRecord, number: int) -> KmsKeyRecord:
        if not self._master_key:
            raise KeyRingError("there is no master key to encrypt the key with: set CAIRN_MASTER_KEY or --data")
        sealed = wrap_key(
            self._master_key,
            self._random_bytes(_KEY_BYTES),
            purpose=_PURPOSE,
            bound=_bound(record.key_id, number),
            random_bytes=self._random_bytes,
        )
        added = KmsKeyVersion(number=number, created_ms=self._now_ms(), sealed_key=sealed)
        return replace(record, versions=(*record.versions, added))

    def _open(self, name: str, version: KmsKeyVersion) -> bytes:
        try:
            key = unwrap_key(self._master_key, version.sealed_key, purpose=_PURPOSE, bound=_bound(name, version.number))
        except WrongKey as error:
            raise KeyRingError(f"the master key does not open version {version.number} of key {name!r}") from error
        if len(self._opened) >= CACHE_LIMIT:
            self._opened.clear()
        self._opened[name, version.number] = key
        return key


def _bound(name: str, number: int) -> bytes:
    return number.to_bytes(4) + name.encode()
