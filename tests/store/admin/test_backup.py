"""Backups and restores, of both engines, beside a server that writes, and after kill -9."""

import asyncio
import resource
import sqlite3
from pathlib import Path

import pytest
from tests.store.archives import asked, execute, filled, untold
from tests.store.dying import lived
from tests.store.world import opened

from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.store.admin import high_water
from palaver.store.admin.backup import backup, copy, restore
from palaver.store.admin.verify import verify
from palaver.store.engine.lock import FileLock, taken

EPOCH = "SELECT value FROM meta WHERE name = 'epoch'"
EVERYTHING = (
    "SELECT room_key, seq, id, author_key, role, status, text, cid, reply_to_seq, meta FROM messages ORDER BY 1, 2",
    "SELECT room_key, seq, type, actor_key, at_ms, message_seq, data, chain FROM events ORDER BY room_key, seq",
    "SELECT key, id, title, seq, chain FROM rooms ORDER BY key",
    "SELECT key, id, kind, name, handle FROM actors ORDER BY key",
    "SELECT id, room_key, trigger_seq, fence, lease_until_ms IS NULL FROM turns ORDER BY id",
)


def test_a_backup_holds_the_same_and_is_one_portable_file(
    database_url: str, tmp_path: Path
) -> None:
    filled(database_url, tmp_path)
    folder = tmp_path / "backups"
    folder.mkdir()
    verdict = backup(database_url, folder / "b.db", untold)
    assert (verdict.faults, verdict.events) == ([], 14)
    assert [path.name for path in folder.iterdir()] == ["b.db"]
    copy = f"sqlite:///{folder / 'b.db'}"
    for query in EVERYTHING:
        assert asked(copy, query) == asked(database_url, query)
    with sqlite3.connect(folder / "b.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_a_backup_is_restored_with_another_epoch(database_url: str, tmp_path: Path) -> None:
    filled(database_url, tmp_path)
    backup(database_url, tmp_path / "b.db", untold)
    before = [asked(database_url, query) for query in EVERYTHING]
    execute(database_url, "DELETE FROM messages")
    settings = Settings(database_url=database_url, data_dir=tmp_path)
    (tmp_path / high_water.FILE).write_text("{}")
    with pytest.raises(Refused) as caught:
        restore(settings, tmp_path / "b.db", untold)
    assert caught.value.code is Code.DATABASE_NOT_EMPTY
    epoch = asked(database_url, EPOCH)
    restore(settings, tmp_path / "b.db", untold, force=True)
    assert [asked(database_url, query) for query in EVERYTHING] == before
    assert asked(database_url, EPOCH) not in (epoch, [])
    assert not (tmp_path / high_water.FILE).exists()
    assert verify(database_url, untold).faults == []
    if database_url.startswith("sqlite"):
        (old,) = tmp_path.glob("palaver.db.*.old")
        assert asked(f"sqlite:///{old}", EPOCH) == epoch


async def test_a_restored_database_takes_new_rooms(database_url: str, tmp_path: Path) -> None:
    await asyncio.to_thread(filled, database_url, tmp_path)
    await asyncio.to_thread(backup, database_url, tmp_path / "b.db", untold)
    settings = Settings(database_url=database_url, data_dir=tmp_path)
    await asyncio.to_thread(restore, settings, tmp_path / "b.db", untold, force=True)
    async with opened(database_url, data_dir=tmp_path) as world:
        ada = await world.person()
        await world.say(await world.room(ada), ada)


async def test_nothing_is_restored_while_a_server_is_there(
    database_url: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(filled, database_url, tmp_path)
    await asyncio.to_thread(backup, database_url, tmp_path / "b.db", untold)
    settings = Settings(database_url=database_url, data_dir=tmp_path)
    async with opened(database_url, data_dir=tmp_path) as world:
        with pytest.raises(Refused) as caught:
            await asyncio.to_thread(restore, settings, tmp_path / "b.db", untold, force=True)
        assert caught.value.code is Code.DATABASE_LOCKED
        await world.person()


async def test_a_backup_is_one_moment_of_a_database_that_is_written(
    database_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, data_dir=tmp_path) as world:
        ada = await world.person()
        rooms = [await world.room(ada) for _ in range(4)]
        making = asyncio.create_task(  # noqa: TID251  the test waits for it
            asyncio.to_thread(backup, database_url, tmp_path / "b.db", untold)
        )
        while not making.done():
            await asyncio.gather(*(world.say(room, ada, "x" * 2_000) for room in rooms * 10))
        assert (await making).faults == []


def test_a_damaged_database_or_backup_goes_nowhere(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url, tmp_path)
    backup(sqlite_url, tmp_path / "b.db", untold)
    for url in (sqlite_url, f"sqlite:///{tmp_path / 'b.db'}"):
        execute(url, "UPDATE messages SET text = 'x' WHERE seq = 3")
    settings = Settings(database_url=sqlite_url, data_dir=tmp_path)
    for attempt in (
        lambda: backup(sqlite_url, tmp_path / "c.db", untold),
        lambda: restore(settings, tmp_path / "b.db", untold, force=True),
    ):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.code is Code.DATABASE_DAMAGED
    assert not (tmp_path / "c.db").exists()
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("place", ["none/b.db", "file/b.db", "folder", "x" * 300, "dangling"])
def test_a_place_that_takes_no_file_is_named_and_the_database_is_not(
    sqlite_url: str, tmp_path: Path, place: str
) -> None:
    filled(sqlite_url, tmp_path)
    backup(sqlite_url, tmp_path / "b.db", untold)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere/b.db")
    names = sorted(path.name for path in tmp_path.iterdir())
    settings = Settings(data_dir=tmp_path, database_url=sqlite_url)
    for attempt in (
        lambda: backup(sqlite_url, tmp_path / place, untold, force=True),
        lambda: restore(settings, tmp_path / place, untold, force=True),
    ):
        with pytest.raises(Refused) as caught:
            attempt()
        assert caught.value.code in {Code.PLACE_UNUSABLE, Code.DATABASE_MISSING}
        assert place in caught.value.detail
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    if place in {"folder", "file/b.db", "dangling"}:
        with pytest.raises(Refused) as caught:
            copy(sqlite_url, f"sqlite:///{tmp_path / place}", untold)
        assert caught.value.code is Code.PLACE_UNUSABLE
    with pytest.raises(Refused) as caught:
        copy(f"sqlite:///{tmp_path / 'no.db'}", f"sqlite:///{tmp_path / 'new.db'}", untold)
    assert caught.value.code is Code.DATABASE_MISSING
    assert not (tmp_path / "new.db").exists()


def test_a_disk_that_takes_no_more_is_the_targets(database_url: str, tmp_path: Path) -> None:
    filled(database_url, tmp_path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    try:
        with pytest.raises(Refused) as caught:
            backup(database_url, tmp_path / "b.db", untold)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert caught.value.code is Code.PLACE_UNUSABLE
    assert "b.db" in caught.value.detail
    assert not list(tmp_path.glob("b.db*"))


def test_two_commands_do_not_write_one_backup(sqlite_url: str, tmp_path: Path) -> None:
    filled(sqlite_url, tmp_path)
    first = FileLock(tmp_path / "b.db.part")
    (tmp_path / "b.db.part").write_text("half")
    with pytest.raises(Refused) as caught:
        backup(sqlite_url, tmp_path / "b.db", untold)
    assert caught.value.code is Code.DATABASE_LOCKED
    assert (tmp_path / "b.db.part").read_text() == "half"
    first.release()


@pytest.mark.slow
@pytest.mark.fault
def test_a_restore_that_is_killed_leaves_the_database_as_it_was_and_nothing_beside_it(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    url = f"sqlite:///{data / 'palaver.db'}"
    filled(url, data)
    backup(url, tmp_path / "b.db", untold)
    (data / "palaver.db-wal").write_bytes(b"what is not in the file yet")
    names = sorted(path.name for path in data.iterdir())
    arguments = ("restore", str(tmp_path / "b.db"), "--force", "--data-dir", str(data))
    assert not lived("rename", 1, *arguments)
    assert list(data.glob("*.part*"))
    assert not (data / "palaver.db-wal").exists()
    taken(data / "palaver.db").release()
    assert sorted(path.name for path in data.iterdir()) == names
    assert (data / "palaver.db-wal").read_bytes() == b"what is not in the file yet"


@pytest.mark.slow
@pytest.mark.fault
def test_a_backup_that_is_killed_leaves_nothing_under_its_name(
    database_url: str, tmp_path: Path
) -> None:
    filled(database_url, tmp_path)
    file, part = tmp_path / "b.db", tmp_path / "b.db.part"
    arguments = ("backup", str(file), "--database-url", database_url)
    assert not lived("rename", 1, *arguments)
    assert part.exists()
    assert not file.exists()
    other = tmp_path / "tuesday.db"
    backup(database_url, other, untold)
    assert not list(tmp_path.glob("*.part*")), "of whatever name the next one is"
    assert lived("rename", 2, *arguments)
    for made in (file, other):
        assert verify(f"sqlite:///{made}", untold).faults == []
    assert not part.exists()
