"""`palaver db …`: the schema of the database, and nothing of what is in it."""

import asyncio
from collections.abc import Mapping

from palaver.cli.output import Exit, tell, tell_json
from palaver.cli.settings import settings_of
from palaver.core import maintenance


def upgrade(given: Mapping[str, object], *, as_json: bool) -> None:
    """Brings the schema up to date."""
    settings = settings_of(given)
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


def current(given: Mapping[str, object], *, as_json: bool) -> None:
    """Shows the revisions."""
    schema = asyncio.run(maintenance.schema(settings_of(given)))
    if as_json:
        tell_json(_json(schema))
    elif schema.current is None:
        tell("The database is empty or not there yet. `palaver serve` makes it.")
    elif schema.fits:
        tell(f"{schema.current} (up to date)")
    else:
        tell(f"{schema.current}; this Palaver needs {schema.head}. Run `palaver db upgrade`.")


def check(given: Mapping[str, object], *, as_json: bool) -> int:
    """Compares the tables with the declared ones; the exit code."""
    settings = settings_of(given)
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
    return Exit.OK if good else Exit.FAILED


def _json(schema: maintenance.Schema) -> dict[str, object]:
    return {"current": schema.current, "head": schema.head, "up_to_date": schema.fits}
