"""The index against itself: counters, tables of names, queues, layouts. Of a scratch index, which stands still."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from gateway.fsck.findings import Finding, FindingKind, Report
from gateway.index import keys
from gateway.index.connection import Connection
from gateway.index.errors import CorruptRecord, UnsupportedFormat
from gateway.index.object_encoding import decode_version
from gateway.index.record_encoding import decode_reclaim, decode_user
from gateway.index.records import ReclaimEntry
from gateway.index.references import bucket_names, members_of
from gateway.index.users import names_of


async def check_consistency(connection: Connection, report: Report) -> None:
    """All of it. Raises IndexUnavailable, IndexFault."""
    async for bucket in bucket_names(connection):
        await _check_bucket(connection, bucket, report)
    await _check_owners(connection, report)
    await _check_users(connection, report)
    await _check_trash(connection, report)


async def _check_bucket(connection: Connection, bucket: str, report: Report) -> None:
    fields = ("id", "owner", "objects", "bytes")
    bucket_id, owner, objects, size = await connection.command("HMGET", keys.bucket(bucket), *fields)
    if bucket_id is None:
        report.add(_of_bucket(FindingKind.BUCKET_TABLE, bucket, "is listed and has no record"))
        return
    owned = await connection.command("ZSCORE", keys.owned_buckets(), owner + b"\0" + bucket.encode())
    if owned is None:
        report.add(_of_bucket(FindingKind.BUCKET_TABLE, bucket, "is not listed under its owner"))
    count = total = 0
    async for member in members_of(connection, keys.objects(bucket)):
        report.looked_at["versions"] += 1
        try:
            key, record = decode_version(member, with_layout=False)
        except (CorruptRecord, UnsupportedFormat, UnicodeDecodeError) as error:
            report.add(_of_bucket(FindingKind.RECORD_DAMAGED, bucket, f"holds a damaged record: {error}"))
            continue
        if not record.delete_marker:
            count, total = count + 1, total + record.size_bytes
        layout = record.layout_ref
        if layout is not None and not await connection.command("EXISTS", keys.layout(bucket, layout)):
            report.add(_of_bucket(FindingKind.LAYOUT_MISSING, bucket, f"{key}: where its bytes are is not there"))
    if (int(objects), int(size)) != (count, total):
        text = f"counts {int(objects)} objects of {int(size)} bytes and holds {count} of {total}"
        excess = int(objects) - count, int(size) - total
        finding = _of_bucket(FindingKind.COUNTER, bucket, text)
        report.add(replace(finding, bucket_id=int(bucket_id), excess=excess))


def _of_bucket(kind: FindingKind, bucket: str, text: str) -> Finding:
    return Finding(kind=kind, text=f"bucket {bucket} {text}", bucket=bucket)


async def _check_owners(connection: Connection, report: Report) -> None:
    """Every entry of buckets by owner is of a bucket that there is, and of its owner."""
    async for member in members_of(connection, keys.owned_buckets()):
        owner, _, bucket = member.partition(b"\0")
        if await connection.command("HGET", keys.bucket(bucket.decode()), "owner") != owner:
            name = bucket.decode()
            report.add(_of_bucket(FindingKind.BUCKET_TABLE, name, f"is listed under {owner.decode()}, not its owner"))


async def _check_users(connection: Connection, report: Report) -> None:
    """The table of names is what the users say, and nothing else."""
    expected: dict[bytes, bytes] = {}
    for user_id, stored in await _pairs(connection, keys.users()):
        report.looked_at["users"] += 1
        try:
            user = decode_user(stored)
        except (CorruptRecord, UnsupportedFormat) as error:
            text = f"user {user_id.decode()} has a damaged record: {error}"
            report.add(Finding(kind=FindingKind.RECORD_DAMAGED, text=text))
            continue
        expected |= {name.encode(): user_id for name in names_of(user)}
    found = dict(await _pairs(connection, keys.user_names()))
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            whose, leads_to = _named(expected.get(name)), _named(found.get(name))
            text = f"{name.decode()} is of {whose} and leads to {leads_to}"
            report.add(Finding(kind=FindingKind.NAME_TABLE, text=text))


def _named(user_id: bytes | None) -> str:
    return f"user {user_id.decode()}" if user_id is not None else "nobody"


async def _pairs(connection: Connection, name: str) -> list[tuple[bytes, bytes]]:
    reply: list[bytes] = await connection.command("HGETALL", name)
    return list(zip(reply[::2], reply[1::2], strict=True))


async def _check_trash(connection: Connection, report: Report) -> None:
    """Every entry of the trash waits in exactly one queue, and every place of a queue is of an entry."""
    async with aclosing(_trash(connection, report)) as entries:
        async for entry in entries:
            scores: list[Any] = [
                await connection.command("ZSCORE", queue, entry.reference)
                for queue in (keys.reclaim(), keys.reclaiming())
            ]
            if sum(score is not None for score in scores) != 1:
                where = "both queues" if all(score is not None for score in scores) else "no queue"
                text = f"{entry.bucket}/{entry.key} in the trash waits in {where} of reclaim"
                report.add(Finding(kind=FindingKind.TRASH_QUEUE, text=text))
    for queue in (keys.reclaim(), keys.reclaiming()):
        cursor: Any = b"0"
        while True:
            cursor, page = await connection.command("ZSCAN", queue, cursor, "COUNT", 1000)
            for reference in page[::2]:
                upper = reference + b"\xff"
                if not await connection.command("ZLEXCOUNT", keys.trash(), b"[" + reference, b"(" + upper):
                    names = reference.split(b"\0")[:2]
                    text = f"{b'/'.join(names).decode(errors='replace')} waits for reclaim and is not in the trash"
                    report.add(Finding(kind=FindingKind.TRASH_QUEUE, text=text))
            if cursor == b"0":
                break


async def _trash(connection: Connection, report: Report) -> AsyncGenerator[ReclaimEntry, None]:
    async for member in members_of(connection, keys.trash()):
        report.looked_at["trash entries"] += 1
        try:
            yield decode_reclaim(member)
        except (CorruptRecord, UnsupportedFormat) as error:
            report.add(Finding(kind=FindingKind.RECORD_DAMAGED, text=f"the trash holds a damaged entry: {error}"))
