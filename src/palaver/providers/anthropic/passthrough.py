"""A message of the Messages API put together of what comes, where its bytes are passed on; see `openai.passthrough`.

The pieces are those of the one reader of this API, see `events`. The envelope is the message as the API tells it whole:
what its end says joins what its beginning said. What is kept of it has `bare` blocks; events that nobody here knows
stand there in `events`, so that no part of an answer is lost. No bytes and no network here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from palaver.providers.anthropic.events import BLOCK_EVENTS, MessageReader
from palaver.providers.base import Piece
from palaver.providers.call import CallResult
from palaver.strict_json import as_object, copied

UNKNOWN_CHARS_MAX = 1024 * 1024
"""So much of events that nobody here knows is kept."""

_KNOWN = frozenset({*BLOCK_EVENTS, "message", "message_start", "message_stop", "ping", "error"})


class MessageAssembly:
    """One message, event by event. See `openai.passthrough.Answer`."""

    def __init__(self, reader: MessageReader) -> None:
        self._reader = reader
        self._whole: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._unknown: list[dict[str, Any]] = []
        self._unknown_chars = 0
        self.over = self.unread = False

    @property
    def began(self) -> bool:
        """Whether a message began."""
        return self._reader.began

    @property
    def finished(self) -> bool:
        """Whether it named the reason of its end."""
        return self._reader.stop is not None

    @property
    def whole(self) -> bool:
        """Whether this is a message from its beginning to its end."""
        return self.began and self._reader.ended

    def take(self, chunk: Mapping[str, Any]) -> Iterable[Piece]:
        """The pieces in an event. An error is the caller's to tell."""
        kind = str(chunk.get("type"))
        if kind == "message_start":
            self._grow(as_object(chunk.get("message")))
        elif kind == "message_delta":
            end = {name: one for name, one in chunk.items() if name not in {"type", "delta"}}
            self._grow({**end, **as_object(chunk.get("delta"))})
        elif kind == "error":
            return ()
        elif kind not in _KNOWN:
            self._unknown_chars += len(str(chunk))
            if self._unknown_chars <= UNKNOWN_CHARS_MAX:
                self._unknown.append(dict(chunk))
        pieces = tuple(self._reader.take(chunk))
        self.over = self.over or self._reader.over
        return pieces

    def take_whole(self, body: dict[str, Any]) -> tuple[Piece, ...]:
        """The pieces of a message that came as one body."""
        self.over = True
        if body.get("type") != "message":
            return ()
        self._grow(body)
        return (*self._reader.take(body), *self._reader.rest())

    def rest(self) -> tuple[Piece, ...]:
        """Gives what waited for more that did not come."""
        return tuple(self._reader.rest())

    def settle(self, outcome: CallResult) -> None:
        """Completes the outcome."""
        if not self.began:
            return
        reader = self._reader
        told = {**self._whole, "usage": self._usage}
        unknown = {"events": self._unknown} if self._unknown else {}
        outcome.envelope = copied({**told, "content": reader.content()})
        outcome.kept = copied({**told, "content": reader.content(bare=True), **unknown})
        done = reader.done("")
        outcome.finish = done.finish if reader.ended else None
        outcome.used(
            done.input_tokens, done.output_tokens, done.cached_tokens, done.reasoning_tokens
        )
        id_ = outcome.envelope.get("id")
        outcome.id = id_ if isinstance(id_, str) else None

    def _grow(self, told: Mapping[str, Any]) -> None:
        """Adds what is told of the message; the last word counts."""
        self._usage |= as_object(told.get("usage"))
        self._whole |= told
