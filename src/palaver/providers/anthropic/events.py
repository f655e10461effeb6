"""The events of a streamed message read: pieces of an answer as they come, and what its end says.

Rules: an event, a block or a delta of a type that nobody here knows is passed over, as the API's makers ask for. A
message that comes whole is read as the events that it would be. A thought's signature, or what stands in its place
where the thought itself is kept secret, is told beside the words, with where it stood: behind so many characters of
the answer (`words`) and so many `calls`, and, instead of its words, how many of the thoughts' `chars` are its own.

An answer that pauses for a tool of the server's own is gone on from with `content`, then `again`. With `bare`, a block
of `content` has in the place of what its pieces hold where that stands: of the answer's words, and of the thoughts, so
many characters; the number of a call; the index of what stands in `thinking_blocks`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from msgspec import Struct, field

from palaver.providers.anthropic.request import THINKING_BLOCKS
from palaver.providers.base import (
    BesidePiece,
    Done,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    ToolPiece,
)
from palaver.providers.errors import CallInfo, ErrorBody, failure_of, told_by
from palaver.providers.fields import grow
from palaver.providers.openai.request import Mender
from palaver.strict_json import as_list, as_object, copied, mended, parsed

PAUSED = "pause_turn"
FINISHES = {
    **dict.fromkeys(("end_turn", "stop_sequence"), "stop"),
    **dict.fromkeys(("max_tokens", "model_context_window_exceeded", PAUSED), "length"),
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""The reasons of an answer's end in our words; any other is told as it came."""
FINISH_CHARS_MAX = 40
BLOCK_EVENTS = ("content_block_start", "content_block_delta", "content_block_stop")

_GROWS = {"text": "text", "thinking": "thinking", "signature": "signature"}
_INPUTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class _Block(Struct):
    """A block as far as it came. `begin`: how many words and calls stood before it; `number` is a call's."""

    kind: str
    data: dict[str, Any]
    begin: tuple[int, int]
    number: int = 0
    chars: int = 0
    signed: int | None = None
    grown: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    closed: bool = False

    def grow(self, name: str, text: str) -> None:
        self.grown.setdefault(name, []).append(text)

    def text(self, name: str) -> str:
        return str(self.data.get(name) or "") + "".join(self.grown.get(name, ()))

    def whole(self) -> dict[str, Any]:
        """The block as the API takes it back."""
        names = [name for name in self.grown if name != "input"]
        made = self.data | {name: self.text(name) for name in names}
        if "input" in self.grown:
            given = parsed("".join(self.grown["input"]) or "{}")
            made["input"] = {} if given is None else given
        return made

    def bare(self) -> dict[str, Any]:
        """The block without what its pieces hold."""
        match self.kind:
            case "text" | "thinking":
                held: dict[str, Any] = {self.kind: self.chars}
                held |= {} if self.signed is None else {"signature": self.signed}
            case "redacted_thinking":
                held = {"data": self.signed}
            case "tool_use":
                held = {"input": self.number}
            case _:
                held = {}
        return self.whole() | held


class MessageReader:
    """One answer, event by event."""

    def __init__(self, asked: CallInfo, origin: str) -> None:
        """`origin`: see `BesidePiece`."""
        self._asked = asked
        self._origin = origin
        self._text, self._thought = Mender(), Mender()
        self._words = self._calls = self._signed = 0
        self._usage: list[dict[str, int]] = []
        self._blocks: dict[int, _Block] = {}
        self.began = self.over = False
        self.stop: str | None = None

    def take(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        """The pieces in an event. Raises `ProviderError` where it is an error."""
        match event.get("type"):
            case "message_start":
                message = as_object(event.get("message"))
                self.began = True
                self._usage.append({})
                self._count(message)
                for place, block in enumerate(as_list(message.get("content"))):
                    yield from self._start(place, as_object(block))
            case "message_delta":
                self._count(event)
                yield from self._end(as_object(event.get("delta")))
            case "message_stop":
                self.over = True
            case "message":
                yield from self.take({"type": "message_start", "message": event})
                yield from self._end(event)
                self.over = True
            case "error":
                told = told_by(event) or ErrorBody()
                raise failure_of(told, self._asked)
            case _:
                yield from self._take_block(event)

    @property
    def ended(self) -> bool:
        """Whether the message named the reason of its end, or is over."""
        return self.over or self.stop is not None

    def rest(self) -> Iterator[Piece]:
        """What waited for more that did not come."""
        for block in self._blocks.values():
            yield from self._close(block)
        if text := self._text.close():
            yield TextPiece(text)
        if thought := self._thought.close():
            yield ReasoningPiece(thought)

    def content(self, *, bare: bool = False) -> list[dict[str, Any]]:
        """The message so far, as the API takes it back; or `bare`."""
        return [block.bare() if bare else block.whole() for block in self._blocks.values()]

    def again(self) -> None:
        """The answer goes on in another message."""
        self._blocks.clear()
        self.over, self.stop = False, None

    def done(self, model: str) -> Done:
        """The end of the answer."""
        used = {name: self._sum(name) for name in (*_INPUTS, "output_tokens", "thinking_tokens")}
        inputs = [used[name] for name in _INPUTS]
        known = [count for count in inputs if count is not None]
        stop = mended(self.stop or "end_turn")[:FINISH_CHARS_MAX]
        return Done(
            model=model,
            finish=FINISHES.get(stop, stop),
            input_tokens=sum(known) if known else None,
            output_tokens=used["output_tokens"],
            cached_tokens=inputs[2],
            cache_write_tokens=inputs[1],
            reasoning_tokens=used["thinking_tokens"],
        )

    def _sum(self, name: str) -> int | None:
        counts = [used[name] for used in self._usage if name in used]
        return sum(counts) if counts else None

    def _count(self, told: Mapping[str, Any]) -> None:
        """Notes token counts; those of later events are of all so far."""
        usage = as_object(told.get("usage"))
        usage = usage | as_object(usage.get("output_tokens_details"))
        if not self._usage:
            self._usage.append({})
        for name, count in usage.items():
            if isinstance(count, int) and not isinstance(count, bool):
                self._usage[-1][name] = count

    def _end(self, delta: Mapping[str, Any]) -> Iterator[Piece]:
        stop = delta.get("stop_reason")
        if isinstance(stop, str) and stop:
            self.stop = stop
        why = as_object(delta.get("stop_details")).get("explanation")
        if isinstance(why, str) and why:
            yield RefusalPiece(mended(why))

    def _take_block(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        given = event.get("index")
        index = given if isinstance(given, int) else -1
        match event.get("type"):
            case "content_block_start":
                yield from self._start(index, as_object(event.get("content_block")))
            case "content_block_delta":
                yield from self._delta(index, as_object(event.get("delta")))
            case "content_block_stop" if index in self._blocks:
                yield from self._close(self._blocks[index])
            case _:
                pass

    def _start(self, index: int, given: dict[str, Any]) -> Iterator[Piece]:
        kind = str(given.get("type") or "")
        block = self._blocks[index] = _Block(kind, given, (self._words, self._calls))
        match kind:
            case "text":
                yield from self._said(block, block.text("text"))
            case "thinking":
                yield from self._mused(block, block.text("thinking"))
            case "tool_use":
                block.number = self._calls
                self._calls += 1
                id_, name = (mended(str(given.get(key) or "")) for key in ("id", "name"))
                yield ToolPiece(block.number, id_, name, "")
            case _:
                pass

    def _delta(self, index: int, delta: dict[str, Any]) -> Iterator[Piece]:
        kind, _, _ = str(delta.get("type") or "").partition("_delta")
        block = self._blocks.get(index)
        if block is None and kind in ("text", "thinking"):  # its start was not told; its words were
            block = self._blocks[index] = _Block(kind, {"type": kind}, (self._words, self._calls))
        if block is None or block.closed:
            return
        if kind in _GROWS and isinstance(text := delta.get(_GROWS[kind]), str):
            block.grow(_GROWS[kind], text)
            if kind == "text":
                yield from self._said(block, text)
            elif kind == "thinking":
                yield from self._mused(block, text)
        elif kind == "input_json" and isinstance(part := delta.get("partial_json"), str):
            block.grow("input", part)
            if block.kind == "tool_use" and part:
                yield ToolPiece(block.number, "", "", mended(part))
        elif kind == "citations":
            block.data = {**block.data}
            block.data["citations"] = [*as_list(block.data.get("citations")), delta.get("citation")]
        else:  # what is yet to come
            block.data = {**block.data}
            grow(block.data, delta, frozenset({"type"}))

    def _close(self, block: _Block) -> Iterator[Piece]:
        if block.closed:
            return
        block.closed = True
        if block.kind == "tool_use" and not any(block.grown.get("input", ())):
            given = orjson.dumps(copied(as_object(block.data.get("input")))).decode()
            yield ToolPiece(block.number, "", "", given)
        record: dict[str, Any] = {}
        if block.kind == "thinking" and (signature := block.text("signature")):
            record = {"signature": mended(signature), "chars": block.chars}
        elif block.kind == "redacted_thinking":
            record = {"data": mended(str(block.data.get("data") or ""))}
        if record:
            words, calls = block.begin
            block.signed = self._signed
            head = {"index": self._signed, "type": block.kind, "words": words, "calls": calls}
            self._signed += 1
            yield BesidePiece({THINKING_BLOCKS: [head | record]}, self._origin)

    def _said(self, block: _Block, told: str) -> Iterator[Piece]:
        if text := self._text.feed(told):
            block.chars += len(text)
            self._words += len(text)
            yield TextPiece(text)

    def _mused(self, block: _Block, text: str) -> Iterator[Piece]:
        if thought := self._thought.feed(text):
            block.chars += len(thought)
            yield ReasoningPiece(thought)
