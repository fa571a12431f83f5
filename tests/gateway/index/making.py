"""Records for tests, with every field that a test does not care about filled in."""

from gateway.index.records import (
    Checksum,
    Extent,
    ObjectRecord,
    PartRecord,
    Segment,
    UploadRecord,
)
from gateway.index.store import Index

OWNER = "ab" * 32
OTHER_OWNER = "cd" * 32
NOW_MS = 1_790_000_000_123
NODES = tuple(f"{number:032x}" for number in range(1, 6))


def write_id(number: int) -> str:
    """Of a write that began long after every index of these tests."""
    return f"7{number:031x}"


def extent(number: int, size_bytes: int = 100, segments: int = 1) -> Extent:
    made = [Segment(number=at, size_bytes=size_bytes, nodes=NODES[at % 3 : at % 3 + 3]) for at in range(segments)]
    return Extent(write_id=write_id(number), segments=tuple(made))


def etag(number: int) -> str:
    return f"{number:032x}"


def stored_object(number: int = 1, size_bytes: int = 100, *, segments: int = 1) -> ObjectRecord:
    return ObjectRecord(
        etag=etag(number),
        size_bytes=size_bytes,
        modified_ms=NOW_MS + number,
        owner_id=OWNER,
        headers=(("content-type", "text/plain"),),
        metadata=(("colour", "blå"),),
        checksum=Checksum(algorithm="CRC64NVME", type="FULL_OBJECT", value="AAAAAAAAAAA="),
        extents=(extent(number, size_bytes // segments, segments),) if size_bytes else (),
    )


def stored_part(number: int, write: int, size_bytes: int = 100) -> PartRecord:
    return PartRecord(
        part_number=number,
        size_bytes=size_bytes,
        etag=etag(write),
        checksum=None,
        modified_ms=NOW_MS,
        extent=extent(write, size_bytes),
    )


def begun_upload(key: str) -> UploadRecord:
    return UploadRecord(
        key=key, owner_id=OWNER, initiated_ms=NOW_MS, headers=(("content-type", "text/plain"),), metadata=(("a", "b"),)
    )


async def make_bucket(index: Index, name: str = "photos", owner_id: str = OWNER) -> None:
    await index.create_bucket(name, owner_id, "us-east-1", now_ms=NOW_MS, limit=1000)


async def put(index: Index, *keys: str, bucket: str = "photos") -> None:
    for key in keys:
        await index.put_object(bucket, key, stored_object())
