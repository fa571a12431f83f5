"""One gateway process: the services that live as long as it, the ASGI application, the uvicorn server around them."""

import contextlib
import socket
from collections.abc import AsyncIterator

import structlog
import uvicorn
from starlette.applications import Starlette

from gateway.app import create_app
from gateway.context import Services
from gateway.credentials import CredentialStore
from gateway.datapath import DataPath
from gateway.http_protocol import GatewayHttpProtocol
from gateway.index import connection
from gateway.index.errors import IndexFailure
from gateway.index.journal_feed import JournalFeed
from gateway.index.store import Index
from gateway.placement.membership import Membership
from gateway.settings import GatewaySettings
from storagenode.client import NodeClient

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
        redis = connection.connect(settings.redis_host, settings.redis_port, password=settings.redis_password)
        stack.push_async_callback(redis.close)
        await warn_unless_durable(redis)
        await _open_if_new(redis)
        index = Index(redis)
        membership = await stack.enter_async_context(Membership(redis, node_timeout_s=settings.node_timeout_s))
        client = await stack.enter_async_context(NodeClient(settings.cluster_secret.encode()))

        async def keep_lease(write_id: str, seconds: float) -> None:
            await index.keep_lease(write_id, ttl_ms=int(seconds * 1000))

        datapath = DataPath(
            client=client,
            membership=membership,
            replicas_for=settings.replicas_for,
            keep_lease=keep_lease,
            orphan_grace_s=settings.orphan_grace_s,
        )
        stack.push_async_callback(datapath.aclose)
        yield Services(
            settings=settings,
            index=index,
            datapath=datapath,
            membership=membership,
            credentials=CredentialStore(index, settings),
        )


async def _open_if_new(redis: connection.Connection) -> None:
    feed = JournalFeed(redis)
    with contextlib.suppress(IndexFailure):
        state = await feed.read_state()
        if state.sequence is None:
            await feed.open(identity=state.identity, incarnation="", epoch=0, segment=b"", watermark=0)


async def warn_unless_durable(redis: connection.Connection) -> None:
    """Say so where the index server acknowledges what a crash may take back. It may also be away as yet."""
    try:
        reason = await connection.check_durability(redis)
    except IndexFailure as error:
        log.warning("whether the index is durable could not be asked", error=str(error))
        return
    if reason is not None:
        log.warning("acknowledged writes may be lost", reason=reason)


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
