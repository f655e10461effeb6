"""The official client, pointed at a door, and bare requests beside it."""

from collections.abc import Mapping
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from tests.wire.door import Door

CHAT = "/v1/chat/completions"
HI: list[Any] = [{"role": "user", "content": "hi"}]


def client_of(door: Door, key: str = "any", **options: Any) -> AsyncOpenAI:
    options.setdefault("max_retries", 0)
    return AsyncOpenAI(base_url=f"{door.url}/v1", api_key=key, http_client=door.http(), **options)


def bare_client(door: Door, key: str = "any") -> httpx2.AsyncClient:
    return door.http(headers={"authorization": f"Bearer {key}"})


def said(*texts: str) -> list[Any]:
    """A conversation of these texts, the first and the last from the user."""
    roles = ("user", "assistant")
    return [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]


async def room_texts(client: httpx2.AsyncClient, room: str) -> list[tuple[str, str]]:
    """Role and text of all that a room holds."""
    got = (await client.get(f"/api/rooms/{room}/messages", params={"limit": 200})).json()
    return [(message["role"], message["text"]) for message in got["messages"]]


def error_of(refused: pytest.ExceptionInfo[openai.APIStatusError]) -> Mapping[str, Any]:
    """What an error says; all four fields are there."""
    body: Any = refused.value.response.json()
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]
