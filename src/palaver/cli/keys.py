"""`palaver key …`: the keys of API clients, in the database itself or through the server that has it."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import DatabaseUrl, DataDir, Json, answered, listed, settings_of
from palaver.cli.output import tell, tell_json

keys = typer.Typer(help="Look after the keys of API clients.", no_args_is_help=True)


@keys.command(epilog="Example: palaver key create --name laptop --scopes chat,read")
def create(
    *,
    name: Annotated[
        str | None, typer.Option(help="What the key is called.", show_default="made up")
    ] = None,
    scopes: Annotated[
        str, typer.Option(help="What it is good for; docs/cli.md lists them.")
    ] = "all",
    keep_unstored: Annotated[
        bool, typer.Option("--keep-unstored", help="Keep also what is asked with 'store: false'.")
    ] = False,
    handle: Annotated[
        str | None,
        typer.Option("--as", help="Speak for this person.", show_default="a new one"),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Make a key for a client of the API, and show it once. Also while the server runs."""
    words = [word.strip() for word in scopes.split(",") if word.strip()]
    words += ["keep_unstored"] if keep_unstored else []
    request = {"do": "key.create", "name": name, "scopes": words, "as": handle}
    made = answered(settings_of(data_dir=data_dir, database_url=database_url), request)
    if as_json:
        tell_json(made)
        return
    tell(made["token"])
    tell("This is the only time that it is shown.")
    tell(_line(made["key"]))


@keys.command("list")
def show(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Show all keys: whose they are, what they are good for, when they were used. Never the keys themselves."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    found = listed(settings, "key.list", "keys", by="id")
    if as_json:
        tell_json({"keys": found})
    elif not found:
        tell("There are no keys yet. `palaver key create` makes one.")
    for key in () if as_json else found:
        tell(_line(key))


@keys.command(epilog="Example: palaver key revoke k_019a…")
def revoke(
    *,
    key: Annotated[str, typer.Argument(help="Its id, as `palaver key list` shows it.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """End a key for ever; within a second no server takes it any more."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    ended = answered(settings, {"do": "key.revoke", "key": key})
    if as_json:
        tell_json(ended)
    else:
        tell(_line(ended["key"]))


def _line(key: Mapping[str, Any]) -> str:
    used = key["last_used_at"] or "never"
    state = f"revoked {key['revoked_at']}" if key["revoked_at"] else f"last used {used}"
    scopes = ",".join(key["scopes"])
    return f"{key['id']}  {key['name']}  {scopes}  speaks for {key['actor']['name']}  {state}"
