from typing import Any

import pytest
from tests.support.upstream import ScriptedUpstream, refuse, reply

from palaver.clock import SystemClock
from palaver.providers.openai.client import Upstream
from palaver.providers.openai.completion import complete, shortened

TOO_LONG = refuse(400, {"error": {"message": "too long", "code": "context_length_exceeded"}})


def body(*texts: str, **fields: Any) -> dict[str, Any]:
    roles = ["system", *(("user", "assistant") * len(texts))]
    said = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return {"model": "m", "messages": said, "stream": True, **fields}


async def told(provider: Upstream, asked: dict[str, Any], **how: Any) -> tuple[int, bytes]:
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
    status, raw = await told(provider, body("s", "u", max_tokens=9))
    assert (status, b"yes" in raw) == (200, True)
    first, second = (one.json for one in upstream.asked)
    assert first["max_tokens"] == second["max_completion_tokens"] == 9
    assert "max_tokens" not in second


async def test_the_oldest_is_left_out_when_it_is_too_long(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(TOO_LONG, TOO_LONG, reply("yes"))
    status, _ = await told(provider, body("s", "u1", "a1", "u2", "a2", "u3"), shortens=True)
    assert status == 200
    texts = [[said["content"] for said in one.json["messages"]] for one in upstream.asked]
    assert texts == [["s", "u1", "a1", "u2", "a2", "u3"], ["s", "a2", "u3"], ["s", "u3"]]


@pytest.mark.parametrize("shortens", [True, False])
async def test_a_refusal_that_stays_is_passed_on_as_it_came(
    upstream: ScriptedUpstream, provider: Upstream, *, shortens: bool
) -> None:
    upstream.will(TOO_LONG)
    status, raw = await told(provider, body("s", "u"), shortens=shortens)
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
