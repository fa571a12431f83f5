"""Each kind of damage is found as what it is, nothing else is, and repair leaves it mended or explained."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.fsck.findings import FindingKind, Report
from gateway.index import keys
from gateway.index.records import AccessKey, Origin, UserRecord
from gateway.index.repair_records import RepairReason
from storagenode.protocol import blob_id, new_write_id
from tests.gateway.fsck.checking import Checking, sound_cluster
from tests.gateway.index.making import NOW_MS
from tests.gateway.journal.rebuilding import Rebuilding, other_server, rebuilding, server

__all__ = ["other_server", "rebuilding", "server"]

Kind = FindingKind


@pytest.fixture
async def checking(rebuilding: Rebuilding) -> AsyncIterator[Checking]:
    async with sound_cluster(rebuilding) as made:
        yield made


async def command(checking: Checking, *arguments: str | bytes | int) -> None:
    """Change the live index behind its journal's back."""
    assert await checking.rebuilding.connection.command(*arguments) is not None


async def member(checking: Checking, key: str) -> bytes:
    """The object's member of the sorted set of objects."""
    found: list[bytes] = await checking.rebuilding.connection.command(
        "ZRANGEBYLEX", keys.objects("photos"), f"[{key}\0", f"({key}\1"
    )
    return found[0]


# --- injected damages -------------------------------------------------------------------------------------------------


async def lose_copy(checking: Checking) -> None:
    del checking.rebuilding.nodes.nodes["a"].blobs[checking.blobs["second/3"]]


async def lose_all_copies(checking: Checking) -> None:
    for name in ("a", "b"):
        del checking.rebuilding.nodes.nodes[name].blobs[checking.blobs["second/3"]]


async def cut_copy(checking: Checking) -> None:
    node, name = checking.rebuilding.nodes.nodes["a"], checking.blobs["second/3"]
    body, origin = node.blobs[name]
    node.blobs[name] = (body[:-1], origin)


async def lose_copy_of_a_part(checking: Checking) -> None:
    node = checking.rebuilding.nodes.nodes["b"]
    del node.blobs[next(name for name, (_, origin) in node.blobs.items() if b"upload" in origin)]


async def leave_orphan(checking: Checking) -> None:
    checking.store(Origin(bucket="photos", key="never committed"), node_ids=("c",))


async def leave_blob_of_unknown_origin(checking: Checking) -> None:
    extent = checking.store(Origin(bucket="photos", key="x"), node_ids=("c",))
    node, name = checking.rebuilding.nodes.nodes["c"], blob_id(extent.write_id, 0)
    node.blobs[name] = (node.blobs[name][0], b"nonsense")


async def leave_chunk_of_no_snapshot(checking: Checking) -> None:
    checking.store(Origin(bucket="", key="gone"), node_ids=("c",))


async def leave_surplus_copy(checking: Checking) -> None:
    nodes, name = checking.rebuilding.nodes.nodes, checking.blobs["second/3"]
    nodes["c"].blobs[name] = nodes["a"].blobs[name]


async def miscount(checking: Checking) -> None:
    """Through the journal, as a mistake in a script would."""
    index = checking.rebuilding.index
    bucket = await index.get_bucket("photos")
    await index.correct_counters("photos", bucket_id=bucket.bucket_id, excess=(-3, 17))
    await checking.ship()


async def forget_object(checking: Checking) -> None:
    await command(checking, "ZREM", keys.objects("photos"), await member(checking, "second/3"))


async def invent_object(checking: Checking) -> None:
    await command(checking, "ZADD", keys.objects("photos"), 0, b"invented" + (await member(checking, "second/3"))[8:])


async def change_field(checking: Checking) -> None:
    await command(checking, "HSET", keys.bucket("photos"), "region", "elsewhere")


async def change_string(checking: Checking) -> None:
    await command(checking, "SET", keys.born(), 77)


async def damage_segment(checking: Checking) -> None:
    segment = checking.rebuilding.nodes.nodes["a"].segments[checking.headers[1].segment_id]
    segment.damaged = True
    del segment.entries[sorted(segment.entries)[5]]


async def lose_segment_copy(checking: Checking) -> None:
    del checking.rebuilding.nodes.nodes["a"].segments[checking.headers[1].segment_id]


async def lose_entries_on_two_nodes(checking: Checking) -> None:
    for name in ("a", "b"):
        entries = checking.rebuilding.nodes.nodes[name].segments[checking.headers[1].segment_id].entries
        for sequence in sorted(entries)[5:8]:
            del entries[sequence]


async def change_entry_on_one_node(checking: Checking) -> None:
    # Before the newest snapshot, so that the index can be rebuilt all the same.
    entries = checking.rebuilding.nodes.nodes["c"].segments[checking.headers[1].segment_id].entries
    entries[sorted(entries)[5]] += b"!"


async def lose_chunk_copy(checking: Checking) -> None:
    newest = (await checking.manifests())[0]
    del checking.rebuilding.nodes.nodes[newest.chunks[0].nodes[0]].blobs[newest.blob_id(0)]


async def rot_chunk_copy(checking: Checking) -> None:
    older = (await checking.manifests())[1]
    node = checking.rebuilding.nodes.nodes[older.chunks[0].nodes[0]]
    body, origin = node.blobs[older.blob_id(0)]
    node.blobs[older.blob_id(0)] = (body[:20] + b"\0" + body[21:], origin)


async def lose_chunk(checking: Checking) -> None:
    older = (await checking.manifests())[1]
    for node_id in older.chunks[0].nodes:
        del checking.rebuilding.nodes.nodes[node_id].blobs[older.blob_id(0)]


async def lose_manifest_copy(checking: Checking) -> None:
    checking.rebuilding.nodes.nodes["b"].manifests.popitem()


Damage = Callable[[Checking], Awaitable[None]]

MENDED_AT_ONCE: list[tuple[Damage, dict[FindingKind, int]]] = [
    (leave_orphan, {Kind.BLOB_UNEXPLAINED: 1}),
    (leave_blob_of_unknown_origin, {Kind.BLOB_UNEXPLAINED: 1}),
    (leave_chunk_of_no_snapshot, {Kind.BLOB_UNEXPLAINED: 1}),
    (miscount, {Kind.COUNTER: 1}),
    (damage_segment, {Kind.JOURNAL_DAMAGED: 1}),
    (lose_segment_copy, {Kind.JOURNAL_DAMAGED: 1}),
    (lose_entries_on_two_nodes, {Kind.JOURNAL_ENTRY_SHORT: 1}),
    (change_entry_on_one_node, {Kind.JOURNAL_ENTRIES_DIFFER: 1}),
    (lose_chunk_copy, {Kind.SNAPSHOT_CHUNK: 1}),
    (rot_chunk_copy, {Kind.SNAPSHOT_CHUNK: 1}),
    (lose_chunk, {Kind.SNAPSHOT_CHUNK: 2, Kind.SNAPSHOT_LOST: 1}),
    (lose_manifest_copy, {Kind.SNAPSHOT_MANIFEST: 1}),
]
QUEUED_FOR_REPAIR: list[tuple[Damage, dict[FindingKind, int], RepairReason, int]] = [
    (lose_copy, {Kind.COPY_MISSING: 1}, RepairReason.MISSING, 1),
    (lose_copy_of_a_part, {Kind.COPY_MISSING: 1}, RepairReason.MISSING, 1),
    (lose_all_copies, {Kind.COPY_MISSING: 2, Kind.SEGMENT_LOST: 1}, RepairReason.MISSING, 0),
    (cut_copy, {Kind.COPY_SIZE: 1}, RepairReason.CORRUPT, 1),
    (leave_surplus_copy, {Kind.BLOB_SURPLUS: 1}, RepairReason.SURPLUS, 2),
]
LEFT_TO_PEOPLE: list[tuple[Damage, dict[FindingKind, int]]] = [
    (forget_object, {Kind.INDEX_MISSING: 1}),
    (invent_object, {Kind.INDEX_UNEXPLAINED: 1}),
    (change_field, {Kind.INDEX_DIFFERS: 1}),
    (change_string, {Kind.INDEX_DIFFERS: 1}),
]


def name_of(value: object) -> str | None:
    return getattr(value, "__name__", "")


async def test_sound_cluster_is_clean(checking: Checking) -> None:
    report = await checking.check()
    assert report.is_clean, [finding.text for finding in report.findings]
    # Two objects were replaced or deleted; their bytes wait in the trash.
    assert report.looked_at["segments"] == 47
    assert report.looked_at["journal entries"] > 25
    assert report.looked_at["snapshot chunks"] >= 4
    assert report.looked_at["versions"] == 44
    assert report.looked_at["blobs"] >= 94


@pytest.mark.parametrize(("damage", "expected"), MENDED_AT_ONCE, ids=name_of)
async def test_damage_is_found_and_mended(checking: Checking, damage: Damage, expected: dict[FindingKind, int]) -> None:
    await damage(checking)
    assert await checking.kinds() == expected
    blobs = {name for node in checking.rebuilding.nodes.nodes.values() for name in node.blobs}
    if expected.keys() & {Kind.JOURNAL_DAMAGED, Kind.JOURNAL_ENTRY_SHORT, Kind.JOURNAL_ENTRIES_DIFFER}:
        await checking.roll()  # as the shipping process does when its segment is bad
    assert await checking.repair()
    report = await checking.check()
    assert report.is_clean, [finding.text for finding in report.findings]
    nodes = checking.rebuilding.nodes.nodes.values()
    kept = {name for node in nodes for name in (*node.blobs, *node.quarantined)}
    assert {name for name in blobs - kept if not _is_of_snapshot(name)} == set()


def _is_of_snapshot(name: str) -> bool:
    return int(name[:12], 16) > 1_600_000_000_000


@pytest.mark.parametrize(("damage", "expected", "reason", "copies_left"), QUEUED_FOR_REPAIR, ids=name_of)
async def test_copies_that_are_wrong_are_queued_for_repair(
    checking: Checking,
    damage: Damage,
    expected: dict[FindingKind, int],
    reason: RepairReason,
    copies_left: int,
) -> None:
    await damage(checking)
    assert await checking.kinds() == expected
    await checking.repair()
    (item,) = await checking.rebuilding.index.take_repairs(limit=10, lease_ms=1000)
    assert (item.reasons, item.copies_left, item.origin.bucket) == (reason, copies_left, "photos")


@pytest.mark.parametrize(("damage", "expected"), LEFT_TO_PEOPLE, ids=name_of)
async def test_index_that_differs_from_its_journal_is_left_as_it_is(
    checking: Checking, damage: Damage, expected: dict[FindingKind, int]
) -> None:
    await damage(checking)
    found = {kind: count for kind, count in (await checking.kinds()).items() if kind in expected}
    assert found == expected
    snapshots = await checking.manifests()
    assert any("rebuild" in sentence for sentence in await checking.repair())
    assert await checking.manifests() == snapshots
    found = {kind: count for kind, count in (await checking.kinds()).items() if kind in expected}
    assert found == expected


async def test_node_that_is_away_is_said_to_be_not_checked(checking: Checking) -> None:
    checking.rebuilding.nodes.nodes["b"].down = True
    await checking.rebuilding.register()
    kinds = await checking.kinds()
    assert kinds.pop(Kind.NOT_CHECKED) == 2  # its journal, its blobs
    assert not kinds


async def test_journal_that_no_node_has_any_more_is_a_gap_and_ends_the_comparison(checking: Checking) -> None:
    for node in checking.rebuilding.nodes.nodes.values():
        entries = node.segments[checking.headers[1].segment_id].entries
        del entries[max(entries) - 2]
    kinds = await checking.kinds()
    assert kinds == {Kind.JOURNAL_GAP: 1, Kind.NOT_CHECKED: 1}


async def test_blob_of_a_write_under_way_needs_no_explanation(checking: Checking) -> None:
    extent = checking.store(Origin(bucket="photos", key="long upload"), node_ids=("c",))
    await checking.rebuilding.index.keep_lease(extent.write_id, ttl_ms=60_000)
    # And one that began a moment ago.
    young = new_write_id(checking.rebuilding.membership.now_ms(), b"y" * 10)
    checking.rebuilding.nodes.nodes["c"].blobs[blob_id(young, 0)] = (b"body", b"any origin")
    assert await checking.kinds() == {}


async def test_copy_that_waits_to_be_deleted_is_no_surplus(checking: Checking) -> None:
    await leave_surplus_copy(checking)
    name = checking.blobs["second/3"]
    packed = bytes.fromhex(name.replace("-", "")) + b"c"
    await command(checking, "ZADD", keys.released(), 1, packed)
    kinds = await checking.kinds()
    assert Kind.BLOB_SURPLUS not in kinds


async def test_names_that_lead_nowhere_are_found(checking: Checking) -> None:
    index = checking.rebuilding.index
    key = AccessKey(access_key="AK", sealed_secret=b"s", created_ms=NOW_MS)
    user = UserRecord(user_id="u", name="ann", display_name="ann", email=None, created_ms=NOW_MS, access_keys=(key,))
    user = await index.put_user(user)
    await index.put_user(replace(user, email="ann@example.com"))
    await checking.ship()
    assert await checking.kinds() == {}
    await command(checking, "HDEL", keys.user_names(), "key:AK")
    await command(checking, "HSET", keys.user_names(), "name:bob", "u")
    # The snapshot takes the damage into what is rebuilt, so that the comparison with the journal finds nothing.
    await checking.snapshot()
    assert await checking.kinds() == {Kind.NAME_TABLE: 2}


async def test_index_against_itself_is_checked_for_buckets_layouts_and_queues(checking: Checking) -> None:
    await command(checking, "DEL", keys.owned_buckets())
    await command(checking, "DEL", keys.reclaim())
    await checking.snapshot()
    kinds = await checking.kinds()
    assert kinds == {Kind.BUCKET_TABLE: 1, Kind.TRASH_QUEUE: 2}


async def test_check_under_changes_finds_nothing(checking: Checking) -> None:
    stop = asyncio.Event()

    async def change() -> int:
        made = 0
        while not stop.is_set():
            made += 1
            await checking.put(f"busy/{made % 30}")
            await asyncio.sleep(0)
        return made

    changing = asyncio.create_task(change())
    reports: list[Report] = [await checking.check() for _ in range(2)]
    stop.set()
    assert await changing > 100
    assert [finding.text for report in reports for finding in report.findings] == []
