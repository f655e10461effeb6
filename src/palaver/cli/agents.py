"""`palaver agent …`: agents and their cards, in the database itself or through the server that has it."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking

agents = typer.Typer(help="Look after agents and their cards.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Its handle, or its id (a_…).")]


@agents.command("list", epilog="Example: palaver agent list")
@asking
def show_all(ask: Ask) -> None:
    """Show all agents, also archived ones."""
    ask.tell(lambda found: [_line(one) for one in found["agents"]], "agent.list")


@agents.command(epilog="Example: palaver agent show assistant --json")
@asking
def show(ask: Ask, *, agent: Name) -> None:
    """Show an agent and its persona."""
    ask.tell(lambda told: [_line(told), "", told["persona"]], "agent.show", agent=agent)


@agents.command(epilog="Example: palaver agent export assistant assistant.json")
@asking
def export(
    ask: Ask,
    *,
    agent: Name,
    file: Annotated[
        typer.FileBinaryWrite, typer.Argument(help="Where to write it, - for what goes on.")
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="palaver; as other programs read it: json, png.",
            show_default="png for a .png, else palaver",
        ),
    ] = None,
) -> None:
    """Write an agent's card to a file."""
    form = form or ("png" if file.name.lower().endswith(".png") else "palaver")
    given = ask.answer("agent.export", agent=agent, format=form)
    file.write(b64decode(given["file"]))


@agents.command("import", epilog="Example: palaver agent import maya.png --handle maya")
@asking
def take(
    ask: Ask,
    *,
    file: Annotated[
        typer.FileBinaryRead, typer.Argument(help="A .json or .png, - for what is piped in.")
    ],
    handle: Annotated[
        str | None, typer.Option(help="What it is called by.", show_default="as the file says")
    ] = None,
) -> None:
    """Make an agent of the server's own of a file: our form, or SillyTavern's V1, V2 and V3."""
    given = b64encode(file.read()).decode()
    ask.tell(lambda made: [_line(made)], "agent.import", file=given, handle=handle)


def _line(agent: Mapping[str, Any]) -> str:
    archived = "  archived" if agent["archived_at"] else ""
    handle = f"@{agent['handle']}" if agent["handle"] else "-"
    told = (agent["id"], handle, agent["name"], f"version {agent['version']}", agent["audience"])
    return "  ".join(told) + archived
