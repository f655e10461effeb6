"""Tokens are counted where the model is, and else estimated; nothing of it is stored."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support.anthropic import ScriptedAnthropic, refused, scripted_anthropic
from tests.support.upstream import ScriptedUpstream, refuse
from tests.wire.anthropic.client import (
    MESSAGES,
    TOOLS,
    asked,
    bare_client,
    client_of,
    text,
    user,
)
from tests.wire.door import Door, open_door

COUNT = f"{MESSAGES}/count_tokens"


async def rooms(door: Door, key: str) -> list[Any]:
    found = (await bare_client(door, key).get("/api/rooms")).json()["rooms"]
    return [one["title"] for one in found]


async def test_they_are_estimated_and_pictures_are_no_text(
    relay: Door, models: ScriptedUpstream
) -> None:
    before = len(models.asked)
    count = client_of(relay, "counts").messages.count_tokens
    words = await count(model="m", messages=[user("x" * 400)], system="y" * 40)
    assert 110 <= words.input_tokens <= 130
    picture = {"type": "base64", "media_type": "image/png", "data": "A" * 40_000}
    shown = [user(text("x" * 400), {"type": "image", "source": picture})]
    assert (await count(model="m", messages=shown)).input_tokens < 130
    more = await count(model="m", messages=[user("x" * 400)], tools=TOOLS)
    assert more.input_tokens > 105
    assert len(models.asked) == before
    assert "x" * 80 not in await rooms(relay, "counts")


async def test_a_server_that_can_counts_them_and_another_one_is_not_asked_twice(
    tmp_path: Path,
) -> None:
    async with (
        scripted_anthropic() as server,
        open_door(tmp_path / "data", anthropic_base_url=server.base_url) as door,
    ):
        http = bare_client(door, "there")
        body = orjson.dumps({"messages": [user("x" * 400)], "model": "claude-test", "odd": 1})
        await _counted_there(server, http, body)
        server.tokens = None  # there is no such address
        got = await http.post(COUNT, content=body)
        assert 100 <= got.json()["input_tokens"] <= 120
        assert [title for title in await rooms(door, "there") if "x" in title] == []


async def _counted_there(server: ScriptedAnthropic, http: Any, body: bytes) -> None:
    server.tokens = 42
    got = await http.post(f"{COUNT}?beta=true", content=body)
    assert got.json() == {"input_tokens": 42}
    sent = server.requests[-1]
    assert (sent.path, sent.body) == ("/v1/messages/count_tokens?beta=true", body)


async def test_a_refusal_comes_as_it_is(tmp_path: Path, models: ScriptedUpstream) -> None:
    models.everywhere = True
    models.will(refused(429, "rate_limit_error", "Slow.", retry_after="7"), refuse(500, "no"))
    base_url = models.base_url.removesuffix("/v1")
    async with open_door(tmp_path / "data", anthropic_base_url=base_url) as door:
        http = bare_client(door, "refused")
        body = orjson.dumps(asked(user("hi")))
        got = await http.post(COUNT, content=body)
        assert (got.status_code, got.headers["retry-after"]) == (429, "7")
        assert got.json()["error"]["type"] == "rate_limit_error"
        other = await http.post(COUNT, content=body)
        assert (other.status_code, other.json()["error"]["type"]) == (500, "api_error")
    models.everywhere = False


@pytest.mark.parametrize(
    "body", [{}, {"model": "m"}, {"model": 1, "messages": []}, {"model": "m", "messages": "x"}]
)
async def test_what_could_not_be_asked_is_refused(relay: Door, body: Any) -> None:
    got = await bare_client(relay, "bad").post(COUNT, json=body)
    assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")
