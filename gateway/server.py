"""One gateway process: the services that live as long as it, the ASGI application, the uvicorn server around them."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator

import structlog
import uvicorn
from starlette.applications import Starlette

from gateway.access_log import AccessLog
from gateway.access_log_writer import AccessLogWriter
from gateway.app import create_app
from gateway.context import Services
from gateway.credentials import CredentialStore
from gateway.datapath import DataPath
from gateway.datapath.repair_reports import RepairReporter
from gateway.encryption.envelope import Envelopes
from gateway.encryption.keyring import KeyRing
from gateway.explaining import Explainer
from gateway.http_protocol import GatewayHttpProtocol
from gateway.index import connection
from gateway.index.errors import IndexFailure
from gateway.journal.opening import open_index
from gateway.settings import GatewaySettings

log = structlog.get_logger("cairn.gateway")

#: Idle connections are kept this long, in seconds: SDK pools reuse theirs within a minute, and a server that closes
#: first turns a reuse into a reset.
KEEP_ALIVE_S = 75
#: Seconds that requests under way are given at a stop.
GRACEFUL_STOP_S = 10


@contextlib.asynccontextmanager
async def open_services(settings: GatewaySettings) -> AsyncIterator[Services]:
    """Open the index, the node client and the membership table; close them in reverse."""
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(open_index(settings))
        index, client, membership = opened.index, opened.client, opened.membership
        await warn_unless_persistent(opened.raw)

        async def keep_lease(write_id: str, seconds: float) -> None:
            await index.keep_lease(write_id, ttl_ms=int(seconds * 1000))

        reporter = await stack.enter_async_context(RepairReporter(index, client, membership))
        datapath = DataPath(
            client=client,
            membership=membership,
            replicas_for=settings.replicas_for,
            keep_lease=keep_lease,
            orphan_grace_s=settings.orphan_grace_s,
            damage=reporter,
        )
        stack.push_async_callback(datapath.aclose)
        keyring = KeyRing(
            index,
            settings.master_key,
            creates_keys=settings.kms_create_keys,
            clock=time.monotonic,
            now_ms=lambda: time.time_ns() // 1_000_000,
        )
        credentials = CredentialStore(index, settings)
        explainer = await stack.enter_async_context(Explainer(index, credentials, region=settings.region))
        access_log = AccessLog(lines=settings.access_log_lines)
        services = Services(
            settings=settings,
            index=index,
            datapath=datapath,
            membership=membership,
            credentials=credentials,
            journal=opened.journal,
            envelopes=Envelopes(settings.master_key, keyring),
            explainer=explainer,
            access_log=access_log,
        )
        await stack.enter_async_context(
            AccessLogWriter(access_log, services, interval_s=settings.access_log_interval_s)
        )
        yield services


async def warn_unless_persistent(redis: connection.Connection) -> None:
    """Say so where the index server keeps nothing over a restart. It may also be away as yet."""
    try:
        reason = await connection.check_durability(redis)
    except IndexFailure as error:
        log.warning("whether the index server is persistent could not be asked", error=str(error))
        return
    if reason is not None:
        log.warning("the index server is not persistent", reason=reason)


def run_gateway(settings: GatewaySettings, sockets: list[socket.socket] | None = None) -> None:
    """Run one gateway process until SIGTERM or SIGINT; ``sockets`` are a supervisor's listening sockets."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            yield

    config = uvicorn.Config(
        create_app(settings, lifespan),
        host=settings.host,
        port=settings.port,
        http=GatewayHttpProtocol,
        ws="none",
        loop="uvloop",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_config=None,
        backlog=2048,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACEFUL_STOP_S,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    uvicorn.Server(config).run(sockets=sockets)
