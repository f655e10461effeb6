"""`palaver serve`: the settings that were given, then the server, until it is told to stop."""

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from palaver.cli.options import DatabaseUrl, DataDir, Json, settings_told
from palaver.cli.output import tell, tell_json, without_password

if TYPE_CHECKING:
    from palaver.settings import Settings


def _number(least: int, most: int) -> Callable[[str | int], int]:
    """What takes a number that was typed."""

    def number(typed: str | int) -> int:  # the parser's own default, too
        text = str(typed)
        if text.isascii() and text.isdigit() and least <= int(text) <= most:
            return int(text)
        raise typer.BadParameter(f"{text!r} is no number from {least} to {most}.")

    return number


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
    if workers == 1:  # the parent of several never settles
        gc.disable()  # until the server has settled: nearly all that is made now stays
    settings = settings_told(
        host=host,
        port=port,
        data_dir=data_dir,
        database_url=database_url,
        model=model,
        log_level=log_level,
    )
    _serve(settings, workers, open_page=open_page, as_json=as_json)


def _serve(settings: "Settings", workers: int, *, open_page: bool, as_json: bool) -> None:
    """Serves until it is told to stop. Says where it is, and where its history is, once it is ready."""
    from palaver.wire.server.server import serve as serve_until_stopped  # noqa: PLC0415  heavy

    def ready(url: str, setup: str | None) -> None:
        database = without_password(settings.url)
        if as_json:
            tell_json({"url": url, "database": database, **({"setup": setup} if setup else {})})
        else:
            tell(f"Palaver is at {url}  (history: {database}; Ctrl+C stops it)")
        if setup and not as_json:
            tell(f"It has no owner yet. To become it, open {setup}")
        sys.stdout.flush()
        if open_page:
            import webbrowser  # noqa: PLC0415  seldom wanted

            webbrowser.open(url)

    if workers > 1:
        from palaver.wire.server.workers import serve_with_workers  # noqa: PLC0415  seldom wanted

        serve_with_workers(settings, workers, ready)
    else:
        serve_until_stopped(settings, ready)
