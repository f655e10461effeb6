"""Writes each piece of an answer to the journal, then shows it: readers see nothing that the journal does not hold.

Both get it without secrets, where these are to be taken out; the last word of each text waits for the next then.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from msgspec.structs import replace

from palaver.core.answers.pieces import AnswerBuilder, record_of
from palaver.core.ground import Ground
from palaver.model import Message, Turn
from palaver.providers.base import (
    BesidePiece,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    ToolPiece,
)
from palaver.redact import Redaction, Withheld
from palaver.store.journal import KNOWN, Journal
from palaver.store.write.turns import Part
from palaver.strict_json import dump, parsed

log = structlog.stdlib.get_logger()


class Recorder:
    """Records one answer: in the journal, for readers, and in `answer`, which is what will be stored.

    The turn is this process's `until` then, on the clock of the boot. Of an answer that a program writes itself, `meta`
    is stored with it, and `message` was.
    """

    def __init__(
        self, ground: Ground, journal: Journal, turn: Turn, answer: AnswerBuilder, until: float
    ) -> None:
        self._clock, self._hub, self._journal = ground.clock, ground.hub, journal
        self._until = until
        self.turn, self.answer = turn, answer
        redaction = answer.redaction = ground.store.redaction
        self._redacting = None if redaction is None else _Redacting(redaction)
        self.stream = self._hub.open_stream(turn, leased=self.leased)
        self.message: Message | None = None
        self.meta: dict[str, Any] = {}
        self._copied = (0, 0)
        self._parts = 0
        self._held: tuple[str, str] = ("", "")

    def renewed(self, until: float) -> None:
        """Prolongs the lease, and shows what was held back meanwhile."""
        self._until = until
        if any(self._held):
            self._show("")
        self._hub.touched(self.stream)

    def leased(self) -> bool:
        """Whether the turn is still this process's for sure: after a sleep others may have ended it."""
        return self._clock.boottime() < self._until

    def begun(self, known: Mapping[str, Any]) -> None:
        """Keeps what is known of who gives the answer, for whoever has to end it if this process dies."""
        with suppress(OSError):
            self._journal.keep(self.turn.id, KNOWN, dump(known))

    def take(self, piece: Piece) -> None:
        """Keeps a piece, and shows the words in it. What only the one who asked sees is told with a full disk, too."""
        self.answer.take(piece)
        match piece if self._redacting is None else self._redacting.of(piece):
            case TextPiece(text, 0) if text:
                self._show(text)
            case ReasoningPiece(text, 0) if text:
                self._show("", text)
            case shown:
                record = record_of(shown)
                if record is not None:
                    with suppress(OSError):
                        self._journal.keep(self.turn.id, *record)

    @property
    def text(self) -> str:
        """The answer's text, shown or held back."""
        return self.answer.text

    def part(self) -> Part | None:
        """Cuts off what came since the last part that was copied."""
        before, thought = self._copied
        text, reasoning = self.stream.text(), self.stream.reasoning()
        if (len(text), len(reasoning)) == self._copied:
            return None
        return Part(self.turn.id, self._parts, text[before:], reasoning[thought:])

    def copied(self, part: Part) -> None:
        """Notes that a part is stored."""
        before, thought = self._copied
        self._copied = (before + len(part.text), thought + len(part.reasoning))
        self._parts += 1

    def close(self, *, stored: bool) -> None:
        """Ends the answer. What is `stored` need not be kept in the journal any longer."""
        self._hub.drop_stream(self.stream)
        if stored:
            self._journal.ended(self.turn.id)

    def _show(self, text: str, reasoning: str = "") -> None:
        """Shows words once the journal has them; until it takes them, and while the lease is over, holds them back."""
        if not self.leased():
            self._held = (self._held[0] + text, self._held[1] + reasoning)
            return
        if any(self._held):
            text, reasoning = self._held[0] + text, self._held[1] + reasoning
        try:
            self._journal.piece(self.turn.id, text, reasoning)
        except OSError as failure:
            if not any(self._held):
                log.warning("journal.full", turn=self.turn.id, errno=failure.errno)
            self._held = (text, reasoning)
        else:
            self._held = ("", "")
            self._hub.add(self.stream, text, reasoning)


class _Redacting:
    """The pieces of one answer without secrets, one for each."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._running: dict[tuple[object, ...], Withheld] = {}
        self._arguments: dict[tuple[int, int], list[str]] = {}

    def of(self, piece: Piece) -> Piece | None:
        """A piece as it may be kept. What is told beside the words is not: it grows in more ways than texts do."""
        match piece:
            case TextPiece() | ReasoningPiece() | RefusalPiece():
                return replace(piece, text=self._of(type(piece), piece.choice).take(piece.text))
            case ToolPiece():
                texts = self._arguments.setdefault((piece.choice, piece.call), [])
                texts.append(piece.arguments)
                last = piece.arguments.rstrip().endswith("}") and isinstance(
                    parsed("".join(texts)), dict
                )
                running = self._of(ToolPiece, piece.choice, piece.call)
                arguments = running.take(piece.arguments, last=last)
                return replace(self._redaction.said(piece), arguments=arguments)
            case BesidePiece():
                return None
            case _:
                return self._redaction.said(piece)

    def _of(self, *place: object) -> Withheld:
        return self._running.setdefault(place, Withheld(self._redaction))
