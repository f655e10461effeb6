"""Model servers as they are, at every door: chat completions streamed and whole, responses, and a room's own turn."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from tests.support.upstream import (
    DONE,
    Head,
    Script,
    ScriptedUpstream,
    chunk,
    event,
    refuse,
    stream,
    whole,
)
from tests.wire.door import Door, Live
from tests.wire.openai.client import CHAT, bare_client, client_of, said

from palaver.wire import streams

FINISH = chunk(finish="stop")
NOTHING: dict[str, Any] = {}
THINKING = "<think>\nlet me see</think>\n\nHello"
Json = dict[str, Any]


@pytest.fixture
async def live(relay: Door) -> AsyncIterator[Live]:
    token, _ = await relay.guest()
    async with relay.live(token) as live:
        yield live


async def of_room(relay: Door, room: str) -> Json:
    """The last answer that a room holds."""
    _, client = await relay.guest()
    got = await client.get(f"/api/rooms/{room}/messages", params={"limit": 200})
    return [one for one in got.json()["messages"] if one["role"] == "assistant"][-1]


async def at_chat(relay: Door, *, streams: bool) -> tuple[Json, httpx2.Response]:
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "m", "stream": streams, "messages": messages}
    got = await bare_client(relay).post(CHAT, json=body)
    assert got.status_code == 200, got.text
    return await of_room(relay, got.headers["x-palaver-room"]), got


async def at_responses(relay: Door, *, streams: bool) -> Json:
    asked = {"model": "m", "input": "hi", "stream": streams}
    got = await bare_client(relay).post("/v1/responses", json=asked)
    if not streams:
        told: Json = got.json()
    else:
        events = [json.loads(line[6:]) for line in got.text.splitlines() if line[:7] == "data: {"]
        told = events[-1]["response"]
        assert [one["sequence_number"] for one in events] == list(range(len(events)))
        again = await bare_client(relay).get(f"/v1/responses/{told['id']}?stream=true")
        assert again.text == got.text, "a stored answer is told as it was"
    said = {"message": "", "reasoning": ""}
    for item in told["output"]:
        said[item["type"]] += "".join(part["text"] for part in item["content"])
    status = {"completed": "done"}.get(told["status"], told["status"])
    error = {"detail": told["error"]["message"]} if told["error"] else None
    return {"status": status, "text": said["message"], "meta": said | {"error": error}}


async def new_room(relay: Door, live: Live) -> str:
    client = relay.http(headers={"authorization": f"Bearer {live.token}"})
    room: str = (await client.post("/api/rooms", json={"title": "A"})).json()["id"]
    await live.ask(t="sub", room=room)
    return room


async def in_a_room(relay: Door, live: Live) -> Json:
    room = await new_room(relay, live)
    await live.say(room, "hi")
    return (await live.event("message.created", lambda one: one["d"]["role"] == "assistant"))["d"]


async def everywhere(
    relay: Door, models: ScriptedUpstream, live: Live, script: Script, *, whole_too: bool = True
) -> list[Json]:
    """What is stored of one answer at each door, and told at those that tell it in words of ours."""
    models.default = script
    found = [(await at_chat(relay, streams=True))[0], await in_a_room(relay, live)]
    if whole_too:
        found.append((await at_chat(relay, streams=False))[0])
    return [*found, *[await at_responses(relay, streams=one) for one in (True, False)]]


def completion(**fields: Any) -> Json:
    choice = {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"} | fields
    return {"id": "c", "object": "chat.completion", "choices": [choice]}


@pytest.mark.parametrize(
    "script",
    [
        (Head(headers={}), chunk("Hello"), FINISH, DONE),
        (Head(headers={"content-type": "application/json"}), chunk("Hello"), FINISH, DONE),
        (Head(), json.dumps(completion(), indent=1).encode()),
        (Head(), (chunk("Hel") + chunk("lo") + FINISH + DONE).replace(b"\n\n", b"\n")),
        stream(
            event({"choices": [{"index": 1, "delta": {"content": {"parts": ["Hello"]}}}]}), DONE
        ),
        stream(event([{"choices": [{"text": "Hel"}]}, {"choices": [{"text": "lo"}]}]), DONE),
        whole(completion(message={"content": [{"type": "text", "text": "Hello"}]})),
    ],
    ids=["no label", "another label", "JSON as events", "one LF", "parts", "a list", "whole"],
)
async def test_every_shape_of_an_answer_is_one_at_every_door(
    relay: Door, models: ScriptedUpstream, live: Live, script: Script
) -> None:
    for answer in await everywhere(relay, models, live, script):
        assert (answer["text"], answer["status"]) == ("Hello", "done")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            event({"choices": [{"delta": NOTHING, "finish_reason": "error", "error": "no power"}]}),
            "power",
        ),
        (event({"choices": [{"delta": NOTHING, "finish_reason": "error"}]}), "failed"),
        (b"data: error: no power\n\n", "no power"),
        (event({"error": {"message": "no power"}}), "no power"),
        (event({"choices": [{"delta": {"content": {"body": 1}}}]}) + FINISH, "could not be read"),
        (b'data: {"id":"x","object":"c' + event({"choices": []}) + FINISH, "may be missing"),
    ],
    ids=["in the choice", "the end", "plain words", "an event", "no words", "torn"],
)
async def test_a_failure_inside_an_answer_is_stored_as_one_and_passed_on_as_it_came(
    relay: Door, models: ScriptedUpstream, live: Live, told: bytes, words: str
) -> None:
    script = stream("Hello", told, DONE)
    for answer in await everywhere(relay, models, live, script, whole_too=False):
        assert (answer["text"], answer["status"]) == ("Hello", "failed")
        assert words in answer["meta"]["error"]["detail"]
    _, got = await at_chat(relay, streams=True)
    assert got.content == b"".join(step for step in script if isinstance(step, bytes))


async def test_a_whole_answer_that_failed_comes_with_its_words_and_one_without_any_is_an_error(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.default = whole(completion(finish_reason="error", error={"message": "no power"}))
    stored, got = await at_chat(relay, streams=False)
    assert got.json()["choices"][0]["message"]["content"] == "Hello"
    assert (stored["text"], stored["status"]) == ("Hello", "failed")
    models.default = whole({"detail": "no power"})
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    refused = await bare_client(relay).post(CHAT, json=body)
    assert refused.status_code == 502
    assert "no power" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "words",
    [
        (THINKING,),
        tuple(THINKING),
        ("<THINK>let me see</THI", "NK>Hello"),
        ("[THINK]let me see[/THINK]", "Hello"),
        ("let me", " see\n</think>\n", "\nHello"),
    ],
    ids=["whole", "letter by letter", "cut in its tag", "another spelling", "the closing tag only"],
)
async def test_thoughts_in_tags_are_stored_and_told_as_thoughts(
    relay: Door, models: ScriptedUpstream, live: Live, words: tuple[str, ...]
) -> None:
    for answer in await everywhere(relay, models, live, stream(*words, FINISH, DONE)):
        assert (answer["text"], answer["status"]) == ("Hello", "done")
        assert answer["meta"]["reasoning"] == "let me see"
    _, got = await at_chat(relay, streams=True)
    assert got.content.count(b"data: ") == len(words) + 2, "its bytes are the server's"


async def test_thoughts_are_not_told_to_the_model_again(
    relay: Door, models: ScriptedUpstream, live: Live
) -> None:
    models.default = stream(THINKING, FINISH, DONE)
    room = await new_room(relay, live)
    for question in ("one", "two"):
        await live.say(room, question)
        await live.event("message.created", lambda one: one["d"]["role"] == "assistant")
    asked = [one.json for one in models.asked if one.json["messages"][-1]["content"] == "two"]
    assert [one["content"] for one in asked[-1]["messages"]] == ["one", "Hello", "two"]


async def test_a_client_that_sends_the_thoughts_back_goes_on_in_its_room(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.default = stream(THINKING, FINISH, DONE)
    client = bare_client(relay, "key-of-thoughts")
    messages = [{"role": "user", "content": "think!"}]
    first = await client.post(CHAT, json={"model": "m", "stream": True, "messages": messages})
    for content in (THINKING, "Hello"):
        more = [{"role": "assistant", "content": content}, {"role": "user", "content": "more"}]
        asked = {"model": "m", "stream": True, "messages": messages + more}
        again = await client.post(CHAT, json=asked)
        if content == THINKING:
            assert again.headers["x-palaver-room"] == first.headers["x-palaver-room"]
        sent = models.asked[-1].json["messages"][1]["content"]
        assert sent == content, "what a client sends goes on unchanged"


async def test_an_answer_of_thoughts_alone_or_of_nothing_can_be_asked_for_again(
    relay: Door, models: ScriptedUpstream, live: Live
) -> None:
    for words in ("<think>hm", ""):
        script = stream(words, FINISH, DONE) if words else stream(FINISH, DONE)
        models.default = script
        answer = await in_a_room(relay, live)
        assert (answer["text"], answer["status"], answer["meta"]["finish"]) == ("", "done", "stop")
        assert answer["meta"].get("reasoning") == ("hm" if words else None)
        models.default = stream("Hello", FINISH, DONE)
        again = await live.ask(t="retry", msg=answer["id"])
        assert again["t"] != "err", again
        told = await live.event("message.created", lambda one: one["d"]["role"] == "assistant")
        assert told["d"]["text"] == "Hello"


@pytest.mark.parametrize(
    "path",
    [
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/chat/completions//",
        "/v1///chat/completions/",
    ],
)
async def test_slashes_that_a_base_url_brings_with_it_change_nothing(
    relay: Door, models: ScriptedUpstream, path: str
) -> None:
    models.default = stream("Hello", FINISH, DONE)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert (await bare_client(relay).post(path, json=body)).status_code == 200
    assert (await bare_client(relay).get("/v1//models/")).status_code == 200


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_client_gets_comments_while_the_model_server_has_not_even_a_head(
    relay: Door,
    models: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    *,
    fails: bool,
) -> None:
    monkeypatch.setattr(streams, "PING_SECONDS", 0.05)
    go = asyncio.Event()
    refusal = refuse(401, {"error": {"message": "no entry"}})
    models.default = (go, *(refusal if fails else stream("Hello", FINISH, DONE)))
    asked = {"model": "m", "stream": True, "messages": said("hi"), "input": "hi"}
    del asked["input" if path == CHAT else "messages"]
    got = bytearray()
    with suppress(httpx2.RemoteProtocolError):  # a failure has no clean end
        async with bare_client(relay).stream("POST", path, json=asked) as told:
            assert told.status_code == 200
            assert told.headers["content-type"].startswith("text/event-stream")
            async for part in told.aiter_raw():
                got += part
                go.set()
    assert got.startswith(streams.PING)
    assert (b"no entry" if fails else b"Hello") in got
    assert got.endswith(b"data: [DONE]\n\n") is not fails


@pytest.mark.parametrize("came", [whole(completion()), stream("Hel", "lo", FINISH, DONE)])
async def test_a_client_gets_a_stream_or_one_body_as_it_asked_whatever_came(
    relay: Door, models: ScriptedUpstream, came: Script
) -> None:
    models.default = came
    client = client_of(relay)
    body = await client.chat.completions.create(model="m", messages=said("hi"))
    assert body.choices[0].message.content == "Hello"
    parts = await client.chat.completions.create(model="m", messages=said("hi"), stream=True)
    deltas = [part.choices[0].delta.content or "" async for part in parts]
    assert "".join(deltas) == "Hello"
