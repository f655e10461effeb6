"""`palaver prompt …`: the stored prompts of a person, in the database itself or through the server that has it."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from palaver.cli.options import DatabaseUrl, DataDir, Json, answered, settings_of
from palaver.cli.output import tell, tell_json

prompts = typer.Typer(help="Look after the stored prompts of a person.", no_args_is_help=True)

Owner = Annotated[str, typer.Option("--as", help="Whose they are: a handle, or an id (u_…).")]
Id = Annotated[str, typer.Argument(help="Its id (pmpt_…), as `palaver prompt list` shows it.")]


@prompts.command("list", epilog="Example: palaver prompt list --as ada")
def show_all(
    *,
    owner: Owner,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Show a person's prompts, each by its newest version."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    found = answered(settings, {"do": "prompt.list", "as": owner})
    if as_json:
        tell_json(found)
    elif not found["prompts"]:
        tell("There are no prompts yet. `palaver prompt add` makes one.")
    for prompt in () if as_json else found["prompts"]:
        tell(_line(prompt))


@prompts.command(epilog="Example: palaver prompt show pmpt_019a… --as ada --version 2")
def show(
    *,
    prompt: Id,
    owner: Owner,
    version: Annotated[
        int | None, typer.Option(help="Which version.", show_default="the newest")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Show the text of a prompt, and nothing else."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    request = {"do": "prompt.show", "as": owner, "prompt": prompt, "version": version}
    found = answered(settings, request)
    if as_json:
        tell_json(found)
    else:
        tell(found["prompt"]["text"])


@prompts.command(epilog="Example: palaver prompt add greeting.txt --name Greeting --as ada")
def add(
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
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Keep a text with {{variables}} as a prompt, or as the newest version of one."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    request = {"do": "prompt.add", "as": owner, "name": name, "of": of, "text": text.read()}
    made = answered(settings, request)
    if as_json:
        tell_json(made)
    else:
        tell(_line(made["prompt"]))


@prompts.command("rm", epilog="Example: palaver prompt rm pmpt_019a… --as ada")
def remove(
    *,
    prompt: Id,
    owner: Owner,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Take a prompt away, with all its versions."""
    settings = settings_of(data_dir=data_dir, database_url=database_url)
    gone = answered(settings, {"do": "prompt.rm", "as": owner, "prompt": prompt})
    if as_json:
        tell_json(gone)
    else:
        tell(f"{prompt} is gone.")


def _line(prompt: Mapping[str, Any]) -> str:
    variables = f"  {','.join(prompt['variables'])}" if prompt["variables"] else ""
    return f"{prompt['id']}  {prompt['name']}  version {prompt['version']}{variables}"
