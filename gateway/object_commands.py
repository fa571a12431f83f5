"""What `cairn object` and `cairn undelete` do, between the command line and index and nodes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from gateway.cli_options import CommandRefused
from gateway.command_services import CommandServices
from gateway.index.errors import IndexRefusal, KeepsVersions, NoSuchBucket, NotInTrash, QuotaExceeded
from gateway.index.records import ObjectRecord
from gateway.index.undelete import Undeleted
from gateway.inspection import InspectedSegment, Inspector


@dataclass(frozen=True, slots=True, kw_only=True)
class Trashed:
    """An object that can come back."""

    sequence: int  # names it
    trashed_ms: int
    gone_ms: int  # when its bytes may be given up, at the earliest
    size_bytes: int
    etag: str


async def find_object(services: CommandServices, bucket: str, key: str, version_id: str | None) -> ObjectRecord:
    """An object with its extents. Raises CommandRefused, IndexUnavailable."""
    try:
        _, record = await services.index.get_object(bucket, key, version_id)
    except NoSuchBucket as error:
        raise CommandRefused(f"there is no bucket {bucket!r}") from error
    if record is None:
        raise CommandRefused(f"there is no object {key!r} in {bucket}")
    if record.delete_marker:
        raise CommandRefused(f"{key!r} in {bucket} is a delete marker, which has no bytes")
    return record


def inspect(services: CommandServices, record: ObjectRecord, *, quick: bool) -> AsyncIterator[InspectedSegment]:
    """Every segment of an object with the state of each copy. Raises CommandRefused."""
    if not services.settings.cluster_secret:
        raise CommandRefused("the nodes answer only those who know CAIRN_CLUSTER_SECRET: set it or --data")
    return Inspector(services.client, services.membership).inspect(record.extents, quick=quick)


async def list_trashed(services: CommandServices, bucket: str, key: str) -> list[Trashed]:
    """What of a key can come back, trashed last first. Raises CommandRefused, IndexUnavailable."""
    try:
        found = await services.index.list_trashed(bucket, key)
    except NoSuchBucket as error:
        raise CommandRefused(f"there is no bucket {bucket!r}") from error
    grace_ms = int(services.settings.reclaim_grace_s * 1000)
    return [
        Trashed(
            sequence=one.record.sequence,
            trashed_ms=one.trashed_ms,
            gone_ms=one.trashed_ms + grace_ms,
            size_bytes=one.record.size_bytes,
            etag=one.record.etag,
        )
        for one in found
    ]


async def undelete(services: CommandServices, bucket: str, key: str, sequence: int | None) -> Undeleted:
    """Bring an object back. Raises CommandRefused, IndexUnavailable."""
    try:
        return await services.index.undelete(bucket, key, sequence=sequence)
    except IndexRefusal as error:
        raise CommandRefused(_REFUSALS[type(error)].format(bucket=bucket, key=key)) from error


_REFUSALS: dict[type[IndexRefusal], str] = {
    NoSuchBucket: "there is no bucket {bucket!r}",
    KeepsVersions: "{bucket} keeps versions: nothing was overwritten, and a delete marker is removed by its version id",
    QuotaExceeded: "{bucket} would become larger than its quota",
    NotInTrash: "there is nothing to bring back of {key!r} in {bucket}: it was never there, or its bytes were given up",
}
