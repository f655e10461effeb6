"""The queue, the shared commit and the deadline, on a database that the test holds in its hands."""

import asyncio
import gc
import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from palaver.clock import SystemClock
from palaver.errors import Code, Unavailable
from palaver.model import Event
from palaver.settings import Settings
from palaver.store.write.command import Command
from palaver.store.write.turns import ClaimTurns
from palaver.store.write.writer import Tally, Writer


class HeldDatabase:
    """Gives each batch the outcome that the test puts into `outcomes`: an error, or one result for all."""

    shared = False
    writers = 1

    def __init__(self) -> None:
        self.outcomes: asyncio.Queue[Any] = asyncio.Queue()
        self.begun: asyncio.Queue[None] = asyncio.Queue()

    async def writing(self, writer: int, work: Callable[[Connection], Any]) -> Any:  # noqa: ARG002
        self.begun.put_nowait(None)
        outcome = await self.outcomes.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def reading(self, work: Callable[[Connection], Any]) -> Any:  # noqa: ARG002
        raise AssertionError

    async def scrub(self) -> bool:
        return True

    async def close(self) -> None:
        return


@asynccontextmanager
async def writing(
    database: HeldDatabase, **settings: Any
) -> AsyncGenerator[tuple[Writer, list[Event]], None]:
    told: list[Event] = []

    def committed(events: Sequence[Event]) -> None:
        told.extend(events)

    writer = Writer(
        database=database,
        number=0,
        settings=Settings(**settings),
        clock=SystemClock(),
        owner="me",
        committed=committed,
        tally=Tally(),
        turns=[],
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(writer.run())
        yield writer, told
        writer.stop()


COMMAND: Command[Any] = ClaimTurns()


async def test_a_full_queue_is_a_temporary_error() -> None:
    database = HeldDatabase()
    async with writing(database, write_queue_max=3) as (writer, _):
        first = writer.put(COMMAND)
        await database.begun.get()
        waiting = [writer.put(COMMAND) for _ in range(3)]
        assert writer.queued == 3
        with pytest.raises(Unavailable) as caught:
            writer.put(COMMAND)
        assert caught.value.code is Code.TOO_BUSY
        assert caught.value.retry_ms
        for _ in range(2):
            database.outcomes.put_nowait(OSError())
        for future in (first, *waiting):
            with pytest.raises(Unavailable) as caught:
                await future
            assert caught.value.code is Code.DATABASE_UNAVAILABLE


async def test_nothing_is_taken_while_stopping() -> None:
    database = HeldDatabase()
    async with writing(database) as (writer, _):
        writer.stop()
        with pytest.raises(Unavailable) as caught:
            writer.put(COMMAND)
        assert caught.value.code is Code.SHUTTING_DOWN


async def test_who_waits_too_long_is_told_and_so_is_who_waits_behind() -> None:
    database = HeldDatabase()
    async with writing(database, database_seconds=0.05) as (writer, _):
        first = writer.put(COMMAND)
        await database.begun.get()
        second = writer.put(COMMAND)
        for future in (first, second):
            with pytest.raises(Unavailable) as caught:
                await future
            assert caught.value.code is Code.DATABASE_UNAVAILABLE
        third = writer.put(COMMAND)
        with pytest.raises(Unavailable):
            await third
        for _ in range(2):
            database.outcomes.put_nowait(OSError())


async def test_an_unexpected_error_of_one_is_its_own() -> None:
    database = HeldDatabase()
    async with writing(database) as (writer, _):
        held = writer.put(COMMAND)
        await database.begun.get()
        first, second = writer.put(COMMAND), writer.put(COMMAND)
        database.outcomes.put_nowait(OSError())
        for error in (KeyError(), KeyError(), OSError()):
            database.outcomes.put_nowait(error)
        with pytest.raises(Unavailable):
            await held
        with pytest.raises(Unavailable) as caught:
            await first
        assert caught.value.code is Code.INTERNAL
        assert "KeyError" not in caught.value.detail
        with pytest.raises(Unavailable) as caught:
            await second
        assert caught.value.code is Code.DATABASE_UNAVAILABLE


async def test_a_writer_that_gave_up_hurts_nobody() -> None:
    database = HeldDatabase()
    async with writing(database) as (writer, _):
        first = writer.put(COMMAND)
        await database.begun.get()
        first.cancel()
        database.outcomes.put_nowait(OSError())
        second = writer.put(COMMAND)
        database.outcomes.put_nowait(OSError())
        with pytest.raises(Unavailable):
            await second


async def test_nothing_of_a_batch_is_kept_until_the_next_one_comes() -> None:
    database = HeldDatabase()
    async with writing(database) as (writer, _):
        command = ClaimTurns(dead=("nobody",))
        future = writer.put(command)
        database.outcomes.put_nowait(([()], []))
        await future
        await asyncio.sleep(0)  # the writer goes on to wait for the next one
        await asyncio.sleep(0)
        del future
        held = [one for one in gc.get_referrers(command) if not inspect.isframe(one)]
        assert held == []
