"""`cairn status`: how the cluster is, and what to do about what is not as it should be."""

import json
import os
import sys
from typing import Annotated

import typer

from gateway.cli_options import Data, Json, run_async
from gateway.settings import SettingsError, load_one

UNREACHABLE = 2


def status(
    as_json: Json = False,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="HOST:PORT", help="ask this node too, as when Redis is down; repeatable"),
    ] = None,
    data: Data = None,
) -> None:
    """Show nodes, capacity, copies, repairs, scrubbing, reclaim, journal and index; what is wrong and what to do.

    Ends with status 0 when all is well, 1 when something is not (the first line says what), 2 when the index or every
    node is out of reach.
    """
    from gateway.logs import configure_logging
    from gateway.status.command import gather_status
    from gateway.status.render import render
    from gateway.status.report import to_json
    from gateway.supervisor.layout import StartRefused

    try:
        configure_logging(debug=load_one("debug", os.environ), form=load_one("log_format", os.environ))
        report = run_async(gather_status(os.environ, data, node or ()))
    except (SettingsError, StartRefused) as error:
        print(f"cairn: {error}", file=sys.stderr)
        raise typer.Exit(UNREACHABLE) from error
    if as_json:
        typer.echo(json.dumps(to_json(report), indent=2))
    else:
        render(report, sys.stdout)
    raise typer.Exit(int(report.health))
