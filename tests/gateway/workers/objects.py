"""Objects, parts and uploads in the index over bytes on nodes, as the S3 operations make them."""

from gateway.datapath import Origin
from gateway.index import keys
from gateway.index.records import (
    Deletion,
    Extent,
    ObjectPart,
    ObjectRecord,
    PartRecord,
    PutResult,
    UploadRecord,
)
from tests.gateway.datapath.cluster import Cluster

OWNER = "owner"
ETAG = "0" * 32


def record_of(*extents: Extent, parts: tuple[ObjectPart, ...] = ()) -> ObjectRecord:
    size_bytes = sum(extent.size_bytes for extent in extents)
    return ObjectRecord(etag=ETAG, size_bytes=size_bytes, modified_ms=1, owner_id=OWNER, extents=extents, parts=parts)


async def empty_index(cluster: Cluster) -> None:
    """Lose everything but the node table, for which one would have to wait."""
    for name in await cluster.connection.command("KEYS", "*"):
        if name != keys.nodes().encode():
            await cluster.connection.command("DEL", name)
    await cluster.connection.command("SET", keys.sequence(), 0)


async def put_object(cluster: Cluster, key: str, body: bytes) -> Extent:
    """Store a body and commit it under the key of bucket `b`."""
    extent = await cluster.write(body, origin=Origin(bucket="b", key=key))
    await commit(cluster, key, extent)
    return extent


async def commit(cluster: Cluster, key: str, extent: Extent) -> PutResult:
    return await cluster.index.put_object("b", key, record_of(extent))


async def delete_object(cluster: Cluster, key: str) -> None:
    await cluster.index.delete_object("b", Deletion(key=key), owner_id=OWNER, now_ms=2)


async def create_upload(cluster: Cluster, key: str) -> str:
    """A multipart upload under way; its id."""
    upload = UploadRecord(key=key, owner_id=OWNER, initiated_ms=1)
    return (await cluster.index.create_upload("b", upload)).upload_id


async def put_part(cluster: Cluster, key: str, upload_id: str, number: int, body: bytes) -> Extent:
    origin = Origin(bucket="b", key=key, upload_id=upload_id, part_number=number)
    extent = await cluster.write(body, origin=origin)
    part = PartRecord(
        part_number=number,
        size_bytes=len(body),
        etag=ETAG,
        checksum=None,
        modified_ms=1,
        extent=extent,
    )
    await cluster.index.put_part("b", key, upload_id, part)
    return extent


async def complete_upload(cluster: Cluster, key: str, upload_id: str, *numbers: int) -> None:
    """Make an object of these parts, leaving out the others."""
    page = await cluster.index.all_parts("b", key, upload_id)
    used = [part for part in page.parts if part.part_number in numbers]
    record = record_of(
        *(part.extent for part in used),
        parts=tuple(ObjectPart(number=part.part_number, size_bytes=part.size_bytes) for part in used),
    )
    unused = [part.extent for part in page.parts if part.part_number not in numbers]
    await cluster.index.complete_upload("b", key, upload_id, record, revision=page.revision, unused=unused)
