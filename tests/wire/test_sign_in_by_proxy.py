"""Whom a trusted proxy names in a header: at every door, from that proxy alone, and gone as soon as they are disabled.

All of it over real sockets: the proxy has the address 127.0.0.2, and a neighbour 127.0.0.3.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.wire.door import ANSWER_SECONDS_MAX, Live, serving, settings_for
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import AccountStatus
from palaver.settings import settings_from

PROXY, NEIGHBOUR = "127.0.0.2", "127.0.0.3"
ADA = {"remote-user": "ada"}
ODD = (b"Ada.L@example.org", "\u00c4".encode(), b"admin")


class Place:
    """A server behind a proxy that signs people in."""

    def __init__(self, url: str, core: Core) -> None:
        self.url, self.core = url, core
        self.clients: list[httpx2.AsyncClient] = []

    def http(self, peer: str = PROXY) -> httpx2.AsyncClient:
        """A client of its own, without cookies, whose requests come from this address."""
        transport = httpx2.AsyncHTTPTransport(local_address=peer)
        client = httpx2.AsyncClient(
            base_url=self.url, transport=transport, timeout=ANSWER_SECONDS_MAX
        )
        self.clients.append(client)
        return client

    def socket(self, headers: dict[str, str], peer: str = PROXY) -> connect:
        return connect(
            f"{self.url.replace('http', 'ws', 1)}/ws",
            additional_headers=headers,
            subprotocols=["palaver.v1"],  # pyright: ignore[reportArgumentType]  a new type of text
            local_addr=(peer, 0),
            proxy=None,
        )


@asynccontextmanager
async def open_place(folder: Path) -> AsyncGenerator[Place]:
    settings = settings_for(
        folder, auth_header="Remote-User", auth_header_networks=f"{PROXY}, 10.0.0.0/8"
    )
    async with serving(settings, asyncio.Event()) as (url, core):
        made = Place(url, core)
        yield made
        for client in made.clients:
            await client.aclose()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(tmp_path) as place:
        yield place


@pytest.fixture(scope="module")
async def village(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One for those who are let in nowhere."""
    async with open_place(tmp_path_factory.mktemp("village")) as place:
        yield place


async def test_whom_the_proxy_names_has_one_account_and_one_session(place: Place) -> None:
    first = await place.http().get("/api/me", headers=ADA)
    me = first.json()
    assert (me["handle"], me["name"], me["guest"]) == ("ada", "ada", False)
    assert "set-cookie" not in first.headers
    http = place.http()
    bo = {"Remote-User": "bo"}
    at_once = await asyncio.gather(*(http.get("/api/me", headers=bo) for _ in range(8)))
    assert len({one.json()["id"] for one in at_once}) == 1
    assert len((await http.get("/api/me/sessions", headers=bo)).json()["sessions"]) == 1
    made = await http.post("/api/rooms", json={"title": "Mine"}, headers=ADA)
    assert made.status_code == 201
    [session] = (await http.get("/api/me/sessions", headers=ADA)).json()["sessions"]
    assert (session["current"], session["address"]) == (True, PROXY)
    assert (await http.get("/api/me")).json()["guest"], "without the header they are nobody"
    odd = [(await http.get("/api/me", headers=[(b"remote-user", one)])).json() for one in ODD]
    assert [one["handle"].partition("-")[0] for one in odd] == ["ada.l", "person", "admin"]
    assert len({one["id"] for one in odd}) == len(ODD)


async def test_the_session_ends_like_every_other_and_another_begins(place: Place) -> None:
    http = place.http()
    me = (await http.get("/api/me", headers=ADA)).json()
    async with place.socket(ADA) as socket:
        live = Live(socket)
        assert (await live.ask(t="hello", v=1))["me"].items() <= me.items()
        assert (await http.post("/api/sign-out", headers=ADA)).status_code == 204
        assert await live.closed() == 4503
    again = await http.get("/api/me", headers=ADA)
    assert (again.status_code, again.json()) == (200, me)
    assert len((await http.get("/api/me/sessions", headers=ADA)).json()["sessions"]) == 1


async def test_who_is_disabled_is_out_at_every_door_at_once(place: Place) -> None:
    http = place.http()
    me = (await http.get("/api/me", headers=ADA)).json()
    async with place.socket(ADA) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        await place.core.register.set_status("ada", AccountStatus.DISABLED)
        assert await live.closed() == 4503
    for path in ("/api/me", "/v1/models"):
        got = await http.get(path, headers=ADA)
        assert (got.status_code, "account_disabled" in got.text) == (403, True), path
    async with place.socket(ADA) as socket:
        assert (await Live(socket).ask(t="hello", v=1))["code"] == "account_disabled"
    await place.core.register.set_status("ada", AccountStatus.ACTIVE)
    assert (await http.get("/api/me", headers=ADA)).json() == me


async def test_a_key_and_a_token_win_over_the_header(place: Place) -> None:
    http = place.http()
    await http.get("/api/me", headers=ADA)
    guest = (await http.post("/api/guests", json={})).json()
    bearer = ADA | {"authorization": f"Bearer {guest['token']}"}
    assert guest["me"].items() <= (await http.get("/api/me", headers=bearer)).json().items()
    async with place.socket(ADA) as socket:
        hello = await Live(socket).ask(t="hello", v=1, token=guest["token"])
        assert hello["me"] == guest["me"]
    token, _ = await place.core.keys.create(handle="program")
    made = {"metadata": {"of": "key"}}
    for headers, mine in (
        (ADA, 0),
        (ADA | {"authorization": f"Bearer {token}"}, 1),
        (ADA | {"authorization": "Bearer sk-another"}, 0),
        (ADA | {"authorization": "Basic YWRhOng="}, 0),
    ):
        if mine:
            await http.post("/v1/conversations", json=made, headers=headers)
        got = await http.get("/v1/conversations", headers=headers)
        assert (got.status_code, len(got.json()["data"])) == (200, mine), headers
    basic = ADA | {"authorization": "Basic YWRhOng="}
    assert (await http.get("/api/me", headers=basic)).json()["handle"] == "ada"


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        (NEIGHBOUR, [("Remote-User", "ada")]),
        (NEIGHBOUR, [("Remote-User", "ada"), ("X-Forwarded-For", PROXY)]),
        (NEIGHBOUR, [("Remote_User", "ada")]),
        (NEIGHBOUR, [("Remote-User", "")]),
        (PROXY, [("Remote-User", "ada"), ("Remote-User", "bo")]),
        (PROXY, [("Remote-User", "ada"), ("remote_user", "bo")]),
        (PROXY, [("REMOTE_USER", "ada")]),
        (PROXY, [("Remote.User", "ada"), ("Remote-User", "ada")]),
        (PROXY, [("Remote-User", "a\tb")]),
        (PROXY, [("Remote-User", "a" * 256)]),
        (PROXY, [("Remote-User", "\xff\xfe")]),
    ],
)
async def test_what_could_be_forged_is_refused_at_every_door(
    village: Place, peer: str, headers: list[tuple[str, str]]
) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    http = village.http(peer)
    for path in ("/api/me", "/", "/v1/models", "/health"):
        got = await http.get(path, headers=sent)
        assert (got.status_code, "header_refused" in got.text) == (400, True), path
    if len({name for name, _ in headers}) == len(headers):
        with pytest.raises(InvalidStatus) as refused:
            async with village.socket(dict(headers), peer):
                pass
        assert refused.value.response.status_code == 400
    assert await village.core.register.listing() == ()


async def test_a_page_of_another_site_has_no_use_of_the_header(village: Place) -> None:
    foreign = ADA | {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    http = village.http()
    for path in ("/api/rooms", "/v1/conversations"):
        got = await http.post(path, json={}, headers=foreign)
        assert (got.status_code, "origin_refused" in got.text) == (403, True), path


async def test_a_request_with_the_header_is_not_of_this_machine(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path, auth_header="remote-user", auth_header_networks="127.0.0.0/8", rooms_per_hour=None
    )
    async with serving(settings, asyncio.Event()) as (url, core):
        place = Place(url, core)
        http = place.http("127.0.0.1")
        assert (await http.get("/v1/models", headers={"remote-user": ""})).status_code == 401
        assert (await http.get("/v1/models")).status_code == 200
        await http.aclose()


async def test_they_are_the_same_after_a_restart_with_the_same_session(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth_header="remote-user", auth_header_networks=PROXY)
    seen: list[object] = []
    for _ in range(2):
        async with serving(settings, asyncio.Event()) as (url, core):
            http = Place(url, core).http()
            me = (await http.get("/api/me", headers=ADA)).json()
            sessions = (await http.get("/api/me/sessions", headers=ADA)).json()["sessions"]
            seen.append((me, [one["id"] for one in sessions]))
            await http.aclose()
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "given",
    [
        {"auth_header": "Remote-User"},
        {"auth_header_networks": "127.0.0.1"},
        {"auth_header": "Remote_User", "auth_header_networks": "127.0.0.1"},
        {"auth_header": "cookie", "auth_header_networks": "127.0.0.1"},
        {"auth_header": "Remote-User", "auth_header_networks": "proxy.example.org"},
    ],
)
def test_there_is_no_start_with_one_setting_alone(given: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        settings_from(**given)
    assert refused.value.code is Code.SETTINGS_INVALID
    assert "PALAVER_AUTH_HEADER" in refused.value.detail
