"""`cairn user`: who may sign requests, and the policies that users are held to."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli_options import CommandRefused, Data, failing_on, running_command

users = typer.Typer(help="Users: who may sign requests.", no_args_is_help=True)
policies = typer.Typer(help="Identity policies: what a user is held to.", no_args_is_help=True)
users.add_typer(policies, name="policy")

_Name = Annotated[str, typer.Argument(help="name of a user")]


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="1 to 64 letters, digits and +=,.@_-")],
    access_key: Annotated[str, typer.Option(help="3 to 128 letters, digits and _; made up if not given")] = "",
    secret_key: Annotated[str, typer.Option(help="8 to 128 characters; made up if not given")] = "",
    id: Annotated[str, typer.Option(help="canonical user id; made up if not given")] = "",
    display_name: Annotated[str, typer.Option(help="shown as owner of objects; NAME if not given")] = "",
    email: Annotated[str, typer.Option(help="address, for grants by address")] = "",
    data: Data = None,
) -> None:
    """Add a user and print its keys; the secret key is shown this once."""
    from gateway.user_commands import add
    from gateway.users import NewUser

    wanted = NewUser(
        name=name,
        access_key=access_key,
        secret_key=secret_key,
        canonical_id=id,
        display_name=display_name,
        email=email,
    )
    with _failing():
        made = add(os.environ, data, wanted)
    typer.echo(f"access key  {made.access_key}")
    typer.echo(f"secret key  {made.secret_key}")
    typer.echo(f"id          {made.identity.canonical_id}")


@users.command("list")
def list_users(data: Data = None) -> None:
    """List the users: name, access key, id, display name, e-mail address; tab-separated."""
    from gateway.user_commands import list_all

    with _failing():
        found = list_all(os.environ, data)
    for user in found:
        for key in user.access_keys:
            typer.echo("\t".join((user.name, key.access_key, user.user_id, user.display_name, user.email or "")))


@users.command("remove")
def remove_user(name: Annotated[str, typer.Argument()], data: Data = None) -> None:
    """Remove a user who owns no buckets; its keys stop working within seconds."""
    from gateway.user_commands import remove

    with _failing():
        remove(os.environ, data, name)


@policies.command("set")
def set_policy(
    name: _Name,
    file: Annotated[Path, typer.Argument(help="a policy in JSON without Principal; - reads standard input")],
    data: Data = None,
) -> None:
    """Hold a user to a policy: from then on it may do what the policy allows, and nothing else.

    On buckets of others their policy or ACL must allow it, too. Gateways follow within seconds.
    """
    from gateway.user_commands import set_policy

    with _failing():
        set_policy(os.environ, data, name, _read(file))


@policies.command("show")
def show_policy(name: _Name, data: Data = None) -> None:
    """Print the policy of a user as it was set."""
    from gateway.user_commands import policy_of

    with _failing():
        text = policy_of(os.environ, data, name)
        if not text:
            raise CommandRefused(f"{name} has no policy")
    typer.echo(text.rstrip("\n"))


@policies.command("remove")
def remove_policy(name: _Name, data: Data = None) -> None:
    """Hold a user to no policy any more."""
    from gateway.user_commands import set_policy

    with _failing():
        set_policy(os.environ, data, name, "")


def _read(file: Path) -> str:
    try:
        content = typer.get_binary_stream("stdin").read() if str(file) == "-" else file.read_bytes()
        text = content.decode()
    except OSError as error:
        raise CommandRefused(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandRefused(f"{file} is not UTF-8") from error
    if not text.strip():
        raise CommandRefused(f"{file} is empty")
    return text


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    from gateway.users import UserError

    with failing_on(UserError), running_command():
        yield
