"""The worker process: takes the lease under which one worker acts for the cluster, and runs the jobs.

A job is a coroutine function that does one pass. Whatever it raises is logged and the next pass comes; jobs
keep their progress in the index, so a worker may be killed at any moment and another one goes on.
"""

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping

import structlog

from gateway.index.errors import IndexFailure
from gateway.index.store import Index
from gateway.journal.opening import open_index
from gateway.settings import GatewaySettings
from gateway.supervisor.attach import die_with_parent
from gateway.workers.damage_collector import DamageCollector
from gateway.workers.index_file import IndexFileKeeper
from gateway.workers.lifecycle import LifecycleWorker
from gateway.workers.notification import NotificationWorker
from gateway.workers.orphans import OrphanSweeper
from gateway.workers.reclaim import Reclaimer
from gateway.workers.repair_jobs import repair_jobs
from gateway.workers.snapshots import snapshot_keeper

LEASE_NAME = "background"

LEASE_TTL_S = 15.0
"""How long after a worker's sudden death another one may take over."""

OPEN_PATIENCE_S = 3.0
"""How long the first passes wait for the index to be opened; a stop waits for it too."""

Job = Callable[[], Awaitable[object]]

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger(__name__)


def run_worker(settings: GatewaySettings) -> None:
    """Run one worker until SIGTERM or SIGINT; every further one waits for the lease of the first."""
    if settings.parent_pid:
        die_with_parent(settings.parent_pid)
    asyncio.run(_run(settings))


async def _run(settings: GatewaySettings) -> None:
    stop = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        opened = await stack.enter_async_context(open_index(settings))
        index, connection, client, membership = opened.index, opened.connection, opened.client, opened.membership
        reclaimer = Reclaimer(
            index,
            client,
            membership,
            grace_s=settings.reclaim_grace_s,
            node_timeout_s=settings.node_timeout_s,
        )
        sweeper = OrphanSweeper(index, connection, client, membership, grace_s=settings.orphan_grace_s)
        collector = DamageCollector(index, connection, client, membership)
        lifecycle = LifecycleWorker(index, day_s=settings.lifecycle_day_s, interval_s=settings.lifecycle_interval_s)
        notification = NotificationWorker(settings, index, opened.feed, opened.raw, client, membership)
        worker = Worker(
            index,
            {"reclaim": reclaimer.run_once, "orphans": sweeper.run_once, "damage": collector.run_once}
            | {"lifecycle": lifecycle.run_once, "snapshots": snapshot_keeper(settings, opened).run_once}
            | {"notification": notification.run_once, "index file": IndexFileKeeper(opened.raw).run_once}
            | repair_jobs(settings, index, client, membership),
            interval_s=settings.reclaim_interval_s,
        )
        _log.info("worker started")
        with contextlib.suppress(IndexFailure):  # else the first passes would be in vain
            await opened.journal.wait_until_open(OPEN_PATIENCE_S)
        await worker.run(stop)
    _log.info("worker stopped")


class Worker:
    """Runs jobs while it holds the lease."""

    def __init__(
        self,
        index: Index,
        jobs: Mapping[str, Job],
        *,
        interval_s: float,
        lease_ttl_s: float = LEASE_TTL_S,
        holder: str | None = None,
    ) -> None:
        """`interval_s` between the end of one pass of a job and the beginning of its next."""
        self._index = index
        self._jobs = jobs
        self._interval_s = interval_s
        self._lease_ttl_s = lease_ttl_s
        self._holder = holder or secrets.token_hex(16)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. A pass under way is then cancelled, which every job survives."""
        running: list[asyncio.Task[None]] = []
        try:
            while not stop.is_set():
                holds = await self._take_lease()
                if holds and not running:
                    _log.info("this worker acts")
                    running = [
                        asyncio.create_task(self._repeat(name, job), name=name) for name, job in self._jobs.items()
                    ]
                elif not holds and running:
                    _log.warning("the lease is gone, this worker waits")
                    await _cancel(running)
                    running = []
                await _wait(stop, self._lease_ttl_s / 3)
        finally:
            await _cancel(running)
            with contextlib.suppress(IndexFailure):
                await self._index.release_lease(LEASE_NAME, self._holder)

    async def _take_lease(self) -> bool:
        """Whether this worker holds the lease, taking or renewing it; no while the index cannot be asked."""
        try:
            return await self._index.try_lease(LEASE_NAME, self._holder, ttl_ms=int(self._lease_ttl_s * 1000))
        except IndexFailure as error:
            _log.warning("lease not renewed", error=str(error))
            return False

    async def _repeat(self, name: str, job: Job) -> None:
        while True:
            try:
                await job()
            except IndexFailure as error:
                _log.warning("pass broken off, the index is away", job=name, error=str(error))
            except Exception:  # noqa: BLE001
                _log.exception("pass failed", job=name)
            await asyncio.sleep(self._interval_s)


async def _wait(stop: asyncio.Event, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await stop.wait()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
