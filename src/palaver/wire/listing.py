"""Every call of every door: address, act, scope and bound, collected from where each is declared.

A program's calls and the commands are no wire's and name their acts all the same. Nothing that serves imports this.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import typer

from palaver import facade
from palaver.cli.main import app
from palaver.policy import ServerAct, act_of
from palaver.wire.api.accounts import Accounts as OwnAccounts
from palaver.wire.api.admin import Overview
from palaver.wire.api.agents import Library
from palaver.wire.api.branches import Branches
from palaver.wire.api.elsewhere import OtherWays
from palaver.wire.api.events import Happenings
from palaver.wire.api.invitations import Links
from palaver.wire.api.me import People
from palaver.wire.api.members import Members
from palaver.wire.api.messages import Messages
from palaver.wire.api.people import Everyone
from palaver.wire.api.profiles import Connections
from palaver.wire.api.prompts import StoredPrompts
from palaver.wire.api.rooms import Rooms
from palaver.wire.api.search import Search
from palaver.wire.api.usage import Costs
from palaver.wire.api.webhooks import Hooks
from palaver.wire.app import Operations, Service
from palaver.wire.calls import Call, calls_of
from palaver.wire.classic.rest import Accounts, Sessions, Talks
from palaver.wire.live.connection import PATH, Connection, Live
from palaver.wire.mcp.routes import ContextDoor
from palaver.wire.openai.responses.socket import Turns
from palaver.wire.openai.router import PARTS
from palaver.wire.pages.page import Page
from palaver.wire.server.control import Commands
from palaver.wire.server.webhooks import WebhookCommands

DOORS: dict[str, tuple[str, tuple[type, ...]]] = {
    "service": ("", (Service, Operations)),
    "rest": (
        "/api",
        (
            People,
            OwnAccounts,
            OtherWays,
            Everyone,
            Rooms,
            Members,
            Links,
            Messages,
            Branches,
            Happenings,
            Search,
            StoredPrompts,
            Costs,
            Overview,
            Library,
            Connections,
            Hooks,
        ),
    ),
    "mcp": ("", (ContextDoor,)),
    "live": ("", (Live,)),
    "frames": (f"{PATH} ", (Connection,)),
    "classic": ("", (Sessions, Accounts, Talks)),
    "openai": ("/v1", PARTS),
    "turns": ("/v1/responses ", (Turns,)),
    "page": ("", (Page,)),
    "control": ("", (Commands, WebhookCommands)),
}
"""What stands before the address of each call of a door, and the classes whose methods are its calls."""


def listing() -> Iterator[Call]:
    """Lists the calls, door by door, each under one method and its whole address."""
    for door, (prefix, parts) in DOORS.items():
        for one in (declared for part in parts for declared, _ in calls_of(part)):
            for method in one.method.split():
                yield replace(one, door=door, method=method, path=prefix + one.path)
    yield from _of_programs()
    yield from _of_commands("palaver", typer.main.get_command(app))


def _of_programs() -> Iterator[Call]:
    """Lists what a program calls: `open`, and the methods of what that gives."""
    for part in (
        facade,
        facade.Chat,
        facade.Room,
        facade.Answer,
        facade.People,
        facade.Agents,
        facade.Profiles,
        facade.Webhooks,
        facade.Speakers,
    ):
        of = "" if part is facade else f"{part.__name__}."
        for name, member in vars(part).items():
            act = act_of(member)
            if act is not None:
                yield Call("program", f"{of}{name}", act, door="facade")


def _of_commands(name: str, command: Any) -> Iterator[Call]:
    """Lists the commands below one. Whoever may run them may open the database: that is their only act."""
    below: dict[str, Any] = getattr(command, "commands", {})
    for word, one in sorted(below.items()):
        yield from _of_commands(f"{name} {word}", one)
    if not below:
        yield Call("command line", name, ServerAct.OPERATE, door="cli")
