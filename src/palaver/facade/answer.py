"""An answer that a program writes, piece by piece."""

import re
from dataclasses import dataclass

from palaver.core import validation
from palaver.core.answers.recorder import Recorder
from palaver.errors import Code, Refused
from palaver.model import TOKENS_MAX, Message, MessageId
from palaver.policy import Action, asks
from palaver.providers.base import TextPiece

NOTE_CHARS_MAX = 1_000
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(eq=False, repr=False)
class Answer:
    """An answer that is being written."""

    _recorder: Recorder
    _chars_max: int
    _chars: int = 0

    @property
    def id(self) -> MessageId:
        """The id of the message to be stored; followers see it at once, as `Opened.stream.message`."""
        return self._recorder.turn.message

    @property
    def text(self) -> str:
        """The text that was written so far."""
        return self._recorder.text

    @property
    def message(self) -> Message | None:
        """The stored message, once the block has ended."""
        return self._recorder.message

    @asks(Action.WRITE)
    def write(self, text: str) -> None:
        """Adds a piece, without waiting. Refused: `invalid_unicode`, `answer_too_long` (a setting)."""
        if _SURROGATE.search(text):
            raise Refused(Code.INVALID_UNICODE, "The piece holds half of a character.")
        if self._chars + len(text) > self._chars_max:
            raise Refused(
                Code.ANSWER_TOO_LONG, f"An answer has at most {self._chars_max:,} characters."
            )
        self._chars += len(text)
        self._recorder.take(TextPiece(text))

    @asks(Action.WRITE)
    def record(
        self,
        *,
        finish: str | None = None,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> None:
        """Notes `finish` (such as `stop`), `model` and `usage` in the `meta` of the answer's message.

        An argument that is None changes nothing. Refused: `bad_request` (a text over 1,000 characters, a number below
        0) and what a message's text is refused for.
        """
        meta = self._recorder.meta
        usage = {"input": input_tokens, "output": output_tokens}
        usage = {name: tokens for name, tokens in usage.items() if tokens is not None}
        if any(not 0 <= tokens <= TOKENS_MAX for tokens in usage.values()):
            raise Refused(Code.BAD_REQUEST, f"Tokens are a number from 0 to {TOKENS_MAX:,}.")
        told = {"finish": finish, "model": model}
        meta.update({name: _noted(text) for name, text in told.items() if text is not None})
        if usage:
            meta["usage"] = {**meta.get("usage", {}), **usage}

    @asks(Action.WRITE)
    def fail(self, code: str, detail: str = "", *, temporary: bool = False) -> None:
        """Marks the answer as failed: the end of the block stores its text so far, with this error.

        `code`: one of docs/errors.md or your own. `temporary`: whether a second try may succeed.
        Refused: as `record`.
        """
        error = {"code": _noted(code), "temporary": temporary}
        self._recorder.meta["error"] = error | ({"detail": _noted(detail)} if detail else {})


def _noted(text: str) -> str:
    """Checks a short text that is stored with an answer."""
    if len(text) > NOTE_CHARS_MAX:
        raise Refused(Code.BAD_REQUEST, f"Such a note has at most {NOTE_CHARS_MAX:,} characters.")
    return validation.well_formed(text, "note")
