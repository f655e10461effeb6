import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.command import palaver
from tests.support.server import Serve

pytestmark = pytest.mark.slow  # each test starts processes


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_the_database_is_upgraded_shown_and_checked(
    tmp_path: Path, request: pytest.FixtureRequest, engine: str
) -> None:
    url = str(request.getfixturevalue(f"empty_{engine}_url"))
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
