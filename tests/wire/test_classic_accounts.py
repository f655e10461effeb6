"""The classic wire's `/api/auth` and its limits, against the real app: the accounts of every other door."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from tests.core.identity.test_accounts import BROWSER
from tests.wire.fronts import GUEST, Place, asking, front, open_place, talking

from palaver.model import AccountStatus, EventType

PASSWORD = "correct horse battery"
USER = (
    *("id", "display_name", "avatar_url", "role", "is_admin", "context_window_size", "is_blocked"),
    *("created_at", "updated_at", "email", "provider", "is_email_verified", "message_limit"),
    "receive_reports",
)


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("classic")
    async with open_place(folder, sign_up="open", messages_per_minute=2) as place:
        yield place


@pytest.fixture(scope="module")
async def shut(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """Where nobody is a guest, and an operator makes the accounts."""
    async with open_place(tmp_path_factory.mktemp("shut"), guests="off") as place:
        await place.core.register.create("ada")
        link = await place.core.register.reset_link("ada")
        await place.core.accounts.reset(link, PASSWORD, by=BROWSER)
        yield place


async def enter(http: httpx2.AsyncClient, how: str, email: str, **more: str) -> httpx2.Response:
    given = {"email": email, "password": PASSWORD} | more
    return await http.post(f"/api/auth/{how}", json=given)


async def user(http: httpx2.AsyncClient) -> dict[str, Any] | None:
    told = (await http.get("/api/auth/me")).json()
    assert told["authenticated"] is (told["user"] is not None)
    return told["user"]


async def test_a_guest_who_registers_keeps_their_sessions_and_is_known_by_the_token_alone(
    place: Place,
) -> None:
    async with asking(place) as http, asking(place) as other:
        session = (await http.post("/api/sessions", json={"title": "Mine"})).json()["id"]
        made = await enter(http, "register", "ada@example.org", display_name="Ada")
        told = made.json()
        assert (made.status_code, told["token_type"], told["expires_in"]) == (200, "bearer", 1_800)
        cookies = {
            name: {one.lower() for one in rest.split("; ")[1:]}
            for name, _, rest in (one.partition("=") for one in made.headers.get_list("set-cookie"))
        }
        assert cookies["access_token"] == {"httponly", "max-age=1800", "path=/", "samesite=lax"}
        rest = {"httponly", "max-age=604800", "path=/api/auth", "samesite=lax"}
        assert cookies["refresh_token"] == rest
        assert "max-age=0" in cookies["stupidbot_user_id"]
        assert tuple(told["user"]) == USER
        assert told["user"]["email"] == "ada@example.org"
        assert await user(http) == told["user"]
        assert (await http.get(f"/api/sessions/{session}")).json()["title"] == "Mine"
        theirs = await other.get(f"/api/sessions/{session}")
        assert theirs.status_code == 404, "the id that a client chose is no account's"
        assert f"stupidbot_user_id={GUEST}" not in theirs.headers["set-cookie"]
        assert await user(other) is None
        by_header = {"authorization": f"Bearer {told['access_token']}"}
        assert (await other.get("/api/auth/me", headers=by_header)).json()["authenticated"]
        mine = (await other.get("/api/me", headers=by_header)).json()
        assert (mine["handle"], mine["name"]) == ("ada", "Ada")


async def test_who_signs_in_is_one_person_at_every_door_until_the_session_ends(
    place: Place,
) -> None:
    async with asking(place) as http, asking(place, None) as other:
        await enter(http, "register", "bo")
        await http.post("/api/sessions", json={"title": "Bo's"})
        entered = (await enter(other, "login", "BO@anywhere.example")).json()
        assert entered["user"] == await user(http)
        assert [one["title"] for one in (await other.get("/api/sessions")).json()["sessions"]] == [
            "Bo's"
        ]
        old = entered["access_token"]
        again = await other.post("/api/auth/refresh")
        assert again.json()["access_token"] not in {old, None}
        async with asking(place, None) as thief:
            thief.cookies.set("refresh_token", old)
            assert (await thief.post("/api/auth/refresh")).status_code == 401
            assert (
                await thief.get("/api/sessions", headers={"authorization": f"Bearer {old}"})
            ).status_code == 401
        async with talking(place, other, None) as socket:
            assert json.loads(await socket.recv())["limit_info"]["user_role"] == "user"
            by = {"authorization": f"Bearer {again.json()['access_token']}"}
            listed = (await other.get("/api/me/sessions", headers=by)).json()["sessions"]
            mine = next(one for one in listed if one["current"])
            first = {"authorization": f"Bearer {http.cookies['access_token']}"}
            await other.delete(f"/api/me/sessions/{mine['id']}", headers=first)
            assert json.loads(await socket.recv())["error_code"] == "session_ended"
        assert await user(other) is None
        assert (await other.post("/api/auth/refresh")).status_code == 401
        by = {"authorization": f"Bearer {http.cookies['access_token']}"}
        async with asking(place, None) as one, asking(place, None) as two:
            both = [each.post("/api/auth/refresh", headers=by) for each in (one, two)]
            got = {each.status_code: each for each in await asyncio.gather(*both)}
        assert sorted(got) == [200, 401], "of two at once one is the next"
        http.cookies.set("access_token", got[200].json()["access_token"], "127.0.0.1", "/")
        said = (await http.post("/api/auth/logout")).json()
        assert said == {"message": "Logged out successfully"}
        assert await user(http) is None
        assert "access_token" not in http.cookies
        ended = [one.type for one in await place.core.audit(0)].count(EventType.SESSION_ENDED)
        assert ended >= 3, "the refreshed one, the revoked one and the one that signed out"


async def test_what_proves_nobody_is_a_401_and_counted_with_the_failures_of_all_doors(
    place: Place,
) -> None:
    async with asking(place, None) as http:
        told = [await enter(http, "login", "nobody@example.org") for _ in range(5)]
        given = {"handle": "nobody", "password": PASSWORD}
        told += [await http.post("/api/sign-in", json=given) for _ in range(5)]
        assert {one.status_code for one in told} == {401}
        late = await enter(http, "login", "nobody")
        assert (late.status_code, int(late.headers["retry-after"]) > 0) == (429, True)
        assert (await http.post("/api/auth/login", json={"email": 1})).status_code == 422
        for email in ("ada lovelace", "\u0430da@example.org", "admin@example.org", "x" * 400):
            assert (await enter(http, "register", email)).status_code in {400, 422}
        assert (await enter(http, "register", "cy", password="short")).status_code == 400
        foreign = {"origin": "https://evil.example"}
        body = {"email": "ada", "password": PASSWORD}
        for how in ("login", "register", "refresh", "logout"):
            got = await http.post(f"/api/auth/{how}", json=body, headers=foreign)
            assert (got.status_code, "set-cookie" in got.headers) == (403, False), how


async def test_the_limit_is_that_of_messages_and_says_what_is_left(place: Place) -> None:
    async with front(place) as client:
        system = await client.until("system")
        assert system["limit_info"] == {
            "limit": 2,
            "used": 0,
            "remaining": 2,
            "is_unlimited": False,
            "can_send": True,
            "user_role": "anonymous",
            "requires_verification": False,
        }
        for number in (1, 2):
            place.mind.will("Yes.")
            await client.say("Really?")
            update = await client.until("limit_update", number)
        assert (update["limit_info"]["used"], update["limit_info"]["can_send"]) == (2, False)
        await client.say("And now?")
        told = await client.until("limit_exceeded")
        assert (told["limit_info"]["remaining"], told["login_required"]) == (0, False)
        assert "And now?" not in [words for _, words in client.bubbles]
        listed = (await client.http.get("/api/history")).json()["messages"]
        assert [one["content"] for one in listed].count("Really?") == 2
        assert "And now?" not in [one["content"] for one in listed]


async def test_where_nobody_is_a_guest_accounts_come_in_and_nobody_makes_one(shut: Place) -> None:
    async with asking(shut) as http:
        assert (await http.get("/api/sessions")).status_code == 401
        assert (await enter(http, "register", "eve@example.org")).status_code == 400
        assert (await enter(http, "login", "ada")).status_code == 200
        assert (await http.post("/api/sessions", json={})).status_code == 201
        async with talking(shut, http, None) as socket:
            assert json.loads(await socket.recv())["type"] == "system"
            await shut.core.register.set_status("ada", AccountStatus.DISABLED)
            assert json.loads(await socket.recv())["error_code"] == "session_ended"
        assert (await http.get("/api/sessions")).status_code == 403
        assert (await enter(http, "login", "ada")).status_code == 401


async def test_who_waits_for_approval_has_no_token(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("approve")
    async with open_place(folder, sign_up="approve") as place, asking(place, None) as http:
        got = await enter(http, "register", "ada@example.org")
        assert (got.status_code, "set-cookie" in got.headers) == (400, False)
        assert (await enter(http, "login", "ada")).status_code == 401
