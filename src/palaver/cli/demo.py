"""`palaver demo`: people, agents and rooms to look around in, also while the server runs."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking


@asking
def demo(
    ask: Ask,
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete its chats, and let its agents answer no more.")
    ] = False,
) -> None:
    """Make people, agents and chats with a short history to look around in. Safe to repeat, also beside a server."""
    ask.tell(_removed if remove else _made, "demo", remove=remove)


def _made(made: Mapping[str, Any]) -> list[str]:
    demo = made["demo"]
    there = f"{demo['people']} people, {demo['agents']} agents, {demo['rooms']} chats"
    return [
        f"There are {there}. Search for Welcome on the page; who owns the server is in all of them.",
        "`palaver demo --remove` takes them away again.",
    ]


def _removed(removed: Mapping[str, Any]) -> list[str]:
    chats = removed["demo"]["rooms"]
    return [f"Deleted {chats} chats." if chats else "There is no demonstration."]
