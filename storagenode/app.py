"""One storage node as a process: puts its parts together, announces it, and takes it down in order."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable

from aiohttp import web

from storagenode import identity, index_server
from storagenode.blobstore import BlobStore, DirectoryInUse
from storagenode.disk import Disk
from storagenode.guard import RequestGuard
from storagenode.heartbeat import Beat, Heartbeat
from storagenode.identity import UnknownDirectory
from storagenode.journal.manifests import ManifestStore
from storagenode.journal.store import JournalStore
from storagenode.journal_routes import JournalRoutes
from storagenode.journal_scrub import JournalScrub
from storagenode.parent import ParentGone, die_with_parent
from storagenode.protocol import ORIGIN_LIMIT_BYTES, NodeHealth
from storagenode.routes import InFlight, Routes, answer_errors, authentication
from storagenode.scrub import Scrubber, ScrubFile
from storagenode.settings import NodeSettings
from storagenode.threads import Threads

_log = logging.getLogger(__name__)

_READ_BUFFER_BYTES = 1024 * 1024  # of each connection; up to twice as much may wait in it
_FIELD_LIMIT_BYTES = 2 * ORIGIN_LIMIT_BYTES  # of a header: an origin in base64 fits
_KEEPALIVE_S = 75.0  # above the client's (transport.py)
_STOP_TIMEOUT_S = 5.0  # for requests under way when the node is told to stop
_CANCEL_TIMEOUT_S = 0.5  # for those that are cancelled after that
_BACKLOG = 1024

IN_FLIGHT = web.AppKey("in_flight", InFlight)

# A peer that is gone without a word is noticed after a minute, and its temporary file with it.
_PROBE_AFTER_S, _PROBE_EVERY_S, _PROBES = 30, 10, 3


class StartFailed(Exception):
    """The node cannot start; the message is for whoever started it."""


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


def create_app(
    store: BlobStore,
    node_id: str,
    secret: bytes,
    *,
    journal: JournalStore,
    measure: Callable[[], NodeHealth],
    clock_ms: Callable[[], int] = unix_ms,
) -> web.Application:
    """The node's HTTP application over its stores; it owns the threads that it uses, not the stores."""
    threads = Threads()
    journal_routes = JournalRoutes(journal, ManifestStore(journal.files, store.space), threads)

    async def close_threads(_app: web.Application) -> None:
        await asyncio.to_thread(journal_routes.close)
        await asyncio.to_thread(threads.close)

    guard = RequestGuard(secret, node_id, clock_ms=clock_ms)
    in_flight = InFlight()
    app = web.Application(middlewares=[in_flight.middleware(), answer_errors, authentication(guard)])
    app[IN_FLIGHT] = in_flight
    app.add_routes(Routes(store, threads, node_id, measure=measure, clock_ms=clock_ms).table())
    app.add_routes(journal_routes.table())
    app.on_cleanup.append(close_threads)
    return app


def create_runner(app: web.Application) -> web.AppRunner:
    """A runner with the limits that the protocol needs, not yet set up."""
    return web.AppRunner(
        app,
        access_log=None,
        read_bufsize=_READ_BUFFER_BYTES,
        max_field_size=_FIELD_LIMIT_BYTES,
        keepalive_timeout=_KEEPALIVE_S,
        lingering_time=0,  # routes.py does it, and notices when the client goes away meanwhile
        shutdown_timeout=_CANCEL_TIMEOUT_S,
    )


def run_node(settings: NodeSettings, *, disk: Disk | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Exits with a message when the node cannot start."""
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("storagenode").setLevel(logging.DEBUG if settings.debug else logging.INFO)
    try:
        if settings.parent_pid:
            die_with_parent(settings.parent_pid)
        _raise_descriptor_limit()
        # The standard event loop: uvloop was no faster with large bodies, where a node's time goes into copying,
        # nor with small ones, where it goes into system calls.
        asyncio.run(_Node(settings, disk or Disk()).run())
    except (StartFailed, ParentGone) as error:
        sys.exit(f"cairn node: {error}")


class _Node:
    """The parts of one running node."""

    def __init__(self, settings: NodeSettings, disk: Disk) -> None:
        self._settings = settings
        self._disk = disk
        self._directory = os.path.abspath(settings.directory)
        self._store, self._node_id, self._journal = self._open()
        self._app: web.Application | None = None
        self._scrubber = Scrubber(
            self._store,
            ScrubFile(disk, self._directory),
            period_s=settings.scrub_period_s,
            clock_ms=unix_ms,
            busy=self._is_busy,
            verify_others=JournalScrub(self._journal, ManifestStore(self._journal.files, self._store.space)),
        )

    async def run(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        listener = self._listen()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._store.close)
            stack.callback(self._journal.close)
            await self._serve(listener, stack)
            host, port = listener.getsockname()[:2]
            beats = self._start_heartbeat(host, port)
            stack.push_async_callback(beats.stop)
            self._scrubber.start()
            stack.push_async_callback(asyncio.to_thread, self._scrubber.stop)
            print(f"cairn node {self._node_id} listening on {_join(host, port)}", flush=True)
            await stop.wait()

    def measure(self) -> NodeHealth:
        """How the node is at this moment. Raises OSError."""
        space = self._store.space.measure()
        return NodeHealth(
            node_id=self._node_id,
            zone=self._settings.zone,
            capacity_bytes=space.capacity_bytes,
            free_bytes=space.free_bytes,
            accepting=space.free_bytes > 0 and identity.is_present(self._disk, self._directory),
            quarantined=self._store.quarantined,
            scrub=self._scrubber.progress,
        )

    def _is_busy(self) -> bool:
        """Whether requests are being served. Called from the scrubber's thread."""
        return self._app is not None and self._app[IN_FLIGHT].count > 0

    def _open(self) -> tuple[BlobStore, str, JournalStore]:
        try:
            store = BlobStore(
                self._disk,
                self._directory,
                clock_ms=unix_ms,
                reserve_bytes=self._settings.reserve_bytes,
            )
            node_id = identity.establish(self._disk, self._directory, os.urandom)
            return store, node_id, JournalStore(self._disk, self._directory, store.space)
        except DirectoryInUse as error:
            raise StartFailed(f"another node is running on {error}") from error
        except UnknownDirectory as error:
            raise StartFailed(str(error)) from error
        except OSError as error:
            raise StartFailed(f"{self._directory}: {error.strerror}") from error

    def _listen(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise StartFailed(f"cannot listen on {_join(host, port)}: {error.strerror}") from error
        # Connections inherit these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_AFTER_S)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        return listener

    async def _serve(self, listener: socket.socket, stack: contextlib.AsyncExitStack) -> None:
        app = create_app(self._store, self._node_id, self._settings.secret, journal=self._journal, measure=self.measure)
        self._app = app
        runner = create_runner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.SockSite(runner, listener)
        await site.start()

        async def finish_requests() -> None:
            # Not left to the runner, which from the start of its clean-up throws away what is received:
            # every put under way would be lost.
            await site.stop()
            await app[IN_FLIGHT].wait(_STOP_TIMEOUT_S)

        stack.push_async_callback(finish_requests)

    def _start_heartbeat(self, host: str, port: int) -> Heartbeat:
        settings = self._settings
        redis = index_server.connect(settings.redis_host, settings.redis_port, settings.redis_password)
        address = advertised_address(settings.advertise, host, port)
        beats = Heartbeat(redis, lambda: self._beat(address), interval_s=settings.heartbeat_interval_s)
        beats.start()
        return beats

    def _beat(self, address: str) -> Beat:
        health = self.measure()
        return Beat(
            node_id=health.node_id,
            address=address,
            zone=health.zone,
            capacity_bytes=health.capacity_bytes,
            free_bytes=health.free_bytes,
            accepting=health.accepting,
            scrub=_scrub_fields(health),
        )


def _scrub_fields(health: NodeHealth) -> dict[str, int | float] | None:
    """What a heartbeat says of scrubbing; the whole of it is in the node's own status."""
    scrub = health.scrub
    if scrub is None:
        return None
    return {
        "round": scrub.number,
        "fraction": round(scrub.fraction, 4),
        "expected_end_ms": scrub.expected_end_ms,
        "damaged": scrub.damaged,
    }


def advertised_address(advertise: str, host: str, port: int) -> str:
    """HOST:PORT for gateways, from what was set (HOST, HOST:PORT or nothing) and what the node listens on."""
    if advertise:
        bare_ipv6 = advertise.count(":") > 1 and not advertise.startswith("[")
        has_port = not bare_ipv6 and advertise.rpartition(":")[2].isdigit()
        return advertise if has_port else _join(advertise.strip("[]"), port)
    if host in ("0.0.0.0", "::"):  # everywhere: nobody can connect to that, but to the machine's name
        return _join(socket.gethostname(), port)
    return _join(host, port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _raise_descriptor_limit() -> None:
    """Every connection and every file being read or written takes one; the soft limit is often 1,024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
