"""`palaver`: the command line. Its commands stand here and in the modules beside it.

Nothing heavy is imported before a command needs it, so that help and completion answer at once. Errors are one line
and an exit code; a traceback is shown only with `PALAVER_LOG_LEVEL=debug`.
"""

import os
import sys
from typing import Annotated

import typer

import palaver as palaver_package
from palaver.cli.agents import agents
from palaver.cli.audit import audit
from palaver.cli.data import data
from palaver.cli.database import db
from palaver.cli.demo import demo
from palaver.cli.invitations import invitations
from palaver.cli.keys import keys
from palaver.cli.mcp import mcp
from palaver.cli.options import DatabaseUrl, DataDir, Json
from palaver.cli.output import Exit, exit_of, tell, tell_error
from palaver.cli.prompts import prompts
from palaver.cli.rooms import events, rooms
from palaver.cli.search import search
from palaver.cli.secret import secret
from palaver.cli.serve import serve
from palaver.cli.sessions import sessions
from palaver.cli.usage import budgets, usage
from palaver.cli.users import users
from palaver.cli.webhooks import webhooks
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
app.command(epilog="Example: palaver serve --port 9000 --data-dir /var/lib/palaver --open")(serve)
app.command(epilog="Example: palaver audit --json")(audit)
app.command(epilog="Example: palaver demo --remove")(demo)
app.command(epilog="Example: palaver events --type turn.refused")(events)
app.command(epilog="Example: palaver search --as ada '\"night train\" after:7d'")(search)
app.command(epilog="Example: PALAVER_KEY=plv_… palaver mcp --url https://chat.example.org")(mcp)
app.add_typer(data)
app.add_typer(db, name="db")
app.add_typer(keys, name="key")
app.add_typer(prompts, name="prompt")
app.add_typer(webhooks, name="webhook")
app.add_typer(agents, name="agent")
app.add_typer(users, name="user")
app.add_typer(invitations, name="invite")
app.add_typer(rooms, name="room")
app.add_typer(sessions, name="session")
app.add_typer(secret, name="secret")
app.add_typer(config, name="config")
app.add_typer(budgets, name="budget")
app.command(epilog="Example: palaver usage --by person --from 2026-12-01 --json")(usage)


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
