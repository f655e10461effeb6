"""`palaver doctor`: looks at everything a server needs, changes nothing, and says what to do about what is wrong.

Each check is `ok`, `warn` (works, but look at it) or `fail`. A check that itself breaks is a `fail` that names its
error, and the others go on.
"""

import asyncio
import platform
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from palaver.cli.options import settings_of
from palaver.cli.output import Exit, tell, tell_json
from palaver.core import maintenance
from palaver.errors import PalaverError
from palaver.settings import Settings
from palaver.wire import shapes
from palaver.wire.edge.proxies import is_loopback
from palaver.wire.server.control import asked, is_owned
from palaver.wire.server.note import url_of

FREE_BYTES_LOW = 1 << 30
FREE_BYTES_NONE = 100 << 20
FAULTS_SHOWN_MAX = 5
HELP_STAMP = "help"
MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
SUMMED_UP = {
    "ok": "All is well.",
    "warn": "A server works here. The arrows (→) say what could be better.",
    "fail": "Something must be done before a server can work here.",
}


class Check(Struct, frozen=True):
    """What one check found, and what to do about it."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str | None = None


def doctor(given: Mapping[str, object], *, integrity: bool, deep: bool, as_json: bool) -> int:
    """Runs all checks and shows them; the exit code."""
    settings = settings_of(least="error", **given)  # what is worth a warning is a finding here
    checks = asyncio.run(_all(settings, integrity=integrity, deep=deep))
    good = all(check.state != "fail" for check in checks)
    if as_json:
        tell_json({"ok": good, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            tell(f"{MARKS[check.state]}  {check.name}: {check.found}")
            if check.advice:
                tell(f"      → {check.advice}")
        tell(SUMMED_UP[max((check.state for check in checks), key=list(MARKS).index)])
    return Exit.OK if good else Exit.FAILED


async def _all(settings: Settings, *, integrity: bool, deep: bool) -> list[Check]:
    async def database(_: Settings) -> AsyncIterator[Check]:
        health = await maintenance.examined(settings, integrity=integrity)
        postgres = isinstance(health, maintenance.PostgresHealth)
        for check in _postgres(health, settings) if postgres else _sqlite(health):
            yield check

    checks: dict[str, Callable[[Settings], Iterator[Check] | AsyncIterator[Check]]] = {
        "python": _python,
        "address": _address,
        "port": _port,
        "data directory": _data_dir,
        "disk": _disk,
        "page": _page,
        "database": database,
        "tables": _tables,
        "owner": _owner,
        "history": _history,
        "set aside": _set_aside,
        **({"content": _content} if deep else {}),
        "model": _model,
    }
    found: list[Check] = []
    for name, check in checks.items():
        try:
            results = check(settings)
            if isinstance(results, Iterator):
                found += results
            else:
                found += [result async for result in results]
        except PalaverError as error:
            found.append(Check(name, "fail", error.detail))
        except Exception as error:  # noqa: BLE001  a broken check is a finding, and the others go on
            found.append(Check(name, "fail", f"{type(error).__name__}: {error}"))
    return found


def _python(_: Settings) -> Iterator[Check]:
    yield Check("python", "ok", platform.python_version())


def _address(settings: Settings) -> Iterator[Check]:
    host = settings.host
    if is_loopback(host):
        yield Check("address", "ok", f"{host}: this machine only")
    elif settings.guests == "open":
        yield Check("address", "warn", f"{host}: everyone who reaches it is a guest")
    else:
        yield Check("address", "ok", f"{host}: other machines reach it")


def _port(settings: Settings) -> Iterator[Check]:
    if (url := url_of(settings)) is not None:
        yield Check("port", "ok", f"the server of this data directory answers at {url}")
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            found = f"{settings.port} cannot be had: {error.strerror}"
            advice = "If that is not your own Palaver, choose another one: PALAVER_PORT."
            yield Check("port", "warn", found, advice)
        else:
            yield Check("port", "ok", f"{settings.port} is free")


def _data_dir(settings: Settings) -> Iterator[Check]:
    place = settings.data_dir.absolute()
    there = _there(place)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Check(
            "data directory",
            "fail",
            f"{there} cannot be written: {error.strerror}",
            "Give the user that runs Palaver the right to write there, or set PALAVER_DATA_DIR.",
        )
    else:
        found = f"{place} can be written" if there == place else f"{place} will be made"
        yield Check("data directory", "ok", found)


def _disk(settings: Settings) -> Iterator[Check]:
    free = shutil.disk_usage(_there(settings.data_dir.absolute())).free
    found = f"{free / (1 << 30):.1f} GiB free"
    if free >= FREE_BYTES_LOW:
        yield Check("disk", "ok", found)
    else:
        state = "warn" if free >= FREE_BYTES_NONE else "fail"
        yield Check("disk", state, found, "Make room; what is stored stays.")


def _there(place: Path) -> Path:
    """The nearest folder that exists."""
    while not place.exists():
        place = place.parent
    return place


def _page(_: Settings) -> Iterator[Check]:
    page = files("palaver") / "page"
    stamp = page / ".stamp"
    if not (page / "index.html").is_file():
        advice = "Build it: ./run does, and so does building the package."
        yield Check("page", "fail", "is not there", advice)
    elif stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == HELP_STAMP:
        yield Check(
            "page",
            "warn",
            "could not be built; a help page takes its place",
            "Start ./run again with Node.js 20.19 or later, or with a network.",
        )
    else:
        yield Check("page", "ok", "is built")


def _sqlite(health: maintenance.SqliteHealth) -> Iterator[Check]:
    if health.wal_safe:
        yield Check("sqlite", "ok", health.version)
    else:
        yield Check(
            "sqlite",
            "warn",
            health.version,
            "Versions 3.7.0 to 3.51.2 can damage a write-ahead log when two connections checkpoint it."
            " Palaver uses one; let no other program write to the file.",
        )
    if not health.exists:
        yield Check("database", "ok", f"{health.path or 'in memory'} will be made")
        return
    yield Check("database", "ok", health.held or f"{health.path} is free")
    if health.faults:
        advice = "Stop the server, keep a copy of the data directory, then restore a backup."
        yield Check("integrity", "fail", "; ".join(health.faults), advice)
    elif health.faults is not None:
        yield Check("integrity", "ok", "nothing is damaged")


def _postgres(health: maintenance.PostgresHealth, settings: Settings) -> Iterator[Check]:
    told = health.settings
    yield Check("postgresql", "ok", told["server_version"])
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if told[name] == "off":
            state = "warn" if name == "synchronous_commit" else "fail"
            advice = f"Set {name} = on: with it off, a crash of the database loses what was stored."
            yield Check(name, state, "off", advice)
        else:
            yield Check(name, "ok", told[name])
    if told["standbys"] != "0" or told["synchronous_standby_names"]:
        yield _failover(told)
    if health.pooled:
        yield _pooler(health, settings)


def _failover(told: Mapping[str, str]) -> Check:
    """Whether what is stored survives the loss of this server, which another one follows."""
    waits = told["synchronous_commit"] in {"on", "remote_write", "remote_apply"}
    if told["synchronous_standby_names"] and waits:
        return Check("failover", "ok", "each commit waits for a standby")
    return Check(
        "failover",
        "warn",
        f"{told['standbys']} standby servers follow, and no commit waits for them",
        "Set synchronous_standby_names, and synchronous_commit = on: else a failover loses what was stored last.",
    )


def _pooler(health: maintenance.PostgresHealth, settings: Settings) -> Check:
    """Whether the settings suit the pooler that there is."""
    if health.suits_pooler and settings.listen_url is not None:
        return Check("pooler", "ok", "stands before the server")
    return Check(
        "pooler",
        "warn",
        "stands before the server, and the settings do not suit transaction mode",
        "For that mode add ?prepared_statement_cache_size=0 to the URL, and set PALAVER_LISTEN_URL to the"
        " server itself. docs/postgresql.md says more.",
    )


async def _tables(settings: Settings) -> AsyncIterator[Check]:
    schema = await maintenance.schema(settings)
    if schema.current is None:
        yield Check("tables", "ok", f"will be made at {schema.head}")
    elif schema.fits:
        yield Check("tables", "ok", f"are at {schema.current}")
    else:
        found = f"are at {schema.current}; this Palaver needs {schema.head}"
        advice = "Run `palaver db upgrade`; if they are newer, use a newer Palaver."
        yield Check("tables", "fail", found, advice)


async def _owner(settings: Settings) -> AsyncIterator[Check]:
    if not (await maintenance.schema(settings)).fits or await is_owned(settings):
        return
    advice = (
        "Open the link that the server prints at its start, or `palaver user create NAME --owner`."
    )
    yield Check(
        "owner", "ok" if is_loopback(settings.host) else "warn", "there is none yet", advice
    )


async def _history(settings: Settings) -> AsyncIterator[Check]:
    mark = await maintenance.history(settings)
    if mark.state == "whole":
        yield Check("history", "ok", "nothing that was stored is missing")
    elif mark.state == "none":
        yield Check("history", "ok", "has no mark yet to compare it with")
    elif mark.state == "damaged":
        found = "mark.json is damaged: whether something is missing cannot be told"
        advice = "`palaver doctor --deep` reads what is there; the next start writes another mark."
        yield Check("history", "warn", found, advice)
    else:
        lost = "; ".join(f"room {one.room}: {one.told}" for one in mark.missing)
        yield Check(
            "history",
            "fail",
            f"{lost}. The database is damaged, or an older copy",
            "Restore a backup, or go on without what is lost: delete mark.json in the data directory."
            " docs/backup.md says more.",
        )


def _set_aside(settings: Settings) -> Iterator[Check]:
    left = maintenance.set_aside(settings)
    if not left:
        yield Check("set aside", "ok", "nothing waits for another history")
        return
    mib = sum(file.stat().st_size for file in left) / (1 << 20)
    yield Check(
        "set aside",
        "warn",
        f"{len(left)} files of the journal ({mib:.0f} MiB) hold what this history does not know",
        f"It is stored when the right history is back. To drop it, delete {left[0].parent}."
        " docs/backup.md says more.",
    )


async def _content(settings: Settings) -> AsyncIterator[Check]:
    verdict = await maintenance.content(settings)
    if not verdict.faults:
        yield Check("content", "ok", f"all {verdict.events} events are as they were stored")
    for fault in verdict.faults[:FAULTS_SHOWN_MAX]:
        place = "" if fault.room is None else f"room {fault.room}, event {fault.seq}: "
        advice = "`palaver verify` names all that is damaged; docs/backup.md says more."
        yield Check("content", "fail", f"{place}{fault.what}", advice)


async def _model(settings: Settings) -> AsyncIterator[Check]:
    """What answers, as the server that has the database says, or the database itself."""
    if (await maintenance.schema(settings)).fits:
        told = await asked(settings, {"do": "doctor"})
    else:
        told = shapes.answering(await maintenance.models(settings))
    hint, models = told["hint"], told["models"]
    if models:
        more = f" and {len(models) - 5} more" if len(models) > 5 else ""  # noqa: PLR2004
        found = f"{told['provider']}: {', '.join(models[:5])}{more}"
        yield Check("model", "warn" if hint else "ok", found, hint)
    else:
        advice = hint or "Set OPENAI_BASE_URL, and OPENAI_API_KEY where it wants one."
        yield Check("model", "warn", f"{told['provider']} offers none", advice)
