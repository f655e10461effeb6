import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from tests.support.simulation import simulate

from palaver.providers.http.deadline import DRAIN_SECONDS, TAIL_SECONDS, Deadline, Patience

Life = Callable[[], Coroutine[Any, Any, None]]


def on_virtual_time(life: Life) -> Callable[[], None]:
    """A test whose waits take no time, and exactly as long as they say."""

    @wraps(life)
    def lived() -> None:
        simulate(0, lambda _chance, _clock: life())

    return lived


@on_virtual_time
async def test_a_silence_is_longer_before_the_first_word_and_short_behind_the_end() -> None:
    patience = Patience(100.0, 10.0)
    assert patience.until == 100
    await asyncio.sleep(1)
    patience.heard(began=False, finished=False, over=False)
    assert patience.until == 100, "a comment is no word"
    patience.heard(began=True, finished=False, over=False)
    assert patience.until == 1 + 10
    assert (patience.begun, patience.seconds) == (True, 10.0)
    patience.heard(began=True, finished=True, over=False)
    assert patience.until == 1 + TAIL_SECONDS
    await asyncio.sleep(1)
    patience.heard(began=True, finished=True, over=False)
    assert patience.until == 1 + TAIL_SECONDS, "more of the tail buys no time"
    patience.heard(began=True, finished=True, over=True)
    assert patience.until == 2 + DRAIN_SECONDS


@on_virtual_time
async def test_signs_of_life_buy_time_up_to_a_bound_and_words_begin_it_anew() -> None:
    patience = Patience(10.0, 5.0, 30.0)
    for second in (1, 2):
        await asyncio.sleep(1)
        patience.alive()
        assert patience.until == second + 10
    await asyncio.sleep(23)  # it is 25
    patience.alive()
    assert (patience.until, patience.only_alive) == (30, True)
    patience.heard(began=True, finished=False, over=False)
    assert (patience.until, patience.only_alive) == (30, False)
    await asyncio.sleep(4)
    patience.alive()
    assert patience.until == 34
    patience.heard(began=True, finished=True, over=False)
    patience.alive()
    assert patience.until == 29 + TAIL_SECONDS, "nothing extends the tail"


@on_virtual_time
async def test_a_wait_that_is_too_long_is_ended_and_others_are_not() -> None:
    patience = Patience(0.1, 0.05)
    deadline = Deadline(patience)
    for _ in range(5):  # longer than the first limit, and each of them shorter than the second
        with deadline:
            await asyncio.sleep(0.03)
        patience.heard(began=True, finished=False, over=False)
    with pytest.raises(TimeoutError), deadline:
        await asyncio.sleep(10)
    deadline.close()
    await asyncio.sleep(0)  # nothing of it is left


@on_virtual_time
async def test_a_shorter_limit_counts_at_once() -> None:
    patience = Patience(10.0, 10.0)
    deadline = Deadline(patience)
    patience.heard(began=True, finished=False, over=True)
    with pytest.raises(TimeoutError), deadline:
        await asyncio.sleep(5)
    deadline.close()


@on_virtual_time
async def test_what_happens_outside_of_a_wait_takes_its_time() -> None:
    deadline = Deadline(Patience(0.02, 0.02))
    await asyncio.sleep(0.06)
    deadline.close()


@on_virtual_time
async def test_the_task_that_waits_is_ended_and_not_the_one_that_began() -> None:
    deadline = Deadline(Patience(1.0, 1.0))
    with deadline:
        await asyncio.sleep(0.5)

    async def goes_on() -> None:
        with pytest.raises(TimeoutError), deadline:
            await asyncio.sleep(10)
        deadline.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(goes_on())


@on_virtual_time
async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def waits() -> None:
        deadline = Deadline(Patience(10.0, 10.0))
        try:
            with deadline:
                await asyncio.sleep(10)
        finally:
            deadline.close()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
