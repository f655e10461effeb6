"""Answers that a program writes: what is kept of them, and of how they came about."""

import asyncio
from typing import Any

import pytest
from tests.test_facade import chat

import palaver
from palaver import Code, Refused, Status

__all__ = ["chat"]


async def test_an_error_in_the_block_keeps_what_came_and_goes_on(chat: palaver.Chat) -> None:
    room, helper = await chat.room("a"), await chat.agent("helper")

    async def answering() -> None:
        async with room.answer(helper) as answer:
            answer.write("one over nought is ")
            answer.write(str(1 // 0))

    with pytest.raises(ZeroDivisionError):
        await answering()
    (kept,) = (await room.history()).messages
    assert (kept.text, kept.status) == ("one over nought is ", Status.FAILED)
    assert kept.meta["error"]["code"] == Code.INTERNAL


async def test_a_cancelled_answer_is_interrupted(chat: palaver.Chat) -> None:
    room, helper = await chat.room("a"), await chat.agent("helper")
    begun = asyncio.Event()

    async def answering() -> None:
        async with room.answer(helper) as answer:
            answer.write("so far")
            begun.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(answering())
        await begun.wait()
        task.cancel()
    (kept,) = (await room.history()).messages
    assert (kept.text, kept.status) == ("so far", Status.INTERRUPTED)


async def test_how_an_answer_came_about_is_kept_with_it(database_url: str) -> None:
    async with palaver.open(database_url) as chat:
        room, helper = await chat.room("a"), await chat.agent("helper")
        async with room.answer(helper) as answer:
            answer.write("whole")
            answer.record(model="m-1", input_tokens=7)
            answer.record(finish="length", output_tokens=0)
        async with room.answer(helper) as failed:
            failed.write("half")
            failed.fail("upstream_busy", "Come back later.", temporary=True)
        with pytest.raises(ValueError, match="no more"):
            await failing(room, helper)
    async with palaver.open(database_url) as chat:
        whole, half, last = (await (await chat.room("a")).history()).messages
    assert (whole.status, half.status) == (Status.DONE, Status.FAILED)
    assert {name: kept for name, kept in whole.meta.items() if name != "turn"} == {
        "model": "m-1",
        "finish": "length",
        "usage": {"input": 7, "output": 0},
    }
    assert half.text == "half"
    assert half.meta["error"] == {
        "code": "upstream_busy",
        "detail": "Come back later.",
        "temporary": True,
    }
    assert (last.status, last.meta["error"]["code"]) == (Status.FAILED, "own_code")


async def failing(room: palaver.Room, helper: palaver.Actor) -> None:
    async with room.answer(helper) as answer:
        answer.fail("own_code")
        raise ValueError("no more")


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"finish": "x" * 1_001}, Code.BAD_REQUEST),
        ({"model": "\ud800"}, Code.INVALID_UNICODE),
        ({"input_tokens": -1}, Code.BAD_REQUEST),
        ({"output_tokens": 2**53}, Code.BAD_REQUEST),
    ],
)
async def test_what_cannot_be_kept_of_an_answer_is_refused(
    chat: palaver.Chat, told: dict[str, Any], code: Code
) -> None:
    room, helper = await chat.room("a"), await chat.agent("helper")
    async with room.answer(helper) as answer:
        with pytest.raises(Refused) as refused:
            answer.record(**told)
    assert refused.value.code is code
    assert answer.message is not None
    assert set(answer.message.meta) == {"turn"}


async def test_half_a_character_in_an_answer_fails_it_and_keeps_the_rest(
    chat: palaver.Chat,
) -> None:
    room, helper = await chat.room("a"), await chat.agent("helper")

    async def answering() -> None:
        async with room.answer(helper) as answer:
            answer.write("good")
            answer.write("\ud83d")

    with pytest.raises(Refused) as refused:
        await answering()
    (kept,) = (await room.history()).messages
    assert refused.value.code is Code.INVALID_UNICODE
    assert (kept.text, kept.status) == ("good", Status.FAILED)
