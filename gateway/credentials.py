"""Users and their secrets: who an access key belongs to, and the secret that its signatures are made with.

Secrets lie in the index encrypted with AES-256-GCM under the master key, bound to their access key; in plain
they exist in the memory of gateways only, and are in no log and no repr. The index knows users as records and
their secrets as opaque bytes.

A sealed secret is: 1 byte, the format (1) ‖ 12 bytes, the random nonce ‖ the ciphertext ‖ 16 bytes, the tag.
"""

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.identity_policies import stored_policy
from gateway.index.records import UserRecord
from gateway.index.store import Index
from gateway.settings import GatewaySettings
from s3compat.acl import ANONYMOUS_ID
from s3compat.policy import Policy

#: The root user owns its buckets under this id whatever its keys are (SHA-256 of "cairn root user").
ROOT_CANONICAL_ID = "1ad17a43e274d635629a750cb265e6a7aef49b871fbd9e5a4885450f2f52b761"
ROOT_NAME = "root"

#: How long a gateway may go on with what it knows of a user, in seconds.
CACHE_TTL_S = 2.0
#: Known and unknown access keys together; strangers' guesses must not fill the memory.
CACHE_LIMIT = 10_000

_SEAL_FORMAT = b"\x01"
_NONCE_SIZE_BYTES = 12

#: `/` would split a credential scope.
ACCESS_KEY_PATTERN = re.compile(r"[A-Za-z0-9_.-]{3,128}")


class SecretUnreadable(Exception):
    """The master key does not open a sealed secret: another master key made it, or it was altered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody who may own buckets and objects."""

    canonical_id: str
    display_name: str
    name: str
    email: str = ""
    is_root: bool = False
    policy: Policy | None = field(default=None, compare=False, repr=False)
    """What the user is held to, None where nothing but ownership, ACLs and bucket policies decide."""

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody in particular is meant: the sender of a request without a signature."""
        return self.canonical_id == ANONYMOUS_ID


#: What an unsigned request writes belongs to this id, as at AWS.
ANONYMOUS = Identity(canonical_id=ANONYMOUS_ID, display_name="", name="anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An access key with its secret and owner."""

    access_key: str
    secret_key: str = field(repr=False)
    identity: Identity


def seal_secret(master_key: bytes, access_key: str, secret_key: str) -> bytes:
    """Encrypt a secret for the index."""
    nonce = secrets.token_bytes(_NONCE_SIZE_BYTES)
    return _SEAL_FORMAT + nonce + AESGCM(master_key).encrypt(nonce, secret_key.encode(), access_key.encode())


def open_secret(master_key: bytes, access_key: str, sealed: bytes) -> str:
    """Decrypt a secret from the index. Raises SecretUnreadable."""
    if sealed[:1] != _SEAL_FORMAT:
        raise SecretUnreadable(f"secret of {access_key}: format {sealed[:1].hex()} is not known")
    nonce, ciphertext = sealed[1 : 1 + _NONCE_SIZE_BYTES], sealed[1 + _NONCE_SIZE_BYTES :]
    try:
        return AESGCM(master_key).decrypt(nonce, ciphertext, access_key.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise SecretUnreadable(f"the master key does not open the secret of access key {access_key}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cached:
    credential: Credential | None
    expires: float


class CredentialStore:
    """Looks up credentials by access key: the root user's from the settings, all others in the index."""

    def __init__(self, index: Index, settings: GatewaySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._master_key = settings.master_key
        self._clock = clock
        self._cache: dict[str, _Cached] = {}
        self._identities: dict[str, tuple[Identity | None, float]] = {}
        self._root = root_credential(settings)

    async def lookup(self, access_key: str) -> Credential | None:
        """The credential, or None for an unknown access key; changes show within CACHE_TTL_S.

        Raises IndexUnavailable, SecretUnreadable.
        """
        if self._root is not None and access_key == self._root.access_key:
            return self._root
        if not ACCESS_KEY_PATTERN.fullmatch(access_key):
            return None
        now = self._clock()
        cached = self._cache.get(access_key)
        if cached is not None and cached.expires > now:
            return cached.credential
        credential = await self._find(access_key)
        self._remember(access_key, _Cached(credential=credential, expires=now + CACHE_TTL_S))
        return credential

    async def _find(self, access_key: str) -> Credential | None:
        user = await self._index.get_user_by_access_key(access_key)
        if user is None:
            return None
        sealed = next(key.sealed_secret for key in user.access_keys if key.access_key == access_key)
        return Credential(
            access_key=access_key,
            secret_key=open_secret(self._master_key, access_key, sealed),
            identity=identity_of(user),
        )

    async def find_by_id(self, canonical_id: str) -> Identity | None:
        """The user of this canonical id, or None; a grantee of an ACL. Raises IndexUnavailable."""
        if self._root is not None and canonical_id == self._root.identity.canonical_id:
            return self._root.identity
        if canonical_id == ANONYMOUS_ID:
            return ANONYMOUS
        now = self._clock()
        cached = self._identities.get(canonical_id)
        if cached is not None and cached[1] > now:
            return cached[0]
        user = await self._index.get_user(canonical_id)
        identity = None if user is None else identity_of(user)
        if len(self._identities) >= CACHE_LIMIT:
            self._identities.clear()
        self._identities[canonical_id] = (identity, now + CACHE_TTL_S)
        return identity

    async def find_by_email(self, email: str) -> Identity | None:
        """The user of this e-mail address, or None. Raises IndexUnavailable."""
        user = await self._index.get_user_by_email(email)
        return None if user is None else identity_of(user)

    def _remember(self, access_key: str, cached: _Cached) -> None:
        self._cache.pop(access_key, None)
        while len(self._cache) >= CACHE_LIMIT:
            del self._cache[next(iter(self._cache))]  # dicts keep insertion order: the oldest goes
        self._cache[access_key] = cached


def root_credential(settings: GatewaySettings) -> Credential | None:
    """The root user's, or None where the settings name none."""
    if not settings.root_access_key:
        return None
    root = Identity(canonical_id=ROOT_CANONICAL_ID, display_name=ROOT_NAME, name=ROOT_NAME, is_root=True)
    return Credential(access_key=settings.root_access_key, secret_key=settings.root_secret_key, identity=root)


def identity_of(user: UserRecord) -> Identity:
    """A stored user as the owner of things."""
    return Identity(
        canonical_id=user.user_id,
        display_name=user.display_name,
        name=user.name,
        email=user.email or "",
        policy=stored_policy(user.policy),
    )
