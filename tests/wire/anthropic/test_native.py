"""Messages over a server that speaks this API itself: byte for byte, and stored with every part."""

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from tests.providers.anthropic.test_passthrough import EVERYTHING, MESSAGE
from tests.support.anthropic import (
    SIGNATURE,
    ScriptedAnthropic,
    events,
    failure,
    overloaded,
    redacted,
    refused,
    said,
    script,
    scripted_anthropic,
    text as block,
    thinking,
    tool,
    whole_message,
)
from tests.support.upstream import CUT, ScriptedUpstream, whole
from tests.wire.anthropic.client import (
    MESSAGES,
    Json,
    asked,
    assistant,
    bare_client,
    client_of,
    user,
)
from tests.wire.door import Door, open_door
from tests.wire.openai.client import room_texts

from palaver.wire.anthropic.messages import OURS

LOOKS = (
    thinking("I must ", "look."),
    redacted("c2VjcmV0"),
    block("I ", "look."),
    tool("toolu_1", "look", '{"at": ', '"M"}'),
)
KEY = "sk-ant-0123456789"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ScriptedAnthropic]:
    async with scripted_anthropic() as running:
        yield running


@pytest.fixture(scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, server: ScriptedAnthropic
) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("house") / "data"
    async with open_door(
        folder, anthropic_base_url=server.base_url, anthropic_api_key=KEY, model="claude-test"
    ) as opened:
        yield opened


async def exchange_in(client: httpx2.AsyncClient, room: str) -> Json:
    """The last exchange of a room, as whoever may read it sees it."""
    got = (await client.get(f"/api/rooms/{room}/messages", params={"limit": 200})).json()
    metas = [one["meta"] for one in got["messages"]]
    exchange = [meta["exchange"] for meta in metas if "exchange" in meta][-1]
    return (await client.get(f"/api/exchanges/{exchange}")).json()


async def test_the_bytes_go_there_and_back_as_they_are(
    house: Door, server: ScriptedAnthropic
) -> None:
    bytes_told = events(*LOOKS, stop="tool_use")
    server.will(script(bytes_told))
    client = bare_client(house, "bytes")
    body = b'{"model": "claude-test",  "max_tokens":9, "stream":true, "yet": {"to":"come"},'
    body += b'"messages":[{"role":"user","content":"Hi."}]}'
    headers = {"anthropic-beta": "one,two", "content-type": "application/json"}
    got = await client.post(f"{MESSAGES}?beta=true", content=body, headers=headers)
    assert got.content == b"".join(bytes_told)
    sent = server.asked[-1]
    assert (sent.body, sent.path) == (body, "/v1/messages?beta=true")
    assert (sent.headers["anthropic-beta"], sent.headers["x-api-key"]) == ("one,two", KEY)
    room = got.headers["x-palaver-room"]
    assert await room_texts(client, room) == [
        ("user", "Hi."),
        ("assistant", "I look."),
        ("assistant", '{"at": "M"}'),
    ]
    shown = await exchange_in(client, room)
    assert shown["response"]["content"] == [
        {"type": "thinking", "thinking": "I must look.", "signature": SIGNATURE},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "M"}},
    ]
    assert shown["request"]["yet"] == {"to": "come"}


async def test_a_conversation_goes_on_in_its_room(house: Door, server: ScriptedAnthropic) -> None:
    client = client_of(house, "goes on")
    server.will(whole_message(*LOOKS, stop="tool_use"), said(block("A tree.")))
    create = client.messages.with_raw_response.create
    got = await create(**asked(user("Look."), model="claude-test"))
    message = await got.parse()
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "It is tall."}
    back = assistant(*(one.to_dict() for one in message.content))
    async with client.messages.stream(
        **asked(user("Look."), back, user(result), model="claude-test")
    ) as told:
        final = await told.get_final_message()
        room = told.response.headers["x-palaver-room"]
    assert room == got.headers["x-palaver-room"]
    assert final.content[0].text == "A tree."
    sent = server.asked[-1].json["messages"][1]["content"]
    assert sent[0]["signature"] == SIGNATURE


async def test_a_request_that_comes_again_in_the_other_way_is_told_the_same(
    house: Door, server: ScriptedAnthropic
) -> None:
    client, before = client_of(house, "again"), len(server.asked)
    body = asked(user("Once."), model="claude-test")
    server.will(said(*LOOKS, stop="tool_use"))
    async with client.messages.stream(**body) as told:
        first = await told.get_final_message()
    headers = {"x-stainless-retry-count": "1"}
    second = await client.messages.create(**body, extra_headers=headers)
    async with client.messages.stream(**body, extra_headers=headers) as told:
        third = await told.get_final_message()
    assert len(server.asked) == before + 1
    content = [one.to_dict() for one in second.content]
    for other in (first, third):
        assert [one.to_dict() for one in other.content] == content
    assert first.usage == second.usage == third.usage
    assert first.id == second.id == third.id


async def test_thoughts_that_were_signed_here_do_not_go_there(
    house: Door, server: ScriptedAnthropic
) -> None:
    ours = {"type": "thinking", "thinking": "Hm.", "signature": OURS}
    theirs = {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}
    said_before = {"type": "text", "text": "Yes."}
    body = asked(
        user("Hi."),
        assistant(ours, said_before),
        user("So?"),
        assistant(theirs, said_before),
        user("Go on."),
        model="claude-test",
    )
    await client_of(house, "ours").messages.create(**body)
    sent = server.asked[-1].json["messages"]
    assert sent[1]["content"] == [said_before]
    assert sent[3]["content"] == [theirs, said_before]


async def test_what_the_server_refuses_comes_as_it_is(
    house: Door, server: ScriptedAnthropic
) -> None:
    usual = server.default
    server.default = refused(529, "overloaded_error", "Overloaded", request_id="req_011")
    with pytest.raises(anthropic.APIStatusError) as failed:
        await client_of(house, "busy").messages.create(**asked(user("Hi."), model="claude-test"))
    server.default = usual
    answer: Any = failed.value.response
    assert answer.status_code == 529
    assert answer.json()["error"] == {"type": "overloaded_error", "message": "Overloaded"}
    assert answer.headers["request-id"] == "req_011"


@pytest.mark.parametrize("streams", [False, True])
async def test_an_error_under_a_status_of_success_is_one_to_its_client(
    house: Door, server: ScriptedAnthropic, *, streams: bool
) -> None:
    server.will(whole(failure("overloaded_error", "Overloaded")))
    body = asked(user(f"Hi {streams}."), model="claude-test", stream=streams)
    got = await bare_client(house, "hidden").post(MESSAGES, json=body)
    assert (got.status_code, got.json()["type"]) == (502, "error")


@pytest.mark.parametrize("last", [overloaded(), CUT])
async def test_an_answer_that_breaks_says_so_and_what_came_is_kept(
    house: Door, server: ScriptedAnthropic, last: Any
) -> None:
    server.will(script([*events(block("some"))[:-2], last]))
    client, got = bare_client(house, f"breaks {last!r}"), b""
    body = asked(user("Break."), model="claude-test", stream=True)
    async with client.stream("POST", MESSAGES, json=body) as response:
        with suppress(httpx2.RemoteProtocolError):  # a failure has no clean end
            async for part in response.aiter_bytes():
                got += part
    assert got.count(b"event: error\n") == 1
    assert b"message_stop" not in got
    assert (await room_texts(client, response.headers["x-palaver-room"]))[-1] == (
        "assistant",
        "some",
    )


async def test_blocks_and_events_that_nobody_here_knows_are_kept_and_told_again_as_they_were(
    house: Door, server: ScriptedAnthropic
) -> None:
    server.will(script(EVERYTHING))
    client, body = bare_client(house, "everything"), {**asked(user("All of it.")), "stream": True}
    got = await client.post(MESSAGES, json=body)
    assert got.content == b"".join(EVERYTHING)
    again = {"x-stainless-retry-count": "1"}
    whole = await client.post(MESSAGES, json={**body, "stream": False}, headers=again)
    assert whole.json() == MESSAGE


async def test_the_models_name_decides_who_is_asked(
    tmp_path: Path, server: ScriptedAnthropic, models: ScriptedUpstream
) -> None:
    addresses = {"openai_base_url": models.base_url, "anthropic_base_url": server.base_url}
    async with open_door(tmp_path, **addresses) as both:
        client, before = bare_client(both, "decides"), len(server.asked)
        got = await client.post(MESSAGES, json={**asked(user("Who?")), "model": "scripted"})
        assert got.json()["content"][0]["text"].startswith("w000")
        assert len(server.asked) == before
        named = {**asked(user("And you?")), "model": "anthropic/claude-test"}
        await client.post(MESSAGES, json=named)
        assert server.asked[-1].json == {**named, "model": "claude-test"}


async def test_a_list_of_models_is_refused_in_the_words_of_the_api_that_asks(house: Door) -> None:
    client, theirs = bare_client(house, "models"), {"anthropic-version": "2023-06-01"}
    found = (await client.get("/v1/models/none", headers=theirs)).json()
    assert (found["type"], found["error"]["type"]) == ("error", "not_found_error")
    assert "type" not in (await client.get("/v1/models/none")).json()
