"""Messages of chat completions as messages of a room, and back; and a stored completion as its client got it.

`entries_of` reads what a client sends; `messages_of` tells it again. The two are each other's inverse, but for what
means the same: a content that is one plain part is its text, and null is the same as absent. An assistant's message is
one entry for its words and one for each tool call; entries that follow each other become one message again, except
where `apart` says that another one begins. Roles and fields that nobody here knows are kept in `more`.

Only what has clearly the wrong shape is refused: everything else is between the client and its model server.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import orjson

from palaver.model import Entry, Kind, Message, Role
from palaver.model.exchanges import Exchange
from palaver.strict_json import Json, as_list, as_object
from palaver.thoughts import parted
from palaver.wire.openai.fields import Invalid, bounded, missing, wrong_type
from palaver.wire.openai.items import beyond

THOUGHT = "reasoning_content"
"""The field in which most servers tell what a model thought; `reasoning` is the other one."""
_THOUGHTS = (THOUGHT, "reasoning")
_ROLES = {role.value: role for role in Role} | {"function": Role.TOOL}
_OF_ANSWER = ("tool_calls", "tool_call_id", "function_call", "refusal", THOUGHT)
_OBJECTS = "an array of objects"
_OF_MESSAGE = frozenset({"role", "content", "name", *_OF_ANSWER})


def entries_of(given: object) -> tuple[Entry, ...]:
    """Reads `messages` as entries. Refused: what is no list of messages, naming the place."""
    if not isinstance(given, list):
        missed = given is None
        raise missing("messages") if missed else wrong_type("messages", _OBJECTS, given)
    if not given:
        words = "Expected an array with minimum length 1, but got an empty array instead."
        raise Invalid(f"Invalid 'messages': empty array. {words}", "messages", "empty_array")
    bounded(cast("list[object]", given), "messages")
    found: list[Entry] = []
    answered = False
    for place, one in enumerate(cast("list[object]", given)):
        param = f"messages[{place}]"
        if not isinstance(one, dict):
            raise wrong_type(param, "an object", one)
        message = cast("Json", one)
        role = message.get("role")
        if not isinstance(role, str):
            param = f"{param}.role"
            raise missing(param) if role is None else wrong_type(param, "a string", role)
        if role == Role.ASSISTANT:
            found += _assistant(message, param, after_another=answered)
        else:
            found.append(_said(message, role, param))
        answered = role == Role.ASSISTANT
    return tuple(found)


def messages_of(said: Iterable[Entry | Message]) -> list[Json]:
    """Writes entries, or the messages that they became, as a chat completion's. Deleted ones are left out."""
    found: list[Json] = []
    thought = ""
    joins = False
    for one in said:
        if (isinstance(one, Message) and one.deleted_ms is not None) or one.meta.get("choice"):
            continue
        match Kind(one.kind):
            case Kind.REASONING:
                thought += one.text
            case Kind.TEXT:
                found.append(_text_message(one, thought))
                joins, thought = one.role is Role.ASSISTANT, ""
            case Kind.TOOL_CALL:
                if not joins or one.meta.get("apart"):
                    calling = {"role": Role.ASSISTANT.value, "content": None}
                    calling |= _thought(one.meta, thought)
                    found.append(_with_fields(calling, one.meta.get("message", {})))
                    joins, thought = True, ""
                _add_call(found[-1], one)
            case Kind.TOOL_RESULT:
                found.append(_result(one))
                joins = False
            case Kind.ITEM:
                joins = False
    return found


def completion_of(exchange: Exchange, answers: Sequence[Message]) -> Json:
    """Builds the `chat.completion` of an exchange from its envelope and the texts of its answers."""
    envelope = as_object(exchange.response.get("envelope"))
    by_choice: dict[int, list[Message]] = {}
    for message in answers:
        by_choice.setdefault(int(message.meta.get("choice", 0)), []).append(message)
    choices = map(as_object, as_list(envelope.get("choices")))
    known = {int(choice.get("index") or 0): choice for choice in choices}
    numbers = sorted(known.keys() | by_choice.keys())
    made = {
        "id": exchange.name or f"chatcmpl-{exchange.id[2:]}",
        "object": "chat.completion",
        "created": exchange.created_ms // 1000,
        "model": exchange.model,
        **{key: value for key, value in envelope.items() if value is not None},
        "choices": [_choice(one, known.get(one, {}), by_choice.get(one, ())) for one in numbers],
    }
    return {**made, "metadata": dict(exchange.metadata)} if exchange.kept else made


# what a client sends


def _said(message: Json, role: str, param: str) -> Entry:
    text, meta = _content(message.get("content"), f"{param}.content")
    more = beyond(message, _OF_MESSAGE)
    name, call = message.get("name"), message.get("tool_call_id")
    if isinstance(name, str):
        meta["name"] = name
    known = _ROLES.get(role)
    if known is None:
        more["role"] = role
    if known is not Role.TOOL:
        for field in _OF_ANSWER:
            if message.get(field) is not None:
                more[field] = message[field]
    elif isinstance(call, str):
        meta["call_id"] = call
    elif role == Role.TOOL:
        more["role"] = role  # without the id of its call it would be told as an old function's
    if more:
        meta["more"] = more
    kind = Kind.TOOL_RESULT if known is Role.TOOL else Kind.TEXT
    return Entry(role=known or Role.USER, kind=kind, text=text, meta=meta)


def _assistant(message: Json, param: str, *, after_another: bool) -> list[Entry]:
    text, meta = _content(message.get("content"), f"{param}.content")
    thought, text = ("", text) if "parts" in meta else parted(text)  # in tags, as a client got it
    if thought:
        meta["reasoning"] = thought
    meta |= _texts(message, param)
    fields = beyond(message, _OF_MESSAGE)
    if more := {key: one for key, one in fields.items() if one not in ("", [], {})}:
        meta["more"] = more
    calls = _calls(message, param)
    says = bool(text or not calls or "refusal" in meta or "parts" in meta)
    entries = [Entry(role=Role.ASSISTANT, text=text, meta=meta)] if says else []
    for place, (arguments, own) in enumerate(calls):
        if place == 0 and not says:
            if "reasoning" in meta:
                own["reasoning"] = meta.pop("reasoning")
            if meta:
                own["message"] = meta
            if after_another:
                own["apart"] = True
        entries.append(Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text=arguments, meta=own))
    return entries


def _texts(message: Json, param: str) -> Json:
    """Reads an answer's texts beside its content: name, refusal and thought, if they are not empty."""
    found: Json = {}
    for field, name in (("name", "name"), ("refusal", "refusal"), (THOUGHT, "reasoning")):
        if message.get(field):
            found[name] = message[field]
            if not isinstance(found[name], str):
                raise wrong_type(f"{param}.{field}", "a string", found[name])
    return found


def _calls(message: Json, param: str) -> list[tuple[str, Json]]:
    """Reads the arguments and the meta of each tool call."""
    found: list[tuple[str, Json]] = []
    given = message.get("tool_calls")
    if given is not None and not isinstance(given, list):
        raise wrong_type(f"{param}.tool_calls", _OBJECTS, given)
    for place, call in enumerate(map(as_object, as_list(message.get("tool_calls")))):
        custom = call.get("type") == "custom"
        kind, field = ("custom", "input") if custom else ("function", "arguments")
        if not isinstance(call.get(kind), dict):
            raise missing(f"{param}.tool_calls[{place}].{kind}")
        arguments, meta = _function(as_object(call[kind]), field)
        more = beyond(call, {"id", kind, "type" if call.get("type") == "function" else kind})
        meta["call_id"] = str(call.get("id") or "")
        found.append((arguments, meta | ({"more": more} if more else {})))
    if legacy := message.get("function_call"):
        found.append(_function(as_object(legacy), "arguments"))
    return found


def _function(function: Json, field: str) -> tuple[str, Json]:
    given = function.get(field)
    given = "" if given is None else given
    arguments = given if isinstance(given, str) else orjson.dumps(given).decode()
    return arguments, {"tool": str(function.get("name") or "")}


def _content(given: object, param: str) -> tuple[str, Json]:
    """Reads a content: its text, and the parts where it is more than one plain text."""
    if given is None or isinstance(given, str):
        return given or "", {}
    if not isinstance(given, list):
        raise wrong_type(param, "one of a string or array of objects", given)
    parts = cast("list[object]", given)
    for place, part in enumerate(parts):
        if not isinstance(part, dict):
            raise wrong_type(f"{param}[{place}]", "an object", part)
    texts = [as_object(part).get("text") for part in parts]
    text = "\n".join(one for one in texts if isinstance(one, str))
    plain = len(parts) == 1 and parts[0] == {"type": "text", "text": text}
    return text, {} if plain else {"parts": parts}


# what it gets


def _text_message(one: Entry | Message, thought: str) -> Json:
    meta = one.meta
    message: Json = {"role": one.role.value, "content": meta.get("parts", one.text)}
    if one.role is Role.ASSISTANT and not one.text and "refusal" in meta and "parts" not in meta:
        message["content"] = None
    return _with_fields(message | _thought(meta, thought), meta)


def _thought(meta: Mapping[str, Any], before: str) -> Json:
    thought = before + meta.get("reasoning", "")
    return {THOUGHT: thought} if thought or "reasoning" in meta else {}


def _result(one: Entry | Message) -> Json:
    meta = one.meta
    message: Json = {"role": "tool" if "call_id" in meta else "function"}
    message["content"] = meta.get("parts", one.text)
    if "call_id" in meta:
        message["tool_call_id"] = meta["call_id"]
    return _with_fields(message, meta)


def _with_fields(message: Json, meta: Mapping[str, Any]) -> Json:
    fields = {field: meta[field] for field in ("name", "refusal") if field in meta}
    return message | fields | meta.get("more", {})


def _add_call(message: Json, one: Entry | Message) -> None:
    meta = one.meta
    function: Json = {"name": meta.get("tool", "")}
    if "call_id" not in meta:
        message["function_call"] = function | {"arguments": one.text}
        return
    more = dict(meta.get("more", {}))
    call: Json = {"id": meta["call_id"], "type": "function"}
    if more.get("type") == "custom":
        call["custom"] = function | {"input": one.text}
    else:
        call["function"] = function | {"arguments": one.text} | more.get("function", {})
        more = {name: value for name, value in more.items() if name != "function"}
    message.setdefault("tool_calls", []).append(call | more)


def _choice(index: int, known: Mapping[str, Any], said: Sequence[Message]) -> Json:
    """Builds one choice of a completion as it came, with the texts of its messages."""
    texts = [one for one in said if one.kind == Kind.TEXT]
    calls = [one for one in said if one.kind == Kind.TOOL_CALL]
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    message |= as_object(known.get("message"))
    for one in said[:1]:
        message |= one.meta.get("beside", {}).get("message", {})
    message["content"] = "".join(one.text for one in texts) or (None if calls else "")
    message["refusal"] = next((one.meta["refusal"] for one in said if "refusal" in one.meta), None)
    if message["refusal"] is not None and not message["content"]:
        message["content"] = None
    thought = "".join(one.meta.get("reasoning", "") for one in said)
    if thought:
        name = next((name for name in _THOUGHTS if name in message), THOUGHT)
        message[name] = thought
    if calls and message.get("function_call"):
        message["function_call"] = {**message["function_call"], "arguments": calls[0].text}
    elif calls:
        kept = map(as_object, as_list(message.get("tool_calls")))
        message["tool_calls"] = [_filled(next(kept, Json()), call) for call in calls]
    ended = next((one.meta["finish"] for one in said if "finish" in one.meta), None)
    made = {"index": index, "message": message, "logprobs": None, "finish_reason": ended}
    return made | dict(known) | {"message": message}


def _filled(kept: Json, call: Message) -> Json:
    """Builds a tool call as it came, with its arguments."""
    if "custom" in kept:
        return {**kept, "custom": {**as_object(kept["custom"]), "input": call.text}}
    beside = as_object(call.meta.get("beside", {}).get("call"))
    function = {"name": call.meta.get("tool", ""), **as_object(kept.get("function"))}
    made: Json = {"id": call.meta.get("call_id", ""), "type": "function", **kept, **beside}
    function |= as_object(beside.get("function"))
    return made | {"function": {**function, "arguments": call.text}}
