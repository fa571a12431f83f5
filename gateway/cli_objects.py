"""`cairn object` and `cairn undelete`: looking at one object's copies, and bringing one back."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli_options import Data, Json, run_async, running_command

if TYPE_CHECKING:
    from gateway.index.records import ObjectRecord
    from gateway.index.undelete import Undeleted
    from gateway.inspection import InspectedSegment
    from gateway.object_commands import Trashed

objects = typer.Typer(help="Objects: where their bytes are.", no_args_is_help=True)

_Bucket = Annotated[str, typer.Argument()]
_Key = Annotated[str, typer.Argument()]


@objects.callback()
def _root() -> None:
    """Keeps the commands below in a group while there is only one."""


@objects.command("show")
def show(
    bucket: _Bucket,
    key: _Key,
    version_id: Annotated[str | None, typer.Option(help="the current version if not given")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="ask the nodes what they hold, do not read it")] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Show for each segment of an object the nodes that hold it, since when, and whether its bytes are right.

    Ends with status 2 when a copy is not good.
    """
    from gateway import object_commands
    from gateway.command_services import open_command

    async def call() -> "tuple[ObjectRecord, list[InspectedSegment]]":
        async with open_command(os.environ, data) as services:
            record = await object_commands.find_object(services, bucket, key, version_id)
            return record, [one async for one in object_commands.inspect(services, record, quick=quick)]

    with running_command():
        record, segments = run_async(call())
    if as_json:
        typer.echo(json.dumps(_object_document(bucket, key, record, segments)))
    else:
        _print_object(bucket, key, record, segments)
    if any(copy.state not in ("ok", "present") for segment in segments for copy in segment.copies):
        raise typer.Exit(2)


def undelete(
    bucket: _Bucket,
    key: _Key,
    at: Annotated[int | None, typer.Option(help="number of the one to bring back, as --list shows it")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="show what can come back, and change nothing")] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Bring back an object that was overwritten or deleted in a bucket without versions; the last one if not said.

    That is possible until its bytes are given up (CAIRN_RECLAIM_GRACE_S after it was replaced). What is there in its
    place can be brought back in turn.
    """
    from gateway import object_commands
    from gateway.command_services import open_command

    async def call_list() -> "list[Trashed]":
        async with open_command(os.environ, data) as services:
            return await object_commands.list_trashed(services, bucket, key)

    async def call() -> "Undeleted":
        async with open_command(os.environ, data) as services:
            return await object_commands.undelete(services, bucket, key, at)

    if at is not None and not 0 <= at < 1 << 64:
        raise typer.BadParameter("--at takes a number that --list shows")
    with running_command():
        if list_all:
            _print_trashed(run_async(call_list()), as_json=as_json)
            return
        undeleted = run_async(call())
    record = undeleted.record
    if as_json:
        typer.echo(json.dumps({"sequence": record.sequence, "size_bytes": record.size_bytes, "etag": record.etag}))
        return
    typer.echo(f"{bucket}/{key} is back: {record.size_bytes} bytes, etag {record.etag}")
    if undeleted.replaced:
        typer.echo("what was there is in the trash now: undelete once more to swap them again")


def _print_trashed(found: "list[Trashed]", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        words = (one.sequence, _time(one.trashed_ms), one.size_bytes, one.etag, f"until {_time(one.gone_ms)}")
        typer.echo("\t".join(str(word) for word in words))


def _print_object(bucket: str, key: str, record: "ObjectRecord", segments: "list[InspectedSegment]") -> None:
    typer.echo(f"{bucket}/{key}  version {record.version_id}  {record.size_bytes} bytes  etag {record.etag}")
    for segment in segments:
        typer.echo(f"{segment.blob_id}  {segment.size_bytes} bytes from byte {segment.offset}")
        for copy in segment.copies:
            since = f"durable since {_time(copy.durable_ms)}" if copy.durable_ms else ""
            words = (copy.state.value, copy.node_id, copy.address, f"zone {copy.zone}" if copy.zone else "", since)
            typer.echo("  " + "  ".join(word for word in (*words, copy.reason) if word))


def _object_document(
    bucket: str, key: str, record: "ObjectRecord", segments: "list[InspectedSegment]"
) -> dict[str, object]:
    return {
        "bucket": bucket,
        "key": key,
        "version_id": record.version_id,
        "sequence": record.sequence,
        "size_bytes": record.size_bytes,
        "etag": record.etag,
        "segments": [asdict(segment) for segment in segments],
    }


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
