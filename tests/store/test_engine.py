"""What the engines do beneath: one process a file, deadlines, slow queries, threads, and errors in our words."""

import asyncio
import fcntl
import os
import random
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from tests.store.world import World, opened
from tests.support.secrets import bytes_below

from palaver.errors import Code, Refused, Unavailable
from palaver.settings import Settings
from palaver.store.engine import errors
from palaver.store.engine.base import file_of, parsed
from palaver.store.engine.executors import InlineLanes, Lanes, ThreadLanes
from palaver.store.engine.lock import FileLock, swept, taken
from palaver.store.read import messages, rooms

OPENING = """
import asyncio, sys
from palaver.clock import SystemClock
from palaver.errors import Refused
from palaver.settings import Settings
from palaver.store.store import Store

async def main():
    settings = Settings(database_url=sys.argv[1])
    try:
        async with Store.opened(settings, SystemClock(), committed=lambda events: None):
            print("opened")
    except Refused as refused:
        print(refused.code, refused.detail)

asyncio.run(main())
"""


async def test_a_second_process_is_refused_and_told_by_whom(
    sqlite_url: str, tmp_path: Path
) -> None:
    async def other() -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", OPENING, sqlite_url, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        return output.decode().strip().splitlines()[-1]

    async with opened(sqlite_url):
        number = (tmp_path / "palaver.db.lock").read_text().strip()
        answer = await other()
        assert answer.startswith(Code.DATABASE_LOCKED)
        assert f"process {number};" in answer
        with pytest.raises(Refused) as caught:
            FileLock(tmp_path / "palaver.db")
        assert caught.value.code is Code.DATABASE_LOCKED
    assert await other() == "opened"


@pytest.mark.usefixtures("impatient")
async def test_a_file_that_another_process_writes_to_is_temporarily_away(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with opened(sqlite_url) as world:
        ada = await world.person()
        room = await world.room(ada)
        other = sqlite3.connect(tmp_path / "palaver.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        draft = world.draft(room, ada, "again and again")
        with pytest.raises(Unavailable) as caught:
            await world.store.write(draft)
        assert caught.value.code is Code.DATABASE_UNAVAILABLE
        assert await world.said(room) == [], "readers go on"
        other.execute("ROLLBACK")
        other.close()
        await world.store.write(draft)
        assert [message.text for message in await world.said(room)] == ["again and again"]


async def test_after_an_io_error_another_connection_syncs_the_whole_log_before_it_is_used(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a failed sync left in the system's memory only would otherwise be built upon."""
    synced: list[int] = []

    def sync(file: int) -> None:
        synced.append(os.fstat(file).st_ino)

    monkeypatch.setattr(os, "fsync", sync)

    def fail(conn: Connection) -> None:
        conn.exec_driver_sql("SELECT 1")
        raise sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)

    async with opened(sqlite_url) as world:
        ada = await world.person()
        room = await world.room(ada)
        assert await world.said(room) == [], "a reader keeps the log from being cleared away"
        wal = (tmp_path / "palaver.db-wal").stat().st_ino
        await world.say(room, ada, "before")
        synced.clear()
        database: Any = world.store._database
        with pytest.raises(sqlite3.Error):
            await database.writing(0, fail)
        await world.say(room, ada, "after")
        assert wal in synced
        assert [message.text for message in await world.said(room)] == ["before", "after"]


async def test_a_full_disk_is_told_and_passes(sqlite_url: str) -> None:
    async with opened(sqlite_url) as world:
        ada = await world.person()
        room = await world.room(ada)

        def limit(conn: Connection, pages: int) -> None:
            conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        database: Any = world.store._database
        await database.writing(0, partial(limit, pages=1))  # what is there already stays
        with pytest.raises(Unavailable) as caught:
            await world.say(room, ada, "x" * 200_000)
        assert (caught.value.code, caught.value.status) == (Code.DATABASE_FULL, 507)
        assert await world.said(room) == []
        await database.writing(0, partial(limit, pages=1_000_000))
        await world.say(room, ada, "x" * 200_000)
        assert len(await world.log(room)) == 2


async def test_slow_queries_are_logged_without_content(database_url: str) -> None:
    with capture_logs() as logs:
        async with opened(database_url, slow_query_ms=0.000_001) as world:
            ada = await world.person("Ada Lovelace")
            room = await world.room(ada, title="concealed title")
            await world.say(room, ada, "concealed text", cid="concealed-cid")
            await world.store.read(rooms.listing, ada.id, limit=3, search="concealed search")
            await world.said(room)
    slow = [entry for entry in logs if entry["event"] == "slow query"]
    assert any("INSERT INTO messages" in entry["statement"] for entry in slow)
    assert any("LIKE" in entry["statement"] for entry in slow)
    assert all(entry["ms"] >= 0 for entry in slow)
    assert "concealed" not in str(logs)
    assert "Lovelace" not in str(logs)


async def test_a_read_that_takes_too_long_is_given_up(sqlite_url: str) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )

    def count(conn: Connection) -> None:
        conn.exec_driver_sql(endless)

    async with opened(sqlite_url, reader_threads=1) as world:
        ada = await world.person()
        database: Any = world.store._database
        usual, database._seconds = database._seconds, 0.2  # for this one
        with pytest.raises(Unavailable) as caught:
            await world.store.read(count)
        database._seconds = usual
        assert caught.value.code is Code.DATABASE_UNAVAILABLE
        assert (await world.store.read(rooms.listing, ada.id, limit=1))[0] == ()


async def test_a_failing_query_is_an_internal_error(world: World) -> None:
    def nonsense(conn: Connection) -> None:
        conn.execute(text("SELECT secret FROM nowhere"))

    with pytest.raises(Unavailable) as caught:
        await world.store.read(nonsense)
    assert caught.value.code is Code.INTERNAL
    assert "nowhere" not in caught.value.detail
    await world.person()


async def test_readers_cannot_write(sqlite_world: World) -> None:
    def sneak(conn: Connection) -> None:
        conn.exec_driver_sql("DELETE FROM rooms")

    with pytest.raises(Unavailable) as caught:
        await sqlite_world.store.read(sneak)
    assert caught.value.code is Code.DATABASE_UNAVAILABLE


async def test_the_file_is_as_safe_as_promised(sqlite_world: World, tmp_path: Path) -> None:
    def pragmas(conn: Connection) -> dict[str, Any]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "secure_delete")
        return {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}

    database: Any = sqlite_world.store._database
    found = await database.writing(0, pragmas)
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5_000,  # half of `database_seconds`
        "secure_delete": 1,
    }
    assert (tmp_path / "palaver.db-wal").exists()


async def test_what_was_taken_out_is_in_no_page_after_a_scrub(
    sqlite_world: World, tmp_path: Path
) -> None:
    """Pages that were split keep what was moved, which no later statement overwrites: such are made here first."""
    chance = random.Random(2)

    def churn(conn: Connection) -> None:
        conn.exec_driver_sql("CREATE TABLE churned (key INTEGER PRIMARY KEY, name TEXT, more TEXT)")
        conn.exec_driver_sql("CREATE UNIQUE INDEX churned_name ON churned (name)")
        for key in range(2_000):
            conn.exec_driver_sql("INSERT INTO churned VALUES (?, ?, '')", (key, f"planted{key}"))
            at, longer = chance.randrange(key + 1), "x" * chance.randrange(1_200)
            changed = (f"planted{at}{longer[:40]}", longer, at)
            conn.exec_driver_sql("UPDATE churned SET name = ?, more = ? WHERE key = ?", changed)

    def take_out(conn: Connection) -> None:
        conn.exec_driver_sql("UPDATE churned SET name = key, more = ''")

    database: Any = sqlite_world.store._database
    await database.writing(0, churn)
    await database.writing(0, take_out)
    assert await sqlite_world.store.scrub()
    assert not await sqlite_world.store.scrub(), "once a minute, however many leave"
    assert b"planted" not in bytes_below(tmp_path)


async def test_what_sqlite_keeps_in_memory_is_what_the_limits_say(sqlite_world: World) -> None:
    def kept(conn: Connection) -> int:
        return -int(conn.exec_driver_sql("PRAGMA cache_size").scalar_one()) // 1024

    database = sqlite_world.store._database
    writer, reader = await database.writing(0, kept), await database.reading(kept)
    most = writer + Settings().reader_threads * reader
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
    [row] = [line for line in page.splitlines() if line.startswith("| pages that SQLite keeps")]
    for figure in (writer, reader, most):
        assert f" {figure} MiB" in row


async def test_closing_leaves_one_file_and_the_lock(sqlite_url: str, tmp_path: Path) -> None:
    async with opened(sqlite_url) as world:
        ada = await world.person()
        await world.store.read(rooms.listing, ada.id, limit=1)
    assert set(os.listdir(tmp_path)) == {"palaver.db", "palaver.db.lock"}  # noqa: PTH208


async def test_a_server_keeps_nothing_in_memory_only() -> None:
    with pytest.raises(Refused) as refused:
        async with opened("sqlite://"):
            pytest.fail("a server has threads, which share no database in memory")
    assert refused.value.code is Code.DATABASE_URL_INVALID


async def test_a_store_in_memory_runs_in_the_loop() -> None:
    async with opened("sqlite://", lanes=InlineLanes()) as world:
        ada = await world.person()
        room = await world.room(ada)
        await asyncio.gather(*(world.say(room, ada, str(number)) for number in range(20)))
        page = await world.store.read(messages.page, room.id, limit=50)
        assert [message.text for message in page.messages] == [str(n) for n in range(20)]


@pytest.mark.parametrize("lanes", [ThreadLanes(), InlineLanes()])
async def test_a_lane_gives_results_and_errors(lanes: Lanes) -> None:
    closed: list[str] = []
    lane = lanes.lane("test", 2, lambda: "resource", closed.append)
    assert await lane.run(lambda resource: resource.upper()) == "RESOURCE"
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda _: 1 / 0)
    assert await lane.run(lambda resource: resource) == "resource"
    await lane.close()
    assert set(closed) == {"resource"}


async def test_a_lane_tries_to_open_again() -> None:
    attempts: list[int] = []

    def open_() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError
        return 7

    lane = ThreadLanes().lane("test", 1, open_, lambda _: None)
    with pytest.raises(OSError):  # noqa: PT011  that very one
        await lane.run(lambda resource: resource)
    assert await lane.run(lambda resource: resource) == 7
    await lane.close()


def test_urls() -> None:
    assert file_of(parsed("sqlite:///a/b.db")) == Path("a/b.db")
    assert file_of(parsed("sqlite:////a/b.db")) == Path("/a/b.db")
    assert file_of(parsed("sqlite://")) is None
    assert file_of(parsed("postgres://host/name")) is None
    assert parsed("postgres://host/name").drivername == "postgresql+asyncpg"


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("words of the driver")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (sqlite_error(sqlite3.SQLITE_BUSY), Code.DATABASE_UNAVAILABLE),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), Code.DATABASE_UNAVAILABLE),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), Code.DATABASE_UNAVAILABLE),
        (sqlite_error(sqlite3.SQLITE_FULL), Code.DATABASE_FULL),
        (sqlite_error(sqlite3.SQLITE_CONSTRAINT), None),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), Code.DATABASE_UNAVAILABLE),
        (
            OperationalError("SELECT 1", None, sqlite_error(sqlite3.SQLITE_BUSY)),
            Code.DATABASE_UNAVAILABLE,
        ),
        (ConnectionResetError(), Code.DATABASE_UNAVAILABLE),
        (TimeoutError(), Code.DATABASE_UNAVAILABLE),
        (KeyError("x"), None),
        (AssertionError(), None),
    ],
)
def test_errors_in_our_words(error: Exception, code: Code | None) -> None:
    fault = errors.temporary(error)
    assert (None if fault is None else fault.code) is code
    if fault is not None:
        assert "driver" not in fault.detail


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("53100", Code.DATABASE_FULL),
        ("57P01", Code.DATABASE_UNAVAILABLE),
        ("08006", Code.DATABASE_UNAVAILABLE),
        ("40P01", Code.TOO_BUSY),
        ("25006", Code.DATABASE_UNAVAILABLE),
        ("23505", None),
        ("42P01", None),
    ],
)
def test_postgresql_states_in_our_words(state: str, code: Code | None) -> None:
    class Raised(Exception):
        sqlstate = state

    fault = errors.temporary(Raised())
    assert (None if fault is None else fault.code) is code


def test_a_file_has_one_lock_under_all_its_names(tmp_path: Path) -> None:
    file = tmp_path / "palaver.db"
    file.touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.db").symlink_to(file)
    (tmp_path / "folder").symlink_to(tmp_path)
    held = FileLock(file)
    for name in ("elsewhere/link.db", "folder/palaver.db", "elsewhere/../palaver.db"):
        with pytest.raises(Refused) as caught:
            FileLock(tmp_path / name)
        assert caught.value.code is Code.DATABASE_LOCKED
    held.release()
    (tmp_path / "elsewhere" / "hard.db").hardlink_to(file)
    with pytest.raises(Refused) as caught:
        taken(tmp_path / "elsewhere" / "hard.db")
    assert caught.value.code is Code.PLACE_UNUSABLE
    FileLock(file).release()


def test_a_lock_that_was_deleted_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = FileLock(tmp_path / "a.db")
    lock = fcntl.flock

    def deleted_meanwhile(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        first.release(gone=True)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", deleted_meanwhile)
    second = FileLock(tmp_path / "a.db")
    with pytest.raises(Refused):
        FileLock(tmp_path / "a.db")
    second.release()


def test_only_what_nobody_makes_any_more_is_swept(tmp_path: Path) -> None:
    living = FileLock(tmp_path / "living.db.part")
    for name in ("living", "dead"):
        (tmp_path / f"{name}.db.part").touch()
    for name in ("dead.db.part-wal", "dead.db.part.lock", "film.part.lock"):
        (tmp_path / name).touch()
    (tmp_path / "film.part").write_text("somebody else's")
    swept(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "film.part",
        "film.part.lock",
        "living.db.part",
        "living.db.part.lock",
    ]
    living.release()


@pytest.mark.parametrize(
    "url", ["sqlite:///a?b.db", "sqlite:///a.db?mode=ro", "sqlite://data/a.db"]
)
def test_a_sqlite_url_that_says_another_file_than_it_seems_is_refused(url: str) -> None:
    with pytest.raises(Refused) as caught:
        parsed(url)
    assert caught.value.code is Code.DATABASE_URL_INVALID
