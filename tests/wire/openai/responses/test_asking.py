"""What is asked of the Responses API: what is refused, what may be named, and how a model server is asked."""

from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI as Client
from tests.support.upstream import DONE, Head, ScriptedUpstream, reply, scripted_upstream, whole
from tests.wire.door import Door, open_door
from tests.wire.openai.client import client_of, error_of, said


@pytest.fixture
def client(relay: Door) -> Client:
    return client_of(relay)


async def test_a_response_that_is_not_there_cannot_be_gone_on_from(
    client: Client, relay: Door
) -> None:
    made = await client.responses.create(model="m", input="a")
    unstored = await client.responses.create(model="m", input="a", store=False)
    assert unstored.completed_at is not None
    assert unstored.completed_at >= unstored.created_at
    cases = [
        (client, "resp_nothing"),
        (client, f"resp_{'0' * 32}"),
        (client, unstored.id),
        (client_of(relay, "somebody else"), made.id),
    ]
    for asking, given in cases:
        with pytest.raises(openai.BadRequestError) as refused:
            await asking.responses.create(model="m", input="b", previous_response_id=given)
        told = error_of(refused)
        assert (told["code"], told["param"]) == (
            "previous_response_not_found",
            "previous_response_id",
        )
        assert given in told["message"]


async def test_an_item_of_ones_own_can_be_named_instead_of_sent(
    relay: Door, client: Client, models: ScriptedUpstream
) -> None:
    models.will(reply("one"))
    made = await client.responses.create(model="m", input="a")
    named: Any = [{"type": "item_reference", "id": made.output[0].id}, said("b")[0]]
    await client.responses.create(model="m", input=named)
    assert [one["content"] for one in models.asked[-1].json["messages"]] == ["one", "b"]
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model="m", input=[{"type": "item_reference", "id": "msg_0"}])
    open_room = {"X-Palaver-Visibility": "open"}
    made = await client.responses.create(model="m", input="c", extra_headers=open_room)
    other = client_of(relay, "sk-other")
    foreign: Any = [{"type": "item_reference", "id": made.output[0].id}]
    with pytest.raises(openai.BadRequestError):
        await other.responses.create(model="m", input=foreign)


async def test_a_result_of_a_call_that_nobody_made_is_refused(client: Client) -> None:
    made = await client.responses.create(model="m", input="a")
    result: Any = {"type": "function_call_output", "call_id": "call_x", "output": "3"}
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="m", input=[result], previous_response_id=made.id)
    assert "call_x" in error_of(refused)["message"]


async def test_a_tool_that_only_another_server_has_is_refused_by_its_name(client: Client) -> None:
    for kind in ("web_search", ["web_search"]):
        tools: Any = [{"type": kind}]
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="m", input="a", tools=tools)
        told = error_of(refused)
        assert (told["code"], told["param"]) == ("unsupported_tool", "tools[0]")
        assert "web_search" in told["message"]


async def test_what_is_not_kept_is_passed_on_to_a_model_server_that_speaks_this_api(
    tmp_path: Path,
) -> None:
    asked: Any = {"model": "m", "input": "a", "store": False, "tools": [{"type": "web_search"}]}
    created = b'event: response.created\ndata: {"type":"response.created","own":  1}\n\n'
    async with scripted_upstream() as models:
        models.everywhere = True
        models.will(whole({"id": "resp_theirs", "own": 1}), (Head(), created, DONE))
        async with open_door(tmp_path / "data", openai_base_url=models.base_url) as relay:
            http = relay.http()
            got = await http.post("/v1/responses", json=asked)
            assert got.json() == {"id": "resp_theirs", "own": 1}
            streamed = await http.post("/v1/responses", json=asked | {"stream": True})
            assert streamed.content == created + DONE
    assert [one.path for one in models.requests] == ["/v1/responses"] * 2
    assert models.requests[0].json == asked
    assert "authorization" not in models.requests[0].headers


async def test_a_model_server_that_does_not_speak_this_api_is_asked_in_it_once(
    tmp_path: Path,
) -> None:
    async with (
        scripted_upstream() as models,
        open_door(tmp_path / "data", openai_base_url=models.base_url) as relay,
    ):
        client = client_of(relay)
        for _ in range(2):
            made = await client.responses.create(model="m", input="a", store=False)
            assert made.output_text.startswith("w000")
        paths = [one.path.removeprefix("/v1") for one in models.requests]
        assert paths == ["/responses", "/chat/completions", "/chat/completions"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": "m"}, "input"),
    ({"input": "a"}, "model"),
    ({"model": "m", "input": 7}, "input"),
    ({"model": "m", "input": "a", "temperature": 3}, "temperature"),
    ({"model": "m", "input": "a", "background": True, "store": False}, "background"),
    ({"model": "m", "input": "a", "conversation": "nothing"}, "conversation"),
    ({"model": "m", "input": "a", "metadata": {"a": 1}}, "metadata.a"),
    (
        {
            "model": "m",
            "input": "a",
            "conversation": f"conv_{'0' * 32}",
            "previous_response_id": f"resp_{'0' * 32}",
        },
        "previous_response_id",
    ),
]


@pytest.mark.parametrize(("body", "param"), WRONG)
async def test_what_cannot_be_done_is_refused_with_its_parameter(
    client: Client, body: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(**body)
    told = error_of(refused)
    assert (told["param"], told["type"]) == (param, "invalid_request_error")
