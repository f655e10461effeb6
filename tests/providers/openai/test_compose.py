"""Calls to the offline agent, and to others that cannot pass a client's bytes on. Else: test_passthrough."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
import pytest
from tests.support.scripted import Scripted
from tests.support.upstream import ScriptedUpstream, refuse, reply

from palaver.clock import SystemClock
from palaver.errors import Code, ProviderError
from palaver.model import Role
from palaver.providers.base import (
    BesidePiece,
    Done,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    ToolCall,
    ToolPiece,
)
from palaver.providers.call import Call, CallRequest, Chunk
from palaver.providers.echo import Echo
from palaver.providers.openai.client import Upstream
from palaver.providers.openai.compose import Composed, call, complete, request_of, shortened

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def called(
    provider: Any, asked: Mapping[str, Any] = ASKED, path: str = "/chat/completions"
) -> Call:
    request = CallRequest(method="POST", path=path, body=orjson.dumps(asked))
    return await call(provider, request, SystemClock())


async def heard(made: Call) -> list[Chunk]:
    async with aclosing(made.told()) as telling:
        found = [told async for told in telling]
    await made.close()
    return found


def events(told: list[Chunk]) -> list[Any]:
    frames = b"".join(one.raw for one in told).split(b"\n\n")
    return [orjson.loads(frame.removeprefix(b"data: ")) for frame in frames[:-2]]


async def test_a_stream_is_composed_as_the_api_has_it() -> None:
    provider = Scripted()
    provider.will("Hel", "lo")
    options = {"stream": True, "stream_options": {"include_usage": True}}
    made = await called(provider, ASKED | options)
    assert (made.status, made.streams) == (200, True)
    told = await heard(made)
    first, *words, end, usage = events(told)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [one["choices"][0]["delta"] for one in words] == [{"content": "Hel"}, {"content": "lo"}]
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, "stop")
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 0
    assert {one["id"] for one in events(told)} == {first["id"]}
    assert {one["object"] for one in events(told)} == {"chat.completion.chunk"}
    assert all(one["usage"] is None for one in (first, *words, end))
    assert told[-1] == Chunk(b"data: [DONE]\n\n", last=True)
    assert [piece for one in told for piece in one.pieces] == [TextPiece("Hel"), TextPiece("lo")]
    assert made.outcome.whole
    assert made.outcome.finish == "stop"


async def test_token_counts_come_only_to_who_asked_for_them() -> None:
    made = await called(Scripted(), ASKED | {"stream": True})
    told = await heard(made)
    assert all("usage" not in one for one in events(told))
    assert made.outcome.envelope["usage"]["total_tokens"] == 0


async def test_a_whole_answer_is_one_body() -> None:
    provider = Scripted()
    provider.will("Hel", "lo")
    made = await called(provider)
    told = await heard(made)
    assert [one.raw for one in told[:-1]] == [b"", b""]
    body = orjson.loads(told[-1].raw)
    assert told[-1].last
    assert body == made.outcome.envelope
    assert body["choices"][0]["message"]["content"] == "Hello"
    assert (body["object"], body["model"]) == ("chat.completion", "m")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_after_some_words_is_the_outcomes(stream: bool) -> None:  # noqa: FBT001  a parameter of the test
    provider = Scripted()
    failure = ProviderError(Code.PROVIDER_ERROR, "It broke.")
    provider.will("some", failure)
    made = await called(provider, ASKED | {"stream": stream})
    told = await heard(made)
    assert not any(one.last for one in told)
    assert made.outcome.error is failure
    assert not made.outcome.whole
    assert not made.outcome.told


async def test_a_failure_before_the_first_word_is_raised() -> None:
    provider = Scripted()
    provider.will(ProviderError(Code.PROVIDER_AUTH, "No."))
    with pytest.raises(ProviderError, match="No"):
        await called(provider)


async def test_other_addresses_are_not_found_where_there_is_no_model_server() -> None:
    made = await called(Echo(), path="/embeddings")
    assert made.status == 404
    (told,) = await heard(made)
    assert orjson.loads(told.raw)["error"]["code"] == "not_found"


async def test_a_provider_is_asked_with_the_texts_of_the_messages() -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url"}]},
        {"role": "critic", "content": None},
    ]
    history = request_of({"messages": messages}).history
    assert [(said.role, said.text) for said in history] == [
        (Role.SYSTEM, "Be kind."),
        (Role.USER, "hi"),
        (Role.USER, ""),
    ]


async def composed(*pieces: Piece, origin: str = "them m", **asked: Any) -> Call:
    async def said() -> AsyncGenerator[Piece]:
        for piece in pieces:
            yield piece

    return await Composed("them", said(), ASKED | asked, SystemClock(), origin).begun()


SAID: tuple[Piece, ...] = (
    ReasoningPiece("Hm"),
    BesidePiece({"signed": [{"index": 0, "by": "them"}]}, "them m"),
    TextPiece("Let me see."),
    ToolPiece(0, "call_1", "look", ""),
    ToolPiece(0, "", "", '{"at":'),
    ToolPiece(0, "", "", "1}"),
    ToolPiece(1, "call_2", "look", "{}"),
    BesidePiece({"mark": "x"}, "them m", call=1),
)
USED = Done(
    model="m",
    finish="tool_calls",
    input_tokens=9,
    output_tokens=4,
    cached_tokens=5,
    cache_write_tokens=2,
    reasoning_tokens=1,
)


async def test_tools_thoughts_and_what_stood_beside_are_told_as_the_api_has_them() -> None:
    made = await composed(*SAID, USED, stream=True)
    told = await heard(made)
    deltas = [one["choices"][0]["delta"] for one in events(told)[1:]]
    assert {"reasoning_content": "Hm"} in deltas
    opened = {"index": 0, "id": "call_1", "type": "function"}
    assert {"tool_calls": [opened | {"function": {"name": "look", "arguments": ""}}]} in deltas
    assert {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]} in deltas
    pieces = [piece for one in told for piece in one.pieces]
    empty = ToolPiece(1, "", "", "")  # what carried the mark
    assert [one for one in pieces if not isinstance(one, BesidePiece) and one != empty] == [
        piece for piece in SAID if not isinstance(piece, BesidePiece)
    ]
    beside = [piece for piece in pieces if isinstance(piece, BesidePiece) and piece.fields]
    assert [(one.fields, one.origin, one.call) for one in beside] == [
        ({"signed": [{"index": 0, "by": "them"}]}, "them m", None),
        ({"mark": "x"}, "them m", 1),
    ]
    assert made.outcome.envelope["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


async def test_a_whole_answer_with_tools_can_be_sent_back_as_it_came() -> None:
    made = await composed(*SAID, USED)
    body = orjson.loads((await heard(made))[-1].raw)
    assert body["choices"][0]["finish_reason"] == "tool_calls"
    (said,) = request_of({"messages": [body["choices"][0]["message"]]}, "them m").history
    assert (said.role, said.text, said.thought) == (Role.ASSISTANT, "Let me see.", "Hm")
    assert [(one.id, one.name, one.arguments) for one in said.calls] == [
        ("call_1", "look", '{"at":1}'),
        ("call_2", "look", "{}"),
    ]
    assert said.beside["origin"] == "them m"
    assert said.beside["message"]["signed"] == [{"index": 0, "by": "them"}]


async def test_a_refusal_is_told_as_one() -> None:
    made = await composed(RefusalPiece("No."), Done(model="m", finish="content_filter"))
    await heard(made)
    (choice,) = made.outcome.envelope["choices"]
    assert (choice["message"]["refusal"], choice["message"]["content"]) == ("No.", None)
    assert (made.outcome.finish, made.outcome.whole) == ("content_filter", True)


def test_a_provider_is_asked_with_tools_their_results_and_the_settings() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    asked: dict[str, Any] = {
        "model": "m",
        "stream": True,
        "temperature": 0.5,
        "stop": None,
        "messages": [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "seen", "tool_call_id": "c"},
            {"role": "user", "content": "hi", "name": "Ann", "strange": 1},
        ],
    }
    request = request_of(asked)
    assert (request.model, request.settings) == ("m", {"temperature": 0.5})
    made, result, person = request.history
    assert made.calls == (ToolCall(id="c", name="look", arguments="{}"),)
    assert (result.role, result.text, result.call_id) == (Role.TOOL, "seen", "c")
    assert (person.name, person.beside) == ("Ann", {})


TOO_LONG = refuse(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})


def body(*texts: str, **fields: Any) -> dict[str, Any]:
    roles = ["system", *(("user", "assistant") * len(texts))]
    said = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return {"model": "m", "messages": said, "stream": True, **fields}


async def asked_for(provider: Upstream, asked: dict[str, Any], **how: Any) -> tuple[int, bytes]:
    call = await complete(provider, asked, clock=SystemClock(), **how)
    try:
        return call.status, b"".join([told.raw async for told in call.told()])
    finally:
        await call.close()


async def test_what_a_server_does_not_understand_is_said_otherwise(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    error = {"message": "Use 'max_completion_tokens' instead.", "param": "max_tokens"}
    upstream.will(refuse(400, {"error": error}), reply("yes"))
    status, raw = await asked_for(provider, body("s", "u", max_tokens=9))
    assert (status, b"yes" in raw) == (200, True)
    first, second = (one.json for one in upstream.asked)
    assert first["max_tokens"] == second["max_completion_tokens"] == 9
    assert "max_tokens" not in second


async def test_the_oldest_is_left_out_when_it_is_too_long(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(TOO_LONG, TOO_LONG, reply("yes"))
    status, _ = await asked_for(provider, body("s", "u1", "a1", "u2", "a2", "u3"), shortens=True)
    assert status == 200
    texts = [[said["content"] for said in one.json["messages"]] for one in upstream.asked]
    assert texts == [["s", "u1", "a1", "u2", "a2", "u3"], ["s", "a2", "u3"], ["s", "u3"]]


@pytest.mark.parametrize("shortens", [True, False])
async def test_a_refusal_that_stays_is_passed_on_as_it_came(
    upstream: ScriptedUpstream, provider: Upstream, *, shortens: bool
) -> None:
    upstream.will(TOO_LONG)
    status, raw = await asked_for(provider, body("s", "u"), shortens=shortens)
    assert (status, b"context_length_exceeded" in raw) == (400, True)
    assert len(upstream.asked) == 1


def test_a_result_goes_with_its_call() -> None:
    said: list[dict[str, Any]] = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "tool_calls": []},
        {"role": "tool", "content": "2"},
        {"role": "user", "content": "3"},
    ]
    made = shortened({"messages": said})
    assert made is not None
    assert made["messages"] == said[3:]
    assert shortened({"messages": said[3:]}) is None
    assert shortened({"messages": said[:3]}) is None
