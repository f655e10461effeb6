"""`palaver`: the command line. Here is what can be typed; what is done stands in the modules beside it.

Nothing heavy is imported before a command needs it, so that help and completion answer at once. Errors are one line
and an exit code; a traceback is shown only with `PALAVER_LOG_LEVEL=debug`.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

import palaver as palaver_package
from palaver.cli.output import Exit, exit_of, tell, tell_error
from palaver.errors import Code, PalaverError, Unavailable

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (a setting must change first), "
    "4 unavailable (try again later)."
)

app = typer.Typer(
    name="palaver",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
db = typer.Typer(
    help="Look after the database's tables. Messages are not touched.", no_args_is_help=True
)
config = typer.Typer(help="Look at the settings.", no_args_is_help=True)
key = typer.Typer(help="Look after the keys of API clients.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(key, name="key")
app.add_typer(config, name="config")

DataDir = Annotated[
    Path | None,
    typer.Option(help="Directory of the database, the journal and the lock.", show_default="data"),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help="sqlite:///path, postgresql://… or postgres://…",
        show_default="palaver.db in the data directory",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]


def _number(least: int, most: int) -> Callable[[str | int], int]:
    """What takes a number that was typed."""

    def number(typed: str | int) -> int:  # the parser's own default, too
        text = str(typed)
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        raise typer.BadParameter(f"{text!r} is no number from {least} to {most}.")

    return number


def _show_version(wanted: bool) -> None:  # noqa: FBT001  the parser calls it
    if wanted:
        tell(f"palaver {palaver_package.__version__}")
        raise typer.Exit


@app.callback()
def palaver(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version and exit.",
            callback=_show_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Palaver, a chat server whose history is never lost.

    Every setting is an environment variable too, such as PALAVER_PORT; `palaver config show` lists them.
    """


@app.command(epilog="Example: palaver serve --port 9000 --data-dir /var/lib/palaver --open")
def serve(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port to listen on; 0 takes a free one.",
            parser=_number(0, 65_535),
            show_default="8000",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    model: Annotated[
        str | None,
        typer.Option(help="The model that answers.", show_default="the provider's first"),
    ] = None,
    allow_public: Annotated[
        bool,
        typer.Option(
            "--allow-public",
            help="Listen on a public address although there are no accounts: everyone who reaches it is a guest.",
        ),
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            help="Server processes behind the port; several need PostgreSQL.",
            parser=_number(1, 1_000),
        ),
    ] = 1,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser when it is ready.")
    ] = False,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.", show_default="info")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start the server. Ctrl+C stops it; nothing that was stored is lost either way."""
    from palaver.cli import serve as serving  # noqa: PLC0415  each command loads what it needs

    serving.serve(
        {
            "host": host,
            "port": port,
            "data_dir": data_dir,
            "database_url": database_url,
            "model": model,
            "allow_public": allow_public or None,
            "log_level": log_level,
        },
        workers=workers,
        open_page=open_page,
        as_json=as_json,
    )


@db.command("upgrade", epilog="Example: palaver db upgrade --database-url postgresql://host/chat")
def db_upgrade(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Bring the tables up to date, after a backup of a SQLite file. Repeating it is harmless."""
    from palaver.cli import database  # noqa: PLC0415  each command loads what it needs

    database.upgrade(_where(data_dir, database_url), as_json=as_json)


@db.command("current")
def db_current(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Show which revision the tables have, and which one this version of Palaver needs."""
    from palaver.cli import database  # noqa: PLC0415  each command loads what it needs

    database.current(_where(data_dir, database_url), as_json=as_json)


@db.command("check")
def db_check(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Compare the tables with what this version of Palaver declares. Exits with 1 when they differ."""
    from palaver.cli import database  # noqa: PLC0415  each command loads what it needs

    raise typer.Exit(database.check(_where(data_dir, database_url), as_json=as_json))


@key.command("create", epilog="Example: palaver key create --name laptop --scopes chat,read")
def key_create(
    *,
    name: Annotated[
        str | None, typer.Option(help="What the key is called.", show_default="made up")
    ] = None,
    scopes: Annotated[
        str, typer.Option(help="What it is good for; docs/cli.md lists them.")
    ] = "all",
    handle: Annotated[
        str | None,
        typer.Option("--as", help="Speak for this person.", show_default="a new one"),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """Make a key for a client of the API, and show it once. Also while the server runs."""
    from palaver.cli import keys  # noqa: PLC0415  each command loads what it needs

    given = _where(data_dir, database_url)
    keys.create(given, name=name, scopes=scopes, handle=handle, as_json=as_json)


@key.command("list")
def key_list(
    *, data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: Json = False
) -> None:
    """Show all keys: whose they are, what they are good for, when they were used. Never the keys themselves."""
    from palaver.cli import keys  # noqa: PLC0415  each command loads what it needs

    keys.show(_where(data_dir, database_url), as_json=as_json)


@key.command("revoke", epilog="Example: palaver key revoke k_019a…")
def key_revoke(
    *,
    key: Annotated[str, typer.Argument(help="Its id, as `palaver key list` shows it.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: Json = False,
) -> None:
    """End a key for ever; within a second no server takes it any more."""
    from palaver.cli import keys  # noqa: PLC0415  each command loads what it needs

    keys.revoke(_where(data_dir, database_url), key, as_json=as_json)


@config.command("show", epilog="Example: palaver config show --json")
def config_show(*, as_json: Json = False) -> None:
    """Show every setting: its value, where it comes from and what it means. Secrets stay hidden."""
    from palaver.cli.config import show  # noqa: PLC0415  each command loads what it needs

    show(as_json=as_json)


@app.command(epilog="Example: palaver doctor --json")
def doctor(
    *,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    integrity: Annotated[
        bool,
        typer.Option(help="Read all of a SQLite file to find damage; takes long for a large one."),
    ] = True,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every event, too, as `palaver verify` does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check everything a server needs, and say what to do about what is wrong. Exits with 1 then."""
    from palaver.cli import doctor as checkup  # noqa: PLC0415  each command loads what it needs

    given = _where(data_dir, database_url)
    raise typer.Exit(checkup.doctor(given, integrity=integrity, deep=deep, as_json=as_json))


Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@app.command(epilog="Example: palaver verify backup.db --json")
def verify(
    *,
    database: Annotated[
        str | None, typer.Argument(help="A SQLite file or a URL.", show_default="your database")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read a database for damage, also while a server writes to it. Exits with 1 when there is some."""
    from palaver.cli import data  # noqa: PLC0415  each command loads what it needs

    raise typer.Exit(data.verify(_where(data_dir, None), database, as_json=as_json))


@app.command(epilog="Example: palaver backup /backups/monday.db")
def backup(
    *,
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write all of a database into one portable SQLite file, also while a server writes to it."""
    from palaver.cli import data  # noqa: PLC0415  each command loads what it needs

    given = _where(data_dir, database_url)
    raise typer.Exit(data.backup(given, file, force=force, as_json=as_json))


@app.command(epilog="Example: palaver restore /backups/monday.db --force")
def restore(
    *,
    file: Annotated[Path, typer.Argument(help="A backup.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of a database that no server uses. Clients begin anew."""
    from palaver.cli import data  # noqa: PLC0415  each command loads what it needs

    given = _where(data_dir, database_url)
    raise typer.Exit(data.restore(given, file, force=force, as_json=as_json))


@app.command(epilog="Example: palaver copy --from data/palaver.db --to postgresql://host/chat")
def copy(
    *,
    source: Annotated[str, typer.Option("--from", help="A SQLite file or a URL.")],
    target: Annotated[str, typer.Option("--to", help="A SQLite file or a URL.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Copy a database that no server uses, between SQLite and PostgreSQL. Repeat it to go on."""
    from palaver.cli import data  # noqa: PLC0415  each command loads what it needs

    raise typer.Exit(data.copy(source, target, force=force, as_json=as_json))


def _where(data_dir: Path | None, database_url: str | None) -> dict[str, object]:
    return {"data_dir": data_dir, "database_url": database_url}


def run() -> None:
    """The entry point of `palaver` and of `python -m palaver`."""
    try:
        app()
    except PalaverError as error:
        _end(error, exit_of(error))
    except KeyboardInterrupt:
        sys.exit(Exit.STOPPED)
    except Exception as error:  # noqa: BLE001  the edge of the process: one line, and a way to more
        detail = f"{type(error).__name__}: {error}. PALAVER_LOG_LEVEL=debug shows where."
        _end(Unavailable(Code.INTERNAL, detail), Exit.FAILED)


def _end(error: PalaverError, code: Exit) -> None:
    if os.environ.get("PALAVER_LOG_LEVEL", "").lower() == "debug":
        import traceback  # noqa: PLC0415  seldom needed

        traceback.print_exc()
    tell_error(error, as_json="--json" in sys.argv[1:])
    sys.exit(code)
