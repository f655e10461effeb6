"""Signing in and out by an OpenID provider, and ways in that are linked. Lies: tests/providers/test_oidc.py."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select
from tests.support.openid import Place, open_place
from tests.wire.door import Live
from websockets.asyncio.client import connect

from palaver.model import AccountStatus, EventType
from palaver.store import schema

PLANTED = "planted-c0de"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(tmp_path, oidc_name="Acme") as place:
        yield place


@pytest.fixture(scope="module")
async def village(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One for the tests that leave nothing behind."""
    async with open_place(tmp_path_factory.mktemp("village")) as place:
        yield place


async def me(http: httpx2.AsyncClient) -> dict[str, object]:
    return (await http.get("/api/me")).json()


def token_of(http: httpx2.AsyncClient) -> str:
    return http.cookies["palaver_session"]


async def test_who_is_new_gets_an_account_and_is_the_same_one_next_time(place: Place) -> None:
    async with place.browser() as http, place.browser() as phone:
        ways = (await http.get("/api/sign-in")).json()
        assert ways["oidc"] == {"name": "Acme"}
        assert await place.signed_in(http, next="/r/x") == f"{place.url}/r/x"
        ada = await me(http)
        assert (ada["handle"], ada["name"], ada["guest"]) == ("ada", "Ada", False)
        assert await place.signed_in(phone) == f"{place.url}/"
        assert await me(phone) == ada
        [linked] = (await http.get("/api/me/identities")).json()["identities"]
        assert (linked["issuer"], linked["subject"]) == (f"{place.hostile}/honest", "ada")
        happened = [event.type for event in await place.core.audit(0)]
        assert happened[1:] == [
            EventType.ACCOUNT_CREATED,
            EventType.SESSION_BEGAN,
            EventType.IDENTITY_LINKED,
            EventType.SESSION_BEGAN,
        ]


async def test_a_guest_stays_who_they_are_under_another_token(place: Place) -> None:
    async with place.browser() as http, place.browser() as other:
        room = (await http.post("/api/rooms", json={"title": "Mine"})).json()["id"]
        guest, before = await me(http), token_of(http)
        await place.signed_in(http)
        ada = await me(http)
        assert (ada["id"], ada["name"], ada["handle"]) == (guest["id"], guest["name"], "ada")
        assert token_of(http) != before
        assert (await http.get(f"/api/rooms/{room}")).json()["title"] == "Mine"
        old = await other.get("/api/me", headers={"authorization": f"Bearer {before}"})
        assert old.status_code == 401


async def test_a_guest_who_has_an_account_says_so_before_they_are_left_behind(place: Place) -> None:
    async with place.browser() as http, place.browser() as other:
        await place.signed_in(other)
        await http.post("/api/rooms", json={})
        guest = await me(http)
        back = await place.sent(http)
        got = await http.get(back, headers={"sec-fetch-mode": "navigate"})
        assert got.headers["location"] == f"{place.url}/sign-in#refused=identity_in_use"
        assert await me(http) == guest
        await place.signed_in(http, replace=True)
        assert await me(http) == await me(other)


async def test_what_a_guest_has_comes_along_where_they_want_it(place: Place) -> None:
    async with place.browser() as http, place.browser() as other:
        await place.signed_in(other)
        room = (await http.post("/api/rooms", json={"title": "Mine"})).json()["id"]
        before = token_of(http)
        await place.signed_in(http, bring=True)
        assert await me(http) == await me(other)
        assert token_of(http) != before
        for browser in (http, other):
            assert (await browser.get(f"/api/rooms/{room}")).json()["title"] == "Mine"


@pytest.mark.parametrize(
    "next_",
    [
        *("//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "evil"),
        *("/a\nb", "/\tevil", "", "/" + "a" * 3_000),
    ],
)
async def test_nobody_is_sent_to_another_server(village: Place, next_: str) -> None:
    async with village.browser() as http:
        got = await http.post("/api/oidc/start", json={"next": next_})
        assert (got.status_code, got.json()["code"]) == (400, "bad_request")


async def test_who_is_disabled_stays_out(place: Place) -> None:
    async with place.browser() as http:
        await place.signed_in(http)
        await place.core.register.set_status("ada", AccountStatus.DISABLED)
        got = await http.get(await place.sent(http))
        assert (got.status_code, got.json()["code"]) == (403, "account_disabled")


async def test_another_way_in_is_linked_and_taken_away_but_not_the_last(place: Place) -> None:
    async with place.browser() as http, place.browser() as other:
        assert (await http.post("/api/oidc/start", json={"link": True})).status_code == 403
        await place.signed_in(http)
        [first] = (await http.get("/api/me/identities")).json()["identities"]
        refused = await http.delete(f"/api/me/identities/{first['id']}")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        await place.signed_in(http, "ada2", link=True)
        both = (await http.get("/api/me/identities")).json()["identities"]
        assert {one["subject"] for one in both} == {"ada", "ada2"}
        await place.signed_in(other, "bo")
        for whose in ("ada", "ada2"):
            got = await other.get(await place.sent(other, whose, link=True))
            assert (got.status_code, got.json()["code"]) == (409, "identity_in_use")
        theirs = await other.delete(f"/api/me/identities/{first['id']}")
        assert theirs.status_code == 404
        assert (await http.delete(f"/api/me/identities/{first['id']}")).status_code == 204
        assert [event.type for event in await place.core.audit(0)][-1] == (
            EventType.IDENTITY_UNLINKED
        )
        await place.signed_in(other, "ada")
        assert (await me(other))["id"] != (await me(http))["id"]


@pytest.mark.parametrize(
    ("came", "status"),
    [
        # by plain HTTP from another machine a browser says no more than `Origin`
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://evil.example", "sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "{own}"}, 200),
        ({"origin": "{own}", "sec-fetch-site": "same-origin"}, 200),
        ({}, 200),
    ],
)
async def test_no_page_of_another_site_begins_an_attempt(
    village: Place, came: dict[str, str], status: int
) -> None:
    async with village.browser() as http:
        await village.signed_in(http)
        headers = {name: value.format(own=village.url) for name, value in came.items()}
        before = await attempts(village)
        wishes = ("next", "link", "replace", "bring")
        for wish in wishes:
            body = {wish: "/" if wish == "next" else True}
            got = await http.post("/api/oidc/start", json=body, headers=headers)
            assert got.status_code == status, (wish, got.text)
            assert status == 200 or got.json()["code"] == "origin_refused"
        assert await attempts(village) == before + len(wishes) * (status == 200)


async def test_a_link_to_where_an_attempt_begins_begins_none(village: Place) -> None:
    async with village.browser() as http:
        await village.signed_in(http)
        before = await attempts(village)
        for came in ({}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-mode": "navigate"}):
            got = await http.get("/api/oidc/start?link=true&replace=true", headers=came)
            assert got.status_code == 405
            assert "location" not in got.headers
        assert await attempts(village) == before


async def attempts(place: Place) -> int:
    """How many are kept."""
    counting = select(func.count()).select_from(schema.once)
    return await place.core.chat._store.read(lambda conn: conn.execute(counting).scalar_one())


async def test_a_way_in_is_for_who_is_still_signed_in(place: Place) -> None:
    async with place.browser() as http, place.browser() as phone:
        await place.signed_in(http)
        await place.signed_in(phone)
        back = await place.sent(http, "mallory", link=True)
        await phone.delete("/api/me/sessions")
        got = await http.get(back)
        assert (got.status_code, "nobody is signed in" in got.text) == (401, True)
        assert len((await phone.get("/api/me/identities")).json()["identities"]) == 1


async def logout(place: Place, http: httpx2.AsyncClient, **claims: str) -> httpx2.Response:
    """What the provider does when somebody signs out there."""
    told = await http.get(f"{place.hostile}/honest/logout", params=claims)
    token = told.json()["token"]
    async with place.browser() as provider:
        return await provider.post("/api/oidc/logout", data={"logout_token": token})


async def test_signing_out_there_ends_what_began_there_and_nothing_else(place: Place) -> None:
    async with place.browser() as http, place.browser() as phone, place.browser() as tablet:
        await place.signed_in(http, sid="s1")
        await place.signed_in(phone, sid="s2")
        await place.signed_in(tablet, sid="s3")
        link = (await http.post("/api/devices")).json()["url"].partition("#")[2]
        headers = {"cookie": f"palaver_session={token_of(http)}"}
        async with connect(
            f"{place.url.replace('http', 'ws', 1)}/ws", additional_headers=headers, proxy=None
        ) as socket:
            live = Live(socket)
            await live.ask(t="hello", v=1)
            assert (await logout(place, http, sub="ada", sid="s1", jti="1")).status_code == 200
            assert await live.closed() == 4503
        assert (await http.get("/api/me")).json()["code"] == "session_ended"
        by_header = {"authorization": f"Bearer {token_of(tablet)}"}
        renewed = (await tablet.post("/api/auth/refresh", headers=by_header)).json()
        by_header = {"authorization": f"Bearer {renewed['access_token']}"}
        assert (await tablet.get("/api/me", headers=by_header)).json()["handle"] == "ada"
        assert (await logout(place, http, without="sub", sid="s3", jti="3")).status_code == 200
        ended = await tablet.get("/api/me", headers=by_header)
        assert ended.json()["code"] == "session_ended", "also one in the place of another"
        ada = await me(phone)
        assert ada["handle"] == "ada"
        async with place.browser() as device:
            await device.post("/api/devices/redeem", json={"token": link})
            assert (await logout(place, http, sub="ada", jti="2")).status_code == 200
            assert (await phone.get("/api/me")).json()["code"] == "session_ended"
            assert await me(device) == ada, "a link began this one"


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "n"},
        {"events": "none"},
        {"without": "events"},
        {"without": "jti"},
        {"without": "sub"},
        {"aud": "another"},
        {"iss": "https://other.example"},
    ],
)
async def test_what_is_no_logout_token_ends_nothing(village: Place, wrong: dict[str, str]) -> None:
    async with village.browser() as http:
        await village.signed_in(http)
        got = await logout(village, http, **({"sub": "ada", "jti": "1"} | wrong))
        assert (got.status_code, got.json()["code"]) == (401, "sign_in_failed")
        assert (await me(http))["handle"] == "ada"


async def test_a_logout_token_is_good_once_and_for_nobody_elses_browser(place: Place) -> None:
    async with place.browser() as http:
        await place.signed_in(http)
        assert (await logout(place, http, sub="nobody", jti="1")).status_code == 200
        again = await logout(place, http, sub="ada", jti="1")
        assert (again.status_code, again.json()["code"]) == (401, "sign_in_failed")
        assert (await me(http))["handle"] == "ada"
        foreign = await http.post(
            "/api/oidc/logout", headers={"origin": "https://evil.example"}, data={}
        )
        assert foreign.json()["code"] == "origin_refused"


async def test_no_code_and_no_token_stands_in_a_log_or_a_table(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    async with place.browser() as http:
        back = await place.sent(http)
        await http.get(f"{back}&more={PLANTED}")
        state = back.partition("state=")[2].partition("&")[0]
        await http.get(f"/api/oidc/callback?code={PLANTED}&state={PLANTED}")
        out = "".join(capsys.readouterr())
        assert "/api/oidc/callback" in out
        for secret in (PLANTED, state, "code=", token_of(http)):
            assert secret not in out
        found = place.core.settings.data_dir.rglob("*")
        held = b"".join(
            one.read_bytes() for one in found if one.is_file() and one.suffix != ".sock"
        )
        for secret in (PLANTED, state, token_of(http)):
            assert secret.encode() not in held


async def test_where_there_is_no_provider_there_is_no_way(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place, place.browser() as http:
        place.core.elsewhere = None
        assert (await http.get("/api/sign-in")).json()["oidc"] is None
        for method, path in (("POST", "start"), ("GET", "callback"), ("POST", "end")):
            got = await http.request(method, f"/api/oidc/{path}", json={})
            assert (got.status_code, got.json()["code"]) == (404, "not_found")


async def test_the_browser_is_sent_to_sign_out_there_where_one_can(place: Place) -> None:
    async with place.browser() as http:
        assert (await http.post("/api/oidc/end")).json() == {"url": f"{place.url}/"}
        place.ask("can_end")
        where = (await http.post("/api/oidc/end")).json()["url"]
        assert re.fullmatch(rf"{place.hostile}/can_end/end\?client_id=palaver&post_.*", where)
        elsewhere = {"origin": "https://evil.example"}
        assert (await http.post("/api/oidc/end", headers=elsewhere)).status_code == 403
        assert (await http.get("/api/oidc/end")).status_code == 405
