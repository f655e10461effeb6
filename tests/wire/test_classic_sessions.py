"""The classic wire's HTTP against the real app on a real port: identity, sessions, histories, accounts."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from msgspec.structs import replace
from tests.wire.fronts import GUEST, SECONDS_MAX, Place, asking, front, old_page, open_place
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from palaver.model import ActorId, Entry, MessageId, Role
from palaver.store.read import rooms
from palaver.store.store import Store
from palaver.wire.classic.sessions import sender_of
from palaver.wire.openai.items import stand_in


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(tmp_path) as place:
        yield place


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


@pytest.mark.parametrize(
    "path", ["/api/sessions/", "/api/v1/sessions", "/api/v1/sessions/", "/api/sessions"]
)
async def test_a_version_and_a_slash_at_the_end_change_nothing(place: Place, path: str) -> None:
    async with asking(place) as http:
        session = (await http.post(path, json={"title": "Here"})).json()["id"]
        assert [one["id"] for one in (await http.get(path)).json()["sessions"]] == [session]
        below = path.rstrip("/").replace("/sessions", f"/sessions/{session}")
        end = "/" if path.endswith("/") else ""
        assert (await http.get(f"{below}{end}")).json()["title"] == "Here"
        assert (await http.get(f"{below}/history{end}")).json()["count"] == 0
    async with old_page(place, f"/ws/chat{end}") as page:
        await page.until("system")


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


@pytest.mark.parametrize("title", [{}, {"title": None}, {"title": "New Chat"}])
async def test_a_session_without_a_title_is_titled_by_its_first_message(
    place: Place, title: dict[str, str | None]
) -> None:
    async with asking(place) as http:
        made = (await http.post("/api/sessions", json=title)).json()
        assert made["title"] == "New Chat"
        async with front(place, GUEST, made["id"]) as client:
            await client.say("When does the ferry leave?")
            await client.until("limit_update")
        shown = (await http.get(f"/api/sessions/{made['id']}")).json()
        assert shown["title"] == "When does the ferry leave?"
        longest = {"title": "x" * 255}
        assert (await http.post("/api/sessions", json=longest)).json()["title"] == "x" * 255


async def test_the_metadata_of_sessions_and_messages_is_kept_and_given_back(place: Place) -> None:
    kept = {"tags": ["a", {"b": None}], "n": 1.5, "text": "\0 é \u2028"}
    async with asking(place) as http:
        made = (await http.post("/api/sessions", json={"metadata": kept})).json()
        path = f"/api/sessions/{made['id']}"
        assert made["metadata"] == (await http.get(path)).json()["metadata"] == kept
        changed = await http.patch(path, json={"metadata": {"theme": "dark"}})
        assert (changed.json()["title"], changed.json()["metadata"]) == (
            "New Chat",
            {"theme": "dark"},
        )
        async with front(place, GUEST, made["id"]) as client:
            await client.say("hello", metadata=kept)
            assert (await client.until("message"))["metadata"] == kept
            await client.until("limit_update")
        (said, answer) = (await http.get(f"{path}/messages")).json()
        assert said["metadata"] == kept
        assert answer["metadata"] == {}
        for bad in ('{"a": "\\ud800"}', '{"a": NaN}', '{"a": "' + "x" * 16_384 + '"}'):
            body = f'{{"metadata": {bad}}}'
            refused = await http.patch(
                path, content=body, headers={"content-type": "application/json"}
            )
            assert refused.status_code in {400, 422}, bad
        assert (await http.get(path)).json()["metadata"] == {"theme": "dark"}


async def test_the_messages_of_a_session_come_in_pages_from_the_first(place: Place) -> None:
    async with asking(place) as http:
        session = (await http.post("/api/sessions", json={})).json()["id"]
        path = f"/api/sessions/{session}/messages"
        assert (await http.get(path)).json() == []
        actor = await place.core.identity.claimed(UUID(GUEST))
        room = (await place.core.rooms.listing(actor, own=True))[0][0].id
        for number in range(5):
            await place.core.chat.send(actor, room, text=f"{number}", cid=None, answers=False)
        page = (await http.get(path, params={"limit": 2, "offset": 1})).json()
        assert [one["content"] for one in page] == ["1", "2"]
        assert list(page[0]) == [
            *("id", "session_id", "content", "sender", "message_type", "timestamp", "metadata")
        ]
        assert UUID(page[0]["id"])
        assert (page[0]["session_id"], page[0]["sender"]) == (session, "user")
        assert (await http.get(path, params={"offset": 10_000})).json() == []
    async with asking(place, None) as http:
        assert (await http.get(path)).status_code == 404


async def test_a_list_asks_the_store_for_what_it_shows(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    read = Store.read

    async def counted(store: Store, query: Any, *given: Any, **options: Any) -> Any:
        result = await read(store, query, *given, **options)
        if query is rooms.listing:
            taken.append(len(result[0]))
        return result

    monkeypatch.setattr(Store, "read", counted)
    async with asking(place) as http:
        for number in range(45):
            await http.post("/api/sessions", json={"title": f"{number}"})
        for limit, offset in ((20, 0), (2, 20), (2, 43)):
            listed = await http.get("/api/sessions", params={"limit": limit, "offset": offset})
            titles = [one["title"] for one in listed.json()["sessions"]]
            assert titles == [f"{44 - offset - number}" for number in range(limit)]
            assert listed.json()["total"] == 45
    assert taken == [20, 2, 2]


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
        actor = await place.core.identity.claimed(UUID(GUEST))
        room = (await place.core.rooms.listing(actor))[0][0]
        await place.core.rooms.delete(actor, room.id)
    async with front(place, GUEST) as client:
        await client.until("history")
        assert client.frames[0]["session_id"] == default
        assert client.bubbles[0] == ("user", "keep me")


async def test_a_history_is_the_first_of_the_last_fifty(place: Place) -> None:
    async with asking(place) as http:
        session = (await http.post("/api/sessions", json={})).json()["id"]
        actor = await place.core.identity.claimed(UUID(GUEST))
        room = (await place.core.rooms.listing(actor, own=True))[0][0].id
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
        ("POST", "/api/sessions", '{"title": "' + "x" * 256 + '"}', "string_too_long"),
        ("GET", "/api/sessions?offset=10001", None, "less_than_equal"),
        ("GET", f"/api/sessions/{GUEST}/messages?limit=101", None, "less_than_equal"),
        ("GET", f"/api/sessions/{GUEST}/messages?offset=10001", None, "less_than_equal"),
        ("POST", "/api/sessions", '{"metadata": [1]}', "dict_type"),
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


def test_what_a_person_says_that_the_assistant_said_is_a_users_to_these_clients() -> None:
    entry = Entry(role=Role.ASSISTANT, text="I pay.")
    claim = replace(stand_in(entry, MessageId("m_1")), author=ActorId("u_1"))
    answer = replace(claim, author=ActorId("a_1"))
    assert [sender_of(one) for one in (claim, answer)] == ["user", "assistant"]
