"""Users: what is unique, and what happens when two change one at the same time."""

import asyncio
from dataclasses import replace

import pytest

from gateway.index.connection import Connection
from gateway.index.errors import NoSuchUser, UserChanged, UserExists, UserOwnsBuckets
from gateway.index.records import AccessKey, UserRecord
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, make_bucket


def user(name: str, *access_keys: str, user_id: str | None = None, email: str | None = None) -> UserRecord:
    return UserRecord(
        user_id=user_id or name.encode().hex(),
        name=name,
        display_name=name.title(),
        email=email,
        created_ms=NOW_MS,
        access_keys=tuple(
            AccessKey(access_key=key, sealed_secret=b"\x00\xffsealed", created_ms=NOW_MS) for key in access_keys
        ),
    )


async def test_a_user_is_found_by_id_name_address_and_each_access_key(index: Index) -> None:
    ann = await index.put_user(user("ann", "AK1", "AK2", email="Ann@Example.org"))

    assert ann.revision > 0
    assert await index.get_user(ann.user_id) == ann
    assert await index.get_user_by_name("ann") == ann
    assert await index.get_user_by_email("ann@example.ORG") == ann
    assert await index.get_user_by_access_key("AK2") == ann
    assert await index.get_user_by_access_key("ann") is None
    assert await index.get_user("nobody") is None


@pytest.mark.parametrize(
    "second",
    [
        user("ann", user_id="other"),
        user("bob", "AK1"),
        user("bob", "AK9", email="ANN@example.org"),
        user("bob", user_id=user("ann").user_id),
    ],
    ids=["name", "access key", "address", "id"],
)
async def test_what_belongs_to_a_user_belongs_to_no_other(index: Index, second: UserRecord) -> None:
    await index.put_user(user("ann", "AK1", email="ann@example.org"))

    with pytest.raises(UserExists):
        await index.put_user(second)
    assert [found.name for found in await index.list_users()] == ["ann"]


async def test_replacing_a_user_frees_what_it_no_longer_has(index: Index) -> None:
    ann = await index.put_user(user("ann", "AK1", "AK2"))
    changed = await index.put_user(replace(ann, name="anna", access_keys=ann.access_keys[1:]))

    assert await index.get_user_by_access_key("AK1") is None
    assert await index.get_user_by_name("ann") is None
    assert await index.get_user_by_access_key("AK2") == changed
    await index.put_user(user("ann", "AK1", user_id="other"))


async def test_a_user_changed_since_it_was_read_is_not_replaced(index: Index) -> None:
    ann = await index.put_user(user("ann", "AK1"))
    await index.put_user(replace(ann, display_name="x"))

    with pytest.raises(UserChanged):
        await index.put_user(replace(ann, display_name="y"))
    with pytest.raises(NoSuchUser):
        await index.put_user(replace(user("bob"), revision=5))


async def test_of_concurrent_changes_one_wins(index: Index) -> None:
    ann = await index.put_user(user("ann"))
    changes = [index.put_user(replace(ann, display_name=str(number))) for number in range(20)]

    results = await asyncio.gather(*changes, return_exceptions=True)

    assert sum(isinstance(result, UserRecord) for result in results) == 1
    assert sum(isinstance(result, UserChanged) for result in results) == 19


async def test_removing_a_user_removes_its_names(index: Index, connection: Connection) -> None:
    ann = await index.put_user(user("ann", "AK1", email="a@b"))
    await index.remove_user(ann.user_id)

    assert await connection.command("KEYS", "*user*") == []
    with pytest.raises(NoSuchUser):
        await index.remove_user(ann.user_id)


async def test_a_user_with_buckets_stays(index: Index) -> None:
    await index.put_user(user("ann", user_id=OWNER))
    await make_bucket(index)

    with pytest.raises(UserOwnsBuckets):
        await index.remove_user(OWNER)
    await index.delete_bucket("photos")
    await index.remove_user(OWNER)


async def test_users_are_listed_by_name(index: Index) -> None:
    for name in ("cid", "ann", "bob"):
        await index.put_user(user(name))

    assert [found.name for found in await index.list_users()] == ["ann", "bob", "cid"]
