"""Who may use the door: keys of ours, keys of anyone on this machine, and nobody else."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.wire.door import SETUP, Door, new_owner, open_door
from websockets.exceptions import InvalidStatus

from palaver.model import Scope
from palaver.wire.listing import listing
from palaver.wire.server.control import asked


async def new_key(door: Door, *scopes: str, handle: str | None = None) -> tuple[str, str]:
    """A key's token and id."""
    request = {"do": "key.create", "name": None, "scopes": list(scopes), "as": handle}
    made = await asked(door.settings, request)
    return made["token"], made["key"]["id"]


def client_of(door: Door, key: str) -> AsyncOpenAI:
    http = door.http()
    return AsyncOpenAI(base_url=f"{door.url}/v1", api_key=key, http_client=http, max_retries=0)


async def status(door: Door, headers: Mapping[str, str], method: str = "GET") -> Any:
    return await door.http().request(method, "/v1/conversations", headers=headers)


async def test_on_this_machine_any_key_will_do_and_none_too(door: Door) -> None:
    for headers in ({}, {"authorization": "Bearer sk-any"}, {"authorization": "Basic eDp5"}):
        assert (await status(door, headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "203.0.113.9"},
        {"forwarded": "for=203.0.113.9"},
        {"x-real-ip": "203.0.113.9"},
    ],
)
async def test_what_a_proxy_passes_on_needs_a_key(door: Door, headers: dict[str, str]) -> None:
    answer = await status(door, {**headers, "authorization": "Bearer sk-any"})
    assert answer.status_code == 401
    token, _ = await new_key(door)
    assert (await status(door, {**headers, "authorization": f"Bearer {token}"})).status_code == 200


async def test_a_name_that_is_not_loopback_needs_a_key(tmp_path: Path) -> None:
    async with open_door(tmp_path, allowed_hosts="chat.example.org") as door:
        answer = await status(door, {"host": "chat.example.org"})
        assert answer.status_code == 401
        assert (await status(door, {})).status_code == 200


async def test_a_public_server_needs_a_key(tmp_path: Path) -> None:
    async with open_door(tmp_path, host="0.0.0.0", setup=SETUP) as door:
        await new_owner(door)
        assert (await status(door, {"authorization": "Bearer sk-any"})).status_code == 401
        token, _ = await new_key(door)
        answer = await status(door, {"authorization": f"Bearer {token}"})
        assert answer.status_code == 200


async def test_a_key_can_be_required_everywhere(tmp_path: Path) -> None:
    async with open_door(tmp_path, openai_keys="required") as door:
        answer = await status(door, {})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
        with pytest.raises(openai.AuthenticationError):
            await client_of(door, "sk-any").conversations.create()
        token, _ = await new_key(door)
        await client_of(door, token).conversations.create()


async def test_an_unknown_key_of_ours_is_refused_and_so_is_a_revoked_one(door: Door) -> None:
    token, id_ = await new_key(door)
    client = client_of(door, token)
    await client.conversations.create()
    await asked(door.settings, {"do": "key.revoke", "key": id_})
    for wrong in (token, "plv_" + "x" * 43, "plv_"):
        with pytest.raises(openai.AuthenticationError) as refused:
            await client_of(door, wrong).conversations.create()
        assert refused.value.code == "invalid_api_key"
        assert wrong.removeprefix("plv_") not in str(refused.value) or wrong == "plv_"


async def test_a_key_is_good_for_its_scopes_only(door: Door) -> None:
    reads, talks, chats = [
        client_of(door, (await new_key(door, *scopes, handle="ada"))[0])
        for scopes in (["read"], ["conversations"], ["chat"])
    ]
    conversation = await talks.conversations.create()
    assert (await reads.conversations.retrieve(conversation.id)).id == conversation.id
    for call in (reads.conversations.create(), chats.conversations.retrieve(conversation.id)):
        with pytest.raises(openai.PermissionDeniedError):
            await call
    for client in (reads, talks, chats):
        assert (await client.models.list()).object == "list"


OUR_OWN = {Scope.ROOMS, Scope.ADMIN, Scope.METRICS}
"""What is good at other doors."""
OF_CALLS = [one for one in Scope if one not in {Scope.ALL, Scope.KEEP_UNSTORED, *OUR_OWN}]


@pytest.mark.parametrize("scope", OF_CALLS)
async def test_every_call_is_for_the_scope_that_it_declares(door: Door, scope: Scope) -> None:
    token, _ = await new_key(door, scope)
    http = door.http(headers={"authorization": f"Bearer {token}"})
    declared = {
        (one.method, re.sub(r"{\w+(:path)?}", "x1", one.path)): one.scope
        for one in listing()
        if one.door == "openai"
    }
    elsewhere = [call for call, scope in declared.items() if callable(scope)]
    assert {path for _, path in elsewhere} == {"/v1/x1"}, "only there the address decides"
    for method, _ in elsewhere:
        del declared[method, "/v1/x1"]
        declared[method, "/v1/embeddings"] = Scope.EMBEDDINGS
        declared[method, "/v1/completions"] = Scope.CHAT
    for (method, path), wanted in declared.items():
        if method == "WS":
            status_code, text = await upgraded(door, path, token)
        else:
            got = await http.request(method, path)
            status_code, text = got.status_code, got.text
        good = wanted in {None, scope} or (scope is Scope.READ and method == "GET")
        lacks = f"it lacks the scope '{wanted}'" in text
        assert (status_code == 403, lacks) == (not good, not good), (method, path, text)
    assert {*declared.values()} == {None, *OF_CALLS} - {Scope.READ}


async def upgraded(door: Door, path: str, token: str) -> tuple[int, str]:
    """What opening a WebSocket is answered with."""
    try:
        async with door.socket(path, additional_headers={"authorization": f"Bearer {token}"}):
            return 101, ""
    except InvalidStatus as refused:
        return refused.response.status_code, (refused.response.body or b"").decode()


async def test_one_key_is_one_speaker_however_many_ask_at_once(door: Door) -> None:
    item: Any = {"type": "message", "role": "user", "content": "hi"}

    async def speaker(key: str) -> str:
        made = await client_of(door, key).conversations.create(items=[item])
        room = made.id.replace("conv_", "r_")
        found = (await door.http().get(f"/api/rooms/{room}/messages")).json()["messages"]
        return found[0]["by"]

    same = await asyncio.gather(*[speaker("sk-same") for _ in range(8)])
    assert len(set(same)) == 1
    assert await speaker("sk-other") not in same


WORD = "/long 1"
"""What the offline agent answers with one word."""
ASKED: list[tuple[str, Any]] = [
    ("chat/completions", {"messages": [{"role": "user", "content": WORD}]}),
    ("responses", {"input": WORD}),
]


async def conversations(door: Door, headers: Mapping[str, str]) -> int:
    return len((await status(door, headers)).json()["data"])


@pytest.mark.parametrize(("address", "said"), ASKED)
async def test_what_a_key_says_is_kept_although_its_program_says_otherwise(
    tmp_path: Path, address: str, said: Any
) -> None:
    asked = {"model": "m", "store": False, **said}
    async with open_door(tmp_path / "plain") as door:
        for scopes, count in ((["all"], 0), (["all", "keep_unstored"], 1)):
            token, _ = await new_key(door, *scopes)
            headers = {"authorization": f"Bearer {token}"}
            got = await door.http().post(f"/v1/{address}", json=asked, headers=headers)
            assert got.status_code == 200
            assert await conversations(door, headers) == count
        assert (await door.http().post(f"/v1/{address}", json=asked)).status_code == 200
        assert await conversations(door, {}) == 0
    async with open_door(tmp_path / "keeping", openai_keep_unstored=True) as door:
        assert (await door.http().post(f"/v1/{address}", json=asked)).status_code == 200
        assert await conversations(door, {}) == 1


ITEM: Any = {"type": "message", "role": "user", "content": "hi"}
IN_ROOM: list[tuple[str, str, Any]] = [
    ("GET", "conversations/<>", None),
    ("POST", "conversations/<>", {"metadata": {}}),
    ("DELETE", "conversations/<>", None),
    ("GET", "conversations/<>/items", None),
    ("POST", "conversations/<>/items", {"items": [ITEM]}),
    ("POST", "responses", {"model": "m", "input": "hi", "conversation": "<>"}),
    ("POST", "responses", {"model": "m", "input": "hi", "conversation": "<>", "store": False}),
    ("POST", "chat/completions", {"model": "m", "messages": [ITEM], "conversation": "<>"}),
]
MAKES: list[tuple[str, Any]] = [
    ("conversations", {}),
    ("responses", {"model": "m", "input": "hi"}),
    ("chat/completions", {"model": "m", "messages": [ITEM]}),
    ("messages", {"model": "m", "messages": [ITEM], "max_tokens": 9}),
]


async def test_for_a_key_that_is_limited_to_rooms_there_are_no_others(door: Door) -> None:
    """They are answered as what never was; what was asked there is not listed, and none is made."""
    whole = client_of(door, (await new_key(door, handle="grace"))[0])
    one, other = [await whole.conversations.create(items=[ITEM]) for _ in range(2)]
    asked_there = {
        made.id: [
            await whole.responses.create(model="m", input=WORD, conversation=made.id),
            await whole.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": WORD}],
                store=True,
                extra_body={"conversation": made.id},
            ),
        ]
        for made in (one, other)
    }
    request: dict[str, Any] = {"do": "key.create", "name": None, "scopes": [], "as": "grace"}
    rooms = {"rooms": [one.id.replace("conv_", "r_")]}
    token = (await asked(door.settings, {**request, **rooms}))["token"]
    limited, http = client_of(door, token), door.http(headers={"authorization": f"Bearer {token}"})
    assert (await limited.conversations.retrieve(one.id)).id == one.id
    assert [room["id"] for room in (await http.get("/v1/conversations")).json()["data"]] == [one.id]
    assert [room.id for room in (await limited.chat.completions.list()).data] == [
        asked_there[one.id][1].id
    ]
    response, completion = asked_there[other.id]
    never = other.id[:-8] + "00000000"
    for method, path, body in IN_ROOM:
        told: list[tuple[int, str]] = []
        for id_ in (other.id, never):
            filled = None if body is None else json.loads(json.dumps(body).replace("<>", id_))
            got = await http.request(method, f"/v1/{path.replace('<>', id_)}", json=filled)
            told.append((got.status_code, got.text.replace(id_, "")))
        assert told[0] == told[1], path
        assert told[0][0] == 404, told
    for method, path in (
        ("GET", f"responses/{response.id}"),
        ("DELETE", f"responses/{response.id}"),
        ("GET", f"chat/completions/{completion.id}"),
        ("DELETE", f"chat/completions/{completion.id}"),
    ):
        assert (await http.request(method, f"/v1/{path}")).status_code == 404, path
    goes_on = {"model": "m", "input": "hi", "previous_response_id": response.id}
    assert (await http.post("/v1/responses", json=goes_on)).status_code == 400
    for path, body in MAKES:
        got = await http.post(f"/v1/{path}", json=body)
        assert got.status_code == 403, path
        assert "limited to some rooms" in got.text
    before = asked_there[one.id][0]
    again = await limited.responses.create(model="m", input=WORD, previous_response_id=before.id)
    assert again.output_text
    listed = (await status(door, {"authorization": f"Bearer {whole.api_key}"})).json()["data"]
    assert {room["id"] for room in listed} == {one.id, other.id}, "none was made"
