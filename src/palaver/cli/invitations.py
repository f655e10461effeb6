"""`palaver invite …`: links that let others in, in the database itself or through the server that has it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking, words

invitations = typer.Typer(
    help="Look after links by which others make accounts, or come into a room.",
    no_args_is_help=True,
)

InRoom = Annotated[
    str | None, typer.Option(help="Of this room (r_…), also for guests.", show_default="the server")
]


@invitations.command(epilog="Example: palaver invite create --uses 1 --rooms r_0192…")
@asking
def create(
    ask: Ask,
    *,
    room: InRoom = None,
    reader: Annotated[
        bool, typer.Option("--reader", help="To the room: to read, not to write.")
    ] = False,
    admin: Annotated[bool, typer.Option("--admin", help="To the server: as an admin.")] = False,
    rooms: Annotated[
        str, typer.Option(help="To the server: and into these rooms, at most 20.")
    ] = "",
    uses: Annotated[int | None, typer.Option(help="For how many.", show_default="any")] = None,
    days: Annotated[int, typer.Option(help="For how many days it is good.")] = 7,
    by: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="In whose name: a handle, or an id (u_…).",
            show_default="an owner of the room or server",
        ),
    ] = None,
) -> None:
    """Make a link by which others make accounts, or with --room come into a room, and show it once."""
    more: dict[str, object] = {"room": room, "as": by, "uses": uses, "days": days}
    more["role"] = ("reader" if reader else "member") if room else "admin" if admin else "person"
    ask.tell(_made, "invite.create", rooms=words(rooms), **more)


@invitations.command("list", epilog="Example: palaver invite list --room r_0192…")
@asking
def show(ask: Ask, *, room: InRoom = None) -> None:
    """Show the links that are open. Never their tokens."""
    none = "There are none. `palaver invite create` makes one."
    ask.tell_all(_line, "invite.list", "invitations", by="id", none=none, room=room)


@invitations.command(epilog="Example: palaver invite revoke i_0192…")
@asking
def revoke(
    ask: Ask,
    *,
    invitation: Annotated[str, typer.Argument(help="Its id, as `palaver invite list` shows it.")],
    room: InRoom = None,
) -> None:
    """End a link. Who came by it stays."""
    ask.tell(
        lambda gone: [f"{gone['revoked']} is revoked."],
        "invite.revoke",
        invitation=invitation,
        room=room,
    )


def _made(made: Mapping[str, Any]) -> Iterator[str]:
    yield made["url"]
    yield "This is the only time that it is shown."
    yield _line(made["invitation"])


def _line(one: Mapping[str, Any]) -> str:
    into = ",".join(room["id"] for room in one["rooms"])
    left = "any number" if one["uses_left"] is None else one["uses_left"]
    return (
        f"{one['id']}  for {one['server_role'] or one['role']}  {into + '  ' if into else ''}"
        f"uses left {left}  until {one['expires_at']}  by {one['by']['name']}"
    )
