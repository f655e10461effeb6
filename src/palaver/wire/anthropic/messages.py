"""Messages of Anthropic's API as messages of a room, and back.

`entries_of` reads what a client sends, `told_again` writes it again. A prompt, a result of a tool, and a call are each
a message of the room; the words of one message are one, and so are an answer's thoughts, which stand beside them.
Pictures and files stand as the parts of chat completions, so that they are shown wherever the room is. Where the blocks
of an answer say more than that (signatures, another order, types that nobody here knows), they are kept beside, `bare`:
with numbers in the place of what the room's messages hold; see `filled`. `cache_control` wanders from request to
request, and is no part of what was said.

Only what has clearly the wrong shape is refused: everything else is between the client and its model server.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import orjson

from palaver.model import Entry, Kind, Message, Role
from palaver.strict_json import Json, as_list, as_object
from palaver.wire.openai.fields import Invalid, bounded
from palaver.wire.openai.items import beyond

OURS = "palaver"
"""The signature of thoughts that no server signed."""
THINKING_BLOCKS = "thinking_blocks"
"""Where a provider keeps signed thoughts beside an answer."""
_CACHED = "cache_control"
_ROLES = {role.value: role for role in (Role.USER, Role.ASSISTANT, Role.SYSTEM)}
THOUGHTS = frozenset({"thinking", "redacted_thinking"})
_ORDER = ("thinking", "text", "tool_use")


def entries_of(body: Json) -> tuple[Entry, ...]:
    """Reads `system` and `messages` as entries. Refused: what is not of their shape, naming the place."""
    given: object = body.get("messages")
    if not isinstance(given, list) or not given:
        raise Invalid("messages: must be a list of messages.", "messages")
    system = body.get("system")
    found = [_said(Role.SYSTEM, [one]) for one in _blocks(system or [], "system")]
    for place, one in enumerate(cast("list[object]", given)):
        bounded(found, "messages")
        param, message = f"messages.{place}", as_object(one)
        role = _ROLES.get(str(message.get("role")))
        if role is None:
            raise Invalid(f"{param}.role: must be 'user' or 'assistant'.", f"{param}.role")
        blocks = _blocks(message.get("content"), f"{param}.content")
        if role is Role.ASSISTANT:
            found += _answered(blocks)
        else:
            found += [_result(block) for block in blocks if block["type"] == "tool_result"]
            words = [block for block in blocks if block["type"] != "tool_result"]
            found += [_said(role, words)] if words or not blocks else []
    return tuple(found)


def _blocks(given: object, param: str) -> list[Json]:
    """Reads a content, a text or a list of blocks, as blocks."""
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    if not isinstance(given, list):
        raise Invalid(f"{param}: must be a text or a list of blocks.", param)
    bounded(cast("list[object]", given), param)
    for place, block in enumerate(cast("list[object]", given)):
        at, found = f"{param}.{place}", as_object(block)
        kind = found.get("type")
        if not isinstance(kind, str):
            raise Invalid(f"{at}.type: a block needs a type.", f"{at}.type")
        for name in _TEXTS_OF.get(kind, ()):
            if not isinstance(found.get(name), str):
                raise Invalid(f"{at}.{name}: must be a text.", f"{at}.{name}")
    return cast("list[Json]", given)


_TEXTS_OF = {
    "text": ("text",),
    "thinking": ("thinking",),
    "tool_use": ("id", "name"),
    "tool_result": ("tool_use_id",),
}


def _said(role: Role, blocks: Sequence[Json]) -> Entry:
    text, meta = _content(blocks)
    return Entry(role=role, text=text, meta=meta)


def _content(blocks: Sequence[Json]) -> tuple[str, Json]:
    """The text of blocks, and their parts where they are more than one plain text."""
    parts = [_part(block) for block in blocks]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    plain = not parts or (len(parts) == 1 and parts[0].keys() == {"type", "text"})
    return text, {} if plain else {"parts": parts}


def _result(block: Json) -> Entry:
    given: object = block.get("content")
    text, meta = _content(_blocks(given or [], "tool_result.content"))
    meta["call_id"] = block["tool_use_id"]
    more = beyond(block, {"type", "tool_use_id", "content", _CACHED})
    meta |= {"more": more} if more else {}
    return Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text=text, meta=meta)


def _answered(blocks: Sequence[Json]) -> list[Entry]:
    """An answer: its words with what was thought before them, and each of its calls."""
    blocks = [{name: one for name, one in block.items() if name != _CACHED} for block in blocks]
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    thought = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    calls = [block for block in blocks if block["type"] == "tool_use"]
    meta: Json = {"reasoning": thought} if thought else {}
    if not _is_plain(blocks):
        numbers = iter(range(len(calls)))
        meta["blocks"] = [_bare(block, numbers) for block in blocks]
    found: list[Entry] = []
    if text or not calls:
        found, meta = [Entry(role=Role.ASSISTANT, text=text, meta=meta)], {}
    for call in calls:
        arguments = orjson.dumps(call.get("input", {})).decode()
        named = {"call_id": call["id"], "tool": call["name"]}
        own = Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text=arguments, meta=meta | named)
        found, meta = [*found, own], {}
    return found


def _is_plain(blocks: Sequence[Json]) -> bool:
    """Whether blocks say nothing but thoughts, words and calls, in this order."""
    kinds = [block["type"] for block in blocks]
    fields = {"type", "text", "thinking", "id", "name", "input"}
    return (
        all(kind in _ORDER for kind in kinds)
        and kinds == sorted(kinds, key=_ORDER.index)
        and max(kinds.count("thinking"), kinds.count("text")) <= 1
        and all(one.get("signature") in (None, OURS) for one in blocks)
        and all(one.keys() <= fields | {"signature"} for one in blocks)
    )


def _bare(block: Json, numbers: Iterable[int]) -> Json:
    match block["type"]:
        case "text" | "thinking" as kind:
            return {**block, kind: len(block[kind])}
        case "tool_use":
            return {**block, "input": next(iter(numbers))}
        case _:
            return block


def _part(block: Json) -> Json:
    """A block of a person's as a part; one that no chat completion has stays as it is."""
    kind, source = block["type"], as_object(block.get("source"))
    url = source.get("url")
    if source.get("type") == "base64":
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
    beside = beyond(block, {"type", "source", _CACHED})
    if kind == "image" and isinstance(url, str):
        return {"type": "image_url", "image_url": {"url": url}, **beside}
    if kind == "document" and isinstance(url, str) and source.get("type") == "base64":
        title = beside.get("title")
        named = {"filename": title} if isinstance(title, str) else {}
        return {"type": "file", "file": {"file_data": url, **named}, **beside}
    return {name: one for name, one in block.items() if name != _CACHED}


# what a client gets


def told_again(said: Iterable[Entry | Message]) -> Json:
    """Writes entries, or the messages that they became, as `system` and `messages`."""
    system: list[Json] = []
    messages: list[Json] = []
    answer: list[Entry | Message] = []
    for one in [*said, None]:
        if one is not None and one.role is Role.ASSISTANT:
            if "blocks" in one.meta and answer:
                _add(messages, "assistant", content_of(answer))
                answer = []
            answer.append(one)
            continue
        if answer:
            _add(messages, "assistant", content_of(answer))
            answer = []
        if one is None:
            break
        blocks = [_block(part) for part in one.meta.get("parts") or [_text(one.text)]]
        if one.role in {Role.SYSTEM, Role.DEVELOPER}:
            if messages:
                messages.append({"role": "system", "content": blocks})
            else:
                system += blocks
            continue
        if one.kind == Kind.TOOL_RESULT:
            named = {"type": "tool_result", "tool_use_id": one.meta.get("call_id", "")}
            blocks = [{**named, "content": blocks, **one.meta.get("more", {})}]
        _add(messages, "user", blocks)
    return ({"system": system} if system else {}) | {"messages": messages}


def content_of(said: Sequence[Entry | Message]) -> list[Json]:
    """The blocks of an answer."""
    kept = next((one.meta["blocks"] for one in said if "blocks" in one.meta), None)
    if kept is not None:
        return filled(kept, said)
    thought, text, calls = _held(said)
    blocks: list[Json] = []
    if thought:
        blocks.append({"type": "thinking", "thinking": thought, "signature": OURS})
    if text:
        blocks.append(_text(text))
    return blocks + [call_of(one) for one in calls]


def filled(blocks: Iterable[Mapping[str, Any]], said: Sequence[Entry | Message]) -> list[Json]:
    """Bare blocks with what they hold: so many characters of thoughts and words, a call by its number.

    The last has all that is left: texts from which something was taken are as long as they are.
    A signature, or what stands in a thought's place, may be the number of one that stands beside the answer.
    """
    thought, text, calls = _held(said)
    signed: dict[int, Json] = {}
    for one in said:
        beside = as_object(as_object(one.meta.get("beside")).get("message"))
        for block in map(as_object, as_list(beside.get(THINKING_BLOCKS))):
            signed[int(block.get("index", len(signed)))] = block
    left = {"thinking": thought, "text": text}
    found = [dict(bare) for bare in blocks]
    last = {str(block.get("type")): block for block in found}
    for block in found:
        kind = str(block.get("type"))
        if kind in left and isinstance(chars := block.get(kind), int):
            chars = len(left[kind]) if block is last[kind] else chars
            block[kind], left[kind] = left[kind][:chars], left[kind][chars:]
        if kind == "tool_use" and isinstance(number := block.get("input"), int):
            block["input"] = call_of(calls[number])["input"] if number < len(calls) else {}
        for name in ("signature", "data"):
            if kind in THOUGHTS and isinstance(number := block.get(name), int):
                block[name] = signed.get(number, {}).get(name, "")
    return found


def call_of(one: Entry | Message) -> Json:
    """A call as a block. What is not an object as the API wants it is told as the `value` of one."""
    call_id = one.meta.get("call_id") or (f"call_{one.id[2:]}" if isinstance(one, Message) else "")
    block = {"type": "tool_use", "id": call_id, "name": one.meta.get("tool", "")}
    return {**block, "input": arguments_in(one.text)}


def arguments_in(text: str) -> Json:
    """The arguments in a text."""
    try:
        given: object = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        given = text
    return cast("Json", given) if isinstance(given, dict) else {"value": given}


def _held(said: Sequence[Entry | Message]) -> tuple[str, str, list[Entry | Message]]:
    """The thoughts, the words and the calls of an answer."""
    thought = "".join(one.meta.get("reasoning", "") for one in said)
    text = "".join(one.text or one.meta.get("refusal", "") for one in said if one.kind == Kind.TEXT)
    return thought, text, [one for one in said if one.kind == Kind.TOOL_CALL]


def _add(messages: list[Json], role: str, blocks: list[Json]) -> None:
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": role, "content": blocks})


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _block(part: Mapping[str, Any]) -> Json:
    """A part as a block."""
    beside = beyond(dict(part), {"type", "image_url", "file"})
    match part.get("type"):
        case "image_url" | "input_image":
            image: object = part.get("image_url")
            url = image if isinstance(image, str) else as_object(image).get("url")
            return {"type": "image", "source": _source(str(url)), **beside}
        case "file":
            file = as_object(part.get("file"))
            return {"type": "document", "source": _source(str(file.get("file_data"))), **beside}
        case "input_text" | "output_text":
            return _text(str(part.get("text", "")))
        case _:
            return dict(part)


def _source(url: str) -> Json:
    head, found, data = url.partition(";base64,")
    if not found or not head.startswith("data:"):
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}
