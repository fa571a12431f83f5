"""What the tests of packs share: stores whose packs are soon full, and blobs in them."""

import errno
from pathlib import Path

from storagenode import packformat
from storagenode.blobstore import BlobStore
from storagenode.packedblob import PackedWriter
from storagenode.packstore import PackLimits
from storagenode.packwriter import Put
from tests.storagenode.support import ORIGIN, blob_id, content, open_store

EIO = OSError(errno.EIO, "input/output error")
ENOSPC = OSError(errno.ENOSPC, "no space left on device")
TINY = PackLimits(pack_bytes=4000, pack_entries=20)


def packs(directory: Path, kind: str = "pack") -> list[Path]:
    return sorted((directory / "packs").glob(f"*.{kind}"))


def made(store: BlobStore, name: str, data: bytes) -> Put:
    writer = store.begin(name, ORIGIN, len(data))
    assert isinstance(writer, PackedWriter)
    writer.write([data])
    return writer.finish()


def settle(store: BlobStore) -> None:
    """Return when the writer has nothing left to do."""
    store._packs.delete(blob_id(999_999))


def fill(store: BlobStore, count: int, first: int = 0) -> dict[str, bytes]:
    blobs = {blob_id(number): content(500, bytes([number])) for number in range(first, first + count)}
    for name, data in blobs.items():
        store.put(name, ORIGIN, [data])
    settle(store)
    return blobs


def listed(store: BlobStore) -> list[str]:
    return [info.blob_id for info in store.list(after="", before_ms=1 << 48, limit=1000)]


def lived(directory: Path) -> dict[str, bytes]:
    """Many packs with puts and deletes, some of them compacted, and what is there in the end."""
    store = open_store(directory, packs=TINY)
    blobs = fill(store, 40)
    for number in (0, 1, 2, 3, 4, 5, 8, 9, 20, 35, 39):
        store.delete(blob_id(number))
        del blobs[blob_id(number)]
    store.maintain()
    blobs |= fill(store, 3)
    store.delete(blob_id(2))
    del blobs[blob_id(2)]
    store.close()
    return blobs


def pack_name(path: Path) -> packformat.PackName:
    name = packformat.parse_name(path.name)
    assert name is not None
    return name
