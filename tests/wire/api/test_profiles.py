"""Connections to model servers, over real HTTP: kept, tried and used at once, their keys told to nobody else."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.support.upstream import ScriptedUpstream, refuse, reply, scripted_upstream
from tests.wire.api.test_people import signed_in
from tests.wire.door import Door, Json, new_room, serving, settings_for, shaped, texts

from palaver.core.runtime import Core
from palaver.model import ServerRole
from palaver.store.admin.backup import backup
from palaver.wire.api.profiles import Profile, Profiles, Tried

KEY = "sk-planted-0123456789abcdef"
HEADER = "planted-header-0123456789"
LOOPBACK = "127.0.0.1/32"


@dataclass(frozen=True, slots=True)
class Town:
    """A server with an owner and two people, and two model servers that it may reach."""

    door: Door
    core: Core
    owner: httpx2.AsyncClient
    ada: httpx2.AsyncClient
    bo: httpx2.AsyncClient
    house: ScriptedUpstream
    other: ScriptedUpstream

    async def made(
        self, who: httpx2.AsyncClient, upstream: ScriptedUpstream, **more: object
    ) -> Json:
        """A connection that somebody keeps."""
        given = {"url": upstream.base_url, "key": KEY, **more}
        made = await who.post("/api/profiles", json=given)
        assert made.status_code == 201, made.text
        assert KEY not in made.text
        shaped(Profile, made.json())
        return made.json()

    async def models(self, who: httpx2.AsyncClient) -> list[str]:
        return [one["id"] for one in (await who.get("/api/models")).json()["models"]]

    async def listed(self, who: httpx2.AsyncClient) -> list[Json]:
        found = (await who.get("/api/profiles")).json()
        shaped(Profiles, found)
        return found["profiles"]

    async def program(self, who: httpx2.AsyncClient) -> httpx2.AsyncClient:
        """A program that has a key of somebody's."""
        token = (await who.post("/api/keys", json={})).json()["token"]
        return self.door.http(headers={"authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Town]:
    settings = settings_for(
        tmp_path_factory.mktemp("house") / "data", profiles="people", profile_networks=LOOPBACK
    )
    stop = asyncio.Event()
    async with (
        scripted_upstream() as house,
        scripted_upstream() as other,
        serving(settings, stop) as (url, core),
    ):
        door = Door(url, settings, stop)
        owner, _ = await signed_in(door, core, ServerRole.OWNER, "ow")
        ada, _ = await signed_in(door, core, ServerRole.PERSON, "ada")
        bo, _ = await signed_in(door, core, ServerRole.PERSON, "bo")
        yield Town(door, core, owner, ada, bo, house, other)
        await door.close()


@pytest.fixture
async def town(running: Town) -> AsyncGenerator[Town]:
    """The same without any connection."""
    for one, name in ((running.house, "house-1"), (running.other, "other-1")):
        one.models, one.models_script, one.default = [{"id": name}], None, reply(f"of {name}")
        one.requests.clear()
    yield running
    for who in (running.owner, running.ada, running.bo):
        for one in await running.listed(who):
            await who.delete(f"/api/profiles/{one['id']}")


async def answered(town: Town, who: httpx2.AsyncClient) -> str:
    """What the assistant says in a new chat."""
    room = await new_room(who, "Chat")
    said = await who.post(f"/api/rooms/{room}/messages", json={"text": "hello", "cid": room})
    assert said.status_code < 300, said.text
    await town.core.turns.idle()
    (answer,) = await texts(who, room, role="assistant")
    return answer


async def completed(program: httpx2.AsyncClient, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    answer = await program.post("/v1/chat/completions", json={**body, "stream": True})
    return answer.text


async def test_a_connection_answers_at_once_and_is_gone_at_once(town: Town) -> None:
    hint = (await town.ada.get("/api/models")).json()["hint"]
    assert "No model is connected" in hint
    made = await town.made(town.owner, town.house, server=True, headers={"x-team": HEADER})
    assert (made["name"], made["key"], made["headers"]) == ("127.0.0.1", True, ["x-team"])
    assert (made["server"], made["fixed"], made["readable"]) == (True, False, True)
    assert await town.models(town.ada) == ["house-1"]
    assert await answered(town, town.ada) == "of house-1"
    asked = town.house.asked[0]
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["x-team"] == HEADER
    url = f"/api/profiles/{made['id']}"
    changed = await town.owner.patch(
        url, json={"url": town.other.base_url, "key": "", "headers": {}}
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json()["key"], changed.json()["headers"]) == (False, [])
    assert await answered(town, town.ada) == "of other-1"
    assert "authorization" not in town.other.asked[0].headers
    assert (await town.owner.delete(url)).status_code == 204
    assert "No model is connected" in (await town.ada.get("/api/models")).json()["hint"]
    assert (await town.owner.delete(url)).json()["code"] == "profile_not_found"


async def test_ones_own_is_listed_to_oneself_and_asked_for_oneself_alone(town: Town) -> None:
    await town.made(town.owner, town.house, server=True, name="house")
    mine = await town.made(town.ada, town.other, name="mine")
    assert [one["id"] for one in await town.listed(town.ada)] == [mine["id"]]
    assert await town.listed(town.bo) == []
    assert [one["name"] for one in await town.listed(town.owner)] == ["house"]
    assert await town.models(town.ada) == ["house-1", "other-1"]
    assert await town.models(town.bo) == ["house-1"]
    of_ada, of_bo = await town.program(town.ada), await town.program(town.bo)
    for program, found in ((of_ada, True), (of_bo, False)):
        listed = [one["id"] for one in (await program.get("/v1/models")).json()["data"]]
        assert ("other-1" in listed) == found
        assert ("of other-1" in await completed(program, "other-1")) == found
        assert ("of other-1" in await completed(program, "mine/other-1")) == found
        assert "of house-1" in await completed(program, "house-1")
    assert all(one.headers["authorization"] == f"Bearer {KEY}" for one in town.other.asked)
    assert len(town.other.asked) == 2
    assert await answered(town, town.ada) == "of house-1", "a room's agent is the server's"
    for who in (town.bo, town.owner):
        for call in (
            who.patch(f"/api/profiles/{mine['id']}", json={"name": "stolen"}),
            who.delete(f"/api/profiles/{mine['id']}"),
            who.post("/api/profiles/test", json={"profile": mine["id"]}),
            who.post("/api/profiles", json={"id": mine["id"], "url": "http://127.0.0.1:9"}),
        ):
            answer = await call
            assert (answer.status_code, answer.json()["code"]) == (404, "profile_not_found")
    assert await town.listed(town.ada) == [mine]


async def test_a_name_that_two_have_is_asked_of_the_first_and_of_either_by_its_profile(
    town: Town,
) -> None:
    town.other.models = [{"id": "house-1"}, {"id": "other-1"}]
    await town.made(town.owner, town.house, server=True, name="house")
    await town.made(town.ada, town.other, name="mine")
    assert await town.models(town.ada) == ["house-1", "mine/house-1", "other-1"]
    program = await town.program(town.ada)
    assert "of house-1" in await completed(program, "house-1")
    assert "of house-1" in await completed(program, "house/house-1")
    assert "of other-1" in await completed(program, "mine/house-1")
    assert town.other.asked[-1].json["model"] == "house-1"


@pytest.mark.parametrize("mine", [True, False])
async def test_default_is_the_default_model_of_the_first_connection(
    town: Town, *, mine: bool
) -> None:
    town.house.models = [{"id": "house-1"}, {"id": "house-2"}]
    if mine:
        await town.made(town.ada, town.other, name="mine", model="other-1")
    else:
        await town.made(town.owner, town.house, server=True, name="house", model="house-2")
        await town.made(town.ada, town.other, name="mine")
    program, text = await town.program(town.ada), "other-1" if mine else "house-2"
    hello = {"messages": [{"role": "user", "content": "hello"}]}
    for path, more in (
        ("chat/completions", hello),
        ("responses", {"input": "hello"}),
        ("responses", {"input": "hello", "store": False}),
        ("messages", {**hello, "max_tokens": 9}),
        ("embeddings", {"input": "hello"}),
    ):
        await program.post(f"/v1/{path}", json={"model": "default", **more})
        asked = [*town.house.requests, *town.other.requests]
        said = [one.json["model"] for one in asked if one.method == "POST"]
        assert said, path
        assert {*said} == {text}, path
        town.house.requests.clear()
        town.other.requests.clear()


async def test_an_agent_asks_by_the_connection_of_its_card_and_by_no_other(town: Town) -> None:
    town.house.models = town.other.models = [{"id": "same"}]
    await town.made(town.owner, town.house, server=True, name="house")
    second = await town.made(town.owner, town.other, server=True, name="other")
    change, program = town.core.agents.change, await town.program(town.ada)
    of = None, town.core.assistant
    try:
        await change(*of, {"profile": second["id"], "model": "same"})
        assert await answered(town, town.ada) == "of other-1"
        await change(*of, {"model": None})
        assert await answered(town, town.ada) == "of other-1"
        assert [one.json["model"] for one in town.other.asked] == ["same", "same"]
        async with asyncio.timeout(60):  # what was read of agents is believed for a second
            while "of other-1" not in await completed(program, "assistant"):
                pass
        mine = await town.made(town.ada, town.other, name="mine")
        for gone in (second["id"], mine["id"]):
            await change(*of, {"profile": gone})
            await town.owner.delete(f"/api/profiles/{second['id']}")
            town.other.requests.clear()
            assert await answered(town, town.ada) == ""
            assert town.other.asked == []
    finally:
        await change(*of, {"profile": None, "model": None})


async def test_who_may_use_anothers_agent_asks_by_its_owners_connection_through_it_alone(
    town: Town,
) -> None:
    mine = await town.made(town.ada, town.other, name="mine")
    card = {"handle": "helper", "name": "Helper", "profile": mine["id"], "model": "other-1"}
    made = await town.ada.post("/api/agents", json={**card, "audience": "everyone"})
    assert made.status_code == 201, made.text
    of_bo = await town.program(town.bo)
    async with asyncio.timeout(60):  # what was read of agents is believed for a second
        while "of other-1" not in await completed(of_bo, "helper"):
            pass
    assert "of other-1" not in await completed(of_bo, f"{mine['id']}/other-1")
    assert "of other-1" not in await completed(of_bo, "mine/other-1")
    assert await town.models(town.bo) == ["echo"]
    stolen = {"handle": "thief", "name": "Thief", "profile": mine["id"], "model": "other-1"}
    assert (await town.bo.post("/api/agents", json=stolen)).status_code == 201
    count = len(town.other.asked)
    async with asyncio.timeout(60):
        while "thief" not in (await of_bo.get("/v1/models")).text:
            pass
    await completed(of_bo, "thief")
    assert len(town.other.asked) == count, "a card names a connection, its owner's alone is asked"


async def test_a_server_is_tried_before_and_after_it_is_kept(town: Town) -> None:
    town.house.models = [{"id": f"model-{number}"} for number in range(42)]
    given = {"url": town.house.base_url, "key": KEY}
    tried = await town.ada.post("/api/profiles/test", json=given)
    assert len(shaped(Tried, tried.json())["models"]) == 42
    assert await town.listed(town.ada) == []
    made = await town.made(town.ada, town.house)
    town.house.requests.clear()
    again = await town.ada.post("/api/profiles/test", json={"profile": made["id"]})
    assert again.json() == tried.json()
    assert town.house.requests[0].headers["authorization"] == f"Bearer {KEY}"
    elsewhere = {"profile": made["id"], "url": town.other.base_url}
    assert (await town.ada.post("/api/profiles/test", json=elsewhere)).status_code == 200
    assert "authorization" not in town.other.requests[0].headers, "its key goes nowhere else"
    town.house.models_script = refuse(401, {"error": {"message": f"wrong key {KEY}"}})
    wrong = await town.ada.post("/api/profiles/test", json=given)
    assert (wrong.status_code, wrong.json()["code"]) == (502, "profile_refused")
    assert "did not accept the API key" in wrong.json()["detail"]
    assert KEY not in wrong.text


async def test_an_address_that_is_not_public_is_reached_by_the_servers_alone(town: Town) -> None:
    url = town.house.base_url.replace(
        "127.0.0.1", "127.1"
    )  # 127.0.0.1 is allowed, whatever it is called
    assert (await town.ada.post("/api/profiles/test", json={"url": url})).status_code == 200
    port = town.house.port
    told: set[str] = set()
    for host in ("127.0.0.2", "[::1]", "10.0.0.1", "169.254.169.254", "[fd00:ec2::254]"):
        refused = await town.ada.post("/api/profiles/test", json={"url": f"http://{host}:{port}"})
        assert (refused.status_code, refused.json()["code"]) == (502, "profile_unreachable")
        told.add(refused.json()["detail"])
    closed = await town.ada.post("/api/profiles/test", json={"url": "http://127.0.0.1:9/v1"})
    assert told == {closed.json()["detail"]}
    anyone = await town.ada.post(
        "/api/profiles/test", json={"url": town.house.base_url, "server": True}
    )
    assert (anyone.status_code, anyone.json()["code"]) == (403, "forbidden")


async def test_a_key_goes_to_no_other_address_without_being_entered_again(town: Town) -> None:
    made = await town.made(town.ada, town.house, headers={"x-team": HEADER})
    url = f"/api/profiles/{made['id']}"
    ways: tuple[Json, ...] = (
        {"url": town.other.base_url},
        {"url": town.other.base_url, "key": "sk-another"},
        {"url": town.other.base_url, "headers": {}},
    )
    for given in ways:
        refused = await town.ada.patch(url, json=given)
        assert (refused.status_code, refused.json()["code"]) == (400, "profile_invalid"), given
    assert await town.listed(town.ada) == [made]
    whole: Json = {"url": town.other.base_url, "key": "sk-another", "headers": {}}
    assert (await town.ada.patch(url, json=whole)).status_code == 200


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "profile_invalid"),
        ({"url": "ftp://models.example/v1"}, "profile_invalid"),
        ({"url": "http://ada:secret@models.example/v1"}, "profile_invalid"),
        ({"url": "http://models.example/v1?key=x"}, "profile_invalid"),
        ({"url": "http://0177.0.0.1/v1"}, "profile_invalid"),
        ({"url": "http://a b/v1"}, "profile_invalid"),
        ({"url": f"http://models.example/{'x' * 2_000}"}, "profile_invalid"),
        ({"url": "http://m.example", "key": "a\nb"}, "profile_invalid"),
        ({"url": "http://m.example", "key": "k" * 1_025}, "profile_invalid"),
        ({"url": "http://m.example", "name": "a/b"}, "profile_invalid"),
        ({"url": "http://m.example", "name": "environment"}, "profile_invalid"),
        ({"url": "http://m.example", "name": " "}, "name_invalid"),
        ({"url": "http://m.example", "model": "m" * 301}, "profile_invalid"),
        ({"url": "http://m.example", "kind": "telnet"}, "bad_request"),
        ({"url": "http://m.example", "id": "p_" + "0" * 32}, "bad_request"),
        ({"url": "http://m.example", "headers": {"Host": "x"}}, "header_refused"),
        ({"url": "http://m.example", "headers": {"content-length": "1"}}, "header_refused"),
        ({"url": "http://m.example", "headers": {"x y": "1"}}, "header_refused"),
        ({"url": "http://m.example", "headers": {"x-a": "1\r\nx-b: 2"}}, "profile_invalid"),
        (
            {"url": "http://m.example", "headers": {f"x-{n}": "1" for n in range(21)}},
            "header_refused",
        ),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_kept(
    town: Town, given: Json, code: str
) -> None:
    refused = await town.ada.post("/api/profiles", json=given)
    assert (refused.status_code, refused.json()["code"]) == (400, code), refused.text
    assert await town.listed(town.ada) == []


async def test_one_that_is_sent_again_is_kept_once_and_names_stay_apart(town: Town) -> None:
    given = {"id": f"f_{'1' * 32}", "url": town.house.base_url, "name": "mine"}
    first, second = [await town.ada.post("/api/profiles", json=given) for _ in range(2)]
    assert first.json() == second.json()
    again = await town.ada.post("/api/profiles", json={"url": "http://m.example", "name": "mine"})
    assert again.json()["code"] == "profile_invalid"
    await town.made(town.bo, town.house, name="mine")
    assert len(await town.listed(town.ada)) == 1


async def test_guests_connect_nothing(town: Town) -> None:
    _, guest = await town.door.guest()
    for call in (guest.get("/api/profiles"), guest.post("/api/profiles", json={})):
        assert (await call).json()["code"] == "forbidden"


def untold(_doing: str, _done: int, _total: int) -> None:
    """A backup's progress."""


async def test_a_key_is_found_nowhere_but_where_it_was_sent(
    town: Town, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = await town.made(town.ada, town.house, name="mine", headers={"x-team": HEADER})
    url = f"/api/profiles/{made['id']}"
    program = await town.program(town.ada)
    town.house.will(refuse(500, {"error": {"message": f"broken by {KEY} and {HEADER}"}}))
    replies = [
        await completed(program, "mine/house-1"),
        await completed(program, "mine/house-1"),
        (await town.ada.patch(url, json={"key": KEY + "-2"})).text,
        (await town.ada.post("/api/profiles/test", json={"profile": made["id"]})).text,
        (await town.ada.patch(url, json={"key": KEY, "name": "a/b"})).text,
        json.dumps(await town.listed(town.ada)),
        (await town.owner.get("/api/audit")).text,
        (await town.owner.get("/metrics")).text,
    ]
    await town.core.turns.idle()
    folder = town.door.settings.data_dir
    await asyncio.to_thread(backup, town.door.settings.url, tmp_path / "backup.db", untold)
    files = [one for one in (*folder.rglob("*"), tmp_path / "backup.db") if one.is_file()]
    assert {"palaver.db", "palaver.db-wal", "secret.key", "backup.db"} <= {
        one.name for one in files
    }
    secret = (folder / "secret.key").read_bytes()
    assert len(secret) == 32
    assert (folder / "secret.key").stat().st_mode & 0o777 == 0o600
    for planted in (KEY.encode(), HEADER.encode()):
        assert [one.name for one in files if planted in one.read_bytes()] == []
        assert planted.decode() not in "".join((*replies, *capfd.readouterr()))
    assert [one.name for one in files if secret in one.read_bytes()] == ["secret.key"]
    kinds = [one["k"] for one in json.loads(replies[-2])["events"] if made["id"] in str(one)]
    assert kinds == ["profile.saved", "profile.saved"]
