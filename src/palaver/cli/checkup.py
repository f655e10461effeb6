"""`palaver doctor`: looks at everything a server needs, changes nothing, and says what to do about what is wrong.

Each check is `ok`, `warn` (works, but look at it) or `fail`. A check that itself breaks is a `fail` that names its
error, and the others go on.
"""

import asyncio
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from palaver.cli.given import settings_of
from palaver.cli.output import Exit, tell, tell_json
from palaver.core import maintenance
from palaver.errors import PalaverError
from palaver.settings import Settings

PYTHON_OLDEST = (3, 11)
FREE_BYTES_LOW = 1 << 30
FREE_BYTES_NONE = 100 << 20
HELP_STAMP = "help"
MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check found, and what to do about it."""

    name: str
    state: State
    found: str
    advice: str | None = None


def doctor(given: Mapping[str, object], *, integrity: bool, as_json: bool) -> int:
    """Runs all checks and shows them; the exit code."""
    settings = settings_of(given)
    checks = asyncio.run(_all(settings, integrity=integrity))
    good = all(check.state != "fail" for check in checks)
    if as_json:
        rows = [
            {"name": one.name, "state": one.state, "found": one.found, "advice": one.advice}
            for one in checks
        ]
        tell_json({"ok": good, "checks": rows})
    else:
        for check in checks:
            tell(f"{MARKS[check.state]}  {check.name}: {check.found}")
            if check.advice:
                tell(f"      → {check.advice}")
        tell("All is well." if good else "Something must be done before a server can work here.")
    return Exit.OK if good else Exit.FAILED


async def _all(settings: Settings, *, integrity: bool) -> list[Check]:
    async def examined() -> list[Check]:
        health = await maintenance.examined(settings, integrity=integrity)
        if isinstance(health, maintenance.PostgresHealth):
            return [*_postgres(health), *_pooler(health, settings)]
        return _sqlite(health)

    plain: list[tuple[str, Callable[[], list[Check]]]] = [
        ("python", _python),
        ("address", lambda: _address(settings)),
        ("port", lambda: _port(settings)),
        ("data directory", lambda: _data_dir(settings)),
        ("disk", lambda: _disk(settings)),
        ("page", _page),
    ]
    asked: list[tuple[str, Callable[[], Awaitable[list[Check]]]]] = [
        ("database", examined),
        ("tables", lambda: _tables(settings)),
        ("history", lambda: _history(settings)),
        ("model", lambda: _model(settings)),
    ]
    found: list[Check] = []
    for name, check in plain:
        try:
            found += check()
        except Exception as error:  # noqa: BLE001  a broken check is a finding, and the others go on
            found.append(_broken(name, error))
    for name, ask in asked:
        try:
            found += await ask()
        except PalaverError as error:
            found.append(Check(name=name, state="fail", found=error.detail))
        except Exception as error:  # noqa: BLE001  likewise
            found.append(_broken(name, error))
    return found


def _broken(name: str, error: Exception) -> Check:
    return Check(name=name, state="fail", found=f"{type(error).__name__}: {error}")


def _python() -> list[Check]:
    version = platform.python_version()
    if sys.version_info < PYTHON_OLDEST:
        advice = "Install Python 3.11 or later."
        return [Check(name="python", state="fail", found=version, advice=advice)]
    return [Check(name="python", state="ok", found=version)]


def _address(settings: Settings) -> list[Check]:
    try:
        loopback = ip_address(settings.host).is_loopback
    except ValueError:
        loopback = settings.host == "localhost"
    if loopback or settings.allow_public:
        who = "this machine only" if loopback else "everyone who reaches it is a guest"
        state: State = "ok" if loopback else "warn"
        return [Check(name="address", state=state, found=f"{settings.host}: {who}")]
    return [
        Check(
            name="address",
            state="fail",
            found=f"{settings.host} is public, and there are no accounts",
            advice="Listen on 127.0.0.1, or set PALAVER_ALLOW_PUBLIC=true if every guest is welcome.",
        )
    ]


def _port(settings: Settings) -> list[Check]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return [
                Check(
                    name="port",
                    state="warn",
                    found=f"{settings.port} cannot be had: {error.strerror}",
                    advice="If that is not your own Palaver, choose another one: PALAVER_PORT.",
                )
            ]
    return [Check(name="port", state="ok", found=f"{settings.port} is free")]


def _data_dir(settings: Settings) -> list[Check]:
    place = settings.data_dir.absolute()
    there = _there(place)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return [
            Check(
                name="data directory",
                state="fail",
                found=f"{there} cannot be written: {error.strerror}",
                advice="Give the user that runs Palaver the right to write there, or set PALAVER_DATA_DIR.",
            )
        ]
    found = f"{place} can be written" if there == place else f"{place} will be made"
    return [Check(name="data directory", state="ok", found=found)]


def _disk(settings: Settings) -> list[Check]:
    free = shutil.disk_usage(_there(settings.data_dir.absolute())).free
    found = f"{free / (1 << 30):.1f} GiB free"
    if free >= FREE_BYTES_LOW:
        return [Check(name="disk", state="ok", found=found)]
    state: State = "warn" if free >= FREE_BYTES_NONE else "fail"
    return [Check(name="disk", state=state, found=found, advice="Make room; what is stored stays.")]


def _there(place: Path) -> Path:
    """The nearest folder that exists."""
    while not place.exists():
        place = place.parent
    return place


def _page() -> list[Check]:
    page = files("palaver") / "page"
    stamp = page / ".stamp"
    if not (page / "index.html").is_file():
        return [
            Check(
                name="page",
                state="fail",
                found="is not there",
                advice="Build it: ./run does, and so does building the package.",
            )
        ]
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == HELP_STAMP:
        return [
            Check(
                name="page",
                state="warn",
                found="could not be built; a help page takes its place",
                advice="Start ./run again with Node.js 20.19 or later, or with a network.",
            )
        ]
    return [Check(name="page", state="ok", found="is built")]


def _sqlite(health: maintenance.SqliteHealth) -> list[Check]:
    safe: State = "ok" if health.wal_safe else "warn"
    found = [
        Check(
            name="sqlite",
            state=safe,
            found=health.version,
            advice=None
            if health.wal_safe
            else "Versions 3.7.0 to 3.51.2 can damage a write-ahead log when two connections checkpoint it."
            " Palaver uses one; let no other program write to the file.",
        )
    ]
    if not health.exists:
        where = health.path or "in memory"
        found.append(Check(name="database", state="ok", found=f"{where} will be made"))
        return found
    found.append(Check(name="database", state="ok", found=health.held or f"{health.path} is free"))
    if health.faults:
        found.append(
            Check(
                name="integrity",
                state="fail",
                found="; ".join(health.faults),
                advice="Stop the server, keep a copy of the data directory, then restore a backup.",
            )
        )
    elif health.faults is not None:
        found.append(Check(name="integrity", state="ok", found="nothing is damaged"))
    return found


def _postgres(health: maintenance.PostgresHealth) -> list[Check]:
    told = health.settings
    found = [Check(name="postgresql", state="ok", found=told["server_version"])]
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if told[name] == "off":
            state: State = "warn" if name == "synchronous_commit" else "fail"
            advice = f"Set {name} = on: with it off, a crash of the database loses what was stored."
            found.append(Check(name=name, state=state, found="off", advice=advice))
        else:
            found.append(Check(name=name, state="ok", found=told[name]))
    return [*found, *_failover(told)]


def _failover(told: Mapping[str, str]) -> list[Check]:
    """Whether what is stored survives the loss of this server, where another one follows it."""
    if told["standbys"] == "0" and not told["synchronous_standby_names"]:
        return []
    waits = told["synchronous_commit"] in {"on", "remote_write", "remote_apply"}
    if told["synchronous_standby_names"] and waits:
        return [Check(name="failover", state="ok", found="each commit waits for a standby")]
    return [
        Check(
            name="failover",
            state="warn",
            found=f"{told['standbys']} standby servers follow, and no commit waits for them",
            advice="Set synchronous_standby_names, and synchronous_commit = on: else a failover loses what was"
            " stored last.",
        )
    ]


def _pooler(health: maintenance.PostgresHealth, settings: Settings) -> list[Check]:
    """Whether the settings suit a pooler, where there is one."""
    if not health.pooled:
        return []
    if health.suits_pooler and settings.listen_url is not None:
        return [Check(name="pooler", state="ok", found="stands before the server")]
    return [
        Check(
            name="pooler",
            state="warn",
            found="stands before the server, and the settings do not suit transaction mode",
            advice="For that mode add ?prepared_statement_cache_size=0 to the URL, and set PALAVER_LISTEN_URL to the"
            " server itself. docs/postgresql.md says more.",
        )
    ]


async def _tables(settings: Settings) -> list[Check]:
    schema = await maintenance.schema(settings)
    if schema.current is None:
        return [Check(name="tables", state="ok", found=f"will be made at {schema.head}")]
    if schema.fits:
        return [Check(name="tables", state="ok", found=f"are at {schema.current}")]
    return [
        Check(
            name="tables",
            state="fail",
            found=f"are at {schema.current}; this Palaver needs {schema.head}",
            advice="Run `palaver db upgrade`; if they are newer, use a newer Palaver.",
        )
    ]


async def _history(settings: Settings) -> list[Check]:
    lost = await maintenance.history(settings)
    if lost is None:
        return [Check(name="history", state="ok", found="nothing that was stored is missing")]
    return [
        Check(
            name="history",
            state="fail",
            found=f"room {lost.room} was at event {lost.seq} and is at {lost.found}: the database is damaged,"
            " or an older copy",
            advice="Restore a backup, or go on without what is lost: delete mark.json in the data directory."
            " docs/backup.md says more.",
        )
    ]


async def _model(settings: Settings) -> list[Check]:
    models = await maintenance.models(settings)
    if not models.models:
        advice = models.hint or "Set OPENAI_BASE_URL, and OPENAI_API_KEY where it wants one."
        found = f"{models.provider} offers none"
        return [Check(name="model", state="warn", found=found, advice=advice)]
    names = ", ".join(model.id for model in models.models[:5])
    more = f" and {len(models.models) - 5} more" if len(models.models) > 5 else ""  # noqa: PLR2004
    state: State = "warn" if models.hint else "ok"
    found = f"{models.provider}: {names}{more}"
    return [Check(name="model", state=state, found=found, advice=models.hint)]
