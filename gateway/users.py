"""Adding, listing and removing users, with the rules for their names and keys; for the CLI and the admin API.

Nothing here answers requests of S3 clients: those look credentials up in credentials.py.
"""

import re
import secrets
from dataclasses import dataclass, field, replace

from gateway.credentials import (
    ACCESS_KEY_PATTERN,
    ROOT_CANONICAL_ID,
    ROOT_NAME,
    Credential,
    Identity,
    seal_secret,
)
from gateway.index.errors import NoSuchUser, UserChanged, UserExists, UserOwnsBuckets
from gateway.index.records import AccessKey, UserRecord
from gateway.index.store import Index
from gateway.keys import new_access_key, new_secret_key
from gateway.settings import GatewaySettings
from s3compat.errors import S3Error
from s3compat.policy import parse_identity_policy

_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
_SECRET_KEY = re.compile(r"[!-~]{8,128}")
_CANONICAL_ID = re.compile(r"[A-Za-z0-9+=,.@_-]{1,128}")
_DISPLAY_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@\x00-\x1f]{1,189}")


class UserError(Exception):
    """A user cannot be added or removed as asked; the message tells an administrator why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user to be added; empty fields are made up or follow from the name."""

    name: str
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    canonical_id: str = ""
    display_name: str = ""
    email: str = ""


class UserDirectory:
    """Adds, lists and removes users; what `cairn user` and the admin API call."""

    def __init__(self, index: Index, settings: GatewaySettings) -> None:
        self._index = index
        self._settings = settings

    async def add(self, wanted: NewUser, now_ms: int) -> Credential:
        """Store a user and return its credential. Raises UserError, IndexUnavailable."""
        if not self._settings.master_key:
            raise UserError("there is no master key to encrypt the secret with: set CAIRN_MASTER_KEY or --data")
        credential = Credential(
            access_key=wanted.access_key or new_access_key(),
            secret_key=wanted.secret_key or new_secret_key(),
            identity=Identity(
                canonical_id=wanted.canonical_id or secrets.token_hex(32),
                display_name=wanted.display_name or wanted.name,
                name=wanted.name,
                email=wanted.email,
            ),
        )
        _check(credential, self._settings.root_access_key)
        try:
            await self._index.put_user(self._record(credential, now_ms))
        except UserExists as error:
            raise UserError(f"{wanted.name}: {error or 'name, id, access key or e-mail is taken'}") from error
        return credential

    async def list_all(self) -> list[UserRecord]:
        """All users but root, by name. Raises IndexUnavailable."""
        return sorted(await self._index.list_users(), key=lambda user: user.name)

    async def remove(self, name: str) -> None:
        """Forget a user. Raises UserError, IndexUnavailable."""
        user = await self._find(name)
        try:
            await self._index.remove_user(user.user_id)
        except NoSuchUser as error:
            raise UserError(f"there is no user {name!r}") from error
        except UserOwnsBuckets as error:
            raise UserError(f"{name} owns buckets: delete them first") from error

    async def policy_of(self, name: str) -> str:
        """The identity policy of a user as it was put, or an empty text. Raises UserError, IndexUnavailable."""
        return (await self._find(name)).policy

    async def set_policy(self, name: str, text: str) -> None:
        """Hold a user to a policy, or with an empty text to none any more.

        Gateways follow within CACHE_TTL_S. Raises UserError, IndexUnavailable.
        """
        user = await self._find(name)
        if text:
            try:
                parse_identity_policy(text)
            except S3Error as error:
                raise UserError(f"{error.code}: {error.message}") from error
        try:
            await self._index.put_user(replace(user, policy=text))
        except NoSuchUser as error:
            raise UserError(f"there is no user {name!r}") from error
        except UserChanged as error:
            raise UserError(f"{name} was changed at the same moment: try again") from error

    async def _find(self, name: str) -> UserRecord:
        if name == ROOT_NAME:
            raise UserError("the root user comes from the settings and is held to no policy")
        user = await self._index.get_user_by_name(name)
        if user is None:
            raise UserError(f"there is no user {name!r}")
        return user

    def _record(self, credential: Credential, now_ms: int) -> UserRecord:
        sealed = seal_secret(self._settings.master_key, credential.access_key, credential.secret_key)
        key = AccessKey(access_key=credential.access_key, sealed_secret=sealed, created_ms=now_ms)
        identity = credential.identity
        return UserRecord(
            user_id=identity.canonical_id,
            name=identity.name,
            display_name=identity.display_name,
            email=identity.email or None,
            created_ms=now_ms,
            access_keys=(key,),
        )


def _check(credential: Credential, root_access_key: str) -> None:
    """Refuse what would not work in a request or could be taken for root. Raises UserError."""
    identity = credential.identity
    for what, pattern, text in (
        ("a name is 1 to 64 letters, digits and +=,.@_-", _NAME, identity.name),
        ("an access key is 3 to 128 letters, digits and ._-", ACCESS_KEY_PATTERN, credential.access_key),
        ("a secret key is 8 to 128 printable ASCII characters", _SECRET_KEY, credential.secret_key),
        ("an id is 1 to 128 letters, digits and +=,.@_-", _CANONICAL_ID, identity.canonical_id),
        ("a display name is 1 to 256 printable characters", _DISPLAY_NAME, identity.display_name),
        ("an e-mail address looks like name@domain", _EMAIL, identity.email or "none@none"),
    ):
        if not pattern.fullmatch(text):
            raise UserError(what)
    if identity.name == ROOT_NAME or identity.canonical_id == ROOT_CANONICAL_ID:
        raise UserError("name and id of the root user cannot be given to another")
    if credential.access_key == root_access_key:
        raise UserError("that is the access key of the root user")
