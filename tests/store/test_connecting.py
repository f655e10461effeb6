"""A connect to PostgreSQL that is cancelled, wherever it is, leaves no connection, and no error that nobody reads.

What is left half made fails these tests by itself: their event loop tells of it, or the garbage collector does.
"""

import asyncio
import gc
import socket
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest
from sqlalchemy import Connection, text
from tests.support.postgres import PostgresServer

from palaver.clock import SystemClock
from palaver.settings import Settings
from palaver.store.engine import postgresql
from palaver.store.engine.base import parsed
from palaver.store.engine.postgresql import PostgresqlDatabase
from palaver.store.notify import PostgresqlBus

pytestmark = pytest.mark.postgres
WAITS_MAX = 200
Work = Callable[[], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("writes", [False, True])
async def test_a_call_that_is_cancelled_in_its_connect_leaves_nothing(
    postgres_server: PostgresServer, postgres_url: str, *, writes: bool
) -> None:
    databases: list[PostgresqlDatabase] = []

    async def call() -> None:
        databases.append(opened(postgres_url))
        calling = databases[-1].writing(0, one) if writes else databases[-1].reading(one)
        assert await calling == 1

    async def close() -> None:
        await databases.pop().close()

    assert await cancelled_everywhere(call, close) > 5
    await gone(postgres_server, postgres_url)


async def test_a_bus_that_is_ended_in_its_connect_leaves_nothing(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    def lost() -> None:
        raise EOFError

    async def listen() -> None:
        bus = PostgresqlBus(Settings(database_url=postgres_url), SystemClock())
        with pytest.raises(EOFError):  # it would listen for ever
            await bus.run(lambda _: None, lost)

    assert await cancelled_everywhere(listen, nothing) > 5
    await gone(postgres_server, postgres_url)


async def test_a_server_that_does_not_answer_holds_up_nobody_who_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgresql, "LEFT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)  # noqa: FBT003  the name of the argument is not to be given
        address = f"postgresql://palaver@127.0.0.1:{silent.getsockname()[1]}/none"
        database = opened(address, database_seconds=3_600)
        calling = asyncio.create_task(database.reading(one))  # noqa: TID251  it is awaited below
        there, _ = await asyncio.get_running_loop().sock_accept(silent)
        calling.cancel()
        async with asyncio.timeout(60):
            await asyncio.wait([calling])
            await database.close()
        assert calling.cancelled()
        there.close()


def opened(url: str, **settings: Any) -> PostgresqlDatabase:
    return PostgresqlDatabase(parsed(url), Settings(database_url=url, **settings), SystemClock())


def one(conn: Connection) -> Any:
    return conn.scalar(text("SELECT 1"))


async def nothing() -> None:
    """There is nothing to close."""


async def cancelled_everywhere(work: Work, close: Work) -> int:
    """Cancels it where it waits for the first time, then for the second and so on; how many times there were."""
    for number in range(1, WAITS_MAX):
        ended_before = not await cancelled_at(number, work)
        await close()
        if ended_before:
            gc.collect()
            await asyncio.sleep(0)  # the loop tells of what it found
            return number - 1
    raise AssertionError("it does not end")


async def cancelled_at(number: int, work: Work) -> bool:
    """Cancels it when it, or a task that it began, waits for the n-th time; whether it did not end before."""
    loop = asyncio.get_running_loop()
    left = number

    def waits() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            loop.call_soon(task.cancel)

    def making(of: asyncio.AbstractEventLoop, begun: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(Watched(begun, waits), loop=of, **options)

    loop.set_task_factory(making)
    try:
        task = asyncio.create_task(work())  # noqa: TID251  it is awaited at once
        await asyncio.wait([task])
    finally:
        loop.set_task_factory(None)
    return task.cancelled()


class Watched(Coroutine[Any, Any, Any]):
    """The same coroutine, which tells each time that it waits."""

    def __init__(self, begun: Coroutine[Any, Any, Any], waits: Callable[[], None]) -> None:
        self.begun = begun
        self.waits = waits

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.begun.__await__()

    def send(self, value: Any) -> Any:
        awaited = self.begun.send(value)
        self.waits()
        return awaited

    def throw(self, *error: Any) -> Any:
        awaited = self.begun.throw(*error)
        self.waits()
        return awaited

    def close(self) -> None:
        self.begun.close()


async def gone(server: PostgresServer, url: str) -> None:
    """Waits until nobody is connected any more."""
    count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{parsed(url).database}'"
    async with asyncio.timeout(60):
        while await asyncio.to_thread(server.execute, count) != "0":
            pass
