"""The options that commands share, and the settings that they make: what was typed wins over the environment.

Nothing heavy is imported before a command asks for its settings, so that help and completion answer at once.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaver.cli.output import warn

if TYPE_CHECKING:
    from palaver.settings import Settings

SHOWN_LEVELS = frozenset({"debug", "error"})

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
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


def settings_told(**given: object) -> "Settings":
    """The settings; variables that are none are told on standard error. Refused: `settings_invalid`."""
    from palaver.settings import settings_from, unknown_variables  # noqa: PLC0415  heavy

    for one in unknown_variables():
        warn(one)
    return settings_from(**given)


def settings_of(**given: object) -> "Settings":
    """The same; from now on only warnings are logged, on standard error."""
    from palaver.wire.edge import logs  # noqa: PLC0415  heavy

    settings = settings_told(**given)
    level = settings.log_level if settings.log_level in SHOWN_LEVELS else "warning"
    logs.configure(settings.model_copy(update={"log_level": level}))
    return settings


def listed(settings: "Settings", do: str, what: str, by: str) -> list[dict[str, Any]]:
    """All that a request lists as `what`, page by page; each goes on behind the last one, which `by` names."""
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1][by] if found else None
        page = answered(settings, {"do": do, "after": after})[what]
        if not page:
            return found
        found += page


def answered(settings: "Settings", request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request of the control socket: by the server that has the database, or by the database itself."""
    from palaver.wire.server.control import asked  # noqa: PLC0415  heavy

    return asyncio.run(asked(settings, request))
