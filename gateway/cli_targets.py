"""`cairn target`: where events may be sent. Notification configurations of buckets name targets by their ARN."""

import json
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.cli_options import CommandRefused, Data, Json, run_async, running_command

if TYPE_CHECKING:
    from gateway.command_services import CommandServices
    from gateway.index.event_targets import EventCursor, EventFailure, EventTarget

targets = typer.Typer(help="Targets of events: webhooks and Redis streams.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="1 to 80 letters, digits, - and _")]
_Result = TypeVar("_Result")


@targets.command("add")
def add(
    name: _Name,
    webhook: Annotated[str, typer.Option(metavar="URL", help="POST events here")] = "",
    secret: Annotated[str, typer.Option(help="sign what is posted with this")] = "",
    stream: Annotated[str, typer.Option(metavar="KEY", help="add events to this Redis stream")] = "",
    redis: Annotated[
        str, typer.Option(metavar="URL", help="redis://[:PASSWORD@]HOST[:PORT] of the stream, else the index's server")
    ] = "",
    data: Data = None,
) -> None:
    """Declare a target and print the ARN by which buckets name it. It hears of what comes after."""
    from gateway.events.targets import stream_target, webhook_target

    if bool(webhook) == bool(stream) or (redis and not stream) or (secret and not webhook):
        raise typer.BadParameter("give --webhook URL [--secret SECRET], or --stream KEY [--redis URL]")

    async def call(services: "CommandServices") -> "EventTarget":
        master_key, now_ms = services.settings.master_key, services.membership.now_ms()
        if webhook:
            target = webhook_target(
                name, webhook, secret, master_key=master_key, random_bytes=os.urandom, now_ms=now_ms
            )
        else:
            target = stream_target(name, stream, redis, master_key=master_key, random_bytes=os.urandom, now_ms=now_ms)
        await services.index.add_event_target(target)
        return target

    typer.echo(_arn(_run(data, call)))


@targets.command("list")
def list_targets(as_json: Json = False, data: Data = None) -> None:
    """List the targets: ARN, where it is, how many changes of the index it has not been told of, what is wrong."""

    async def call(services: "CommandServices") -> list[dict[str, object]]:
        found = await services.index.list_event_targets()
        cursors, failures = await services.index.event_cursors(), await services.index.event_failures()
        watermark = await services.index.durable_sequence()
        return [_document(target, cursors.get(target.name), failures.get(target.name), watermark) for target in found]

    documents = _run(data, call)
    if as_json:
        typer.echo(json.dumps(documents, indent=2))
        return
    for one in documents:
        typer.echo("\t".join(str(one[name]) for name in ("arn", "place", "behind", "problem")))


@targets.command("remove")
def remove(name: _Name, data: Data = None) -> None:
    """Forget a target; what was to be sent there is not sent. Buckets that name it keep their configuration."""
    _run(data, lambda services: services.index.remove_event_target(name))


def _run(data: str | None, ask: "Callable[[CommandServices], Awaitable[_Result]]") -> _Result:
    """One call on the cluster; what it refuses becomes one sentence."""
    from gateway.command_services import open_command
    from gateway.events.targets import TargetError
    from gateway.index.errors import NoSuchTarget, TargetExists

    async def call() -> _Result:
        async with open_command(os.environ, data) as services:
            return await ask(services)

    with running_command():
        try:
            return run_async(call())
        except TargetError as error:
            raise CommandRefused(str(error)) from error
        except TargetExists as error:
            raise CommandRefused(f"there is a target {error} already") from error
        except NoSuchTarget as error:
            raise CommandRefused(f"there is no target {error}") from error


def _arn(target: "EventTarget") -> str:
    return f"arn:cairn:{target.kind}:::{target.name}"


def _document(
    target: "EventTarget", cursor: "EventCursor | None", failure: "EventFailure | None", watermark: int
) -> dict[str, object]:
    place = f"{target.place} on {target.server}" if target.server else target.place
    return {
        "name": target.name,
        "arn": _arn(target),
        "place": place,
        "signed": bool(target.sealed_secret) and target.kind == "webhook",
        "behind": max(0, watermark - cursor.sequence) if cursor else 0,
        "skipped": cursor.skipped if cursor else 0,
        "problem": failure.reason if failure else "",
    }
