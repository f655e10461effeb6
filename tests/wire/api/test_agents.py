"""The library of agents, over real HTTP: who makes, sees, changes, shares and asks which."""

import json
from typing import Any

import httpx2
import pytest
from tests.cards.test_characters import V3
from tests.cards.test_png import card, picture
from tests.wire.api.test_people import Town, audited, signed_in, town
from tests.wire.callers import _counted
from tests.wire.door import Json, new_cid, new_room, shaped

from palaver.cards import png
from palaver.model import ServerRole
from palaver.store.write import agents as saving
from palaver.wire.api import agents

__all__ = ["town"]


async def made(http: httpx2.AsyncClient, **card: Any) -> Json:
    got = await http.post("/api/agents", json={"handle": "poet", "name": "Poet", **card})
    assert got.status_code == 201, got.text
    return shaped(agents.Agent, got.json()) and got.json()


async def asked(http: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> Json:
    got = await http.request(method, path, json=body)
    assert got.status_code in {200, 201}, got.text
    return got.json()


async def refused(
    http: httpx2.AsyncClient, method: str, path: str, body: Any = None
) -> tuple[int, str]:
    got = await http.request(method, path, json=body)
    return got.status_code, got.json()["code"]


async def names(http: httpx2.AsyncClient, address: str = "/api/agents") -> list[str]:
    return [one["name"] for one in (await asked(http, "GET", address))["agents"]]


async def test_a_card_has_versions_which_can_be_seen_and_come_back(town: Town) -> None:
    first = await made(
        town.person,
        persona="Rhyme.",
        parameters={"temperature": 0.9},
        context={"messages": 20, "tokens": None},
        tags=["fun"],
    )
    assert (first["version"], first["audience"], first["owner"]) == (1, "me", town.ids["person"])
    at = f"/api/agents/{first['id']}"
    second = await asked(town.person, "PATCH", at, {"persona": "Rhyme!", "handle": "bard"})
    assert (second["version"], second["handle"], second["tags"]) == (2, "bard", ["fun"])
    assert second["context"] == {"messages": 20, "tokens": None}
    assert await asked(town.person, "PATCH", at, {"persona": "Rhyme!"}) == second
    told = shaped(agents.Versions, await asked(town.person, "GET", f"{at}/versions"))
    me = town.ids["person"], first["owner_name"]
    assert [(one["by"], one["by_name"], one["version"]) for one in told["versions"]] == [
        (*me, 2),
        (*me, 1),
    ]
    assert (await asked(town.person, "GET", f"{at}/versions/1"))["card"]["persona"] == "Rhyme."
    back = await asked(town.person, "POST", f"{at}/versions/1/restore")
    assert (back["version"], back["persona"], back["handle"]) == (3, "Rhyme.", "bard")
    assert await refused(town.person, "GET", f"{at}/versions/9") == (404, "agent_not_found")
    copy = await asked(town.person, "POST", f"{at}/duplicate", {})
    assert (copy["handle"], copy["persona"], copy["version"]) == ("bard-2", "Rhyme.", 1)
    kinds = [(one["k"], one["d"].get("of")) for one in await audited(town.owner)]
    assert kinds.count(("agent.saved", first["id"])) == len(told["versions"]) + 1


async def test_what_no_card_can_be_is_refused_and_nothing_of_it_kept(town: Town) -> None:
    for body, code in (
        ({"persona": "x" * 200_001}, "card_invalid"),
        ({"tags": ["x"] * 21}, "card_invalid"),
        ({"context": {"messages": 0}}, "card_invalid"),
        ({"parameters": {"x": "y" * 16_384}}, "card_invalid"),
        ({"parameters": None}, "card_invalid"),
        ({"name": None}, "card_invalid"),
        ({"name": "System"}, "name_reserved"),
        ({"handle": "everyone"}, "name_reserved"),
        ({"handle": "no one"}, "handle_invalid"),
        ({"handle": "the-pers0n"}, "handle_taken"),
        ({"handle": "ass1stant"}, "name_reserved"),
        ({"id": "a_1"}, "bad_request"),
        ({"persona": 7}, "bad_request"),
        ({"audience": "nobody"}, "bad_request"),
    ):
        card = {"handle": "poet", "name": "Poet", **body}
        assert (await refused(town.person, "POST", "/api/agents", card))[1] == code, body
    assert await names(town.admin, "/api/agents?all=true") == ["Assistant"]


async def test_an_id_of_ones_own_makes_one_agent(town: Town) -> None:
    id_ = f"a_{'1' * 32}"
    first = await made(town.person, id=id_)
    assert await made(town.person, id=id_, name="Another") == first
    card = {"id": id_, "handle": "other", "name": "Other"}
    assert await refused(town.admin, "POST", "/api/agents", card) == (404, "agent_not_found")


async def test_who_may_use_an_agent_is_who_its_owner_says(town: Town) -> None:
    other, id_ = await signed_in(town.door, town.core, ServerRole.PERSON, "other")
    _, guest = await town.door.guest()
    poet = await made(town.person, persona="Secret.", examples="Secret.", post_history="Secret.")
    at = f"/api/agents/{poet['id']}"

    async def seen() -> list[bool]:
        callers = (town.person, other, guest)
        return ["Poet" in await names(one) for one in callers]

    assert await seen() == [True, False, False]
    never = (404, "agent_not_found")
    for http in (other, guest):
        assert await refused(http, "GET", at) == never
        assert await refused(http, "GET", f"/api/agents/a_{'0' * 32}") == never
    for method, path, body in (
        ("PATCH", at, {"persona": "Mine."}),
        ("DELETE", at, None),
        ("GET", f"{at}/versions", None),
        ("POST", f"{at}/versions/1/restore", None),
        ("POST", f"{at}/duplicate", {}),
    ):
        assert await refused(other, method, path, body) == never
        assert await refused(guest, method, path, body) == (403, "forbidden")
    room = await new_room(other)
    adding = ("POST", f"/api/rooms/{room}/members", {"actor": poet["id"]})
    assert await refused(other, *adding) == never
    shared = await asked(town.person, "PATCH", at, {"audience": "some", "people": [id_]})
    assert (shared["people"], shared["version"]) == ([id_], 1)
    assert await seen() == [True, True, False]
    told = await asked(other, "GET", at)
    assert "Secret." not in str(told)
    assert (told["persona"], told["people"], told["editable"]) == (None, [], False)
    assert told["owner_name"] == (await asked(town.person, "GET", "/api/me"))["name"]
    assert await refused(other, "PATCH", at, {"persona": "Mine."}) == (403, "forbidden")
    assert (await asked(town.admin, "GET", at))["persona"] == "Secret."
    await asked(other, *adding)
    await asked(town.person, "PATCH", at, {"audience": "everyone"})
    assert await seen() == [True, True, True]
    kinds = [one["k"] for one in await audited(town.owner)]
    assert kinds.count("agent.shared") == len(("some", "everyone"))


async def test_a_member_hears_whether_an_agent_is_for_them_and_never_for_whom_else(
    town: Town,
) -> None:
    other, id_ = await signed_in(town.door, town.core, ServerRole.PERSON, "another")
    poet = await made(town.person)
    room = await new_room(town.person)
    at = f"/api/rooms/{room}/members"
    await asked(town.person, "POST", at, {"actor": id_})
    added = await asked(town.person, "POST", at, {"actor": poet["id"]})
    assert added["for_me"] is True

    async def told() -> list[bool]:
        pages = [(await asked(one, "GET", at))["members"] for one in (town.person, other)]
        ones = [next(one for one in page if one["id"] == poet["id"]) for page in pages]
        assert ones[0] == {**ones[1], "for_me": ones[0]["for_me"]}
        assert {one["for_me"] for page in pages for one in page if one["kind"] == "person"} == {
            None
        }
        return [one["for_me"] for one in ones]

    assert await told() == [True, False]
    await asked(town.person, "PATCH", f"/api/agents/{poet['id']}", {"people": [id_]})
    assert await told() == [True, False], "they are named, and the audience is another"
    await asked(town.person, "PATCH", f"/api/agents/{poet['id']}", {"audience": "some"})
    assert await told() == [True, True]
    await town.person.delete(f"/api/agents/{poet['id']}")
    assert await told() == [False, False]


async def test_a_room_begins_with_the_agents_that_its_maker_chose(town: Town) -> None:
    poet = await made(town.person)
    chosen = ("POST", "/api/rooms", {"agents": [poet["id"]]})

    async def there() -> list[str]:
        return [one["name"] for one in (await asked(town.person, *chosen))["agents"]]

    assert await there() == ["Poet"]
    await made(town.person, handle="scribe", name="Scribe", auto_join=True)
    assert await there() == ["Poet", "Scribe"]
    assert await refused(town.admin, *chosen) == (404, "agent_not_found")
    await town.person.delete(f"/api/agents/{poet['id']}")
    assert await refused(town.person, *chosen) == (404, "agent_not_found")
    many = {"agents": [poet["id"]] * 21}
    assert (await refused(town.person, "POST", "/api/rooms", many))[1] == "bad_request"


async def test_programs_are_told_of_the_agents_that_they_may_ask(town: Town) -> None:
    await made(town.person, persona="/fail")
    poet = await town.core.agents.by_name()
    for role, knows in (("person", True), ("admin", False)):
        key, _ = await town.core.keys.create(name=None, handle=town.ids[role])
        program = town.door.http(headers={"authorization": f"Bearer {key}"})
        listed = [one["id"] for one in (await asked(program, "GET", "/v1/models"))["data"]]
        assert ("poet" in listed) is knows
        assert (await program.get("/v1/models/poet")).is_success is knows
        asking = {"model": "poet", "messages": [{"role": "user", "content": "hi"}]}
        got = await program.post("/v1/chat/completions", json=asking)
        room = (await asked(program, "GET", "/api/rooms"))["rooms"][0]["id"]
        said = (await asked(program, "GET", f"/api/rooms/{room}/messages"))["messages"][-1]
        assert (said["by"] == poet["poet"].id) is knows, got.text
        assert said["meta"].get("card") == (1 if knows else None)


async def test_an_archived_agent_answers_no_more_and_its_words_stay(town: Town) -> None:
    poet = await made(town.person)
    room = await new_room(town.person)
    members = f"/api/rooms/{room}/members"
    await asked(town.person, "POST", members, {"actor": poet["id"]})

    async def say(text: str) -> set[str]:
        body = {"text": text, "cid": new_cid()}
        await asked(town.person, "POST", f"/api/rooms/{room}/messages", body)
        await town.core.turns.idle()
        got = await asked(town.person, "GET", f"/api/rooms/{room}/messages")
        behind = [one["text"] for one in got["messages"]].index(text)
        return {one["name"] for one in got["messages"][behind + 1 :]}

    assert await say("@poet @assistant, one") == {"Poet", "Assistant"}
    assert (await town.person.delete(f"/api/agents/{poet['id']}")).status_code == 204
    assert await say("@poet @assistant, two") == {"Assistant"}
    got = (await asked(town.person, "GET", f"/api/rooms/{room}/messages"))["messages"]
    its = next(one["id"] for one in got if one["name"] == "Poet")
    retry = await refused(town.person, "POST", f"/api/messages/{its}/retry")
    assert retry == (404, "agent_not_found")
    assert "Poet" not in await names(town.person)
    assert "Poet" in await names(town.person, "/api/agents?all=true")
    await asked(town.person, "PATCH", f"/api/agents/{poet['id']}", {"archived": False})
    assert await say("@poet @assistant, three") == {"Poet", "Assistant"}
    await town.core.register.delete(town.ids["person"])
    assert "Poet" not in [one.name for one in (await town.core.agents.by_name()).values()]


async def test_a_new_room_begins_with_ones_own_default_and_what_joins(town: Town) -> None:
    poet = await made(town.person, default=True, audience="everyone")
    critic = await made(town.person, handle="critic", name="Critic", auto_join=True)

    async def begun(http: httpx2.AsyncClient) -> set[str]:
        room = await asked(http, "POST", "/api/rooms", {})
        return {one["name"] for one in room["agents"]}

    assert await begun(town.person) == {poet["name"], critic["name"]}
    assert await begun(town.admin) == {"Assistant"}


async def test_templates_are_cards_that_can_be_made(town: Town) -> None:
    told = shaped(agents.Templates, await asked(town.person, "GET", "/api/agents/templates"))
    cards = told["templates"]
    assert len(cards) == 8
    for template in cards:
        given = {name: one for name, one in template.items() if one is not None}
        assert (await made(town.person, **given))["persona"] == template["persona"]


async def test_only_admins_make_agents_where_the_setting_says_so(town: Town) -> None:
    town.core.agents._settings = town.door.settings.model_copy(update={"agents": "admins"})
    card = {"handle": "poet", "name": "Poet"}
    assert await refused(town.person, "POST", "/api/agents", card) == (403, "forbidden")
    await made(town.admin)


async def test_a_file_becomes_an_agent_and_comes_out_again_with_all_that_was_in_it(
    town: Town,
) -> None:
    drawn = picture(card(b"ccv3", json.dumps(V3).encode()))
    got = await town.person.post("/api/agents/import", content=drawn)
    assert got.status_code == 201, got.text
    told = shaped(agents.Imported, got.json())
    poet = told["agent"]
    assert (poet["handle"], poet["name"], poet["imported"]) == ("maya", "Maya", True)
    assert (told["speaks"], poet["audience"]) == ("never", "me")
    assert poet["avatar"] is not None
    assert (await town.person.get(poet["avatar"])).content == picture()
    at = f"/api/agents/{poet['id']}"
    out = await town.person.get(f"{at}/export", params={"format": "json"})
    assert out.json() == V3
    assert out.headers["content-disposition"] == 'attachment; filename="maya.card.json"'
    own = await town.person.get(f"{at}/export")
    assert own.headers["content-disposition"] == 'attachment; filename="maya.palaver.json"'
    both = (await town.person.get(f"{at}/export", params={"format": "png"})).content
    assert json.loads(png.card_in(both))["data"] == V3["data"]
    again = await town.person.post(
        "/api/agents/import", params={"handle": "mia"}, content=own.content
    )
    assert again.json()["agent"]["handle"] == "mia"
    assert again.json()["agent"]["avatar"] not in {None, poet["avatar"]}
    third = await town.person.post("/api/agents/import", content=drawn)
    assert third.json()["agent"]["handle"] == "maya-2"
    taken = await town.person.post("/api/agents/import", params={"handle": "m1a"}, content=drawn)
    assert (taken.status_code, taken.json()["code"]) == (409, "handle_taken")
    large = await town.person.post(
        "/api/agents/import", content=picture(card(b"chara", json.dumps(V3).encode()), side=1_025)
    )
    assert large.json()["agent"]["avatar"] is None
    assert await refused(town.owner, "GET", "/api/agents/a_1/export") == (404, "agent_not_found")


async def test_a_file_that_is_no_card_leaves_nothing(town: Town) -> None:
    before = await town.core.chat._store.read(_counted)
    for broken in (b"", b"<svg/>", b"PK\x03\x04", b"{}", picture(), b'{"name":"","first_mes":""}'):
        got = await town.person.post("/api/agents/import", content=broken)
        assert (got.status_code, got.json()["code"]) == (400, "card_invalid"), broken
    got = await town.person.post("/api/agents/import", content=b"x" * 10_485_761)
    assert (got.status_code, got.json()["code"]) == (413, "payload_too_large")
    _, guest = await town.door.guest()
    got = await guest.post("/api/agents/import", content=picture(card(b"ccv3", b"{}")))
    assert (got.status_code, got.json()["code"]) == (403, "forbidden")
    after = await town.core.chat._store.read(_counted)
    assert {name for name in after if before[name] != after[name]} <= {"actors", "sessions"}


async def test_a_picture_is_a_version_of_the_card_and_its_own(town: Town) -> None:
    at = f"/api/agents/{(await made(town.person))['id']}"
    got = await town.person.put(f"{at}/avatar", content=picture())
    assert got.status_code == 200, got.text
    assert (got.json()["version"], got.json()["avatar"] is None) == (2, False)
    room = await new_room(town.person)
    id_ = at.rpartition("/")[2]
    added = await asked(town.person, "POST", f"/api/rooms/{room}/members", {"actor": id_})
    assert added["avatar"] == got.json()["avatar"]
    assert (await asked(town.person, "DELETE", f"{at}/avatar"))["avatar"] is None
    back = await asked(town.person, "POST", f"{at}/versions/2/restore")
    assert (await town.person.get(back["avatar"])).content == picture()
    for broken, code in ((b"<svg/>", "bad_request"), (picture(side=1_025), "picture_too_large")):
        got = await town.person.put(f"{at}/avatar", content=broken)
        assert got.json()["code"] == code


async def test_a_person_has_only_so_many_agents(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "OWNED_MAX", 1)
    poet = await made(town.person)
    card = {"handle": "critic", "name": "Critic"}
    assert await refused(town.person, "POST", "/api/agents", card) == (409, "too_many_agents")
    at = f"/api/agents/{poet['id']}/duplicate"
    assert await refused(town.person, "POST", at, {}) == (409, "too_many_agents")
    await made(town.admin, **card)


@pytest.mark.parametrize("form", ["palaver", "json", "png"])
async def test_the_numbers_of_another_program_come_out_as_they_went_in(
    town: Town, form: str
) -> None:
    numbers = {
        name: f"{{{name}}}" for name in ("18446744073709551617", "1e400", "0.1", "-0", "1e-9")
    }
    whole = json.dumps(V3 | {"numbers": numbers}).encode()
    for name in numbers:
        whole = whole.replace(f'"{{{name}}}"'.encode(), name.encode())
    document = picture(card(b"ccv3", whole))
    got = await town.person.post("/api/agents/import", content=document)
    assert got.status_code == 201, got.text
    at = f"/api/agents/{got.json()['agent']['id']}/export"
    written = (await town.person.get(at, params={"format": form})).content
    again = await town.person.post("/api/agents/import", content=written)
    assert again.status_code == 201, again.text
    at = f"/api/agents/{again.json()['agent']['id']}/export"
    out = (await town.person.get(at, params={"format": "json"})).content
    kept = json.loads(out, parse_int=str, parse_float=str)["numbers"]
    assert kept.pop("1e400") == "1E+400"
    assert kept == {name: name for name in kept}
    assert len(kept) == len(numbers) - 1
