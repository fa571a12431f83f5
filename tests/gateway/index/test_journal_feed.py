"""The journal's books: what a change leaves in the stream, replaying it, who has to wait for what."""

import msgpack
import pytest

from gateway.index import keys
from gateway.index.connection import Connection, connect
from gateway.index.errors import IndexNotOpen, IndexUnavailable
from gateway.index.journal_feed import JournalFeed, ReplayGap, RestoreClaim
from gateway.index.records import Deletion, Versioning
from gateway.index.store import Index
from tests.gateway.index.making import NOW_MS, OWNER, begun_upload, make_bucket, put, stored_object, stored_part
from tests.harness.redis_server import RedisServer

BUCKET = "photos"
CLAIM = RestoreClaim(token="the only one")


class Recorder:
    """A journal that notes who waits for what, and refuses on demand."""

    def __init__(self) -> None:
        self.waits: list[tuple[int, str]] = []
        self.refusal: IndexUnavailable | None = None
        self.stuck: IndexUnavailable | None = None

    def admit(self) -> None:
        if self.stuck is not None:
            raise self.stuck

    def recognise(self, incarnation: str) -> None:
        pass

    def is_vouched(self, incarnation: str) -> bool:
        return True

    async def vouch(self, incarnation: str) -> None:
        raise AssertionError("it is vouched")

    async def reach(self, sequence: int, *, incarnation: str) -> None:
        self.waits.append((sequence, incarnation))
        if self.refusal is not None:
            raise self.refusal

    def taken(self) -> list[int]:
        taken, self.waits = [sequence for sequence, _ in self.waits], []
        return taken


@pytest.fixture
def feed(connection: Connection) -> JournalFeed:
    return JournalFeed(connection)


@pytest.fixture
def recorder(connection: Connection) -> Recorder:
    recorder = Recorder()
    connection.attach(recorder)
    return recorder


async def dump(connection: Connection) -> dict[bytes, object]:
    """Every key of the state with its value."""
    books = {name.encode() for name in (keys.journal(), keys.journal_stream(), keys.pending())}
    readers = {b"string": ("GET",), b"hash": ("HGETALL",), b"zset": ("ZRANGE", 0, -1, "WITHSCORES")}
    found: dict[bytes, object] = {}
    for name in await connection.command("KEYS", "*"):
        if name not in books:
            command, *rest = readers[await connection.command("TYPE", name)]
            value = await connection.command(command, name, *rest)
            found[name] = sorted(zip(value[::2], value[1::2], strict=True)) if command == "HGETALL" else value
    return found


async def busy(index: Index) -> None:
    """At least one change of every kind that there is on objects, uploads, users aside."""
    await make_bucket(index)
    await put(index, "a", "b", "a")
    await index.put_object(BUCKET, "large", stored_object(7, 6400, segments=64))
    await index.set_bucket_config(BUCKET, "policy", b"{}")
    await index.set_versioning(BUCKET, Versioning.ENABLED)
    await put(index, "a", "c")
    await index.delete_objects(
        BUCKET, [Deletion(key="b"), Deletion(key="c"), Deletion(key="nothing")], owner_id=OWNER, now_ms=NOW_MS
    )
    upload = await index.create_upload(BUCKET, begun_upload("k"))
    for number in (1, 2, 1):
        await index.put_part(BUCKET, "k", upload.upload_id, stored_part(number, number))
    page = await index.all_parts(BUCKET, "k", upload.upload_id)
    await index.complete_upload(BUCKET, "k", upload.upload_id, stored_object(9), revision=page.revision)
    other = await index.create_upload(BUCKET, begun_upload("gone"))
    await index.abort_upload(BUCKET, "gone", other.upload_id)
    for entry in (await index.due_reclaims(grace_ms=0, limit=2))[:1]:
        await index.finish_reclaim(entry)


async def test_every_change_leaves_one_numbered_entry(index: Index, feed: JournalFeed, connection: Connection) -> None:
    await busy(index)

    entries = await feed.entries(0, 1000)

    sequence = (await feed.read_state()).sequence
    assert [number for number, _ in entries] == list(range(1, (sequence or 0) + 1))
    for number, packed in entries:
        form, stored_number, time_ms, kind, effects, _ = msgpack.unpackb(packed, raw=True)
        assert (form, stored_number) == (1, number)
        assert time_ms > 1_600_000_000_000
        assert kind
        assert effects


async def test_replayed_on_an_empty_server_the_entries_make_the_same_index(
    index: Index, feed: JournalFeed, connection: Connection
) -> None:
    await busy(index)
    entries, before = await feed.entries(0, 1000), await dump(connection)
    state = await feed.read_state()

    await feed.begin_restore(CLAIM)
    with pytest.raises(IndexNotOpen):
        await index.get_bucket(BUCKET)
    with pytest.raises(IndexNotOpen):
        await index.get_object(BUCKET, "a")
    # In pieces, some of them twice, as a recovery that was interrupted does.
    await feed.replay(entries[:7], CLAIM)
    await feed.replay(entries[3:], CLAIM)
    assert (await feed.read_state()).restored == state.sequence
    await feed.open(identity=state.identity, incarnation="i", epoch=3, segment=b"s", watermark=state.sequence or 0)

    assert await dump(connection) == before
    opened = await feed.read_state()
    assert (opened.opened, opened.incarnation, opened.epoch, opened.segment) == (state.identity, "i", 3, b"s")
    assert (opened.sequence, opened.watermark, opened.restored) == (state.sequence, state.sequence, None)


async def test_replaying_over_a_later_state_leads_to_the_same_index(
    index: Index, feed: JournalFeed, connection: Connection
) -> None:
    """What a snapshot taken while changes go on relies on."""
    await make_bucket(index)
    await put(index, "a", "b")
    earlier = (await feed.read_state()).sequence or 0
    await put(index, "a", "a", "c")
    await index.delete_object(BUCKET, Deletion(key="b"), owner_id=OWNER, now_ms=NOW_MS)
    before = await dump(connection)

    await connection.command("SET", keys.sequence(), earlier)
    await feed.replay(await feed.entries(earlier, 100), CLAIM)

    assert await dump(connection) == before


async def test_a_gap_is_not_replayed(index: Index, feed: JournalFeed) -> None:
    await busy(index)
    entries = await feed.entries(0, 1000)
    await feed.begin_restore(CLAIM)

    with pytest.raises(ReplayGap):
        await feed.replay([*entries[:3], *entries[4:]], CLAIM)

    assert (await feed.read_state()).restored == 3


async def test_entries_come_without_gaps(index: Index, feed: JournalFeed, connection: Connection) -> None:
    await make_bucket(index)
    await put(index, "a", "b", "c")
    await connection.command("XDEL", keys.journal_stream(), "3-0")

    assert [number for number, _ in await feed.entries(0, 10)] == [1, 2]
    assert await feed.entries(2, 10) == []
    assert [number for number, _ in await feed.entries(3, 10)] == [4]


async def test_a_change_waits_for_itself_and_a_read_for_what_it_reads(
    index: Index, feed: JournalFeed, recorder: Recorder
) -> None:
    await make_bucket(index)
    await put(index, "a", "b")
    assert recorder.taken() == [1, 2, 3]

    await index.get_object(BUCKET, "a")
    await index.get_object(BUCKET, "b", "null")
    await index.list_objects(BUCKET)
    assert recorder.taken() == [2, 3, 3]

    await feed.advance(epoch=0, watermark=2)
    await index.get_object(BUCKET, "a")
    assert recorder.taken() == []
    await index.delete_object(BUCKET, Deletion(key="b"), owner_id=OWNER, now_ms=NOW_MS)
    assert (await index.get_object(BUCKET, "b"))[1] is None
    assert recorder.taken() == [4, 4]

    await index.set_bucket_config(BUCKET, "policy", b"{}")
    await index.get_object(BUCKET, "a")
    await index.get_bucket(BUCKET)
    assert recorder.taken() == [5, 5, 5]
    await feed.advance(epoch=0, watermark=5)
    await index.get_bucket(BUCKET)
    assert recorder.taken() == []


async def test_a_refusal_waits_for_what_it_has_seen(index: Index, recorder: Recorder) -> None:
    await make_bucket(index)
    await index.delete_object(BUCKET, Deletion(key="nothing"), owner_id=OWNER, now_ms=NOW_MS)

    assert recorder.taken() == [1, 1]


async def test_an_index_whose_journal_does_not_get_on_says_so(index: Index, recorder: Recorder) -> None:
    await make_bucket(index)
    recorder.refusal = IndexUnavailable("no quorum", maybe_applied=True)

    with pytest.raises(IndexUnavailable) as failed:
        await put(index, "a")
    assert failed.value.maybe_applied
    with pytest.raises(IndexUnavailable) as failed:
        await index.get_object(BUCKET, "a")
    assert not failed.value.maybe_applied
    recorder.refusal, recorder.stuck = None, IndexUnavailable("stuck", maybe_applied=False)
    with pytest.raises(IndexUnavailable, match="stuck"):
        await put(index, "b")
    assert (await index.get_object(BUCKET, "b"))[1] is None


async def test_advancing_keeps_to_its_epoch_and_never_goes_back(feed: JournalFeed, index: Index) -> None:
    await make_bucket(index)
    await put(index, "a", "b", "c")

    assert not await feed.advance(epoch=8, watermark=4)
    assert await feed.advance(epoch=0, watermark=3)
    assert await feed.advance(epoch=0, watermark=2)
    assert (await feed.read_state()).watermark == 3
    assert await feed.set_segment(old_epoch=0, epoch=1 << 60, segment=b"next")
    assert not await feed.set_segment(old_epoch=0, epoch=5, segment=b"late")
    state = await feed.read_state()
    assert (state.epoch, state.segment) == (1 << 60, b"next")
    assert await feed.advance(epoch=1 << 60, watermark=4)


async def test_one_process_recovers_at_a_time(feed: JournalFeed, connection: Connection) -> None:
    await connection.command("FLUSHALL")

    assert await feed.try_recovery_lease("one", ttl_ms=60_000)
    assert not await feed.try_recovery_lease("two", ttl_ms=60_000)
    assert await feed.try_recovery_lease("one", ttl_ms=60_000)
    await feed.release_recovery_lease("two")
    assert not await feed.try_recovery_lease("two", ttl_ms=60_000)
    await feed.release_recovery_lease("one")
    assert await feed.try_recovery_lease("two", ttl_ms=60_000)


async def test_a_guarded_connection_serves_the_server_for_which_the_index_was_opened() -> None:
    calls: list[str] = []
    running = RedisServer(appendonly=True).start()
    raw = connect(running.address)
    guarded = connect(running.address, guarded=True, on_not_open=lambda: calls.append("not open"))
    index, feed = Index(guarded), JournalFeed(raw)

    with pytest.raises(IndexNotOpen):
        await index.get_bucket(BUCKET)
    state = await feed.read_state()
    await feed.open(identity=state.identity, incarnation="first", epoch=1, segment=b"", watermark=0)
    await make_bucket(index)
    assert guarded.incarnation == "first"
    assert calls == ["not open"]

    running.kill()
    running.start()
    with pytest.raises(IndexNotOpen):
        await index.get_bucket(BUCKET)
    state = await feed.read_state()
    assert state.sequence == 1
    assert state.identity != state.opened
    await feed.open(identity=state.identity, incarnation="second", epoch=2, segment=b"", watermark=1)
    assert (await index.get_bucket(BUCKET)).name == BUCKET
    assert guarded.incarnation == "second"

    await raw.command("FLUSHALL")
    for _ in range(2):
        with pytest.raises(IndexNotOpen):
            await index.get_object(BUCKET, "a")
    for opened in (guarded, raw):
        await opened.close()
    running.stop()


async def test_a_guarded_connection_does_not_serve_a_replica(server: RedisServer, connection: Connection) -> None:
    guarded = connect(server.address, guarded=True)
    await Index(guarded).list_users()
    await connection.command("REPLICAOF", "127.0.0.1", 1)
    guarded.drop("to connect again")
    try:
        with pytest.raises(IndexNotOpen, match="replica"):
            await Index(guarded).list_users()
    finally:
        await connection.command("REPLICAOF", "NO", "ONE")
        await guarded.close()
