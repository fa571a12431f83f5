"""The client against a node's application: what is put comes back, and every failure has its name."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import xxhash

from storagenode.blobfile import BLOCK_BYTES
from storagenode.client import (
    BlobConflict,
    BlobCorrupt,
    BlobNotFound,
    InvalidRequest,
    NodeClient,
    NodeError,
    NodeFailed,
    NodeFull,
    NodeRefused,
    NodeUnreachable,
)
from storagenode.frames import FRAME_BYTES
from storagenode.protocol import BlobInfo, StoredBlob
from tests.storagenode.proxy import proxied
from tests.storagenode.support import (
    NOW_MS,
    ORIGIN,
    SECRET,
    SIZES,
    FaultyDisk,
    RunningNode,
    blob_files,
    blob_id,
    content,
    cut,
    flip_bit,
    pieces,
    quarantined,
    running_node,
)

BIG = 3 * FRAME_BYTES + 12345


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
async def node(tmp_path: Path, disk: FaultyDisk) -> AsyncIterator[RunningNode]:
    async with running_node(tmp_path, disk=disk) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[NodeClient]:
    async with NodeClient(SECRET) as client:
        yield client


async def read(client: NodeClient, address: str, name: str, offset: int, length: int) -> bytes:
    async with client.get(address, name, offset=offset, length=length) as stream:
        return b"".join([chunk async for chunk in stream])


async def read_until_it_breaks(client: NodeClient, address: str, name: str, length: int) -> tuple[bytes, NodeError]:
    received = b""
    try:
        async with client.get(address, name, offset=0, length=length) as stream:
            async for chunk in stream:
                received += chunk
    except NodeError as error:
        return received, error
    raise AssertionError("nothing broke")


async def put(client: NodeClient, address: str, data: bytes, name: str = "") -> StoredBlob:
    return await client.put(
        address, name or blob_id(), size_bytes=len(data), origin=ORIGIN, body=pieces(*cut(data, 300_000))
    )


# --- what is put comes back -------------------------------------------------------------------------------


@pytest.mark.parametrize("size_bytes", [*SIZES, 2 * FRAME_BYTES])
async def test_what_was_put_is_read(node: RunningNode, client: NodeClient, size_bytes: int) -> None:
    data = content(size_bytes)
    stored = StoredBlob(size_bytes=size_bytes, digest=xxhash.xxh3_128_digest(data))
    assert await put(client, node.address, data) == stored
    assert await read(client, node.address, blob_id(), 0, size_bytes) == data
    whole = blob_id(1)
    given = await client.put(node.address, whole, size_bytes=size_bytes, origin=b"", body=data)
    assert given == stored
    assert await read(client, node.address, whole, 0, size_bytes) == data
    assert node.temporary_files() == []


async def test_ranges_are_exact(node: RunningNode, client: NodeClient) -> None:
    data = content(BIG)
    await put(client, node.address, data)
    edges = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES + 1, FRAME_BYTES - 1, FRAME_BYTES, 2 * FRAME_BYTES, BIG]
    for start in edges:
        for end in edges:
            if start <= end:
                part = await read(client, node.address, blob_id(), start, end - start)
                assert part == data[start:end]


async def test_a_blob_is_known_listed_and_deleted(node: RunningNode, client: NodeClient) -> None:
    names = [blob_id(number) for number in range(5)]
    infos: list[BlobInfo] = []
    for name in reversed(names):
        stored = await put(client, node.address, name.encode(), name)
        infos.insert(
            0,
            BlobInfo(blob_id=name, size_bytes=stored.size_bytes, origin=ORIGIN, digest=stored.digest),
        )
    assert await client.stat(node.address, names[2]) == infos[2]
    assert await client.list(node.address, after="", before_ms=NOW_MS + 1, limit=3) == infos[:3]
    assert await client.list(node.address, after=names[2], before_ms=NOW_MS + 1, limit=3) == infos[3:]
    assert await client.list(node.address, after=names[4], before_ms=NOW_MS + 1, limit=3) == []
    assert await client.list(node.address, after="", before_ms=NOW_MS, limit=3) == []
    assert await client.delete(node.address, names[0])
    assert not await client.delete(node.address, names[0])


async def test_the_health_of_a_node_is_told(node: RunningNode, client: NodeClient) -> None:
    health = await client.health(node.address)
    assert (health.node_id, health.zone, health.accepting) == ("0123456789abcdef", "z1", True)
    assert 0 < health.free_bytes <= health.capacity_bytes


async def test_many_blobs_at_once(node: RunningNode, client: NodeClient) -> None:
    async def live(number: int) -> None:
        data = content(number * 50_000, bytes([number]))
        await put(client, node.address, data, blob_id(number))
        assert await read(client, node.address, blob_id(number), 0, len(data)) == data

    await asyncio.gather(*(live(number) for number in range(40)))


async def test_an_origin_of_16_kib_is_kept_and_a_longer_one_refused(node: RunningNode, client: NodeClient) -> None:
    origin = content(16 * 1024)
    await client.put(node.address, blob_id(), size_bytes=1, origin=origin, body=b"x")
    assert (await client.stat(node.address, blob_id())).origin == origin
    with pytest.raises(InvalidRequest):
        await client.put(node.address, blob_id(1), size_bytes=1, origin=origin + b"x", body=b"x")


# --- refusals ---------------------------------------------------------------------------------------------


async def test_what_is_not_there_is_not_found(node: RunningNode, client: NodeClient) -> None:
    with pytest.raises(BlobNotFound):
        await client.stat(node.address, blob_id())
    with pytest.raises(BlobNotFound):
        await read(client, node.address, blob_id(), 0, 1)


@pytest.mark.parametrize(("offset", "length"), [(0, 11), (11, 0), (5, 6)])
async def test_a_range_outside_the_blob_is_refused(
    node: RunningNode, client: NodeClient, offset: int, length: int
) -> None:
    await put(client, node.address, content(10))
    with pytest.raises(InvalidRequest):
        await read(client, node.address, blob_id(), offset, length)


async def test_the_same_again_succeeds_and_other_bytes_are_refused(node: RunningNode, client: NodeClient) -> None:
    first = await put(client, node.address, content(BIG))
    assert await put(client, node.address, content(BIG)) == first
    with pytest.raises(BlobConflict):
        await put(client, node.address, content(BIG, b"other"))
    assert node.temporary_files() == []


async def test_a_full_node_says_so_at_once_whatever_the_size_of_the_body(tmp_path: Path, client: NodeClient) -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(64):
            taken += 1
            yield bytes(FRAME_BYTES)

    async with running_node(tmp_path, reserve_bytes=1 << 60) as node:
        with pytest.raises(NodeFull):
            await client.put(node.address, blob_id(), size_bytes=64 * FRAME_BYTES, origin=ORIGIN, body=body())
        assert taken < 64
        with pytest.raises(NodeFull):
            await client.put(node.address, blob_id(), size_bytes=1, origin=ORIGIN, body=b"x")


@pytest.mark.parametrize("size_bytes", [100, BIG])
@pytest.mark.parametrize(("error", "raised"), [(OSError(5, "EIO"), NodeFailed), (OSError(28, "ENOSPC"), NodeFull)])
async def test_a_failing_disk_is_told_and_leaves_nothing(
    node: RunningNode,
    disk: FaultyDisk,
    client: NodeClient,
    size_bytes: int,
    error: OSError,
    raised: type[NodeError],
) -> None:
    for call in ("write", "fdatasync" if size_bytes == 100 else "fsync"):
        disk.fail(call, error)
        with pytest.raises(raised):
            await put(client, node.address, content(size_bytes))
    assert node.temporary_files() == []
    assert node.store.ids("", 10) == []


@pytest.mark.parametrize("name", ["", "x", "../../node.json", blob_id() + "/info"])
async def test_what_is_no_blob_id_is_not_sent(client: NodeClient, name: str) -> None:
    with pytest.raises(ValueError, match="blob id"):
        await client.stat("127.0.0.1:1", name)
    with pytest.raises(ValueError, match="blob id"):
        client.get("127.0.0.1:1", name, offset=0, length=1)


@pytest.mark.parametrize("limit", [0, 1001])
async def test_the_length_of_a_listing_is_bounded(node: RunningNode, client: NodeClient, limit: int) -> None:
    with pytest.raises(InvalidRequest):
        await client.list(node.address, after="", before_ms=NOW_MS, limit=limit)


# --- bodies that go wrong ---------------------------------------------------------------------------------


class SourceBroke(Exception):
    pass


@pytest.mark.parametrize("size_bytes", [100, BIG])
@pytest.mark.parametrize("given", [-1, 1])
async def test_a_body_of_another_length_is_a_value_error_and_leaves_nothing(
    node: RunningNode, client: NodeClient, size_bytes: int, given: int
) -> None:
    data = content(size_bytes + given)
    with pytest.raises(ValueError, match="announced"):
        await client.put(
            node.address, blob_id(), size_bytes=size_bytes, origin=ORIGIN, body=pieces(*cut(data, 300_000))
        )
    with pytest.raises(ValueError, match="announced"):
        await client.put(node.address, blob_id(), size_bytes=size_bytes, origin=ORIGIN, body=data)
    with pytest.raises(BlobNotFound):
        await client.stat(node.address, blob_id())


def unlinked(disk: FaultyDisk) -> asyncio.Event:
    """Set when the node is about to remove a file."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def note(call: str) -> None:
        if call == "unlink":
            loop.call_soon_threadsafe(event.set)

    disk.script = note
    return event


async def test_what_the_body_raises_is_raised_and_the_temporary_file_is_removed(
    node: RunningNode, disk: FaultyDisk, client: NodeClient
) -> None:
    removed = unlinked(disk)

    async def body() -> AsyncIterator[bytes]:
        for piece in cut(content(8 * FRAME_BYTES), FRAME_BYTES):
            yield piece
        raise SourceBroke

    with pytest.raises(SourceBroke):
        await client.put(node.address, blob_id(), size_bytes=9 * FRAME_BYTES, origin=ORIGIN, body=body())
    await asyncio.wait_for(removed.wait(), 10)
    assert blob_files(node.directory) == []
    await put(client, node.address, content(10))


async def test_a_cancelled_put_is_removed_at_once(node: RunningNode, disk: FaultyDisk, client: NodeClient) -> None:
    removed = unlinked(disk)
    halfway = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        for piece in cut(content(8 * FRAME_BYTES), FRAME_BYTES):
            yield piece
        halfway.set()
        await asyncio.Event().wait()

    upload = asyncio.create_task(
        client.put(node.address, blob_id(), size_bytes=9 * FRAME_BYTES, origin=ORIGIN, body=body())
    )
    await halfway.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await asyncio.wait_for(removed.wait(), 10)
    assert blob_files(node.directory) == []


@pytest.mark.parametrize("size_bytes", [1000, 2 * FRAME_BYTES])
async def test_a_put_given_up_and_deleted_does_not_appear_afterwards(
    node: RunningNode, client: NodeClient, size_bytes: int
) -> None:
    """However far the put has come: the whole body may be there already, and the fsync under way."""
    for number in range(40):
        upload = asyncio.create_task(put(client, node.address, content(size_bytes), blob_id(number)))
        for _ in range(number):
            await asyncio.sleep(0)
        upload.cancel()
        await asyncio.wait([upload])
        await client.delete(node.address, blob_id(number))
    await client.health(node.address)
    while node.store._writing:
        await asyncio.sleep(0.01)
    assert blob_files(node.directory) == []
    assert node.temporary_files() == []


async def test_a_get_left_early_closes_its_connection_and_the_next_one_works(
    node: RunningNode, client: NodeClient
) -> None:
    data = content(16 * FRAME_BYTES)
    await put(client, node.address, data)
    for _ in range(3):
        async with client.get(node.address, blob_id(), offset=0, length=len(data)) as stream:
            async for chunk in stream:
                assert data.startswith(chunk)
                break
    assert await read(client, node.address, blob_id(), 5, 10) == data[5:15]


# --- damage and broken connections ------------------------------------------------------------------------


async def test_damage_at_the_start_is_an_error_without_bytes(node: RunningNode, client: NodeClient) -> None:
    await put(client, node.address, content(BIG))
    flip_bit(blob_files(node.directory)[0], 1000)
    received, error = await read_until_it_breaks(client, node.address, blob_id(), BIG)
    assert received == b""
    assert isinstance(error, BlobCorrupt)
    assert len(quarantined(node.directory)) == 1


async def test_damage_met_midway_breaks_the_answer_after_the_last_good_frame(
    node: RunningNode, client: NodeClient
) -> None:
    data = content(8 * FRAME_BYTES)
    await put(client, node.address, data)
    flip_bit(blob_files(node.directory)[0], 6 * FRAME_BYTES + 5)
    received, error = await read_until_it_breaks(client, node.address, blob_id(), len(data))
    assert isinstance(error, BlobCorrupt)
    assert len(received) <= 6 * FRAME_BYTES
    assert received == data[: len(received)]
    assert len(quarantined(node.directory)) == 1
    with pytest.raises(BlobNotFound):
        await client.stat(node.address, blob_id())


async def test_clients_that_go_away_and_answers_cut_off_are_no_mistakes_in_the_log(
    node: RunningNode, disk: FaultyDisk, client: NodeClient, caplog: pytest.LogCaptureFixture
) -> None:
    data = content(16 * FRAME_BYTES)
    await put(client, node.address, data)
    async with client.get(node.address, blob_id(), offset=0, length=len(data)) as stream:
        await anext(aiter(stream))
    removed = unlinked(disk)
    with pytest.raises(ValueError, match="announced"):
        await client.put(node.address, blob_id(1), size_bytes=len(data) + 1, origin=ORIGIN, body=pieces(data))
    await removed.wait()
    flip_bit(blob_files(node.directory)[0], 15 * FRAME_BYTES)
    await read_until_it_breaks(client, node.address, blob_id(), len(data))
    await client.health(node.address)
    assert [record for record in caplog.records if record.exc_info or record.name.startswith("aiohttp")] == []


async def test_an_error_of_the_disk_midway_breaks_the_answer(
    node: RunningNode, disk: FaultyDisk, client: NodeClient
) -> None:
    data = content(8 * FRAME_BYTES)
    await put(client, node.address, data)
    reads = 0

    def fail_late(call: str) -> None:
        nonlocal reads
        reads += call == "read"
        if call == "read" and reads == 6:
            raise OSError(5, "input/output error")

    disk.script = fail_late
    received, error = await read_until_it_breaks(client, node.address, blob_id(), len(data))
    assert isinstance(error, NodeUnreachable)
    assert received == data[: len(received)]
    assert quarantined(node.directory) == []


async def test_a_connection_cut_midway_gives_a_good_prefix_and_an_error(node: RunningNode, client: NodeClient) -> None:
    data = content(8 * FRAME_BYTES)
    await put(client, node.address, data)
    async with proxied(node.address) as proxy:
        passed = 0

        def cut_late(chunk: bytes) -> bytes:
            nonlocal passed
            passed += len(chunk)
            if passed > 3 * FRAME_BYTES:
                raise ConnectionResetError
            return chunk

        proxy.to_client = cut_late
        received, error = await read_until_it_breaks(client, proxy.address, blob_id(), len(data))
        assert isinstance(error, NodeUnreachable)
        assert len(received) in (FRAME_BYTES, 2 * FRAME_BYTES)
        assert received == data[: len(received)]


async def test_bytes_damaged_on_the_way_to_the_client_are_not_handed_out(node: RunningNode, client: NodeClient) -> None:
    data = content(4 * FRAME_BYTES)
    await put(client, node.address, data)
    async with proxied(node.address) as proxy:
        passed = 0

        def damage(chunk: bytes) -> bytes:
            nonlocal passed
            passed += len(chunk)
            if 2 * FRAME_BYTES < passed < 2 * FRAME_BYTES + 100_000:
                return bytes(len(chunk))
            return chunk

        proxy.to_client = damage
        received, error = await read_until_it_breaks(client, proxy.address, blob_id(), len(data))
    assert type(error) is NodeFailed
    assert received == data[: len(received)]
    assert quarantined(node.directory) == []


async def test_bytes_damaged_on_the_way_to_the_node_are_not_taken_for_stored(
    node: RunningNode, client: NodeClient
) -> None:
    data = b"A" * BIG
    async with proxied(node.address) as proxy:
        proxy.to_node = lambda chunk: chunk.replace(b"AAAA", b"AAAB", 1) if b"HTTP" not in chunk else chunk
        with pytest.raises(BlobCorrupt):
            await put(client, proxy.address, data)


async def test_a_mutation_is_not_sent_again_when_its_connection_breaks(node: RunningNode, client: NodeClient) -> None:
    async with proxied(node.address) as proxy:
        await client.put(proxy.address, blob_id(), size_bytes=1, origin=ORIGIN, body=b"x")
        assert proxy.connections == 1
        sent: list[bytes] = []

        def swallow(chunk: bytes) -> bytes:
            sent.append(chunk)
            raise ConnectionResetError

        proxy.to_node = swallow
        with pytest.raises(NodeUnreachable):
            await client.delete(proxy.address, blob_id())
        assert len(sent) == proxy.connections == 1
        with pytest.raises(NodeUnreachable):
            await client.put(proxy.address, blob_id(1), size_bytes=1, origin=ORIGIN, body=b"x")
        assert len(sent) == proxy.connections == 2


# --- nodes that do not answer -----------------------------------------------------------------------------


async def every_call(client: NodeClient, address: str) -> list[BaseException | object]:
    return await asyncio.gather(
        client.put(address, blob_id(), size_bytes=1, origin=b"", body=b"x"),
        client.put(address, blob_id(), size_bytes=BIG, origin=b"", body=pieces(content(BIG))),
        read(client, address, blob_id(), 0, 1),
        client.delete(address, blob_id()),
        client.stat(address, blob_id()),
        client.list(address, after="", before_ms=1, limit=1),
        client.health(address),
        return_exceptions=True,
    )


async def test_nobody_listening_is_unreachable(client: NodeClient, unused_tcp_port: int) -> None:
    outcomes = await every_call(client, f"127.0.0.1:{unused_tcp_port}")
    assert [type(outcome) for outcome in outcomes] == [NodeUnreachable] * 7


@pytest.mark.parametrize("address", ["node.invalid:1", "127.0.0.1:port", ""])
async def test_an_address_that_leads_nowhere_is_unreachable(client: NodeClient, address: str) -> None:
    with pytest.raises(NodeUnreachable):
        await client.health(address)


async def test_a_silent_node_is_unreachable_after_the_idle_timeout(node: RunningNode) -> None:
    async with NodeClient(SECRET, idle_timeout_s=0.5) as client, proxied(node.address) as proxy:
        proxy.flowing.clear()
        began = time.monotonic()
        outcomes = await every_call(client, proxy.address)
        assert [type(outcome) for outcome in outcomes] == [NodeUnreachable] * 7
        assert time.monotonic() - began < 2.5  # seven calls do not wait one after the other


async def test_a_node_that_falls_silent_midway_is_unreachable_after_the_idle_timeout(
    node: RunningNode, client: NodeClient
) -> None:
    data = content(64 * FRAME_BYTES)
    await put(client, node.address, data[: 16 * FRAME_BYTES])
    async with NodeClient(SECRET, idle_timeout_s=0.5) as impatient, proxied(node.address) as proxy:
        passed = 0

        def stall(chunk: bytes) -> bytes:
            nonlocal passed
            passed += len(chunk)
            if passed > FRAME_BYTES:
                proxy.flowing.clear()
            return chunk

        proxy.to_node = stall
        with pytest.raises(NodeUnreachable):
            await put(impatient, proxy.address, data, blob_id(1))
        assert passed < len(data) // 2
        proxy.to_node, proxy.to_client, passed = bytes, stall, 0
        proxy.flowing.set()
        received, error = await read_until_it_breaks(impatient, proxy.address, blob_id(), 16 * FRAME_BYTES)
        assert isinstance(error, NodeUnreachable)
        assert received == data[: len(received)]


async def test_time_spent_waiting_for_the_body_is_not_the_nodes(node: RunningNode) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(1.5)
        yield b"second"

    async with NodeClient(SECRET, idle_timeout_s=1.0) as client:
        await client.put(node.address, blob_id(), size_bytes=11, origin=b"", body=body())


async def test_a_consumer_slower_than_the_idle_timeout_gets_everything(node: RunningNode, client: NodeClient) -> None:
    data = content(24 * FRAME_BYTES)
    await put(client, node.address, data)
    async with NodeClient(SECRET, idle_timeout_s=1.0) as impatient:
        received = b""
        async with impatient.get(node.address, blob_id(), offset=0, length=len(data)) as stream:
            async for chunk in stream:
                if not received:
                    await asyncio.sleep(1.5)
                received += chunk
    assert received == data


async def test_something_else_listening_is_an_error(client: NodeClient) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(NodeFailed):
        await client.health(f"127.0.0.1:{port}")
    server.close()
    await server.wait_closed()


# --- nodes that come and go -------------------------------------------------------------------------------


async def test_a_restarted_node_is_served_on(tmp_path: Path, client: NodeClient, unused_tcp_port: int) -> None:
    async with running_node(tmp_path, port=unused_tcp_port) as node:
        await put(client, node.address, b"data")
    async with running_node(tmp_path, port=unused_tcp_port) as node:
        assert await read(client, node.address, blob_id(), 0, 4) == b"data"


async def test_another_node_at_a_known_address_refuses_and_is_then_known(
    tmp_path: Path, client: NodeClient, unused_tcp_port: int
) -> None:
    async with running_node(tmp_path / "a", port=unused_tcp_port) as node:
        await put(client, node.address, b"data")
    async with running_node(tmp_path / "b", port=unused_tcp_port, node_id="f" * 16) as node:
        with pytest.raises(NodeRefused):
            await client.stat(node.address, blob_id())
        with pytest.raises(BlobNotFound):
            await client.stat(node.address, blob_id())


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 3_600_000])
async def test_clocks_an_hour_apart_do_not_matter(tmp_path: Path, client: NodeClient, ahead_ms: int) -> None:
    def clock_ms() -> int:
        return time.time_ns() // 1_000_000 + ahead_ms

    async with running_node(tmp_path, clock_ms=clock_ms) as node:
        await put(client, node.address, b"data")


async def test_another_secret_is_refused(node: RunningNode) -> None:
    async with NodeClient(b"another secret") as client:
        outcomes = await every_call(client, node.address)
        assert [type(outcome) for outcome in outcomes] == [NodeRefused] * 7
