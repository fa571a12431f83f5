"""What `cairn user` does, between the command line and UserDirectory: find the index, run one call, close."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from gateway.credentials import Credential
from gateway.index.records import UserRecord
from gateway.journal.opening import open_index
from gateway.settings import GatewaySettings, collect
from gateway.supervisor.layout import DataDirectory
from gateway.users import NewUser, UserDirectory

OPEN_TIMEOUT_S = 10.0
"""How long a command waits for the index to be opened, and its journal to be there."""


def add(environment: Mapping[str, str], data: str | None, wanted: NewUser) -> Credential:
    """Add a user. Raises SettingsError, StartRefused, UserError, IndexUnavailable."""

    async def call() -> Credential:
        async with _open(environment, data) as users:
            return await users.add(wanted, now_ms=time.time_ns() // 1_000_000)

    return asyncio.run(call())


def list_all(environment: Mapping[str, str], data: str | None) -> list[UserRecord]:
    """All users by name. Raises SettingsError, StartRefused, IndexUnavailable."""

    async def call() -> list[UserRecord]:
        async with _open(environment, data) as users:
            return await users.list_all()

    return asyncio.run(call())


def remove(environment: Mapping[str, str], data: str | None, name: str) -> None:
    """Remove a user. Raises SettingsError, StartRefused, UserError, IndexUnavailable."""

    async def call() -> None:
        async with _open(environment, data) as users:
            await users.remove(name)

    asyncio.run(call())


def policy_of(environment: Mapping[str, str], data: str | None, name: str) -> str:
    """The identity policy of a user. Raises SettingsError, StartRefused, UserError, IndexUnavailable."""

    async def call() -> str:
        async with _open(environment, data) as users:
            return await users.policy_of(name)

    return asyncio.run(call())


def set_policy(environment: Mapping[str, str], data: str | None, name: str, text: str) -> None:
    """Set, or with an empty text remove, it. Raises SettingsError, StartRefused, UserError, IndexUnavailable."""

    async def call() -> None:
        async with _open(environment, data) as users:
            await users.set_policy(name, text)

    asyncio.run(call())


def find_index(environment: Mapping[str, str], data: str | None) -> GatewaySettings:
    """Settings that reach the index: REDIS_HOST, or the embedded server of a data directory.

    Raises SettingsError, StartRefused.
    """
    given = collect(GatewaySettings, environment, {"base_storage_path": data})
    settings = GatewaySettings.build(given)
    if "redis_host" in given:
        return settings
    address = DataDirectory(root=settings.base_storage_path).read_index_address()
    return replace(settings, redis_host=address)


@asynccontextmanager
async def _open(environment: Mapping[str, str], data: str | None) -> AsyncIterator[UserDirectory]:
    settings = find_index(environment, data)
    async with open_index(settings) as opened:
        await opened.journal.wait_until_open(OPEN_TIMEOUT_S)
        yield UserDirectory(opened.index, settings)
