"""The link that a server without an owner prints, over real sockets. In the core: tests/core/identity/test_setup.py."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.core.spool.test_messages import away
from tests.support.secrets import bytes_below
from tests.support.server import Serve, ServerProcess, launched
from tests.wire.api.test_accounts import PASSWORD, cookie_of, refused_by, rows
from tests.wire.door import SETUP, Door, Live, open_door, shaped

from palaver.wire.api.accounts import Asking, Entered

ADA = {"token": SETUP, "handle": "ada", "password": PASSWORD}


@pytest.fixture
async def ownerless(tmp_path: Path) -> AsyncIterator[Door]:
    async with open_door(tmp_path, setup=SETUP) as door:
        yield door


async def look(http: httpx2.AsyncClient, token: str = SETUP) -> httpx2.Response:
    return await http.post("/api/setup/look", json={"token": token})


async def test_a_guest_follows_the_link_and_is_the_owner_with_all_that_was_theirs(
    ownerless: Door,
) -> None:
    door, http = ownerless, ownerless.http()
    assert shaped(Asking, (await look(door.http())).json()) == {"me": None}
    room = (await http.post("/api/rooms", json={"title": "Mine"})).json()["id"]
    me, old = (await http.get("/api/me")).json(), cookie_of(http)
    assert (await look(http)).json()["me"] == {"id": me["id"], "name": me["name"]}
    async with door.socket(additional_headers=old) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        made = await http.post("/api/setup", json=ADA)
        assert made.status_code == 201, made.text
        assert await live.closed() == 4503, "who is live by the old token is out"
    entered = shaped(Entered, made.json())
    owner = {"guest": False, "handle": "ada", "role": "owner"}
    assert (me | entered["me"], entered["token"]) == (me | owner, None)
    assert (await http.get(f"/api/rooms/{room}")).json()["role"] == "owner"
    assert cookie_of(http) != old
    used = await look(door.http())
    assert await refused_by(used) == (410, "ticket_ended")
    again = await door.http().post("/api/setup", json=ADA | {"handle": "mallory"})
    assert await refused_by(again) == (410, "ticket_ended")
    assert "set-cookie" not in again.headers
    program = {"handle": "ada", "password": PASSWORD, "program": True}
    assert (await door.http().post("/api/sign-in", json=program)).json()["token"]


async def test_of_two_who_use_the_link_at_once_one_becomes_owner(ownerless: Door) -> None:
    door = ownerless
    asked = [door.http().post("/api/setup", json=ADA | {"handle": f"ada-{n}"}) for n in range(6)]
    got = await asyncio.gather(*asked)
    assert sorted(one.status_code for one in got) == [201] + [410] * 5
    ((accounts, _, _),) = rows(door)
    assert accounts == 1


async def test_what_is_wrong_with_it_makes_nobody_an_owner_and_leaves_the_link_good(
    ownerless: Door,
) -> None:
    door, http = ownerless, ownerless.http()
    before = rows(door)
    for wrong, status, code in (
        ({"token": SETUP[:-1]}, 410, "ticket_ended"),
        ({"token": ""}, 410, "ticket_ended"),
        ({"password": "short"}, 400, "password_weak"),
        ({"password": "x" * 10_485_760}, 413, "payload_too_large"),
        ({"handle": "\u0430da"}, 400, "handle_invalid"),
        ({"handle": "owner"}, 400, "name_reserved"),
        ({"name": ""}, 400, "name_invalid"),
    ):
        refused = await http.post("/api/setup", json=ADA | wrong)
        assert await refused_by(refused) == (status, code), wrong
        assert "set-cookie" not in refused.headers
    foreign = {"origin": "https://evil.example"}
    for path in ("/api/setup", "/api/setup/look"):
        refused = await http.post(path, json=ADA, headers=foreign)
        assert await refused_by(refused) == (403, "origin_refused")
        refused = await http.post(path, json=ADA, headers={"sec-fetch-site": "cross-site"})
        assert await refused_by(refused) == (403, "origin_refused")
        assert (await http.get(path)).status_code == 405, "no link does it by being opened"
    assert rows(door) == before
    assert (await http.post("/api/setup", json=ADA)).status_code == 201


async def test_who_has_an_account_is_told_so_and_the_link_stays_good(tmp_path: Path) -> None:
    async with open_door(tmp_path, setup=SETUP, sign_up="open") as door:
        http = door.http()
        await http.post("/api/sign-up", json={"handle": "bo", "password": PASSWORD})
        refused = await http.post("/api/setup", json=ADA)
        assert await refused_by(refused) == (409, "identity_in_use")
        taken = await door.http().post("/api/setup", json=ADA | {"handle": "bo"})
        assert await refused_by(taken) == (409, "handle_taken")
        assert (await door.http().post("/api/setup", json=ADA)).status_code == 201


@pytest.mark.usefixtures("impatient")
async def test_while_the_database_is_away_the_link_waits(ownerless: Door) -> None:
    door = ownerless
    with away(door.settings.data_dir):
        refused = await door.http().post("/api/setup", json=ADA)
        assert await refused_by(refused) == (503, "database_unavailable")
    assert (await door.http().post("/api/setup", json=ADA)).status_code == 201


@pytest.mark.slow
async def test_a_start_prints_one_link_that_is_in_no_log_and_no_file(serve: Serve) -> None:
    server = await serve(environment={"PALAVER_LOG_LEVEL": "debug"})
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=90) as http:
        first = await link_of(server, http)
        await server.restart()
        second = await link_of(server, http)
        assert first != second
        dead = await http.post("/api/setup", json=ADA | {"token": first})
        assert await refused_by(dead) == (410, "ticket_ended"), "a restart ends the one before"
        assert (await http.get("/setup")).status_code in {200, 503}
        entered = await http.post("/api/setup", json=ADA | {"token": second})
        assert entered.status_code == 201, entered.text
        told = [(await http.get(path)).content for path in ("/metrics", "/api/me", "/health")]
    kept = b"\n".join([bytes_below(server.data), *told])
    log = "\n".join(line for line in server.log if "has no owner yet" not in line)
    for token in (first, second):
        assert token.encode() not in kept
        assert token not in log
    await server.restart()
    assert "owner" not in server.tail().rpartition("server.stopped")[2]


async def link_of(server: ServerProcess, http: httpx2.AsyncClient) -> str:
    """The token of the one link in what the last start said."""
    while True:
        said = server.tail().rpartition("server.stopped")[2]
        lines = [line for line in said.splitlines() if "/setup#" in line]
        if lines:
            break
        await http.get("/health")
    (line,) = lines
    before, _, token = line.partition("/setup#")
    assert before == f"It has no owner yet. To become it, open {server.url}"
    return token


@pytest.mark.slow
async def test_the_workers_of_a_server_have_one_link(tmp_path: Path, postgres_url: str) -> None:
    async with (
        launched(tmp_path, postgres_url, "--workers", "2") as server,
        httpx2.AsyncClient(
            base_url=server.url, trust_env=False, timeout=90, headers={"connection": "close"}
        ) as http,
    ):
        await server.ready()
        token = await link_of(server, http)
        looks = [await look(http, token) for _ in range(8)]
        assert {one.status_code for one in looks} == {200}, "whichever answers"
        made = await http.post("/api/setup", json=ADA | {"token": token})
        assert made.status_code == 201, made.text
