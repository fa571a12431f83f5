"""Recoveries that lost their lease while they were held up: what they still send changes nothing."""

import pytest

from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import IndexNotOpen
from gateway.index.journal_feed import JournalFeed, RestoreClaim
from gateway.index.store import Index
from tests.gateway.index.making import make_bucket, put
from tests.gateway.index.test_journal_feed import BUCKET, dump

SLOW, FAST = RestoreClaim(token="slow", old_epoch=0), RestoreClaim(token="fast", old_epoch=0)

Entries = list[tuple[int, bytes]]


@pytest.fixture
def feed(connection: Connection) -> JournalFeed:
    return JournalFeed(connection)


@pytest.fixture
async def entries(index: Index, feed: JournalFeed) -> Entries:
    """Of an index with three objects."""
    await make_bucket(index)
    await put(index, "a", "b", "c")
    return await feed.entries(0, 100)


async def open_as(feed: JournalFeed, epoch: int, *, watermark: int, claim: RestoreClaim) -> bool:
    identity = (await feed.read_state()).identity
    return await feed.open(
        identity=identity,
        incarnation=f"opened by {claim.token}",
        epoch=epoch,
        segment=claim.token.encode(),
        watermark=watermark,
        old_epoch=claim.old_epoch,
        token=claim.token,
    )


async def test_slower_of_two_recoveries_does_not_open_its_older_state(
    feed: JournalFeed, index: Index, entries: Entries, connection: Connection
) -> None:
    """Both found epoch 0; the faster one's journal went further."""
    assert await open_as(feed, 2 << 32, watermark=4, claim=FAST)
    before, books = await dump(connection), await feed.read_state()

    assert not await open_as(feed, 1 << 32, watermark=3, claim=SLOW)

    assert await feed.read_state() == books
    assert (books.incarnation, books.epoch, books.watermark) == ("opened by fast", 2 << 32, 4)
    assert await dump(connection) == before
    assert (await index.get_bucket(BUCKET)).name == BUCKET


async def test_late_writes_of_a_restore_do_not_touch_an_index_that_another_has_opened(
    feed: JournalFeed, entries: Entries, connection: Connection
) -> None:
    await feed.begin_restore(SLOW)
    await feed.replay(entries[:2], SLOW)
    await feed.begin_restore(FAST)
    await feed.replay(entries, FAST)
    assert await open_as(feed, 1 << 32, watermark=4, claim=FAST)
    before = await dump(connection)
    stale = (5, entries[1][1])

    for late in (
        feed.load([("SET", keys.born(), 7), ("UNLINK", keys.buckets())], SLOW),
        feed.end_restore(2, SLOW),
        feed.replay([*entries, stale], SLOW),
        feed.begin_restore(SLOW),
    ):
        with pytest.raises(IndexNotOpen):
            await late
    assert not await open_as(feed, 3 << 32, watermark=2, claim=SLOW)

    assert await dump(connection) == before
    assert (await feed.read_state()).opened


async def test_late_writes_of_a_restore_do_not_touch_what_another_restores(
    feed: JournalFeed, entries: Entries, connection: Connection
) -> None:
    await feed.begin_restore(SLOW)
    await feed.begin_restore(FAST)
    await feed.replay(entries[:1], FAST)
    before = await dump(connection)

    for late in (
        feed.load([("SET", keys.born(), 7)], SLOW),
        feed.end_restore(4, SLOW),
        feed.replay(entries, SLOW),
    ):
        with pytest.raises(IndexNotOpen):
            await late
    assert not await open_as(feed, 1 << 32, watermark=1, claim=SLOW)

    assert await dump(connection) == before
    assert await feed.replay(entries, FAST) == 4
    assert await open_as(feed, 2 << 32, watermark=4, claim=FAST)


async def test_late_replay_into_an_index_that_was_never_emptied_is_refused_once_another_has_opened_it(
    feed: JournalFeed, entries: Entries, connection: Connection
) -> None:
    await connection.command("SET", keys.sequence(), 3)
    assert await open_as(feed, 1 << 32, watermark=3, claim=FAST)
    before = await dump(connection)

    with pytest.raises(IndexNotOpen):
        await feed.replay(entries, SLOW)

    assert await dump(connection) == before


async def test_server_that_was_emptied_takes_neither_entries_nor_a_snapshot(
    feed: JournalFeed, entries: Entries, connection: Connection
) -> None:
    """Or an index would stand there half, and be open to those whose sockets are."""
    await feed.begin_restore(SLOW)
    await connection.command("FLUSHALL")

    for late in (feed.load([("SET", keys.born(), 7)], SLOW), feed.replay(entries, SLOW), feed.end_restore(4, SLOW)):
        with pytest.raises(IndexNotOpen):
            await late

    assert await connection.command("DBSIZE") == 0
