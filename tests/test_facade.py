"""The embedding door, on both engines."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.support.scripted import Scripted
from tests.support.server import clean_environment

import palaver
from palaver import Code, Delta, Event, EventType, Opened, Refused, Status

SECONDS_MAX = 90


@pytest.fixture
async def chat(sqlite_url: str) -> AsyncIterator[palaver.Chat]:
    async with palaver.open(sqlite_url) as chat:
        yield chat


async def test_what_was_said_is_there_when_it_is_opened_again(database_url: str) -> None:
    async with palaver.open(database_url) as chat:
        room = await chat.room("support")
        ada = await chat.person("ada", name="Ada")
        helper = await chat.agent("helper", name="Helper")
        question = await room.say(ada, "Where is my parcel?", cid="order-77")
        async with room.answer(helper) as answer:
            answer.write("It is ")
            answer.write("on its way.")
        assert answer.message is not None
        assert answer.message.id == answer.id
    async with palaver.open(database_url) as chat:
        again = await chat.room("support")
        page = await again.history()
    assert again.id == room.id
    assert page.messages == (question, answer.message)
    assert [(one.name, one.role, one.text, one.status) for one in page.messages] == [
        ("Ada", "user", "Where is my parcel?", Status.DONE),
        ("Helper", "assistant", "It is on its way.", Status.DONE),
    ]
    assert page.messages[0].seq < page.messages[1].seq


async def test_a_repeated_say_is_stored_once(chat: palaver.Chat) -> None:
    room, ada = await chat.room("a"), await chat.person("ada")
    first = await room.say(ada, "once", cid="1")
    assert await room.say(ada, "once", cid="1") == first
    with pytest.raises(Refused) as refused:
        await room.say(ada, "twice", cid="1")
    assert refused.value.code is Code.CID_REUSED
    assert [message.text for message in (await room.history()).messages] == ["once"]


async def test_followers_see_an_answer_while_it_is_written(chat: palaver.Chat) -> None:
    room, ada, helper = await chat.room("a"), await chat.person("ada"), await chat.agent("helper")
    await room.add(helper)
    said = await room.say(ada, "go on")
    async with aclosing(room.follow(since=said.seq)) as following, asyncio.timeout(SECONDS_MAX):
        async with room.answer(helper) as answer:
            answer.write("first ")
            opened = await anext(following)
            first = await anext(following)
            assert isinstance(opened, Opened)
            assert isinstance(first, Delta)
            assert (opened.stream.message, first.text) == (answer.id, "first ")
            answer.write("second")
            second = await anext(following)
            assert isinstance(second, Delta)
            assert second.text == "second"
        end = await anext(following)
    assert isinstance(end, Event)
    assert end.message == answer.message


async def test_a_late_follower_gets_the_text_so_far(chat: palaver.Chat) -> None:
    room, helper = await chat.room("a"), await chat.agent("helper")
    async with room.answer(helper) as answer:
        answer.write("so ")
        answer.write("far")
        async with aclosing(room.follow()) as following, asyncio.timeout(SECONDS_MAX):
            opened, so_far = await anext(following), await anext(following)
    assert isinstance(opened, Opened)
    assert isinstance(so_far, Delta)
    assert so_far.text == "so far"


async def test_following_from_a_seq_gives_every_event_once_and_in_order(
    chat: palaver.Chat,
) -> None:
    room, ada = await chat.room("a"), await chat.person("ada")
    for number in range(450):
        await room.say(ada, f"{number}")
    seen: list[Event] = []
    async with aclosing(room.follow(since=0)) as following, asyncio.timeout(SECONDS_MAX):
        async for happening in following:
            assert isinstance(happening, Event)
            seen.append(happening)
            if len(seen) == 400:
                await room.say(ada, "meanwhile")
            if happening.message is not None and happening.message.text == "meanwhile":
                break
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    texts = [event.message.text for event in seen if event.message is not None]
    assert texts == [*(f"{number}" for number in range(450)), "meanwhile"]


async def test_a_follower_that_knows_more_than_there_is_is_told(chat: palaver.Chat) -> None:
    room = await chat.room("a")
    with pytest.raises(Refused) as refused:
        await anext(room.follow(since=99))
    assert refused.value.code is Code.HISTORY_RESET


async def test_followers_end_when_the_chat_is_closed(sqlite_url: str) -> None:
    ended = asyncio.Event()
    following = asyncio.Event()

    async def follow(room: palaver.Room) -> None:
        async for happening in room.follow(since=0):
            if isinstance(happening, Event) and happening.type is EventType.ROOM_CREATED:
                following.set()
        ended.set()

    async with (
        asyncio.timeout(SECONDS_MAX),
        asyncio.TaskGroup() as tasks,
        palaver.open(sqlite_url) as chat,
    ):
        tasks.create_task(follow(await chat.room("a")))
        await following.wait()
    assert ended.is_set()


async def test_rooms_are_found_by_name_id_and_title(chat: palaver.Chat) -> None:
    holiday = await chat.room("Holiday plans")
    other = await chat.new_room("Taxes")
    assert (await chat.room("Holiday plans")).id == holiday.id
    assert (await chat.room(other.id)).title == "Taxes"
    assert [room.id async for room in chat.rooms(search="HOLI")] == [holiday.id]
    renamed = await holiday.rename("Summer")
    assert (renamed.id, renamed.title) == (holiday.id, "Summer")
    assert (await chat.room("Holiday plans")).title == "Summer"
    with pytest.raises(Refused) as refused:
        await chat.room("r_" + "0" * 32)
    assert refused.value.code is Code.ROOM_NOT_FOUND


async def test_many_rooms_are_listed_newest_first(chat: palaver.Chat) -> None:
    made = [(await chat.new_room(f"{number}")).title for number in range(120)]
    assert [room.title async for room in chat.rooms()] == made[::-1]


async def test_a_deleted_room_comes_back_whole(chat: palaver.Chat) -> None:
    room, ada = await chat.room("a"), await chat.person("ada")
    await room.say(ada, "keep me")
    await room.delete()
    with pytest.raises(Refused):
        await room.history()
    await room.restore()
    assert [message.text for message in (await room.history()).messages] == ["keep me"]
    await room.delete()
    assert (await chat.room("a")).id == room.id


async def test_handles_name_the_same_actor_for_ever(chat: palaver.Chat) -> None:
    ada = await chat.person("ada", name="Ada")
    assert await chat.person("ada") == ada
    lovelace = await chat.person("ada", name="Ada Lovelace")
    assert (lovelace.id, lovelace.name) == (ada.id, "Ada Lovelace")
    helper = await chat.agent("helper")
    assert (helper.kind, helper.name) == ("agent", "helper")


async def test_people_and_agents_are_not_mixed_up(chat: palaver.Chat) -> None:
    room, ada, helper = await chat.room("a"), await chat.person("ada"), await chat.agent("helper")
    with pytest.raises(Refused):
        await chat.person("helper")
    with pytest.raises(Refused):
        await chat.agent("ada")
    assert await chat.person("ada") == ada
    with pytest.raises(Refused):
        await room.say(helper, "I am a person")
    with pytest.raises(Refused):
        async with room.answer(ada):
            pytest.fail("a person does not answer")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", Code.EMPTY_MESSAGE),
        ("x" * 100_001, Code.TEXT_TOO_LONG),
        ("a\0b", Code.INVALID_CHARACTER),
        ("\ud800", Code.INVALID_UNICODE),
    ],
)
async def test_what_cannot_be_said_is_refused_and_not_stored(
    chat: palaver.Chat, text: str, code: Code
) -> None:
    room, ada = await chat.room("a"), await chat.person("ada")
    with pytest.raises(Refused) as refused:
        await room.say(ada, text)
    assert refused.value.code is code
    assert (await room.history()).messages == ()


async def test_an_agents_card_stays_as_it_is_where_nothing_is_said_of_it(
    sqlite_url: str,
) -> None:
    mind = Scripted()
    mind.will("aye")
    async with palaver.open(sqlite_url, provider=mind) as chat:
        made = await chat.agent(
            "assistant", name="Pirate", model="m-1", system_prompt="Speak like a pirate."
        )
        assert await chat.agent("assistant") == made
    async with palaver.open(sqlite_url, provider=mind) as chat:
        room = await chat.room("a", assistant=True)
        said = await room.say(await chat.person("ada"), "anyone?")
        answer = await answered(room, said.seq)
        assert (answer.name, answer.text) == ("Pirate", "aye")
        (asked,) = mind.asked
        assert asked.model == "m-1"
        assert "Speak like a pirate." in str(asked)
        mind.will("yes")
        await chat.agent("assistant", name="Clerk", model="", system_prompt="")
        said = await room.say(await chat.person("ada"), "and now?")
        assert (await answered(room, said.seq)).name == "Clerk"
        assert mind.asked[-1].model is None
        assert "pirate" not in str(mind.asked[-1]).replace("aye", "")


async def answered(room: palaver.Room, since: int) -> palaver.Message:
    """The first message after a seq."""
    async with aclosing(room.follow(since=since)) as following, asyncio.timeout(SECONDS_MAX):
        async for happening in following:
            if isinstance(happening, Event) and happening.message is not None:
                return happening.message
    raise AssertionError("nothing was said")


KILLED = """
import asyncio, os, signal, sys
from contextlib import AsyncExitStack

import palaver


async def main():
    async with palaver.open(sys.argv[1]) as chat, AsyncExitStack() as stack:
        helper = await chat.agent("helper")
        for number in range(40):
            room = await chat.room(f"{number}")
            answer = await stack.enter_async_context(room.answer(helper))
            answer.write(f"seen {number}")
        os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(main())
"""


async def test_what_a_killed_predecessor_had_shown_is_there_at_once(sqlite_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, sqlite_url, env=clean_environment({})
    )
    async with asyncio.timeout(SECONDS_MAX):
        assert await process.wait() == -signal.SIGKILL
    async with palaver.open(sqlite_url) as chat:
        said = [(await (await chat.room(f"{n}")).history()).messages for n in (39, 20, 0)]
    assert [[(one.text, one.status) for one in messages] for messages in said] == [
        [(f"seen {number}", Status.INTERRUPTED)] for number in (39, 20, 0)
    ]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_a_database_in_memory_is_gone_with_its_block(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for _ in range(2):
        async with palaver.open(url) as chat, palaver.open(url) as other:
            room, ada = await chat.room("a"), await chat.person("ada")
            assert (await room.history()).messages == ()
            said = await room.say(ada, "once", cid="1")
            async with room.answer(await chat.agent("helper")) as answer:
                answer.write("kept")
            assert (await room.history()).messages == (said, answer.message)
            assert await room.say(ada, "once", cid="1") == said
            assert (await (await other.room("a")).history()).messages == ()
    assert names_in(tmp_path) == []


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_the_configured_model_answers_in_a_room_with_an_assistant(sqlite_url: str) -> None:
    mind = Scripted()
    mind.will("I am ", "here")
    async with palaver.open(sqlite_url, provider=mind) as chat:
        room = await chat.room("a", assistant=True)
        said = await room.say(await chat.person("ada"), "anyone?")
        async with aclosing(room.follow(since=said.seq)) as following:
            async with asyncio.timeout(SECONDS_MAX):
                async for happening in following:
                    if isinstance(happening, Event) and happening.message is not None:
                        assert happening.message.text == "I am here"
                        break


async def test_a_second_program_is_refused_the_file(sqlite_url: str, chat: palaver.Chat) -> None:
    assert await chat.room("held")
    with pytest.raises(Refused) as refused:
        async with palaver.open(sqlite_url):
            pytest.fail("two programs have one file")
    assert refused.value.code is Code.DATABASE_LOCKED


@pytest.mark.parametrize("url", ["mysql://host/name", "chat.db"])
async def test_a_url_of_no_database_is_refused(url: str) -> None:
    with pytest.raises(Refused) as refused:
        async with palaver.open(url):
            pytest.fail("that is no database")
    assert refused.value.code is Code.DATABASE_URL_INVALID
