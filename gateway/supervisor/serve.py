"""`cairn serve` itself: which children there are, in which order they start and stop, when all is ready.

Start: the index, then everything else at once. Stop: gateways first, so that requests end while what they
need still runs; then the worker, the nodes, and the index last.
"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import structlog

from gateway.keys import KeyFileError, ensure_keys
from gateway.settings import CONFIG_VARIABLE, GatewaySettings, Given, ServeSettings, collect
from gateway.supervisor import roles
from gateway.supervisor.banner import Announcement, banner
from gateway.supervisor.child import Child, ChildSpec
from gateway.supervisor.layout import DataDirectory, StartRefused, listen
from gateway.supervisor.readiness import wait_until_ready

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Seconds between two words about a start that takes long.
_PATIENCE_S = 10.0

#: Log lines of all children begin in one column.
_NAME_WIDTH = 9

_log = structlog.get_logger("cairn.supervisor")


def run_serve(
    environment: Mapping[str, str], gateway_flags: Mapping[str, object], serve_flags: Mapping[str, object]
) -> None:
    """Serve until a signal and stop in order. Raises SettingsError, StartRefused or ChildFailed."""
    given = collect(GatewaySettings, environment, gateway_flags)
    settings = GatewaySettings.build(given)
    serving = ServeSettings.load(environment, serve_flags)
    _check_certificate(settings)
    directory = DataDirectory(root=settings.base_storage_path.absolute())
    with contextlib.ExitStack() as stack:
        lock_descriptor = directory.acquire_lock()
        stack.callback(os.close, lock_descriptor)
        listener = stack.enter_context(listen(settings.host, settings.port))
        existing_nodes = directory.node_numbers()
        node_count = serving.nodes or max(existing_nodes, default=1)
        embedded = "redis_host" not in given
        if embedded:
            _check_node_count(settings, node_count)
        directory.create(node_count)
        settings, notes = _complete(settings, given, directory, listener)
        if embedded and "expected_nodes" not in given:
            settings = replace(settings, expected_nodes=node_count)
        if existing_nodes and existing_nodes[-1] > node_count:
            notes += (f"{existing_nodes[-1]} nodes hold data here and only {node_count} are started",)
        around = roles.Surroundings(
            directory=directory,
            settings=settings,
            environment={name: value for name, value in environment.items() if name != CONFIG_VARIABLE},
            lock_descriptor=lock_descriptor,
        )
        supervisor = Supervisor(around, listener, embedded=embedded, notes=notes)
        asyncio.run(supervisor.run(node_count=node_count, gateway_count=serving.workers))


def _complete(
    settings: GatewaySettings, given: Mapping[str, Given], directory: DataDirectory, listener: socket.socket
) -> tuple[GatewaySettings, tuple[str, ...]]:
    """Add what only `cairn serve` knows: new keys, the port it got, its pid, legacy access on loopback."""
    try:
        ensure_keys(directory.keys)
    except (KeyFileError, OSError) as error:
        raise StartRefused(f"keys in {directory.keys}: {error}") from error
    host, port = listener.getsockname()[:2]
    settings = replace(
        GatewaySettings.build(given),  # reads the key files again, all of which exist now
        base_storage_path=directory.root,
        port=port,
        parent_pid=os.getpid(),
        log_format="text" if settings.log_format == "auto" and sys.stderr.isatty() else settings.log_format,
    )
    if "legacy_anonymous" in given or not ip_address(host.partition("%")[0]).is_loopback:
        return settings, ()
    note = "POST /upload and /blob/NAME need no credentials here, since only this machine can connect"
    return replace(settings, legacy_anonymous=True), (note,)


def _check_node_count(settings: GatewaySettings, node_count: int) -> None:
    """A write needs a majority of its replicas; where all nodes are ours, too few of them can be told at once."""
    replicas = settings.replicas_for(node_count)
    if replicas // 2 + 1 > node_count:
        raise StartRefused(f"{replicas} replicas need at least {replicas // 2 + 1} storage nodes, not {node_count}")


def _check_certificate(settings: GatewaySettings) -> None:
    if settings.tls_cert is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:
        raise StartRefused(f"TLS certificate {settings.tls_cert} with key {settings.tls_key}: {error}") from error


class Supervisor:
    """Runs the children of one data directory from `run` to a stop signal."""

    def __init__(
        self, around: roles.Surroundings, listener: socket.socket, *, embedded: bool, notes: tuple[str, ...]
    ) -> None:
        self._around = around
        self._listener = listener
        self._embedded = embedded
        self._notes = notes
        self._groups: list[list[Child]] = []
        self._index_socket: Path | None = None
        self._stop_requested = asyncio.Event()

    async def run(self, *, node_count: int, gateway_count: int) -> None:
        """Start, announce, wait for a stop signal, stop. Raises ChildFailed when the start fails."""
        for number in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._on_stop_signal)
        start = asyncio.create_task(self._start(node_count, gateway_count))
        stop = asyncio.create_task(self._stop_requested.wait())
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
            await stop
        finally:
            start.cancel()
            stop.cancel()
            await self._stop()

    async def _start(self, node_count: int, gateway_count: int) -> None:
        if self._embedded:
            await self._start_index()
        else:
            self._around.directory.forget_index_address()
        nodes = self._start_group([roles.node(self._around, number) for number in _numbers(node_count)])
        (worker,) = self._start_group([roles.worker(self._around)])
        descriptor = self._listener.fileno()
        gateways = self._start_group(
            [roles.gateway(self._around, number, descriptor) for number in _numbers(gateway_count)]
        )
        for node in nodes:
            await node.ready()
        await self._wait_for_gateway([worker, *gateways])
        sys.stdout.write(banner(self._announcement()))
        sys.stdout.flush()

    async def _start_index(self) -> None:
        socket_path = self._index_socket = self._around.directory.index_socket()
        address = f"unix:{socket_path}"
        self._around.directory.write_index_address(address)
        self._around = replace(
            self._around, settings=replace(self._around.settings, redis_host=address, redis_password="")
        )
        (index,) = self._start_group([roles.index(self._around, socket_path)])
        await index.ready()

    async def _wait_for_gateway(self, others: list[Child]) -> None:
        """Return when a gateway says that it is ready. Raises ChildFailed if one of `others` ends before."""
        probe = asyncio.create_task(wait_until_ready(self._listener, tls=bool(self._around.settings.tls_cert)))
        ends = [asyncio.create_task(child.ready()) for child in others]
        try:
            while not (done := await _first_done({probe, *ends}, _PATIENCE_S)):
                _log.warning("still waiting for a gateway to be ready: do enough storage nodes live?")
            for task in done:
                task.result()
        finally:
            for task in (probe, *ends):
                task.cancel()
        for child in others:
            child.mark_ready()

    def _start_group(self, specs: list[ChildSpec]) -> list[Child]:
        children = [Child(spec, _write_line) for spec in specs]
        self._groups.append(children)
        for child in children:
            child.start()
        return children

    async def _stop(self) -> None:
        for children in reversed(self._groups):
            await asyncio.gather(*(child.stop() for child in children))
        if self._index_socket is not None:
            self._around.directory.remove_index_socket(self._index_socket)

    def _on_stop_signal(self) -> None:
        """The first signal asks for an orderly stop, a second one for a quick one."""
        if self._stop_requested.is_set():
            for children in self._groups:
                for child in children:
                    child.kill()
        self._stop_requested.set()

    def _announcement(self) -> Announcement:
        settings = self._around.settings
        host = settings.host
        if host in ("", "0.0.0.0", "::"):
            host = "127.0.0.1"
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if settings.tls_cert else "http"
        return Announcement(
            endpoint=f"{scheme}://{shown}:{settings.port}",
            data_directory=self._around.directory.root,
            settings=settings,
            notes=self._notes,
        )


async def _first_done(tasks: set[asyncio.Task[None]], timeout_s: float) -> set[asyncio.Task[None]]:
    """The tasks that have ended by the time that one has; none after the timeout."""
    done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    return done


def _numbers(count: int) -> range:
    return range(1, count + 1)


def _write_line(name: str, line: str) -> None:
    # Nobody may read standard error any more; the store goes on all the same.
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{name:<{_NAME_WIDTH}} | {line}\n")
        sys.stderr.flush()
