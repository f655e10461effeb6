"""What a model sends must not be lost for one character, nor for a shape that nobody expects."""

import asyncio
from typing import Any

import pytest
from tests.providers.support import hear
from tests.support.upstream import DONE, ScriptedUpstream, chunk, event, stream

from palaver.providers.base import Done, ReasoningPiece, TextPiece
from palaver.providers.openai.client import Upstream

FINISH = chunk(finish="stop")


async def test_bytes_of_one_character_over_two_packets_are_joined(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    whole_event = 'data: {"choices":[{"delta":{"content":"é🦊"}}]}\n\n'.encode()
    gates = [asyncio.Event() for _ in whole_event]
    steps = [step for i, gate in enumerate(gates) for step in (whole_event[i : i + 1], gate)]
    for gate in gates:
        gate.set()
    upstream.will(stream(*steps, FINISH, DONE))
    assert (await hear(provider)).text == "é🦊"


async def test_a_nul_is_kept_and_half_a_character_is_replaced(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(stream("a\x00b\ud800c", "\ud83e", "\udd8a", "d\ud800", FINISH, DONE))
    heard = await hear(provider)
    assert heard.text == "a\x00b\ufffdc🦊d\ufffd"
    assert heard.done is not None


async def test_bytes_that_are_not_utf_8_are_replaced_and_the_rest_is_kept(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(stream(b'data: {"choices":[{"delta":{"content":"a\xffb"}}]}\n\n', FINISH, DONE))
    assert (await hear(provider)).text == "a\ufffdb"


async def test_contents_in_parts_refusals_and_thoughts_are_read(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    deltas: list[Any] = [
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"refusal": "I cannot."},
        {"reasoning": "same", "reasoning_content": "same"},
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]},
    ]
    events = [event({"choices": [{"delta": delta}]}) for delta in deltas]
    upstream.will(stream(*events, FINISH, DONE))
    *pieces, _ = (await hear(provider)).pieces
    assert pieces == [
        ReasoningPiece("hm"),
        TextPiece("ab"),
        TextPiece("I cannot."),
        ReasoningPiece("same"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b'{"choices": null}',
        b'{"choices": {"0": 1}}',
        b'{"choices": [null, 1, {"index": [0]}, {"index": 1, "delta": {"content": "other"}}]}',
        b'{"choices": [{"index": 0, "delta": null}]}',
        b'{"choices": [{"index": 0, "delta": {"content": [], "reasoning": {}}}]}',
        b'{"usage": {"prompt_tokens": "7", "completion_tokens": true}, "error": null}',
        b'{"choices": [{"delta": {"content": ""}, "finish_reason": ""}]}',
    ],
)
async def test_chunks_of_a_shape_that_nobody_expects_give_nothing(
    upstream: ScriptedUpstream, provider: Upstream, data: bytes
) -> None:
    odd = b"data: " + data + b"\n\n"
    upstream.will(stream(odd, chunk(finish="length"), DONE))
    heard = await hear(provider)
    assert heard.pieces == [Done(model="scripted", finish="length")]
