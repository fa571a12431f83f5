"""What the commands on a running cluster work with: settings, index, node table, node client; opened for one call."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.index.store import Index
from gateway.journal.opening import open_index
from gateway.placement.membership import Membership
from gateway.settings import GatewaySettings
from gateway.user_commands import OPEN_TIMEOUT_S, find_index
from storagenode.client import NodeClient


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandServices:
    """Open as long as the command runs."""

    settings: GatewaySettings
    index: Index
    membership: Membership
    client: NodeClient


@asynccontextmanager
async def open_command(environment: Mapping[str, str], data: str | None) -> AsyncIterator[CommandServices]:
    """Find the index by the environment or the data directory, and wait until it is open.

    Raises SettingsError, StartRefused, IndexUnavailable.
    """
    settings = find_index(environment, data)
    async with open_index(settings) as opened:
        await opened.journal.wait_until_open(OPEN_TIMEOUT_S)
        await opened.membership.refresh(maximum_age_s=1.0)
        yield CommandServices(settings=settings, index=opened.index, membership=opened.membership, client=opened.client)
