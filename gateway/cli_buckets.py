"""`cairn bucket`: what an administrator says of one bucket that S3 has no request for."""

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli_options import Data, Json, run_async, running_command

if TYPE_CHECKING:
    from gateway.bucket_commands import QuotaReport, RedundancyReport

buckets = typer.Typer(help="Buckets: how many copies they keep, how much they may hold.", no_args_is_help=True)


@buckets.command("redundancy")
def redundancy(
    bucket: Annotated[str, typer.Argument()],
    replicas: Annotated[int | None, typer.Option(help="copies of every byte")] = None,
    write_quorum: Annotated[
        int | None, typer.Option(help="copies that must be durable before a write is answered; a majority if not given")
    ] = None,
    default: Annotated[bool, typer.Option("--default", help="follow the settings of the cluster again")] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Show, or set, how many copies a bucket keeps and how many a write waits for.

    New writes follow at once; repair adds or removes copies of what is there.
    """
    from gateway import bucket_commands
    from gateway.command_services import open_command

    async def call() -> "RedundancyReport":
        async with open_command(os.environ, data) as services:
            if default:
                return await bucket_commands.reset_redundancy(services, bucket)
            if replicas is None and write_quorum is None:
                return await bucket_commands.show_redundancy(services, bucket)
            return await bucket_commands.set_redundancy(services, bucket, replicas=replicas, write_quorum=write_quorum)

    if default and (replicas is not None or write_quorum is not None):
        raise typer.BadParameter("--default goes alone")
    with running_command():
        report = run_async(call())
    if as_json:
        typer.echo(json.dumps({**asdict(report.redundancy), "stated": report.stated, "nodes": report.node_count}))
        return
    typer.echo(f"replicas      {report.redundancy.replicas}")
    typer.echo(f"write quorum  {report.redundancy.write_quorum}")
    typer.echo(f"set by        {'the bucket' if report.stated else 'the settings of the cluster'}")
    if report.redundancy.replicas > report.node_count:
        typer.echo(
            f"cairn: there are {report.node_count} nodes: so many copies are kept until there are more", err=True
        )


@buckets.command("quota")
def quota(
    bucket: Annotated[str, typer.Argument()],
    size: Annotated[
        str | None, typer.Option("--bytes", help="such as 5000000000, 500MB or 20GiB; none: no limit")
    ] = None,
    objects: Annotated[str | None, typer.Option(help="a number, all versions counted; none: no limit")] = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Show, or set, how much a bucket may hold, its versions counted.

    What would make it larger is refused (QuotaExceeded); what is there stays.
    """
    from gateway import bucket_commands
    from gateway.command_services import open_command

    async def call() -> "QuotaReport":
        async with open_command(os.environ, data) as services:
            if size is None and objects is None:
                return await bucket_commands.show_quota(services, bucket)
            return await bucket_commands.set_quota(services, bucket, size=size, objects=objects)

    with running_command():
        report = run_async(call())
    if as_json:
        typer.echo(json.dumps(asdict(report)))
        return
    typer.echo(f"bytes    {report.used_bytes} of {_limit(report.quota_bytes)}")
    typer.echo(f"objects  {report.used_objects} of {_limit(report.quota_objects)}")


def _limit(value: int | None) -> str:
    return "any number" if value is None else str(value)
