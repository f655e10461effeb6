"""`palaver`: the command line. Its commands stand here and in the modules beside it.

Nothing heavy is imported before a command needs it, so that help and completion answer at once. Errors are one line
and an exit code; a traceback is shown only with `PALAVER_LOG_LEVEL=debug`.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

import palaver as palaver_package
from palaver.cli.data import data
from palaver.cli.database import db
from palaver.cli.keys import keys
from palaver.cli.options import DatabaseUrl, DataDir, Json
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
config = typer.Typer(help="Look at the settings.", no_args_is_help=True)
app.add_typer(data)
app.add_typer(db, name="db")
app.add_typer(keys, name="key")
app.add_typer(config, name="config")


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

    given = {"data_dir": data_dir, "database_url": database_url}
    raise typer.Exit(checkup.doctor(given, integrity=integrity, deep=deep, as_json=as_json))


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
