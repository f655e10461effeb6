"""Items of the Responses and Conversations API, as messages of a room and back.

`entries_of` reads what a client sends, `item_of` shows a stored message. A text that came as a string comes back as
parts, as the API has it. What has no other meaning here than to be given back (29 types of items, and more to come) is
kept whole and opaque. Content parts of chat completions are shown as parts of items, so that a room that was spoken to
at one door looks right at the other; `chat_part` is the way back.

Nothing is looked up here: an `item_reference` must have been replaced by what it names.
"""

from collections.abc import Iterable, Mapping, Set as AbstractSet
from typing import Any, cast

from palaver.model import (
    NO_DATA,
    ActorId,
    Entry,
    ExchangeId,
    Kind,
    Message,
    MessageId,
    Meta,
    Role,
    RoomId,
    Status,
)
from palaver.strict_json import Json, as_object
from palaver.wire.openai.fields import Invalid, bounded, missing, wrong_type, wrong_value

ROLES = {role.value: role for role in (Role.USER, Role.ASSISTANT, Role.SYSTEM, Role.DEVELOPER)}
_PREFIXES: dict[str, str] = {
    Kind.TEXT: "msg_",
    Kind.TOOL_CALL: "fc_",
    Kind.TOOL_RESULT: "fco_",
    Kind.REASONING: "rs_",
    Kind.ITEM: "item_",
}
_KINDS = {
    "message": Kind.TEXT,
    "function_call": Kind.TOOL_CALL,
    "function_call_output": Kind.TOOL_RESULT,
    "reasoning": Kind.REASONING,
    "custom_tool_call": Kind.TOOL_CALL,
    "custom_tool_call_output": Kind.TOOL_RESULT,
}
CUSTOM = "custom"
"""The type of a tool that takes a text of any form, and no JSON."""
_CUSTOM = {Kind.TOOL_CALL: "ctc_", Kind.TOOL_RESULT: "ctco_"}
_PREFIX_CHARS_MAX = 16
_TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
PARTS = (
    *("input_text", "input_image", "input_audio", "output_text", "refusal", "input_file"),
    *("computer_screenshot", "summary_text", "reasoning_text", "encrypted_content"),
    *("scoped_content", "text", "image_url", "audio_url", "video_url", "file"),
)
"""The types of content parts: this API's, and those that servers know which speak chat completions."""
_HEX = frozenset("0123456789abcdef")
_ID_DIGITS = 32


def beyond(fields: Json, known: AbstractSet[str]) -> Json:
    """The fields that say something and are not among the known ones."""
    return {key: one for key, one in fields.items() if key not in known and one is not None}


# ids


def item_id(message: MessageId, kind: str, prefix: str | None = None) -> str:
    """The id that an item has in the API; `prefix` says what kind of opaque one it is."""
    return f"{prefix or _PREFIXES[kind]}{message[2:]}"


def id_like(given: object, type_: object, message: MessageId) -> str:
    """The id of the item that a message will be, where a model server's own item of a type has the id `given`."""
    kind = _KINDS.get(str(type_), Kind.ITEM)
    if kind is Kind.ITEM:
        return item_id(message, kind, _prefix(given))
    return custom_id(message, kind) if str(type_).startswith(CUSTOM) else item_id(message, kind)


def custom_id(message: MessageId, kind: str) -> str:
    """The id of a freeform call, or of its result."""
    return item_id(message, kind, _CUSTOM[Kind(kind)])


def _prefix(given: object) -> str | None:
    """The beginning of an item's id, which says what it is to the model server that gave it."""
    prefix, found, _ = given.partition("_") if isinstance(given, str) else ("", "", "")
    short = prefix.isascii() and prefix.isalpha() and len(prefix) <= _PREFIX_CHARS_MAX
    return f"{prefix}_" if found and short else None


def message_id(item: str) -> MessageId | None:
    """The message that an item's id means; None for an id that is none of ours."""
    digits = _digits(item, _prefix(item))
    return None if digits is None else MessageId(f"m_{digits}")


def conversation_id(room: RoomId) -> str:
    """The id of a room as a conversation."""
    return f"conv_{room[2:]}"


def room_id(conversation: str) -> RoomId | None:
    """The room that a conversation's id means, which may be the room's own; None for what is no id."""
    digits = _digits(conversation, "conv_", "r_")
    return None if digits is None else RoomId(f"r_{digits}")


def response_id(exchange: ExchangeId) -> str:
    """The id of an exchange as a response."""
    return f"resp_{exchange[2:]}"


def exchange_id(response: str) -> ExchangeId | None:
    """The exchange that a response's id means; None for an id that is none of ours."""
    digits = _digits(response, "resp_")
    return None if digits is None else ExchangeId(f"x_{digits}")


def _digits(id_: str, *prefixes: str | None) -> str | None:
    """The digits of an id that begins with one of these."""
    prefix, _, digits = id_.partition("_")
    ours = f"{prefix}_" in prefixes and len(digits) == _ID_DIGITS and _HEX.issuperset(digits)
    return digits if ours else None


# what a client sends


def entries_of(given: object, param: str = "input") -> tuple[Entry, ...]:
    """Reads `input` or `items`, a text or a list of items, as entries. Refused: what is not of that shape."""
    if given is None:
        return ()
    if isinstance(given, str):
        return (Entry(role=Role.USER, text=given),)
    if not isinstance(given, list):
        raise wrong_type(param, "one of a string or array of input items", given)
    items = cast("list[object]", given)
    bounded(items, param)
    return tuple(_entry_of(item, f"{param}[{place}]") for place, item in enumerate(items))


def _entry_of(given: object, param: str) -> Entry:
    if not isinstance(given, dict):
        raise wrong_type(param, "an input item", given)
    item = cast("Json", given)
    match item.get("type", "message" if "role" in item else None):
        case "message":
            return _spoken(item, param)
        case "function_call" | "custom_tool_call":
            return _call(item, param)
        case "function_call_output" | "custom_tool_call_output":
            return _result(item, param)
        case "reasoning":
            return _thought(item, param)
        case str(kind) if kind:
            return opaque(item)
        case _:
            raise missing(f"{param}.type")


def _spoken(item: Json, param: str) -> Entry:
    role = ROLES.get(str(item.get("role")))
    if role is None:
        raise wrong_value(f"{param}.role", item.get("role"), tuple(ROLES))
    content = item.get("content")
    meta = _more(item, {"role", "content"})
    if isinstance(content, str):
        return Entry(role=role, text=content, meta=meta)
    parts = _parts(content, f"{param}.content")
    plain = "output_text" if role is Role.ASSISTANT else "input_text"
    texts = [part["text"] for part in parts if _is_plain(part, plain)]
    refusals = [part["refusal"] for part in parts if part.get("type") == "refusal"]
    if len(texts) + len(refusals) != len(parts) or len(texts) > 1 or len(refusals) > 1:
        return Entry(role=role, text=text_of(parts), meta={"parts": parts, **meta})
    if refusals:
        meta["refusal"] = refusals[0]
    return Entry(role=role, text="".join(texts), meta=meta)


def _call(item: Json, param: str) -> Entry:
    meta: Json = {"call_id": _text(item, "call_id", param), "tool": _text(item, "name", param)}
    field = "input" if str(item["type"]).startswith(CUSTOM) else "arguments"
    meta |= _more(item, {"call_id", "name", field})
    text = _text(item, field, param)
    return Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text=text, meta=meta)


def _result(item: Json, param: str) -> Entry:
    call, output = _text(item, "call_id", param), item.get("output")
    meta: Json = {"call_id": call, **_more(item, {"call_id", "output"})}
    if not isinstance(output, str):
        meta["parts"] = _parts(output, f"{param}.output")
        output = text_of(meta["parts"])
    return Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text=output, meta=meta)


def _thought(item: Json, param: str) -> Entry:
    meta = _more(item, {"summary", "content", "encrypted_content"})
    summary = _parts(item.get("summary") or [], f"{param}.summary")
    content = _parts(item.get("content") or [], f"{param}.content")
    if summary:
        meta["summary"] = summary
    if item.get("encrypted_content") is not None:
        meta["encrypted"] = _text(item, "encrypted_content", param)
    return Entry(role=Role.ASSISTANT, kind=Kind.REASONING, text=text_of(content), meta=meta)


def opaque(item: Json) -> Entry:
    """Keeps an item whole, without reading it."""
    role = ROLES.get(str(item.get("role")))
    if role is None:
        answers = str(item["type"]).endswith(("_output", "_response"))
        role = Role.TOOL if answers else Role.ASSISTANT
    meta: Json = {"item": {key: value for key, value in item.items() if key != "id"}}
    prefix = _prefix(item.get("id"))
    if prefix is not None:
        meta["prefix"] = prefix
    return Entry(role=role, kind=Kind.ITEM, meta=meta)


def _more(item: Json, known: set[str]) -> Json:
    """Keeps the other fields of an item. Ids are ours, and `completed` is what every item is."""
    whole = {"status"} if item.get("status") == "completed" else set[str]()
    more = beyond(item, known | whole | {"type", "id"})
    more |= {"type": CUSTOM} if str(item.get("type")).startswith(CUSTOM) else {}
    return {"more": more} if more else {}


def _text(item: Json, name: str, param: str) -> str:
    value, param = item.get(name), f"{param}.{name}"
    if not isinstance(value, str):
        raise missing(param) if value is None else wrong_type(param, "a string", value)
    return value


def _parts(given: object, param: str) -> list[Json]:
    """Checks content parts: each has a known type, and those that are texts have a text."""
    if not isinstance(given, list):
        words = "one of a string or array of content parts"
        raise missing(param) if given is None else wrong_type(param, words, given)
    bounded(cast("list[Json]", given), param)
    for place, one in enumerate(cast("list[object]", given)):
        at, part = f"{param}[{place}]", as_object(one)
        if not isinstance(one, dict):
            raise wrong_type(at, "an object", one)
        kind = _text(part, "type", at)
        if kind not in PARTS:
            raise wrong_value(f"{at}.type", kind, PARTS)
        if kind in _TEXTS or kind == "refusal":
            _text(part, "refusal" if kind == "refusal" else "text", at)
    return cast("list[Json]", given)


def _is_plain(part: Json, kind: str) -> bool:
    """Whether a part is a text and nothing besides."""
    return part.get("type") == kind and not any(beyond(part, {"type", "text"}).values())


def text_of(parts: Iterable[Mapping[str, Any]]) -> str:
    """Joins the texts of content parts."""
    return "\n".join(part["text"] for part in parts if part.get("type") in _TEXTS)


# what a client is shown


def item_of(message: Message) -> Json:
    """Writes a stored message as an item."""
    status = "completed" if message.status is Status.DONE else "incomplete"
    meta = message.meta
    head: Json = {"id": item_id(message.id, message.kind, meta.get("prefix"))}
    more: Json = {"status": status, **meta.get("more", {})}
    custom = message.kind in _CUSTOM and more.get("type") == CUSTOM
    if custom:
        head["id"] = custom_id(message.id, message.kind)
        del more["type"]
    match Kind(message.kind):
        case Kind.TEXT:
            item = {"type": "message", "role": message.role.value, "content": _content_of(message)}
        case Kind.TOOL_CALL:
            item = {"type": call_type(custom=custom), "call_id": call_id_of(message)}
            text = "input" if custom else "arguments"
            item |= {"name": meta.get("tool", ""), text: message.text}
        case Kind.TOOL_RESULT:
            item: Json = {"type": f"{call_type(custom=custom)}_output"}
            item["call_id"] = meta.get("call_id", "")
            parts = meta.get("parts")
            item["output"] = message.text if parts is None else shown_parts(parts, Role.TOOL)
        case Kind.REASONING:
            item = reasoning_item(message.text, meta)
        case Kind.ITEM:
            item, more = dict(meta.get("item", {})), {}
    return head | item | more


def call_type(*, custom: bool) -> str:
    """The type of a tool call's item."""
    return "custom_tool_call" if custom else "function_call"


def stand_in(entry: Entry, message: MessageId) -> Message:
    """A message with what an entry says, which is not stored."""
    return Message(
        id=message,
        room=RoomId(""),
        seq=0,
        author=ActorId(""),
        name="",
        role=entry.role,
        status=Status.DONE,
        text=entry.text,
        created_ms=0,
        kind=entry.kind,
        meta=cast("Meta", entry.meta),
    )


def item_named(id_: str, message: Message) -> Json:
    """Writes the item that an id means: the message, or what the model thought before it."""
    if id_.startswith(_PREFIXES[Kind.REASONING]) and message.kind != Kind.REASONING:
        return {"id": id_, **reasoning_item(message.meta.get("reasoning", ""), NO_DATA)}
    return item_of(message)


def call_id_of(message: Message) -> str:
    """The id of a tool call; one of ours where the model server gave it none."""
    return message.meta.get("call_id") or new_call_id(message.id)


def new_call_id(message: MessageId) -> str:
    """The id of the tool call in a message, if it has no other."""
    return f"call_{message[2:]}"


def _content_of(message: Message) -> list[Json]:
    meta, role = message.meta, message.role
    refusal = meta.get("refusal")
    content: list[Json] = []
    if "parts" in meta:
        content = shown_parts(meta["parts"], role)
    elif message.text or refusal is None:
        content = [text_part(message.text, role)]
    if refusal is not None:
        content.append({"type": "refusal", "refusal": refusal})
    return content


def text_part(text: str, role: Role) -> Json:
    """Writes a text as a part."""
    if role is Role.ASSISTANT:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"type": "input_text", "text": text}


def reasoning_item(text: str, meta: Mapping[str, Any]) -> Json:
    """Writes what a model thought as an item, without id and status."""
    item: Json = {"type": "reasoning", "summary": list(meta.get("summary", ()))}
    item["content"] = [{"type": "reasoning_text", "text": text}] if text else []
    item["encrypted_content"] = meta.get("encrypted")
    return item


def shown_parts(parts: Iterable[Mapping[str, Any]], role: Role) -> list[Json]:
    """Writes content parts, those of chat completions among them, as the Responses API has them."""
    return [_shown(part, role) for part in parts]


def _shown(part: Mapping[str, Any], role: Role) -> Json:
    match part.get("type"):
        case "text":
            return text_part(str(part.get("text", "")), role)
        case "output_text":
            return {"annotations": [], "logprobs": [], **part}
        case "input_image":
            return {"detail": "auto", **part}
        case "image_url":
            image = as_object(part.get("image_url"))
            url, detail = image.get("url"), image.get("detail", "auto")
            return {"type": "input_image", "image_url": url, "detail": detail}
        case "file":
            return {"type": "input_file", **as_object(part.get("file"))}
        case _:
            return dict(part)


# and as a chat completion takes it


def chat_part(part: Mapping[str, Any], param: str) -> Json:
    """Writes a content part of an item as a chat message's. Refused: what a chat completion cannot hold."""
    match part.get("type"):
        case "input_text" | "output_text" | "summary_text" | "reasoning_text":
            return {"type": "text", "text": part["text"]}
        case "input_image" if part.get("image_url") is not None:
            image = {"url": part["image_url"], "detail": part.get("detail")}
            return {"type": "image_url", "image_url": beyond(image, set())}
        case "input_file" if part.get("file_url") is None:
            file = {key: value for key, value in part.items() if key not in {"type", "detail"}}
            return {"type": "file", "file": file}
        case "input_image" | "input_file":
            words = "The model server speaks chat completions only: send the data itself, not a reference to it."
            raise Invalid(words, param)
        case _:
            return dict(part)
