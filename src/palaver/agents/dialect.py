"""The chat-completions dialects: a request as JSON, and the JSON of an answer as pieces. No network here.

Rules for what is asked: the system prompt first; messages of one role that follow each other are joined by an empty
line, because many chat templates refuse two in a row. A `name` stands before its text as `Name: `: the API's own `name`
field allows few characters and most local servers drop it. An agent's settings pass through as they are, but cannot
replace the model, the messages or the way of streaming.

Rules for what is answered: only the first choice counts. Empty choices, unknown fields, a repeated `[DONE]` and usage
in any chunk are fine. Halves of a surrogate pair are joined over pieces, and one alone becomes U+FFFD; U+0000 is kept
(the store can keep it). Data that is no JSON object is passed over; but where it began as one, a piece of the text may
be missing, so the answer then ends with `provider_bad_reply` after all that came. An answer is whole when it named a
finish reason, or said `[DONE]` after some text.
"""

import json
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, cast

from palaver.agents.base import Done, Piece, ReasoningPiece, Request, Said, TextPiece
from palaver.agents.failures import Asked, Told, as_object, cut, failure_of, told_by
from palaver.agents.sse import Event
from palaver.errors import Code, ProviderError
from palaver.model import Role

END = "[DONE]"
NAME_CHARS_MAX = 80
FINISH_CHARS_MAX = 40

_OURS = frozenset({"model", "messages", "stream", "stream_options", "n"})
_SURROGATE = re.compile("[\ud800-\udfff]")


def body_of(request: Request, model: str, *, usage: bool) -> dict[str, Any]:
    """The body of a streaming chat completion. `usage` asks for token counts."""
    body = {key: value for key, value in request.settings.items() if key not in _OURS}
    body |= {"model": model, "messages": _messages(request), "stream": True}
    if usage:
        body["stream_options"] = {"include_usage": True}
    return body


def adapted(body: dict[str, Any], told: Told) -> dict[str, Any] | None:
    """The body without what a server says it does not understand; None where that is not the matter.

    `stream_options` is left out, `max_tokens` becomes `max_completion_tokens`, a setting that the error names as
    unsupported is dropped.
    """
    if told.status not in {400, 422}:
        return None
    words = f"{told.message} {told.param}"
    if "stream_options" in body and ("stream_options" in words or "include_usage" in words):
        return {key: value for key, value in body.items() if key != "stream_options"}
    if "max_tokens" in body and "max_completion_tokens" in words:
        rest = {key: value for key, value in body.items() if key != "max_tokens"}
        return rest | {"max_completion_tokens": body["max_tokens"]}
    if told.code.startswith("unsupported_") and told.param in body and told.param not in _OURS:
        return {key: value for key, value in body.items() if key != told.param}
    return None


def as_list(value: object) -> list[object]:
    """A JSON array; an empty one for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


def mended(text: str) -> str:
    """Well-formed text: surrogate pairs joined, halves of one replaced by U+FFFD."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Mender:
    """Mends a text that comes in pieces, where a pair may be split between two."""

    def __init__(self) -> None:
        self._half = ""

    def feed(self, piece: str) -> str:
        """The piece, mended; the first half of a pair at its end waits for the next piece."""
        piece = self._half + piece
        self._half = ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            self._half = piece[-1]
            piece = piece[:-1]
        return mended(piece)

    def close(self) -> str:
        """What waited in vain."""
        half, self._half = self._half, ""
        return mended(half)


class Reply:
    """One answer, event by event. `began` is True from its first word or thought on.

    `finish` is the provider's word for why it ended, and `over` is True once it said that nothing follows.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._text = Mender()
        self._reasoning = Mender()
        self._input_tokens: int | None = None
        self._output_tokens: int | None = None
        self._useful = False
        self._spoke = False
        self._damaged = 0
        self.began = False
        self.over = False
        self.finish: str | None = None

    def take(self, event: Event) -> Iterator[Piece]:
        """The pieces in one event. Raises what the provider reports as an error."""
        data = event.data.strip()
        if self.over or not data:
            return
        if data == END:
            self.over = True
            return
        chunk = self._parsed(data)
        told = told_by(chunk)
        if told is None and event.type == "error":
            told = Told(status=0, message=data if not chunk else str(chunk.get("message") or ""))
        if told is not None:
            raise failure_of(told, self._asked)
        yield from self._take(chunk, "delta")

    def take_whole(self, data: str) -> Iterator[Piece]:
        """The pieces of an answer that came as one JSON object, from a server that does not stream."""
        chunk = self._parsed(data.strip())
        told = told_by(chunk)
        if told is not None:
            raise failure_of(told, self._asked)
        yield from self._take(chunk, "message")
        self.over = True

    def rest(self) -> Iterator[Piece]:
        """What waited for more that did not come."""
        yield from self._pieces(self._text.close(), self._reasoning.close())

    def ending(self) -> Done:
        """The end of the whole answer, or the reason why it is none, raised."""
        label = self._asked.label
        if self._damaged:
            raise ProviderError(
                Code.PROVIDER_BAD_REPLY,
                f"{label} sent {self._damaged} damaged piece(s), so words may be missing. Try again.",
            )
        if self.finish is None and not (self.over and self._spoke):
            if self._useful and not self.over:
                raise cut(self._asked)
            raise ProviderError(
                Code.PROVIDER_BAD_REPLY,
                f"{label} sent nothing that is an answer. Check that OPENAI_BASE_URL is the address"
                " of an OpenAI-compatible API; it usually ends in /v1.",
            )
        return Done(
            model=self._asked.model,
            finish=self.finish or "stop",
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
        )

    def _parsed(self, data: str) -> dict[str, Any]:
        try:
            parsed: object = json.loads(data)
        except (ValueError, RecursionError):
            self._damaged += data.startswith("{")
            return {}
        return as_object(parsed)

    def _take(self, chunk: dict[str, Any], part: str) -> Iterator[Piece]:
        usage = as_object(chunk.get("usage"))
        self._input_tokens = _count(usage.get("prompt_tokens"), self._input_tokens)
        self._output_tokens = _count(usage.get("completion_tokens"), self._output_tokens)
        for choice in map(as_object, as_list(chunk.get("choices"))):
            if choice.get("index") not in (0, None) or not choice:
                continue
            self._useful = True
            delta = as_object(choice.get(part))
            self.began = self.began or any(v for key, v in delta.items() if key != "role")
            content = _words(delta.get("content")) + _words(delta.get("refusal"))
            thought = _words(delta.get("reasoning_content")) or _words(delta.get("reasoning"))
            yield from self._pieces(
                self._text.feed(content), self._reasoning.feed(thought + _thoughts(delta))
            )
            if choice.get("finish_reason"):
                self.finish = mended(str(choice["finish_reason"]))[:FINISH_CHARS_MAX]

    def _pieces(self, text: str, reasoning: str) -> Iterator[Piece]:
        if reasoning:
            yield ReasoningPiece(reasoning)
        if text:
            self._spoke = True
            yield TextPiece(text)


def _messages(request: Request) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.system_prompt:
        messages.append({"role": Role.SYSTEM.value, "content": mended(request.system_prompt)})
    for (role, plain), group in groupby(
        request.history, key=lambda said: (said.role, _plain(said))
    ):
        if plain:
            content = "\n\n".join(_spoken(said) for said in group)
            messages.append({"role": role.value, "content": content})
        else:
            messages += [_rich(said) for said in group]
    return messages


def _plain(said: Said) -> bool:
    """Whether it is nothing but words, which can be joined to others."""
    return not said.calls and not said.parts and said.call_id is None


def _rich(said: Said) -> dict[str, Any]:
    content: Any = [dict(part) for part in said.parts] or _spoken(said)
    message: dict[str, Any] = {"role": said.role.value, "content": content or None}
    if said.call_id is not None:
        message |= {"content": content, "tool_call_id": said.call_id}
    if said.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": mended(call.arguments)},
            }
            for call in said.calls
        ]
    return message


def _spoken(said: Said) -> str:
    name = " ".join((said.name or "").split())[:NAME_CHARS_MAX]
    return mended(f"{name}: {said.text}" if name and said.role is Role.USER else said.text)


def _count(value: object, known: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else known


def _words(value: object) -> str:
    """A text, or the texts of a list of content parts."""
    if isinstance(value, str):
        return value
    texts = (as_object(part).get("text") for part in as_list(value))
    return "".join(text for text in texts if isinstance(text, str))


def _thoughts(delta: dict[str, Any]) -> str:
    """The thoughts among a list of content parts."""
    parts = map(as_object, as_list(delta.get("content")))
    return "".join(_words(part.get("thinking")) for part in parts)
