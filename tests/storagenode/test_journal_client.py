"""The journal through HTTP: what the client is told is what the node did, and every refusal keeps its name."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from storagenode import journal_protocol as protocol
from storagenode.client import (
    InvalidRequest,
    JournalFenced,
    NodeClient,
    NodeError,
    NodeFailed,
    NodeFull,
    NodeJournal,
    NodeUnreachable,
    SegmentGap,
    SegmentNotFound,
    SegmentSealed,
)
from storagenode.journal_protocol import SEGMENTS_PATH, JournalStatus
from tests.storagenode.journal.support import (
    E1,
    E2,
    FIRST,
    HEADER,
    SEGMENT,
    entries,
    header,
    read_all,
    seal,
    segment_status,
)
from tests.storagenode.proxy import proxied
from tests.storagenode.support import SECRET, FaultyDisk, RunningNode, running_node
from tests.storagenode.test_routes import signed


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
async def node(tmp_path: Path, disk: FaultyDisk) -> AsyncIterator[RunningNode]:
    async with running_node(tmp_path, disk=disk) as running:
        yield running


@pytest.fixture
async def journal() -> AsyncIterator[NodeJournal]:
    async with NodeClient(SECRET) as client:
        yield client.journal


async def append(journal: NodeJournal, address: str, first: int, last: int, *, watermark: int = 0) -> int:
    return await journal.append(
        address, SEGMENT, epoch=E1, watermark=watermark, first_sequence=first, entries=entries(first, last)
    )


async def test_every_call_does_what_it_says(node: RunningNode, journal: NodeJournal) -> None:
    address = node.address
    assert await journal.status(address) == JournalStatus(promised_epoch=0, segments=())
    assert (await journal.promise(address, E1)).promised_epoch == E1
    await journal.create(address, HEADER)
    assert await append(journal, address, FIRST, FIRST + 9, watermark=FIRST) == FIRST + 9
    assert await append(journal, address, FIRST + 10, FIRST + 9, watermark=FIRST + 9) == FIRST + 9
    read = await journal.read(address, SEGMENT, after=FIRST + 3, limit_bytes=1 << 20)
    assert read == list(zip(range(FIRST + 4, FIRST + 10), entries(FIRST + 4, FIRST + 9), strict=True))
    assert await journal.read(address, SEGMENT, after=FIRST + 9, limit_bytes=1 << 40) == []
    await journal.seal(address, SEGMENT, seal())
    (status,) = (await journal.status(address)).segments
    assert (status.header, status.seal, status.damaged) == (HEADER, seal(), False)
    assert (status.last_sequence, status.watermark) == (FIRST + 9, FIRST + 9)
    assert await journal.drop(address, SEGMENT) is True
    assert await journal.drop(address, SEGMENT) is False


async def test_the_highest_epoch_and_sequence_can_be_used(node: RunningNode, journal: NodeJournal) -> None:
    last = header(protocol.MAX_EPOCH, protocol.MAX_SEQUENCE)
    assert (await journal.promise(node.address, protocol.MAX_EPOCH)).promised_epoch == protocol.MAX_EPOCH
    await journal.create(node.address, last)
    appended = await journal.append(
        node.address,
        last.segment_id,
        epoch=last.epoch,
        watermark=protocol.MAX_SEQUENCE,
        first_sequence=protocol.MAX_SEQUENCE,
        entries=[b"last"],
    )
    assert appended == protocol.MAX_SEQUENCE
    read = await journal.read(node.address, last.segment_id, after=0, limit_bytes=10)
    assert read == [(protocol.MAX_SEQUENCE, b"last")]


async def test_manifests_are_stored_listed_and_dropped(node: RunningNode, journal: NodeJournal) -> None:
    long = bytes(protocol.MANIFEST_LIMIT_BYTES)
    await journal.put_manifest(node.address, "snapshot-2", b"old")
    await journal.put_manifest(node.address, "snapshot-1", b"")
    await journal.put_manifest(node.address, "snapshot-2", long)
    assert await journal.manifests(node.address) == [("snapshot-1", b""), ("snapshot-2", long)]
    assert await journal.drop_manifest(node.address, "snapshot-1") is True
    assert await journal.drop_manifest(node.address, "snapshot-1") is False
    with pytest.raises(ValueError):
        await journal.put_manifest(node.address, "x", long + b"x")
    with pytest.raises(ValueError):
        await journal.put_manifest(node.address, "../x", b"")


async def test_every_refusal_keeps_its_name_and_its_number(node: RunningNode, journal: NodeJournal) -> None:
    address = node.address
    with pytest.raises(SegmentNotFound):
        await append(journal, address, FIRST, FIRST)
    await journal.create(address, HEADER)
    with pytest.raises(SegmentGap) as gap:
        await append(journal, address, FIRST + 1, FIRST + 1)
    assert gap.value.last_sequence == FIRST - 1
    with pytest.raises(InvalidRequest):
        await journal.create(address, header(incarnation="another"))
    await journal.seal(address, SEGMENT, seal(E1))
    with pytest.raises(SegmentSealed):
        await append(journal, address, FIRST, FIRST)
    await journal.promise(address, E2)
    refused: list[Callable[[], Awaitable[object]]] = [
        lambda: journal.promise(address, E1),
        lambda: journal.create(address, header(E1, 1)),
        lambda: append(journal, address, FIRST, FIRST),
        lambda: journal.seal(address, SEGMENT, seal(E1)),
    ]
    for call in refused:
        with pytest.raises(JournalFenced) as fenced:
            await call()
        assert fenced.value.promised_epoch == E2


async def test_a_disk_that_fails_or_is_full_is_told_as_such(
    node: RunningNode, journal: NodeJournal, disk: FaultyDisk
) -> None:
    await journal.create(node.address, HEADER)
    assert await append(journal, node.address, FIRST, FIRST + 1) == FIRST + 1
    disk.fail("write", OSError(28, "No space left on device"))
    with pytest.raises(NodeFull):
        await append(journal, node.address, FIRST + 2, FIRST + 2)
    with pytest.raises(NodeFailed):
        await append(journal, node.address, FIRST + 2, FIRST + 2)
    second = header(E1, 1)
    await journal.create(node.address, second)
    disk.fail("fdatasync", OSError(5, "Input/output error"))
    with pytest.raises(NodeFailed):
        await journal.append(node.address, second.segment_id, epoch=E1, watermark=0, first_sequence=1, entries=[b"one"])
    assert len(await journal.read(node.address, SEGMENT, after=0, limit_bytes=1 << 20)) == 2
    assert await journal.read(node.address, second.segment_id, after=0, limit_bytes=1 << 20) == []


async def test_appends_at_the_same_time_share_fsyncs(node: RunningNode, journal: NodeJournal, disk: FaultyDisk) -> None:
    """Two gateways ship the same entries, each in its own pieces."""
    await journal.create(node.address, HEADER)

    async def ship(step: int) -> None:
        for first in range(FIRST, FIRST + 120, step):
            last = await append(journal, node.address, first, first + step - 1)
            assert last >= first + step - 1

    await asyncio.gather(*(ship(step) for step in (1, 2, 3, 4, 5, 6, 8, 10)))
    assert read_all(node.journal) == dict(zip(range(FIRST, FIRST + 120), entries(FIRST, FIRST + 119), strict=True))
    assert disk.counts["fdatasync"] <= 120


async def test_a_long_append_and_its_limit(node: RunningNode, journal: NodeJournal) -> None:
    await journal.create(node.address, HEADER)
    entry = bytes(protocol.BODY_LIMIT_BYTES - protocol.FRAME_HEADER_BYTES)
    last = await journal.append(node.address, SEGMENT, epoch=E1, watermark=0, first_sequence=FIRST, entries=[entry])
    assert last == FIRST
    assert await journal.read(node.address, SEGMENT, after=0, limit_bytes=1) == [(FIRST, entry)]
    with pytest.raises(ValueError):
        await journal.append(
            node.address, SEGMENT, epoch=E1, watermark=0, first_sequence=FIRST + 1, entries=[entry + b"x"]
        )


async def test_segments_are_there_again_after_a_restart(tmp_path: Path, journal: NodeJournal) -> None:
    async with running_node(tmp_path) as node:
        await journal.promise(node.address, E1)
        await journal.create(node.address, HEADER)
        await append(journal, node.address, FIRST, FIRST + 9, watermark=FIRST + 5)
        before = await journal.status(node.address)
    async with running_node(tmp_path) as node:
        assert await journal.status(node.address) == before
        assert await append(journal, node.address, FIRST + 10, FIRST + 10) == FIRST + 10


# --- bytes on their way -----------------------------------------------------------------------------------


async def test_a_body_that_was_changed_on_its_way_is_not_taken(node: RunningNode, journal: NodeJournal) -> None:
    await journal.create(node.address, HEADER)
    assert await append(journal, node.address, FIRST, FIRST) == FIRST
    body = protocol.frame_entries(SEGMENT, FIRST + 1, [b"the right entry"])
    other = protocol.frame_entries(SEGMENT, FIRST + 1, [b"another entry.."])
    path = f"{SEGMENTS_PATH}/{SEGMENT}/entries?epoch={E1}&watermark=0&first={FIRST + 1}&body="
    async with aiohttp.ClientSession(f"http://{node.address}") as http:
        for digest in (hashlib.sha256(body).hexdigest(), "", "0" * 64):
            whole = path + digest
            answer = await http.post(whole, data=other, headers=signed("POST", whole, len(other)))
            assert (answer.status, answer.headers["Cairn-Error"]) == (400, "InvalidRequest")
    assert segment_status(node.journal).last_sequence == FIRST


@pytest.mark.parametrize(
    "body",
    [
        protocol.frame_entries(header(E1, 1).segment_id, FIRST, [b"of another segment"]),
        protocol.frame_entries(SEGMENT, FIRST + 1, [b"with another sequence"]),
        protocol.frame_entries(SEGMENT, FIRST, [b"cut short"])[:-1],
        b"no frame",
    ],
)
async def test_a_body_that_makes_no_sense_is_not_taken(node: RunningNode, journal: NodeJournal, body: bytes) -> None:
    await journal.create(node.address, HEADER)
    path = f"{SEGMENTS_PATH}/{SEGMENT}/entries?epoch={E1}&watermark=0&first={FIRST}&body={protocol.body_digest(body)}"
    async with aiohttp.ClientSession(f"http://{node.address}") as http:
        answer = await http.post(path, data=body, headers=signed("POST", path, len(body)))
        assert answer.status == 400
    assert segment_status(node.journal).last_sequence == FIRST - 1


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["", "/promise?epoch=5", f"/segments/{SEGMENT}", "/manifests/x", "/manifests"])
async def test_nobody_is_answered_without_the_secret(node: RunningNode, method: str, path: str) -> None:
    whole = protocol.JOURNAL_PATH + path
    async with aiohttp.ClientSession(f"http://{node.address}") as http:
        for headers in ({}, signed(method, whole, secret=b"guess")):
            assert (await http.request(method, whole, headers=headers)).status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/promise"),
        ("PUT", "/promise?epoch=-1"),
        ("PUT", f"/promise?epoch={1 << 64}"),
        ("PUT", "/promise?epoch=x"),
        ("GET", "/segments/x/entries?after=0&limit_bytes=1"),
        ("GET", f"/segments/{SEGMENT}/entries?after=0"),
        ("GET", f"/segments/{SEGMENT}/entries?after=0&limit_bytes={1 << 40}"),
        ("PUT", f"/segments/{SEGMENT}"),
        ("PUT", f"/segments/{SEGMENT}/seal"),
        ("PUT", "/manifests/.."),
        ("DELETE", "/segments/x"),
    ],
)
async def test_requests_that_make_no_sense_are_refused(node: RunningNode, method: str, path: str) -> None:
    whole = protocol.JOURNAL_PATH + path
    async with aiohttp.ClientSession(f"http://{node.address}") as http:
        answer = await http.request(method, whole, headers=signed(method, whole))
        assert 400 <= answer.status < 500
    assert node.journal.status() == JournalStatus(promised_epoch=0, segments=())


async def test_an_answer_damaged_on_its_way_is_an_error(node: RunningNode) -> None:
    async with proxied(node.address) as proxy, NodeClient(SECRET) as client:
        journal = client.journal
        await journal.create(proxy.address, HEADER)
        await append(journal, proxy.address, FIRST, FIRST + 2)

        def damage(chunk: bytes) -> bytes:
            changed = bytearray(chunk)
            if b"application/octet-stream" in chunk:
                changed[-20] ^= 1
            return bytes(changed)

        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: journal.status(proxy.address),
            lambda: journal.read(proxy.address, SEGMENT, after=0, limit_bytes=1 << 20),
        ]
        for call in calls:
            await call()
            proxy.to_client = damage
            with pytest.raises(NodeFailed, match="damaged"):
                await call()
            proxy.to_client = bytes


async def test_an_append_that_is_cut_off_may_be_repeated(node: RunningNode) -> None:
    async with proxied(node.address) as proxy, NodeClient(SECRET) as client:
        await client.journal.create(proxy.address, HEADER)

        def cut(_chunk: bytes) -> bytes:
            raise ConnectionResetError

        for direction in ("to_node", "to_client"):
            setattr(proxy, direction, cut)
            with pytest.raises(NodeUnreachable):
                await append(client.journal, proxy.address, FIRST, FIRST + 4)
            setattr(proxy, direction, bytes)
        assert await append(client.journal, proxy.address, FIRST, FIRST + 4) == FIRST + 4
        assert len(read_all(node.journal)) == 5


async def test_a_name_that_is_no_segment_id_never_leaves_the_client(journal: NodeJournal) -> None:
    with pytest.raises(ValueError):
        await journal.read("nowhere:1", "../x", after=0, limit_bytes=1)
    with pytest.raises(NodeError):
        await journal.read("127.0.0.1:1", SEGMENT, after=0, limit_bytes=1)
