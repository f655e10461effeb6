"""Writes docs/permissions.md from the table of rights and the declarations of all calls; `--check` compares."""

import ast
import inspect
import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from palaver.errors import Code
from palaver.model import MemberRole, ServerRole
from palaver.policy import (
    OVERSEEN,
    PROTECTED,
    SERVER_TABLE,
    SILENT,
    TABLE,
    Action,
    Right,
    ServerAct,
)
from palaver.wire.listing import listing

PAGE = Path(__file__).resolve().parents[1] / "docs" / "permissions.md"
DOORS = {
    "service": "server",
    "page": "page",
    "rest": "REST",
    "mcp": "MCP",
    "live": "`palaver.v1`",
    "frames": "`palaver.v1`",
    "openai": "`/v1`",
    "turns": "`/v1`",
    "classic": "classic",
    "facade": "Python",
    "control": "control socket",
    "cli": "command line",
}
"""What each door is called here, in this order."""
SHORT = {"frames": "/ws ", "turns": "/v1/responses "}
WORDLESS = {"frame", "command", "program", "command line"}

HEAD = """# Permissions

Who may do what: one table, `src/palaver/policy.py`, which every door asks, under the room's lock where something is
written. Each call names its act where it is declared. This page is written by `scripts/permissions_page.py` from both,
and a test compares them; another asks every call that names a room, as everyone who may come.

## In a room

"""
IN_ROOMS = """
Who may not see a room is told `room_not_found` (404), in the same words as of a room that never was; so are its
messages and answers (`message_not_found`, `turn_not_found`). Who sees it and may not do this is told `forbidden` (403).
*Its own* is a message that one wrote, or an answer that one asked for. Agents are members, too. Who is taken out of a
room is let go at once and kept out, also of an open one, until added again; whose room is deleted is let go, too. An
answer for which somebody asked who was taken out, has left, or only reads from now on stops at once, in whichever
process it runs (within a second where no notice comes through), and what came of it is kept as `stopped`. What is told
in the [audit room](audit.md) nobody reads at these doors.

**What was on its way** when its author was taken out or disabled, or their session or key ended, is refused in the
transaction that would store it. What was accepted while the database was away is `rejected` then.

**An open room** makes a member of everyone on this server. Where it is everyone's, as the Lobby is, nobody may
{protected} (`room_protected`, 409). One that a program made at `/v1` has an owner; to other programs
it is no conversation of theirs (404). Where its owner opened it, who is no member is a reader or a member there, as
that owner said, and guests may be left out; to programs it is a conversation once they have joined.

**In an archived room** nobody may {silent} (`room_archived`, 409); all else is as before.

**An API key** speaks for a person: what it may do is what that person may, and what its [scopes](openai.md#keys) say. A
call names the scope that it needs; `all` is good for every one but `admin` and `metrics`, and `read` for every call
that only reads. At our own doors what is done in rooms needs `rooms`, what an admin does `admin`, and for `ENTER` and
`OWN` no key is good, but where it only says who it is, and for prompts (`responses`). What was
asked at `/v1`, as keys, devices and stored prompts, is for whoever asked or made it alone, also in a room of several:
they read it there, as messages.

**A key of an agent** makes a program that [agent](agents.md#bots), which is in an open room only where somebody let it
in: it may `SEE`, `READ` and `WRITE` in its rooms, and list them, and nothing else (403), nor anything at `/v1`.

**Nobody reads a room silently.** An owner or admin of the server who is no member (*server admin*) sees which rooms
there are (`GET /api/admin/rooms`), how one is called, who is in it and how long its log is, and of its events the type
and the time (`GET /api/admin/events`), may archive it, give it to a member, delete and restore it, and reads nothing
that was said: also no title that was made of it, and finds none by its words. To read it they come in as a reader
(`POST /api/rooms/{id}/join`): every member is told so in the room's log (`member.joined` with `via: "admin"`), and the
audit room has it (`admin.joined`). All this is at REST only; programs at `/v1` and the classic door know no server
roles. Whoever may open the database, on the command line or in a program of their own, may do everything.

## On the server

"""
ON_SERVER = """
Who may not do this is told `forbidden` (403), before anything is said of whom it is about. *Of lower roles* is of
persons: nobody but an owner makes an admin, or disables one, or makes a link to their password. The right is asked
again in the transaction that writes, under a lock that all take who change roles: of two owners who take each other's
role away at once one stays (`last_owner`, 409).
"""
CALLS = """
## The calls

"""


def page() -> str:
    """The page as it should be."""
    protected, silent = (
        " or ".join(", ".join(f"`{act.name}`" for act in Action if act in those).rsplit(", ", 1))
        for those in (PROTECTED, SILENT)
    )
    parts = (
        HEAD,
        *_table(["act", "what it is", *MemberRole, "server admin", "anyone else"], _rights()),
        IN_ROOMS.replace("{protected}", protected).replace("{silent}", silent),
        *_table(["act", "what it is", *ServerRole, "without an account"], _server_acts()),
        ON_SERVER,
        CALLS,
        *_table(["act", "at", "calls"], _calls()),
    )
    return "".join(parts)


def _table(head: list[str], rows: Iterator[list[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |\n".replace("| --- ", "|---").replace("|--- |", "|---|")


def _rights() -> Iterator[list[str]]:
    meant = _meant(Action)
    for act, rights in TABLE.items():
        told = [
            f"`{Code.FORBIDDEN}`" if right is Right.NONE else right.value
            for right in rights.values()
        ]
        absent = f"`{Code.ROOM_NOT_FOUND}`"
        above = "yes" if act in OVERSEEN else absent
        yield [f"`{act.name}`", meant[act.name], *told, above, absent]


def _server_acts() -> Iterator[list[str]]:
    meant = _meant(ServerAct)
    for act, rights in SERVER_TABLE.items():
        yield [f"`{act.name}`", meant[act.name], *(right.value for right in rights.values())]


def _calls() -> Iterator[list[str]]:
    calls = list(listing())
    for act in (*Action, *ServerAct):
        for at in dict.fromkeys(DOORS.values()):
            found = [one for one in calls if one.act is act and DOORS[one.door] == at]
            words = [
                one.path.removeprefix(SHORT.get(one.door, ""))
                if one.method in WORDLESS
                else f"{one.method} {one.path}"
                for one in found
            ]
            if words:
                yield [f"`{act.name}`", at, " · ".join(f"`{word}`" for word in sorted(words))]


def _meant(acts: type[StrEnum]) -> dict[str, str]:
    """What each act means, by name, from the docstring below it."""
    (declared,) = ast.parse(inspect.getsource(acts)).body
    assert isinstance(declared, ast.ClassDef)
    found: dict[str, str] = {}
    for one, text in pairwise(declared.body):
        match one, text:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                found[name] = " ".join(words.split())
            case _:
                pass
    assert found.keys() == acts.__members__.keys(), "each act says what it is"
    return found


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
