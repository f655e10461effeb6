"""A response as the Responses API tells it: the object, and the events that build it up. Pure: no network, no clock.

A `Composer` is given the pieces of an answer one by one and says which events each of them means; at the end it has the
whole response. The same pieces give the same events with the same numbers, whether they come from a model right now or
from the store after a crash: that is what lets a client resume anywhere.

What came of one kind (thoughts, words, one tool call) is one item, ended when another begins. Arguments of several
tool calls may come mixed: a call whose arguments are no JSON yet stays open. What a model says of a kind after it has
gone on to another is an item of its own. An item's id is that of the message that will be stored for it, counted from
`first`: what came whole, then the words, then the tool calls. Thoughts are stored with the message that follows them,
and share its digits. Words that turn out to be thoughts without an opening tag end as an item of thoughts, and one of
words follows.

Nothing is stored, sent or looked up here. That the last event goes out only when the answer is stored is up to the
caller, who asks for it only then.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from msgspec import Struct, field

from palaver.core.answers.pieces import (
    ItemPiece,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    ToolPiece,
)
from palaver.model import NO_DATA, Kind, MessageId, Role, answer_id
from palaver.model.exchanges import ExchangeState
from palaver.strict_json import Json, as_list, as_object, parsed
from palaver.thoughts import parted
from palaver.wire.openai import items

Event = Json
"""`type`, `sequence_number` and what belongs to that type."""

LATER = 1 << 16
"""Items that have no message of their own are numbered from here."""


class Ending(Struct, frozen=True, kw_only=True):
    """How an answer ended. `envelope` is the chat completion without its words, `error` the response's."""

    state: ExchangeState
    ended_ms: int | None = None
    envelope: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)
    error: Json | None = None

    @property
    def choice(self) -> Mapping[str, Any]:
        """The first choice."""
        return next(map(as_object, as_list(self.envelope.get("choices"))), NO_DATA)


class _Open(Struct):
    """An item that is still growing. `part` is the content part that is."""

    index: int
    item: Json
    kind: Kind
    message: MessageId
    part: Json | None = None
    texts: list[str] = field(default_factory=list[str])

    @property
    def head(self) -> Json:
        """What every event of it says."""
        return {"item_id": self.item["id"], "output_index": self.index}


class Composer:
    """One response on its way. `response` is how it stands: the whole of it after `end`."""

    def __init__(self, skeleton: Json, first: MessageId) -> None:
        self.response = skeleton
        self.first = first
        self._output: list[Json] = skeleton["output"]
        self._said: _Open | None = None
        self._calls: dict[int, _Open] = {}
        self._seen: set[tuple[Kind, int]] = set()
        self._later = LATER
        self._number = 0
        self._logprobs: list[object] = []

    def begin(self) -> Iterator[Event]:
        """Tells the events before anything came."""
        yield self._lifecycle("created")
        if self.response["status"] == "queued":
            yield self._lifecycle("queued")
            self.response["status"] = "in_progress"
        yield self._lifecycle("in_progress")

    def take(self, piece: Piece) -> Iterator[Event]:
        """Tells the events that a piece means. Only the first choice is shown; there is no other."""
        match piece:
            case TextPiece(text, 0):
                yield from self._say("output_text", text)
            case RefusalPiece(text, 0):
                yield from self._say("refusal", text)
            case ReasoningPiece(text, 0):
                yield from self._say("reasoning_text", text)
            case ToolPiece(choice=0):
                yield from self._call(piece)
            case ItemPiece():
                yield from self._whole(piece)
            case _:
                pass

    def end(self, ending: Ending) -> Iterator[Event]:
        """Ends what is open, and the response."""
        self._logprobs = as_list(as_object(ending.choice.get("logprobs")).get("content"))
        whole = ending.state is ExchangeState.COMPLETED
        status = "completed" if whole else "incomplete"
        yield from self._end_said(status)
        for call in list(self._calls):
            yield from self._end_call(call, status)
        response = self.response
        response["status"] = ending.state.value
        response["usage"] = usage_of(as_object(ending.envelope.get("usage")))
        if whole and ending.ended_ms is not None:
            response["completed_at"] = ending.ended_ms // 1000
        if ending.error is not None:
            response["error"] = ending.error
        if ending.state is ExchangeState.INCOMPLETE:
            filtered = ending.choice.get("finish_reason") == "content_filter"
            reason = "content_filter" if filtered else "max_output_tokens"
            response["incomplete_details"] = {"reason": reason}
        yield self._lifecycle(_ENDS[ending.state])

    def rest(self, pieces: Iterable[Piece], ending: Ending) -> Iterator[Event]:
        """Tells the events of a whole answer, behind those of its beginning."""
        for piece in pieces:
            yield from self.take(piece)
        yield from self.end(ending)

    def so_far(self, pieces: Iterable[Piece]) -> None:
        """Fills the response with what came until now; no event follows."""
        for piece in pieces:
            list(self.take(piece))
        for call in self._calls.values():
            call.item["arguments"] = "".join(call.texts)
        opened = self._said
        if opened is not None and opened.part is not None:
            name = "refusal" if opened.part["type"] == "refusal" else "text"
            opened.part[name] = "".join(opened.texts)

    # as a model server told it itself

    def passed(self, told: Iterable[Event], last: Json, ending: Ending) -> Iterator[Event]:
        """See `pass_on` and `end_as`."""
        for event in told:
            yield self.pass_on(event)
        yield self.end_as(last, ending)

    def pass_on(self, event: Event) -> Event:
        """Passes a model server's event on, with its number here."""
        told = {**event, "sequence_number": self._number}
        self._number += 1
        return told

    def end_as(self, last: Json, ending: Ending) -> Event:
        """Ends the response as the model server told it, except for how it ended here."""
        self.response = response = {**self.response, **last, "status": ending.state.value}
        if ending.state is ExchangeState.COMPLETED:
            if not response["completed_at"] and ending.ended_ms is not None:
                response["completed_at"] = ending.ended_ms // 1000
        elif ending.error is not None and not last.get("error"):
            response["error"] = ending.error
        name = _ENDS[ending.state]
        return self.pass_on({"type": f"response.{name}", "response": {**response}})

    # thoughts and words

    def _say(self, name: str, text: str) -> Iterator[Event]:
        """Adds to a content part; begins it, and its item, where the last was another."""
        kind = Kind.REASONING if name == "reasoning_text" else Kind.TEXT
        opened = self._said
        if opened is None or opened.kind is not kind:
            yield from self._end_said()
            opened = self._said = self._opened(kind, 0, _item_of(kind))
            yield self._item("added", opened)
        if opened.part is None or opened.part["type"] != name:
            yield from self._end_part(opened)
            opened.part = _part_of(name)
            opened.item["content"].append(opened.part)
            opened.texts.clear()
            yield self._event("content_part.added", self._at(opened), part=dict(opened.part))
        opened.texts.append(text)
        more: Json = {"logprobs": []} if name == "output_text" else {}
        yield self._event(f"{name}.delta", self._at(opened), delta=text, **more)

    def _end_part(self, opened: _Open) -> Iterator[Event]:
        part = opened.part
        if part is None:
            return
        kind = part["type"]
        name = "refusal" if kind == "refusal" else "text"
        part[name] = "".join(opened.texts)
        done = {name: part[name]}
        if kind == "output_text":
            part["logprobs"] = done["logprobs"] = self._logprobs
        yield self._event(f"{kind}.done", self._at(opened), **done)
        yield self._event("content_part.done", self._at(opened), part=dict(part))
        opened.part = None

    def _end_said(self, status: str = "completed") -> Iterator[Event]:
        opened, self._said = self._said, None
        if opened is None:
            return
        yield from self._end_part(opened)
        thought, words = "", ""
        if opened.kind is Kind.TEXT and (Kind.REASONING, 0) not in self._seen:
            thought, words = parted("".join(opened.texts))
        if thought:
            self._seen = self._seen - {(Kind.TEXT, 0)} | {(Kind.REASONING, 0)}
            id_ = {"id": items.item_id(opened.message, Kind.REASONING)}
            opened.item = self._output[opened.index] = id_ | items.reasoning_item(thought, {})
        yield self._end_item(opened, status)
        if thought and words:
            yield from self._say("output_text", words)
            yield from self._end_said(status)

    def _at(self, opened: _Open) -> Json:
        return {**opened.head, "content_index": len(opened.item["content"]) - 1}

    # tool calls

    def _call(self, piece: ToolPiece) -> Iterator[Event]:
        opened = self._calls.get(piece.call)
        grows = opened is not None or piece.arguments
        if opened is None:
            if (Kind.TOOL_CALL, piece.call) in self._seen:
                return  # blanks behind arguments that were whole
            yield from self._end_said()
            for call in [one for one, other in self._calls.items() if _is_whole(other)]:
                yield from self._end_call(call)
            custom = piece.more.get("type") == items.CUSTOM
            item: Json = {"type": items.call_type(custom=custom), "status": "in_progress"}
            opened = self._opened(Kind.TOOL_CALL, piece.call, item)
            item = opened.item
            item["call_id"] = piece.id or items.new_call_id(opened.message)
            item |= {"name": piece.name, "input" if custom else "arguments": ""}
            item |= {key: one for key, one in piece.more.items() if key != "type"}
            if custom:
                item["id"] = items.custom_id(opened.message, Kind.TOOL_CALL)
            self._calls[piece.call] = opened
            yield self._item("added", opened)
        if grows:
            opened.texts.append(piece.arguments)
            yield self._event(f"{_grows(opened)}.delta", opened.head, delta=piece.arguments)

    def _end_call(self, call: int, status: str = "completed") -> Iterator[Event]:
        opened = self._calls.pop(call)
        item = opened.item
        if not opened.texts and status == "completed":  # it takes none
            opened.texts.append("{}")
            yield self._event(f"{_grows(opened)}.delta", opened.head, delta="{}")
        told = ("input",) if "input" in item else ("name", "arguments")
        item[told[-1]] = "".join(opened.texts)
        said = {key: item[key] for key in told}
        yield self._event(f"{_grows(opened)}.done", opened.head, **said)
        yield self._end_item(opened, status)

    # items

    def _whole(self, piece: ItemPiece) -> Iterator[Event]:
        id_ = items.item_id(self.first, Kind.ITEM, piece.meta.get("prefix"))
        self.first = answer_id(self.first, 1)
        item = {"id": id_, **piece.item}
        where = {"output_index": len(self._output)}
        self._output.append(item)
        for name in ("added", "done"):
            yield self._event(f"output_item.{name}", where, item=_copied(item))

    def _opened(self, kind: Kind, call: int, item: Json) -> _Open:
        place = len(self._seen - {(Kind.REASONING, 0)})
        if (kind, call) in self._seen or (kind is Kind.TEXT and place):
            place, self._later = self._later, self._later + 1
        elif kind is Kind.REASONING:
            place = 0
        self._seen.add((kind, call))
        message = answer_id(self.first, place)
        ours = {"id": items.item_id(message, kind), **item}
        self._output.append(ours)
        return _Open(index=len(self._output) - 1, item=ours, kind=kind, message=message)

    def _end_item(self, opened: _Open, status: str) -> Event:
        opened.item["status"] = status
        return self._item("done", opened)

    def _item(self, name: str, opened: _Open) -> Event:
        where = {"output_index": opened.index}
        return self._event(f"output_item.{name}", where, item=_copied(opened.item))

    # events

    def _lifecycle(self, name: str) -> Event:
        return self._event(name, {}, response={**self.response, "output": list(self._output)})

    def _event(self, name: str, where: Json, /, **more: Any) -> Event:
        event = {"type": f"response.{name}", "sequence_number": self._number, **where, **more}
        self._number += 1
        return event


_ENDS = {
    ExchangeState.COMPLETED: "completed",
    ExchangeState.INCOMPLETE: "incomplete",
    ExchangeState.FAILED: "failed",
    ExchangeState.CANCELLED: "incomplete",  # the API has no event of that name; the status says it
}
LAST = frozenset(f"response.{name}" for name in _ENDS.values())
"""The types of events that end a response."""


def usage_of(counts: Mapping[str, Any]) -> Json | None:
    """Writes a chat completion's token counts as a response's; None where they are not known."""
    asked, answered = (count_of(counts, name) for name in ("prompt_tokens", "completion_tokens"))
    if asked is None or answered is None:
        return None
    cached = as_object(counts.get("prompt_tokens_details"))
    thought = as_object(counts.get("completion_tokens_details"))
    cached_names = ("cached_tokens", "cache_write_tokens")
    return {
        "input_tokens": asked,
        "input_tokens_details": {name: count_of(cached, name) or 0 for name in cached_names},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": count_of(thought, "reasoning_tokens") or 0},
        "total_tokens": count_of(counts, "total_tokens") or asked + answered,
    }


def frame_of(event: Event) -> bytes:
    """Writes an event as it is sent."""
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))


def _is_whole(opened: _Open) -> bool:
    """Whether the arguments of a call are an object as they are, so that nothing more will come."""
    return isinstance(parsed("".join(opened.texts)), dict)


def _grows(opened: _Open) -> str:
    """What the events of a call's text are called."""
    return "custom_tool_call_input" if "input" in opened.item else "function_call_arguments"


def _item_of(kind: Kind) -> Json:
    """An item of which nothing came yet."""
    if kind is Kind.REASONING:
        return {"status": "in_progress", **items.reasoning_item("", NO_DATA)}
    return {"type": "message", "status": "in_progress", "role": "assistant", "content": []}


def _part_of(name: str) -> Json:
    """A content part of which nothing came yet."""
    if name == "output_text":
        return items.text_part("", Role.ASSISTANT)
    return {"type": name, "refusal" if name == "refusal" else "text": ""}


def _copied(item: Json) -> Json:
    """Copies an item: an event must not change afterwards."""
    copy = dict(item)
    if "content" in item:
        copy["content"] = [dict(part) for part in item["content"]]
    return copy


def count_of(counts: Mapping[str, Any], name: str) -> int | None:
    """Reads a count of tokens; None where it is not told."""
    value = counts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
