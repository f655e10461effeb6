"""The options that commands share, and the settings that they make: what was typed wins over the environment.

Nothing heavy is imported before a command asks for its settings, so that help and completion answer at once.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaver.cli.output import tell, tell_json, warn

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


def settings_of(*, least: str = "warning", **given: object) -> "Settings":
    """The same; from now on only warnings, or what is at `least` so grave, are logged, on standard error."""
    from palaver.wire.edge import logs  # noqa: PLC0415  heavy

    settings = settings_told(**given)
    level = settings.log_level if settings.log_level in SHOWN_LEVELS else least
    logs.configure(settings.model_copy(update={"log_level": level}))
    return settings


class Ask:
    """What a command asks of the server that has the database, or of the database itself, and tells the answer."""

    def __init__(self, settings: "Settings", *, as_json: bool) -> None:
        self.settings, self.as_json = settings, as_json

    def answer(self, do: str, **request: object) -> dict[str, Any]:
        """The answer to a request of the control socket."""
        from palaver.wire.server.control import asked  # noqa: PLC0415  heavy

        return asyncio.run(asked(self.settings, {"do": do, **request}))

    def tell(
        self, lines: Callable[[Any], Iterable[str]], do: str, **request: object
    ) -> dict[str, Any]:
        """Asks, and tells the answer as lines for people, or as it is; the answer."""
        answer = self.answer(do, **request)
        if self.as_json:
            tell_json(answer)
        else:
            for line in lines(answer):
                tell(line)
        return answer

    def tell_list(
        self, line: Callable[[Any], str], do: str, what: str, none: str, **more: object
    ) -> None:
        """Asks, and tells what is listed as `what`, which comes as a whole; `none` where there is nothing."""
        self.tell(lambda found: [line(one) for one in found[what]] or [none], do, **more)

    def tell_all(
        self,
        line: Callable[[Any], str],
        do: str,
        what: str,
        by: str,
        none: str = "",
        **more: object,
    ) -> None:
        """Tells all that is listed as `what`, page by page; each goes on behind the last one, which `by` names."""
        found: list[dict[str, Any]] = []
        while page := self.answer(do, after=found[-1][by] if found else None, **more)[what]:
            found += page
        if self.as_json:
            tell_json({what: found})
            return
        for told in [line(one) for one in found] or [none]:
            if told:
                tell(told)


_SHARED = [
    Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
    for name, kind, default in (
        ("data_dir", DataDir, None),
        ("database_url", DatabaseUrl, None),
        ("as_json", Json, False),
    )
]


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that say where the database is and how to answer; it gets an `Ask` for them."""

    @wraps(command)
    def run(*, data_dir: object, database_url: object, as_json: bool, **its: object) -> None:
        settings = settings_of(data_dir=data_dir, database_url=database_url)
        command(Ask(settings, as_json=as_json), **its)

    _, *own = signature(command).parameters.values()
    parameters = [*own, *_SHARED]
    vars(run)["__signature__"] = Signature(parameters)
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def words(listed: str) -> list[str]:
    """The words of a list that is separated by commas."""
    return [word.strip() for word in listed.split(",") if word.strip()]
