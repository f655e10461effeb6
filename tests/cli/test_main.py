"""The command line as it is typed: one process for each command."""

import json
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.server import Serve, clean_environment

START_SECONDS_MAX = 1.0
HELP_SECONDS_MAX = 0.2
TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


def palaver(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "palaver", *arguments],
        cwd=folder,
        env={**clean_environment(environment or {}), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


COMMANDS = [
    (),
    ("serve",),
    ("db",),
    ("db", "upgrade"),
    ("db", "current"),
    ("db", "check"),
    ("config",),
    ("config", "show"),
    ("doctor",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = palaver(tmp_path, *command, "--help")
    assert done.code == 0
    assert "Usage:" in done.out
    if not command or command[-1] not in {"db", "config"}:
        assert "Example" in done.out or "Exit codes" in done.out or "--json" in done.out


def test_the_version_is_told(tmp_path: Path) -> None:
    done = palaver(tmp_path, "--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("palaver ")


def seconds_of_children() -> float:
    """Processor time of the ended child processes: other work on this machine does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_comes_at_once(tmp_path: Path) -> None:
    times: list[float] = []
    for _ in range(TRIES):
        before = seconds_of_children()
        assert palaver(tmp_path, "--help").code == 0
        times.append(seconds_of_children() - before)
    assert min(times) < HELP_SECONDS_MAX


def test_help_loads_no_database_and_no_web_server(tmp_path: Path) -> None:
    script = (
        "import sys, palaver.cli.main; "
        "print(*sorted({'sqlalchemy', 'fastapi', 'pydantic', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_completion_can_be_had(tmp_path: Path) -> None:
    done = palaver(tmp_path, "--show-completion", "bash")
    assert done.code == 0, done.err
    assert "palaver" in done.out


@pytest.mark.parametrize(
    "arguments", [("nothing",), ("serve", "--port", "x"), ("serve", "--port", "70000"), ("db", "x")]
)
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = palaver(tmp_path, *arguments)
    assert done.code == 2
    assert "Traceback" not in done.err


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (("serve",), {"PALAVER_PORT": "x"}, "settings_invalid"),
        (("config", "show"), {"PALAVER_PORT": "x"}, "settings_invalid"),
        (("serve", "--host", "0.0.0.0", "--port", "0"), {}, "bind_refused"),
        (("serve", "--port", "0", "--database-url", "mysql://h/d"), {}, "database_url_invalid"),
        (("db", "current", "--database-url", "nonsense"), {}, "database_url_invalid"),
    ],
)
def test_a_refusal_is_one_line_and_exits_with_3(
    tmp_path: Path,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    code: str,
    as_json: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    done = palaver(tmp_path, *arguments, *["--json"] * as_json, environment=environment)
    assert done.code == 3
    assert "Traceback" not in done.err
    if as_json:
        assert done.json["error"]["code"] == code
    else:
        assert done.out == ""
        assert f"[{code}]" in done.err.splitlines()[-1]


def test_an_unreachable_database_exits_with_4(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"postgresql://ada:secret@127.0.0.1:{nobody.getsockname()[1]}/chat"
        done = palaver(tmp_path, "db", "current", "--database-url", url)
    assert done.code == 4
    assert "secret" not in done.out + done.err
    assert "Traceback" not in done.err


def test_a_traceback_is_shown_only_to_those_who_ask(tmp_path: Path) -> None:
    arguments = ("db", "current", "--database-url", "nonsense")
    done = palaver(tmp_path, *arguments, environment={"PALAVER_LOG_LEVEL": "debug"})
    assert done.code == 3
    assert "Traceback" in done.err


# serve


async def test_serve_says_where_it_is_and_stops_when_told(serve: Serve) -> None:
    server = await serve()
    assert await server.term() == 0
    assert f"Palaver is at {server.url}" in server.tail()
    assert "palaver.db" in server.tail()


async def test_a_second_server_on_one_directory_says_who_has_it(serve: Serve) -> None:
    server = await serve()
    done = palaver(server.data, "serve", "--port", "0", "--data-dir", str(server.data))
    assert done.code == 3
    assert "database_locked" in done.err
    assert str(server.pid) in done.err


async def test_a_taken_port_is_refused_with_what_to_do(serve: Serve, tmp_path: Path) -> None:
    server = await serve()
    port = server.url.rpartition(":")[2]
    done = palaver(tmp_path, "serve", "--port", port, "--data-dir", str(tmp_path / "other"))
    assert done.code == 3
    assert "[port_taken]" in done.err
    assert "--port" in done.err


@pytest.mark.slow
async def test_a_server_starts_and_stops_with_a_second_of_work(serve: Serve) -> None:
    server = await serve()
    await server.term()
    times: list[float] = []
    for _ in range(TRIES):
        before = seconds_of_children()
        await server.start()
        await server.term()
        times.append(seconds_of_children() - before)
    assert min(times) < START_SECONDS_MAX


# db


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_the_database_is_upgraded_shown_and_checked(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    url = str(request.getfixturevalue(f"{engine}_url"))
    where = ("--database-url", url)
    empty = palaver(tmp_path, "db", "current", *where, "--json").json
    assert (empty["current"], empty["up_to_date"]) == (None, False)
    assert palaver(tmp_path, "db", "check", *where).code == 1
    upgraded = palaver(tmp_path, "db", "upgrade", *where, "--json")
    assert (upgraded.code, upgraded.json["up_to_date"]) == (0, True)
    assert upgraded.json["steps"]
    assert palaver(tmp_path, "db", "upgrade", *where).code == 0
    current = palaver(tmp_path, "db", "current", *where)
    assert current.out == f"{upgraded.json['head']} (up to date)\n"
    check = palaver(tmp_path, "db", "check", *where, "--json")
    assert (check.code, check.json["differences"], check.json["ok"]) == (0, [], True)


def test_asking_makes_no_database(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for command in (("db", "current"), ("db", "check"), ("doctor",), ("config", "show")):
        palaver(folder, *command)
    assert list(folder.iterdir()) == []


def test_a_table_that_is_not_as_declared_is_found(tmp_path: Path) -> None:
    assert palaver(tmp_path, "db", "upgrade").code == 0
    with closing(sqlite3.connect(tmp_path / "data" / "palaver.db")) as db:
        db.execute("ALTER TABLE rooms ADD COLUMN surprise TEXT")
        db.commit()
    done = palaver(tmp_path, "db", "check")
    assert done.code == 1
    assert "surprise" in done.out


async def test_an_upgrade_beside_a_server_is_refused(serve: Serve) -> None:
    server = await serve()
    done = palaver(server.data, "db", "upgrade", "--data-dir", str(server.data))
    assert done.code == 3
    assert "[database_locked]" in done.err
    current = palaver(server.data, "db", "current", "--data-dir", str(server.data))
    assert current.code == 0


# config


def test_the_settings_are_shown_with_their_source_and_without_secrets(tmp_path: Path) -> None:
    environment = {
        "OPENAI_API_KEY": "sk-secret",
        "DATABASE_URL": "postgresql://ada:secret@host/chat",
        "PALAVER_ALLOWED_HOSTS": "a.example, b.example",
    }
    done = palaver(tmp_path, "config", "show", "--json", environment=environment)
    rows = {row["name"]: row for row in done.json["settings"]}
    assert "secret" not in done.out
    assert rows["openai_api_key"]["source"] == "OPENAI_API_KEY"
    assert rows["database_url"]["value"] == "postgresql://ada:********@host/chat"
    assert rows["allowed_hosts"]["value"] == ["a.example", "b.example"]
    assert (rows["port"]["value"], rows["port"]["source"]) == (8000, "default")
    assert rows["port"]["variable"] == "PALAVER_PORT"
    assert all(row["meaning"] for row in rows.values())
    text = palaver(tmp_path, "config", "show", environment=environment)
    assert "secret" not in text.out
    assert all(row["variable"] in text.out for row in rows.values())
