import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from palaver.errors import Code, Unavailable
from palaver.store.admin.health import PostgresHealth, SqliteHealth, health
from palaver.store.engine.lock import FileLock


def made(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE kept (value)")
        db.executemany("INSERT INTO kept VALUES (?)", [("x" * 1000,)] * 100)
        db.commit()
    return path


async def test_a_whole_file_has_no_faults_and_is_free_again_afterwards(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db")
    found = await health(f"sqlite:///{path}", integrity=True)
    assert isinstance(found, SqliteHealth)
    assert (found.exists, found.held, found.faults) == (True, None, ())
    FileLock(path).release()


async def test_a_file_in_use_is_read_beside_its_owner(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db")
    lock = FileLock(path)
    try:
        found = await health(f"sqlite:///{path}", integrity=True)
    finally:
        lock.release()
    assert isinstance(found, SqliteHealth)
    assert found.held is not None
    assert found.faults == ()


async def test_damage_is_found(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db")
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)
    found = await health(f"sqlite:///{path}", integrity=True)
    assert isinstance(found, SqliteHealth)
    assert found.faults


@pytest.mark.postgres
async def test_postgresql_tells_what_decides_about_a_commit(postgres_url: str) -> None:
    found = await health(postgres_url, integrity=True)
    assert isinstance(found, PostgresHealth)
    assert found.settings["full_page_writes"] in {"on", "off"}
    assert found.settings["server_version"][0].isdecimal()


async def test_a_postgresql_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable) as away:
        await health("postgresql://ada:secret@127.0.0.1:1/chat", integrity=True)
    assert away.value.code is Code.DATABASE_UNAVAILABLE
    assert "secret" not in away.value.detail
