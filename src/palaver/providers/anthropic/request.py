"""A conversation as the Messages API takes it. No network here.

Rules: what is the system's stands in `system`; roles alternate, so messages of one role that follow each other are
joined; the results of tools come first in theirs. Blank texts, which the API refuses, are left out. Settings are those
of a chat completion, said in the API's words, or the API's own; what neither knows is left out. What the server thought
is sent back to it where it stood, with its signatures; see `events`.
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from msgspec.structs import replace

from palaver.errors import Code, Untellable
from palaver.model import NO_DATA, Role
from palaver.providers.base import Request, Said, ToolCall
from palaver.providers.content import note
from palaver.providers.errors import ErrorBody
from palaver.providers.openai.request import bound_of, spoken
from palaver.strict_json import as_list, as_object, mended

MAX_TOKENS = 16_384
"""The longest answer, where nobody says how long it may be; the API wants a number."""
BEGIN = "Go on."
"""What a person says first where the conversation begins with an answer."""
THINKING_BLOCKS = "thinking_blocks"
"""The field of a message in which signed thoughts are kept."""

_SAME = (
    *("cache_control", "container", "context_management", "inference_geo", "mcp_servers"),
    *("output_config", "stop_sequences", "temperature", "thinking", "top_k", "top_p"),
)
_TIERS = frozenset({"auto", "standard_only"})
_SYSTEM = frozenset({Role.SYSTEM, Role.DEVELOPER})
_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
_DATA_URL = re.compile(
    r"data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[^,;]*)*;base64,(?P<data>.*)", re.DOTALL
)
_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")
_TOO_MANY = re.compile(r"max_tokens: \d+ > (\d{1,9})")
_UNTAKEN = re.compile(
    r"not support|unsupported|deprecated|extra inputs|not permitted|cannot both|may only|must be set"
    r"|not available|not allowed|no longer",
    re.IGNORECASE,
)
_OPTIONAL = ("temperature", "top_p", "top_k", "context_management", "output_config", "thinking")


def body_of(request: Request, model: str, *, origin: str) -> dict[str, Any]:
    """The body of a message that streams. `origin`: whom it is for. Raises `ProviderError`: what it cannot hold."""
    settings = request.settings
    body = {name: settings[name] for name in _SAME if settings.get(name) is not None}
    body |= {"model": model, "messages": _messages(request.history, origin), "stream": True}
    system = [_text(request.system_prompt)]
    for said in request.history:
        if said.role in _SYSTEM:
            system += _content(said)
    if system := [block for block in system if block.get("text", "").strip()]:
        body["system"] = system
    if str(settings.get("service_tier")) in _TIERS:
        body["service_tier"] = settings["service_tier"]
    if isinstance(body.get("temperature"), int | float):
        body["temperature"] = min(body["temperature"], 1)
    stop = settings.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if output := _output(settings):
        body["output_config"] = {**as_object(body.get("output_config")), **output}
    body |= _tools(settings)
    _bound(body, settings)
    return body


def noted(request: Request) -> Request:
    """The same with a note in the place of each part that the API does not take."""
    history = tuple(
        replace(said, parts=tuple(map(_told_or_noted, said.parts))) if said.parts else said
        for said in request.history
    )
    return replace(request, history=history)


def adapted(body: dict[str, Any], told: ErrorBody) -> dict[str, Any] | None:
    """The body without what a server says it does not take; None where that is not the matter.

    `max_tokens` becomes the most that the model can do, a setting that is named as unsupported is dropped. Where
    thoughts are the matter, all of them are.
    """
    if told.status != 400:  # noqa: PLR2004  HTTP's "bad request"
        return None
    most = _TOO_MANY.search(told.message)
    if most is not None and 0 < int(most[1]) < body["max_tokens"]:
        return body | {"max_tokens": int(most[1])}
    if _UNTAKEN.search(told.message):
        output = as_object(body.get("output_config"))
        if "effort" in output and "effort" in told.message:
            kept = {name: one for name, one in output.items() if name != "effort"}
            return _without(body, "output_config") | ({"output_config": kept} if kept else {})
        for name in _OPTIONAL:
            if name in body and re.search(rf"\b{name}\b", told.message):
                return _without(body, name)
    if "thinking" in told.message or "signature" in told.message:
        messages = [
            {
                **one,
                "content": [block for block in one["content"] if block["type"] not in _THOUGHTS],
            }
            for one in body["messages"]
        ]
        if messages != body["messages"]:
            return _without(body, "thinking") | {"messages": messages}
    return None


def joined(messages: list[dict[str, Any]], role: str, blocks: Iterable[dict[str, Any]]) -> None:
    """Adds blocks to the last message where it is of this role; a new message otherwise."""
    if not messages or messages[-1]["role"] != role:
        messages.append({"role": role, "content": [*blocks]})
        return
    content = messages[-1]["content"]
    for place, block in enumerate(blocks):
        last: dict[str, Any] = content[-1] if content else {}
        if block.keys() == last.keys() == {"type", "text"} and last["type"] == "text":
            content[-1] = _text(f"{last['text']}\n\n{block['text']}")
        elif place == 0 and last.get("type") == block["type"] == "text":
            content.append(block | {"text": f"\n\n{block['text']}"})
        else:
            content.append(block)


def _without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


# settings


def _bound(body: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Sets how long the answer may be, and drops thoughts that could not go on."""
    thinking = as_object(body.get("thinking"))
    budget = thinking.get("budget_tokens")
    thought = budget if isinstance(budget, int) else 0
    body["max_tokens"] = bound_of(settings) or MAX_TOKENS + thought
    results = body["messages"] and body["messages"][-1]["content"][0]["type"] == "tool_result"
    if results and len(body["messages"]) > 1 and thinking.get("type") == "enabled":
        called = body["messages"][-2]["content"]
        if called[0]["type"] not in _THOUGHTS:  # the API wants the thoughts that led to a call
            del body["thinking"]


def _output(settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    effort = settings.get("reasoning_effort")
    if effort and effort != "none":
        found["effort"] = "low" if effort == "minimal" else effort
    wanted = as_object(settings.get("response_format"))
    if wanted.get("type") == "json_schema":
        schema = as_object(wanted.get("json_schema")).get("schema")
        found["format"] = {"type": "json_schema", "schema": schema}
    return found


def _tools(settings: Mapping[str, Any]) -> dict[str, Any]:
    tools = [_tool(as_object(one)) for one in as_list(settings.get("tools"))]
    if not tools:
        return {}
    choice: dict[str, Any] | None = None
    wanted = settings.get("tool_choice")
    if isinstance(wanted, str):
        choice = {"type": {"required": "any"}.get(wanted, wanted)}
    elif named := as_object(as_object(wanted).get("function")).get("name"):
        choice = {"type": "tool", "name": named}
    elif wanted:
        choice = as_object(wanted)
    if settings.get("parallel_tool_calls") is False:
        choice = {"type": "auto", **(choice or {}), "disable_parallel_tool_use": True}
    return {"tools": tools} | ({"tool_choice": choice} if choice else {})


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A function; any other tool is the API's own."""
    function = as_object(tool.get("function"))
    if not function:
        return tool
    known = {name: function[name] for name in ("description", "strict") if function.get(name)}
    schema = as_object(function.get("parameters")) or {"type": "object", "properties": {}}
    return {"name": function.get("name"), **known, "input_schema": schema} | _cached(tool)


# messages


def _messages(history: Sequence[Said], origin: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for said in history:
        if said.role in _SYSTEM:
            continue
        mine = said.role is Role.ASSISTANT
        blocks = _answer(said, origin) if mine else _asked(said)
        if blocks:
            joined(found, "assistant" if mine else "user", blocks)
    for message in found:
        message["content"].sort(key=_place)
    if found and found[0]["role"] == "assistant":
        found.insert(0, {"role": "user", "content": [_text(BEGIN)]})
    if found and found[-1]["role"] == "assistant":  # it is gone on from, and must not end in space
        last = found[-1]["content"][-1]
        if last["type"] == "text":
            found[-1]["content"][-1] = {**last, "text": last["text"].rstrip()}
    return found


def _place(block: dict[str, Any]) -> bool:
    return block["type"] != "tool_result"


def _asked(said: Said) -> list[dict[str, Any]]:
    blocks = [one for one in _content(said) if one["type"] != "text" or one["text"].strip()]
    if said.role is not Role.TOOL or said.call_id is None:
        return blocks
    return [{"type": "tool_result", "tool_use_id": _id(said.call_id), "content": blocks}]


def _content(said: Said) -> list[dict[str, Any]]:
    """What was said, as blocks; who said it stands before the first text."""
    blocks = [_block(part) for part in said.parts] if said.parts else [_text(said.text)]
    if said.name and said.role is Role.USER:
        if blocks[0]["type"] != "text":
            blocks.insert(0, _text(""))
        blocks[0]["text"] = spoken(said, blocks[0]["text"])
    return blocks


def _answer(said: Said, origin: str) -> list[dict[str, Any]]:
    """An answer as it was given: words, calls, and what was thought before and between them."""
    text, at, calls = mended(said.text), 0, [_call(call) for call in said.calls]
    blocks: list[dict[str, Any]] = []
    for words, called, thought in _thoughts(said, origin):
        blocks += [_text(text[at:words]), *calls[: max(called, 0)], thought]
        at, calls = max(at, words), calls[max(called, 0) :]
    blocks += [_text(text[at:]), *calls]
    return [one for one in blocks if one["type"] != "text" or one["text"].strip()]


def _thoughts(said: Said, origin: str) -> Iterable[tuple[int, int, dict[str, Any]]]:
    """Signed thoughts: so many words of the answer stood before each, and so many calls since the last one."""
    beside = said.beside if said.beside.get("origin") == origin else NO_DATA
    at = before = 0
    for one in map(as_object, as_list(as_object(beside.get("message")).get(THINKING_BLOCKS))):
        words, calls = _count(one.get("words")), _count(one.get("calls"))
        if one.get("type") == "redacted_thinking":
            made = {"type": "redacted_thinking", "data": one.get("data")}
        else:
            chars = _count(one.get("chars"))
            whole = one.get("thinking")
            thought = whole if isinstance(whole, str) else said.thought[at : at + chars]
            if not one.get("signature") or (not isinstance(whole, str) and len(thought) < chars):
                return  # its words are not here, and a signature is of nothing else
            at += chars
            made = {"type": "thinking", "thinking": thought, "signature": one["signature"]}
        yield words, calls - before, made
        before = max(before, calls)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _call(call: ToolCall) -> dict[str, Any]:
    try:
        given: object = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        given = mended(call.arguments)
    known = as_object(given) or ({} if given == {} else {"value": given})
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": known}


def _id(call_id: str) -> str:
    """A call's id in the letters that the API takes."""
    return _NO_ID.sub("_", call_id) or "call"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": mended(text)}


def _cached(given: Mapping[str, Any]) -> dict[str, Any]:
    marked = given.get("cache_control")
    return {"cache_control": marked} if marked else {}


def _told_or_noted(part: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        _block(part)
    except Untellable:
        return note(part)
    return part


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    """A content part as a block. Raises `ProviderError`: what the API does not take."""
    kind, made = str(part.get("type")), None
    if kind in _TEXTS:
        made = _text(str(part.get("text") or part.get("refusal") or ""))
    elif kind in ("image_url", "input_image"):
        url = as_object(part.get("image_url")).get("url") or part.get("image_url")
        made = _sourced("image", url)
    elif kind in ("file", "input_file"):
        file = as_object(part.get("file")) or part
        made = _sourced("document", file.get("file_data") or file.get("file_url"))
        if made is not None and isinstance(file.get("filename"), str):
            made["title"] = file["filename"]
    elif part.get("source"):
        made = dict(part)
    if made is None:
        detail = f"Anthropic cannot be shown a part of the type {kind[:40]!r} as it was sent."
        raise Untellable(Code.PROVIDER_REFUSED, detail)
    return made | _cached(part)


def _sourced(kind: str, url: object) -> dict[str, Any] | None:
    """A picture or a file: as data, or at an address."""
    if not isinstance(url, str):
        return None
    if url.startswith(("http:", "https:")):
        return {"type": kind, "source": {"type": "url", "url": url}}
    found = _DATA_URL.fullmatch(url)
    if found is None:
        return None
    if kind == "document" and found["type"].startswith("text/"):
        try:
            text = b64decode(found["data"]).decode(errors="replace")
        except ValueError:
            return None
        return {"type": kind, "source": {"type": "text", "media_type": "text/plain", "data": text}}
    source = {"type": "base64", "media_type": found["type"], "data": found["data"]}
    return {"type": kind, "source": source}
