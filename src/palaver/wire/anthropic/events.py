"""A message as Anthropic's API tells it: whole, and as the events that build it up. Pure: no network, no clock.

A `Composer` is given the pieces of an answer one by one and says which events each of them means; at its end it has the
whole message. Thoughts, words and each call are a block; another one begins where the kind changes. Arguments of
several calls may come mixed: a call whose arguments are no JSON yet stays open, and its block grows beside the others.
Who did not ask for thoughts is told none. `events_of` tells a whole message, and `message_of` makes a stored one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct, field

from palaver.core.answers.pieces import Piece, ReasoningPiece, RefusalPiece, TextPiece, ToolPiece
from palaver.model import Message, MessageId, answer_id
from palaver.model.exchanges import Exchange
from palaver.strict_json import Json, as_list, as_object, parsed
from palaver.wire.anthropic.messages import OURS, THOUGHTS, arguments_in, content_of, filled
from palaver.wire.openai.items import new_call_id
from palaver.wire.openai.responses.events import count_of

Event = Json

_STOPS = {
    "length": "max_tokens",
    "content_filter": "refusal",
    **dict.fromkeys(("tool_calls", "function_call"), "tool_use"),
}
_FIELDS = {"text": "text", "thinking": "thinking", "input_json": "partial_json"}


class _Open(Struct):
    """A block that is still growing."""

    index: int
    block: Json
    texts: list[str] = field(default_factory=list[str])

    @property
    def text(self) -> str:
        """As far as it came."""
        return "".join(self.texts)


class Composer:
    """One message on its way. `message` is the whole of it after `end`; `thinks`: its client asked for thoughts."""

    def __init__(self, skeleton: Json, first: MessageId, *, thinks: bool) -> None:
        """`first` will be the answer's first message in its room."""
        self.message = skeleton
        self._first = first
        self._thinks = thinks
        self._content: list[Json] = skeleton["content"]
        self._said: _Open | None = None
        self._calls: dict[int, _Open] = {}
        self._called: set[int] = set()

    def begin(self) -> Iterator[Event]:
        """Tells the events before anything came."""
        yield {"type": "message_start", "message": {**self.message, "content": []}}
        yield {"type": "ping"}

    def take(self, piece: Piece) -> Iterator[Event]:
        """Tells the events that a piece means. Only the first choice is shown; there is no other."""
        match piece:
            case TextPiece(text, 0) | RefusalPiece(text, 0) if text:
                yield from self._say("text", text)
            case ReasoningPiece(text, 0) if text and self._thinks:
                yield from self._say("thinking", text)
            case ToolPiece(choice=0):
                yield from self._call(piece)
            case _:
                pass

    def end(self, envelope: Mapping[str, Any], request: Mapping[str, Any]) -> Iterator[Event]:
        """Ends what is open, and the message. `envelope` is the chat completion without its words."""
        yield from self._end_said()
        for call in list(self._calls):
            yield self._end_call(call)
        self.message |= ending(envelope, request, called=bool(self._called))
        yield from _last(self.message)

    def _say(self, kind: str, text: str) -> Iterator[Event]:
        opened = self._said
        if opened is None or opened.block["type"] != kind:
            yield from self._end_before()
            block: Json = {"type": kind, kind: ""}
            opened = self._said = self._opened(block)
            signature = {"signature": ""} if kind == "thinking" else {}
            yield _started(opened.index, block | signature)
        opened.texts.append(text)
        yield _delta(opened.index, kind, text)

    def _call(self, piece: ToolPiece) -> Iterator[Event]:
        opened = self._calls.get(piece.call)
        if opened is None:
            if piece.call in self._called:
                return  # blanks behind arguments that were whole
            yield from self._end_before()
            place = len(self._called) + any(one["type"] == "text" for one in self._content)
            id_ = piece.id or new_call_id(answer_id(self._first, place))
            block: Json = {"type": "tool_use", "id": id_, "name": piece.name, "input": {}}
            opened = self._calls[piece.call] = self._opened(block)
            self._called.add(piece.call)
            yield _started(opened.index, {**block})
        if piece.arguments:
            opened.texts.append(piece.arguments)
            yield _delta(opened.index, "input_json", piece.arguments)

    def _opened(self, block: Json) -> _Open:
        self._content.append(block)
        return _Open(len(self._content) - 1, block)

    def _end_before(self) -> Iterator[Event]:
        """Ends the words, and the calls that are whole, before another block begins."""
        yield from self._end_said()
        whole = (one for one, opened in self._calls.items() if parsed(opened.text) is not None)
        for call in list(whole):
            yield self._end_call(call)

    def _end_said(self) -> Iterator[Event]:
        opened, self._said = self._said, None
        if opened is None:
            return
        kind = opened.block["type"]
        opened.block[kind] = opened.text
        if kind == "thinking":
            opened.block["signature"] = OURS
            yield _delta(opened.index, "signature", OURS)
        yield _stopped(opened.index)

    def _end_call(self, call: int) -> Event:
        opened = self._calls.pop(call)
        opened.block["input"] = arguments_in(opened.text)
        return _stopped(opened.index)


def skeleton(id_: str, model: str) -> Json:
    """Builds a message before anything came."""
    head: Json = {"id": id_, "type": "message", "role": "assistant", "model": model, "content": []}
    return {**head, "stop_reason": None, "stop_sequence": None, "usage": usage_of({})}


def ending(envelope: Mapping[str, Any], request: Mapping[str, Any], *, called: bool) -> Json:
    """Says why a message ended, and what it took, of a chat completion's envelope and what was asked."""
    choice = next(map(as_object, as_list(envelope.get("choices"))), Json())
    stop = _STOPS.get(str(choice.get("finish_reason")), "tool_use" if called else "end_turn")
    sequence = choice.get("stop_reason")  # some servers name it
    if stop != "end_turn" or sequence not in as_list(request.get("stop_sequences")):
        sequence = None
    stop = stop if sequence is None else "stop_sequence"
    usage = usage_of(as_object(envelope.get("usage")))
    return {"stop_reason": stop, "stop_sequence": sequence, "usage": usage}


def usage_of(counts: Mapping[str, Any]) -> Json:
    """Writes a chat completion's token counts as a message's, whose input is without what the cache held."""
    read, made = (count_of(counts, name) or 0 for name in ("prompt_tokens", "completion_tokens"))
    asked = as_object(counts.get("prompt_tokens_details"))
    cached, written = (
        count_of(asked, name) or 0 for name in ("cached_tokens", "cache_write_tokens")
    )
    thought = count_of(as_object(counts.get("completion_tokens_details")), "reasoning_tokens")
    return {
        "input_tokens": max(read - cached - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": made,
        **({"output_tokens_details": {"thinking_tokens": thought}} if thought else {}),
    }


def message_of(exchange: Exchange, said: Sequence[Message], *, thinks: bool = True) -> Json:
    """Builds the message of a stored exchange from its envelope and the texts of its answers."""
    envelope = as_object(exchange.response.get("envelope"))
    if envelope.get("type") == "message":
        content = filled(map(as_object, as_list(envelope.get("content"))), said)
        known = {name: one for name, one in envelope.items() if name != "events"}
        return {**known, "content": content}
    content = [one for one in content_of(said) if thinks or one["type"] not in THOUGHTS]
    called = any(one["type"] == "tool_use" for one in content)
    made = skeleton(message_id(exchange), exchange.model) | {"content": content}
    return made | ending(envelope, exchange.request, called=called)


def message_id(exchange: Exchange) -> str:
    """The id of an answer that its model server did not name: that of its first message in the room."""
    return f"msg_{exchange.message[2:]}"


def events_of(message: Json) -> Iterator[Event]:
    """Tells a whole message as events."""
    yield {"type": "message_start", "message": {**message, "content": []}}
    for index, block in enumerate(map(as_object, as_list(message.get("content")))):
        kind = block.get("type")
        match kind:
            case "text" | "thinking":
                signed = {"signature": ""} if "signature" in block else {}
                yield _started(index, {**block, kind: "", **signed})
                yield _delta(index, kind, block[kind])
                if signed:
                    yield _delta(index, "signature", block["signature"])
            case "tool_use":
                yield _started(index, {**block, "input": {}})
                yield _delta(index, "input_json", orjson.dumps(block["input"]).decode())
            case _:
                yield _started(index, block)
        yield _stopped(index)
    yield from _last(message)


def _last(message: Json) -> Iterator[Event]:
    delta = {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
    yield {"type": "message_delta", "delta": delta, "usage": message.get("usage")}
    yield {"type": "message_stop"}


def _started(index: int, block: Json) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, kind: str, text: str) -> Event:
    delta = {"type": f"{kind}_delta", _FIELDS.get(kind, kind): text}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _stopped(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}
