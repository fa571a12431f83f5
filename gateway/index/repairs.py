"""The repair queue in the index, and what repair remembers there: the census, orders, how far walks have come."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.index import keys
from gateway.index.base import IndexBase, accepted
from gateway.index.repair_records import (
    Census,
    NodeHolding,
    RebalanceOrder,
    RepairBacklog,
    RepairClass,
    RepairItem,
    RepairReason,
    RepairReport,
    SegmentRef,
    class_of,
    decode_census,
    decode_item,
    encode_census,
    pack_item_origin,
)
from gateway.index.scripts import load_script

__all__ = [
    "Census",
    "NodeHolding",
    "RebalanceOrder",
    "RepairBacklog",
    "RepairClass",
    "RepairIndex",
    "RepairItem",
    "RepairReason",
    "RepairReport",
    "SegmentRef",
    "class_of",
]

_QUEUE = load_script("queue_repairs")
_TAKE = load_script("take_repairs")
_RENEW = load_script("renew_repairs")
_FINISH = load_script("finish_repair")
_FAIL = load_script("fail_repair")
_HURRY = load_script("hurry_repairs")
_SET_STATE = load_script("set_repair_state")

_REPORTS_A_CHANGE = 500
"""About 150 KiB of journal, some 5 ms of the server."""

_MOST_ERROR_CHARACTERS = 500
_FAILING_SHOWN = 20

_CENSUS, _REBALANCE, _AUDIT_WANTED = "census", "rebalance", "audit-wanted"


class RepairIndex(IndexBase):
    """The part of the index that knows what is to be repaired."""

    async def queue_repairs(self, reports: Iterable[RepairReport]) -> int:
        """Queue segments, or add to what is queued of them; returns how many are new. Raises IndexUnavailable."""
        added = 0
        merged = list(_merged(reports))
        for start in range(0, len(merged), _REPORTS_A_CHANGE):
            arguments = [field for one in merged[start : start + _REPORTS_A_CHANGE] for field in _arguments(one)]
            reply = await self._connection.change(_QUEUE, _queue_keys(), arguments)
            added += accepted(reply, "repairs")[0]
        return added

    async def take_repairs(
        self,
        *,
        limit: int,
        lease_ms: int,
        classes: tuple[RepairClass, RepairClass] = (RepairClass.LAST_COPY, RepairClass.MOVE),
    ) -> list[RepairItem]:
        """Up to `limit` items that are due, of the classes from the first to the last, the most urgent first.

        They are nobody else's until the lease ends. Raises IndexUnavailable.
        """
        reply = await self._connection.transient(_TAKE, _queue_keys(), (limit, lease_ms, *map(int, classes)))
        (found,) = accepted(reply, "repairs")
        return [decode_item(name, value) for name, value in zip(found[::2], found[1::2], strict=True)]

    async def renew_repairs(self, items: Iterable[RepairItem], *, lease_ms: int) -> None:
        """Go on holding items that were taken. Raises IndexUnavailable."""
        names = [item.segment.packed() for item in items]
        accepted(await self._connection.transient(_RENEW, _queue_keys(), (lease_ms, *names)), "repairs")

    async def finish_repairs(self, items: Sequence[RepairItem]) -> int:
        """Forget items that are done, but those that were reported again since they were taken.

        Returns how many are gone. Raises IndexUnavailable.
        """
        arguments = [field for item in items for field in (item.segment.packed(), item.revision)]
        finished: int = accepted(await self._connection.change(_FINISH, _queue_keys(), arguments), "repairs")[0]
        return finished

    async def postpone_repair(
        self,
        item: RepairItem,
        *,
        delay_ms: int,
        repair_class: RepairClass,
        copies_left: int,
        error: str = "",
    ) -> None:
        """Leave an item alone for a while; `error` tells why, where the attempt failed. Raises IndexUnavailable."""
        text = error[:_MOST_ERROR_CHARACTERS]
        arguments = (item.segment.packed(), delay_ms, 1 if error else 0, int(repair_class), min(copies_left, 255), text)
        accepted(await self._connection.change(_FAIL, _queue_keys(), arguments), "repairs")

    async def hurry_repairs(self) -> int:
        """Try at once what waits after a failure, as when a node has come; returns how many.

        Raises IndexUnavailable.
        """
        total = 0
        while True:
            reply = await self._connection.change(_HURRY, _queue_keys(), (_REPORTS_A_CHANGE,))
            hurried: int = accepted(reply, "repairs")[0]
            total += hurried
            if hurried < _REPORTS_A_CHANGE:
                return total

    async def repairs_waiting(self) -> int:
        """How many items there are. Raises IndexUnavailable."""
        waiting: int = await self._connection.command("HLEN", keys.repairs())
        return waiting

    async def repair_backlog(self, *, limit: int = 10_000) -> RepairBacklog:
        """What waits; sizes and errors of the first `limit` items that come by. Raises IndexUnavailable."""
        by_class = {one: await self._connection.command("ZCARD", keys.repairs_due(one)) for one in RepairClass}
        items: list[RepairItem] = []
        cursor = b"0"
        while True:
            cursor, flat = await self._connection.command("HSCAN", keys.repairs(), cursor, "COUNT", 500)
            items += [decode_item(name, value) for name, value in zip(flat[::2], flat[1::2], strict=True)]
            if cursor == b"0" or len(items) >= limit:
                break
        failing = sorted((item for item in items if item.last_error), key=lambda item: -item.attempts)
        return RepairBacklog(
            items=sum(by_class.values()),
            by_class=by_class,
            size_bytes=sum(item.size_bytes for item in items),
            oldest_ms=min((item.queued_ms for item in items), default=None),
            failing=tuple(failing[:_FAILING_SHOWN]),
            complete=cursor == b"0",
        )

    async def census(self) -> Census | None:
        """That of the last complete walk. Raises IndexUnavailable, CorruptRecord."""
        stored = await self._connection.command("HGET", keys.repair_state(), _CENSUS)
        return None if stored is None else decode_census(stored)

    async def store_census(self, census: Census) -> None:
        """Raises IndexUnavailable."""
        await self._set_state(_CENSUS, encode_census(census))

    async def request_audit(self, reason: str) -> None:
        """Have everything looked at again soon, as when a bucket's redundancy was changed. Raises IndexUnavailable."""
        await self._set_state(_AUDIT_WANTED, f"{self._draw_id()} {reason}")

    async def audit_request(self) -> str:
        """The last request's text, different for each; empty where there never was one. Raises IndexUnavailable."""
        stored = await self._connection.command("HGET", keys.repair_state(), _AUDIT_WANTED)
        return "" if stored is None else stored.decode()

    async def order_rebalance(self, *, rate_bytes_s: int, now_ms: int) -> None:
        """Have all copies moved to where they belong, at this pace; a later order replaces it.

        Raises IndexUnavailable.
        """
        order = {"rate_bytes_s": rate_bytes_s, "ordered_ms": now_ms}
        await self._connection.command("HDEL", keys.repair_progress(), _REBALANCE)
        await self._set_state(_REBALANCE, json.dumps(order))

    async def rebalance_order(self) -> RebalanceOrder | None:
        """The order that is being carried out. Raises IndexUnavailable."""
        stored = await self._connection.command("HGET", keys.repair_state(), _REBALANCE)
        if stored is None:
            return None
        fields = json.loads(stored)
        cursor = await self.progress(_REBALANCE)
        return RebalanceOrder(
            rate_bytes_s=fields["rate_bytes_s"],
            ordered_ms=fields["ordered_ms"],
            cursor=cursor.get("cursor", "").encode("latin-1"),
        )

    async def save_rebalance_cursor(self, cursor: bytes) -> None:
        """Raises IndexUnavailable."""
        await self.save_progress(_REBALANCE, {"cursor": cursor.decode("latin-1")})

    async def end_rebalance(self) -> None:
        """Everything was queued, or the administrator has changed their mind. Raises IndexUnavailable."""
        await self._set_state(_REBALANCE, "")

    async def progress(self, name: str) -> dict[str, str]:
        """Where a walk of this name stands; empty where it never began, or the server was lost.

        Raises IndexUnavailable.
        """
        stored = await self._connection.command("HGET", keys.repair_progress(), name)
        found: dict[str, str] = {} if stored is None else json.loads(stored)
        return found

    async def save_progress(self, name: str, fields: dict[str, str]) -> None:
        """Raises IndexUnavailable."""
        await self._connection.command("HSET", keys.repair_progress(), name, json.dumps(fields))

    async def _set_state(self, field: str, value: str) -> None:
        reply = await self._connection.change(_SET_STATE, (keys.sequence(), keys.repair_state()), (field, value))
        accepted(reply, field)


def _queue_keys() -> tuple[str, ...]:
    return (
        keys.sequence(),
        keys.repairs(),
        keys.repairs_taken(),
        *[keys.repairs_due(one) for one in RepairClass],
    )


def _merged(reports: Iterable[RepairReport]) -> Iterable[RepairReport]:
    """One report for each segment: a script reads what is queued before it writes any of it."""
    by_segment: dict[SegmentRef, RepairReport] = {}
    for report in reports:
        known = by_segment.get(report.segment)
        if known is not None:
            report = replace(
                report,
                reasons=known.reasons | report.reasons,
                repair_class=min(known.repair_class, report.repair_class),
                copies_left=min(known.copies_left, report.copies_left),
                delay_ms=min(known.delay_ms, report.delay_ms),
            )
        by_segment[report.segment] = report
    return by_segment.values()


def _arguments(report: RepairReport) -> tuple[bytes | int, ...]:
    return (
        report.segment.packed(),
        int(report.repair_class),
        min(report.copies_left, 255),
        int(report.reasons),
        report.size_bytes,
        report.delay_ms,
        pack_item_origin(report.origin),
    )
