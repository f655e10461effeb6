"""`palaver verify`, `backup`, `restore` and `copy`: whole databases, checked; with a line of progress on a terminal."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from palaver.cli.output import Exit, tell, tell_json, without_password
from palaver.cli.settings import settings_of
from palaver.core import maintenance
from palaver.settings import expanded, sqlite_url

NO_MARK = {
    "none": "No mark.json goes with it, so whether its newest part is missing cannot be told.",
    "damaged": "The mark.json beside it is damaged, so whether its newest part is missing cannot be told.",
}
ERASE = "\r\x1b[K"


def verify(given: Mapping[str, object], database: str | None, *, as_json: bool) -> int:
    """Looks for damage; the exit code."""
    settings = settings_of(given)
    if database is not None:
        settings = settings.model_copy(update={"database_url": _url(database)})
    what = without_password(settings.url)
    return _run(lambda told: maintenance.verify(settings, told), what, as_json=as_json, marked=True)


def backup(given: Mapping[str, object], file: Path, *, force: bool, as_json: bool) -> int:
    """Writes a backup; the exit code."""
    settings, file = settings_of(given), expanded(file)
    return _run(
        lambda told: maintenance.backup(settings.url, file, told, force=force),
        str(file),
        as_json=as_json,
    )


def restore(given: Mapping[str, object], file: Path, *, force: bool, as_json: bool) -> int:
    """Restores a backup; the exit code."""
    settings, file = settings_of(given), expanded(file)
    return _run(
        lambda told: maintenance.restore(settings, file, told, force=force),
        without_password(settings.url),
        as_json=as_json,
    )


def copy(source: str, target: str, *, force: bool, as_json: bool) -> int:
    """Copies a database; the exit code."""
    settings_of({})
    return _run(
        lambda told: maintenance.copy(_url(source), _url(target), told, force=force),
        without_password(target),
        as_json=as_json,
    )


def _url(database: str) -> str:
    return database if "://" in database else sqlite_url(expanded(database))


def _run(
    work: Callable[[maintenance.Progress], maintenance.Verdict],
    what: str,
    *,
    as_json: bool,
    marked: bool = False,
) -> int:
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
    return Exit.OK if good else Exit.FAILED
