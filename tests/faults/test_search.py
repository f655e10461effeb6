"""Who writes, indexes or moves what is committed into the feed is killed or stopped: all that was stored is found."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.support.server import clean_environment

import palaver

pytestmark = [pytest.mark.fault]

LIVES = 4
SECONDS_MAX = 60
WRITE = """
import asyncio, sys
import palaver

async def main(url: str, life: int) -> None:
    async with palaver.open(url) as chat:
        ada = await chat.person("ada")
        room = await chat.room("long")
        for number in range(100_000):
            await room.say(ada, f"word life{life} number{number}")
            print(number, flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
STOP = """
import asyncio, os, signal, sys
from palaver.clock import SystemClock
from palaver.settings import settings_from
from palaver.store.store import Store
from palaver.store.write.consumers import MoveFeed

class Stopped(MoveFeed, frozen=True):
    def apply(self, tx):
        if super().apply(tx) is not None:
            os.kill(os.getpid(), signal.SIGSTOP)

async def main():
    settings = settings_from(database_url=sys.argv[1])
    async with Store.opened(settings, SystemClock(), committed=lambda _: None) as store:
        while True:
            await store.write(Stopped())

asyncio.run(main())
"""

REINDEX = """
import asyncio, os, signal, sys
import palaver
from palaver.core.search import indexer
from palaver.store.search.postgresql import PostgresqlEngine
from palaver.store.search.sqlite import SqliteEngine

indexer.MESSAGES_AT_ONCE = 10
left = int(sys.argv[2])

def die():
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

def dying(insert, save):
    def inserted(self, conn, rows):
        die()
        insert(self, conn, rows)

    def saved(self, conn, progress):
        save(self, conn, progress)
        die()

    return inserted, saved

async def main():
    async with palaver.open(sys.argv[1]) as chat:
        for engine in (PostgresqlEngine, SqliteEngine):
            engine.insert, engine.save = dying(engine.insert, engine.save)
        await chat._core.indexer.renew()
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def found_in(url: str) -> dict[int, list[int]]:
    """The numbers of each life that a search finds once the index is whole, page by page."""
    async with palaver.open(url) as chat:
        async with asyncio.timeout(SECONDS_MAX):
            while not (await chat.search("word", limit=1)).complete:  # noqa: ASYNC110  nothing tells it
                await asyncio.sleep(0.05)
        seen: dict[int, list[int]] = {}
        cursor: str | None = None
        while True:
            page = await chat.search("word", limit=100, cursor=cursor)
            assert page.complete
            for hit in page.hits:
                _, life, number = hit.message.text.split()
                seen.setdefault(int(life[4:]), []).append(int(number[6:]))
            if (cursor := page.cursor) is None:
                return seen


def lived(url: str, life: int, messages: int) -> int:
    """Writes until so many messages are stored, and dies; how many were acknowledged."""
    command = [sys.executable, "-P", "-c", WRITE, url, str(life)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=clean_environment({}), text=True
    ) as process:
        assert process.stdout is not None
        acknowledged = 0
        for line in process.stdout:
            acknowledged = int(line) + 1
            if acknowledged >= messages:
                break
        process.kill()
        rest = [int(line) + 1 for line in process.stdout if line.strip().isdecimal()]
    return max([acknowledged, *rest])


async def said(url: str, messages: int) -> None:
    async with palaver.open(url) as chat:
        ada, room = await chat.person("ada"), await chat.room("long")
        for number in range(messages):
            await room.say(ada, f"word life0 number{number}")


def test_who_is_killed_while_the_index_is_made_anew_loses_nothing(database_url: str) -> None:
    """In the middle of its first transaction, which empties the index, and of one that goes on: at these calls."""
    asyncio.run(said(database_url, 60))
    for calls in (1, 5):
        command = [sys.executable, "-P", "-c", REINDEX, database_url, str(calls)]
        killed = subprocess.run(
            command, env=clean_environment({}), timeout=SECONDS_MAX, check=False
        )
        assert killed.returncode == -signal.SIGKILL
        assert asyncio.run(found_in(database_url)) == {0: list(range(59, -1, -1))}


def test_all_that_was_stored_is_found_whoever_was_killed(database_url: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged = {
        life: lived(database_url, life, chance.randrange(20, 250)) for life in range(LIVES)
    }
    for _ in range(2):
        seen = asyncio.run(found_in(database_url))
        for life, count in acknowledged.items():
            assert len(seen[life]) == len(set(seen[life])), "each once"
            assert set(range(count)) <= set(seen[life])
        for file in tmp_path.rglob("*-search.db*"):
            file.unlink()  # and once more, of nothing


async def test_a_search_is_complete_while_the_one_who_moves_into_the_feed_is_stopped(
    postgres_url: str,
) -> None:
    """It has taken out what waited, has the lock, and its transaction stays open."""
    asyncpg: Any = import_module("asyncpg")  # it brings no types
    async with palaver.open(postgres_url) as chat, palaver.open(postgres_url) as other:
        ada, room = await chat.person("ada"), await chat.room("a room")
        await room.add(ada)
        await room.say(ada, "word 0")
        async with asyncio.timeout(SECONDS_MAX):
            while not (await chat.search("word", by=ada)).complete:  # noqa: ASYNC110  nothing tells it
                await asyncio.sleep(0.05)
        command = [sys.executable, "-P", "-c", STOP, postgres_url]
        environment = clean_environment({"PALAVER_DATABASE_SECONDS": "600"})
        with subprocess.Popen(command, env=environment) as process:  # noqa: ASYNC220  it starts at once
            try:
                await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
                elsewhere = await other.room("a room")
                for number in range(1, 9):
                    await elsewhere.say(ada, f"word {number}")
                    found = await chat.search("word", by=ada)
                    texts = [hit.message.text for hit in found.hits]
                    assert texts == [f"word {one}" for one in range(number, -1, -1)]
                    assert found.complete
                watching = await asyncpg.connect(postgres_url)
                assert await watching.fetchval("SELECT count(*) FROM unfed") >= 8, "nobody moved it"
            finally:
                process.kill()
            async with asyncio.timeout(SECONDS_MAX):
                while await watching.fetchval("SELECT count(*) FROM unfed"):  # noqa: ASYNC110  likewise
                    await asyncio.sleep(0.05)
            await watching.close()
        found = await chat.search("word", by=ada)
        assert (len(found.hits), found.complete) == (9, True)
