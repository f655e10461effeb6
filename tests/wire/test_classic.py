"""The classic wire against the real app on a real port, with clients written as its own front end behaves."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from tests.support.scripted import Scripted
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from palaver.core.start import Core, started
from palaver.errors import Code, ProviderError
from palaver.settings import Settings
from palaver.wire import frames
from palaver.wire.server import Server, listening

SECONDS_MAX = 90
GUEST = "3f2b9a64-6a0c-4b7e-9d7e-0c1f6d0b8a11"
LIMIT_INFO = {
    "limit": None,
    "used": 0,
    "remaining": None,
    "is_unlimited": True,
    "can_send": True,
    "user_role": "anonymous",
    "requires_verification": False,
}


@dataclass(slots=True, kw_only=True)
class Place:
    """A running server, the core inside it and the mind that answers."""

    url: str
    core: Core
    mind: Scripted


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    settings = Settings(
        data_dir=tmp_path,
        port=0,
        detect=False,
        stop_seconds=1,
        allowed_origins=("http://localhost:5173",),
    )
    mind = Scripted()
    with listening(settings) as (listener, url):
        async with started(settings, encode=frames.encode, provider=mind) as core:
            server = Server(core, settings)
            ready = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.run(listener, ready.set))
                await ready.wait()
                yield Place(url=url, core=core, mind=mind)
                server.stop()


@dataclass(slots=True, eq=False)
class Front:
    """What the old front end does: asks for its sessions, connects, and makes bubbles of what comes."""

    place: Place
    http: httpx2.AsyncClient
    socket: ClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    bubbles: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    streaming: int | None = None
    typing: bool = False

    async def say(self, content: str, **more: object) -> None:
        await self.socket.send(json.dumps({"content": content, "sender": "user", **more}))

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Reads on until that many frames of a kind have come since the connection began."""
        async with asyncio.timeout(SECONDS_MAX):
            while self.kinds().count(kind) < count:
                self.take(json.loads(await self.socket.recv()))
        return [frame for frame in self.frames if frame["type"] == kind][-1]

    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    def take(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        match frame["type"]:
            case "history":
                self.bubbles = [(one["sender"], one["content"]) for one in frame["messages"]]
            case "typing":
                self.typing = frame["is_typing"]
            case "ai_stream" if self.streaming is not None:
                sender, content = self.bubbles[self.streaming]
                self.bubbles[self.streaming] = (sender, content + frame["content"])
            case "ai_stream":
                self.streaming = len(self.bubbles)
                self.bubbles.append(("assistant", frame["content"]))
            case "ai_stream_end":
                self.streaming, self.typing = None, False
            case "message" | "error":
                self.bubbles.append((frame.get("sender", frame["type"]), frame["content"]))
            case _:
                pass


@asynccontextmanager
async def front(
    place: Place, guest: str | None = None, session: str | None = None
) -> AsyncGenerator[Front]:
    cookies = {} if guest is None else {"stupidbot_user_id": guest}
    async with httpx2.AsyncClient(base_url=place.url, cookies=cookies, timeout=SECONDS_MAX) as http:
        listed = (await http.get("/api/sessions")).json()["sessions"]
        if session is None and listed:
            default = [one for one in listed if one["metadata"].get("is_default")]
            session = (default or listed)[0]["id"]
        async with talking(place, http, session) as socket:
            yield Front(place, http, socket)


@asynccontextmanager
async def talking(
    place: Place, http: httpx2.AsyncClient, session: str | None, *, in_path: bool = False
) -> AsyncGenerator[ClientConnection]:
    url = f"{place.url.replace('http', 'ws', 1)}/ws/chat"
    if session is not None:
        url += f"/{session}" if in_path else f"?session_id={session}"
    cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    headers = {"cookie": cookie, "origin": place.url} if cookie else {}
    async with connect(url, additional_headers=headers, open_timeout=SECONDS_MAX) as socket:
        yield socket


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


async def test_without_a_cookie_the_connection_is_closed_with_4001(place: Place) -> None:
    async with (
        httpx2.AsyncClient(timeout=SECONDS_MAX) as http,
        talking(place, http, None) as socket,
    ):
        assert json.loads(await socket.recv()) == {
            "type": "error",
            "content": "No user identity. Please refresh the page.",
            "error_code": "NO_USER_ID",
        }
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "No user identity")


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
    _, ada = await place.core.access.new_guest("Ada")
    async with front(place, session=lobby) as client:
        assert (await client.until("system"))["session_id"] == lobby
        sent = await place.core.chat.send(ada, place.core.lobby, text="from the page", cid="1")
        assert sent.message is not None
        message = await client.until("message")
        assert message == {
            "type": "message",
            "content": "from the page",
            "sender": "user",
            "timestamp": frames.moment(sent.message.created_ms),
        }
        await client.until("ai_stream_end")
        assert client.bubbles[-1] == ("assistant", "hello both")
        assert "limit_update" not in client.kinds()
        await client.say("from the old client")
        await client.until("limit_update")
    page = await place.core.chat.history(ada, place.core.lobby)
    assert [message.text for message in page.messages] == [
        "from the page",
        "hello both",
        "from the old client",
        "hello again",
    ]


# REST


@asynccontextmanager
async def asking(place: Place, guest: str | None = GUEST) -> AsyncGenerator[httpx2.AsyncClient]:
    cookies = {} if guest is None else {"stupidbot_user_id": guest}
    async with httpx2.AsyncClient(base_url=place.url, cookies=cookies, timeout=SECONDS_MAX) as http:
        yield http


async def test_a_first_request_sets_the_identity_and_no_other_cookie(place: Place) -> None:
    async with asking(place, None) as http:
        answer = await http.get("/api/sessions")
        assert answer.json() == {"sessions": [], "total": 0, "limit": 50, "offset": 0}
        (cookie,) = answer.headers.get_list("set-cookie")
        name, _, rest = cookie.partition("=")
        value, *attributes = rest.split("; ")
        assert name == "stupidbot_user_id"
        assert UUID(value).version == 4
        assert {attribute.lower() for attribute in attributes} == {
            "httponly",
            "max-age=31536000",
            "path=/",
            "samesite=lax",
        }
        again = await http.get("/api/sessions")
    assert "set-cookie" not in again.headers


async def test_its_front_end_may_stand_on_an_allowed_origin(place: Place) -> None:
    origin = "http://localhost:5173"
    async with asking(place) as http:
        answer = await http.get("/api/sessions", headers={"origin": origin})
        cookie = f"stupidbot_user_id={GUEST}"
        url = f"{place.url.replace('http', 'ws', 1)}/ws/chat"
        async with connect(url, additional_headers={"cookie": cookie, "origin": origin}) as socket:
            assert json.loads(await socket.recv())["type"] == "system"
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("cookie", ["me", "'; drop table", "0" * 31])
async def test_a_cookie_that_is_no_uuid_is_replaced(place: Place, cookie: str) -> None:
    async with httpx2.AsyncClient(base_url=place.url, timeout=SECONDS_MAX) as http:
        answer = await http.get("/api/sessions", headers={"cookie": f"stupidbot_user_id={cookie}"})
    assert answer.status_code == 200
    assert "stupidbot_user_id=" in answer.headers["set-cookie"]


async def test_the_cookie_that_a_client_chose_is_a_token_at_no_other_door(place: Place) -> None:
    async with asking(place) as http:
        session = (await http.post("/api/sessions", json={"title": "Chosen"})).json()["id"]
        room = f"/api/rooms/r_{UUID(session).hex}"
        for path in ("/api/me", room):
            answer = await http.get(path, headers={"authorization": f"Bearer {GUEST}"})
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        answer = await http.get(room, headers={"cookie": f"palaver_session={GUEST}"})
        assert (answer.status_code, answer.json()["code"]) == (404, "room_not_found")
        assert (await http.get(f"/api/sessions/{session}")).json()["title"] == "Chosen"
    url = f"{place.url.replace('http', 'ws', 1)}/ws"
    async with connect(url, subprotocols=[Subprotocol("palaver.v1")]) as socket:
        await socket.send(json.dumps({"t": "hello", "id": 1, "v": 1, "token": GUEST}))
        assert json.loads(await socket.recv())["code"] == "unauthenticated"


async def test_sessions_are_made_listed_renamed_and_deleted(place: Place) -> None:
    async with asking(place) as http:
        made = await http.post("/api/sessions", json={"title": "Holiday"})
        session = made.json()
        assert made.status_code == 201
        assert list(session) == ["id", "title", "metadata", "created_at", "updated_at"]
        assert (session["title"], session["metadata"]) == ("Holiday", {})
        assert len(session["created_at"]) == len("2026-01-19T12:00:00")
        assert (await http.post("/api/sessions", json={})).json()["title"] == "New Chat"
        path = f"/api/sessions/{session['id']}"
        assert (await http.get(path)).json() == session
        renamed = await http.patch(path, json={"title": ""})
        assert (renamed.status_code, renamed.json()["title"]) == (200, "")
        listed = (await http.get("/api/sessions", params={"limit": 1, "offset": 1})).json()
        assert (listed["total"], listed["limit"], listed["offset"]) == (2, 1, 1)
        assert [one["id"] for one in listed["sessions"]] == [session["id"]]
        deleted = await http.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        for again in (http.get(path), http.delete(path), http.patch(path, json={"title": "x"})):
            answer = await again
            assert (answer.status_code, answer.json()) == (404, {"detail": "Session not found"})
        assert (await http.get(f"{path}/history")).status_code == 404


async def test_the_default_session_cannot_be_deleted(place: Place) -> None:
    async with front(place, GUEST) as client:
        default = (await client.until("system"))["session_id"]
        shown = (await client.http.get(f"/api/sessions/{default}")).json()
        assert shown["title"] == "Default Chat Session"
        assert shown["metadata"] == {"is_default": True}
        answer = await client.http.delete(f"/api/sessions/{default}")
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Cannot delete the default session"}


async def test_deleting_a_room_elsewhere_keeps_the_words_of_a_default_session(place: Place) -> None:
    async with front(place, GUEST) as client:
        default = (await client.until("system"))["session_id"]
        await client.say("keep me")
        await client.until("limit_update")
        actor = await place.core.access.claimed(UUID(GUEST))
        room = (await place.core.rooms.listing(actor))[0][0]
        await place.core.rooms.delete(actor, room.id)
    async with front(place, GUEST) as client:
        await client.until("history")
        assert client.frames[0]["session_id"] == default
        assert client.bubbles[0] == ("user", "keep me")


async def test_a_history_is_the_first_of_the_last_fifty(place: Place) -> None:
    async with asking(place) as http:
        session = (await http.post("/api/sessions", json={})).json()["id"]
        actor = await place.core.access.claimed(UUID(GUEST))
        room = (await place.core.rooms.listing(actor, search="New Chat"))[0][0].id
        for number in range(55):
            await place.core.chat.send(actor, room, text=f"{number}", cid=None, answers=False)
        path = f"/api/sessions/{session}/history"
        whole = (await http.get(path)).json()
        some = (await http.get(path, params={"limit": 2})).json()
    assert whole["session_id"] == session
    assert whole["count"] == len(whole["messages"]) == 50
    assert whole["messages"][0] == {"type": "message", "sender": "user", "content": "5"}
    assert [one["content"] for one in some["messages"]] == ["5", "6"]


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("GET", "/api/sessions?limit=0", None, "greater_than_equal"),
        ("GET", "/api/sessions?limit=101", None, "less_than_equal"),
        ("GET", "/api/sessions?limit=x", None, "int_parsing"),
        ("GET", "/api/sessions?offset=-1", None, "greater_than_equal"),
        ("GET", "/api/history?limit=101", None, "less_than_equal"),
        ("POST", "/api/sessions", '{"title": "' + "x" * 201 + '"}', "string_too_long"),
        ("POST", "/api/sessions", '{"title": 5}', "string_type"),
        ("POST", "/api/sessions", "{", "json_invalid"),
        ("GET", "/api/sessions/five", None, "uuid_parsing"),
        ("PATCH", f"/api/sessions/{GUEST}", "{}", "missing"),
    ],
)
async def test_what_is_invalid_is_a_422_with_its_reasons(
    place: Place, method: str, path: str, body: str | None, kind: str
) -> None:
    async with asking(place) as http:
        answer = await http.request(
            method, path, content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code == 422
    (reason,) = answer.json()["detail"]
    assert reason["type"] == kind
    assert {"type", "loc", "msg", "input"} <= set(reason)


async def test_a_guest_is_told_that_there_are_no_accounts(place: Place) -> None:
    async with asking(place) as http:
        assert (await http.get("/api/auth/me")).json() == {"user": None, "authenticated": False}
        assert (await http.get("/api/auth/providers")).json() == {"providers": []}
        assert (await http.get("/api/auth/methods")).json() == {
            "oauth_providers": [],
            "email_password_enabled": False,
        }
        assert (await http.post("/api/auth/refresh")).status_code == 401
        assert (await http.post("/api/auth/login", json={})).status_code == 401
        assert (await http.post("/api/auth/register", json={})).status_code == 400
        assert (await http.post("/api/auth/logout")).json() == {
            "message": "Logged out successfully"
        }
