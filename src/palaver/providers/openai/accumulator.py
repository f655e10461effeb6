"""The chunks of a streamed chat completion put together: pieces as they come, one `chat.completion` at the end.

Rules, learned from the dialects of many servers: choices are told apart by their index, and each has its own end. Usage
counts wherever it stands; a chunk without choices, a role that is repeated and `[DONE]` that is missing are fine. A
part of a tool call belongs to the call with its id, else to the last one with its index, else to the last one; it opens
a call where that one is complete or has another id. Fields that nobody here knows are kept: texts and lists grow, what
has an `index` at its place, and of anything else the last word counts. Texts become well-formed Unicode, whatever the
bytes said. Words of another shape are read where their meaning is clear, see `shapes`; thoughts in tags are thoughts.

A completion that comes as one body is its own envelope, unchanged. No bytes and no network here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import orjson
from msgspec import Struct, field

from palaver.providers.base import (
    BesidePiece,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    ToolPiece,
)
from palaver.providers.call import CallResult
from palaver.providers.fields import grow, grown
from palaver.providers.openai.request import Mender
from palaver.providers.openai.shapes import FINISHES, chunk_of, words_in
from palaver.strict_json import as_list, as_object, copied, mended, parsed
from palaver.thoughts import Splitter

FINISH_CHARS_MAX = 40
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thinking_content", "thoughts", "thought")
"""The fields in which servers tell what a model thought. Some fill two with the same words: the first counts."""

_THINKING_IN = (*THOUGHTS, "reasoning_details")
_THINKING = frozenset(_THINKING_IN)
_CONTENTS = ("content", "text", "output_text", "parts", "value")
_OF_DELTA = frozenset({"role", "refusal", "tool_calls", "function_call", *_CONTENTS, *THOUGHTS})
_OF_CALL = frozenset({"id", "index", "type", "function", "custom"})
_FOR_READERS = frozenset({"images", "audio", "annotations", "citations"})
"""Fields that a model server need not be told again."""
_OF_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "logprobs", *_CONTENTS})
_OF_CHUNK = frozenset({"id", "object", "choices", "usage", "obfuscation"})


class _ToolCall(Struct):
    """A tool call as far as it came. `legacy`: it stood in `function_call`."""

    id: str = ""
    index: int | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    legacy: bool = False

    def ends_before(self, id_: str, name: str) -> bool:
        """Whether a part that could belong to this call opens another one."""
        if id_ and self.id:
            return True
        if not (name and self.name):
            return False
        return name != self.name or parsed("".join(self.arguments)) is not None

    def told(self) -> dict[str, Any]:
        """The call as a message has it."""
        arguments = "".join(self.arguments)
        if self.more.get("type") == "custom":
            return {"id": self.id, "custom": {"name": self.name, "input": arguments}} | self.more
        function = {"name": self.name, "arguments": arguments}
        return {"id": self.id, "type": "function", "function": function} | self.more


class _Choice:
    """One of the answers to the question."""

    def __init__(self, index: int, origin: Callable[[], str] | None) -> None:
        self.index = index
        self._origin = origin
        self._told_thought_in = ""
        self.role, self.thought_in = "assistant", THOUGHTS[0]
        self.finish: str | None = None
        self.texts: list[str] = []
        self.refusals: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[_ToolCall] = []
        self.logprobs: dict[str, Any] | None = None
        self.more: dict[str, Any] = {}
        self.message_more: dict[str, Any] = {}
        self.unread = 0
        self._text, self._refusal, self._thought = Mender(), Mender(), Mender()
        self._tags = Splitter()

    @property
    def spoke(self) -> bool:
        """Whether it holds anything for whoever asked."""
        return bool(self.texts or self.refusals or self.calls)

    def take(self, choice: dict[str, Any]) -> Iterator[Piece]:
        """The pieces in its part of a chunk."""
        given = choice.get("delta") or choice.get("message")
        said = {name: choice[name] for name in _CONTENTS if name in choice}
        delta = as_object(given) or ({"content": given} if given else said)
        if delta:
            yield from self._take(delta)
        reason = choice.get("finish_reason")
        if reason:
            named = mended(str(reason))[:FINISH_CHARS_MAX]
            self.finish = FINISHES.get(named.lower(), named.lower() if named.isupper() else named)
        logprobs = as_object(choice.get("logprobs"))
        if logprobs:
            self.logprobs = as_object(grown(self.logprobs or {}, logprobs))
        if len(choice) > 2:  # noqa: PLR2004  the index and the delta are in every one
            grow(self.more, choice, _OF_CHOICE)

    def rest(self) -> Iterator[Piece]:
        """Gives what waited for more that did not come."""
        yield from self._words(self._thought.close(), self._text.close(), self._refusal.close())
        yield from self._tagged(self._tags.close())

    def message(self) -> dict[str, Any]:
        """The message that it is."""
        message: dict[str, Any] = {
            "role": self.role,
            "content": "".join(self.texts) if self.texts else None,
            "refusal": "".join(self.refusals) if self.refusals else None,
        }
        if self.thoughts:
            message[self.thought_in] = "".join(self.thoughts)
        if called := [call.told() for call in self.calls if not call.legacy]:
            message["tool_calls"] = called
        for call in self.calls:
            if call.legacy:
                message["function_call"] = {"name": call.name, "arguments": "".join(call.arguments)}
        return message | self.message_more

    def _take(self, delta: dict[str, Any]) -> Iterator[Piece]:
        role = delta.get("role")
        if isinstance(role, str) and role:
            self.role = role
        content = delta.get("content") or next(
            (delta[n] for n in _CONTENTS if delta.get(n) not in (None, "", [])), None
        )
        words = words_in(content)
        self.unread += words.unread
        name, thought = ("", "") if _THINKING.isdisjoint(delta) else self._thought_in(delta)
        if name in THOUGHTS and not self._told_thought_in:
            self._told_thought_in = name
            yield from self._beside({}, thought_in=name)
        refusal = as_text(delta.get("refusal")) + words.refusal
        yield from self._words(
            self._thought.feed(thought + words.thought),
            self._text.feed(words.text),
            self._refusal.feed(refusal),
        )
        for part in map(as_object, as_list(delta.get("tool_calls"))):
            known = len(self.calls)
            tool = self._tool(part)
            if len(self.calls) > known or tool.name or tool.id or tool.arguments:
                yield tool
            yield from self._beside(_beside_call(part), tool.call)
        legacy = as_object(delta.get("function_call"))
        if legacy:
            yield self._tool({"function": legacy}, legacy=True)
        if not delta.keys() <= _OF_DELTA:
            yield from self._beside(_beside_words(delta))
            grow(self.message_more, delta, _OF_DELTA)

    def _thought_in(self, delta: dict[str, Any]) -> tuple[str, str]:
        """The field in which a thought stands, and the thought."""
        for name in THOUGHTS if self._told_thought_in else _THINKING_IN:
            found = words_in(delta.get(name))
            if thought := found.text + found.thought:
                self.thought_in = name if name in THOUGHTS[:2] else THOUGHTS[0]
                return name, thought
        return "", ""

    def _beside(
        self, fields: dict[str, Any], call: int | None = None, thought_in: str = ""
    ) -> Iterator[Piece]:
        """What stood beside the words, or beside a call."""
        if self._origin is not None and (fields or thought_in):
            yield BesidePiece(copied(fields), self._origin(), self.index, call, thought_in)

    def _words(self, thought: str, text: str, refusal: str) -> Iterator[Piece]:
        if thought or refusal:
            yield from self._pieces(thought, "", refusal)
        if text:
            yield from self._tagged(self._tags.feed(text))

    def _tagged(self, parts: Iterable[tuple[bool, str]]) -> Iterator[Piece]:
        for thinks, text in parts:
            yield from self._pieces(text, "", "") if thinks else self._pieces("", text, "")

    def _pieces(self, thought: str, text: str, refusal: str) -> Iterator[Piece]:
        if thought:
            self.thoughts.append(thought)
            yield ReasoningPiece(thought, self.index)
        if text:
            self.texts.append(text)
            yield TextPiece(text, self.index)
        if refusal:
            self.refusals.append(refusal)
            yield RefusalPiece(refusal, self.index)

    def _tool(self, part: dict[str, Any], *, legacy: bool = False) -> ToolPiece:
        asked = as_object(part.get("function") or part.get("custom"))
        id_, name = _word(part.get("id")), _word(asked.get("name"))
        arguments = _written(asked.get("arguments", asked.get("input")))
        index = part.get("index")
        call = self._call(id_, index if isinstance(index, int) else None, name)
        new_id, new_name = "" if call.id else id_, "" if call.name else name
        call.id, call.name, call.legacy = call.id or id_, call.name or name, legacy
        if arguments:
            call.arguments.append(arguments)
        grow(call.more, part, frozenset({"id", "index", "function", "custom"}))
        place = next(at for at, one in enumerate(self.calls) if one is call)
        return ToolPiece(place, new_id, new_name, arguments, self.index)

    def _call(self, id_: str, index: int | None, name: str) -> _ToolCall:
        """The call that a part belongs to; a new one where there is none."""
        found = None
        if id_:
            found = next((one for one in self.calls if one.id == id_), None)
        if found is None:
            placed = (one for one in reversed(self.calls) if index in (None, one.index))
            found = next(placed, None)
            if found is None and index is not None and not (id_ or name) and self.calls:
                found = self.calls[-1]
            if found is not None and found.ends_before(id_, name):
                found = None
        if found is None:
            found = _ToolCall(index=index)
            self.calls.append(found)
        return found


class Assembly:
    """One completion, chunk by chunk. Set `over` once the server said that nothing follows."""

    def __init__(self, choices: int = 1, origin: Callable[[], str] | None = None) -> None:
        """`choices`: how many answers were asked for. `origin`: see `BesidePiece`; without it there is none."""
        self._wanted = choices
        self._origin = origin
        self._choices: dict[int, _Choice] = {}
        self._places: dict[int, int] = {}
        self._whole: dict[str, Any] | None = None
        self._chunk: dict[str, Any] = {}
        self._id: str | None = None
        self._usage: dict[str, Any] = {}
        self._ended = 0
        self._began = False
        self.over = False

    @property
    def began(self) -> bool:
        """Whether anything but a role came."""
        if not self._began:
            self._began = any(
                choice.spoke or choice.thoughts or any(choice.message_more.values())
                for choice in self._choices.values()
            )
        return self._began

    @property
    def unread(self) -> bool:
        """Whether something stood where words should that cannot be read."""
        return any(choice.unread for choice in self._choices.values())

    @property
    def finished(self) -> bool:
        """Whether every choice named the reason of its end."""
        return self._ended >= self._wanted and self._ended == len(self._choices)

    @property
    def whole(self) -> bool:
        """Whether this is an answer from its beginning to its end."""
        spoke = any(choice.spoke for choice in self._choices.values())
        return self.finished or (self.over and (spoke or self._ended > 0))

    @property
    def finish(self) -> str | None:
        """Why the first choice ended."""
        first = self._choices.get(0) or next(iter(self._choices.values()), None)
        return first and first.finish

    def take(self, chunk: Mapping[str, Any]) -> tuple[Piece, ...]:
        """The pieces in a chunk."""
        chunk = chunk_of(dict(chunk))
        usage = chunk.get("usage")
        if isinstance(usage, dict) and usage:
            self._usage |= cast("dict[str, Any]", usage)
        if self._id is None and isinstance(chunk.get("id"), str):
            self._id = chunk["id"]
        for name, value in chunk.items():
            if name not in _OF_CHUNK and value is not None:
                self._chunk[name] = value
        pieces: list[Piece] = []
        for choice in as_list(chunk.get("choices")):
            if part := {"text": choice} if isinstance(choice, str) else as_object(choice):
                pieces += self._of(part)
        return tuple(pieces)

    def take_whole(self, body: dict[str, Any]) -> tuple[Piece, ...]:
        """The pieces of a completion that came as one body."""
        self._whole, self.over = (body if isinstance(body.get("choices"), list) else None), True
        return (*self.take(body), *self.rest())

    def rest(self) -> tuple[Piece, ...]:
        """Gives what waited for more that did not come."""
        return tuple(piece for choice in self._choices.values() for piece in choice.rest())

    def envelope(self) -> dict[str, Any]:
        """The `chat.completion`, as far as it came."""
        if self._whole is not None:
            return self._whole
        made: dict[str, Any] = {
            "id": self._id,
            "object": "chat.completion",
            "created": 0,
            "model": "",
            **self._chunk,
            "choices": [
                {
                    "index": choice.index,
                    "message": choice.message(),
                    "logprobs": choice.logprobs,
                    "finish_reason": choice.finish,
                }
                | choice.more
                for _, choice in sorted(self._choices.items())
            ],
        }
        if self._usage:
            made["usage"] = self._usage
        return made

    def settle(self, outcome: CallResult) -> None:
        """Completes the outcome."""
        outcome.envelope = envelope = copied(self.envelope())
        outcome.kept, outcome.finish = bare(envelope), self.finish
        id_, usage = envelope.get("id"), as_object(envelope.get("usage"))
        outcome.id = id_ if isinstance(id_, str) else None
        outcome.used(
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
            as_object(usage.get("prompt_tokens_details")).get("cached_tokens"),
            as_object(usage.get("completion_tokens_details")).get("reasoning_tokens"),
        )

    def _of(self, part: dict[str, Any]) -> Iterable[Piece]:
        given = part.get("index")
        index = given if isinstance(given, int) else 0
        if self._wanted == 1:  # some servers count from one
            index = self._places.setdefault(index, len(self._places))
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index, self._origin)
        had_ended = choice.finish is not None
        pieces = tuple(choice.take(part))
        self._ended += choice.finish is not None and not had_ended
        return pieces


def bare(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """An envelope without the texts that its pieces hold; what stood there is empty, and its place is kept."""
    if "choices" not in envelope:
        return dict(envelope)
    choices: list[dict[str, Any]] = []
    for choice in map(as_object, as_list(envelope.get("choices"))):
        message = dict(as_object(choice.get("message")))
        for name in _beside_words(message):
            del message[name]
        for name in ("content", "refusal", *THOUGHTS):
            if message.get(name):
                message[name] = ""
        if "tool_calls" in message:
            message["tool_calls"] = [
                _emptied(as_object(call)) for call in as_list(message["tool_calls"])
            ]
        if as_object(message.get("function_call")):
            message["function_call"] = {**message["function_call"], "arguments": ""}
        choices.append({**choice, "message": message})
    return {**envelope, "choices": choices}


def as_text(value: object) -> str:
    """A text, or the texts of a list of content parts."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    texts = (as_object(part).get("text") for part in as_list(value))
    return "".join(text for text in texts if isinstance(text, str))


def _emptied(call: dict[str, Any]) -> dict[str, Any]:
    call = {name: value for name, value in call.items() if name in _OF_CALL}
    if "function" in call:
        name = as_object(call["function"]).get("name")
        return {**call, "function": {"name": name, "arguments": ""}}
    if "custom" in call:
        return {**call, "custom": {**as_object(call["custom"]), "input": ""}}
    return call


def _beside_words(delta: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a message that are its server's own."""
    return _said(delta, _OF_DELTA | _FOR_READERS)


def _beside_call(part: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a tool call, and of its function, that are its server's own."""
    function = _said(as_object(part.get("function")), frozenset({"name", "arguments"}))
    beside = _said({**part, "function": None}, _OF_CALL)
    return beside | {"function": function} if function else beside


def _said(fields: Mapping[str, Any], without: frozenset[str]) -> dict[str, Any]:
    return {
        n: one for n, one in fields.items() if n not in without and one not in (None, "", [], {})
    }


def _word(value: object) -> str:
    return mended(value) if isinstance(value, str) else ""


def _written(value: object) -> str:
    """Arguments, which some servers tell as an object instead of as its JSON."""
    if isinstance(value, str):
        return mended(value)
    told = orjson.dumps(copied(as_object(value))).decode()
    return told if isinstance(value, dict) else ""
