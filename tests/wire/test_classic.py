"""The classic wire's live side against the real app on a real port, with clients as its own front end behaves."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from tests.wire.fronts import (
    GUEST,
    SECONDS_MAX,
    Place,
    asking,
    front,
    old_page,
    open_place,
    talking,
)
from websockets.exceptions import InvalidStatus

from palaver.errors import Code, ProviderError
from palaver.model.usage import BudgetKind, BudgetPeriod
from palaver.wire import shapes

LIMIT_INFO = {
    "limit": None,
    "used": 0,
    "remaining": None,
    "is_unlimited": True,
    "can_send": True,
    "user_role": "anonymous",
    "requires_verification": False,
}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(tmp_path) as place:
        yield place


# the exchange


async def test_an_exchange_has_the_frames_and_the_order_of_the_contract(place: Place) -> None:
    place.mind.will("The answer ", "is 42.")
    async with front(place) as client:
        system = await client.until("system")
        await client.say("What is it?", timestamp="2026-11-20T20:15:00.123Z")
        await client.until("limit_update")
    session = system["session_id"]
    assert UUID(session)
    assert client.frames == [
        {
            "type": "system",
            "content": "Connected to chat server",
            "timestamp": None,
            "system_type": "connection",
            "session_id": session,
            "limit_info": LIMIT_INFO,
        },
        {
            "type": "message",
            "content": "What is it?",
            "sender": "user",
            "timestamp": "2026-11-20T20:15:00.123Z",
        },
        {"type": "typing", "sender": "assistant", "is_typing": True},
        *[frame for frame in client.frames if frame["type"] == "ai_stream"],
        {"type": "ai_stream_end", "sender": "assistant"},
        {"type": "limit_update", "limit_info": LIMIT_INFO},
    ]
    assert client.bubbles == [("user", "What is it?"), ("assistant", "The answer is 42.")]
    assert not client.typing


async def test_everything_is_there_in_the_right_order_after_a_reload(place: Place) -> None:
    for number in range(3):
        place.mind.will(f"answer {number}")
    async with front(place, GUEST) as client:
        for number in range(3):
            await client.say(f"question {number}")
            await client.until("limit_update", number + 1)
        before = client.bubbles
    async with front(place, GUEST) as client:
        await client.until("history")
        assert client.kinds() == ["system", "history"]
        assert client.bubbles == before
        assert [content for _, content in before][::2] == [f"question {n}" for n in range(3)]
        history = (await client.http.get("/api/history")).json()
    assert history["count"] == 6
    assert history["messages"][0] == {"type": "message", "sender": "user", "content": "question 0"}


async def test_a_second_frame_is_not_blocked_by_the_first_ones_answer(place: Place) -> None:
    go = place.mind.will_wait("first ", "answer")
    place.mind.will("second answer")
    async with front(place) as client:
        await client.say("one")
        await client.until("ai_stream")
        await client.say("two")
        await client.until("message", 2)
        assert "ai_stream_end" not in client.kinds()
        go.set()
        await client.until("limit_update", 2)
    answers = [content for sender, content in client.bubbles if sender == "assistant"]
    assert sorted(answers) == ["first answer", "second answer"]


async def test_two_answers_at_once_reach_a_client_one_after_the_other(place: Place) -> None:
    first = place.mind.will_wait("a1 ", "a2")
    second = place.mind.will_wait("b1 ", "b2")
    async with front(place) as client:
        await client.say("one")
        await client.until("ai_stream")
        await client.say("two")
        await client.until("message", 2)
        second.set()
        await place.mind.ended(1)
        first.set()
        await client.until("limit_update", 2)
    answers = [content for sender, content in client.bubbles if sender == "assistant"]
    assert answers == ["a1 a2", "b1 b2"]


async def test_a_client_that_comes_in_mid_answer_gets_the_text_so_far(place: Place) -> None:
    go = place.mind.will_wait("so far ", "and the rest")
    async with front(place, GUEST) as client:
        await client.say("tell me")
        await client.until("ai_stream")
        async with front(place, GUEST) as late:
            await late.until("ai_stream")
            assert late.bubbles == [("user", "tell me"), ("assistant", "so far ")]
            go.set()
            await late.until("ai_stream_end", 2)
            assert late.bubbles[-1] == ("assistant", "so far and the rest")


async def test_an_answer_goes_on_when_its_client_leaves(place: Place) -> None:
    go = place.mind.will_wait("a long ", "story")
    async with front(place, GUEST) as client:
        await client.say("tell me")
        await client.until("ai_stream")
    go.set()
    await place.mind.ended(1)
    async with front(place, GUEST) as client:
        await client.until("system")
        while ("assistant", "a long story") not in client.bubbles:
            async with asyncio.timeout(SECONDS_MAX):
                client.take(json.loads(await client.socket.recv()))


async def test_a_failed_answer_is_an_error_and_never_the_assistants_words(place: Place) -> None:
    place.mind.will("half a", ProviderError(Code.PROVIDER_TIMEOUT, "The model took too long."))
    place.mind.will(ProviderError(Code.PROVIDER_AUTH, "The key is wrong.", temporary=False))
    async with front(place, GUEST) as client:
        await client.say("one")
        await client.until("limit_update")
        assert client.frames[-2] == {
            "type": "error",
            "content": "The answer failed: The model took too long.",
            "error_code": "provider_timeout",
        }
        await client.say("two")
        await client.until("limit_update", 2)
        assert client.frames[-2]["error_code"] == "provider_auth"
    async with front(place, GUEST) as client:
        await client.until("history")
    assert client.bubbles == [("user", "one"), ("assistant", "half a"), ("user", "two")]


@pytest.mark.usefixtures("impatient")
async def test_a_message_is_kept_and_seen_once_while_the_database_is_away(
    place: Place, tmp_path: Path
) -> None:
    place.mind.will("back again")
    async with front(place, GUEST) as client:
        await client.until("system")
        with closing(sqlite3.connect(tmp_path / "palaver.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # a backup script gone wrong
            await client.say("are you there?")
            await client.until("message")
            other.execute("ROLLBACK")
        await client.until("ai_stream_end")
        history = (await client.http.get("/api/history")).json()["messages"]
    assert client.bubbles == [("user", "are you there?"), ("assistant", "back again")]
    assert [one["content"] for one in history] == ["are you there?", "back again"]


# bad frames


@pytest.mark.parametrize("text", ["not json", "[1]", "5", '"text"', "null", "{"])
async def test_what_is_no_message_is_an_error_and_the_connection_stays(
    place: Place, text: str
) -> None:
    async with front(place) as client:
        await client.socket.send(text)
        error = await client.until("error")
        assert error == {"type": "error", "content": "Invalid message format"}
        await client.say("still here")
        assert (await client.until("message"))["content"] == "still here"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({}, "empty_message"),
        ({"content": ""}, "empty_message"),
        ({"content": " \u200b\n"}, "empty_message"),
        ({"content": 5}, "bad_request"),
        ({"content": None}, "bad_request"),
        ({"content": "x" * 100_001}, "text_too_long"),
        ({"content": "a\0b"}, "invalid_character"),
        ({"content": "hi", "sender": 5}, "bad_request"),
        ({"content": "hi", "sender": "x" * 51}, "bad_request"),
        ({"content": "hi", "sender": "a\nb"}, "bad_request"),
        ({"content": "hi", "timestamp": ["now"]}, "bad_request"),
    ],
)
async def test_a_message_that_cannot_be_taken_is_refused_and_not_stored(
    place: Place, frame: dict[str, object], code: str
) -> None:
    async with front(place) as client:
        await client.socket.send(json.dumps(frame))
        assert (await client.until("error"))["error_code"] == code
        history = (await client.http.get("/api/history")).json()
    assert history == {"messages": [], "count": 0}
    assert "message" not in client.kinds()


async def test_who_has_used_up_a_budget_is_told_until_when(place: Place) -> None:
    await place.core.usage.set_budget(None, BudgetKind.SERVER, None, BudgetPeriod.DAY, tokens=0)
    async with front(place) as client:
        await client.say("hello?")
        error = await client.until("error")
        await client.until("limit_update")
    assert error["error_code"] == "budget_reached"
    assert "is used up until 20" in error["content"]


async def test_half_a_character_is_refused(place: Place) -> None:
    async with front(place) as client:
        await client.socket.send('{"content": "\\ud83d"}')
        assert (await client.until("error"))["error_code"] == "invalid_unicode"


async def test_the_sender_that_a_client_names_is_echoed_and_kept(place: Place) -> None:
    async with front(place, GUEST) as client:
        await client.say("hi", sender="Ada")
        message = await client.until("message")
        assert (message["sender"], message["timestamp"]) == ("Ada", None)
        await client.until("limit_update")
    async with front(place, GUEST) as client:
        assert (await client.until("history"))["messages"][0]["sender"] == "Ada"


# who, and where


async def test_without_a_cookie_all_talk_in_the_lobby(place: Place) -> None:
    lobby = str(UUID(place.core.lobby.removeprefix("r_")))
    place.mind.will("hello both")
    async with old_page(place) as one, old_page(place) as other:
        for page in (one, other):
            assert (await page.until("system"))["session_id"] == lobby
        await one.say("who is there?")
        await one.until("limit_update")
        await other.until("ai_stream_end")
        assert one.bubbles == other.bubbles
        assert one.bubbles == [("user", "who is there?"), ("assistant", "hello both")]
        assert "limit_update" not in other.kinds()
        history = await one.http.get("/api/history")
        assert [message["content"] for message in history.json()["messages"]] == [
            "who is there?",
            "hello both",
        ]
        assert "set-cookie" not in history.headers
    async with old_page(place) as again:
        await again.until("history")
        assert again.bubbles == one.bubbles


async def test_who_talks_without_a_cookie_is_a_guest_from_the_first_word(
    place: Place, tmp_path: Path
) -> None:
    place.mind.will("one")
    place.mind.will("two")

    def guests() -> int:
        with closing(sqlite3.connect(tmp_path / "palaver.db")) as database:
            return database.execute("SELECT count(*) FROM actors WHERE guest").fetchone()[0]

    async with old_page(place) as page:
        await page.until("system")
        assert guests() == 0
        await page.say("first")
        await page.until("limit_update")
        await page.say("second")
        await page.until("limit_update", 2)
        assert guests() == 1
    _, ada = await place.core.identity.new_guest("Ada")
    said = (await place.core.chat.history(ada, place.core.lobby)).messages
    assert len({message.author for message in said if message.text in {"first", "second"}}) == 1


async def test_a_session_of_somebody_is_not_seen_without_a_cookie(place: Place) -> None:
    async with asking(place) as http:
        theirs = (await http.post("/api/sessions", json={})).json()["id"]
    async with old_page(place, f"/ws/chat/{theirs}") as page:
        session = (await page.until("system"))["session_id"]
    assert session == str(UUID(place.core.lobby.removeprefix("r_")))


@pytest.mark.parametrize("in_path", [False, True])
async def test_a_session_id_that_is_no_uuid_is_refused_with_403(
    place: Place,
    in_path: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    async with httpx2.AsyncClient(timeout=SECONDS_MAX) as http:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(place, http, "five", in_path=in_path):
                pass
    assert refused.value.response.status_code == 403


async def test_a_session_of_somebody_else_becomes_the_default_one(place: Place) -> None:
    async with front(place, GUEST) as other:
        theirs = (await other.http.post("/api/sessions", json={"title": "mine"})).json()["id"]
    async with front(place, session=theirs) as client:
        system = await client.until("system")
        listed = (await client.http.get("/api/sessions")).json()["sessions"]
    assert system["session_id"] != theirs
    assert [(one["id"], one["metadata"]) for one in listed] == [
        (system["session_id"], {"is_default": True})
    ]


async def test_the_session_can_stand_in_the_path(place: Place) -> None:
    async with httpx2.AsyncClient(base_url=place.url, timeout=SECONDS_MAX) as http:
        session = (await http.post("/api/sessions", json={})).json()["id"]
        async with talking(place, http, session, in_path=True) as socket:
            assert json.loads(await socket.recv())["session_id"] == session


async def test_the_page_and_a_classic_client_talk_in_one_room(place: Place) -> None:
    lobby = str(UUID(place.core.lobby.removeprefix("r_")))
    place.mind.will("hello both")
    place.mind.will("hello again")
    _, ada = await place.core.identity.new_guest("Ada")
    async with front(place, session=lobby) as client:
        assert (await client.until("system"))["session_id"] == lobby
        sent = await place.core.chat.send(
            ada, place.core.lobby, text="@assistant from the page", cid="1"
        )
        assert sent.message is not None
        message = await client.until("message")
        assert message == {
            "type": "message",
            "content": "@assistant from the page",
            "sender": "user",
            "timestamp": shapes.moment(sent.message.created_ms),
        }
        await client.until("ai_stream_end")
        assert client.bubbles[-1] == ("assistant", "hello both")
        assert "limit_update" not in client.kinds()
        await client.say("from the old client")
        await client.until("limit_update")
    page = await place.core.chat.history(ada, place.core.lobby)
    assert [message.text for message in page.messages] == [
        "@assistant from the page",
        "hello both",
        "from the old client",
        "hello again",
    ]


async def test_a_classic_client_knows_the_main_branch_alone(place: Place) -> None:
    lobby = str(UUID(place.core.lobby.removeprefix("r_")))
    chat, room = place.core.chat, place.core.lobby
    _, ada = await place.core.identity.new_guest("Ada")
    first = await chat.send(ada, room, text="first", cid="1")
    async with front(place, session=lobby) as client:
        await client.until("system")
        place.mind.will("not for you")
        await chat.send(ada, room, text="second", cid="2")
        await chat.send(ada, room, text="@assistant instead", cid="3", after=first.seq)
        await place.core.turns.idle()
        await chat.send(ada, room, text="third", cid="4")
        await client.until("message", 2)
        assert "ai_stream" not in client.kinds()
        assert client.bubbles == [("user", one) for one in ("first", "second", "third")]
    async with front(place, session=lobby) as again:
        await again.until("history")
        assert again.bubbles == client.bubbles
