"""What the command lines share: options that name settings, and errors that become one sentence."""

import contextlib
import os
import sys
from collections.abc import Coroutine, Iterator
from typing import Annotated, Any, TypeVar

import typer

from gateway.settings import GatewaySettings, SettingsError, declaration, load_one


def option(flag: str, name: str, settings: type = GatewaySettings) -> Any:
    """An option of Typer that gives the setting of this name."""
    declared = declaration(settings, name)
    return typer.Option(flag, help=f"{declared.help} [{declared.variable}]", show_default=False)


_Result = TypeVar("_Result")

Data = Annotated[str | None, option("--data", "base_storage_path")]
Json = Annotated[bool, typer.Option("--json", help="for programs: one JSON document")]


class CommandRefused(Exception):
    """A command cannot do what it was asked; the message tells an administrator why."""


@contextlib.contextmanager
def failing_on(*kinds: type[Exception]) -> Iterator[None]:
    """Errors of these kinds are told in one sentence and end the program with status 1."""
    try:
        yield
    except kinds as error:
        print(f"cairn: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def run_async(call: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine to its end; asyncio is imported only by commands that need it."""
    import asyncio

    return asyncio.run(call)


@contextlib.contextmanager
def running_command() -> Iterator[None]:
    """Around a command on index and nodes: what it raises becomes one sentence, log lines go to standard error."""
    from gateway.index.errors import IndexFault, IndexUnavailable
    from gateway.logs import configure_logging
    from gateway.supervisor.layout import StartRefused

    with failing_on(SettingsError, StartRefused, CommandRefused, IndexFault):
        configure_logging(debug=load_one("debug", os.environ), form=load_one("log_format", os.environ), quiet=True)
        try:
            yield
        except IndexUnavailable as error:
            raise CommandRefused(f"{error} (does cairn serve, or Redis, run there?)") from error
