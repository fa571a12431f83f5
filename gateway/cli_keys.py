"""`cairn key`: the keys of SSE-KMS. They lie in the index, sealed by the master key, and are never shown."""

import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.cli_options import CommandRefused, Data, Json, run_async, running_command

if TYPE_CHECKING:
    from gateway.encryption.keyring import KeyRing
    from gateway.index.kms_keys import KmsKeyRecord

keys = typer.Typer(help="Keys of SSE-KMS, the encryption keys that writers of objects name.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="such as payroll; 1 to 256 letters, digits and /_.:-")]
_Result = TypeVar("_Result")


@keys.command("create")
def create(name: _Name, data: Data = None) -> None:
    """Make a key. Writers can name it at once."""
    made = _with_ring(data, lambda ring: ring.create(name))
    typer.echo(f"{made.key_id}  version {made.current.number}")


@keys.command("rotate")
def rotate(name: _Name, data: Data = None) -> None:
    """Make a new version of a key, under which objects are written from now on, within seconds on every gateway.

    What was written before stays readable under its own version.
    """
    changed = _with_ring(data, lambda ring: ring.rotate(name))
    typer.echo(f"{changed.key_id}  version {changed.current.number}")


@keys.command("list")
def list_keys(as_json: Json = False, data: Data = None) -> None:
    """List the keys: name, newest version, when that was made."""
    found = _with_ring(data, lambda ring: ring.list_all())
    if as_json:
        typer.echo(json.dumps([_document(key) for key in found]))
        return
    for key in found:
        typer.echo("\t".join((key.key_id, str(key.current.number), _time(key.current.created_ms))))


def _with_ring(data: str | None, ask: "Callable[[KeyRing], Awaitable[_Result]]") -> _Result:
    """Run one call on the key ring of the cluster; what it refuses becomes one sentence."""
    import time

    from gateway.command_services import open_command
    from gateway.encryption.keyring import KeyRing, KeyRingError

    async def call() -> _Result:
        async with open_command(os.environ, data) as services:
            ring = KeyRing(
                services.index,
                services.settings.master_key,
                creates_keys=False,
                clock=time.monotonic,
                now_ms=lambda: time.time_ns() // 1_000_000,
            )
            return await ask(ring)

    with running_command():
        try:
            return run_async(call())
        except KeyRingError as error:
            raise CommandRefused(str(error)) from error


def _document(key: "KmsKeyRecord") -> dict[str, object]:
    versions = [{"version": one.number, "created": _time(one.created_ms)} for one in key.versions]
    return {"name": key.key_id, "versions": versions}


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
