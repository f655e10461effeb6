"""Accounts, as REST knows them: up, in, out, another password; and what is refused there."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.wire.door import Door, Live, new_cid, open_door, shaped

from palaver.wire.api.accounts import Entered

PASSWORD = "correct horse battery"
UNSAFE = ("/api/sign-up", "/api/sign-in", "/api/sign-out", "/api/me/password", "/api/reset")


@pytest.fixture
async def open_to_all(tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(tmp_path, sign_up="open", openai_keys="required") as door:
        yield door


def rows(door: Door) -> list[tuple[int, int, int]]:
    """How many accounts, persons and sessions there are."""
    with closing(sqlite3.connect(door.settings.data_dir / "palaver.db")) as db:
        tables = ("accounts", "actors", "sessions")
        counted = [f"(SELECT count(*) FROM {table})" for table in tables]
        return db.execute(f"SELECT {', '.join(counted)}").fetchall()


def cookie_of(http: httpx2.AsyncClient) -> dict[str, str]:
    return {"cookie": f"palaver_session={http.cookies['palaver_session']}"}


async def sign_up(http: httpx2.AsyncClient, handle: str, **more: Any) -> httpx2.Response:
    return await http.post("/api/sign-up", json={"handle": handle, "password": PASSWORD} | more)


async def sign_in(
    http: httpx2.AsyncClient, handle: str, password: str = PASSWORD, **more: Any
) -> httpx2.Response:
    given = {"handle": handle, "password": password}
    return await http.post("/api/sign-in", json=given | more)


async def refused_by(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_guest_who_signs_up_stays_who_they_are_under_another_token(
    open_to_all: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    door, http = open_to_all, open_to_all.http()
    room = (await http.post("/api/rooms", json={"title": "Mine"})).json()["id"]
    me, old = (await http.get("/api/me")).json(), cookie_of(http)
    assert (me["guest"], me["handle"]) == (True, None)
    cid = new_cid()
    async with door.socket(additional_headers=old) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        await live.ask(t="sub", room=room)
        said = await live.say(room, "as a guest", cid)
        signed = await sign_up(http, "Ada.L", name="Ada")
        assert signed.status_code == 201
        entered = shaped(Entered, signed.json())
        assert entered["token"] is None
        account = {"guest": False, "handle": "ada.l", "role": "person"}
        assert me | {"name": "Ada"} | account == me | entered["me"]
        assert await live.closed() == 4503, "who is live by the old token is out"
    assert cookie_of(http) != old
    assert entered["me"].items() <= (await http.get("/api/me")).json().items()
    assert (await http.get(f"/api/rooms/{room}")).json()["role"] == "owner"
    async with door.socket(additional_headers=cookie_of(http)) as socket:
        live = Live(socket)
        assert (await live.ask(t="hello", v=1))["me"] == entered["me"]
        await live.ask(t="sub", room=room)
        again = await live.say(room, "as a guest", cid)
        assert (again["msg"], again["dup"]) == (said["msg"], True)
    for asked in (
        await door.http().get(f"/api/rooms/{room}", headers=old),
        await door.http().post("/api/rooms", json={}, headers=old),
        await door.http(headers={"authorization": "Bearer " + old["cookie"][16:]}).get("/api/me"),
    ):
        assert await refused_by(asked) == (401, "unauthenticated"), "the old token is nobody's"
        assert "set-cookie" not in asked.headers, "nor does it take the new one away"
    async with door.socket(additional_headers=old) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        assert await live.closed() == 4503
    logged = capsys.readouterr().out
    assert "/api/sign-up" in logged
    for secret in (PASSWORD, http.cookies["palaver_session"], old["cookie"][16:]):
        assert secret not in logged


async def test_somebody_signs_in_elsewhere_and_out_again(open_to_all: Door) -> None:
    door, home, office = open_to_all, open_to_all.http(), open_to_all.http()
    me = (await sign_up(home, "bo-2")).json()["me"]
    assert me["name"] == "bo-2", "who was nobody yet is called as they wish"
    room = (await home.post("/api/rooms", json={"title": "Mine"})).json()["id"]
    planted = (await office.get("/api/me"), cookie_of(office))[1]
    assert (await sign_in(office, "BO-2")).json() == {"me": me, "token": None}
    assert cookie_of(office) != planted, "no token that was there before becomes an account's"
    assert (await door.http().get("/api/me", headers=planted)).json()["id"] != me["id"]
    assert (await office.get(f"/api/rooms/{room}")).status_code == 200
    sessions = (await office.get("/api/me/sessions")).json()["sessions"]
    assert [one["current"] for one in sessions] == [False, True]
    signed_in = cookie_of(office)
    assert (await office.post("/api/sign-out")).status_code == 204
    assert (await office.get("/api/me")).json()["id"] != me["id"]
    ended = await door.http().get("/api/me", headers=signed_in)
    assert await refused_by(ended) == (401, "session_ended")
    program = await sign_in(door.http(), "bo-2", program=True)
    assert "set-cookie" not in program.headers
    bearer = door.http(headers={"authorization": f"Bearer {program.json()['token']}"})
    assert me.items() <= (await bearer.get("/api/me")).json().items()
    assert (await bearer.post("/api/sign-out")).status_code == 204
    assert await refused_by(await bearer.get("/api/me")) == (401, "session_ended")
    assert me.items() <= (await home.get("/api/me")).json().items()


async def test_a_guest_is_asked_before_they_are_left_behind_and_does_not_sign_out(
    open_to_all: Door,
) -> None:
    door, guest = open_to_all, open_to_all.http()
    await sign_up(door.http(), "cy")
    room = (await guest.post("/api/rooms", json={})).json()["id"]
    assert await refused_by(await guest.post("/api/sign-out")) == (403, "forbidden")
    assert await refused_by(await sign_in(guest, "cy")) == (409, "identity_in_use")
    assert (await guest.get(f"/api/rooms/{room}")).status_code == 200
    assert (await sign_in(guest, "cy", replace=True)).status_code == 200
    assert (await guest.get(f"/api/rooms/{room}")).status_code == 404
    assert await refused_by(await sign_up(guest, "cy-too")) == (409, "identity_in_use")


async def test_a_guest_who_signs_in_brings_along_what_is_theirs(open_to_all: Door) -> None:
    door, home, phone = open_to_all, open_to_all.http(), open_to_all.http()
    ada = (await sign_up(home, "ada", name="Ada")).json()["me"]
    guest = (await phone.patch("/api/me", json={"name": "Somebody"})).json()
    room = (await phone.post("/api/rooms", json={"title": "Mine"})).json()["id"]
    key = (await phone.post("/api/keys", json={})).json()
    cid, old = new_cid(), cookie_of(phone)
    async with door.socket(additional_headers=old) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        await live.ask(t="sub", room=room)
        said = await live.say(room, "as a guest", cid)
        refused = await sign_in(phone, "ada")
        assert await refused_by(refused) == (409, "identity_in_use")
        assert "Bring" in refused.json()["detail"]
        wrong = await sign_in(phone, "ada", "a wrong horse", bring=True)
        assert await refused_by(wrong) == (401, "credentials_wrong")
        assert (await phone.get(f"/api/rooms/{room}")).json()["role"] == "owner"
        signed = await sign_in(phone, "ada", bring=True)
        assert shaped(Entered, signed.json()) == {"me": ada, "token": None}
        assert await live.closed() == 4503, "who is live as the guest is out"
    for headers in (cookie_of(home), cookie_of(phone)):
        seen = await door.http().get(f"/api/rooms/{room}", headers=headers)
        assert seen.json()["role"] == "owner"
    late = await door.http().get("/api/me", headers=old)
    assert await refused_by(late) == (401, "unauthenticated"), "and takes no cookie away"
    assert "set-cookie" not in late.headers
    async with door.socket(additional_headers=cookie_of(phone)) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        await live.ask(t="sub", room=room)
        again = await live.say(room, "as a guest", cid)
        assert (again["msg"], again["dup"]) == (said["msg"], True), "once, whoever sends it again"
        await live.say(room, "as myself", new_cid())
    told = (await phone.get(f"/api/rooms/{room}/messages")).json()["messages"]
    assert [(one["by"], one["name"], one.get("became")) for one in told] == [
        (guest["id"], "Ada", ada["id"]),
        (ada["id"], "Ada", None),
    ]
    assert (await phone.get("/api/keys")).json()["keys"] == []
    by_key = {"authorization": f"Bearer {key['token']}"}
    ended = await door.http().get("/v1/models", headers=by_key)
    assert ended.status_code == 401, "whoever else was at that browser may hold it"


async def test_another_password_ends_all_other_sessions(open_to_all: Door) -> None:
    door, home, phone = open_to_all, open_to_all.http(), open_to_all.http()
    me = (await sign_up(home, "di")).json()["me"]
    await sign_in(phone, "di")
    before = cookie_of(home)
    changing = {"old": PASSWORD, "new": "another horse"}
    wrong = await home.post("/api/me/password", json=changing | {"old": "a wrong horse"})
    assert await refused_by(wrong) == (401, "credentials_wrong")
    weak = await home.post("/api/me/password", json=changing | {"new": "short"})
    assert await refused_by(weak) == (400, "password_weak")
    unchanged = (await phone.get("/api/me")).json().items()
    assert me.items() <= unchanged, "what is refused changes nothing"
    async with door.socket(additional_headers=cookie_of(phone)) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        assert (await home.post("/api/me/password", json=changing)).json()["me"] == me
        assert await live.closed() == 4503
    assert cookie_of(home) != before
    assert me.items() <= (await home.get("/api/me")).json().items()
    assert await refused_by(await phone.get("/api/me")) == (401, "session_ended")
    assert (await door.http().get("/api/me", headers=before)).status_code == 401
    assert await refused_by(await sign_in(door.http(), "di")) == (401, "credentials_wrong")
    assert (await sign_in(door.http(), "di", "another horse")).status_code == 200
    guest = (await door.guest())[1]
    without = await guest.post("/api/me/password", json=changing)
    assert await refused_by(without) == (404, "not_found")


async def test_what_cannot_be_an_account_is_refused_and_nothing_is_stored(
    open_to_all: Door,
) -> None:
    door, before = open_to_all, rows(open_to_all)
    for body, status, code in (
        ({"handle": "\u0430da"}, 400, "handle_invalid"),  # a Cyrillic letter
        (
            {"handle": "\u212aim"},
            400,
            "handle_invalid",
        ),  # the sign of Kelvin, whose small form is k
        ({"handle": "a"}, 400, "handle_invalid"),
        ({"handle": "x" * 33}, 400, "handle_invalid"),
        ({"handle": ".ada"}, 400, "handle_invalid"),
        ({"handle": "ada-"}, 400, "handle_invalid"),
        ({"handle": "ada lovelace"}, 400, "handle_invalid"),
        ({"handle": "admin"}, 400, "name_reserved"),
        ({"handle": "Adm1n"}, 400, "name_reserved"),
        ({"handle": "a.d-m_in"}, 400, "name_reserved"),
        ({"password": "x" * 9}, 400, "password_weak"),
        ({"password": "x" * 257}, 400, "password_weak"),
        ({"password": "\ud800" * 12}, 400, "invalid_unicode"),
        ({"password": None}, 400, "bad_request"),
        ({"name": "\u202e"}, 400, "name_invalid"),
        ({"password": "x" * (10 << 20)}, 413, "payload_too_large"),
    ):
        http = door.http()
        given = {"handle": "ada", "password": PASSWORD} | body
        kind = {"content-type": "application/json"}
        answer = await http.post("/api/sign-up", content=json.dumps(given), headers=kind)
        assert await refused_by(answer) == (status, code), body.keys()
        assert "set-cookie" not in answer.headers
    assert rows(door) == before
    assert (await sign_up(door.http(), "bill_0")).status_code == 201
    for alike in ("bill_0", "b1ll-o", "BILL.0", "blil_o"):
        assert await refused_by(await sign_up(door.http(), alike)) == (409, "handle_taken")


async def test_who_signs_up_at_once_with_one_handle_gets_one_account(open_to_all: Door) -> None:
    door = open_to_all
    got = await asyncio.gather(*(sign_up(door.http(), "eve") for _ in range(8)))
    assert sorted(one.status_code for one in got) == [201] + [409] * 7
    assert rows(door)[0][0] == 1


async def test_no_page_of_another_site_signs_anybody_up_in_or_out(open_to_all: Door) -> None:
    door, http = open_to_all, open_to_all.http()
    await sign_up(http, "fay")
    before = rows(door)
    given = {"handle": "fay", "password": PASSWORD, "old": PASSWORD, "new": "x" * 10, "token": "x"}
    for path in UNSAFE:
        for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = await http.post(path, json=given, headers=headers)
            assert await refused_by(answer) == (403, "origin_refused"), path
        form = await door.http().post(path, content=b"{}", headers={"content-type": "text/plain"})
        refused = (415, "unsupported_media_type")
        assert await refused_by(form) == refused or path == "/api/sign-out"
    assert rows(door)[0][:1] == before[0][:1]
    assert (await http.get("/api/me")).json()["handle"] == "fay"


async def test_too_many_failures_have_to_wait_whoever_is_meant(open_to_all: Door) -> None:
    door = open_to_all
    await sign_up(door.http(), "gil")
    wrong = [await sign_in(door.http(), "gil", "a wrong horse") for _ in range(10)]
    nobody = [await sign_in(door.http(), "nobody", "a wrong horse") for _ in range(10)]
    assert {one.content for one in (*wrong, *nobody)} == {wrong[0].content}, (
        "who is there is told to none"
    )
    for handle in ("gil", "GIL", "nobody"):
        late = await sign_in(door.http(), handle)
        assert await refused_by(late) == (429, "rate_limited")
        assert 800 < int(late.headers["retry-after"]) <= 900
    others = [await sign_in(door.http(), f"other-{number}") for number in range(11)]
    assert [one.status_code for one in others] == [401] * 10 + [429], "thirty from one address"


async def test_a_server_makes_no_accounts_of_whom_nobody_invited_unless_it_is_told_to(
    door: Door,
) -> None:
    before = rows(door)
    assert await refused_by(await sign_up(door.http(), "ada")) == (403, "forbidden")
    assert rows(door) == before
