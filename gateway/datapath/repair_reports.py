"""Turns damage that requests meet into repairs, in the background: a request neither waits for that nor fails by it.

What is lost here, because there is too much of it or the index is away for long, the audit finds within a day.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import structlog

from gateway.datapath.damage import Damage, DamageKind, log_damage
from gateway.datapath.origin import OriginError, unpack_origin
from gateway.index.errors import IndexFailure
from gateway.index.repair_records import RepairReason, RepairReport, SegmentRef, class_of
from gateway.index.store import Index
from gateway.placement.membership import Membership
from storagenode.client import NodeClient, NodeError

MOST_WAITING = 10_000
GATHER_S = 0.2
"""So that a storm of damage takes few changes of the index."""

BATCH = 500
QUESTIONS_AT_ONCE = 8
AWAY_DELAY_S = 2.0
CLOSE_TIMEOUT_S = 2.0
"""For what still waits at the end of the process."""

UNCOMMITTED_DELAY_MS = 5_000
"""A write that found too few nodes is committed only after it said so."""

_REASONS = {
    DamageKind.MISSING: RepairReason.MISSING,
    DamageKind.CORRUPT: RepairReason.CORRUPT,
    DamageKind.TOO_FEW: RepairReason.TOO_FEW,
    DamageKind.STRAY: RepairReason.STRAY,
}

_OF_WRITES = (DamageKind.TOO_FEW, DamageKind.STRAY)

_log = structlog.get_logger(__name__)


class RepairReporter:
    """A damage sink (`DataPath(damage=reporter)`); an async context manager, within which reports go out."""

    def __init__(
        self,
        index: Index,
        client: NodeClient,
        membership: Membership,
        *,
        gather_s: float = GATHER_S,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._index = index
        self._client = client
        self._membership = membership
        self._gather_s = gather_s
        self._most_waiting = most_waiting
        self._waiting: dict[Damage, None] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def __call__(self, damage: Damage) -> None:
        """Take note; never blocks and never fails."""
        if damage in self._waiting:
            return
        log_damage(damage)
        if len(self._waiting) >= self._most_waiting:
            return  # the audit finds it
        self._waiting[damage] = None
        self._idle.clear()
        self._wake.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="repair reports")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self.idle()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def idle(self) -> None:
        """Wait until everything noted so far has been reported."""
        await self._idle.wait()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._gather_s)
            batch = list(self._waiting)[:BATCH]
            try:
                await self._report(batch)
            except IndexFailure as error:
                _log.warning("repairs not queued yet", waiting=len(self._waiting), error=str(error))
                await asyncio.sleep(AWAY_DELAY_S)
                continue
            except Exception:  # noqa: BLE001
                _log.exception("repairs not queued")  # what this batch has in it shall not stop the ones behind it
            for damage in batch:
                self._waiting.pop(damage, None)
            if not self._waiting:
                self._wake.clear()
                self._idle.set()

    async def _report(self, batch: Iterable[Damage]) -> None:
        turn = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def describe(damage: Damage) -> RepairReport | None:
            async with turn:
                return await self._describe(damage)

        reports = await asyncio.gather(*(describe(damage) for damage in batch))
        await self._index.queue_repairs([report for report in reports if report is not None])

    async def _describe(self, damage: Damage) -> RepairReport | None:
        """What to queue; None where nobody can tell whose blob it is."""
        write_id, _, number = damage.blob_id.partition("-")
        packed, size_bytes = damage.origin, damage.size_bytes
        others = [node_id for node_id in damage.nodes if node_id != damage.node_id]
        if not packed:
            packed, size_bytes = await self._ask(damage.blob_id, others)
        try:
            claimed = unpack_origin(packed)
        except OriginError:
            _log.warning("damage of unknown origin", blob=damage.blob_id, node=damage.node_id)
            return None
        live = {node.node_id for node in self._membership.live_nodes()}
        left = len([node_id for node_id in others if node_id in live])
        return RepairReport(
            segment=SegmentRef(write_id=write_id, number=int(number, 16)),
            origin=claimed.origin,
            reasons=_REASONS[damage.kind],
            repair_class=class_of(copies_left=left, wanted=left + (damage.kind is not DamageKind.STRAY)),
            copies_left=left,
            size_bytes=size_bytes,
            delay_ms=UNCOMMITTED_DELAY_MS if damage.kind in _OF_WRITES else 0,
        )

    async def _ask(self, name: str, node_ids: Iterable[str]) -> tuple[bytes, int]:
        for node_id in node_ids:
            node = self._membership.node(node_id)
            if node is None or not node.live:
                continue
            try:
                info = await self._client.stat(node.address, name, node_id=node_id)
            except NodeError:
                continue
            return info.origin, info.size_bytes
        return b"", 0
