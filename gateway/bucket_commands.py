"""What `cairn bucket` does, between the command line and the index."""

import re
from dataclasses import dataclass

from gateway.cli_options import CommandRefused
from gateway.command_services import CommandServices
from gateway.index.errors import NoSuchBucket
from gateway.index.records import BucketRecord
from gateway.redundancy import (
    REDUNDANCY,
    Redundancy,
    RedundancyError,
    changed_redundancy,
    encode_redundancy,
    redundancy_of,
    stated_redundancy,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedundancyReport:
    """What holds of new writes to a bucket."""

    redundancy: Redundancy
    stated: bool  # by the bucket itself, not by the settings
    node_count: int  # of the cluster, dead nodes included


async def show_redundancy(services: CommandServices, name: str) -> RedundancyReport:
    """Raises CommandRefused, IndexUnavailable."""
    return _report(services, await _bucket(services, name))


async def set_redundancy(
    services: CommandServices, name: str, *, replicas: int | None, write_quorum: int | None
) -> RedundancyReport:
    """Store R and W with the bucket; what is None follows from the other, or stays. Raises CommandRefused,
    IndexUnavailable.
    """
    bucket = await _bucket(services, name)
    present = _report(services, bucket)
    try:
        wanted = changed_redundancy(present.redundancy, replicas=replicas, write_quorum=write_quorum)
    except RedundancyError as error:
        raise CommandRefused(str(error)) from error
    if wanted.write_quorum > present.node_count:
        raise CommandRefused(
            f"the cluster has {present.node_count} nodes: a write that waits for {wanted.write_quorum} copies would "
            "never be acknowledged"
        )
    await _store(services, bucket, encode_redundancy(wanted))
    return RedundancyReport(redundancy=wanted, stated=True, node_count=present.node_count)


async def reset_redundancy(services: CommandServices, name: str) -> RedundancyReport:
    """Let the bucket follow the settings again. Raises CommandRefused, IndexUnavailable."""
    bucket = await _bucket(services, name)
    await _store(services, bucket, None)
    return _report(services, await _bucket(services, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaReport:
    """What a bucket holds, versions counted, and may hold; None is no limit."""

    used_bytes: int
    used_objects: int
    quota_bytes: int | None
    quota_objects: int | None


async def show_quota(services: CommandServices, name: str) -> QuotaReport:
    """Raises CommandRefused, IndexUnavailable."""
    bucket = await _bucket(services, name)
    return QuotaReport(
        used_bytes=bucket.byte_count,
        used_objects=bucket.object_count,
        quota_bytes=bucket.quota_bytes,
        quota_objects=bucket.quota_objects,
    )


async def set_quota(services: CommandServices, name: str, *, size: str | None, objects: str | None) -> QuotaReport:
    """Store the limits; one that is None stays as it is, the text `none` takes it away.

    Raises CommandRefused, IndexUnavailable.
    """
    present = await show_quota(services, name)
    await services.index.set_quota(
        name,
        size_bytes=present.quota_bytes if size is None else parse_limit(size),
        objects=present.quota_objects if objects is None else parse_limit(objects),
    )
    return await show_quota(services, name)


def parse_limit(text: str) -> int | None:
    """`none`, a number, or a number with a decimal (kB, MB, …) or binary (KiB, MiB, …) unit. Raises CommandRefused."""
    if text.lower() == "none":
        return None
    match = re.fullmatch(r"([0-9]{1,18})\s*(?:([kmgtp])(i?)b?)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise CommandRefused(f"expected a number such as 500 or 20GiB, or none, not {text!r}")
    number, unit, binary = match.groups()
    multiple: int = (1024 if binary else 1000) ** ("kmgtp".index(unit.lower()) + 1 if unit else 0)
    return int(number) * multiple


async def _bucket(services: CommandServices, name: str) -> BucketRecord:
    try:
        return await services.index.get_bucket(name)
    except NoSuchBucket as error:
        raise CommandRefused(f"there is no bucket {name!r}") from error


async def _store(services: CommandServices, bucket: BucketRecord, document: bytes | None) -> None:
    try:
        await services.index.set_bucket_config(bucket.name, REDUNDANCY, document, bucket_id=bucket.bucket_id)
    except NoSuchBucket as error:
        raise CommandRefused(f"the bucket {bucket.name!r} was deleted meanwhile") from error
    # Else what is there would get its copies, or give them up, within a day.
    await services.index.request_audit(f"redundancy of {bucket.name}")


def _report(services: CommandServices, bucket: BucketRecord) -> RedundancyReport:
    node_count = len(services.membership.expected_nodes())
    return RedundancyReport(
        redundancy=redundancy_of(bucket, node_count, services.settings),
        stated=stated_redundancy(bucket) is not None,
        node_count=node_count,
    )
