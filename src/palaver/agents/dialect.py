"""A conversation as a chat completion is asked for. No network here.

Rules: the system prompt first, and with it what else is the system's; messages of one role that follow each other are
joined by an empty line, because many chat templates refuse two in a row. A `name` stands before its text as `Name: `:
the API's own `name` field allows few characters and most local servers drop it. An agent's settings pass through as
they are, but cannot replace the model, the messages or the way of streaming. Halves of a surrogate pair are joined over
pieces, and one alone becomes U+FFFD; U+0000 is kept (the store can keep it).
"""

import re
from collections.abc import Iterable
from typing import Any, cast

from palaver.agents.base import Request, Said
from palaver.agents.failures import Told
from palaver.model import Role

END = "[DONE]"
NAME_CHARS_MAX = 80

_OURS = frozenset({"model", "messages", "stream", "stream_options", "n"})
_SURROGATE = re.compile("[\ud800-\udfff]")


def body_of(request: Request, model: str, *, usage: bool) -> dict[str, Any]:
    """The body of a streaming chat completion. `usage` asks for token counts."""
    body = {key: value for key, value in request.settings.items() if key not in _OURS}
    body |= {"model": model, "messages": _messages(request), "stream": True}
    if usage:
        body["stream_options"] = {"include_usage": True}
    return body


def adapted(body: dict[str, Any], told: Told) -> dict[str, Any] | None:
    """The body without what a server says it does not understand; None where that is not the matter.

    `stream_options` is left out, `max_tokens` becomes `max_completion_tokens`, a setting that the error names as
    unsupported is dropped.
    """
    if told.status not in {400, 422}:
        return None
    words = f"{told.message} {told.param}"
    if "stream_options" in body and ("stream_options" in words or "include_usage" in words):
        return {key: value for key, value in body.items() if key != "stream_options"}
    if "max_tokens" in body and "max_completion_tokens" in words:
        rest = {key: value for key, value in body.items() if key != "max_tokens"}
        return rest | {"max_completion_tokens": body["max_tokens"]}
    if told.code.startswith("unsupported_") and told.param in body and told.param not in _OURS:
        return {key: value for key, value in body.items() if key != told.param}
    return None


def as_list(value: object) -> list[object]:
    """A JSON array; an empty one for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


def mended(text: str) -> str:
    """Well-formed text: surrogate pairs joined, halves of one replaced by U+FFFD."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Mender:
    """Mends a text that comes in pieces, where a pair may be split between two."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """The piece, mended; the first half of a pair at its end waits for the next piece."""
        piece = self._half + piece
        self._half = ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            self._half = piece[-1]
            piece = piece[:-1]
        return mended(piece)

    def close(self) -> str:
        """What waited in vain."""
        half, self._half = self._half, ""
        return mended(half)


def in_turns(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages, those of one role that follow each other joined; not those that say more than a role can."""
    found: list[dict[str, Any]] = []
    for message in messages:
        before: dict[str, Any] = found[-1] if found else {"role": None}
        if before["role"] != message["role"] or not _JOINED.issuperset(before.keys() | message):
            found.append(message)
            continue
        found[-1] = joined = before | message
        joined["content"] = _both(before.get("content"), message.get("content"))
        calls = [*before.get("tool_calls", ()), *message.get("tool_calls", ())]
        if calls:
            joined["tool_calls"] = calls
    return found


_JOINED = frozenset({"role", "content", "tool_calls"})


def _both(before: Any, after: Any) -> Any:
    if not before or not after:
        return before or after
    if isinstance(before, str) and isinstance(after, str):
        return f"{before}\n\n{after}"
    return [*_parts(before), *_parts(after)]


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _messages(request: Request) -> list[dict[str, Any]]:
    said = sorted(request.history, key=lambda one: one.role is not Role.SYSTEM)
    if request.system_prompt:
        said.insert(0, Said(role=Role.SYSTEM, text=request.system_prompt))
    return in_turns(_message(one) for one in said)


def _message(said: Said) -> dict[str, Any]:
    content: Any = mended(_spoken(said, said.text))
    if said.parts:
        parts = [dict(part) for part in said.parts]
        if parts[0].get("type") != "text":
            parts.insert(0, {"type": "text", "text": ""})
        parts[0]["text"] = _spoken(said, parts[0].get("text", ""))
        content = [part for part in parts if part != {"type": "text", "text": ""}]
    message: dict[str, Any] = {"role": said.role.value, "content": content}
    if said.call_id is not None:
        message["tool_call_id"] = said.call_id
    if said.calls:
        message["content"] = content or None
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": mended(call.arguments)},
            }
            for call in said.calls
        ]
    return message


def _spoken(said: Said, text: str) -> str:
    name = " ".join((said.name or "").split())[:NAME_CHARS_MAX]
    return f"{name}: {text}" if name and said.role is Role.USER else text
