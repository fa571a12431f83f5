"""Users and their access keys. Secrets arrive sealed and stay so."""

from dataclasses import replace

from gateway.index import keys
from gateway.index.base import IndexBase, accepted
from gateway.index.errors import NoSuchUser, UserChanged
from gateway.index.record_encoding import decode_user, encode_user
from gateway.index.records import UserRecord
from gateway.index.scripts import load_script

_PUT = load_script("put_user")
_REMOVE = load_script("remove_user")
_FIND = load_script("find_user")

# What stands before each kind of name in the hash that they share.
_NAME, _EMAIL, _ACCESS_KEY = "name:", "email:", "key:"


class UserIndex(IndexBase):
    """The part of the index that knows users."""

    async def put_user(self, user: UserRecord) -> UserRecord:
        """Create a user (revision 0) or replace one at the revision that was read; returns it as it is now.

        Name, e-mail address and access keys belong to one user each. Raises UserExists, NoSuchUser, UserChanged,
        IndexUnavailable.
        """
        old_names = await self._names_at(user.user_id, user.revision) if user.revision else ()
        reply = await self._connection.change(
            _PUT,
            (keys.sequence(), keys.users(), keys.user_names()),
            (user.user_id, user.revision, encode_user(user), len(old_names), *old_names, *names_of(user)),
        )
        return replace(user, revision=accepted(reply, user.name)[0])

    async def remove_user(self, user_id: str) -> int:
        """Remove a user with its access keys; returns the number of the change.

        Raises NoSuchUser, UserOwnsBuckets, UserChanged (at the same moment), IndexUnavailable.
        """
        user = await self.get_user(user_id)
        if user is None:
            raise NoSuchUser(user_id)
        reply = await self._connection.change(
            _REMOVE,
            (keys.sequence(), keys.users(), keys.user_names(), keys.owned_buckets()),
            (user_id, user.revision, *names_of(user)),
        )
        sequence: int = accepted(reply, user_id)[0]
        return sequence

    async def get_user(self, user_id: str) -> UserRecord | None:
        """The user of this id. Raises IndexUnavailable."""
        stored = await self._connection.observe("HGET", keys.users(), user_id)
        return None if stored is None else decode_user(stored)

    async def get_user_by_access_key(self, access_key: str) -> UserRecord | None:
        """The user who has this access key. Raises IndexUnavailable."""
        return await self._find(_ACCESS_KEY + access_key)

    async def get_user_by_name(self, name: str) -> UserRecord | None:
        """The user of this name. Raises IndexUnavailable."""
        return await self._find(_NAME + name)

    async def get_user_by_email(self, email: str) -> UserRecord | None:
        """The user of this e-mail address, whatever its case. Raises IndexUnavailable."""
        return await self._find(_EMAIL + email.lower())

    async def list_users(self) -> list[UserRecord]:
        """All users by name. Raises IndexUnavailable."""
        stored = await self._connection.observe("HVALS", keys.users())
        return sorted([decode_user(value) for value in stored], key=lambda user: user.name)

    async def _find(self, name: str) -> UserRecord | None:
        reply = await self._connection.read(_FIND, (keys.sequence(), keys.users(), keys.user_names()), (name,))
        (stored,) = accepted(reply, name)
        return None if stored is None else decode_user(stored)

    async def _names_at(self, user_id: str, revision: int) -> tuple[str, ...]:
        user = await self.get_user(user_id)
        if user is None:
            raise NoSuchUser(user_id)
        if user.revision != revision:
            raise UserChanged(user_id)
        return names_of(user)


def names_of(user: UserRecord) -> tuple[str, ...]:
    """What leads to a user in the table of names, each with its prefix."""
    email = (_EMAIL + user.email.lower(),) if user.email else ()
    return (_NAME + user.name, *email, *[_ACCESS_KEY + key.access_key for key in user.access_keys])
