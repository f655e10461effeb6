"""How a database gets to this program's revision, and when it is left alone."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from tests.store.world import opened
from tests.support.postgres import PostgresServer

import palaver.store
from palaver.errors import Code, Refused, Unavailable
from palaver.store import migrate
from palaver.store.engine.base import parsed


def execute(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(sql)
    connection.commit()
    connection.close()


Execute = Callable[[str], None]


@pytest.fixture
def execute_sql(request: pytest.FixtureRequest, empty_url: str, tmp_path: Path) -> Execute:
    """Runs a statement behind our back."""
    if empty_url.startswith("sqlite"):
        return lambda sql: execute(tmp_path / "palaver.db", sql)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = empty_url.rpartition("/")[2]

    def execute_there(sql: str) -> None:
        server.execute(sql, name)

    return execute_there


def test_the_known_revisions_are_the_ones_in_the_package() -> None:
    config = Config()
    folder = Path(palaver.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == migrate.revisions()


def test_asking_makes_no_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    assert migrate.current(url) is None
    assert len(migrate.check(url)) > 5
    assert list(tmp_path.iterdir()) == []


def test_upgrading_an_empty_database_and_again(empty_url: str) -> None:
    lines: list[str] = []
    assert migrate.current(empty_url) is None
    migrate.upgrade(empty_url, lines.append)
    assert migrate.current(empty_url) == migrate.head()
    assert migrate.check(empty_url) == []
    migrate.upgrade(empty_url, lines.append)
    assert lines[-1] == f"already at revision {migrate.head()}"


@pytest.mark.postgres
async def test_asking_a_database_that_does_not_answer_ends_in_time(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(empty_postgres_url):
        pass
    other = create_async_engine(parsed(empty_postgres_url))
    async with asyncio.timeout(10), other.begin() as conn:
        await conn.exec_driver_sql("LOCK TABLE alembic_version")
        monkeypatch.setenv("PALAVER_DATABASE_SECONDS", "0.5")
        with pytest.raises(Unavailable):
            await asyncio.to_thread(migrate.current, empty_postgres_url)
    await other.dispose()


async def test_the_epoch_is_made_with_the_database(empty_sqlite_url: str, tmp_path: Path) -> None:
    async with opened(empty_sqlite_url) as world:
        epoch = world.store.epoch
    connection = sqlite3.connect(tmp_path / "palaver.db")
    assert dict(connection.execute("SELECT name, value FROM meta"))["epoch"] == epoch
    connection.close()


async def test_an_older_file_is_copied_before_it_is_migrated(
    empty_sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(empty_sqlite_url) as world:
        ada = await world.person()
        room = await world.room(ada)
        await world.say(room, ada, "kept")
    path = tmp_path / "palaver.db"
    execute(path, "UPDATE alembic_version SET version_num = '0000'")
    known = ("0000", *migrate.revisions())
    monkeypatch.setattr(migrate, "revisions", lambda: known)
    monkeypatch.setattr(migrate, "_migrate", _pretend)
    async with opened(empty_sqlite_url) as world:
        assert [message.text for message in await world.said(room)] == ["kept"]
    copy = sqlite3.connect(tmp_path / "palaver.db.0000.bak")
    assert copy.execute("SELECT text FROM messages").fetchall() == [("kept",)]
    assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [("0000",)]
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy.close()
    assert await asyncio.to_thread(migrate.current, empty_sqlite_url) == migrate.head()
    assert not left_over(tmp_path, "*.part")


def left_over(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


def _pretend(conn: object, _: migrate.Progress) -> None:
    now = f"UPDATE alembic_version SET version_num = '{migrate.head()}'"
    conn.exec_driver_sql(now)  # type: ignore[attr-defined]


async def test_a_newer_database_is_refused_and_untouched(
    empty_url: str, tmp_path: Path, execute_sql: Execute
) -> None:
    async with opened(empty_url):
        pass
    execute_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Refused) as caught:
        async with opened(empty_url):
            pass
    assert caught.value.code is Code.DATABASE_NEWER
    assert "9999" in caught.value.detail
    assert not left_over(tmp_path, "*.bak")


@pytest.mark.postgres
async def test_an_older_postgresql_database_is_not_migrated_by_a_server(
    empty_postgres_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(empty_postgres_url):
        pass
    postgres_server.execute(
        "UPDATE alembic_version SET version_num = '0000'", empty_postgres_url.rpartition("/")[2]
    )
    known = ("0000", *migrate.revisions())
    monkeypatch.setattr(migrate, "revisions", lambda: known)
    with pytest.raises(Refused) as caught:
        async with opened(empty_postgres_url):
            pass
    assert caught.value.code is Code.DATABASE_OLDER
    assert "palaver db upgrade" in caught.value.detail


async def test_a_failing_migration_leaves_nothing_behind(
    empty_sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrating = migrate._migrate

    def half(conn: object, progress: migrate.Progress) -> None:
        migrating(conn, progress)  # type: ignore[arg-type]
        raise ZeroDivisionError

    monkeypatch.setattr(migrate, "_migrate", half)
    with pytest.raises(ZeroDivisionError):
        async with opened(empty_sqlite_url):
            pass
    connection = sqlite3.connect(tmp_path / "palaver.db")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    monkeypatch.undo()
    async with opened(empty_sqlite_url) as world:
        await world.person()


async def test_somebody_elses_tables_are_left_alone(empty_sqlite_url: str, tmp_path: Path) -> None:
    execute(tmp_path / "palaver.db", "CREATE TABLE messages (mine TEXT)")
    with pytest.raises(Refused) as caught:
        async with opened(empty_sqlite_url):
            pass
    assert caught.value.code is Code.DATABASE_URL_INVALID
    assert "messages" in caught.value.detail


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://host/x", "postgresql://host/x?frobnicate=1", "sqlite://"]
)
async def test_a_url_that_is_not_ours_is_refused(url: str) -> None:
    with pytest.raises(Refused) as caught:
        async with opened(url):
            pass
    assert caught.value.code is Code.DATABASE_URL_INVALID


async def test_an_unreachable_server_is_unavailable() -> None:
    with pytest.raises(Unavailable) as caught:
        async with opened("postgres://nobody@127.0.0.1:9/none?sslmode=disable", database_seconds=2):
            pass
    assert caught.value.code is Code.DATABASE_UNAVAILABLE
