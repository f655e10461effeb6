"""A request to Anthropic's API as the chat completion that it becomes where the model server speaks nothing else.

What only a server of this API can do is refused by its name (tools that run there, blocks without words) or has no
counterpart and is left out: `top_k`, `cache_control`, `context_management`, `container`, `service_tier`,
`metadata`, `thinking` without a budget. Nothing is asked of the core here.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from msgspec.structs import replace

from palaver.model import NO_DATA, Entry, Message
from palaver.strict_json import Json, as_list, as_object
from palaver.wire.anthropic.problems import untellable
from palaver.wire.openai.responses.requests import chat_messages
from palaver.wire.openai.responses.tools import Tools, told_name

BILLING = "x-anthropic-billing-header:"
"""So begins a prompt that differs in every request, and is nothing to a model: it would spoil a server's cache."""

_EFFORTS = ((10_000, "high"), (5_000, "medium"), (2_000, "low"), (0, "minimal"))
_SAME = ("temperature", "top_p")
_CHOICES = {"any": "required", "auto": "auto", "none": "none"}
_TOLD = {"text": str, "image_url": dict, "file": dict}


def chat_of(body: Json, said: Iterable[Entry | Message], origin: str | None) -> Json:
    """Writes a request as a chat completion that streams. `said` is the whole conversation. Raises `Untellable`."""
    chat: Json = {"model": body["model"], "messages": _messages(said, origin), "stream": True}
    chat["stream_options"] = {"include_usage": True}
    chat |= {name: body[name] for name in _SAME if body.get(name) is not None}
    if body.get("max_tokens") is not None:
        chat["max_tokens"] = body["max_tokens"]
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    return chat | _effort(body) | _format(body) | _tools(body, offered(body).functions)


def offered(body: Json) -> Tools:
    """Reads the tools of a request as functions. Raises `Untellable`: one that is known only at Anthropic."""
    found = Tools()
    for place, tool in enumerate(map(as_object, as_list(body.get("tools")))):
        if tool.get("type") not in (None, "custom"):
            raise untellable(f"tools.{place}: the tool '{tool['type']}'")
        schema: Json = tool.get("input_schema") or {"type": "object", "properties": {}}
        described = {"description": tool["description"]} if tool.get("description") else {}
        function = {"type": "function", "name": tool.get("name"), **described}
        found.add({**function, "parameters": schema}, f"tools.{place}")
    return found


def _effort(body: Json) -> Json:
    effort = as_object(body.get("output_config")).get("effort")
    thinking = as_object(body.get("thinking"))
    budget = thinking.get("budget_tokens")
    if effort is None and thinking.get("type") == "enabled" and isinstance(budget, int):
        effort = next(word for least, word in _EFFORTS if max(budget, 0) >= least)
    return {} if effort is None else {"reasoning_effort": "high" if effort == "max" else effort}


def _format(body: Json) -> Json:
    wanted = as_object(as_object(body.get("output_config")).get("format"))
    if wanted.get("type") != "json_schema":
        return {}
    schema = {"name": "answer", "schema": wanted.get("schema")}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _tools(body: Json, functions: list[Json]) -> Json:
    if not functions:
        return {}
    choice = as_object(body.get("tool_choice"))
    found: Json = {"tools": functions}
    if choice.get("type") == "tool":
        named = {"name": told_name(str(choice.get("name")), NO_DATA)}
        found["tool_choice"] = {"type": "function", "function": named}
    elif wanted := _CHOICES.get(str(choice.get("type"))):
        found["tool_choice"] = wanted
    if choice.get("disable_parallel_tool_use") is True:
        found["parallel_tool_calls"] = False
    return found


def _messages(said: Iterable[Entry | Message], origin: str | None) -> list[Json]:
    """Writes what was said as a chat's messages: one prompt first, and what a person says behind a tool's pictures."""
    told = [_telling(one) for one in said if not one.text.startswith(BILLING)]
    found: list[Json] = []
    for message in chat_messages(told, origin):
        last: Json = found[-1] if found else {}
        role, content = message["role"], message.get("content")
        if role == "system" and isinstance(content, list):
            message["content"] = content = "\n\n".join(map(_words, cast("list[Json]", content)))
        if role == "system" == last.get("role") and len(found) == 1:
            last["content"] += f"\n\n{content}"
        elif role == "user" == last.get("role"):
            found[-1] = {**last, "content": [*_parts(last["content"]), *_parts(content)]}
        else:
            found.append(message)
    return found


def _words(part: Json) -> str:
    """The words of a part where only words can stand. Raises `Untellable`: it is something else."""
    if part["type"] != "text":
        raise untellable(f"A part of the type '{part['type']}' in a prompt or an answer")
    return part["text"]


def _parts(content: object) -> list[object]:
    return as_list(content) or [{"type": "text", "text": content}]


def _telling(one: Entry | Message) -> Entry | Message:
    """A message with parts that every server knows, and a mark where a tool failed."""
    if "parts" in one.meta:
        one = replace(one, meta={**one.meta, "parts": [_part(part) for part in one.meta["parts"]]})
    unknown = [block for block in one.meta.get("blocks", ()) if block["type"] not in _ANSWERS]
    words = [_words(_part(block)) for block in unknown]
    if words:
        return replace(one, text="\n".join(filter(None, [*words, one.text])))
    failed = as_object(one.meta.get("more")).get("is_error") is True
    if not failed or one.text.lower().lstrip("<").startswith(("error", "tool_use_error")):
        return one
    if "parts" in one.meta:
        mark = {"type": "text", "text": "Error:"}
        return replace(one, meta={**one.meta, "parts": [mark, *one.meta["parts"]]})
    return replace(one, text=f"Error: {one.text}")


_ANSWERS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})


def _part(part: Mapping[str, Any]) -> Json:
    """A part as a chat completion has it; of one that it has not, the words. Raises `Untellable`."""
    kind = str(part.get("type"))
    if isinstance(part.get(kind), _TOLD.get(kind, ())):
        return {"type": kind, kind: part[kind]}
    inner = as_object(part.get("source")) or part
    texts = inner.get("data") if inner.get("type") == "text" else inner.get("content")
    texts = inner.get("text", texts)
    if not isinstance(texts, str):
        blocks = [_part(as_object(one)) for one in as_list(texts)]
        texts = "\n".join(one["text"] for one in blocks if one["type"] == "text")
    if not texts:
        raise untellable(f"A block of the type '{kind}'")
    return {"type": "text", "text": texts}
