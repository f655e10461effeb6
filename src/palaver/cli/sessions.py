"""`palaver session …`: the sessions of people, in the database itself or through the server that has it."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking

sessions = typer.Typer(help="Look after the sessions of people.", no_args_is_help=True)

Handle = Annotated[str, typer.Argument(help="Whose they are: a handle, or an id (u_…).")]


@sessions.command("list", epilog="Example: palaver session list ada")
@asking
def show(ask: Ask, *, handle: Handle) -> None:
    """Show somebody's sessions: by which program, from where and when each was last used. Never their tokens."""
    ask.tell_list(_line, "session.list", "sessions", "There are none.", handle=handle)


@sessions.command(epilog="Examples: palaver session end ada d_0192…; palaver session end ada --all")
@asking
def end(
    ask: Ask,
    *,
    handle: Handle,
    session: Annotated[
        str | None, typer.Argument(help="Its id, as `palaver session list` shows it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """End a session of somebody's, or all: whatever lives by it is cut off at once."""
    if every == (session is not None):
        raise typer.BadParameter("Name a session, or say --all.")
    ask.tell(
        lambda answer: [f"{one} has ended." for one in answer["ended"]] or ["There are none."],
        "session.end",
        handle=handle,
        session=session,
    )


def _line(session: Mapping[str, Any]) -> str:
    agent, address = session["agent"] or "unknown", session["address"] or "unknown"
    return f"{session['id']}  {agent}  from {address}  last used {session['used_at']}  until {session['expires_at']}"
