"""The shapes in which servers tell an answer, as the one that the API knows.

`chunk_of` gives any event or body the form of a chat completion's chunk, where its meaning is clear; `words_in` finds
the words in a content of any form. What stands where words should and cannot be read is said to be `unread`, so that
no words are dropped in silence. `values_in` reads data that is JSON, several of them run together, or neither.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import orjson

from palaver.strict_json import as_list, as_object, is_shallow, number

FINISHES = {
    **dict.fromkeys(("end_turn", "eos", "eos_token", "stop_sequence", "completed"), "stop"),
    **dict.fromkeys(("max_tokens", "max_output_tokens", "max_length"), "length"),
    **dict.fromkeys(("safety", "sensitive", "recitation", "prohibited_content"), "content_filter"),
    "tool_use": "tool_calls",
}
"""Reasons of an answer's end in the words of other APIs, in lower case."""

UNREAD_MAX = 64
"""So many pieces of data that are no JSON are looked at."""
_DEPTH_MAX = 8
_BEGIN = re.compile(r"(?:\s|data:)*")
_NEXT = re.compile(r"data:|[\r\n]")
_WORDS = ("text", "content", "parts", "value", "output_text", "message", "thinking", "reasoning")
_CONTENTS = (*_WORDS[:2], "output_text", "generated_text", "response", "completion", "token")
_CHOICE = frozenset({"delta", "message", "text", "content", "finish_reason"})
_WRAPPERS = ("result", "data", "output", "response", "chunk", "body")
_ENDS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")


class Words(NamedTuple):
    """What a content says. `unread`: something stands in it that cannot be read."""

    text: str = ""
    thought: str = ""
    refusal: str = ""
    unread: bool = False


def words_in(value: object, depth: int = _DEPTH_MAX) -> Words:
    """The words of a content: a text, a number, an object that holds one, or a list of any of them."""
    if isinstance(value, str):
        return Words(value)
    if isinstance(value, dict) and depth:
        return _words_of(cast("Mapping[str, Any]", value), depth)
    if isinstance(value, list) and depth:
        found = [words_in(one, depth - 1) for one in cast("list[object]", value)]
        said = ("".join(parts) for parts in zip(*(one[:3] for one in found), strict=True))
        return Words(*said, unread=any(one.unread for one in found))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Words(orjson.dumps(value).decode())
    return Words(unread=value is not None)


def _words_of(part: Mapping[str, Any], depth: int) -> Words:
    kind = str(part.get("type") or "").lower()
    name = next(
        (name for name in (*_WORDS, "summary", "refusal") if part.get(name) is not None), ""
    )
    if not name:
        return Words(unread=bool(part) and kind in {"", "text", "output_text"})
    found = words_in(part[name], depth - 1)
    thinks = name in {"thinking", "reasoning"} or part.get("thought") is True
    if thinks or any(word in kind for word in ("think", "thought", "reason")):
        return Words(thought=found.thought + found.text, unread=found.unread)
    if "refusal" in {name, kind}:
        return Words(refusal=found.refusal + found.text, unread=found.unread)
    return found


def chunk_of(value: dict[str, Any], depth: int = _DEPTH_MAX) -> dict[str, Any]:
    """An event or a body with its `choices` as a list; itself where it has none, and holds nothing that is one."""
    choices = value.get("choices")
    if isinstance(choices, list) and choices:
        return value
    if found := as_object(cast("object", choices)):
        one = found.keys() & _CHOICE
        return {**value, "choices": [found] if one else list(found.values())}
    choice = _choice_in(value)
    if choice is not None:
        return {"id": value.get("id"), "choices": [choice]}
    inside = (as_object(value.get(name)) for name in _WRAPPERS if depth)
    found_inside = (chunk_of(inner, depth - 1) for inner in inside if inner)
    return next((chunk for chunk in found_inside if chunk.get("choices")), value)


def _choice_in(value: dict[str, Any]) -> dict[str, Any] | None:
    """The answer that an event of another API holds."""
    kind = str(value.get("type") or "")
    if kind.startswith("response."):  # the Responses API; what is "done" repeats its deltas
        delta = value.get("delta") if kind.endswith(".delta") and "arguments" not in kind else None
        ended = {"response.completed": "stop", "response.incomplete": "length"}.get(kind)
        said = {"type": kind, "text": delta}
        return {"delta": {"content": [said] if delta else None}, "finish_reason": ended}
    candidates = as_list(value.get("candidates"))
    if candidates:
        first = as_object(candidates[0])
        return {"delta": {"content": first.get("content")}, "finish_reason": _end_of(first)}
    for name in ("message", "delta"):
        said = value.get(name)
        inner = as_object(said)
        if inner or (said and name == "delta"):
            return {"delta": said, "finish_reason": _end_of(value) or _end_of(inner)}
    if isinstance(value.get("output"), list):
        return {"delta": {"content": value["output"]}, "finish_reason": _end_of(value) or "stop"}
    names = (*_CONTENTS, *_WRAPPERS)
    content = next((value[name] for name in names if words_in(value.get(name)).text), None)
    end = _end_of(value)
    if content is None and end is None:
        return None
    return {"delta": {"content": content}, "finish_reason": end}


def _end_of(value: Mapping[str, Any]) -> str | None:
    """Why an answer of another API ended."""
    named = next((value[name] for name in _ENDS if value.get(name)), None)
    if named is None and (value.get("done") is True or value.get("stop") is True):
        named = "stop"
    return None if named is None else str(named)


def values_in(data: bytes) -> tuple[list[object], list[str], int]:
    """The JSON values that stand in data one behind the other, words that are none, and how many cannot be read.

    Their texts may hold halves of characters, whose other half comes with the next ones.
    """
    try:
        values, words, torn = [orjson.loads(data)], list[str](), 0
    except orjson.JSONDecodeError:
        values, words, torn = _leniently(data.decode("utf-8-sig", errors="replace"))
    read = [value for value in values if is_shallow(value, data)]
    return read, words, torn + len(values) - len(read)


def _leniently(text: str) -> tuple[list[object], list[str], int]:
    """As `values_in`: of bytes that were no text, halves of characters, NaN, several values."""
    decoder = json.JSONDecoder(strict=False, parse_int=number)
    values: list[object] = []
    words: list[str] = []
    at = torn = 0
    while (begin := _BEGIN.match(text, at)) and (at := begin.end()) < len(text):
        if torn + len(words) == UNREAD_MAX:
            return values, words, torn + 1
        try:
            value, at = decoder.raw_decode(text, at)
            values.append(value)
        except (ValueError, RecursionError):
            end = _NEXT.search(text, at + 1)
            until = len(text) if end is None else end.start()
            if text[at] == "{":
                torn += 1
            else:
                words.append(text[at:until].strip())
            at = until
    return values, words, torn
