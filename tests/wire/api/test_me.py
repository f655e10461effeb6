"""The calls about who asks, over real HTTP."""

from tests.wire.door import Door, new_room, shaped

from palaver.wire import shapes
from palaver.wire.api.me import Guest, Keys, MadeKey


async def test_who_one_is_and_is_called(door: Door) -> None:
    http = door.http()
    me = (await http.get("/api/me")).json()
    shaped(shapes.Me, me)
    assert me["guest"] is True
    renamed = await http.patch("/api/me", json={"name": " Ada  Lovelace "})
    assert renamed.json() == me | {"name": "Ada Lovelace"}
    assert (await http.get("/api/me")).json()["name"] == "Ada Lovelace"
    for name, code in (
        ("admin", "name_reserved"),
        ("", "name_invalid"),
        ("x" * 81, "name_invalid"),
    ):
        assert (await http.patch("/api/me", json={"name": name})).json()["code"] == code


async def test_a_program_gets_an_identity_of_its_own(door: Door) -> None:
    made = await door.http().post("/api/guests", json={"name": "Bot"})
    assert made.status_code == 201
    guest = shaped(Guest, made.json())
    assert guest["me"]["name"] == "Bot"
    asked = await door.http().get("/api/me", headers={"authorization": f"Bearer {guest['token']}"})
    assert asked.json()["id"] == guest["me"]["id"]
    assert "set-cookie" not in asked.headers
    assert (await door.http().post("/api/guests")).status_code == 201, "a body is not needed"


async def test_a_key_of_ones_own_is_made_shown_once_and_ended(door: Door) -> None:
    _, ada = await door.guest()
    _, eve = await door.guest()
    answer = await ada.post("/api/keys", json={"name": "laptop", "scopes": ["chat", "read"]})
    assert answer.status_code == 201
    made = shaped(MadeKey, answer.json())
    me = (await ada.get("/api/me")).json()
    assert (made["key"]["actor"]["id"], made["key"]["scopes"]) == (me["id"], ["chat", "read"])
    listed = await ada.get("/api/keys")
    assert shaped(Keys, listed.json())["keys"] == [made["key"]]
    assert made["token"] not in listed.text
    assert (await eve.get("/api/keys")).json() == {"keys": []}
    key = f"/api/keys/{made['key']['id']}"
    for refused in (await eve.delete(key), await ada.delete("/api/keys/k_1")):
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    program = door.http(headers={"authorization": f"Bearer {made['token']}"})
    assert (await program.get("/v1/conversations")).status_code == 200
    assert (await program.get("/api/keys")).status_code == 401, "a key is no session"
    assert (await ada.delete(key)).status_code == 204
    assert (await program.get("/v1/conversations")).status_code == 401
    assert (await ada.get("/api/keys")).json() == {"keys": []}
    for body in ({"scopes": ["everything"]}, {"scopes": "chat"}, {"name": 1}):
        assert (await ada.post("/api/keys", json=body)).status_code == 400


async def test_no_person_makes_keys_without_end(door: Door) -> None:
    _, ada = await door.guest()
    made = [(await ada.post("/api/keys")).json()["key"]["id"] for _ in range(50)]
    refused = await ada.post("/api/keys")
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_keys")
    await ada.delete(f"/api/keys/{made[0]}")
    assert (await ada.post("/api/keys")).status_code == 201


async def test_what_ones_program_says_is_in_ones_list_at_once_and_in_nobody_elses(
    door: Door,
) -> None:
    ada_token, ada = await door.guest()
    eve_token, eve = await door.guest()
    key = (await ada.post("/api/keys")).json()["token"]
    program = door.http(headers={"authorization": f"Bearer {key}"})
    async with door.live(ada_token) as mine, door.live(eve_token) as other:
        for live in (mine, other):
            assert (await live.ask(t="watch"))["t"] == "ok"
        ask = {"model": "default", "messages": [{"role": "user", "content": "mine"}]}
        said = await program.post("/v1/chat/completions", json=ask)
        room = said.headers["x-palaver-room"]
        assert (await mine.push("room", lambda frame: frame["room"] == room))["k"]
        later = await new_room(eve)
        await other.push("room", lambda frame: frame["room"] == later)
        assert not [frame for frame in other.pushed if frame.get("room") == room]
    shown = (await ada.get(f"/api/rooms/{room}")).json()
    assert (shown["role"], shown["visibility"], shown["door"]) == ("owner", "private", "openai")
    assert room in [one["id"] for one in (await ada.get("/api/rooms")).json()["rooms"]]
    assert room not in [one["id"] for one in (await eve.get("/api/rooms")).json()["rooms"]]
    assert (await ada.patch(f"/api/rooms/{room}", json={"title": "named"})).status_code == 200
