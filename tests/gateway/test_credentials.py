"""gateway.credentials and gateway.users: sealing, look-up with its cache, adding and removing users."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from gateway.credentials import (
    CACHE_TTL_S,
    ROOT_CANONICAL_ID,
    CredentialStore,
    SecretUnreadable,
    open_secret,
    seal_secret,
)
from gateway.index import connection
from gateway.index.connection import Connection
from gateway.index.store import Index
from gateway.settings import GatewaySettings
from gateway.users import NewUser, UserDirectory, UserError
from tests.harness.opened_index import open_new
from tests.harness.redis_server import RedisServer

MASTER_KEY = bytes(range(32))
SETTINGS = GatewaySettings(master_key=MASTER_KEY, root_access_key="ROOTKEY", root_secret_key="root-secret")
NOW_MS = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Connection]:
    opened = connection.connect(redis_server.address)
    await open_new(opened)
    yield opened
    await opened.close()


@pytest.fixture
def users(redis: Connection) -> UserDirectory:
    return UserDirectory(Index(redis), SETTINGS)


def test_sealed_secret_opens_with_its_key_and_name_only() -> None:
    sealed = seal_secret(MASTER_KEY, "ALICE", "top-secret")
    assert open_secret(MASTER_KEY, "ALICE", sealed) == "top-secret"
    assert b"top-secret" not in sealed
    assert seal_secret(MASTER_KEY, "ALICE", "top-secret") != sealed
    with pytest.raises(SecretUnreadable):
        open_secret(MASTER_KEY, "BOB", sealed)
    with pytest.raises(SecretUnreadable):
        open_secret(bytes(32), "ALICE", sealed)


@pytest.mark.parametrize("position", [0, 1, 13, -1])
def test_altered_seal_is_refused(position: int) -> None:
    sealed = bytearray(seal_secret(MASTER_KEY, "ALICE", "top-secret"))
    sealed[position] ^= 1
    with pytest.raises(SecretUnreadable):
        open_secret(MASTER_KEY, "ALICE", bytes(sealed))


@pytest.mark.parametrize("length", range(29))
def test_truncated_seal_is_refused(length: int) -> None:
    with pytest.raises(SecretUnreadable):
        open_secret(MASTER_KEY, "ALICE", seal_secret(MASTER_KEY, "ALICE", "")[:length])


async def test_root_comes_from_the_settings_without_the_index(redis: Connection) -> None:
    await redis.close()
    found = await CredentialStore(Index(redis), SETTINGS).lookup("ROOTKEY")
    assert found is not None
    assert found.secret_key == "root-secret"
    assert (found.identity.canonical_id, found.identity.is_root) == (ROOT_CANONICAL_ID, True)


async def test_no_root_without_keys(redis: Connection) -> None:
    store = CredentialStore(Index(redis), replace(SETTINGS, root_access_key="", root_secret_key=""))
    assert await store.lookup("") is None
    assert await store.lookup("ROOTKEY") is None


async def test_added_user_is_found_with_its_secret(redis: Connection, users: UserDirectory) -> None:
    wanted = NewUser(
        name="alice",
        access_key="ALICEKEY",
        secret_key="alice-secret",
        canonical_id="a" * 64,
        display_name="Alice A.",
        email="alice@example.com",
    )
    made = await users.add(wanted, NOW_MS)
    found = await CredentialStore(Index(redis), SETTINGS).lookup("ALICEKEY")
    assert found == made
    assert found.secret_key == "alice-secret"
    assert (found.identity.display_name, found.identity.email) == ("Alice A.", "alice@example.com")
    assert not found.identity.is_root


async def test_keys_id_and_display_name_are_made_up_when_not_given(users: UserDirectory) -> None:
    made = await users.add(NewUser(name="bob"), NOW_MS)
    assert len(made.access_key) == 20
    assert len(made.secret_key) == 40
    assert len(bytes.fromhex(made.identity.canonical_id)) == 32
    assert made.identity.display_name == "bob"


async def test_secret_is_nowhere_in_the_index(redis: Connection, users: UserDirectory) -> None:
    await users.add(NewUser(name="alice", secret_key="find-me-if-you-can"), NOW_MS)
    for key in await redis.command("KEYS", "*"):
        assert b"find-me-if-you-can" not in (await redis.command("DUMP", key))


async def test_unknown_access_key_is_nobody(redis: Connection) -> None:
    store = CredentialStore(Index(redis), SETTINGS)
    assert await store.lookup("NOBODY") is None
    assert await store.lookup("no/body") is None


READING = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}'


async def test_policy_of_a_user_shows_within_the_ttl(redis: Connection, users: UserDirectory) -> None:
    clock = Clock()
    store = CredentialStore(Index(redis), SETTINGS, clock)

    async def policies() -> list[bool]:
        by_key, by_id = await store.lookup("ALICEKEY"), await store.find_by_id("a" * 64)
        assert by_key is not None
        assert by_id is not None
        return [identity.policy is not None for identity in (by_key.identity, by_id)]

    await users.add(NewUser(name="alice", access_key="ALICEKEY", canonical_id="a" * 64), NOW_MS)
    assert await policies() == [False, False]
    await users.set_policy("alice", READING)
    assert await policies() == [False, False]
    clock.now_s += CACHE_TTL_S
    assert await policies() == [True, True]
    assert await users.policy_of("alice") == READING
    await users.set_policy("alice", "")
    clock.now_s += CACHE_TTL_S
    assert await policies() == [False, False]
    assert await users.policy_of("alice") == ""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("alice", "[]", "MalformedPolicy"),
        ("alice", READING.replace("GetObject", "GetObjekt"), "Policy has invalid action"),
        ("nobody", READING, "there is no user 'nobody'"),
        ("root", READING, "held to no policy"),
    ],
)
async def test_policy_that_cannot_be_set(users: UserDirectory, name: str, text: str, words: str) -> None:
    await users.add(NewUser(name="alice"), NOW_MS)
    with pytest.raises(UserError, match=words):
        await users.set_policy(name, text)
    assert await users.policy_of("alice") == ""


async def test_look_up_is_cached_for_the_ttl(redis: Connection, users: UserDirectory) -> None:
    clock = Clock()
    store = CredentialStore(Index(redis), SETTINGS, clock)
    assert await store.lookup("ALICEKEY") is None
    await users.add(NewUser(name="alice", access_key="ALICEKEY"), NOW_MS)
    assert await store.lookup("ALICEKEY") is None
    clock.now_s += CACHE_TTL_S
    assert await store.lookup("ALICEKEY") is not None
    await users.remove("alice")
    assert await store.lookup("ALICEKEY") is not None
    clock.now_s += CACHE_TTL_S
    assert await store.lookup("ALICEKEY") is None


async def test_cache_is_bounded(redis: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.credentials.CACHE_LIMIT", 3)
    store = CredentialStore(Index(redis), SETTINGS)
    for number in range(10):
        await store.lookup(f"GUESS{number}")
    assert list(store._cache) == ["GUESS7", "GUESS8", "GUESS9"]


async def test_foreign_master_key_is_an_error_and_not_a_wrong_secret(redis: Connection, users: UserDirectory) -> None:
    await users.add(NewUser(name="alice", access_key="ALICEKEY"), NOW_MS)
    store = CredentialStore(Index(redis), replace(SETTINGS, master_key=bytes(32)))
    with pytest.raises(SecretUnreadable, match="ALICEKEY"):
        await store.lookup("ALICEKEY")


@pytest.mark.parametrize(
    "second",
    [
        NewUser(name="alice"),
        NewUser(name="bob", access_key="ALICEKEY"),
        NewUser(name="bob", canonical_id="alice-id"),
        NewUser(name="bob", email="alice@example.com"),
    ],
)
async def test_duplicate_is_refused_and_changes_nothing(users: UserDirectory, second: NewUser) -> None:
    first = NewUser(name="alice", access_key="ALICEKEY", canonical_id="alice-id", email="alice@example.com")
    await users.add(first, NOW_MS)
    before = await users.list_all()
    with pytest.raises(UserError, match=second.name):
        await users.add(second, NOW_MS)
    assert await users.list_all() == before


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (NewUser(name=""), "a name is"),
        (NewUser(name="a b"), "a name is"),
        (NewUser(name="x" * 65), "a name is"),
        (NewUser(name="ok", access_key="a/b"), "an access key is"),
        (NewUser(name="ok", access_key="ab"), "an access key is"),
        (NewUser(name="ok", secret_key="short"), "a secret key is"),
        (NewUser(name="ok", secret_key="with space"), "a secret key is"),
        (NewUser(name="ok", canonical_id="a\nb"), "an id is"),
        (NewUser(name="ok", display_name="a\x00"), "a display name is"),
        (NewUser(name="ok", email="nobody"), "an e-mail address"),
        (NewUser(name="root"), "root user"),
        (NewUser(name="ok", canonical_id=ROOT_CANONICAL_ID), "root user"),
        (NewUser(name="ok", access_key="ROOTKEY"), "root user"),
    ],
)
async def test_bad_user_is_refused_with_the_rule(users: UserDirectory, wanted: NewUser, message: str) -> None:
    with pytest.raises(UserError, match=message):
        await users.add(wanted, NOW_MS)
    assert await users.list_all() == []


async def test_no_user_without_a_master_key(redis: Connection) -> None:
    users = UserDirectory(Index(redis), GatewaySettings())
    with pytest.raises(UserError, match="no master key"):
        await users.add(NewUser(name="alice"), NOW_MS)


async def test_users_are_listed_by_name(users: UserDirectory) -> None:
    for name in ("carol", "alice", "bob"):
        await users.add(NewUser(name=name), NOW_MS)
    assert [user.name for user in await users.list_all()] == ["alice", "bob", "carol"]


async def test_unknown_user_cannot_be_removed(users: UserDirectory) -> None:
    with pytest.raises(UserError, match="there is no user 'nobody'"):
        await users.remove("nobody")


async def test_user_that_owns_buckets_cannot_be_removed(redis: Connection, users: UserDirectory) -> None:
    made = await users.add(NewUser(name="alice"), NOW_MS)
    index = Index(redis)
    await index.create_bucket("photos", made.identity.canonical_id, "us-east-1", now_ms=NOW_MS, limit=100)
    with pytest.raises(UserError, match="alice owns buckets"):
        await users.remove("alice")
    await index.delete_bucket("photos")
    await users.remove("alice")
    assert await users.list_all() == []


async def test_secrets_are_not_in_a_repr(users: UserDirectory) -> None:
    made = await users.add(NewUser(name="alice", secret_key="hidden-secret"), NOW_MS)
    assert "hidden" not in repr(made)
    assert "hidden" not in repr(NewUser(name="alice", secret_key="hidden-secret"))
