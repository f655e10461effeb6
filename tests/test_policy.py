"""Who may do what in a room: the table itself, and strangers who try everything at every door."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.wire.door import Door, new_cid, open_door
from websockets.asyncio.client import ClientConnection

from palaver import policy
from palaver.core.runtime import Core, started
from palaver.errors import Code, Refused
from palaver.model import Actor, MemberRole, RoomId, Visibility
from palaver.policy import Action
from palaver.settings import Settings
from palaver.wire.server.control import asked

ABSENT, FORBIDDEN = Code.ROOM_NOT_FOUND, Code.FORBIDDEN
OWNER, MODERATOR, MEMBER, READER = MemberRole


LITERAL = """
read        ok  ok        ok        ok
membership  ok  ok        ok        ok
write       ok  ok        ok        forbidden
take_back   ok  ok        own       forbidden
name        ok  ok        forbidden forbidden
invite      ok  lower     forbidden forbidden
remove      ok  lower     forbidden forbidden
govern      ok  forbidden forbidden forbidden
"""
"""Each act, and what an owner, a moderator, a member and a reader are told: a table beside the one in the code."""
ROWS = {act: rights for act, *rights in map(str.split, LITERAL.strip().splitlines())}
PROTECTED = {"name", "invite", "remove", "govern"}


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
            protected = Code.ROOM_PROTECTED if act in PROTECTED else code
            assert (everyones and everyones.code) == protected, (act, role)
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


def test_everyone_is_a_member_of_an_open_room_and_a_reader_stays_one() -> None:
    assert policy.role_in(Visibility.OPEN, None) is MEMBER
    assert policy.role_in(Visibility.OPEN, READER) is READER
    assert policy.role_in(Visibility.PRIVATE, None) is None


# strangers at every door


@dataclass(frozen=True, slots=True)
class Target:
    """A room with an answer in it, and whoever made it. `call` are the headers with which its owner calls the API."""

    room: str
    response: str
    answer: str
    item: str
    call: Mapping[str, str]

    def filled(self, text: str) -> str:
        words = {
            "room": self.room,
            "conv": f"conv_{self.room[2:]}",
            "session": self.room[2:],
            "response": self.response,
            "exchange": f"x_{self.response[5:]}",
            "answer": f"m_{self.answer[4:]}",
            "item": self.item,
        }
        for name, word in words.items():
            text = text.replace(f"<{name}>", word)
        return text


@dataclass(frozen=True, slots=True)
class Attack:
    """A call, and the status with which it is refused, of a private room and of an open one."""

    method: str
    path: str
    private: int
    open: int
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


SAY = {"text": "from outside", "cid": "<new>"}
ASK = {"model": "default", "messages": [{"role": "user", "content": "what was said?"}]}
INPUT = {"model": "default", "input": "what was said?"}
SAID = {"type": "message", "role": "user", "content": "from outside"}
PAGE = [
    Attack("GET", "/api/rooms/<room>", 404, 200),
    Attack("GET", "/api/rooms/<room>/messages", 404, 200),
    Attack("GET", "/api/rooms/<room>/events", 404, 200),
    Attack("GET", "/api/exchanges/<exchange>", 404, 200),
    Attack("POST", "/api/rooms/<room>/messages", 404, 201, SAY),
    Attack("POST", "/api/rooms/<room>/read", 404, 204, {"seq": 1}),
    Attack("PATCH", "/api/rooms/<room>", 404, 403, {"title": "mine now"}),
    Attack("POST", "/api/messages/<answer>/retry", 404, 403),
    Attack("DELETE", "/api/rooms/<room>", 404, 403),
    Attack("POST", "/api/rooms/<room>/restore", 404, 403),
]
CLASSIC = [
    Attack("GET", "/api/sessions/<session>", 404, 200),
    Attack("GET", "/api/sessions/<session>/history", 404, 200),
    Attack("PATCH", "/api/sessions/<session>", 404, 403, {"title": "mine now"}),
    Attack("DELETE", "/api/sessions/<session>", 404, 403),
]
PROGRAM = [
    Attack("GET", "/v1/conversations/<conv>", 404, 404),
    Attack("POST", "/v1/conversations/<conv>", 404, 404, {"metadata": {"mine": "now"}}),
    Attack("DELETE", "/v1/conversations/<conv>", 404, 404),
    Attack("GET", "/v1/conversations/<conv>/items", 404, 404),
    Attack("POST", "/v1/conversations/<conv>/items", 404, 404, {"items": [SAID]}),
    Attack("GET", "/v1/conversations/<conv>/items/<item>", 404, 404),
    Attack("DELETE", "/v1/conversations/<conv>/items/<item>", 404, 404),
    Attack("GET", "/v1/responses/<response>", 404, 404),
    Attack("DELETE", "/v1/responses/<response>", 404, 404),
    Attack("POST", "/v1/responses/<response>/cancel", 404, 404),
    Attack("GET", "/v1/responses/<response>/input_items", 404, 404),
    Attack("GET", "/v1/chat/completions/<exchange>", 404, 404),
    Attack("POST", "/v1/responses", 400, 400, {**INPUT, "previous_response_id": "<response>"}),
    Attack("POST", "/v1/responses", 404, 404, {**INPUT, "conversation": "<conv>"}),
    Attack("POST", "/v1/responses", 404, 404, {**INPUT, "conversation": "<conv>", "store": False}),
    Attack("POST", "/v1/responses/input_tokens", 404, 404, {**INPUT, "conversation": "<conv>"}),
    Attack("POST", "/v1/chat/completions", 404, 404, {**ASK, "conversation": "<conv>"}),
    Attack("POST", "/v1/chat/completions", 404, 404, {**ASK, "metadata": {"room": "<room>"}}),
    Attack("POST", "/v1/chat/completions", 404, 404, ASK, (("x-palaver-room", "<room>"),)),
]


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with open_door(tmp_path_factory.mktemp("door") / "data") as opened:
        yield opened


async def key_headers(door: Door) -> dict[str, str]:
    """A key of a person of its own."""
    request: dict[str, Any] = {"do": "key.create", "name": None, "scopes": [], "as": None}
    return bearer((await asked(door.settings, request))["token"])


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def target(door: Door, call: Mapping[str, str], **headers: str) -> Target:
    """A response, and the room that it made."""
    http = door.http(headers=dict(call))
    body = {"model": "default", "input": "a secret", "instructions": "be discreet"}
    made = (await http.post("/v1/responses", json=body, headers=headers)).json()
    (item,) = [one for one in made["output"] if one["type"] == "message"]
    newest = (await http.get("/v1/conversations", params={"limit": 1})).json()["data"][0]["id"]
    return Target(f"r_{newest[5:]}", made["id"], item["id"], item["id"], call)


async def said(door: Door, room: Target) -> list[Any]:
    """All that its owner finds in a room, and how it is called."""
    http = door.http(headers=dict(room.call))
    path = room.filled("/v1/conversations/<conv>")
    items = (await http.get(f"{path}/items", params={"order": "asc"})).json()["data"]
    return [(await http.get(path)).json(), *items]


async def tried(http: httpx2.AsyncClient, attack: Attack, room: Target) -> int:
    body = None
    if attack.body is not None:
        body = json.loads(room.filled(json.dumps(attack.body)).replace("<new>", new_cid()))
    headers = {name: room.filled(value) for name, value in attack.headers}
    answer = await http.request(attack.method, room.filled(attack.path), json=body, headers=headers)
    assert "secret" not in answer.text or answer.status_code == 200
    return answer.status_code


async def test_a_room_made_with_a_key_is_there_for_nobody_else(door: Door) -> None:
    room = await target(door, await key_headers(door))
    before = await said(door, room)
    _, guest = await door.guest()
    for attack in (*PAGE, *CLASSIC):
        assert await tried(guest, attack, room) == attack.private, attack
    for call in (await key_headers(door), bearer("any"), {}):
        program = door.http(headers=call)
        for attack in PROGRAM:
            assert await tried(program, attack, room) == attack.private, attack
        listed = (await program.get("/v1/conversations")).json()["data"]
        assert room.filled("<conv>") not in [one["id"] for one in listed]
    assert await said(door, room) == before


@pytest.mark.parametrize("keyed", [False, True])
async def test_an_open_room_is_read_and_written_by_guests_and_taken_away_by_none(
    door: Door, *, keyed: bool
) -> None:
    """Made without a key on this machine, or with one that asks for it."""
    call = await key_headers(door) if keyed else bearer(f"program-{keyed}")
    wanted = {"x-palaver-visibility": "open"} if keyed else {}
    room = await target(door, call, **wanted)
    before = await said(door, room)
    _, guest = await door.guest()
    for attack in (*PAGE, *CLASSIC):
        assert await tried(guest, attack, room) == attack.open, attack
    for other in (await key_headers(door), bearer("another"), {}):
        program = door.http(headers=other)
        for attack in PROGRAM:
            assert await tried(program, attack, room) == attack.open, attack
        listed = (await program.get("/v1/conversations")).json()["data"]
        assert room.filled("<conv>") not in [one["id"] for one in listed]
    after = await said(door, room)
    assert after[: len(before)] == before, "what strangers wrote came behind it"
    owner = door.http(headers=dict(call))
    assert (await owner.delete(room.filled("/v1/conversations/<conv>"))).status_code == 200
    assert await tried(guest, PAGE[0], room) == 404


async def test_a_program_may_want_its_room_for_itself(door: Door) -> None:
    room = await target(door, bearer("alone"), **{"x-palaver-visibility": "private"})
    _, guest = await door.guest()
    assert await tried(guest, PAGE[0], room) == 404
    http = door.http(headers=bearer("alone"))
    for path, body in (("chat/completions", ASK), ("responses", INPUT), ("conversations", {})):
        headers = {"x-palaver-visibility": "everyone"}
        refused = await http.post(f"/v1/{path}", json=body, headers=headers)
        assert refused.status_code == 400, path


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
        sent = await ada.post(f"/api/rooms/{lobby}/messages", json=said)
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


async def test_a_classic_client_is_led_to_no_room_that_is_not_its_own(door: Door) -> None:
    room = await target(door, await key_headers(door))
    cookie = {"additional_headers": {"cookie": f"stupidbot_user_id={new_cid()}"}}
    async with door.socket(room.filled("/ws/chat?session_id=<session>"), **cookie) as socket:
        greeting = await first(socket)
    assert greeting["session_id"].replace("-", "") != room.filled("<session>")


async def first(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(await socket.recv())


async def test_a_reader_writes_nothing_and_takes_nothing_away(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "detect": False})
    async with started(settings) as core:
        _, ada = await core.identity.new_guest()
        _, eve = await core.identity.new_guest()
        room = await core.rooms.create(ada, title="Read", agent=False)
        sent = await core.chat.send(ada, room.id, text="hello", cid=None)
        await core.rooms.join(ada, room.id, eve, role=READER)
        assert [one.text for one in (await core.chat.history(eve, room.id)).messages] == ["hello"]
        for call in attempts(core, eve, room.id):
            with pytest.raises(Refused) as refused:
                await call
            assert refused.value.code is Code.FORBIDDEN
        with pytest.raises(Refused) as refused:
            await core.exchanges.remove(eve, sent.id)
        assert refused.value.code is Code.FORBIDDEN
        assert (await core.rooms.get(ada, room.id)).title == "Read"


def attempts(core: Core, actor: Actor, room: RoomId) -> list[Any]:
    return [
        core.chat.send(actor, room, text="x", cid=None),
        core.chat.typing(actor, room),
        core.rooms.rename(actor, room, "x"),
        core.rooms.change_settings(actor, room, {"metadata": {}}),
        core.rooms.delete(actor, room),
        core.rooms.join(actor, room, actor),
        core.exchanges.add(actor, room, ()),
    ]
