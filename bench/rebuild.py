"""`python -m bench.rebuild`: how long a wiped index takes to come back, from a snapshot and from the journal alone.

Three storage nodes, an index server that syncs every command as that of `cairn serve` does, and an index of so many
small objects, made of the entries that as many uploads leave.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgpack
import xxhash
from rich.console import Console

from gateway.index import keys
from gateway.index.connection import Connection, connect
from gateway.index.journal_feed import JournalFeed, RestoreClaim
from gateway.index.object_encoding import encode_object, order_of
from gateway.index.records import Checksum, Extent, ObjectRecord, Segment
from gateway.journal.chain import Link
from gateway.journal.history import History
from gateway.journal.restore import restore_newest
from gateway.journal.snapshot_writer import SnapshotWriter
from gateway.placement.membership import Membership
from storagenode.client import NodeClient
from storagenode.journal_protocol import SegmentHeader, segment_id
from tests.gateway.datapath.cluster import SECRET, Processes, running_processes
from tests.harness.opened_index import open_as_it_is, open_new
from tests.harness.redis_server import RedisServer

_BUCKET = "bench"
_BATCH = 2000
_SLOW_TIMEOUT_S = 60.0
_CLAIM = RestoreClaim(token="bench")

Entry = tuple[int, bytes]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.rebuild", description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="cairn-rebuild-") as directory,
        running_processes(Path(directory), nodes=3) as processes,
        RedisServer(appendonly=True) as target,
    ):
        asyncio.run(_measure(options.objects, processes, target))


async def _measure(objects: int, processes: Processes, target: RedisServer) -> None:
    console = Console()
    source, wiped = connect(processes.redis.address), connect(target.address, timeout_s=_SLOW_TIMEOUT_S)
    membership = Membership(source, node_timeout_s=90.0)
    async with NodeClient(SECRET.encode()) as client:
        await open_new(source)
        await _know(membership, len(processes.nodes))
        addresses = {node.node_id: node.address for node in membership.live_nodes()}
        with console.status("making the index and its journal"):
            header = await _fill(objects, source, client, addresses)
        started = time.perf_counter()
        writer = SnapshotWriter(
            *(JournalFeed(source), source, client, membership), durability=_Durable(), replicas=lambda _: 3
        )
        manifest = await writer.take()
        console.print(
            f"snapshot taken: {time.perf_counter() - started:.1f} s,"
            f" {len(manifest.chunks)} chunks of {manifest.size_bytes / 2**20:.0f} MiB together"
        )
        await _from_snapshot(console, objects, wiped, client, addresses)
        await _from_journal(console, objects, wiped, client, addresses, header)
    await source.close()
    await wiped.close()


async def _from_snapshot(
    console: Console, objects: int, wiped: Connection, client: NodeClient, addresses: dict[str, str]
) -> None:
    await wiped.command("FLUSHALL")
    started = time.perf_counter()
    after = await restore_newest(JournalFeed(wiped), _CLAIM, client, addresses)
    await open_as_it_is(wiped)
    console.print(f"ready from the snapshot alone: {time.perf_counter() - started:.1f} s")
    await _check(wiped, objects, after)


async def _from_journal(
    console: Console,
    objects: int,
    wiped: Connection,
    client: NodeClient,
    addresses: dict[str, str],
    header: SegmentHeader,
) -> None:
    await wiped.command("FLUSHALL")
    feed, last = JournalFeed(wiped), 0
    started = time.perf_counter()
    await feed.begin_restore(_CLAIM)
    chain = [Link(header=header, end_sequence=objects + 1)]
    async for entries in History(client.journal, addresses, chain).read(0):
        last = await feed.replay(entries, _CLAIM)
    await open_as_it_is(wiped)
    console.print(f"ready from {objects} entries of the journal alone: {time.perf_counter() - started:.1f} s")
    await _check(wiped, objects, last)


async def _check(wiped: Connection, objects: int, last: int) -> None:
    found = await wiped.command("ZCARD", keys.objects(_BUCKET))
    if (found, last) != (objects, objects + 1):
        raise SystemExit(f"{found} objects at change {last}, not {objects} at {objects + 1}")


class _Durable:
    """The journal is written beforehand."""

    def admit(self) -> None:
        pass

    def recognise(self, incarnation: str) -> None:
        pass

    def is_vouched(self, incarnation: str) -> bool:
        return True

    async def vouch(self, incarnation: str) -> None:
        return

    async def reach(self, sequence: int, *, incarnation: str) -> None:
        pass


async def _know(membership: Membership, count: int) -> None:
    """Wait for the first heartbeat of every node since the index server was emptied."""
    while len(membership.live_nodes()) < count:
        await asyncio.sleep(0.1)
        await membership.refresh()


async def _fill(objects: int, source: Connection, client: NodeClient, addresses: dict[str, str]) -> SegmentHeader:
    """The same entries in the index and in a segment of the journal on every node."""
    header = SegmentHeader(
        segment_id=segment_id(1 << 32, 1),
        epoch=1 << 32,
        first_sequence=1,
        nodes=tuple(addresses),
        quorum=2,
        incarnation="bench",
        opened_at=0,
    )
    for address in addresses.values():
        await client.journal.create(address, header)
    feed = JournalFeed(source)
    for batch in _batches(objects, tuple(addresses)):
        await feed.replay(batch, _CLAIM)
        first, entries = batch[0][0], [entry for _, entry in batch]
        for address in addresses.values():
            await client.journal.append(
                address, header.segment_id, epoch=header.epoch, watermark=0, first_sequence=first, entries=entries
            )
    return header


def _batches(objects: int, nodes: tuple[str, ...]) -> Iterator[list[Entry]]:
    bucket = ("format", "1", "id", "1", "owner", "o" * 32, "created_ms", "1", "region", "r", "versioning", "")
    batch = [_entry(1, [["HSET", keys.bucket(_BUCKET), *bucket], ["ZADD", keys.buckets(), "0", _BUCKET]])]
    for number in range(objects):
        sequence = number + 2
        # Neither in the order of names nor of time.
        key = f"photos/{number * 7919 % objects:09d}/image.jpeg".encode()
        member = key + b"\0" + order_of(sequence) + encode_object(_record(number, nodes))
        counters = ["HSET", keys.bucket(_BUCKET), "objects", str(number + 1), "bytes", str(4096 * (number + 1))]
        batch.append(_entry(sequence, [["ZADD", keys.objects(_BUCKET), "0", member], counters]))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _entry(sequence: int, commands: Sequence[Sequence[str | bytes]]) -> Entry:
    # As cmsgpack packs it: every string is of msgpack's raw type.
    return sequence, msgpack.packb([1, sequence, 1_790_000_000_000, "put_object", commands], use_bin_type=False)


def _record(number: int, nodes: tuple[str, ...]) -> ObjectRecord:
    segment = Segment(number=0, size_bytes=4096, nodes=nodes)
    return ObjectRecord(
        etag=_digits(b"etag", number),
        size_bytes=4096,
        modified_ms=1_790_000_000_000 + number,
        owner_id="ab" * 32,
        headers=(("content-type", "image/jpeg"),),
        checksum=Checksum(algorithm="CRC64NVME", type="FULL_OBJECT", value="AAAAAAAAAAA="),
        extents=(Extent(write_id=_digits(b"write", number), segments=(segment,)),),
    )


def _digits(what: bytes, number: int) -> str:
    """32 hexadecimal digits that compress as badly as real ones."""
    return xxhash.xxh3_128_hexdigest(what + number.to_bytes(8))


if __name__ == "__main__":
    main()
