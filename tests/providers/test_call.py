"""Calls to the offline agent, and to others that cannot pass a client's bytes on. For those that can: test_forward."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import orjson
import pytest
from tests.support.scripted import Scripted

from palaver.clock import SystemClock
from palaver.errors import Code, ProviderError
from palaver.model import Role
from palaver.providers.base import TextPiece
from palaver.providers.call import Call, Told, call, request_of
from palaver.providers.echo import Echo

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


async def called(
    provider: Any, asked: Mapping[str, Any] = ASKED, path: str = "/chat/completions"
) -> Call:
    return await call(provider, "POST", path, orjson.dumps(asked), clock=SystemClock())


async def heard(made: Call) -> list[Told]:
    async with aclosing(made.told()) as telling:
        found = [told async for told in telling]
    await made.close()
    return found


def events(told: list[Told]) -> list[Any]:
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
    assert told[-1] == Told(b"data: [DONE]\n\n", last=True)
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
