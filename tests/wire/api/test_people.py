"""People and their accounts, over real HTTP: who may find, make, shut out and promote whom, and read the audit room."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.wire.door import Door, Json, Live, new_cid, new_room, serving, settings_for, shaped

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import AUDIT, ActorId, RoomId, ServerRole
from palaver.store.write.members import JoinRoom
from palaver.store.write.rooms import SetArchived, SetRoomDeleted
from palaver.wire import shapes
from palaver.wire.api.admin import OverseenRooms
from palaver.wire.api.people import Audited, MadePerson, PeopleList, ResetLink

PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Town:
    """A server with an owner, an admin and a person, each signed in."""

    door: Door
    core: Core
    owner: httpx2.AsyncClient
    admin: httpx2.AsyncClient
    person: httpx2.AsyncClient
    ids: Mapping[str, str]


@pytest.fixture
async def town(tmp_path: Path, database_url: str) -> AsyncGenerator[Town]:
    settings = settings_for(tmp_path / "data", database_url=database_url)
    stop = asyncio.Event()
    async with serving(settings, stop) as (url, core):
        door = Door(url, settings, stop)
        made = {role: await signed_in(door, core, role) for role in ServerRole}
        ids = {role.value: one[1] for role, one in made.items()}
        yield Town(door, core, *(one[0] for one in made.values()), ids=ids)
        await door.close()


async def signed_in(
    door: Door, core: Core, role: ServerRole, handle: str | None = None
) -> tuple[httpx2.AsyncClient, str]:
    made = await core.register.create(handle or f"the-{role}", role=role)
    token = await core.register.reset_link(made.actor.id)
    http = door.http()
    assert (await chosen(http, token)).status_code == 200
    return http, made.actor.id


async def chosen(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await http.post("/api/reset", json={"token": token, "password": PASSWORD})


async def refused_by(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def audited(http: httpx2.AsyncClient) -> list[Json]:
    """All that was audited, the oldest first, in pages of two."""
    found: list[Json] = []
    before = ""
    while True:
        page = (await http.get(f"/api/audit?limit=2{before}")).json()
        shaped(Audited, page)
        found += page["events"]
        if page["before"] is None:
            return found[::-1]
        before = f"&before={page['before']}"


async def test_an_admin_makes_an_account_whose_person_chooses_a_password(town: Town) -> None:
    own = (await town.admin.get("/api/me")).json()
    assert (own["role"], own["invites"]) == ("admin", True)
    assert (await town.door.http().get("/api/me")).json()["role"] is None
    made = await town.admin.post("/api/people", json={"handle": "Ada", "name": "Ada L."})
    assert made.status_code == 201
    told = shaped(MadePerson, made.json())
    assert (told["person"]["handle"], told["person"]["role"]) == ("ada", "person")
    address, _, token = told["url"].partition("#")
    assert address == f"{town.door.url}/reset"
    ada = town.door.http()
    assert (await chosen(ada, token)).json()["me"]["name"] == "Ada L."
    own = (await ada.get("/api/me")).json()
    assert (own["role"], own["invites"]) == ("person", False)
    again = shaped(
        ResetLink, (await town.admin.post(f"/api/people/{told['person']['id']}/reset")).json()
    )
    twice = await chosen(town.door.http(), again["url"].partition("#")[2])
    assert twice.status_code == 200
    assert await refused_by(await ada.get("/api/me")) == (401, "session_ended")
    bad = await town.admin.post("/api/people", json={"handle": "bo", "role": "god"})
    assert await refused_by(bad) == (400, "bad_request")
    taken = await town.admin.post("/api/people", json={"handle": "a-d-a"})
    assert taken.status_code == 201, "looks like nobody's"
    assert await refused_by(await town.admin.post("/api/people", json={"handle": "ada"})) == (
        409,
        "handle_taken",
    )


async def test_accounts_are_listed_for_admins_in_pages_and_by_what_is_looked_for(
    town: Town,
) -> None:
    await town.admin.post("/api/people", json={"handle": "bo_1", "name": "Bo Müller"})
    found: list[str] = []
    cursor = ""
    while True:
        got = (await town.owner.get(f"/api/people?limit=2{cursor}")).json()
        page = shaped(PeopleList, got)
        assert len(page["people"]) <= 2
        found += [one["handle"] or "" for one in page["people"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == ["bo_1", "the-admin", "the-owner", "the-person"]
    for words, handles in {
        "BO_": ["bo_1"],
        "MÜLLER": [],
        "Müll": ["bo_1"],
        "müll": ["bo_1"],
        "the": ["the-admin", "the-owner", "the-person"],
        "%": [],
        "_": ["bo_1"],
    }.items():
        got = await town.admin.get("/api/people", params={"q": words})
        if words != "MÜLLER":  # SQLite knows the case of ASCII only
            assert [one["handle"] for one in got.json()["people"]] == handles, words
    for query, code in (
        ("cursor=%00", "cursor_invalid"),
        ("cursor=x%20y", "cursor_invalid"),
        ("limit=0", "limit_invalid"),
        ("q=%00", "invalid_character"),
        (f"q={'x' * 201}", "bad_request"),
    ):
        assert await refused_by(await town.admin.get(f"/api/people?{query}")) == (400, code)


async def test_an_admin_has_no_right_over_admins_and_owners(town: Town) -> None:
    admin, other = town.admin, (await town.owner.post("/api/people", json=OTHER)).json()["person"]
    assert other["role"] == "admin"
    for who in (town.ids["owner"], town.ids["admin"], other["id"]):
        for asked in (
            await admin.patch(f"/api/people/{who}", json={"status": "disabled"}),
            await admin.patch(f"/api/people/{who}", json={"role": "person"}),
            await admin.post(f"/api/people/{who}/reset"),
        ):
            assert await refused_by(asked) == (403, "forbidden")
    person = town.ids["person"]
    raised = await admin.patch(f"/api/people/{person}", json={"role": "admin"})
    assert await refused_by(raised) == (403, "forbidden")
    made = await admin.post("/api/people", json={"handle": "cy", "role": "admin"})
    assert await refused_by(made) == (403, "forbidden")
    shut = await admin.patch(f"/api/people/{person}", json={"status": "disabled"})
    assert shaped(shapes.Account, shut.json())["status"] == "disabled"


OTHER = {"handle": "other", "role": "admin"}


async def test_ids_of_others_tell_nothing_to_who_may_not_and_404_to_who_may(town: Town) -> None:
    room = await new_room(town.person)
    ids = [town.ids["owner"], "u_" + "0" * 32, "a" + town.ids["person"][1:], room, "x", "%00" * 34]
    for id_ in ids:
        got = await town.person.patch(f"/api/people/{id_}", json={"status": "disabled"})
        assert await refused_by(got) == (403, "forbidden"), id_
    for id_ in ids[1:]:
        for got in (
            await town.owner.patch(f"/api/people/{id_}", json={"role": "owner"}),
            await town.owner.patch(f"/api/people/{id_}", json={}),
            await town.owner.post(f"/api/people/{id_}/reset"),
        ):
            assert await refused_by(got) == (404, "not_found"), id_


async def test_who_is_disabled_or_given_another_role_is_let_go_at_once(town: Town) -> None:
    for body, code in (
        ({"role": "admin"}, (401, "session_ended")),
        ({"status": "disabled"}, (403, "account_disabled")),
    ):
        http, id_ = await signed_in(town.door, town.core, ServerRole.PERSON, f"x{len(code[1])}")
        cookie = {"cookie": f"palaver_session={http.cookies['palaver_session']}"}
        async with town.door.socket(additional_headers=cookie) as socket:
            live = Live(socket)
            await live.ask(t="hello", v=1)
            for _ in range(2):  # once more changes nothing
                changed = await town.owner.patch(f"/api/people/{id_}", json=body)
                assert changed.json() | body == changed.json()
            assert await live.closed() == 4503
        assert await refused_by(await http.get("/api/me")) == code
    admin = (await town.owner.get("/api/people?q=the-admin")).json()["people"][0]["id"]
    assert (await town.owner.patch(f"/api/people/{admin}", json={"status": "disabled"})).is_success
    for asked in (await town.admin.get("/api/people"), await town.admin.get("/api/audit")):
        assert await refused_by(asked) == (403, "account_disabled")


async def test_who_signs_up_where_that_needs_an_approval_waits_for_it(
    tmp_path: Path, database_url: str
) -> None:
    settings = settings_for(tmp_path / "data", database_url=database_url, sign_up="approve")
    stop = asyncio.Event()
    async with serving(settings, stop) as (url, core):
        door = Door(url, settings, stop)
        admin, _ = await signed_in(door, core, ServerRole.ADMIN)
        guest, nobody = door.http(), door.http()
        room = await new_room(guest, "Mine")
        wanted = {"handle": "gus", "password": PASSWORD}
        entered = await guest.post("/api/sign-up", json=wanted)
        assert entered.status_code == 201
        id_ = entered.json()["me"]["id"]
        assert (await guest.get("/api/me")).json()["role"] is None, "a guest still"
        assert (await guest.get(f"/api/rooms/{room}")).json()["role"] == "owner"
        made = await nobody.post("/api/sign-up", json=wanted | {"handle": "bo"})
        assert (made.status_code, made.json()["token"]) == (202, None)
        assert "set-cookie" not in made.headers
        signing = [{"handle": one, "password": PASSWORD, "replace": True} for one in ("gus", "bo")]
        for body in signing:
            refused = await door.http().post("/api/sign-in", json=body)
            assert await refused_by(refused) == (403, "account_pending")
        changing = {"old": PASSWORD, "new": "another horse"}
        changed = await guest.post("/api/me/password", json=changing)
        assert await refused_by(changed) == (403, "account_pending")
        known = await guest.get("/api/me/people?handle=the-admin")
        assert known.json() == {"people": []}, "who waits finds nobody yet"
        listed = (await admin.get("/api/people?q=gus")).json()["people"]
        assert [one["status"] for one in listed] == ["pending"]
        waiting = (await admin.get("/api/people?status=pending")).json()["people"]
        assert [one["handle"] for one in waiting] == ["bo", "gus"]
        strange = await admin.get("/api/people?status=gone")
        assert await refused_by(strange) == (400, "bad_request")
        again = await admin.patch(f"/api/people/{id_}", json={"status": "pending"})
        assert await refused_by(again) == (400, "bad_request")
        for one in (id_, made.json()["me"]["id"]):
            approved = await admin.patch(f"/api/people/{one}", json={"status": "active"})
            assert approved.json()["status"] == "active"
        assert (await guest.get("/api/me")).json()["role"] == "person"
        for body in signing:
            assert (await door.http().post("/api/sign-in", json=body)).status_code == 200
        await door.close()


async def test_the_last_owner_stays_one(town: Town) -> None:
    me = f"/api/people/{town.ids['owner']}"
    for body in ({"role": "person"}, {"role": "admin"}, {"status": "disabled"}):
        got = await town.owner.patch(me, json=body)
        assert await refused_by(got) == (409, "last_owner")
    second = f"/api/people/{town.ids['admin']}"
    assert (await town.owner.patch(second, json={"role": "owner"})).json()["role"] == "owner"
    assert (await town.owner.patch(second, json={"status": "disabled"})).is_success
    got = await town.owner.patch(me, json={"role": "person"})
    assert await refused_by(got) == (409, "last_owner"), "one who is disabled is no other"
    assert (await town.owner.patch(second, json={"status": "active"})).is_success
    stepped = await town.owner.patch(me, json={"role": "person"})
    assert stepped.json()["role"] == "person"
    assert await refused_by(await town.owner.get("/api/me")) == (401, "session_ended")


async def test_what_happens_to_accounts_is_audited_and_holds_ids_alone(town: Town) -> None:
    made = {"handle": "planted-handle", "name": "Planted Name"}
    told = (await town.admin.post("/api/people", json=made)).json()
    id_ = told["person"]["id"]
    token = told["url"].partition("#")[2]
    await chosen(town.door.http(), token)
    await town.owner.patch(f"/api/people/{id_}", json={"role": "admin", "status": "disabled"})
    for path in ("/api/audit", "/api/people", "/api/admin/rooms"):
        for http in (town.person, town.door.http()):
            assert await refused_by(await http.get(path)) == (403, "forbidden")
    events = await audited(town.admin)
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))
    its = [
        one for one in events if one["d"].get("of") == id_ and not one["k"].startswith("session")
    ]
    admin, owner = town.ids["admin"], town.ids["owner"]
    assert [(one["k"], one["by"], one["d"]) for one in its] == [
        ("account.created", admin, {"of": id_, "role": "person"}),
        ("password.reset", admin, {"of": id_}),
        ("password.changed", id_, {"of": id_}),
        ("account.role", owner, {"of": id_, "role": "admin", "before": "person"}),
        ("account.status", owner, {"of": id_, "status": "disabled", "keys": []}),
    ]
    words: dict[str, Any] = {"events": events}
    for secret in ("planted", "Planted", token, PASSWORD, "127.0.0.1"):
        assert secret not in str(words)


async def titles_of(http: httpx2.AsyncClient, query: str = "") -> list[str]:
    got = (await http.get(f"/api/admin/rooms{query}")).json()
    return [one["title"] for one in shaped(OverseenRooms, got)["rooms"]]


async def test_an_admin_sees_of_a_room_its_title_members_and_size_and_nothing_that_was_said(
    town: Town,
) -> None:
    room = f"/api/rooms/{await new_room(town.person, 'Launch')}"
    said = await town.person.post(
        f"{room}/messages", json={"cid": new_cid(), "text": "planted words"}
    )
    for http in (town.admin, town.owner):
        seen = (await http.get(room)).json()
        shaped(shapes.Overseen, seen)
        assert (seen["title"], seen["role"]) == ("Launch", None)
        assert seen["seq"] >= said.json()["seq"]
        members = (await http.get(f"{room}/members")).json()["members"]
        assert [one["handle"] for one in members if one["kind"] == "person"] == ["the-person"]
        assert (await titles_of(http))[:1] == ["Launch"]
        assert await titles_of(http, "?search=LAUN") == ["Launch"]
        assert "Audit" not in await titles_of(http, "?limit=200")
        for path in ("messages", "events", "notices", "invitations"):
            assert await refused_by(await http.get(f"{room}/{path}")) == (404, "room_not_found")
        listed = (await http.get("/api/rooms")).json()["rooms"]
        assert "Launch" not in [one["title"] for one in listed]
    pages = await town.admin.get("/api/admin/rooms?limit=1")
    assert (len(pages.json()["rooms"]), pages.json()["next"] is None) == (1, False)


async def test_an_admin_archives_gives_away_deletes_and_restores_any_room(town: Town) -> None:
    id_ = await new_room(town.person, "Launch")
    room, admin = f"/api/rooms/{id_}", town.admin
    assert (await admin.post(f"{room}/archive")).json()["archived_at"] is not None
    assert (await admin.post(f"{room}/unarchive")).json()["archived_at"] is None
    assert (await admin.delete(room)).status_code == 204
    assert await titles_of(admin, "?deleted=true") == ["Launch"]
    assert await refused_by(await town.person.get(room)) == (404, "room_not_found")
    assert (await admin.post(f"{room}/restore")).json()["deleted_at"] is None
    second = (await town.door.http().post("/api/guests", json={"name": "Bo"})).json()["me"]["id"]
    await town.person.post(f"{room}/members", json={"actor": second})
    for _ in range(2):
        given = await admin.post(f"{room}/transfer", json={"actor": second})
        assert given.json()["role"] is None, "who gives it is no member still"
    members = (await town.person.get(f"{room}/members")).json()["members"]
    roles = {one["name"]: one["role"] for one in members}
    assert roles == {"Bo": "owner", "the-person": "moderator", "Assistant": "member"}
    for asked in (
        await admin.patch(room, json={"title": "Mine"}),
        await admin.post(f"{room}/members", json={"actor": town.ids["admin"]}),
        await admin.post(f"{room}/messages", json={"cid": new_cid(), "text": "x"}),
        await admin.post(f"{room}/transfer", json={"actor": town.ids["admin"]}),
    ):
        assert asked.status_code == 404
    for id_ in (AUDIT, "r_" + "0" * 32):
        for asked in (
            await admin.get(f"/api/rooms/{id_}"),
            await admin.get(f"/api/rooms/{id_}/members"),
            await admin.delete(f"/api/rooms/{id_}"),
            await admin.post(f"/api/rooms/{id_}/join"),
        ):
            assert await refused_by(asked) == (404, "room_not_found")
    lobby = next(
        one["id"]
        for one in (await admin.get("/api/rooms")).json()["rooms"]
        if one["title"] == "Lobby"
    )
    assert await refused_by(await admin.delete(f"/api/rooms/{lobby}")) == (409, "room_protected")


async def test_an_admin_reads_a_room_only_by_joining_it_which_all_members_see(town: Town) -> None:
    id_ = await new_room(town.person, "Launch")
    room = f"/api/rooms/{id_}"
    await town.person.post(f"{room}/messages", json={"cid": new_cid(), "text": "planted words"})
    assert await refused_by(await town.door.http().post(f"{room}/join")) == (404, "room_not_found")
    cookie = {"cookie": f"palaver_session={town.person.cookies['palaver_session']}"}
    async with town.door.socket(additional_headers=cookie) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        await live.ask(t="sub", room=id_)
        for _ in range(2):
            joined = await town.admin.post(f"{room}/join")
            assert shaped(shapes.Room, joined.json())["role"] == "reader"
        told = await live.event("member.joined", lambda one: one["d"].get("via") == "admin")
    assert told["d"]["actor"] == told["by"] == town.ids["admin"]
    said = (await town.admin.get(f"{room}/messages")).json()["messages"]
    assert [one["text"] for one in said][:1] == ["planted words"]
    written = await town.admin.post(f"{room}/messages", json={"cid": new_cid(), "text": "x"})
    assert await refused_by(written) == (403, "forbidden")
    assert (await town.person.post(f"{room}/join")).json()["role"] == "owner", "as they are"
    log = (await town.person.get(f"{room}/events")).json()["events"]
    assert len([one for one in log if one["d"].get("via") == "admin"]) == 1
    joined_by = [one for one in await audited(town.owner) if one["k"] == "admin.joined"]
    assert [(one["by"], one["d"]) for one in joined_by] == [(town.ids["admin"], {"room": id_})]
    await town.person.delete(f"{room}/members/{town.ids['admin']}")
    assert await refused_by(await town.admin.get(f"{room}/messages")) == (404, "room_not_found")
    again = await town.admin.post(f"{room}/join")
    assert again.json()["role"] == "reader", "who is removed is told of anew"


async def test_a_key_of_before_is_no_admins(town: Town) -> None:
    keys: list[httpx2.AsyncClient] = []
    for scope in ("admin", "rooms"):
        made = await town.person.post("/api/keys", json={"name": "old", "scopes": [scope]})
        bearer = {"authorization": f"Bearer {made.json()['token']}"}
        keys.append(town.door.http(headers=bearer))
    person = f"/api/people/{town.ids['person']}"
    assert (await town.owner.patch(person, json={"role": "admin"})).status_code == 200
    answers = [
        await http.get(path) for http, path in zip(keys, ("/api/people", "/api/rooms"), strict=True)
    ]
    assert [one.status_code for one in answers] == [401, 200]


async def test_an_admins_key_or_program_looks_after_rooms_only_where_it_says_admin(
    town: Town,
) -> None:
    id_ = await new_room(town.person, "Launch")
    room, admin = f"/api/rooms/{id_}", town.ids["admin"]
    made = await town.admin.post("/api/keys", json={"name": "bot", "scopes": ["all"]})
    bot = town.door.http(headers={"authorization": f"Bearer {made.json()['token']}"})

    async def refused(code: tuple[int, str]) -> None:
        for asked in (
            await bot.post(f"{room}/archive"),
            await bot.post(f"{room}/transfer", json={"actor": town.ids["person"]}),
            await bot.delete(room),
        ):
            assert await refused_by(asked) == code

    await refused((404, "room_not_found"))
    assert await refused_by(await bot.post(f"{room}/join")) == (404, "room_not_found")
    assert (await town.person.get(f"{room}/events")).json()["events"][1:] == []
    await town.person.post(f"{room}/members", json={"actor": admin})
    await refused((403, "forbidden"))
    every = ["all", "admin"]
    made = await town.admin.post("/api/keys", json={"name": "all", "scopes": every})
    http = town.door.http(headers={"authorization": f"Bearer {made.json()['token']}"})
    deleted = await http.delete(f"/v1/conversations/conv_{id_[2:]}")
    assert deleted.status_code == 403, "programs at /v1 know no server roles"
    assert (await http.post(f"{room}/archive")).status_code == 200


async def test_nobody_governs_the_audit_room_nor_any_other_who_was_an_admin(town: Town) -> None:
    id_ = RoomId(await new_room(town.person, "Launch"))
    store, owner = town.core.chat._store, ActorId(town.ids["owner"])
    for command in (
        SetRoomDeleted(room=AUDIT, by=owner, deleted=True),
        JoinRoom(room=AUDIT, by=owner),
    ):
        with pytest.raises(Refused) as caught:
            await store.write(command)
        assert caught.value.code is Code.ROOM_NOT_FOUND
    admin = await town.core.register.get(town.ids["admin"])
    assert admin.actor.server_role is ServerRole.ADMIN
    await town.core.register.set_role(admin.actor.id, ServerRole.PERSON)
    for command in (
        SetRoomDeleted(room=id_, by=admin.actor.id, deleted=True),
        JoinRoom(room=id_, by=admin.actor.id),
        SetArchived(room=id_, by=admin.actor.id, archived=True),
    ):
        with pytest.raises(Refused) as caught:
            await store.write(command)
        assert caught.value.code is Code.ROOM_NOT_FOUND


async def test_who_is_deleted_is_out_everywhere_at_once_and_for_good(town: Town) -> None:
    person, other = town.ids["person"], town.door.http()
    signing = {"handle": "the-person", "password": PASSWORD}
    assert (await other.post("/api/sign-in", json=signing)).status_code == 200
    key = (await town.person.post("/api/keys", json={"name": "Mine"})).json()["token"]
    room = await new_room(town.person)
    invited = await town.person.post(f"/api/rooms/{room}/invitations", json={})
    token = invited.json()["url"].partition("#")[2]
    for http in (town.person, town.admin):
        of = "owner" if http is town.admin else "admin"
        refused = await http.delete(f"/api/people/{town.ids[of]}")
        assert await refused_by(refused) == (403, "forbidden")
    own = await town.owner.delete(f"/api/people/{town.ids['owner']}")
    assert await refused_by(own) == (401, "credentials_wrong"), "oneself only by the password"
    last = await town.owner.request("DELETE", "/api/me", json={"password": PASSWORD})
    assert await refused_by(last) == (409, "last_owner")
    async with town.door.live(other.cookies["palaver_session"]) as live:
        assert (await town.admin.delete(f"/api/people/{person}")).status_code == 204
        assert await live.closed() == 4503
    gone = await town.admin.delete(f"/api/people/{person}")
    assert await refused_by(gone) == (404, "not_found"), "one change"
    for shut in (town.person, other):
        ended = await shut.get("/api/me")
        assert await refused_by(ended) == (401, "session_ended")
    by_key = await town.door.http().get(
        "/v1/conversations", headers={"authorization": f"Bearer {key}"}
    )
    assert by_key.status_code == 401
    unknown = await town.door.http().post(
        "/api/sign-in", json={**signing, "handle": "nobody-at-all"}
    )
    answer = await town.door.http().post("/api/sign-in", json=signing)
    assert (answer.status_code, answer.json()["detail"]) == (401, unknown.json()["detail"])
    looked = await town.admin.post("/api/invitations/look", json={"token": token})
    assert await refused_by(looked) == (404, "invite_not_found")
    for status in ("active", "deleted"):
        back = await town.owner.patch(f"/api/people/{person}", json={"status": status})
        assert await refused_by(back) == (404, "not_found")
    listed = (await town.admin.get("/api/people")).json()["people"]
    assert {one["handle"] for one in listed} == {"the-owner", "the-admin"}
    told = [one for one in await audited(town.admin) if one["k"] == "account.status"]
    assert [(one["by"], one["d"]["of"], one["d"]["status"]) for one in told] == [
        (town.ids["admin"], person, "deleted")
    ]
    again = await town.admin.post("/api/people", json={"handle": "the-person"})
    assert again.status_code == 201, "the handle is free"
