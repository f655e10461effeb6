"""Responses that stream, run in the background, and are gone on with after a lost connection or a dead server."""

import asyncio
from pathlib import Path
from typing import Any, cast

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseCompletedEvent
from tests.support.llama import ANSWER, WORDS, running_llama
from tests.support.server import Serve
from tests.support.upstream import (
    CUT,
    DONE,
    ScriptedUpstream,
    chunk,
    event,
    stream,
)
from tests.wire.door import Door, Json, open_door
from tests.wire.openai.client import client_of

SECONDS_MAX = 90.0
END = (chunk(finish="stop"), DONE)
LAST = {"response.completed", "response.incomplete", "response.failed"}


@pytest.fixture
def client(relay: Door) -> AsyncOpenAI:
    return client_at(relay.url, relay.http())


def client_at(url: str, http: httpx2.AsyncClient | None = None) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="any", http_client=http, max_retries=0)


async def heard(events: Any, upto: str | None = None, count: int = 0) -> list[Json]:
    """Events until the stream ends, one of a type came, or so many came."""
    found: list[Json] = []
    async for one in events:
        found.append(one.to_dict())
        if found[-1]["type"] == upto or len(found) == count:
            break
    return found


async def replayed(client: AsyncOpenAI, response: str, after: int | None = None) -> list[Json]:
    if after is None:
        return await heard(await client.responses.retrieve(response, stream=True))
    return await heard(await client.responses.retrieve(response, stream=True, starting_after=after))


async def ended(client: AsyncOpenAI, response: str) -> Json:
    """The response once it is over."""
    async with asyncio.timeout(SECONDS_MAX):
        found = await replayed(client, response)
    assert found[-1]["type"] in LAST
    return found[-1]["response"]


def text_in(found: list[Json]) -> str:
    deltas = [one["delta"] for one in found if one["type"] == "response.output_text.delta"]
    return "".join(deltas)


async def test_the_events_stream_as_they_come_and_can_be_told_again(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("one ", gate, "two", *END))
    events = await client.responses.create(model="m", input="a", stream=True)
    found = await heard(events, upto="response.output_text.delta")
    gate.set()
    found += await heard(events)
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    assert (text_in(found), found[-1]["type"]) == ("one two", "response.completed")
    response = found[-1]["response"]
    assert await replayed(client, response["id"]) == found
    assert await replayed(client, response["id"], after=4) == found[5:]
    assert (await client.responses.retrieve(response["id"])).to_dict() == response


async def test_a_stream_is_events_with_names_and_ends_with_done(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(stream("one", *END))
    asked = {"model": "m", "input": "a", "stream": True}
    got = await relay.http().post("/v1/responses", json=asked)
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.headers["x-accel-buffering"] == "no"
    frames = got.text.split("\n\n")
    assert frames[0].startswith("event: response.created\ndata: {")
    assert frames[-2:] == ["data: [DONE]", ""]


async def test_the_helper_of_the_client_reads_it(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(stream("one ", "two", *END))
    async with client.responses.stream(model="m", input="a") as events:
        kinds = [one.type async for one in events]
        final = await events.get_final_response()
    assert kinds[0] == "response.created"
    assert final.output_text == "one two"
    async with client.responses.stream(response_id=final.id, starting_after=5) as events:
        last = [one async for one in events][-1]
    assert isinstance(last, ResponseCompletedEvent)
    assert last.response.output_text == "one two"


async def test_an_answer_that_breaks_ends_with_an_event_that_says_so(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    broken = event({"error": {"message": "It broke.", "type": "server_error", "code": None}})
    models.will(stream("half", broken), stream("half", CUT))
    for _ in range(2):
        found = await heard(await client.responses.create(model="m", input="a", stream=True))
        assert found[-1]["type"] == "response.failed"
        response = found[-1]["response"]
        assert (response["status"], response["error"]["code"]) == ("failed", "server_error")
        assert response["output"][0]["content"][0]["text"] == "half"
        assert await replayed(client, response["id"]) == found


# in the background


async def test_a_background_response_can_be_polled(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("one ", gate, "two", *END))
    made = await client.responses.create(model="m", input="a", background=True)
    assert (made.status, made.background, made.output) == ("queued", True, [])
    events = await client.responses.retrieve(made.id, stream=True)
    await heard(events, upto="response.output_text.delta")
    running = await client.responses.retrieve(made.id)
    assert (running.status, running.output_text) == ("in_progress", "one ")
    gate.set()
    final = await ended(client, made.id)
    assert final["status"] == "completed"
    assert (await client.responses.retrieve(made.id)).output_text == "one two"


async def test_a_running_response_shows_the_thoughts_and_the_call_that_came(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a": '}}
    thought, called = (
        event({"choices": [{"index": 0, "delta": delta}]})
        for delta in ({"reasoning_content": "Hm."}, {"tool_calls": [call]})
    )
    models.will(stream(thought, called, asyncio.Event()))
    events = await client.responses.create(model="m", input="a", background=True, stream=True)
    found = await heard(events, upto="response.function_call_arguments.delta")
    running = (await client.responses.retrieve(found[0]["response"]["id"])).to_dict()
    thinking, calling = cast("list[Json]", running["output"])
    assert (running["status"], thinking["content"][0]["text"]) == ("in_progress", "Hm.")
    assert (calling["name"], calling["arguments"]) == ("f", '{"a": ')
    await client.responses.cancel(str(running["id"]))


async def test_two_at_once_in_a_conversation_are_answered_and_kept_question_by_question(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    gates = {"first?": asyncio.Event(), "second?": asyncio.Event()}
    for question, gate in gates.items():
        models.to(question, stream("To ", gate, question, *END))
    conversation = (await client.conversations.create()).id

    async def ask(question: str, **options: Any) -> Any:
        create: Any = client.responses.create
        return await create(model="m", input=question, conversation=conversation, **options)

    models.will(stream("Hello.", *END))
    await ask("Hi")
    made = [await ask(question, background=True) for question in gates]
    for response in made:
        events = await client.responses.retrieve(response.id, stream=True)
        await heard(events, upto="response.output_text.delta")
    for response, question in zip(made[::-1], reversed(gates), strict=True):
        gates[question].set()
        assert (await ended(client, response.id))["status"] == "completed"
    models.to("third?", stream("To third?", *END))
    last = await ask("third?")
    kept = ["first?", "To first?", "second?", "To second?"]
    for response, words in zip(
        (*made, last),
        (["first?"], ["second?"], [*kept, "third?"]),
        strict=True,
    ):
        wanted = ["Hi", "Hello.", *words]
        told = [
            [message["content"] for message in one.json["messages"]]
            for one in models.asked
            if one.json["messages"][-1]["content"] == words[-1]
        ]
        assert told == [wanted]
        given = await client.responses.input_items.list(response.id, order="asc")
        listed = [cast("Any", item).content[0].text for item in given.data]
        # what was said at once is listed in the order of the room
        assert listed == wanted or (response is last and sorted(listed) == sorted(wanted))


async def test_a_background_response_that_cannot_be_asked_has_failed(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(stream(CUT))
    events = await client.responses.create(model="m", input="a", background=True, stream=True)
    found = await heard(events)
    assert [one["type"].removeprefix("response.") for one in found] == [
        *("created", "queued", "in_progress", "failed")
    ]
    assert found[-1]["response"]["output"] == []


async def test_a_client_that_lost_its_connection_goes_on_where_it_was(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("one ", "two ", gate, "three", *END))
    events = await client.responses.create(model="m", input="a", background=True, stream=True)
    found = await heard(events, count=6)
    await events.close()
    response = found[0]["response"]["id"]
    rest = asyncio.Event()

    async def go_on() -> list[Json]:
        resumed = await client.responses.retrieve(response, stream=True, starting_after=5)
        first = await heard(resumed, upto="response.output_text.delta")
        rest.set()
        return first + await heard(resumed)

    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
        going = tasks.create_task(go_on())
        await rest.wait()
        gate.set()
    found += going.result()
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    assert (text_in(found), found[-1]["type"]) == ("one two three", "response.completed")


async def test_an_answer_goes_on_without_the_client_that_asked_for_it(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("one ", gate, "two", *END))
    events = await client.responses.create(model="m", input="a", stream=True)
    (first, *_) = await heard(events, upto="response.output_text.delta")
    await events.close()
    gate.set()
    final = await ended(client, first["response"]["id"])
    assert final["output"][0]["content"][0]["text"] == "one two"


async def test_a_cancelled_response_keeps_what_came_and_stays_cancelled(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(stream("half", asyncio.Event()))
    events = await client.responses.create(model="m", input="a", background=True, stream=True)
    found = await heard(events, upto="response.output_text.delta")
    response = found[0]["response"]["id"]
    async with asyncio.timeout(SECONDS_MAX):
        cancelled = await client.responses.cancel(response)
        found += await heard(events)
    assert (cancelled.status, cancelled.output_text) == ("cancelled", "half")
    assert found[-1]["response"]["status"] == "cancelled"
    assert await client.responses.cancel(response) == cancelled
    assert await client.responses.retrieve(response) == cancelled
    assert await replayed(client, response) == found
    models.will(stream("yes", *END))
    goes_on = await client.responses.create(model="m", input="b", previous_response_id=response)
    assert goes_on.output_text == "yes"


async def test_only_what_runs_in_the_background_can_be_cancelled(client: AsyncOpenAI) -> None:
    waited = await client.responses.create(model="m", input="a")
    over = await client.responses.create(model="m", input="a", background=True)
    await ended(client, over.id)
    for response in (waited.id, over.id):
        with pytest.raises(openai.BadRequestError, match="Cannot cancel"):
            await client.responses.cancel(response)


# seen through other doors


async def test_a_running_response_is_seen_live_in_its_room_and_can_be_stopped_there(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(stream("half", asyncio.Event()))
    token, person = await relay.guest()
    client = client_of(relay, (await person.post("/api/keys")).json()["token"])
    conversation = await client.conversations.create()
    room = conversation.id.replace("conv_", "r_")
    async with relay.live(token) as live, asyncio.timeout(SECONDS_MAX):
        await live.ask(t="sub", room=room)
        made = await client.responses.create(
            model="m", input="hi", conversation=conversation.id, background=True
        )
        opened = await live.push("s.open")
        assert (await live.push("s.d"))["x"] == "half"
        await live.ask(t="stop", turn=opened["turn"])
        stored = await live.event("message.created", _by_assistant)
    assert (stored["d"]["text"], stored["d"]["status"]) == ("half", "stopped")
    assert (await client.responses.retrieve(made.id)).status == "cancelled"


def _by_assistant(frame: Json) -> bool:
    return frame["d"]["role"] == "assistant"


# other model servers


async def test_every_word_of_a_real_model_comes_once_and_in_order(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_llama(tmp_path_factory.mktemp("llama")) as llama:
        async with open_door(tmp_path / "data", openai_base_url=llama.base_url) as relay:
            client = client_at(relay.url, relay.http())
            found = await heard(
                await client.responses.create(model="m", input="hi", temperature=0, stream=True)
            )
            assert text_in(found) == ANSWER
            response = found[-1]["response"]
            assert response["output"][0]["content"][0]["text"] == ANSWER
            assert response["usage"]["output_tokens"] == len(WORDS) + 1
            assert await replayed(client, response["id"]) == found
            cut = await client.responses.create(
                model="m", input="hi", temperature=0, max_output_tokens=16
            )
            assert (cut.status, cut.output_text) == ("incomplete", "".join(WORDS[:16]))
            long: Any = [{"role": "user", "content": ANSWER}] * 12
            short = await client.responses.create(
                model="m", input=long, temperature=0, truncation="auto", max_output_tokens=17
            )
            assert short.output_text == "".join(WORDS[:17])


async def test_the_door_can_be_tried_without_a_model_server(tmp_path: Path) -> None:
    async with open_door(tmp_path / "data") as relay:
        client = client_at(relay.url, relay.http())
        made = await client.responses.create(model="echo", input="/long 20")
        assert (made.status, made.model) == ("completed", "echo")
        assert made.output_text


# a dead server


async def test_a_response_can_be_gone_on_with_after_the_server_was_killed(
    serve: Serve, database_url: str, models: ScriptedUpstream
) -> None:
    models.will(stream("one ", "two ", asyncio.Event()))
    environment = {"OPENAI_BASE_URL": models.base_url}
    server = await serve(environment=environment, database_url=database_url)
    async with client_at(server.url) as client:
        events = await client.responses.create(model="m", input="a", background=True, stream=True)
        found = await heard(events, count=7)
        assert text_in(found) == "one two "
        await server.kill()
        await server.start()
        response = found[0]["response"]["id"]
        async with asyncio.timeout(SECONDS_MAX):
            rest = await replayed(client, response, after=found[-1]["sequence_number"])
        told = found + rest
        assert [one["sequence_number"] for one in told] == list(range(len(told)))
        assert rest[-1]["type"] == "response.failed"
        final = rest[-1]["response"]
        assert (final["status"], final["error"]["code"]) == ("failed", "server_error")
        assert final["output"][0]["content"][0]["text"] == "one two "
        assert await replayed(client, response) == told
        assert (await client.responses.retrieve(response)).to_dict() == final
        models.will(stream("three", *END))
        again = await client.responses.create(
            model="m", input="Go on.", previous_response_id=response
        )
        assert again.output_text == "three"
