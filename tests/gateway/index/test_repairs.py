"""The repair queue: what is handed out, in which order, to how many; failures; what is remembered beside it."""

from dataclasses import replace

import pytest

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import CorruptRecord
from gateway.index.records import Origin
from gateway.index.repair_records import Copy, decode_census, decode_item
from gateway.index.repairs import (
    Census,
    NodeHolding,
    RepairClass,
    RepairReason,
    RepairReport,
    SegmentRef,
    class_of,
)
from gateway.index.store import Index
from tests.gateway.index.making import write_id

LEASE_MS = 60_000
ORIGIN = Origin(bucket="b", key="schlüssel\n", upload_id="u" * 32, part_number=7)


def report(number: int, copies_left: int = 1, **changes: object) -> RepairReport:
    made = RepairReport(
        segment=SegmentRef(write_id=write_id(number), number=number),
        origin=ORIGIN,
        reasons=RepairReason.TOO_FEW,
        repair_class=class_of(copies_left=copies_left, wanted=3),
        copies_left=copies_left,
        size_bytes=1000 + number,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def taken(index: Index, limit: int = 100) -> list[int]:
    return [item.segment.number for item in await index.take_repairs(limit=limit, lease_ms=LEASE_MS)]


async def sequence(connection: Connection) -> int:
    return int(await connection.command("GET", keys.sequence()))


async def test_an_item_comes_back_as_it_was_reported(index: Index) -> None:
    assert await index.queue_repairs([report(3)]) == 1
    (item,) = await index.take_repairs(limit=5, lease_ms=LEASE_MS)
    assert (item.segment, item.origin) == (SegmentRef(write_id=write_id(3), number=3), ORIGIN)
    assert (item.reasons, item.repair_class, item.copies_left) == (RepairReason.TOO_FEW, RepairClass.LAST_COPY, 1)
    assert (item.size_bytes, item.attempts, item.last_error) == (1003, 0, "")


async def test_an_origin_without_upload_comes_back_without(index: Index) -> None:
    await index.queue_repairs([report(1, origin=Origin(bucket="b", key="k"))])
    (item,) = await index.take_repairs(limit=1, lease_ms=LEASE_MS)
    assert item.origin == Origin(bucket="b", key="k")


async def test_the_last_copy_comes_first_and_moves_last(index: Index) -> None:
    moved = report(4, repair_class=RepairClass.MOVE)
    enough = report(3, repair_class=RepairClass.ENOUGH)
    await index.queue_repairs([moved, enough, report(2, 2), report(1, 1), report(5, 0)])
    assert await taken(index, 2) == [1, 5]
    assert await taken(index, 2) == [2, 3]
    assert await taken(index, 2) == [4]


@pytest.mark.parametrize(
    ("copies_left", "wanted", "expected"),
    [(0, 3, 1), (1, 3, 1), (1, 2, 1), (2, 3, 2), (3, 5, 3), (4, 5, 3), (1, 1, 4), (3, 3, 4), (4, 3, 4), (0, 1, 1)],
)
def test_urgency_follows_the_copies_left(copies_left: int, wanted: int, expected: int) -> None:
    assert class_of(copies_left=copies_left, wanted=wanted) == expected


async def test_what_is_taken_is_nobody_elses_until_its_lease_ends(index: Index, connection: Connection) -> None:
    await index.queue_repairs([report(1), report(2)])
    assert await taken(index, 1) == [1]
    assert await taken(index) == [2]
    assert await taken(index) == []
    await connection.command("ZADD", keys.repairs_taken(), 1, report(1).segment.packed())  # its worker died
    assert await taken(index) == [1]


async def test_a_lease_is_renewed_only_while_it_stands(index: Index, connection: Connection) -> None:
    await index.queue_repairs([report(1)])
    items = await index.take_repairs(limit=1, lease_ms=1000)
    await index.renew_repairs(items, lease_ms=3_600_000)
    until = float(await connection.command("ZSCORE", keys.repairs_taken(), items[0].segment.packed()))
    assert until > items[0].queued_ms + 3_000_000
    await connection.command("DEL", keys.repairs_taken())
    await index.renew_repairs(items, lease_ms=1000)
    assert await connection.command("ZCARD", keys.repairs_taken()) == 0


async def test_taking_is_no_change_of_state(index: Index, connection: Connection) -> None:
    await index.queue_repairs([report(1)])
    before = await sequence(connection)
    items = await index.take_repairs(limit=1, lease_ms=LEASE_MS)
    await index.renew_repairs(items, lease_ms=LEASE_MS)
    assert await sequence(connection) == before


async def test_several_hundred_reports_are_one_change(index: Index, connection: Connection) -> None:
    before = await sequence(connection)
    assert await index.queue_repairs([report(number) for number in range(500)]) == 500
    assert await sequence(connection) == before + 1
    assert await index.queue_repairs([report(number) for number in range(1000, 2200)]) == 1200
    assert await sequence(connection) == before + 4


async def test_a_report_that_says_nothing_new_is_not_written(index: Index, connection: Connection) -> None:
    await index.queue_repairs([report(1)])
    before = await sequence(connection)
    assert await index.queue_repairs([report(1), report(1)]) == 0
    assert await sequence(connection) == before


async def test_reports_on_one_segment_are_added_up(index: Index) -> None:
    await index.queue_repairs([report(1, 3), report(1, 2, reasons=RepairReason.MISSING)])
    await index.queue_repairs([report(1, 1, reasons=RepairReason.CORRUPT)])
    (item,) = await index.take_repairs(limit=10, lease_ms=LEASE_MS)
    assert item.reasons == RepairReason.TOO_FEW | RepairReason.MISSING | RepairReason.CORRUPT
    assert (item.repair_class, item.copies_left) == (RepairClass.LAST_COPY, 1)


async def test_a_less_urgent_report_does_not_make_an_item_wait(index: Index) -> None:
    await index.queue_repairs([report(1, 1)])
    await index.queue_repairs([report(1, 3, reasons=RepairReason.REBALANCE)])
    (item,) = await index.take_repairs(limit=1, lease_ms=LEASE_MS)
    assert item.repair_class == RepairClass.LAST_COPY


async def test_a_delayed_report_is_left_alone_first(index: Index, connection: Connection) -> None:
    await index.queue_repairs([report(1, delay_ms=LEASE_MS)])
    assert await taken(index) == []
    await connection.command("ZADD", keys.repairs_due(RepairClass.LAST_COPY), 1, report(1).segment.packed())
    assert await taken(index) == [1]


async def test_a_finished_item_is_gone(index: Index, connection: Connection) -> None:
    await index.queue_repairs([report(1), report(2)])
    items = await index.take_repairs(limit=2, lease_ms=LEASE_MS)
    assert await index.finish_repairs(items) == 2
    assert await index.finish_repairs(items) == 0
    assert (await index.repair_backlog()).items == 0
    assert await connection.command("EXISTS", keys.repairs(), keys.repairs_taken()) == 0


async def test_a_report_during_the_repair_outlives_its_end(index: Index) -> None:
    await index.queue_repairs([report(1)])
    items = await index.take_repairs(limit=1, lease_ms=LEASE_MS)
    await index.queue_repairs([report(1)])
    assert await index.finish_repairs(items) == 0
    again = await index.take_repairs(limit=1, lease_ms=LEASE_MS)
    assert [item.segment for item in again] == [items[0].segment]
    assert await index.finish_repairs(again) == 1


async def test_a_failed_item_keeps_its_error_and_backs_off_alone(index: Index) -> None:
    await index.queue_repairs([report(1), report(2)])
    first, second = await index.take_repairs(limit=2, lease_ms=LEASE_MS)
    for _ in range(2):
        await index.postpone_repair(
            first,
            delay_ms=LEASE_MS,
            repair_class=RepairClass.SHORT,
            copies_left=2,
            error="no node took it " + "x" * 999,
        )
    await index.postpone_repair(second, delay_ms=0, repair_class=second.repair_class, copies_left=1)
    (again,) = await index.take_repairs(limit=2, lease_ms=LEASE_MS)
    assert (again.segment, again.attempts, again.last_error) == (second.segment, 0, "")
    backlog = await index.repair_backlog()
    assert (backlog.items, backlog.complete, backlog.size_bytes) == (2, True, 2003)
    assert backlog.by_class[RepairClass.SHORT] == backlog.by_class[RepairClass.LAST_COPY] == 1
    (failing,) = backlog.failing
    assert (failing.segment, failing.attempts, failing.copies_left) == (first.segment, 2, 2)
    assert failing.last_error.startswith("no node took it")
    assert failing.due_ms > failing.queued_ms + LEASE_MS // 2
    # Reported again, it stays where its failures have put it, unless it became more urgent.
    await index.queue_repairs([report(1, 2, reasons=RepairReason.MISSING)])
    assert await taken(index) == []
    await index.queue_repairs([report(1, 1)])
    assert await taken(index) == [1]


async def test_what_waits_after_failures_can_be_hurried(index: Index) -> None:
    await index.queue_repairs([report(number, delay_ms=LEASE_MS) for number in range(1200)])
    assert await taken(index) == []
    assert await index.repairs_waiting() == 1200
    assert await index.hurry_repairs() == 1200
    assert await index.hurry_repairs() == 0
    assert len(await taken(index, 2000)) == 1200


async def test_postponing_what_is_gone_does_nothing(index: Index, connection: Connection) -> None:
    await index.queue_repairs([report(1)])
    items = await index.take_repairs(limit=1, lease_ms=LEASE_MS)
    await index.finish_repairs(items)
    before = await sequence(connection)
    await index.postpone_repair(items[0], delay_ms=0, repair_class=RepairClass.SHORT, copies_left=2, error="late")
    assert await sequence(connection) == before


async def test_an_empty_queue_is_empty(index: Index) -> None:
    assert await index.queue_repairs([]) == 0
    backlog = await index.repair_backlog()
    assert (backlog.items, backlog.oldest_ms, backlog.failing, backlog.complete) == (0, None, (), True)


async def test_the_census_is_kept(index: Index) -> None:
    assert await index.census() is None
    census = Census(
        started_ms=1,
        ended_ms=2,
        objects_by_copies={0: 1, 3: 10},
        bytes_by_copies={0: 100, 3: 1000},
        short_objects=1,
        short_bytes=100,
        part_bytes=5,
        nodes={"n1": NodeHolding(segments=4, size_bytes=400)},
    )
    await index.store_census(census)
    stored = await index.census()
    assert stored == census
    assert stored
    assert (stored.object_count, stored.byte_count, stored.lost_objects, stored.lost_bytes) == (11, 1100, 1, 100)


async def test_each_request_for_an_audit_is_a_new_one(index: Index) -> None:
    assert await index.audit_request() == ""
    await index.request_audit("redundancy of b")
    first = await index.audit_request()
    await index.request_audit("redundancy of b")
    assert first
    assert await index.audit_request() != first


async def test_a_rebalance_goes_on_from_its_cursor_and_a_new_order_begins_anew(index: Index) -> None:
    assert await index.rebalance_order() is None
    await index.order_rebalance(rate_bytes_s=1000, now_ms=5)
    await index.save_rebalance_cursor(b"\x00\xff cursor")
    order = await index.rebalance_order()
    assert order
    assert (order.rate_bytes_s, order.ordered_ms, order.cursor) == (1000, 5, b"\x00\xff cursor")
    await index.order_rebalance(rate_bytes_s=2000, now_ms=6)
    order = await index.rebalance_order()
    assert order
    assert (order.rate_bytes_s, order.cursor) == (2000, b"")
    await index.end_rebalance()
    assert await index.rebalance_order() is None


@pytest.mark.parametrize("value", [b"", b"\x02" + bytes(60), b"\x01" + bytes(39), b"\x01" + bytes(60)])
def test_foreign_items_are_refused(value: bytes) -> None:
    with pytest.raises(CorruptRecord):
        decode_item(bytes(20), value)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"format": 2}', b'{"format": 1, "what": 1}'])
def test_foreign_censuses_are_refused(text: bytes) -> None:
    with pytest.raises(CorruptRecord):
        decode_census(text)


def test_copies_have_names() -> None:
    copy = Copy(segment=SegmentRef(write_id=write_id(9), number=1 << 31), node_id="ab" * 16)
    assert Copy.unpacked(copy.packed()) == copy
    with pytest.raises(ValueError, match="20 bytes"):
        Copy.unpacked(b"short")
