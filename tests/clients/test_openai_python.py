"""The official Python library with its usual settings: it asks again by itself, and nothing is stored twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.resources.responses.responses import AsyncResponsesConnection
from pydantic import BaseModel
from tests.clients.answers import Json, completion
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import (
    CUT,
    DONE,
    STALL,
    Script,
    ScriptedUpstream,
    event,
    refuse,
    reply,
    stream,
)
from tests.wire.openai.client import room_texts, said
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.slow

SECONDS_MAX = 90
SLOW = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
NAMES = count()


class Sum(BaseModel):
    total: int


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, timeout=SECONDS_MAX) as client:
        yield client


@pytest.fixture
def client(relay: ServerProcess, http: httpx2.AsyncClient) -> AsyncOpenAI:
    key = f"sk-{next(NAMES)}"
    return AsyncOpenAI(base_url=f"{relay.url}/v1", api_key=key, http_client=http)


async def stored(relay: ServerProcess, room: str) -> list[tuple[str, str]]:
    async with httpx2.AsyncClient(
        base_url=relay.url, trust_env=False, timeout=SECONDS_MAX
    ) as looker:
        return await room_texts(looker, room)


@pytest.mark.parametrize(
    "failure",
    [
        refuse(429, SLOW, retry_after="0"),
        refuse(503, "no healthy upstream", retry_after_ms="1"),
        (CUT,),
    ],
    ids=["429", "503", "cut"],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_what_the_library_asks_again_is_stored_once(
    client: AsyncOpenAI,
    relay: ServerProcess,
    models: ScriptedUpstream,
    failure: Script,
    *,
    streams: bool,
) -> None:
    before = len(models.asked)
    models.will(failure, reply("one") if streams else completion("one"))
    create = client.chat.completions.with_raw_response.create
    got = await create(model="m", messages=said("A question."), stream=streams)
    answer: Any = got.parse()
    if streams:
        words = [one.choices[0].delta.content async for one in answer if one.choices]
        assert words[0] == "one"
    else:
        assert answer.choices[0].message.content == "one"
    assert len(models.asked) == before + 2
    told = await stored(relay, got.headers["x-palaver-room"])
    assert told.count(("user", "A question.")) == 1
    assert [text for role, text in told if role == "assistant" and text] == ["one"]


async def test_a_request_that_took_too_long_is_joined_when_it_is_sent_again(
    client: AsyncOpenAI, relay: ServerProcess, http: httpx2.AsyncClient, models: ScriptedUpstream
) -> None:
    gate, before = asyncio.Event(), len(models.asked)
    retries: list[str] = []

    async def noted(request: httpx2.Request) -> None:
        retries.append(request.headers["x-stainless-retry-count"])
        if len(retries) == 2:
            request.extensions["timeout"]["read"] = SECONDS_MAX  # it is answered, however late
            gate.set()

    http.event_hooks["request"] = [noted]
    models.will((*completion("late")[:1], gate, *completion("late")[1:]))
    patient = client.with_options(timeout=httpx2.Timeout(SECONDS_MAX, read=1.0))
    create = patient.chat.completions.with_raw_response.create
    got = await create(model="m", messages=said("Take your time."))
    assert got.parse().choices[0].message.content == "late"
    assert retries == ["0", "1"]
    assert len(models.asked) == before + 1
    told = await stored(relay, got.headers["x-palaver-room"])
    assert told == [("user", "Take your time."), ("assistant", "late")]


async def test_an_object_choices_and_a_room_of_its_own(
    client: AsyncOpenAI, relay: ServerProcess, models: ScriptedUpstream
) -> None:
    models.will(completion('{"total": 3}'))
    parsed = await client.chat.completions.with_raw_response.parse(
        model="m", messages=said("1 + 2"), response_format=Sum
    )
    assert parsed.parse().choices[0].message.parsed == Sum(total=3)
    room = parsed.headers["x-palaver-room"]
    head: Json = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    parts: list[Json] = [
        {"index": 0, "delta": {"content": "a"}},
        {"index": 1, "delta": {"content": "b"}},
        *({"index": place, "delta": {}, "finish_reason": "stop"} for place in (0, 1)),
    ]
    told = [event({**head, "choices": [part]}) for part in parts]
    models.will(stream(*told, DONE))
    async with client.chat.completions.stream(
        model="m", messages=said("Two, please."), n=2, extra_headers={"X-Palaver-Room": room}
    ) as events:
        final = await events.get_final_completion()
    assert [one.message.content for one in final.choices] == ["a", "b"]
    assert [text for _, text in await stored(relay, room)] == [
        *("1 + 2", '{"total": 3}', "Two, please.", "a", "b")
    ]


async def test_the_synchronous_client_streams_and_sees_a_broken_answer(
    relay: ServerProcess, models: ScriptedUpstream
) -> None:
    models.will(reply("one ", "two"), stream("half", CUT))

    def talk() -> str:
        with (
            httpx2.Client(trust_env=False, timeout=SECONDS_MAX) as http,
            OpenAI(base_url=f"{relay.url}/v1", api_key="sk-sync", http_client=http) as client,
        ):
            create = client.chat.completions.create
            told = create(model="m", messages=said("sync"), stream=True)
            heard = "".join(one.choices[0].delta.content or "" for one in told if one.choices)
            with pytest.raises(openai.APIError):
                list(create(model="m", messages=said("sync", heard, "again"), stream=True))
            return heard

    assert await asyncio.to_thread(talk) == "one two"


async def test_responses_are_answered_on_a_connection_of_the_library(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(reply("one ", "two"), reply("three"))
    async with client.responses.connect() as connection:
        await connection.response.create(model="m", input="a", store=False)
        first = await heard(connection)
        more: Any = {"previous_response_id": first.response.id, "stream_id": "s"}
        await connection.response.create(model="m", input="b", **more)
        second = await heard(connection)
        await connection.response.create(model="m", input="c", previous_response_id="resp_x")
        refused: Any = await heard(connection)
    assert (first.response.output_text, second.response.output_text) == ("one two", "three")
    assert second.stream_id == "s"
    assert [one["content"] for one in models.asked[-1].json["messages"]] == ["a", "one two", "b"]
    assert (refused.type, refused.error.code) == ("error", "previous_response_not_found")
    stored = await client.responses.retrieve(second.response.id)
    assert stored.output_text == "three"


async def heard(connection: AsyncResponsesConnection) -> Any:
    """The event that ends what was asked."""
    async for told in connection:
        if told.type in {"response.completed", "response.failed", "error"}:
            return told
    raise AssertionError("the connection ended first")


async def test_nothing_that_was_heard_on_a_connection_is_lost_by_a_kill(
    serve: Serve, http: httpx2.AsyncClient, models: ScriptedUpstream
) -> None:
    server = await serve(environment={"OPENAI_BASE_URL": models.base_url})
    client = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="sk-killed", http_client=http)
    models.will(stream("one ", "two ", STALL))
    told: list[Any] = []
    async with client.responses.connect() as connection:
        await connection.response.create(model="m", input="a")
        while not told or getattr(told[-1], "delta", "") != "two ":
            told.append(await connection.recv())
        await server.kill()
        with pytest.raises(ConnectionClosed):
            await connection.recv()
    await server.start()
    response, after = told[0].response.id, told[-3].sequence_number
    resumed = await client.responses.retrieve(response, stream=True, starting_after=after)
    over_http = [one async for one in resumed]
    assert [one.sequence_number for one in over_http[:2]] == [after + 1, after + 2]
    words = [one.delta for one in over_http if one.type == "response.output_text.delta"]
    assert "".join(words).endswith("two ")
    last: Any = over_http[-1]
    assert (last.type, last.response.output_text) == ("response.failed", "one two ")
    async with client.responses.connect() as connection:
        resume: Any = {"type": "response.resume", "response_id": response, "starting_after": after}
        await connection.send_raw(json.dumps(resume))
        again = [await connection.recv() for _ in over_http]
        assert [one.to_dict() for one in again] == [one.to_dict() for one in over_http]
        models.will(reply("three"))
        await connection.response.create(model="m", input="b", previous_response_id=response)
        assert (await heard(connection)).response.output_text == "three"
    asked = [one["content"] for one in models.asked[-1].json["messages"]]
    assert asked == ["a", "one two ", "b"]
