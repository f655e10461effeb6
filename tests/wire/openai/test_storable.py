"""Whatever is accepted can be stored, on every engine: texts and values that no store takes, in every place.

Each is put into every field that means nothing here, and into every name and text, of what model servers answer and
what clients ask, at the three doors. Either it is refused, or the answer has its end.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from tests.support import anthropic, responses
from tests.support.upstream import DONE, Head, Script, Step, event, scripted_upstream, whole
from tests.wire.door import Door, open_door
from tests.wire.openai.client import CHAT, bare_client

Json = dict[str, Any]

SECONDS_MAX = 30
HALF = "a\ud800"
DEEP = json.loads("[" * 300 + "]" * 300)
VALUES = {
    "half": HALF,
    "broken": [{HALF: "\udc00b\ud83d"}, float("nan")],
    "nul": "a\0\uf8ff0",
    "large": 10**30,
    "deep": DEEP,
    "deep text": json.dumps(DEEP),
}
KEPT = {"type", "object", "role", "status", "finish_reason", "stop_reason", "event", "syntax"}
"""Words of the APIs, which have no other values."""


def spoiled(value: Any, bad: Any) -> Any:
    """A value with `bad` in a new field of every object, and for every text if it is one."""
    if isinstance(value, dict):
        known = cast("Json", value).items()
        return {name: one if name in KEPT else spoiled(one, bad) for name, one in known} | {
            "x_new": bad
        }
    if isinstance(value, list):
        return [spoiled(one, bad) for one in cast("list[Any]", value)]
    return bad if isinstance(value, str) and isinstance(bad, str) else value


def spoiled_step(step: Step, bad: Any) -> Step:
    """A step of a script, with the JSON in it spoiled."""
    if not isinstance(step, bytes) or b"{" not in step:
        return step
    head, brace, rest = step.partition(b"{")
    told = spoiled(json.loads(brace + rest), bad)
    return head + json.dumps(told).encode() + (b"\n\n" if head else b"")


CALLED = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAID = {"role": "assistant", "content": "Hi", "reasoning_content": "hm", "tool_calls": [CALLED]}
COMPLETION: Json = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "message": SAID, "logprobs": {}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {}},
}
CHUNK: Json = {**COMPLETION, "choices": [{"index": 0, "delta": SAID, "finish_reason": "stop"}]}


def response() -> Script:
    telling = responses.Telling()
    telling.item(responses.THOUGHT)
    telling.item(responses.SEARCH)
    telling.say("He", "y")
    telling.call(responses.CALL)
    return telling.end()


BLOCKS = (
    anthropic.thinking("h", "m"),
    anthropic.redacted("secret"),
    anthropic.text("He", "y"),
    anthropic.tool("toolu_1", "f", '{"a":', "1}"),
    {"type": "new", "z": {"q": "w"}},
)
ANSWERS: dict[str, Script] = {
    "chat": (Head(), event(CHUNK), DONE),
    "whole chat": whole(COMPLETION),
    "response": response(),
    "message": anthropic.said(*BLOCKS),
    "whole message": anthropic.whole_message(*BLOCKS),
}


@pytest.fixture
async def door(tmp_path: Path, database_url: str) -> AsyncIterator[Callable[[Script], Door]]:
    """A door whose model servers answer everything with the given script."""
    async with (
        scripted_upstream(everywhere=True) as upstream,
        anthropic.scripted_anthropic() as claude,
        open_door(
            tmp_path / "data",
            database_url=database_url,
            openai_base_url=upstream.base_url,
            anthropic_base_url=claude.base_url,
            anthropic_api_key="sk-ant",
        ) as opened,
    ):

        def answers(script: Script) -> Door:
            upstream.default = claude.default = script
            return opened

        yield answers


PATHS = {"chat": CHAT, "response": "/v1/responses", "message": "/v1/messages"}


async def asked(client: httpx2.AsyncClient, kind: str, words: str, **body: Any) -> int:
    """Asks a model server for an answer of a kind; whole, where it says so. The status."""
    whole_, _, name = kind.rpartition(" ")
    messages = [{"role": "user", "content": words}]
    said = {"input": words} if name == "response" else {"messages": messages, "max_tokens": 20}
    model = "claude-x" if name == "message" else "m"
    content = json.dumps({"model": model, "stream": not whole_, **said, **body}).encode()
    headers = {"content-type": "application/json"}
    async with client.stream(
        "POST", PATHS[name], content=content, headers=headers, timeout=SECONDS_MAX
    ) as got:
        with suppress(httpx2.RemoteProtocolError):  # a failure in a stream has no end
            await got.aread()
    return got.status_code


async def newest(page: httpx2.AsyncClient) -> list[Json]:
    """All that the newest room holds."""
    rooms = (await page.get("/api/rooms", params={"limit": 1})).json()["rooms"]
    got = await page.get(f"/api/rooms/{rooms[0]['id']}/messages", params={"limit": 200})
    return got.json()["messages"]


async def test_every_answer_of_a_model_server_has_its_end(door: Callable[[Script], Door]) -> None:
    client = bare_client(door(()))
    _, page = await door(()).guest()
    for kind, script in ANSWERS.items():
        for name, bad in VALUES.items():
            door(tuple(spoiled_step(step, bad) for step in script))
            status = await asked(client, kind, f"{kind}, {name}")
            said = [one for one in await newest(page) if one["role"] == "assistant"]
            where = kind, name, status, said
            ends = {one["status"] for one in said}
            if bad is not DEEP:
                assert (status, ends) == (200, {"done"}), where
            else:
                assert ends == {"failed"}, where


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FUNCTION: Json = {"name": "f", "description": "d", "parameters": {"properties": {"a": {}}}}
USER = {"role": "user", "content": [{"type": "text", "text": "t"}]}
REQUESTS: dict[str, Json] = {
    "chat": {
        "user": "u",
        "metadata": {"k": "v"},
        "tools": [{"type": "function", "function": FUNCTION}],
        "messages": [
            {"role": "system", "content": "s"},
            USER,
            {"role": "assistant", "content": "a", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
    },
    "response": {
        "user": "u",
        "instructions": "i",
        "tools": [{"type": "function", **FUNCTION}],
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "t"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "o"},
            {"type": "strange", "z": "q"},
        ],
    },
    "message": {
        "metadata": {"user_id": "u"},
        "system": [{"type": "text", "text": "s"}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"properties": {"a": {}}}}],
        "messages": [
            USER,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "th", "signature": "sg"},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {"a": "b"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}],
            },
        ],
    },
}
REFUSED = {"half", "broken", "deep"}


async def test_every_request_is_refused_or_stored(door: Callable[[Script], Door]) -> None:
    client = bare_client(door(()))
    _, page = await door(()).guest()
    for kind, body in REQUESTS.items():
        door(ANSWERS[kind])
        for name, bad in VALUES.items():
            status = await asked(client, kind, "", **spoiled(body, bad))
            assert status == (400 if name in REFUSED else 200), (kind, name)
            if status == 200 and isinstance(bad, str):
                assert bad in {one["text"] for one in await newest(page)}, (kind, name)
