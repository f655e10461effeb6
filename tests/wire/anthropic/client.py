"""Anthropic's own library, pointed at a door, and what it asks."""

from typing import Any

import httpx2
from anthropic import AsyncAnthropic
from tests.wire.door import Door

Json = dict[str, Any]

MESSAGES = "/v1/messages"
TOOLS: list[Any] = [
    {
        "name": "look",
        "description": "Looks around.",
        "input_schema": {"type": "object", "properties": {"where": {"type": "string"}}},
    }
]
PICTURE = "iVBORw0KGgo="


def client_of(door: Door, key: str = "any", **options: Any) -> Any:
    """The library; what it is asked and answers is written as JSON here, so nothing knows its types."""
    options.setdefault("max_retries", 0)
    return AsyncAnthropic(base_url=door.url, api_key=key, http_client=door.http(), **options)


def bare_client(door: Door, key: str = "any") -> httpx2.AsyncClient:
    return door.http(headers={"x-api-key": key})


def user(*blocks: Any) -> Json:
    content: Any = blocks[0] if len(blocks) == 1 and isinstance(blocks[0], str) else list(blocks)
    return {"role": "user", "content": content}


def assistant(*blocks: Any) -> Json:
    return {**user(*blocks), "role": "assistant"}


def text(words: str, **fields: Any) -> Json:
    return {"type": "text", "text": words, **fields}


def asked(*messages: Json, **fields: Any) -> Any:
    """A request for an answer to these messages."""
    return {"model": "m", "max_tokens": 100, "messages": list(messages), **fields}
