"""The mailbox of a connection, its slices and its allowance."""

import asyncio

import pytest

from palaver.wire.edge.waiting import SLICE_BYTES, Allowance, Intake, Mailbox


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


class Wire(asyncio.Transport):
    """A transport that only knows whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


async def test_what_was_read_is_parsed_in_slices_while_nothing_more_is_read() -> None:
    wire, slices = Wire(), list[bytes]()
    intake = Intake(wire, slices.append)
    data = bytes(range(256)) * 150
    intake.take(data)
    assert (len(slices), wire.reading) == (1, False)
    intake.take(b"more, which was under way")
    while not wire.reading:
        before = len(slices)
        await asyncio.sleep(0)
        assert len(slices) <= before + 1
    assert b"".join(slices) == data + b"more, which was under way"
    assert max(map(len, slices)) == SLICE_BYTES


async def test_what_is_held_back_is_parsed_when_it_goes_on() -> None:
    wire, slices = Wire(), list[bytes]()

    def parse(data: bytes) -> None:
        slices.append(data)
        intake.pause_reading()

    intake = Intake(wire, parse)
    intake.take(b"x" * (SLICE_BYTES + 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (len(slices), wire.reading) == (1, False)
    intake.resume_reading()
    await asyncio.sleep(0)
    assert (slices[1:], wire.reading) == ([b"x"], False)
    intake.resume_reading()
    assert wire.reading
    intake.wait(3_600)
    intake.resume_reading()
    assert not wire.reading, "a wait is a wait"
    wire.closing = True
    intake.drop()
    intake.resume_reading()


def test_an_allowance_is_an_average_and_what_is_beyond_it_is_owed() -> None:
    allowance = Allowance(5, 0.0)
    assert allowance.wait_seconds(0.0) == 0
    allowance.take(49)
    assert allowance.wait_seconds(0.0) == 0
    allowance.take(11)
    assert allowance.wait_seconds(0.0) == pytest.approx(11 / 5)
    assert allowance.wait_seconds(2.2) == pytest.approx(0)
    assert allowance.wait_seconds(1_000.0) == 0
    allowance.take(50)
    assert allowance.wait_seconds(1_000.0) > 0, "what is not used up is not saved up"
