"""`palaver user …`: the accounts of people, in the database itself or through the server that has it."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking

users = typer.Typer(help="Look after the accounts of people.", no_args_is_help=True)

Handle = Annotated[str, typer.Argument(help="The handle by which they sign in.")]


@users.command("list", epilog="Example: palaver user list --json")
@asking
def show(ask: Ask) -> None:
    """Show all accounts: who they are, and when they were last here."""
    none = "There are no accounts yet. `palaver user create` makes one."
    ask.tell_all(_line, "user.list", "users", by="handle", none=none)


@users.command(epilog="Example: palaver user create ada --name Ada")
@asking
def create(
    ask: Ask,
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
    owner: Annotated[bool, typer.Option("--owner", help="Of an owner of the server.")] = False,
    admin: Annotated[bool, typer.Option("--admin", help="Of an admin.")] = False,
) -> None:
    """Make an account, and a link by which its person chooses a password: once, within an hour."""
    role = "owner" if owner else "admin" if admin else "person"
    more = {"handle": handle, "name": name, "as": of, "role": role}
    ask.tell(_link, "user.create", **more)


@users.command(epilog="Example: palaver user role ada admin")
@asking
def role(
    ask: Ask,
    *,
    handle: Handle,
    role: Annotated[str, typer.Argument(help="owner, admin or person.")],
) -> None:
    """Give somebody another role on the server. Their sessions end; they sign in anew."""
    ask.tell(_changed, "user.role", handle=handle, role=role)


@users.command(epilog="Example: palaver user rename ada ada.lovelace")
@asking
def rename(
    ask: Ask,
    *,
    handle: Handle,
    new: Annotated[str, typer.Argument(help="The handle from now on.")],
) -> None:
    """Give an account another handle. Its person, rooms and password stay."""
    ask.tell(_changed, "user.rename", handle=handle, new=new)


@users.command(epilog="Example: palaver user claim ada u_0192…")
@asking
def claim(
    ask: Ask,
    *,
    handle: Handle,
    actor: Annotated[
        str, typer.Argument(help="A guest or a person of API keys: their handle or id (u_…).")
    ],
) -> None:
    """Bring the rooms and keys of somebody without an account into one. What they said stays theirs."""
    ask.tell(_changed, "user.claim", handle=handle, actor=actor)


@users.command(epilog="Example: palaver user disable ada")
@asking
def disable(ask: Ask, *, handle: Handle) -> None:
    """Shut somebody out: their sessions end, their keys are refused. What they said stays."""
    ask.tell(_changed, "user.disable", handle=handle)


@users.command(epilog="Example: palaver user delete ada")
@asking
def delete(
    ask: Ask,
    *,
    handle: Handle,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take somebody out for good: sessions, keys, name, handle, e-mail address and picture. What they said stays."""
    if not yes:
        typer.confirm(f"Delete @{handle} for good? Nothing brings them back.", abort=True, err=True)
    ask.tell(_gone, "user.delete", handle=handle)


@users.command(epilog="Example: palaver user enable ada")
@asking
def enable(ask: Ask, *, handle: Handle) -> None:
    """Let somebody in again who was shut out. They sign in anew."""
    ask.tell(_changed, "user.enable", handle=handle)


@users.command(epilog="Example: palaver user approve ada")
@asking
def approve(ask: Ask, *, handle: Handle) -> None:
    """Let somebody in who signed up, where that needs an approval (PALAVER_SIGN_UP=approve)."""
    ask.tell(_changed, "user.enable", handle=handle)


@users.command(epilog="Example: palaver user reset ada")
@asking
def reset(ask: Ask, *, handle: Handle) -> None:
    """Make a link by which somebody chooses another password: once, within an hour."""
    ask.tell(_link, "user.reset", handle=handle)


def _link(made: Mapping[str, Any]) -> Iterator[str]:
    yield made["url"]
    yield "Who opens it chooses the password: once, within an hour."
    yield _line(made["user"])


def _gone(answer: Mapping[str, Any]) -> Iterator[str]:
    yield f"@{answer['deleted']} is gone. What they said stays."


def _changed(answer: Mapping[str, Any]) -> Iterator[str]:
    """What an account is now."""
    yield _line(answer["user"])


def _line(user: Mapping[str, Any]) -> str:
    used = user["last_used_at"] or "never"
    return f"@{user['handle']}  {user['name']}  {user['id']}  {user['role']}  {user['status']}  last used {used}"
