"""`palaver room list` and `palaver events`: all rooms, and what happened in them, and when; nothing that was said."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking
from palaver.cli.output import counted

rooms = typer.Typer(help="Look at the rooms.", no_args_is_help=True)


@rooms.command("list", epilog="Example: palaver room list --json")
@asking
def show(ask: Ask) -> None:
    """Show all rooms, the last active first: whose each is, how many are in it, and how long its log is."""
    ask.tell_all(_room, "room.list", "rooms", by="id", none="There are none.")


@asking
def events(
    ask: Ask,
    *,
    room: Annotated[
        str | None, typer.Option(help="In this room alone.", show_default="all rooms")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--type", help="Such as turn.refused.", show_default="all types")
    ] = None,
) -> None:
    """Show what happened last, the newest first: in which room, of which type, and when."""
    ask.tell(_events, "events", room=room, type=kind)


def _room(one: Mapping[str, Any]) -> str:
    owner = one["owner"] or "nobody"
    told = [one["id"], one["title"] or "New chat", one["visibility"], f"of {owner}"]
    told += [
        f"{one['members']:,} in it, {counted(one['agents'], 'agent')}",
        counted(one["seq"], "event"),
    ]
    return "  ".join([*told, one["active_at"], *(["archived"] if one["archived_at"] else [])])


def _events(told: Mapping[str, Any]) -> Iterable[str]:
    lines = (f"{one['at']}  {one['room']}  {one['seq']}  {one['k']}" for one in told["events"])
    return list(lines) or ["Nothing has happened."]
