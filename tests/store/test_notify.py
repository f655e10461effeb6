"""Notices go from process to process through PostgreSQL, and a broken connection is made anew."""

import asyncio

import pytest
from tests.support.postgres import PostgresServer

from palaver.clock import SystemClock
from palaver.settings import Settings
from palaver.store import notify as module
from palaver.store.engine.base import parsed
from palaver.store.notify import PostgresqlBus, Silence, bus_of

NOTICE_BYTES_MAX = 7_900
"""PostgreSQL takes less than 8,000 bytes in one notice."""


def test_there_is_no_bus_for_sqlite_and_a_silent_one_where_it_is_switched_off() -> None:
    sqlite = Settings(database_url="sqlite:///x.db")
    assert bus_of(sqlite, SystemClock()) is None
    polling = Settings(database_url="postgresql://h/d", listen_url="")
    assert isinstance(bus_of(polling, SystemClock()), Silence)


@pytest.mark.postgres
async def test_what_one_says_every_other_hears(postgres_url: str) -> None:
    # the first host is not there, and asyncpg itself does not know the last option
    found = parsed(postgres_url)
    address = f"?host=127.0.0.1:1&host=127.0.0.1:{found.port}&channel_binding=prefer"
    settings = Settings(database_url=f"postgresql://palaver@/{found.database}{address}")
    one, two = (PostgresqlBus(settings, SystemClock()) for _ in range(2))
    heard: asyncio.Queue[str] = asyncio.Queue()
    begun = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as tasks:
        listening = [
            tasks.create_task(one.run(lambda _: None, begun.release)),
            tasks.create_task(two.run(heard.put_nowait, begun.release)),
        ]
        for _ in listening:
            await begun.acquire()
        longest = "é" * (NOTICE_BYTES_MAX // 2)
        await one.send(["hello", longest])
        assert [await heard.get(), await heard.get()] == ["hello", longest]
        for task in listening:
            task.cancel()
    await one.send(["nobody listens any more"])  # lost, without an error


@pytest.mark.postgres
async def test_a_connection_that_ends_is_made_anew_at_once_and_many_may_speak(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 3_600)  # when it would look by itself
    bus = PostgresqlBus(Settings(database_url=postgres_url), SystemClock())
    heard: asyncio.Queue[str] = asyncio.Queue()
    begun = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(bus.run(heard.put_nowait, begun.release))
        await begun.acquire()
        async with asyncio.timeout(90):
            postgres_server.throw_out(postgres_url)
            await begun.acquire()
        for number in range(10):
            tasks.create_task(bus.send([f"{number}"]))
        assert {await heard.get() for _ in range(10)} == {f"{number}" for number in range(10)}
        listening.cancel()
