"""Invitations, over real HTTP: into a room, and to the server with an account."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from tests.wire.api.test_accounts import refused_by, rows, sign_up
from tests.wire.api.test_members import bytes_of, join, link_of, members_of
from tests.wire.api.test_people import Town, signed_in
from tests.wire.door import Door, Json, new_cid, new_room, serving, settings_for, shaped

from palaver.model import ServerRole
from palaver.wire.api.accounts import Entered
from palaver.wire.api.invitations import InvitationPage, Invited, Joined, MadeInvitation
from palaver.wire.api.me import Own

NEVER_MADE = "x" * 43


@pytest.fixture
async def town(tmp_path: Path) -> AsyncGenerator[Town]:
    settings = settings_for(tmp_path / "data", sign_up="invite", invites="people")
    stop = asyncio.Event()
    async with serving(settings, stop) as (url, core):
        door = Door(url, settings, stop)
        made = {role: await signed_in(door, core, role) for role in ServerRole}
        ids = {role.value: one[1] for role, one in made.items()}
        yield Town(door, core, *(one[0] for one in made.values()), ids=ids)
        await door.close()


async def made_by(http: httpx2.AsyncClient, **body: object) -> tuple[str, Json]:
    """A new invitation to the server: its token, and itself."""
    got = await http.post("/api/invitations", json=body)
    assert got.status_code == 201, got.text
    made = shaped(MadeInvitation, got.json())
    address, _, token = made["url"].partition("#")
    assert address.endswith("/invite")
    return token, got.json()["invitation"]


async def test_somebody_new_comes_by_a_link_and_is_a_guest_with_a_name(door: Door) -> None:
    ada, bo = door.http(), door.http()
    await ada.patch("/api/me", json={"name": "Ada"})
    room = await new_room(ada, "Launch")
    await ada.post(f"/api/rooms/{room}/messages", json={"cid": new_cid(), "text": "before"})
    token, made = await link_of(ada, room, uses=1)
    assert (made["role"], made["uses_left"], made["by"]["name"]) == ("member", 1, "Ada")
    looked = shaped(Invited, (await bo.post("/api/invitations/look", json={"token": token})).json())
    assert looked["room"] == {"id": room, "title": "Launch", "members": 1}
    assert (looked["by"]["name"], looked["me"], looked["member"]) == ("Ada", None, False)
    bad = await join(bo, token, "\u200b")
    assert (bad.status_code, bad.json()["code"]) == (400, "name_invalid")
    assert "set-cookie" not in bad.headers, "and nobody was made of them"
    joined = await join(bo, token, "Bo")
    told = shaped(Joined, joined.json())
    assert told["room"] is not None
    assert (told["room"]["id"], told["room"]["role"], told["me"]["name"]) == (room, "member", "Bo")
    assert "HttpOnly" in joined.headers["set-cookie"]
    assert token not in joined.text
    assert await members_of(bo, room) == {"Ada": "owner", "Bo": "member", "Assistant": "member"}
    said = (await bo.get(f"/api/rooms/{room}/messages")).json()["messages"]
    assert said[0]["text"] == "before", "they see all of it"
    again = await join(bo, token, "Another name")
    assert again.json() == joined.json(), "he may ask again, though it is used up now"
    events = (await ada.get(f"/api/rooms/{room}/events")).json()["events"]
    (came,) = [one for one in events if one["k"] == "member.joined"]
    assert (came["by"], came["d"]["via"]) == (told["me"]["id"], made["id"])


async def test_who_is_a_member_already_uses_nothing_up(door: Door) -> None:
    (_, ada), (_, bo) = await door.guest(), await door.guest()
    room = await new_room(ada)
    token, _ = await link_of(ada, room, uses=2)
    joined = await join(bo, token, "Not taken")
    assert joined.json()["me"]["name"].startswith("Guest "), "a name is a new guest's"
    for _ in range(2):
        assert (await join(bo, token)).json() == joined.json()
    (left,) = (await ada.get(f"/api/rooms/{room}/invitations")).json()["invitations"]
    assert left["uses_left"] == 1
    looked = (await bo.post("/api/invitations/look", json={"token": token})).json()
    assert (looked["member"], looked["me"]["id"]) == (True, joined.json()["me"]["id"])


async def test_whatever_ends_a_link_is_told_in_the_same_bytes(door: Door) -> None:
    (_, ada), (_, bo), (_, cy) = [await door.guest() for _ in range(3)]
    room = await new_room(ada)
    path = f"/api/rooms/{room}/invitations"
    used_up, _ = await link_of(ada, room, uses=1)
    assert (await join(bo, used_up)).status_code == 200
    revoked, made = await link_of(ada, room)
    for _ in range(2):
        assert (await ada.delete(f"{path}/{made['id']}")).status_code == 204
    bos = (await bo.get("/api/me")).json()["id"]
    removed, _ = await link_of(ada, room)
    assert (await ada.delete(f"/api/rooms/{room}/members/{bos}")).status_code == 204
    gone = await new_room(ada)
    of_gone, _ = await link_of(ada, gone)
    await ada.delete(f"/api/rooms/{gone}")
    for ask in ("look", "join"):

        async def asked(http: httpx2.AsyncClient, token: str, ask: str = ask) -> tuple[int, bytes]:
            return bytes_of(await http.post(f"/api/invitations/{ask}", json={"token": token}))

        told = {await asked(cy, one) for one in (NEVER_MADE, used_up, revoked, of_gone, "", "é")}
        told.add(await asked(bo, removed))
        ((status, body),) = told
        assert (status, b"invite_not_found" in body) == (404, True)
    assert [one["id"] for one in (await ada.get(path)).json()["invitations"]] != []
    nobody = door.http()
    assert (await join(nobody, NEVER_MADE, "Eve")).status_code == 404
    assert (await nobody.get("/api/me")).json()["name"] != "Eve", "nobody was made for it"


async def test_an_invitation_is_bounded(door: Door) -> None:
    _, ada = await door.guest()
    room = await new_room(ada)
    for bad in (
        {"role": "owner"},
        {"role": "moderator"},
        {"role": "king"},
        {"role": 1},
        {"role": ["member"]},
        {"uses": 0},
        {"uses": 1_001},
        {"uses": "1"},
        {"days": 0},
        {"days": 366},
        {"days": 10**30},
        {"days": None},
    ):
        got = await ada.post(f"/api/rooms/{room}/invitations", json=bad)
        assert (got.status_code, got.json()["code"]) == (400, "bad_request"), bad
    assert (await ada.get(f"/api/rooms/{room}/invitations")).json() == {"invitations": []}


@pytest.mark.parametrize("uses", [1, 2])
async def test_of_many_who_come_at_once_as_many_get_in_as_the_link_says(
    door: Door, uses: int
) -> None:
    _, ada = await door.guest()
    room = await new_room(ada)
    token, _ = await link_of(ada, room, uses=uses)
    many = [door.http() for _ in range(6)]
    came = await asyncio.gather(*[join(one, token, f"N {n}") for n, one in enumerate(many)])
    assert sorted(got.status_code for got in came) == [200] * uses + [404] * (6 - uses)
    assert len(await members_of(ada, room)) == 2 + uses
    late = [one for one, got in zip(many, came, strict=True) if got.status_code == 404]
    told = [await one.get("/api/me") for one in late if "palaver_session" in one.cookies]
    assert {got.json().get("code") for got in told} <= {"session_ended"}, "nobody came by it"


async def test_who_was_invited_to_the_server_makes_an_account_by_the_link(town: Town) -> None:
    door = town.door
    room = await new_room(town.person, "Launch")
    token, made = await made_by(town.person, rooms=[room], uses=1)
    assert (made["server_role"], made["rooms"]) == ("person", [{"id": room, "title": "Launch"}])
    bo = door.http()
    needed = await sign_up(bo, "bo-1")
    assert await refused_by(needed) == (403, "forbidden")
    assert "An invitation is needed" in needed.json()["detail"]
    looked = shaped(Invited, (await bo.post("/api/invitations/look", json={"token": token})).json())
    assert (looked["room"], looked["server_role"], looked["me"]) == (None, "person", None)
    assert ([one["title"] for one in looked["rooms"]], looked["by"]["id"]) == (
        ["Launch"],
        town.ids["person"],
    )
    assert await refused_by(await join(bo, token, "Bo")) == (403, "forbidden")
    before = rows(door)
    for bad in ({"handle": "Бо"}, {"handle": "the-owner"}, {"password": "short"}):
        answer = await sign_up(bo, **{"handle": "bo-1", "invitation": token, **bad})
        assert answer.status_code in {400, 409}
    assert rows(door) == before, "and the link has lost nothing by it"
    signed = await sign_up(bo, "bo-1", name="Bo", invitation=token)
    assert signed.status_code == 201, signed.text
    assert shaped(Entered, signed.json())["me"]["handle"] == "bo-1"
    assert token not in signed.text
    assert (await members_of(bo, room))["Bo"] == "member"
    told = {
        bytes_of(await sign_up(door.http(), "cy-1", invitation=one)) for one in (token, NEVER_MADE)
    }
    ((status, body),) = told
    assert (status, b"invite_not_found" in body) == (404, True)


async def test_a_guest_whom_somebody_with_an_account_let_into_a_chat_makes_an_account(
    town: Town,
) -> None:
    bo, cy, passer = (town.door.http() for _ in range(3))

    async def way(http: httpx2.AsyncClient) -> str:
        return (await http.get("/api/sign-in")).json()["sign_up"]

    room = await new_room(town.person, "Launch")
    token, _ = await link_of(town.person, room)
    me = (await join(bo, token, "Bo")).json()["me"]
    guests, _ = await link_of(passer, await new_room(passer, "Guests only"))
    await join(cy, guests, "Cy")
    assert [await way(one) for one in (bo, cy, passer)] == ["open", "invite", "invite"]
    assert await refused_by(await sign_up(cy, "cy-1")) == (403, "forbidden")
    own = await new_room(passer, "A trap")
    for body in ({"actor": town.ids["person"], "role": "owner"}, {"actor": town.ids["admin"]}):
        assert (await passer.post(f"/api/rooms/{own}/members", json=body)).status_code == 201
    given = await passer.post(f"/api/rooms/{own}/transfer", json={"actor": town.ids["admin"]})
    assert given.status_code == 200
    assert await way(passer) == "invite", "nobody is let in by a room of their own"
    assert (await town.person.delete(f"/api/rooms/{room}/members/{me['id']}")).is_success
    assert await refused_by(await sign_up(bo, "bo-1")) == (403, "forbidden")
    await town.person.post(f"/api/rooms/{room}/members", json={"actor": me["id"]})
    signed = await sign_up(bo, "bo-1")
    assert (signed.status_code, signed.json()["me"]["id"]) == (201, me["id"])
    assert [one["id"] for one in (await bo.get("/api/rooms")).json()["rooms"]][:1] == [room]


async def test_one_is_told_whether_one_may_invite_to_the_server(town: Town) -> None:
    everyone = [town.owner, town.admin, town.person, town.door.http()]
    told = [shaped(Own, (await one.get("/api/me")).json())["invites"] for one in everyone]
    assert told == [True, True, True, False]
    assert told == [(await one.get("/api/invitations")).is_success for one in everyone]


async def test_a_key_for_rooms_invites_nobody_to_the_server(town: Town) -> None:
    room = await new_room(town.person, "Launch")
    asked = {"name": "bot", "scopes": ["rooms"], "rooms": [room]}
    made = await town.person.post("/api/keys", json=asked)
    http = town.door.http(headers={"authorization": f"Bearer {made.json()['token']}"})
    other = await new_room(town.person, "Not for it")
    invited = await http.post("/api/invitations", json={"rooms": [other]})
    for answer in (invited, await http.get("/api/invitations")):
        assert await refused_by(answer) == (403, "scope_missing")
    assert (await http.post(f"/api/rooms/{room}/invitations", json={})).status_code == 201


async def test_what_was_opened_at_a_guests_browser_is_no_admins(town: Town) -> None:
    """Whoever else was at that browser may hold a key or a device of the guest's."""
    guest, other = town.door.http(), town.door.http()
    await new_room(guest, "Mine")
    device = (await guest.post("/api/devices", json={})).json()["url"].partition("#")[2]
    redeemed = await other.post("/api/devices/redeem", json={"token": device, "name": "Other"})
    assert redeemed.status_code == 200
    made = await guest.post("/api/keys", json={"name": "old", "scopes": ["all", "admin"]})
    key = town.door.http(headers={"authorization": f"Bearer {made.json()['token']}"})
    token, _ = await made_by(town.owner, role="admin")
    assert (await sign_up(guest, "gus", invitation=token)).status_code == 201
    assert (await guest.get("/api/me")).json()["role"] == "admin"
    for http in (other, key):
        assert (await http.get("/api/people")).status_code == 401


async def test_links_to_the_server_are_listed_and_ended(town: Town) -> None:
    _, own = await made_by(town.person)
    _, above = await made_by(town.owner, role="admin")

    async def seen(http: httpx2.AsyncClient) -> list[str]:
        got = await http.get("/api/invitations")
        found = shaped(InvitationPage, got.json())
        return [one["id"] for one in found["invitations"]]

    assert await seen(town.person) == [own["id"]]
    assert await seen(town.admin) == [above["id"], own["id"]]
    ending = f"/api/invitations/{above['id']}"
    assert await refused_by(await town.admin.delete(ending)) == (403, "forbidden")
    theirs = await town.person.delete(ending)
    assert await refused_by(theirs) == (404, "invite_not_found")
    assert (await town.owner.delete(ending)).status_code == 204
    assert (await town.admin.delete(f"/api/invitations/{own['id']}")).status_code == 204
    assert await seen(town.owner) == []


async def test_what_is_no_invitation_to_the_server_makes_none(town: Town) -> None:
    mine = await new_room(town.owner)
    for bad in (
        {"role": "owner"},
        {"role": "king"},
        {"role": 1},
        {"uses": 0},
        {"days": 366},
        {"rooms": "r_1"},
        {"rooms": [1]},
        {"rooms": [mine] * 21},
        {"id": "i_1"},
        {"id": f"i_{'g' * 32}"},
        {"id": f"i_{'f' * 32}"},
    ):
        got = await town.admin.post("/api/invitations", json=bad)
        assert await refused_by(got) == (400, "bad_request"), bad
    for bad in ({"role": "admin"}, {"rooms": [mine]}, {"rooms": ["nonsense"]}):
        got = await town.admin.post("/api/invitations", json=bad)
        assert got.status_code in {403, 404}, bad
    assert (await town.owner.get("/api/invitations")).json() == {"invitations": [], "next": None}
    id_ = f"i_{'0' * 31}1"
    tokens = [(await made_by(town.owner, id=id_))[0] for _ in range(2)]
    looks = [
        await town.door.http().post("/api/invitations/look", json={"token": one}) for one in tokens
    ]
    assert [one.status_code for one in looks] == [404, 200], "the second in the place of the first"
