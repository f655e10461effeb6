"""`palaver user …`: the accounts of people, in the database itself or through the server that has it."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import DatabaseUrl, DataDir, Json, answered, listed, settings_of
from palaver.cli.output import tell, tell_json

users = typer.Typer(help="Look after the accounts of people.", no_args_is_help=True)

Handle = Annotated[str, typer.Argument(help="The handle by which they sign in.")]


@users.command("list", epilog="Example: palaver user list --json")
def show(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Show all accounts: who they are, and when they were last here."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    found = listed(settings, "user.list", "users", by="handle")
    if as_json:
        tell_json({"users": found})
    elif not found:
        tell("There are no accounts yet. `palaver user create` makes one.")
    for user in () if as_json else found:
        tell(_line(user))


@users.command(epilog="Example: palaver user create ada --name Ada")
def create(
    *,
    handle: Handle,
    name: Annotated[
        str | None, typer.Option(help="What others see.", show_default="the handle")
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Of this person, by handle of their keys or id (u_…).",
            show_default="a new one",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Make an account, and a link by which its person chooses a password: once, within an hour."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    made = answered(settings, {"do": "user.create", "handle": handle, "name": name, "as": of})
    _tell_link(made, as_json=as_json)


@users.command(epilog="Example: palaver user rename ada ada.lovelace")
def rename(
    *,
    handle: Handle,
    new: Annotated[str, typer.Argument(help="The handle from now on.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Give an account another handle. Its person, rooms and password stay."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _tell(answered(settings, {"do": "user.rename", "handle": handle, "new": new}), as_json=as_json)


@users.command(epilog="Example: palaver user disable ada")
def disable(
    *,
    handle: Handle,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Shut somebody out: their sessions end, their keys are refused. What they said stays."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _tell(answered(settings, {"do": "user.disable", "handle": handle}), as_json=as_json)


@users.command(epilog="Example: palaver user enable ada")
def enable(
    *,
    handle: Handle,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Let somebody in again who was shut out. They sign in anew."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _tell(answered(settings, {"do": "user.enable", "handle": handle}), as_json=as_json)


@users.command(epilog="Example: palaver user reset ada")
def reset(
    *,
    handle: Handle,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Make a link by which somebody chooses another password: once, within an hour."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _tell_link(answered(settings, {"do": "user.reset", "handle": handle}), as_json=as_json)


def _tell_link(made: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        tell_json(made)
        return
    tell(made["url"])
    tell("Who opens it chooses the password: once, within an hour.")
    tell(_line(made["user"]))


def _tell(changed: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        tell_json(changed)
    else:
        tell(_line(changed["user"]))


def _line(user: Mapping[str, Any]) -> str:
    used = user["last_used_at"] or "never"
    return f"@{user['handle']}  {user['name']}  {user['id']}  {user['status']}  last used {used}"
