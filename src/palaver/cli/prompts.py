"""`palaver prompt …`: the stored prompts of a person, in the database itself or through the server that has it."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import Ask, asking

prompts = typer.Typer(help="Look after the stored prompts of a person.", no_args_is_help=True)

Owner = Annotated[str, typer.Option("--as", help="Whose they are: a handle, or an id (u_…).")]
Id = Annotated[str, typer.Argument(help="Its id (pmpt_…), as `palaver prompt list` shows it.")]


@prompts.command("list", epilog="Example: palaver prompt list --as ada")
@asking
def show_all(ask: Ask, *, owner: Owner) -> None:
    """Show a person's prompts, each by its newest version."""
    none = "There are no prompts yet. `palaver prompt add` makes one."
    ask.tell_list(_line, "prompt.list", "prompts", none, **{"as": owner})


@prompts.command(epilog="Example: palaver prompt show pmpt_019a… --as ada --version 2")
@asking
def show(
    ask: Ask,
    *,
    prompt: Id,
    owner: Owner,
    version: Annotated[
        int | None, typer.Option(help="Which version.", show_default="the newest")
    ] = None,
) -> None:
    """Show the text of a prompt, and nothing else."""
    more = {"as": owner, "prompt": prompt, "version": version}
    ask.tell(lambda found: [found["prompt"]["text"]], "prompt.show", **more)


@prompts.command(epilog="Example: palaver prompt add greeting.txt --name Greeting --as ada")
@asking
def add(
    ask: Ask,
    *,
    text: Annotated[
        typer.FileText, typer.Argument(help="A file with the text, - for what is piped in.")
    ],
    owner: Owner,
    name: Annotated[str | None, typer.Option(help="What the list calls it.")] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", help="Make another version of this one.", show_default="a new one"),
    ] = None,
) -> None:
    """Keep a text with {{variables}} as a prompt, or as the newest version of one."""
    more = {"as": owner, "name": name, "of": of, "text": text.read()}
    ask.tell(lambda made: [_line(made["prompt"])], "prompt.add", **more)


@prompts.command("rm", epilog="Example: palaver prompt rm pmpt_019a… --as ada")
@asking
def remove(ask: Ask, *, prompt: Id, owner: Owner) -> None:
    """Take a prompt away, with all its versions."""
    more = {"as": owner, "prompt": prompt}
    ask.tell(lambda gone: [f"{gone['deleted']} is gone."], "prompt.rm", **more)


def _line(prompt: Mapping[str, Any]) -> str:
    variables = f"  {','.join(prompt['variables'])}" if prompt["variables"] else ""
    return f"{prompt['id']}  {prompt['name']}  version {prompt['version']}{variables}"
