"""`palaver key …`: the keys of API clients, in the database itself or through the server that has it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking, words

keys = typer.Typer(help="Look after the keys of API clients.", no_args_is_help=True)


@keys.command(epilog="Example: palaver key create --name laptop --scopes chat,read")
@asking
def create(
    ask: Ask,
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
    agent: Annotated[
        str | None,
        typer.Option(help="Be this agent, as its program; a new one where nobody has the handle."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(help="For how many days it is good.", show_default="until revoked"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="Or until when: a date, with or without a time.")
    ] = None,
    rooms: Annotated[
        str | None,
        typer.Option(help="The ids of the only rooms for it, 1 to 100.", show_default="all"),
    ] = None,
) -> None:
    """Make a key for a client of the API, and show it once. Also while the server runs."""
    wanted = [*words(scopes), *(["keep_unstored"] if keep_unstored else [])]
    more = {"name": name, "scopes": wanted, "as": handle, "days": days, "expires": expires}
    ask.tell(
        _made, "key.create", **more, agent=agent, rooms=None if rooms is None else words(rooms)
    )


@keys.command("list")
@asking
def show(ask: Ask) -> None:
    """Show all keys: whose they are, what they are good for, when they were used. Never the keys themselves."""
    none = "There are no keys yet. `palaver key create` makes one."
    ask.tell_all(_line, "key.list", "keys", by="id", none=none)


@keys.command(epilog="Example: palaver key revoke k_019a…")
@asking
def revoke(
    ask: Ask,
    *,
    key: Annotated[str, typer.Argument(help="Its id, as `palaver key list` shows it.")],
) -> None:
    """End a key for ever; within a second no server takes it any more."""
    ask.tell(lambda ended: [_line(ended["key"])], "key.revoke", key=key)


def _made(made: Mapping[str, Any]) -> Iterator[str]:
    yield made["token"]
    yield "This is the only time that it is shown."
    yield _line(made["key"])


def _line(key: Mapping[str, Any]) -> str:
    used = key["last_used_at"] or "never"
    state = f"revoked {key['revoked_at']}" if key["revoked_at"] else f"last used {used}"
    state += f"  expires {key['expires_at']}" if key["expires_at"] else ""
    scopes = ",".join(key["scopes"])
    scopes += f"  only in {','.join(key['rooms'])}" if key["rooms"] else ""
    return f"{key['id']}  {key['name']}  {scopes}  speaks for {key['actor']['name']}  {state}"
