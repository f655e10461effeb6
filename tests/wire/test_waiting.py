"""The gate and the mailbox of a connection."""

import asyncio

import pytest

from palaver.wire.waiting import Gate, Mailbox


async def test_an_open_gate_lets_through_and_a_shut_one_does_not() -> None:
    gate = Gate()
    await gate.wait()
    gate.clear()
    assert not gate.is_set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await gate.wait()


async def test_opening_lets_everyone_through_who_still_waits() -> None:
    gate = Gate()
    gate.clear()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(gate.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        gate.set()
    assert gate.is_set()
    assert [task.cancelled() for task in waiting] == [True, False, False]


async def test_messages_come_out_in_their_order_whoever_waits() -> None:
    box = Mailbox[int]()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(box.get())
        await asyncio.sleep(0)
        for number in range(3):
            box.put_nowait(number)
    assert first.result() == 0
    assert [await box.get(), await box.get()] == [1, 2]
    assert box.empty()


async def test_a_wait_that_is_cancelled_takes_nothing() -> None:
    box = Mailbox[str]()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(box.get())
        await asyncio.sleep(0)
        task.cancel()
        box.put_nowait("a")
    assert await box.get() == "a"
