"""`cairn node list|drain|undrain|remove` and `cairn rebalance`: looking after the nodes of a running cluster."""

import json
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.cli_options import Data, Json, running_command

if TYPE_CHECKING:
    from gateway.command_services import CommandServices
    from gateway.node_commands import NodeReport
    from gateway.workers.rebalance import Forecast

nodes = typer.Typer(help="Run a storage node; with a command, look after those of the cluster.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="the node's id, the beginning of it, or its address")]

_RATE = re.compile(r"([0-9]+)([kKmMgG]?)i?[bB]?")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_Result = TypeVar("_Result")


@nodes.command("list")
def list_nodes(as_json: Json = False, data: Data = None) -> None:
    """List the nodes: id, address, zone, state, capacity and free bytes, what the index names on it; tab-separated."""
    from gateway.node_commands import list_nodes as call

    found = _run(data, call)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found]))
        return
    for one in found:
        typer.echo(_line(one))


@nodes.command("drain")
def drain(name: Name, data: Data = None) -> None:
    """Have everything moved away from a node; it takes no new bytes, and serves on until it is removed."""
    from gateway.node_commands import drain as call

    typer.echo(_line(_run(data, lambda services: call(services, name))))
    typer.echo("everything on it is being moved; cairn node list tells how much is left", err=True)


@nodes.command("undrain")
def undrain(name: Name, data: Data = None) -> None:
    """Take a draining or removed node back into use."""
    from gateway.node_commands import undrain as call

    typer.echo(_line(_run(data, lambda services: call(services, name))))


@nodes.command("remove")
def remove(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="also while records name it, if everything can be read elsewhere")
    ] = False,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="give up what no other node has")] = False,
    data: Data = None,
) -> None:
    """Take a node out of the cluster for good: one that is drained, or dead and repaired around."""
    from gateway.node_commands import remove as call

    done = _run(data, lambda services: call(services, name, force=force, accept_loss=accept_loss))
    typer.echo(f"{done.node_id} was removed; its process and its directory can go")


def rebalance(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only tell what would be moved")] = False,
    rate: Annotated[str, typer.Option(metavar="BYTES", help="a second, such as 50M; CAIRN_REPAIR_RATE bounds it")] = "",
    stop: Annotated[bool, typer.Option("--stop", help="move no more")] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Move copies so that every node is as full as its capacity says, in the background."""
    from gateway import node_commands

    if dry_run + stop + bool(rate) > 1:
        raise typer.BadParameter("--dry-run, --rate and --stop go alone")
    if dry_run:
        _show_forecast(_run(data, node_commands.forecast), as_json=as_json)
    elif stop:
        stopped = _run(data, node_commands.stop_rebalance)
        typer.echo("stopped; what is queued is still moved" if stopped else "there is no rebalance")
    else:
        bytes_s = _parse_rate(rate) if rate else 0

        async def order(services: "CommandServices") -> int:
            chosen = bytes_s or services.settings.repair_rate_bytes_s
            await node_commands.order_rebalance(services, chosen)
            return chosen

        typer.echo(f"rebalancing at {_run(data, order)} bytes a second; cairn status tells how far it is")


def _run(data: str | None, call: Callable[["CommandServices"], Awaitable[_Result]]) -> _Result:
    import asyncio

    from gateway.command_services import open_command

    async def opened() -> _Result:
        async with open_command(os.environ, data) as services:
            return await call(services)

    with running_command():
        return asyncio.run(opened())


def _parse_rate(text: str) -> int:
    match = _RATE.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise typer.BadParameter("a rate is a number of bytes a second, such as 50M")
    return int(match[1]) * _UNITS[match[2].lower()]


def _line(one: "NodeReport") -> str:
    held = "?" if one.holding is None else f"{one.holding.segments} segments, {one.holding.size_bytes} bytes"
    sizes = (str(one.capacity_bytes), str(one.free_bytes))
    return "\t".join((one.node_id, one.address, one.zone or "-", one.state, *sizes, held))


def _show_forecast(found: "Forecast", *, as_json: bool) -> None:
    names = sorted(found.now | found.after)
    rows = [{"node_id": name, "now_bytes": found.now[name], "after_bytes": found.after[name]} for name in names]
    if as_json:
        moved = {"moved_bytes": found.moved_bytes, "moved_copies": found.moved_copies}
        typer.echo(json.dumps({"nodes": rows, **moved}))
        return
    typer.echo("node\tbytes now\tbytes after\tdifference")
    for name in names:
        difference = found.after[name] - found.now[name]
        typer.echo(f"{name}\t{found.now[name]}\t{found.after[name]}\t{difference:+d}")
    typer.echo(f"{found.moved_copies} copies, {found.moved_bytes} bytes to move")
