"""What the tests of the storage node share: ids, contents, disks that fail, and a node within the test's loop."""

import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from storagenode import protocol
from storagenode.app import create_app, create_runner
from storagenode.blobfile import BLOCK_BYTES
from storagenode.blobstore import BlobStore
from storagenode.disk import Buffer, Disk
from storagenode.journal.store import JournalStore
from storagenode.packstore import PackLimits
from storagenode.protocol import NodeHealth

SECRET = b"a secret of the tests"
NODE_ID = "0123456789abcdef"
NOW_MS = 1_800_000_000_000
ORIGIN = b"\x00origin\xff"

SIZES = [0, 1, 1000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 3_500_000]


def content(size_bytes: int, seed: bytes = b"") -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_128(b"content" + seed).digest(size_bytes)


def blob_id(number: int = 0, *, at_ms: int = NOW_MS, segment: int = 0) -> str:
    return protocol.blob_id(protocol.new_write_id(at_ms, number.to_bytes(10)), segment)


NO_PACKS = PackLimits(small_blob_bytes=-1)


def open_store(
    directory: Path, disk: Disk | None = None, *, reserve_bytes: int = 0, packs: PackLimits | None = None
) -> BlobStore:
    return BlobStore(
        disk or Disk(),
        str(directory),
        clock_ms=lambda: NOW_MS + 3_600_000,
        reserve_bytes=reserve_bytes,
        pack_limits=packs or PackLimits(),
        background=False,
    )


def read_all(store: BlobStore, name: str) -> bytes:
    with store.open(name) as reader:
        return bytes(reader.read(0, reader.info.size_bytes))


def blob_files(directory: Path) -> list[Path]:
    return sorted(path for path in (directory / "blobs").rglob("*") if path.is_file())


def quarantined(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "quarantine").iterdir())


def flip_bit(path: Path, offset: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


class FaultyDisk(Disk):
    """A real disk whose calls can be made to fail, and which notes them all.

    `fail(name, error)` makes the next call of that name raise; `script` may look at every call before it
    happens.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.script: Callable[[str], None] | None = None
        self._failures: dict[str, list[OSError]] = {}
        self.counts: Counter[str] = Counter()

    def fail(self, name: str, *errors: OSError) -> None:
        self._failures.setdefault(name, []).extend(errors)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.counts[name] += 1
        if self.script is not None:
            self.script(name)
        if self._failures.get(name):
            raise self._failures[name].pop(0)

    def create(self, path: str) -> int:
        self._called("create")
        return super().create(path)

    def write(self, descriptor: int, buffers: Sequence[Buffer]) -> None:
        self._called("write")
        super().write(descriptor, buffers)

    def read(self, descriptor: int, offset: int, size_bytes: int) -> bytes:
        self._called("read")
        return super().read(descriptor, offset, size_bytes)

    def drop_cache(self, descriptor: int) -> None:
        self._called("drop_cache")
        super().drop_cache(descriptor)

    def fsync(self, descriptor: int) -> None:
        self._called("fsync")
        super().fsync(descriptor)

    def fdatasync(self, descriptor: int) -> None:
        self._called("fdatasync")
        super().fdatasync(descriptor)

    def truncate(self, path: str, size_bytes: int) -> None:
        self._called("truncate")
        super().truncate(path, size_bytes)

    def rename(self, source: str, target: str) -> None:
        self._called("rename")
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self._called("unlink")
        super().unlink(path)

    def make_directory(self, path: str) -> None:
        self._called("make_directory")
        super().make_directory(path)

    def fsync_directory(self, path: str) -> None:
        self._called("fsync_directory")
        super().fsync_directory(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningNode:
    address: str
    directory: Path
    store: BlobStore
    journal: JournalStore

    def temporary_files(self) -> list[str]:
        return [path.name for path in (self.directory / "tmp").iterdir()]


@asynccontextmanager
async def running_node(
    directory: Path,
    *,
    disk: Disk | None = None,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    reserve_bytes: int = 0,
    node_id: str = NODE_ID,
    port: int = 0,
) -> AsyncIterator[RunningNode]:
    """A node's application on a port of the loopback, without a process of its own."""
    store = open_store(directory, disk, reserve_bytes=reserve_bytes)

    def measure() -> NodeHealth:
        space = store.space.measure()
        return NodeHealth(
            node_id=node_id,
            zone="z1",
            capacity_bytes=space.capacity_bytes,
            free_bytes=space.free_bytes,
            accepting=True,
            quarantined=store.quarantined,
        )

    journal = JournalStore(disk or Disk(), str(directory), store.space)
    runner = create_runner(create_app(store, node_id, SECRET, journal=journal, measure=measure, clock_ms=clock_ms))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        host, bound = runner.addresses[0][:2]
        yield RunningNode(address=f"{host}:{bound}", directory=directory, store=store, journal=journal)
    finally:
        await runner.cleanup()
        journal.close()
        store.close()


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def cut(whole: bytes, size_bytes: int) -> Iterable[bytes]:
    return (whole[at : at + size_bytes] for at in range(0, len(whole), size_bytes))
