"""Saying something once, reading what was said, waiting for more."""

import asyncio

import pytest

from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused
from palaver.model import Actor, RoomId


async def room_of(core: Core) -> tuple[Actor, RoomId]:
    _, ada = await core.identity.new_guest("Ada")
    return ada, (await core.rooms.create(ada, agent=False)).id


async def code_of(core: Core, actor: Actor, room: RoomId, **given: object) -> Code:
    with pytest.raises(PalaverError) as error:
        await core.chat.send(actor, room, **{"text": "x", "cid": None} | given)  # type: ignore[arg-type]
    return error.value.code


async def test_a_repeated_send_is_stored_once_and_another_text_is_refused(core: Core) -> None:
    ada, room = await room_of(core)
    first = await core.chat.send(ada, room, text="once", cid="c-1")
    again = await core.chat.send(ada, room, text="once", cid="c-1")
    assert (first.dup, again.dup) == (False, True)
    assert (first.id, first.seq) == (again.id, again.seq)
    assert await code_of(core, ada, room, text="other", cid="c-1") is Code.CID_REUSED
    assert len((await core.chat.history(ada, room)).messages) == 1


async def test_what_cannot_be_said_is_refused_and_nothing_is_stored(core: Core) -> None:
    ada, room = await room_of(core)
    assert await code_of(core, ada, room, text="") is Code.EMPTY_MESSAGE
    assert await code_of(core, ada, room, text="x" * 100_001) is Code.TEXT_TOO_LONG
    assert await code_of(core, ada, room, text="\ud800") is Code.INVALID_UNICODE
    assert await code_of(core, ada, room, cid="a b") is Code.CID_INVALID
    assert await code_of(core, ada, room, reply_to="m_" + "0" * 32) is Code.MESSAGE_NOT_FOUND
    _, stranger = await core.identity.new_guest()
    assert await code_of(core, stranger, room) is Code.ROOM_NOT_FOUND
    assert (await core.chat.history(ada, room)).messages == ()


async def test_history_is_read_by_seq_from_any_place(core: Core) -> None:
    ada, room = await room_of(core)
    for number in range(10):
        await core.chat.send(ada, room, text=str(number), cid=None)
    newest = await core.chat.history(ada, room, limit=3)
    assert [one.text for one in newest.messages] == ["7", "8", "9"]
    older = await core.chat.history(ada, room, before=newest.before, limit=3)
    assert [one.text for one in older.messages] == ["4", "5", "6"]
    around = await core.chat.history(ada, room, around=older.messages[1].seq, limit=3)
    assert "5" in [one.text for one in around.messages]
    with pytest.raises(Refused) as refused:
        await core.chat.history(ada, room, after=10_000)
    assert refused.value.code is Code.HISTORY_RESET
    with pytest.raises(Refused):
        await core.chat.history(ada, room, before=3, after=1)


async def test_events_are_waited_for(core: Core) -> None:
    ada, room = await room_of(core)
    happened, seq = await core.chat.events(ada, room, after=0)
    assert [event.seq for event in happened] == list(range(1, seq + 1))
    assert await core.chat.events(ada, room, after=seq, wait_seconds=0.05) == ((), seq)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(core.chat.events(ada, room, after=seq, wait_seconds=90))
        await core.chat.send(ada, room, text="now", cid=None)
    [event] = [one for one in waiting.result()[0] if one.message is not None]
    assert event.message is not None
    assert event.message.text == "now"


async def test_the_first_message_names_a_room(core: Core) -> None:
    ada, room = await room_of(core)
    await core.chat.send(ada, room, text="\n A question?  \nmore", cid=None)
    await core.chat.send(ada, room, text="And another", cid=None)
    assert (await core.rooms.get(ada, room)).title == "A question?"


async def test_unread_counts_what_others_said_since(core: Core) -> None:
    ada, room = await room_of(core)
    _, bo = await core.identity.new_guest("Bo")
    await core.rooms.join(ada, room, bo)
    for text in ("one", "two"):
        sent = await core.chat.send(ada, room, text=text, cid=None)
    assert (await core.rooms.get(bo, room)).unread == 2
    assert (await core.rooms.get(ada, room)).unread == 0
    assert sent.seq is not None
    assert await core.chat.mark_read(bo, room, sent.seq - 1) == sent.seq - 1
    assert (await core.rooms.get(bo, room)).unread == 1
