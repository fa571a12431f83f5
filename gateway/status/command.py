"""What `cairn status` does between the command line and the collector: find the cluster, ask, judge, close."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from gateway.index.connection import connect
from gateway.settings import GatewaySettings
from gateway.status.collect import StatusCollector
from gateway.status.findings import judge
from gateway.status.report import StatusReport
from gateway.user_commands import find_index
from storagenode.client import NodeClient

NODE_CONNECT_TIMEOUT_S = 2.0
NODE_IDLE_TIMEOUT_S = 4.0


async def gather_status(
    environment: Mapping[str, str],
    data: str | None,
    addresses: Sequence[str] = (),
    *,
    clock: Callable[[], float] = time.time,
) -> StatusReport:
    """The report of the cluster that the environment or a data directory names. Raises SettingsError, StartRefused."""
    return await status_of(find_index(environment, data), addresses, clock=clock)


async def status_of(
    settings: GatewaySettings, addresses: Sequence[str] = (), *, clock: Callable[[], float] = time.time
) -> StatusReport:
    """The report of the cluster that the settings name; `addresses` are nodes to be asked in any case."""
    async with AsyncExitStack() as stack:
        connection = connect(settings.redis_host, settings.redis_port, password=settings.redis_password)
        stack.push_async_callback(connection.close)
        client = await stack.enter_async_context(
            NodeClient(
                settings.cluster_secret.encode(),
                connect_timeout_s=NODE_CONNECT_TIMEOUT_S,
                idle_timeout_s=NODE_IDLE_TIMEOUT_S,
            )
        )
        collector = StatusCollector(settings, connection, client, clock=clock, addresses=addresses)
        return judge(await collector.collect(), settings)
