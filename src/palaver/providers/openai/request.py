"""A conversation as a chat completion is asked for. No network here.

Rules: the system prompt first, and with it what else is the system's; messages of one role that follow each other are
joined by an empty line, because many chat templates refuse two in a row. A `name` stands before its text as `Name: `:
the API's own `name` field allows few characters and most local servers drop it. An agent's settings pass through as
they are, but cannot replace the model, the messages or the way of streaming. Halves of a surrogate pair are joined over
pieces, and one alone becomes U+FFFD; U+0000 is kept (the store can keep it).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from palaver.model import NO_DATA, Role
from palaver.providers.base import Request, Said, ToolCall
from palaver.providers.content import in_chat
from palaver.providers.errors import ErrorBody
from palaver.strict_json import mended

END = "[DONE]"
NAME_CHARS_MAX = 80
BOUNDS = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"),
    *("n_predict", "num_predict"),
)
"""What servers call the setting by which an answer is bounded."""

_OURS = frozenset({"model", "messages", "stream", "stream_options", "n"})


def body_of(
    request: Request, model: str, *, usage: bool, origin: str | None = None
) -> dict[str, Any]:
    """The body of a streaming chat completion. `usage` asks for token counts.

    `origin`: whom it is for. What that server itself told beside its words is told it again; what it thought, where
    that led to a tool's call.
    """
    body = {key: value for key, value in request.settings.items() if key not in _OURS}
    body |= {"model": model, "messages": _messages(request, origin), "stream": True}
    if usage:
        body["stream_options"] = {"include_usage": True}
    return body


def bound_of(settings: Mapping[str, Any]) -> int | None:
    """By how many tokens settings bound an answer, whatever they call that: the least; None where they do not."""
    given = [settings.get(name) for name in BOUNDS]
    return min((one for one in given if type(one) is int and one > 0), default=None)


def with_bound(settings: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Settings with this bound alone, by its newer name where they have that: some models want it."""
    name = BOUNDS[1] if BOUNDS[1] in settings else BOUNDS[0]
    return {key: one for key, one in settings.items() if key not in BOUNDS} | {name: most}


def adapted(body: dict[str, Any], told: ErrorBody) -> dict[str, Any] | None:
    """The body without what a server says it does not understand; None where that is not the matter.

    `stream_options` is left out, `max_tokens` becomes `max_completion_tokens`, a setting that the error names as
    unsupported is dropped. So is, where nothing else helps, what stood
    beside its earlier answers.
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
    messages = [_without_beside(message) for message in body["messages"]]
    return body | {"messages": messages} if messages != body["messages"] else None


class Mender:
    """Mends a text that comes in pieces, where a pair may be split between two."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """The piece, mended; the first half of a pair at its end waits for the next piece."""
        if not piece:
            return ""
        piece = self._half + piece
        self._half = ""
        if "\ud800" <= piece[-1] <= "\udbff":
            self._half = piece[-1]
            piece = piece[:-1]
        return mended(piece)

    def close(self) -> str:
        """Gives the half that waited in vain."""
        half, self._half = self._half, ""
        return mended(half)


def in_turns(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages, those of one role that follow each other joined. What stood beside two answers is of neither."""
    found: list[dict[str, Any]] = []
    for message in messages:
        before: dict[str, Any] = found[-1] if found else {"role": None}
        if before["role"] != message["role"] or message["role"] == Role.TOOL:
            found.append(message)
            continue
        content = _both(before.get("content"), message.get("content"))
        found[-1] = joined = {"role": message["role"], "content": content}
        calls = [*before.get("tool_calls", ()), *message.get("tool_calls", ())]
        if calls:
            joined["tool_calls"] = calls
    return found


_OF_MESSAGE = frozenset({"role", "content", "tool_calls", "name", "refusal", "function_call"})
_OF_CALL = frozenset({"id", "type", "function", "custom"})


def _without_beside(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] != Role.ASSISTANT:
        return message
    plain = _only(message, _OF_MESSAGE)
    if "tool_calls" in plain:
        plain["tool_calls"] = [_only(call, _OF_CALL) for call in plain["tool_calls"]]
        for call in plain["tool_calls"]:
            if "function" in call:
                call["function"] = _only(call["function"], frozenset({"name", "arguments"}))
    return plain


def _only(fields: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name in known}


def _both(before: Any, after: Any) -> Any:
    if not before or not after:
        return before or after
    if isinstance(before, str) and isinstance(after, str):
        return f"{before}\n\n{after}"
    first, *rest = _parts(after)
    *begun, last = _parts(before)
    if last.keys() == first.keys() == {"type", "text"}:  # so that a header begins a line
        return [*begun, last | {"text": f"{last['text']}\n\n{first['text']}"}, *rest]
    if isinstance(first.get("text"), str):
        first = first | {"text": f"\n\n{first['text']}"}
    return [*begun, last, first, *rest]


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _messages(request: Request, origin: str | None = None) -> list[dict[str, Any]]:
    said = sorted(request.history, key=lambda one: one.role is not Role.SYSTEM)
    if request.system_prompt:
        said.insert(0, Said(role=Role.SYSTEM, text=request.system_prompt))
    return in_turns(_message(one, origin) for one in said)


def _message(said: Said, origin: str | None) -> dict[str, Any]:
    content: Any = mended(spoken(said, said.text))
    if said.parts:
        parts = [dict(in_chat(part)) for part in said.parts]
        if parts[0].get("type") != "text":
            parts.insert(0, {"type": "text", "text": ""})
        parts[0]["text"] = spoken(said, parts[0].get("text", ""))
        content = [part for part in parts if part != {"type": "text", "text": ""}] or ""
    message: dict[str, Any] = {"role": said.role.value, "content": content}
    if said.call_id is not None:
        message["tool_call_id"] = said.call_id
    if said.calls:
        message["content"] = content or None
        message["tool_calls"] = [_called(call, origin) for call in said.calls]
    beside = _told_by(origin, said.beside)
    if said.calls and said.thought and "thought_in" in beside:
        message[beside["thought_in"]] = mended(said.thought)
    return beside.get("message", {}) | message


def _called(call: ToolCall, origin: str | None) -> dict[str, Any]:
    beside = _told_by(origin, call.beside).get("call", {})
    function = {"name": call.name, "arguments": mended(call.arguments)}
    function = beside.get("function", {}) | function
    return beside | {"id": call.id, "type": "function", "function": function}


def _told_by(origin: str | None, beside: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stood beside, if it is from there."""
    return beside if origin is not None and beside.get("origin") == origin else NO_DATA


def spoken(said: Said, text: str) -> str:
    """Puts the name of a person before a text of theirs."""
    name = " ".join((said.name or "").split())[:NAME_CHARS_MAX]
    return f"{name}: {text}" if name and said.role is Role.USER else text
