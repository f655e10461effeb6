"""Responses, with the official client against a running server, over a model server that speaks chat completions."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response, ResponseFunctionToolCall
from pydantic import BaseModel
from tests.support.upstream import (
    CUT,
    DONE,
    Script,
    ScriptedUpstream,
    chunk,
    event,
    refuse,
    reply,
    stream,
)
from tests.wire.door import Door, open_door, texts
from tests.wire.openai.client import client_of, error_of, said

Client = AsyncOpenAI
ADD: Any = {
    "type": "function",
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    "strict": True,
}


@pytest.fixture
def client(relay: Door) -> Client:
    return client_of(relay)


def messages(models: ScriptedUpstream) -> list[dict[str, Any]]:
    """What the model server was told last."""
    return models.asked[-1].json["messages"]


def delta(**fields: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": None}
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


def calling(*calls: tuple[str, str, str]) -> Script:
    """An answer that calls tools: (id, name, arguments)."""
    begun = [
        delta(
            tool_calls=[
                {"index": place, "id": id_, "function": {"name": name, "arguments": arguments[:2]}}
            ]
        )
        for place, (id_, name, arguments) in enumerate(calls)
    ]
    rest = [
        delta(tool_calls=[{"index": place, "function": {"arguments": arguments[2:]}}])
        for place, (_, _, arguments) in enumerate(calls)
    ]
    return stream(*begun, *rest, chunk(finish="tool_calls"), DONE)


# the object


async def test_a_text_is_answered_and_can_be_asked_for_again(
    client: Client, models: ScriptedUpstream
) -> None:
    models.will(reply("Hello ", "world"))
    made = await client.responses.create(
        model="m",
        input="hi",
        instructions="Be kind.",
        max_output_tokens=99,
        metadata={"topic": "demo"},
        temperature=0.5,
        reasoning={"effort": "low"},
        user="me",
        extra_body={"chat_template_kwargs": {"thinking": False}},
    )
    assert (made.output_text, made.status, made.model) == ("Hello world", "completed", "m")
    assert (made.metadata, made.instructions) == ({"topic": "demo"}, "Be kind.")
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (7, 2)
    assert models.asked[-1].json == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be kind."}, *said("hi")],
        "max_tokens": 99,
        "temperature": 0.5,
        "reasoning_effort": "low",
        "user": "me",
        "chat_template_kwargs": {"thinking": False},
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    again = await client.responses.retrieve(made.id)
    assert again.to_dict() == made.to_dict()


async def test_the_client_without_async_works_too(relay: Door) -> None:
    def ask() -> str:
        with OpenAI(base_url=f"{relay.url}/v1", api_key="any", max_retries=0) as client:
            return client.responses.create(model="m", input="hi").output_text

    assert (await asyncio.to_thread(ask)).startswith("w000 w001")


class Sum(BaseModel):
    total: int


async def test_structured_output_is_asked_for_and_parsed(
    client: Client, models: ScriptedUpstream
) -> None:
    models.will(reply('{"total"', ": 3}"))
    made = await client.responses.parse(model="m", input="1 + 2", text_format=Sum)
    assert made.output_parsed == Sum(total=3)
    wanted = models.asked[-1].json["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"]) == ("json_schema", "Sum")
    assert wanted["json_schema"]["strict"] is True
    assert "total" in wanted["json_schema"]["schema"]["properties"]


async def test_thoughts_are_an_item_of_the_output(client: Client, models: ScriptedUpstream) -> None:
    models.will(stream(delta(reasoning_content="hm"), "yes", chunk(finish="stop"), DONE))
    made = await client.responses.create(model="m", input="really?")
    assert [item.type for item in made.output] == ["reasoning", "message"]
    assert made.output_text == "yes"
    again = await client.responses.retrieve(made.id)
    assert again.output == made.output


# what came before


async def test_a_chain_goes_on_from_its_response(
    client: Client, relay: Door, models: ScriptedUpstream
) -> None:
    models.will(reply("one"), reply("two"), reply("other two"))
    first = await client.responses.create(model="m", input="a", instructions="Only now.")
    second = await client.responses.create(model="m", input="b", previous_response_id=first.id)
    assert messages(models) == said("a", "one", "b")
    assert second.previous_response_id == first.id
    other = await client.responses.create(model="m", input="c", previous_response_id=first.id)
    assert messages(models) == said("a", "one", "c")
    assert second.conversation is not None
    assert second.conversation == other.conversation
    room = second.conversation.id.replace("conv_", "r_")
    assert await texts(relay.http(), room) == ["a", "b"]
    assert await texts(relay.http(), room, role="assistant") == ["one", "two"]
    assert await texts(relay.http(), room, branch=1) == ["a", "c"]
    assert await texts(relay.http(), room, role="assistant", branch=1) == ["one", "other two"]


async def test_a_conversation_is_gone_on_with_and_keeps_what_is_said(
    client: Client, models: ScriptedUpstream
) -> None:
    models.will(reply("one"), reply("two"))
    item: Any = {"type": "message", "role": "user", "content": "before"}
    conversation = await client.conversations.create(items=[item])
    made = await client.responses.create(model="m", input="a", conversation=conversation.id)
    assert [one["content"] for one in messages(models)] == ["before", "a"]
    assert made.conversation is not None
    assert made.conversation.id == conversation.id
    await client.responses.create(model="m", input="b", conversation={"id": conversation.id})
    assert [one["content"] for one in messages(models)] == ["before", "a", "one", "b"]
    items = await client.conversations.items.list(conversation.id, order="asc")
    shown: list[Any] = [item.to_dict() for item in items.data]
    assert [one["content"][0]["text"] for one in shown] == ["before", "a", "one", "b", "two"]
    assert made.output[0].id == shown[2]["id"]


async def test_what_is_not_stored_leaves_nothing(client: Client, models: ScriptedUpstream) -> None:
    item: Any = {"type": "message", "role": "user", "content": "before"}
    conversation = await client.conversations.create(items=[item])
    made = await client.responses.create(
        model="m", input="a", conversation=conversation.id, store=False
    )
    assert [one["content"] for one in messages(models)] == ["before", "a"]
    assert made.output_text.startswith("w000")
    assert made.to_dict()["store"] is False
    items = await client.conversations.items.list(conversation.id)
    assert len(items.data) == 1
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_two_at_once_in_one_conversation_lose_neither(client: Client) -> None:
    conversation = (await client.conversations.create()).id
    await asyncio.gather(
        *(
            client.responses.create(model="m", input=text, conversation=conversation)
            for text in "abcd"
        )
    )
    items = await client.conversations.items.list(conversation, limit=100)
    roles: list[Any] = [item.to_dict()["role"] for item in items.data]
    assert (roles.count("user"), roles.count("assistant")) == (4, 4)


async def test_a_thought_can_be_named_and_a_history_sent_again_goes_on_in_its_room(
    client: Client, models: ScriptedUpstream
) -> None:
    models.will(stream(delta(reasoning_content="Hm."), "one", chunk(finish="stop"), DONE))
    first = await client.responses.create(model="m", input="A question.")
    assert [item.type for item in first.output] == ["reasoning", "message"]
    named = [{"type": "item_reference", "id": item.id} for item in first.output]
    again: Any = [*said("A question."), *named, *said("b")]
    second = await client.responses.create(model="m", input=again)
    assert [one["content"] for one in messages(models)] == ["A question.", "one", "b"]
    assert second.conversation == first.conversation
    assert first.conversation is not None
    page = await client.conversations.items.list(first.conversation.id)
    assert len(page.data) == 4


async def test_the_whole_input_can_be_listed(client: Client, models: ScriptedUpstream) -> None:
    models.will(reply("one"))
    first = await client.responses.create(model="m", input="a")
    second = await client.responses.create(model="m", input="b", previous_response_id=first.id)
    listed = [item async for item in client.responses.input_items.list(second.id, order="asc")]
    shown: list[Any] = [item.to_dict() for item in listed]
    assert [one["content"][0]["text"] for one in shown] == ["a", "one", "b"]
    newest = await client.responses.input_items.list(second.id, limit=2)
    assert [item.id for item in newest.data] == [listed[2].id, listed[1].id]
    assert newest.has_more
    after = await client.responses.input_items.list(second.id, after=str(listed[1].id))
    assert [item.id for item in after.data] == [listed[0].id]


# tools


async def test_a_tool_is_called_and_its_result_goes_back(
    client: Client, models: ScriptedUpstream
) -> None:
    models.will(calling(("c1", "add", '{"a":1}'), ("c2", "add", '{"a":2}')), reply("3"))
    made = await client.responses.create(
        model="m", input="add", tools=[ADD], tool_choice="required", parallel_tool_calls=True
    )
    asked = models.asked[-1].json
    function = {key: value for key, value in ADD.items() if key != "type"}
    assert asked["tools"] == [{"type": "function", "function": function}]
    assert (asked["tool_choice"], asked["parallel_tool_calls"]) == ("required", True)
    calls = [item for item in made.output if isinstance(item, ResponseFunctionToolCall)]
    assert [(one.call_id, one.name, one.arguments) for one in calls] == [
        ("c1", "add", '{"a":1}'),
        ("c2", "add", '{"a":2}'),
    ]
    assert (await client.responses.retrieve(made.id)).output == made.output
    results: Any = [
        {"type": "function_call_output", "call_id": one.call_id, "output": one.arguments}
        for one in calls
    ]
    final = await client.responses.create(
        model="m", input=results, previous_response_id=made.id, tools=[ADD]
    )
    assert final.output_text == "3"
    told = messages(models)
    assert [one["role"] for one in told] == ["user", "assistant", "tool", "tool"]
    assert [one["id"] for one in told[1]["tool_calls"]] == ["c1", "c2"]
    assert [one["tool_call_id"] for one in told[2:]] == ["c1", "c2"]


async def test_a_call_to_which_the_model_server_gave_no_id_can_be_answered(
    client: Client, models: ScriptedUpstream
) -> None:
    models.will(calling(("", "add", "{}")), reply("3"))
    made = await client.responses.create(model="m", input="add", tools=[ADD])
    (call,) = made.output
    assert isinstance(call, ResponseFunctionToolCall)
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "3"}
    await client.responses.create(model="m", input=[result], previous_response_id=made.id)
    told = messages(models)
    assert told[1]["tool_calls"][0]["id"] == told[2]["tool_call_id"] == call.call_id


# how it ends


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
async def test_an_answer_that_was_cut_short_says_why(
    client: Client, models: ScriptedUpstream, finish: str, reason: str
) -> None:
    models.will(stream("half", chunk(finish=finish), DONE))
    made = await client.responses.create(model="m", input="a")
    assert (made.status, made.output_text) == ("incomplete", "half")
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == reason
    assert (await client.responses.retrieve(made.id)).to_dict() == made.to_dict()


async def test_an_answer_that_breaks_has_failed_and_keeps_what_came(
    client: Client, models: ScriptedUpstream
) -> None:
    models.will(stream("half", CUT))
    made = await client.responses.create(model="m", input="a")
    assert (made.status, made.output_text) == ("failed", "half")
    assert made.error is not None
    assert made.error.code == "server_error"
    assert (await client.responses.retrieve(made.id)).to_dict() == made.to_dict()


async def test_what_the_model_server_refuses_is_told_as_it_told_it(
    client: Client, models: ScriptedUpstream
) -> None:
    busy = {"message": "Slow down.", "type": "rate_limit_error", "param": None, "code": "slow"}
    models.will(refuse(429, {"error": busy}, retry_after="9"))
    with pytest.raises(openai.RateLimitError) as refused:
        await client.responses.create(model="m", input="a", stream=True)
    assert error_of(refused) == busy
    assert refused.value.response.headers["retry-after"] == "9"


async def test_a_conversation_that_is_too_long_is_shortened_where_that_is_wanted(
    client: Client, models: ScriptedUpstream
) -> None:
    long = refuse(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})
    lines: Any = said("1", "2", "3", "4", "5")
    models.will(long, reply("fine"))
    made = await client.responses.create(model="m", input=lines, truncation="auto")
    assert (made.output_text, made.truncation) == ("fine", "auto")
    assert [one["content"] for one in messages(models)] == ["4", "5"]
    models.will(long)
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model="m", input=lines, truncation="disabled")


async def test_a_request_that_the_library_repeats_is_answered_once(
    client: Client, models: ScriptedUpstream
) -> None:
    made = await client.responses.create(model="m", input="only once")
    count = len(models.asked)
    again = await client.responses.create(
        model="m", input="only once", extra_headers={"x-stainless-retry-count": "1"}
    )
    assert (again.id, again.output_text) == (made.id, made.output_text)
    assert len(models.asked) == count


async def test_a_model_server_that_is_not_there_is_told_and_the_response_has_failed(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path / "data", openai_base_url="http://127.0.0.1:9/v1") as relay:
        client = client_of(relay)
        conversation = (await client.conversations.create()).id
        for streams in (False, True):
            with pytest.raises(openai.InternalServerError) as refused:
                await client.responses.create(
                    model="m", input="a", conversation=conversation, stream=streams
                )
            assert refused.value.status_code == 502
            assert error_of(refused)["code"] == "provider_unreachable"
        made = await client.responses.create(
            model="m", input="b", conversation=conversation, background=True
        )
        events = await client.responses.retrieve(made.id, stream=True)
        last = [one async for one in events][-1]
        assert last.type == "response.failed"
        assert last.response.error is not None
        assert last.response.error.code == "server_error"


async def test_an_agent_answers_as_a_model_does(client: Client, models: ScriptedUpstream) -> None:
    listed = [model.id async for model in client.models.list() if model.owned_by == "palaver"]
    models.will(reply("I am here."))
    made = await client.responses.create(model=listed[0], input="who?", instructions="Now.")
    assert (made.output_text, made.model) == ("I am here.", listed[0])
    assert models.asked[-1].json["model"] == "scripted"
    assert messages(models)[-1]["content"] == "who?"


# what is wrong with a request


async def test_what_is_not_there_is_not_found(client: Client, relay: Door) -> None:
    made = await client.responses.create(model="m", input="a")
    other = client_of(relay, "somebody else").responses
    calls: list[Any] = [
        client.responses.retrieve("resp_nothing"),
        client.responses.retrieve(f"resp_{'0' * 32}"),
        client.responses.cancel(f"resp_{'0' * 32}"),
        client.responses.delete(f"resp_{'0' * 32}"),
        other.retrieve(made.id),
        other.delete(made.id),
        client.responses.create(model="m", input="a", conversation=f"conv_{'0' * 32}"),
    ]
    for call in calls:
        with pytest.raises(openai.NotFoundError):
            await call


async def test_a_deleted_response_is_gone_and_its_room_is_not(client: Client, relay: Door) -> None:
    made = await client.responses.create(model="m", input="stays")
    gone = await client.responses.with_raw_response.delete(made.id)
    assert gone.http_response.json() == {"id": made.id, "object": "response", "deleted": True}
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    assert made.conversation is not None
    assert await texts(relay.http(), made.conversation.id.replace("conv_", "r_")) == ["stays"]


async def test_tokens_are_estimated_with_all_that_comes_before(client: Client) -> None:
    short = await client.responses.input_tokens.count(model="m", input="x" * 40)
    assert short.input_tokens >= 10
    made: Response = await client.responses.create(model="m", input="y" * 400)
    more = await client.responses.input_tokens.count(
        model="m", input="x" * 40, previous_response_id=made.id
    )
    assert more.input_tokens >= short.input_tokens + 100
