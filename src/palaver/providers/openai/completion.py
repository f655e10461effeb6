"""A chat completion in our own words, in contrast to a client's bytes that are passed on as they are.

What a server says it does not understand is left out or said otherwise. With `shortens`, the oldest messages are left
out when the conversation is longer than the model can read: half of them, and half again, never the instructions at
the beginning and never the newest; a tool's result goes with its call.
"""

from typing import Any

import orjson

from palaver.clock import Clock
from palaver.providers.base import Provider
from palaver.providers.call import CHAT, Call, CallRequest, whole_body
from palaver.providers.errors import is_too_long, told_in_body
from palaver.providers.openai.compose import Answered, call
from palaver.providers.openai.request import adapted

ATTEMPTS_MAX = 12
_REFUSALS = frozenset({400, 413, 422})
_INSTRUCTIONS = frozenset({"system", "developer"})


async def complete(
    provider: Provider, body: dict[str, Any], *, clock: Clock, shortens: bool = False
) -> Call:
    """Asks for a completion that streams. Raises `ProviderError`."""
    attempts = 0
    while True:
        asked = CallRequest(method="POST", path=CHAT, body=orjson.dumps(body), stream=True)
        made = await call(provider, asked, clock)
        if made.status not in _REFUSALS:
            return made
        refusal = await whole_body(made)
        told = told_in_body(made.status, refusal)
        changed = adapted(body, told)
        if changed is None and shortens and is_too_long(told):
            changed = shortened(body)
        attempts += 1
        if changed is None or attempts == ATTEMPTS_MAX:
            return Answered(
                status=made.status, headers=made.headers, outcome=made.outcome, body=refusal
            )
        body = changed


def shortened(body: dict[str, Any]) -> dict[str, Any] | None:
    """The same without the older half of its messages; None where nothing is left that may go."""
    messages: list[dict[str, Any]] = body["messages"]
    begin = 0
    while begin < len(messages) and messages[begin].get("role") in _INSTRUCTIONS:
        begin += 1
    keep = begin + (len(messages) - begin + 1) // 2
    while keep < len(messages) and messages[keep].get("role") == "tool":
        keep += 1
    if keep in (begin, len(messages)):
        return None
    return {**body, "messages": [*messages[:begin], *messages[keep:]]}
