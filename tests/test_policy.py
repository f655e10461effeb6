"""Who may do what in a room: the table itself, and strangers who try everything at every door."""

from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import httpx2
import pytest
from tests.wire.door import Door, new_cid, open_door

from palaver import policy
from palaver.errors import Code
from palaver.model import (
    AccountStatus,
    MemberRole,
    OpenTo,
    RoomId,
    ServerRole,
    TitleSource,
    Visibility,
)
from palaver.policy import Action, ServerAct
from palaver.store.write.transaction import LockedRoom

ABSENT, FORBIDDEN = Code.ROOM_NOT_FOUND, Code.FORBIDDEN
OWNER, MODERATOR, MEMBER, READER = MemberRole


LITERAL = """
see         ok  ok        ok        ok
join        ok  ok        ok        ok
read        ok  ok        ok        ok
membership  ok  ok        ok        ok
write       ok  ok        ok        forbidden
ask         ok  ok        ok        forbidden
edit        own own       own       forbidden
take_back   ok  ok        own       forbidden
name        ok  ok        forbidden forbidden
invite      ok  lower     forbidden forbidden
remove      ok  lower     forbidden forbidden
govern      ok  forbidden forbidden forbidden
place       ok  forbidden forbidden forbidden
"""
"""Each act, and what an owner, a moderator, a member and a reader are told: a table beside the one in the code."""
ROWS = {act: rights for act, *rights in map(str.split, LITERAL.strip().splitlines())}
PROTECTED = {"name", "invite", "remove", "govern", "place"}
SILENT = {"write", "ask", "edit", "take_back"}


def told(right: str, *, own: bool, of: MemberRole | None) -> Code | None:
    allowed = {"ok": True, "own": own, "lower": of not in {OWNER, MODERATOR}, "forbidden": False}
    return None if allowed[right] else FORBIDDEN


def test_every_act_is_refused_to_every_role_as_the_table_says() -> None:
    assert list(ROWS) == list(Action)
    for act, own, of in product(Action, (False, True), (*MemberRole, None)):
        expected = [told(right, own=own, of=of) for right in ROWS[act]]
        got = [policy.refusal(act, role, own=own, of=of) for role in (*MemberRole, None)]
        codes = [refused and refused.code for refused in got]
        assert codes == [*expected, ABSENT], (act, own, of)
        for role, code in zip((*MemberRole, None), codes, strict=True):
            everyones = policy.refusal(act, role, own=own, of=of, everyones=True)
            seen = role is not None
            protected = Code.ROOM_PROTECTED if act in PROTECTED and seen else code
            assert (everyones and everyones.code) == protected, (act, role)
            archived = policy.refusal(act, role, own=own, of=of, archived=True)
            silent = Code.ROOM_ARCHIVED if act in SILENT and code is None else code
            assert (archived and archived.code) == silent, (act, role)
            above = policy.refusal(act, role, own=own, of=of, oversees=True)
            allowed = act in {Action.SEE, Action.JOIN, Action.GOVERN}
            assert (above and above.code) == (None if allowed else code), (act, role)
            if of is None:
                assert policy.allows(act, role, own=own) is (code is None)


def test_the_words_of_the_table_are_its_values() -> None:
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in (policy.__doc__ or "").splitlines()
        if row.startswith("| `")
    ]
    written = {act: rights for acts, *rights in rows for act in acts.replace("`", "").split(", ")}
    assert written.keys() == set(Action.__members__)
    for name, (*rights, anyone_else) in written.items():
        values = [one.value for one in policy.TABLE[Action[name]].values()]
        assert rights == [f"`{FORBIDDEN.value}`" if one == "no" else one for one in values]
        assert anyone_else == "`room_not_found`"


SERVER = """
public   ok  ok        ok        ok
enter    ok  ok        ok        ok
own      ok  ok        ok        ok
rooms    ok  ok        ok        ok
models   ok  ok        ok        ok
people   ok  ok        forbidden forbidden
manage   ok  lower     forbidden forbidden
invite_people ok lower   lower     forbidden
roles    ok  forbidden forbidden forbidden
agents   ok  ok        ok        forbidden
oversee  ok  ok        forbidden forbidden
profiles ok  ok        forbidden forbidden
connect  ok  ok        ok        forbidden
webhooks ok  ok        ok        forbidden
audit    ok  ok        forbidden forbidden
usage    ok  ok        forbidden forbidden
operate  forbidden forbidden forbidden forbidden
"""
"""Each act on the server, and what an owner, an admin, a person and who has no account are told."""


def test_every_act_on_the_server_is_refused_as_the_table_says() -> None:
    rows = {act: rights for act, *rights in map(str.split, SERVER.strip().splitlines())}
    assert list(rows) == list(ServerAct)
    for act, of in product(ServerAct, (*ServerRole, None)):
        above = of in {ServerRole.OWNER, ServerRole.ADMIN}
        wanted = {"ok": None, "forbidden": FORBIDDEN, "lower": FORBIDDEN if above else None}
        got = [policy.server_refusal(act, role, of=of) for role in (*ServerRole, None)]
        assert [one and one.code for one in got] == [wanted[right] for right in rows[act]]


def test_no_act_in_a_room_is_taken_for_one_on_the_server() -> None:
    """They are words, and stand in one table of what a key must be good for."""
    assert not set(Action) & set(ServerAct)
    good_for_rooms = [act for act in ServerAct if act in policy.KEY_SCOPES]
    assert good_for_rooms == [ServerAct.ROOMS, ServerAct.MODELS, ServerAct.AGENTS]


def test_an_open_room_has_those_as_what_its_owner_says_who_are_no_members() -> None:
    active = AccountStatus.ACTIVE
    for open_to, open_role, guest, account in (
        (None, None, MEMBER, MEMBER),  # everyone's
        (OpenTo.EVERYONE, READER, READER, READER),
        (OpenTo.EVERYONE, MEMBER, MEMBER, MEMBER),
        (OpenTo.PEOPLE, READER, None, READER),
        (OpenTo.PEOPLE, MEMBER, None, MEMBER),
    ):
        room = LockedRoom(
            RoomId("r_1"),
            1,
            0,
            b"",
            Visibility.OPEN,
            TitleSource.NONE,
            None,
            None,
            open_to,
            open_role,
        )
        for status in (None, AccountStatus.PENDING, AccountStatus.DISABLED):
            assert policy.role_in(room, None, status=status) is guest
        assert policy.role_in(room, None, status=active) is account
        for role in MemberRole:
            assert policy.role_in(room, role) is role, "who is a member stays what they are"
        assert policy.role_in(room, None, kept_out=True, status=active) is None
        for door in (None, "openai"):
            assert policy.is_everyones(room, door) is (open_role is None and door is None)
        room.visibility = Visibility.PRIVATE
        assert policy.role_in(room, None, status=active) is None


# at doors that need no key


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with open_door(tmp_path_factory.mktemp("door") / "data") as opened:
        yield opened


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def made(http: httpx2.AsyncClient, visibility: str | None) -> tuple[str, str]:
    """A conversation, and the address of its room at the page's door."""
    wanted = {} if visibility is None else {"x-palaver-visibility": visibility}
    id_ = (await http.post("/v1/conversations", json={}, headers=wanted)).json()["id"]
    return f"/v1/conversations/{id_}", f"/api/rooms/r_{id_[5:]}"


async def test_what_is_made_without_a_key_is_open_to_guests_and_to_no_other_program(
    door: Door,
) -> None:
    http, (_, guest) = door.http(headers=bearer("program")), await door.guest()
    conversation, room = await made(http, None)
    assert (await guest.get(room)).status_code == 200
    assert (await guest.delete(room)).status_code == 403
    for other in (bearer("another"), {}):
        program = door.http(headers=other)
        assert (await program.get(conversation)).status_code == 404
        assert (await program.delete(conversation)).status_code == 404
        assert (await program.get("/v1/conversations")).json()["data"] == []
    assert (await http.delete(conversation)).status_code == 200
    assert (await guest.get(room)).status_code == 404


async def test_a_program_may_want_its_room_for_itself(door: Door) -> None:
    http, (_, guest) = door.http(headers=bearer("alone")), await door.guest()
    conversation, room = await made(http, "private")
    assert (await http.get(conversation)).status_code == 200
    assert (await guest.get(room)).status_code == 404
    for path in ("chat/completions", "responses", "conversations"):
        headers = {"x-palaver-visibility": "everyone"}
        refused = await http.post(f"/v1/{path}", json=BODIES[path], headers=headers)
        assert refused.status_code == 400, path


BODIES: dict[str, Any] = {
    "chat/completions": {"model": "default", "messages": [{"role": "user", "content": "x"}]},
    "responses": {"model": "default", "input": "x"},
    "conversations": {},
}


async def test_only_who_asked_stops_an_answer_or_asks_again(door: Door) -> None:
    ada_token, ada = await door.guest()
    eve_token, eve = await door.guest()
    lobby = next(
        room["id"]
        for room in (await ada.get("/api/rooms")).json()["rooms"]
        if room["title"] == "Lobby"
    )
    async with door.live(ada_token) as asking, door.live(eve_token) as stranger:
        await asking.ask(t="sub", room=lobby)
        said = {"text": "/slow", "cid": new_cid()}
        await ada.post(f"/api/rooms/{lobby}/messages", json=said)
        sent = await ada.post(f"/api/rooms/{lobby}/ask", json={})
        (turn,) = sent.json()["turns"]
        assert (await eve.post(f"/api/turns/{turn}/stop")).status_code == 403
        assert (await stranger.ask(t="stop", turn=turn))["code"] == "forbidden"
        await asking.push("s.open", lambda frame: frame["turn"] == turn)
        assert (await ada.post(f"/api/turns/{turn}/stop")).status_code == 202
        answer = await asking.event("message.created", lambda one: one["d"]["role"] == "assistant")
        msg = answer["d"]["id"]
        assert answer["d"]["status"] == "stopped"
        for mode in ({}, {"mode": "continue"}):
            refused = await stranger.ask(t="retry", msg=msg, **mode)
            assert refused["code"] == "forbidden"
        assert (await eve.post(f"/api/messages/{msg}/retry")).status_code == 403
        more = await asking.ask(t="retry", msg=msg, mode="continue")
        assert (await stranger.ask(t="stop", turn=more["turn"]))["code"] == "forbidden"
        await asking.ask(t="stop", turn=more["turn"])
        assert "turn" in await asking.ask(t="retry", msg=msg)
