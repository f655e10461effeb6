"""What is done every so often outlives a database that is away; who comes after the end of all tasks is told so."""

import asyncio

import pytest

from palaver.core.part import Every, tasks_of_a_server
from palaver.errors import Code, Unavailable


async def test_work_that_met_a_database_that_is_away_is_done_again() -> None:
    tries: list[int] = []
    done = asyncio.Event()

    async def work() -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            raise Unavailable(Code.DATABASE_UNAVAILABLE, "The database is away.")
        done.set()

    async with tasks_of_a_server() as tasks:
        running = tasks.create_task(Every(0, work).run())
        async with asyncio.timeout(30):
            await done.wait()
        running.cancel()
    assert tries[:3] == [0, 1, 2]


async def test_an_error_among_the_tasks_goes_on_as_it_is_and_in_no_group() -> None:
    with pytest.raises(ZeroDivisionError):
        async with tasks_of_a_server():
            raise ZeroDivisionError


async def test_who_comes_after_the_end_of_all_tasks_is_told_that_the_server_stops() -> None:
    async with tasks_of_a_server() as tasks:
        pass
    with pytest.raises(Unavailable) as refused:
        tasks.create_task(asyncio.sleep(0))
    assert refused.value.code is Code.SHUTTING_DOWN
