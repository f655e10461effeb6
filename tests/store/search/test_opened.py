"""An index that is damaged, of another time or gone is made anew; its file lies beside its database, for its owner."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs
from tests.core.search.finding import Finding, finding

from palaver.errors import Unavailable
from palaver.model import Actor
from palaver.store.files import SEARCH

MESSAGES = 300


def file_of(database: Path) -> Path:
    return database.with_name(database.name + SEARCH)


def removed(file: Path) -> None:
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def garbled(file: Path) -> None:
    file.write_bytes(b"this is no database at all " * 1_000)


def overwritten(file: Path) -> None:
    """Pages in the middle hold something else."""
    data = bytearray(file.read_bytes())
    data[4_096 * 2 :] = bytes(len(data) - 4_096 * 2)
    file.write_bytes(data)


async def recovered(here: Finding) -> None:
    """Lets the indexer work as its consumer does, which comes again after a failure."""
    for _ in range(20):
        try:
            return await here.indexed()
        except Unavailable:
            continue
    raise AssertionError("it did not recover")


async def filled(here: Finding) -> Actor:
    ada = await here.world.person("Ada")
    room = await here.world.room(ada)
    for number in range(MESSAGES):
        await here.say(room, ada, f"number {number} of the words that are said here")
    await here.indexed()
    return ada


def tables_dropped(file: Path) -> None:
    with closing(sqlite3.connect(file)) as conn:
        conn.execute("DROP TABLE words")
        conn.execute("DROP TABLE docs")


@pytest.mark.parametrize(
    "spoil", [tables_dropped, removed, truncated, emptied, garbled, overwritten]
)
async def test_a_spoilt_index_is_made_anew(sqlite_url: str, spoil: Callable[[Path], None]) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    async with finding(sqlite_url) as here:
        ada = await filled(here)
    assert file_of(path).stat().st_mode & 0o077 == 0
    spoil(file_of(path))
    async with finding(sqlite_url) as here:
        for _ in range(MESSAGES):
            found = await here.find(ada, "words", limit=100)
            assert not found.complete or len(found.hits) == 100
            try:
                if not await here.indexer.work():
                    break
            except Unavailable:
                continue
        await recovered(here)
        count, cursor = 0, None
        while True:
            found = await here.find(ada, "words", limit=100, cursor=cursor)
            assert found.complete
            count += len(found.hits)
            if (cursor := found.cursor) is None:
                break
        assert count == MESSAGES


async def test_an_older_index_catches_up(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    async with finding(sqlite_url) as here:
        ada = await filled(here)
    old = file_of(path).read_bytes()
    async with finding(sqlite_url) as here:
        room = await here.world.room(ada)
        await here.say(room, ada, "said since")
        await here.indexed()
    removed(file_of(path))
    file_of(path).write_bytes(old)
    async with finding(sqlite_url) as here:
        assert await here.texts(ada, "since") == ["said since"]
        await here.indexed()
        assert await here.texts(ada, "since") == ["said since"]
        assert await here.texts(ada, '"number 7 of"') == [
            "number 7 of the words that are said here"
        ]


async def test_the_index_of_another_database_is_none_of_this(
    sqlite_url: str, tmp_path: Path
) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    async with finding(sqlite_url) as here:
        await filled(here)
    other = tmp_path / "other" / "palaver.db"
    other.parent.mkdir()
    async with finding(f"sqlite:///{other}") as here:
        await here.indexed()
    removed(file_of(other))
    file_of(other).write_bytes(file_of(path).read_bytes())
    async with finding(f"sqlite:///{other}") as here:
        ada = await here.world.person()
        assert not (await here.find(ada, "words")).complete
        await here.indexed()
        assert await here.texts(ada, "words") == []


@pytest.mark.postgres
async def test_an_index_whose_table_is_gone_is_made_anew(postgres_url: str) -> None:
    async with finding(postgres_url) as here:
        ada = await filled(here)
        engine = create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.begin() as conn:
            await conn.execute(text("DROP TABLE search_index"))
        await engine.dispose()
        assert not (await here.find(ada, "words")).complete
        await recovered(here)
        found = await here.find(ada, "words", limit=100)
        assert (len(found.hits), found.complete) == (100, True)


async def test_a_folder_in_its_place_is_told_once_and_what_is_new_is_found(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    file_of(path).mkdir()
    with capture_logs() as logs:
        async with finding(sqlite_url) as here:
            ada = await here.world.person("Ada")
            await here.say(await here.world.room(ada), ada, "a new word")
            for _ in range(3):
                with pytest.raises(Unavailable):
                    await here.indexed()
                found = await here.find(ada, "word")
                assert (len(found.hits), found.complete) == (1, False)
    told = [one for one in logs if one["log_level"] == "error"]
    assert [(one["event"], one["path"]) for one in told] == [
        ("search.unusable", str(file_of(path)))
    ]
