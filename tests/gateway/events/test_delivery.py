"""Deliveries on a real index: in order, at least once whatever breaks, and nothing that was not asked for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from gateway.events import delivery as delivery_module
from gateway.events.delivery import BacklogLimits, Delivery
from gateway.events.derivation import NOTIFICATION
from gateway.events.senders import Message, SendFailed
from gateway.events.tail import EntriesGone, Entry
from gateway.index.cause import LIFECYCLE_RULE, Cause, set_cause
from gateway.index.connection import Connection
from gateway.index.event_targets import EventFailure, EventTarget
from gateway.index.journal_feed import JournalFeed
from gateway.index.records import Deletion, ObjectRecord, Versioning
from gateway.index.store import Index
from gateway.workers.notification import needed_from
from s3compat.notification import encode_document

BUCKET, OWNER = "photos", "owner"
TARGET = EventTarget(name="hook", kind="webhook", place="http://nowhere")
NOW_MS = 1_700_000_000_000
PATIENCE_S = 20.0


class MemorySender:
    """Takes what it is sent; `failures` says what to do with the next ones instead."""

    def __init__(self) -> None:
        self.taken: list[Message] = []
        self.failures: list[str] = []
        self.changed = asyncio.Event()

    async def send(self, messages: Sequence[Message]) -> None:
        if self.failures:
            raise SendFailed(self.failures.pop(0))
        self.taken += messages
        self.changed.set()

    async def aclose(self) -> None:
        pass

    @property
    def keys(self) -> list[str]:
        return [message["s3"]["object"]["key"] for message in self.taken if "s3" in message]

    @property
    def names(self) -> list[str]:
        return [message.get("eventName", message.get("Event")) for message in self.taken]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.taken) < count:
                self.changed.clear()
                await self.changed.wait()


class DurableTail:
    """Reads the stream of an index that has no journal: whatever is there is durable."""

    def __init__(self, connection: Connection) -> None:
        self._feed = JournalFeed(connection)
        self.begins_after = 0
        self.sure = True

    async def watermark(self) -> int:
        return (await self._feed.read_state()).sequence or 0

    async def read(self, after: int, watermark: int) -> list[Entry]:
        if after < self.begins_after:
            raise EntriesGone(self.begins_after, sure=self.sure)
        return await self._feed.entries(after, 7)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "POLL_S", 0.005)
    monkeypatch.setattr(delivery_module, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(delivery_module, "LONGEST_PAUSE_S", 0.002)


@pytest.fixture
async def bucket(index: Index) -> str:
    await index.create_bucket(BUCKET, OWNER, "r", now_ms=NOW_MS, limit=10)
    await index.add_event_target(TARGET)
    await configure(index, "s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")
    return BUCKET


async def configure(index: Index, *events: str) -> None:
    rule = {"Id": "all", "QueueArn": "arn:cairn:webhook:::hook", "Events": list(events)}
    document = encode_document({"QueueConfigurations": [rule]}) if events else None
    await index.set_bucket_config(BUCKET, NOTIFICATION, document)


async def put(index: Index, key: str) -> None:
    record = ObjectRecord(etag="0" * 32, size_bytes=1, modified_ms=NOW_MS, owner_id=OWNER)
    await index.put_object(BUCKET, key, record)


async def delete(index: Index, key: str) -> None:
    await index.delete_object(BUCKET, Deletion(key=key), owner_id=OWNER, now_ms=NOW_MS)


@contextlib.asynccontextmanager
async def delivering(
    index: Index, tail: DurableTail, sender: MemorySender, *, limits: BacklogLimits | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """A delivery that goes on from the stored cursor, and is killed at the end."""
    cursor = (await index.event_cursors())[TARGET.name]
    failure = (await index.event_failures()).get(TARGET.name)
    # What `Delivery` needs of a tail are its two calls.
    stand_in: Any = tail
    delivery = Delivery(
        *(index, stand_in, TARGET, cursor, failure, sender),
        region="r",
        clock=lambda: NOW_MS / 1000,
        random=lambda: 0.5,
        limits=limits or BacklogLimits(),
    )
    task = asyncio.create_task(delivery.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_events_come_in_the_order_of_changes(index: Index, connection: Connection, bucket: str) -> None:
    for number in range(20):
        await put(index, f"k{number}")
    await delete(index, "k3")
    sender = MemorySender()

    async with delivering(index, DurableTail(connection), sender):
        await sender.until(22)

    assert sender.names == ["s3:TestEvent", *["ObjectCreated:Put"] * 20, "ObjectRemoved:Delete"]
    assert sender.keys == [*(f"k{number}" for number in range(20)), "k3"]


async def test_the_cause_of_a_change_names_the_event(index: Index, connection: Connection, bucket: str) -> None:
    async def by(operation: str, key: str, *, deletes: bool = False) -> None:
        set_cause(Cause(operation=operation, requester_id="ab" * 32, address="::1", request_id="R", host_id="H"))
        await (delete if deletes else put)(index, key)

    await index.set_versioning(BUCKET, Versioning.ENABLED)
    for operation in ("PutObject", "CopyObject", "PostObject"):
        await asyncio.create_task(by(operation, operation))
    await asyncio.create_task(by(LIFECYCLE_RULE, "CopyObject", deletes=True))
    await delete(index, "PutObject")
    sender = MemorySender()

    async with delivering(index, DurableTail(connection), sender):
        await sender.until(6)

    assert sender.names[1:] == [
        "ObjectCreated:Put",
        "ObjectCreated:Copy",
        "ObjectCreated:Post",
        "LifecycleExpiration:DeleteMarkerCreated",
        "ObjectRemoved:DeleteMarkerCreated",
    ]
    first, by_rule, last = sender.taken[1], sender.taken[4], sender.taken[5]
    assert first["userIdentity"] == {"principalId": "ab" * 32}
    assert first["responseElements"] == {"x-amz-request-id": "R", "x-amz-id-2": "H"}
    assert by_rule["userIdentity"] == {"principalId": "s3.amazonaws.com"}
    assert last["userIdentity"] == {"principalId": ""}  # a change without a cause
    assert first["s3"]["object"]["versionId"]


async def test_what_a_target_does_not_take_is_sent_again_before_anything_else(
    index: Index, connection: Connection, bucket: str
) -> None:
    sender = MemorySender()
    sender.failures = ["refused"] * 5
    for number in range(10):
        await put(index, f"k{number}")

    async with delivering(index, DurableTail(connection), sender):
        await sender.until(11)

    assert sender.keys == [f"k{number}" for number in range(10)]
    assert await index.event_failures() == {}


async def test_the_failure_is_told_while_it_lasts(index: Index, connection: Connection, bucket: str) -> None:
    sender = MemorySender()
    sender.failures = ["it answers 503"] * 1_000_000

    async with delivering(index, DurableTail(connection), sender), asyncio.timeout(PATIENCE_S):
        while not (failures := await index.event_failures()):
            await asyncio.sleep(0)

    assert failures["hook"] == EventFailure(since_ms=NOW_MS, reason="it answers 503")


async def test_nothing_is_lost_when_deliveries_are_killed_at_any_moment(
    index: Index, connection: Connection, bucket: str
) -> None:
    sender = MemorySender()
    for number in range(60):
        await put(index, f"k{number:02d}")
    while len(set(sender.keys)) < 60:
        async with delivering(index, DurableTail(connection), sender):
            await sender.until(len(sender.taken) + 1)  # killed before the cursor is moved

    first_told = list(dict.fromkeys(sender.keys))
    assert first_told == [f"k{number:02d}" for number in range(60)]
    # Told again is what came behind the last cursor, in order.
    for earlier, later in zip(sender.keys, sender.keys[1:], strict=False):
        assert later > earlier or later in sender.keys[: sender.keys.index(earlier) + 1]


async def test_a_configuration_that_ends_takes_its_events_along(
    index: Index, connection: Connection, bucket: str
) -> None:
    sender = MemorySender()
    async with delivering(index, DurableTail(connection), sender):
        await put(index, "told")
        await sender.until(2)
        await configure(index)
        await put(index, "untold")
        await configure(index, "s3:ObjectRemoved:*")
        await put(index, "untold too")
        await delete(index, "told")
        await sender.until(4)

    assert sender.names == ["s3:TestEvent", "ObjectCreated:Put", "s3:TestEvent", "ObjectRemoved:Delete"]


async def test_events_of_a_bucket_that_is_gone_are_told(index: Index, connection: Connection, bucket: str) -> None:
    sender = MemorySender()
    async with delivering(index, DurableTail(connection), sender):
        await put(index, "k")
        await sender.until(2)
        await delete(index, "k")
        await index.delete_bucket(BUCKET)
        await sender.until(3)

    assert sender.names[-1] == "ObjectRemoved:Delete"


async def test_what_the_journal_no_longer_has_is_skipped_and_counted(
    index: Index, connection: Connection, bucket: str
) -> None:
    cursor = (await index.event_cursors())["hook"]
    for number in range(5):
        await put(index, f"k{number}")
    tail, sender = DurableTail(connection), MemorySender()
    tail.begins_after = await tail.watermark() - 2

    async with delivering(index, tail, sender):
        await sender.until(2)

    assert sender.keys == ["k3", "k4"]
    reached = (await index.event_cursors())["hook"]
    assert reached.skipped == tail.begins_after - cursor.sequence


async def test_a_node_that_is_silent_is_waited_for(index: Index, connection: Connection, bucket: str) -> None:
    await put(index, "k")
    tail, sender = DurableTail(connection), MemorySender()
    tail.begins_after, tail.sure = await tail.watermark(), False

    async with delivering(index, tail, sender):
        async with asyncio.timeout(PATIENCE_S):
            while not await index.event_failures():
                await asyncio.sleep(0)
        tail.begins_after = 0
        await sender.until(2)

    assert sender.keys == ["k"]


async def test_changes_of_no_concern_move_no_cursor_before_there_are_many(
    index: Index, connection: Connection, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "QUIET_CHANGES", 50)
    monkeypatch.setattr(delivery_module, "QUIET_S", 1e12)
    await configure(index)
    sender, tail = MemorySender(), DurableTail(connection)
    start = (await index.event_cursors())["hook"].sequence
    for number in range(60):
        await put(index, f"k{number}")

    async with delivering(index, tail, sender), asyncio.timeout(PATIENCE_S):
        while (await index.event_cursors())["hook"].sequence == start:
            await asyncio.sleep(0)
        moved = await tail.watermark()
        for _ in range(20):
            await asyncio.sleep(0.005)

    assert await tail.watermark() <= moved + 1, "the cursor's own change must not move it again"
    assert sender.taken == []


async def test_a_cursor_is_not_moved_behind_nothing_but_its_own_moves(
    index: Index, connection: Connection, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "QUIET_S", -1e12)  # whatever came by, it is time
    await configure(index)
    tail = DurableTail(connection)
    await put(index, "k")

    async with delivering(index, tail, MemorySender()), asyncio.timeout(PATIENCE_S):
        last = await tail.watermark()
        while (await index.event_cursors())["hook"].sequence < last:
            await asyncio.sleep(0)
        moved = await tail.watermark()
        for _ in range(20):
            await asyncio.sleep(0.005)

    assert await tail.watermark() <= moved + 1


async def test_the_journal_is_kept_for_a_target_within_limits(index: Index, bucket: str) -> None:
    cursor = (await index.event_cursors())["hook"].sequence
    limits = BacklogLimits(entries=100, age_ms=1000)

    assert await needed_from(index, sequence=cursor + 100, now_ms=NOW_MS, limits=limits) == cursor
    assert await needed_from(index, sequence=cursor + 101, now_ms=NOW_MS, limits=limits) is None
    await index.note_event_failure("hook", EventFailure(since_ms=NOW_MS, reason="down"))
    assert await needed_from(index, sequence=cursor, now_ms=NOW_MS + 1000, limits=limits) == cursor
    assert await needed_from(index, sequence=cursor, now_ms=NOW_MS + 1001, limits=limits) is None
    await index.remove_event_target("hook")
    assert await needed_from(index, sequence=cursor, now_ms=NOW_MS, limits=limits) is None
