"""The command `cairn`: reads flags, composes processes, prints to people.

The one place where every part may be imported, and each command imports only what it runs, so that small
commands start quickly. Settings are declared in settings.py; flags here name them and add nothing.
"""

import os
import signal
import socket
import sys
from typing import Annotated

import typer

from gateway.cli_buckets import buckets
from gateway.cli_cluster import register as register_cluster_commands
from gateway.cli_keys import keys
from gateway.cli_nodes import nodes, rebalance
from gateway.cli_objects import objects, undelete
from gateway.cli_options import Data as _Data
from gateway.cli_options import failing_on as _failing_on
from gateway.cli_options import option as _option
from gateway.cli_status import status
from gateway.cli_targets import targets
from gateway.cli_users import users
from gateway.cli_why import why
from gateway.settings import GatewaySettings, ServeSettings, SettingsError, load_one

app = typer.Typer(
    help="Cairn, an S3-compatible object store. Settings also come from the environment and from a TOML file"
    " named by CAIRN_CONFIG.",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks print local variables, secrets included.
    pretty_exceptions_enable=False,
)
app.add_typer(users, name="user")
app.add_typer(buckets, name="bucket")
app.add_typer(objects, name="object")
app.add_typer(nodes, name="node")
app.add_typer(keys, name="key")
app.add_typer(targets, name="target")


@app.command()
def serve(
    data: _Data = None,
    host: Annotated[str | None, _option("--host", "host")] = None,
    port: Annotated[str | None, _option("--port", "port")] = None,
    nodes: Annotated[str | None, _option("--nodes", "nodes", ServeSettings)] = None,
    replicas: Annotated[str | None, _option("--replicas", "replicas")] = None,
    workers: Annotated[str | None, _option("--workers", "workers", ServeSettings)] = None,
    tls_cert: Annotated[str | None, _option("--tls-cert", "tls_cert")] = None,
    tls_key: Annotated[str | None, _option("--tls-key", "tls_key")] = None,
) -> None:
    """Serve S3 from this machine: index, storage nodes and gateways under one command."""
    from gateway.supervisor.child import ChildFailed
    from gateway.supervisor.layout import StartRefused
    from gateway.supervisor.serve import run_serve

    gateway_flags = {
        "base_storage_path": data,
        "host": host,
        "port": port,
        "replicas": replicas,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
    }
    _configure_logging()
    with _failing_on(SettingsError, StartRefused, ChildFailed):
        run_serve(os.environ, gateway_flags, {"nodes": nodes, "workers": workers})


@app.command()
def gateway(listen_fd: Annotated[int | None, typer.Option("--listen-fd", hidden=True)] = None) -> None:
    """Run one gateway, from settings alone."""
    # uvicorn raises the signal that stopped it once more, after its orderly stop: that is no failure.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    from gateway.server import run_gateway

    settings = _load_for_role()
    run_gateway(settings, None if listen_fd is None else [socket.socket(fileno=listen_fd)])


@app.command()
def worker() -> None:
    """Run one background worker (repair, reclaim, lifecycle, snapshots), from settings alone."""
    from gateway.workers.runner import run_worker

    run_worker(_load_for_role())


@nodes.callback(invoke_without_command=True)
def node(context: typer.Context) -> None:
    """Run one storage node, from settings alone; or, with a command, look after those of the cluster."""
    if context.invoked_subcommand is not None:
        return
    from storagenode.app import run_node
    from storagenode.settings import NodeSettings
    from storagenode.settings import SettingsError as NodeSettingsError

    _configure_logging()
    with _failing_on(NodeSettingsError):
        settings = NodeSettings.from_environment(os.environ)
    run_node(settings)


app.command("undelete")(undelete)
register_cluster_commands(app)
app.command("status")(status)
app.command("why")(why)
app.command("rebalance")(rebalance)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"cairn {version('cairn-s3')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Cairn, an S3-compatible object store."""


def _load_for_role() -> GatewaySettings:
    """Settings of a gateway or worker process, with logging set up by them."""
    _configure_logging()
    with _failing_on(SettingsError):
        settings = GatewaySettings.load(os.environ)
        settings.require_keys()
    return settings


def _configure_logging() -> None:
    from gateway.logs import configure_logging

    with _failing_on(SettingsError):
        configure_logging(debug=load_one("debug", os.environ), form=load_one("log_format", os.environ))


def main() -> None:
    """Entry point of the console script."""
    app(prog_name="cairn")


if __name__ == "__main__":
    main()
