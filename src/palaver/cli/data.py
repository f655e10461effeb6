"""`palaver verify`, `backup`, `restore` and `copy`: whole databases, checked; with a line of progress on a terminal."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palaver.cli.options import DatabaseUrl, DataDir, Force, Json, settings_of
from palaver.cli.output import Exit, tell, tell_json, without_password

if TYPE_CHECKING:
    from palaver.core import maintenance

data = typer.Typer()

NO_MARK = {
    "none": "No mark.json goes with it, so whether its newest part is missing cannot be told.",
    "damaged": "The mark.json beside it is damaged, so whether its newest part is missing cannot be told.",
}
ERASE = "\r\x1b[K"


@data.command(epilog="Example: palaver verify backup.db --json")
def verify(
    *,
    database: Annotated[
        str | None, typer.Argument(help="A SQLite file or a URL.", show_default="your database")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read a database for damage, also while a server writes to it. Exits with 1 when there is some."""
    from palaver.core import maintenance  # noqa: PLC0415  heavy

    settings = settings_of(data_dir=data_dir)
    if database is not None:
        settings = settings.model_copy(update={"database_url": _url(database)})
    what = without_password(settings.url)
    _run(lambda told: maintenance.verify(settings, told), what, as_json=as_json, marked=True)


@data.command(epilog="Example: palaver backup /backups/monday.db")
def backup(
    *,
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write all of a database into one portable SQLite file, also while a server writes to it."""
    from palaver.core import maintenance  # noqa: PLC0415  heavy
    from palaver.settings import expanded  # noqa: PLC0415  heavy

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    place = expanded(file)
    _run(
        lambda told: maintenance.backup(settings.url, place, told, force=force),
        str(place),
        as_json=as_json,
    )


@data.command(epilog="Example: palaver restore /backups/monday.db --force")
def restore(
    *,
    file: Annotated[Path, typer.Argument(help="A backup.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of a database that no server uses. Clients begin anew."""
    from palaver.core import maintenance  # noqa: PLC0415  heavy
    from palaver.settings import expanded  # noqa: PLC0415  heavy

    settings = settings_of(data_dir=data_dir, database_url=database_url)
    _run(
        lambda told: maintenance.restore(settings, expanded(file), told, force=force),
        without_password(settings.url),
        as_json=as_json,
    )


@data.command(epilog="Example: palaver copy --from data/palaver.db --to postgresql://host/chat")
def copy(
    *,
    source: Annotated[str, typer.Option("--from", help="A SQLite file or a URL.")],
    target: Annotated[str, typer.Option("--to", help="A SQLite file or a URL.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Copy a database that no server uses, between SQLite and PostgreSQL. Repeat it to go on."""
    from palaver.core import maintenance  # noqa: PLC0415  heavy

    settings_of()
    _run(
        lambda told: maintenance.copy(_url(source), _url(target), told, force=force),
        without_password(target),
        as_json=as_json,
    )


def _url(database: str) -> str:
    from palaver.settings import expanded, sqlite_url  # noqa: PLC0415  heavy

    return database if "://" in database else sqlite_url(expanded(database))


def _run(
    work: "Callable[[maintenance.Progress], maintenance.Verdict]",
    what: str,
    *,
    as_json: bool,
    marked: bool = False,
) -> None:
    """Tells the verdict, and ends the command with its exit code."""
    shown = sys.stderr.isatty() and not as_json

    def told(doing: str, done: int, total: int) -> None:
        if shown:
            sys.stderr.write(f"{ERASE}{doing} {done * 100 // max(1, total)} %")

    try:
        verdict = work(told)
    finally:
        if shown:
            sys.stderr.write(ERASE)
    good = not verdict.faults
    counts = {"rooms": verdict.rooms, "events": verdict.events, "messages": verdict.messages}
    if as_json:
        faults = [{"what": one.what, "room": one.room, "seq": one.seq} for one in verdict.faults]
        mark = {"mark": verdict.mark} if marked else {}
        tell_json({"ok": good, "database": what, **counts, **mark, "faults": faults})
    else:
        for one in verdict.faults:
            place = "" if one.room is None else f"room {one.room}, event {one.seq}: "
            tell(f"{place}{one.what}")
        state = "is whole" if good else "is damaged; restore a backup, or see docs/backup.md"
        told_counts = ", ".join(f"{count} {name}" for name, count in counts.items())
        tell(f"{what} {state}: {told_counts}.")
        if marked and verdict.mark in NO_MARK:
            tell(NO_MARK[verdict.mark])
    raise typer.Exit(Exit.OK if good else Exit.FAILED)
