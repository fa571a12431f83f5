"""The worker's job that tells targets of events what happened, each at its own pace."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.events.delivery import BacklogLimits, Delivery
from gateway.events.tail import JournalTail
from gateway.events.targets import TargetError, make_sender
from gateway.index.connection import Connection
from gateway.index.errors import IndexFailure
from gateway.index.event_targets import EventFailure, EventTarget
from gateway.index.journal_feed import JournalFeed
from gateway.index.store import Index
from gateway.placement.membership import Membership
from gateway.settings import GatewaySettings
from storagenode.client import NodeClient

REFRESH_S = 2.0
"""How often the declared targets are looked at."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    target: EventTarget
    task: asyncio.Task[None]


class NotificationWorker:
    """`run_once` goes on until it is cancelled: events do not wait for the next pass."""

    def __init__(
        self,
        settings: GatewaySettings,
        index: Index,
        feed: JournalFeed,
        connection: Connection,
        client: NodeClient,
        membership: Membership,
        *,
        clock: Callable[[], float] = time.time,
        limits: BacklogLimits | None = None,
    ) -> None:
        """`connection`: to the index's server, for streams that lie there. `clock`: seconds since the epoch."""
        self._settings = settings
        self._index = index
        self._tail = JournalTail(feed, client, membership)
        self._connection = connection
        self._clock = clock
        self._limits = limits or BacklogLimits()

    async def run_once(self) -> None:
        """Nothing ends it but being cancelled: while the index is away it waits for it."""
        running: dict[str, _Running] = {}
        try:
            while True:
                try:
                    await self._refresh(running)
                except IndexFailure as error:
                    _log.warning("targets of events not looked at", error=str(error))
                await asyncio.sleep(REFRESH_S)
        finally:
            await _end([one.task for one in running.values()])

    async def _refresh(self, running: dict[str, _Running]) -> None:
        """Let go of deliveries whose target was removed or that broke off, begin those that are missing."""
        targets = {target.name: target for target in await self._index.list_event_targets()}
        gone = [name for name, one in running.items() if one.task.done() or targets.get(name) != one.target]
        for name in gone:
            one = running.pop(name)
            if one.task.done() and not one.task.cancelled() and (error := one.task.exception()) is not None:
                _log.warning("delivery broken off", target=name, error=repr(error))
            await _end([one.task])
        for name, target in targets.items():
            if name not in running:
                running[name] = _Running(target=target, task=asyncio.create_task(self._deliver(target), name=name))

    async def _deliver(self, target: EventTarget) -> None:
        cursor = (await self._index.event_cursors()).get(target.name)
        failure = (await self._index.event_failures()).get(target.name)
        if cursor is None:
            return  # it was removed meanwhile
        try:
            sender = make_sender(
                target, master_key=self._settings.master_key, index_server=self._connection, clock=self._clock
            )
        except TargetError as error:
            if failure is None:
                failure = EventFailure(since_ms=int(self._clock() * 1000), reason=str(error))
                await self._index.note_event_failure(target.name, failure)
            return
        delivery = Delivery(
            self._index,
            self._tail,
            target,
            cursor,
            failure,
            sender,
            region=self._settings.region,
            clock=self._clock,
            random=random.random,
            limits=self._limits,
        )
        await delivery.run()


async def needed_from(index: Index, *, sequence: int, now_ms: int, limits: BacklogLimits | None = None) -> int | None:
    """The change behind which the journal must be kept for targets of events, None where none needs it.

    `sequence` is the number of the last change. Raises IndexFailure: then nothing may go.
    """
    limits = limits or BacklogLimits()
    cursors, failures = await index.event_cursors(), await index.event_failures()
    kept = [
        cursor.sequence
        for name, cursor in cursors.items()
        if limits.keeps(cursor, failures.get(name), sequence=sequence, now_ms=now_ms)
    ]
    return min(kept, default=None)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception) and not isinstance(ended, IndexFailure):
            _log.error("delivery failed", exc_info=ended)
