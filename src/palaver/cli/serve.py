"""`palaver serve`: the settings that were given, then the server, until it is told to stop."""

import gc
import sys
from collections.abc import Mapping

from palaver.cli.options import settings_told
from palaver.cli.output import tell, tell_json, without_password


def serve(given: Mapping[str, object], *, workers: int, open_page: bool, as_json: bool) -> None:
    """Serves until it is told to stop. Says where it is, and where its history is, once it is ready."""
    if workers == 1:  # the parent of several never settles
        gc.disable()  # until the server has settled: nearly all that is made now stays
    settings = settings_told(**given)
    from palaver.wire.server.server import serve as serve_until_stopped  # noqa: PLC0415  heavy

    def ready(url: str) -> None:
        database = without_password(settings.url)
        if as_json:
            tell_json({"url": url, "database": database})
        else:
            tell(f"Palaver is at {url}  (history: {database}; Ctrl+C stops it)")
        sys.stdout.flush()
        if open_page:
            import webbrowser  # noqa: PLC0415  seldom wanted

            webbrowser.open(url)

    if workers > 1:
        from palaver.wire.server.workers import serve_with_workers  # noqa: PLC0415  seldom wanted

        serve_with_workers(settings, workers, ready)
    else:
        serve_until_stopped(settings, ready)
