"""`palaver serve`: the settings that were given, then the server, until it is told to stop."""

from collections.abc import Mapping

from palaver.settings import settings_from


def serve(given: Mapping[str, object], *, open_page: bool, as_json: bool) -> None:
    """Serves until it is told to stop."""
    settings = settings_from(**given)
    from palaver.wire.server import serve as serve_until_stopped  # noqa: PLC0415  heavy

    serve_until_stopped(settings)
