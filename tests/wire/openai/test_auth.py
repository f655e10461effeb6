"""Who may use the door: keys of ours, keys of anyone on this machine, and nobody else."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from tests.wire.door import Door, open_door
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
    async with open_door(tmp_path, host="0.0.0.0", allow_public=True) as door:
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


OF_CALLS = [one for one in Scope if one not in {Scope.ALL, Scope.KEEP_UNSTORED}]


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


ASKED: list[tuple[str, Any]] = [
    ("chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    ("responses", {"input": "hi"}),
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
