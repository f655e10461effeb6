"""`palaver db …`: the tables of the database and the search index, and nothing of what was said."""

import asyncio
from typing import TYPE_CHECKING

import typer

from palaver.cli.options import Ask, DatabaseUrl, DataDir, Json, asking, settings_of
from palaver.cli.output import Exit, tell, tell_json

if TYPE_CHECKING:
    from palaver.core import maintenance

db = typer.Typer(
    help="Look after the database's tables. Messages are not touched.", no_args_is_help=True
)


@db.command(epilog="Example: palaver db upgrade --database-url postgresql://host/chat")
def upgrade(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Bring the tables up to date, after a backup of a SQLite file. Repeating it is harmless."""
    from palaver.core import maintenance  # noqa: PLC0415  heavy

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    steps: list[str] = []

    def progress(step: str) -> None:
        steps.append(step)
        if not as_json:
            tell(step)

    schema = asyncio.run(maintenance.upgrade(settings, progress))
    if as_json:
        tell_json({**_json(schema), "steps": steps})
    else:
        tell(f"The database is at {schema.current}.")


@db.command()
def current(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Show which revision the tables have, and which one this version of Palaver needs."""
    from palaver.core import maintenance  # noqa: PLC0415  heavy

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    schema = asyncio.run(maintenance.schema(settings))
    if as_json:
        tell_json(_json(schema))
    elif schema.current is None:
        tell("The database is empty or not there yet. `palaver serve` makes it.")
    elif schema.fits:
        tell(f"{schema.current} (up to date)")
    else:
        tell(f"{schema.current}; this Palaver needs {schema.head}. Run `palaver db upgrade`.")


@db.command()
def check(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Compare the tables with what this version of Palaver declares. Exits with 1 when they differ."""
    from palaver.core import maintenance  # noqa: PLC0415  heavy

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    schema = asyncio.run(maintenance.schema(settings))
    found = asyncio.run(maintenance.differences(settings)) if schema.fits else ()
    good = schema.fits and not found
    if as_json:
        tell_json({**_json(schema), "differences": list(found), "ok": good})
    elif not schema.fits:
        tell(f"The database is at {schema.current}; this Palaver needs {schema.head}.")
        tell("Run `palaver db upgrade`.")
    elif found:
        tell("The tables are not as declared:")
        for difference in found:
            tell(f"  {difference}")
    else:
        tell(f"The tables are as declared by {schema.head}.")
    raise typer.Exit(Exit.OK if good else Exit.FAILED)


def _json(schema: "maintenance.Schema") -> dict[str, object]:
    return {"current": schema.current, "head": schema.head, "up_to_date": schema.fits}


@db.command(epilog="Example: palaver db reindex --json")
@asking
def reindex(ask: Ask) -> None:
    """Make the search index anew, beside a running server or without one. Ended too early, it goes on by itself."""
    done = ask.answer("db.reindex", anew=True)["done"]
    while done < 1:
        if not ask.as_json:
            tell(f"{done:.0%} of the chats are read.")
        done = ask.answer("db.reindex")["done"]
    if ask.as_json:
        tell_json({"done": done})
    else:
        tell("The search index is whole.")
