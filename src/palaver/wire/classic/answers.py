"""Running answers as the classic wire tells them: `typing`, `ai_stream`…, `ai_stream_end`, one answer at a time.

Its frames carry no id of a stream, and its clients write all that comes into one bubble. So when two answers run in
one room, the second waits here until the first has ended; what a client gets of an answer is always exactly what is
stored. What waits is bounded by the length of the answers.

It sends nothing itself.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from palaver.model import Message, MessageId, Status
from palaver.strict_json import Json

SENDER = "assistant"
END: Json = {"type": "ai_stream_end", "sender": SENDER}


class _Answer(Struct):
    waiting: list[str] = field(default_factory=list[str])
    chars_told: int = 0
    announced: bool = False
    message: Message | None = None
    dropped: bool = False


class Answers:
    """What one connection has been told of its room's answers, and what it is told next."""

    def __init__(self) -> None:
        self._answers: dict[MessageId, _Answer] = {}

    def opened(self, answer: MessageId) -> None:
        """An answer began."""
        self._answers.setdefault(answer, _Answer())

    def more(self, answer: MessageId, text: str) -> None:
        """A piece of it came."""
        if text:
            self._answers.setdefault(answer, _Answer()).waiting.append(text)

    def finished(self, message: Message) -> None:
        """It was stored, in whatever state; also one whose beginning this connection has not seen."""
        self._answers.setdefault(message.id, _Answer()).message = message

    def dropped(self, answer: MessageId) -> None:
        """It ended without being stored."""
        if answer in self._answers:
            self._answers[answer].dropped = True

    def take(self) -> tuple[list[Json], list[MessageId]]:
        """The frames that are due, and the answers that end with them."""
        frames: list[Json] = []
        ended: list[MessageId] = []
        while self._answers:
            first = next(iter(self._answers))
            answer = self._answers[first]
            frames += _due(answer)
            if answer.message is None and not answer.dropped:
                break
            ended.append(first)
            del self._answers[first]
        return frames, ended


def _due(answer: _Answer) -> list[Json]:
    frames: list[Json] = []
    if not answer.announced:
        answer.announced = True
        frames.append({"type": "typing", "sender": SENDER, "is_typing": True})
    text = "".join(answer.waiting)
    answer.waiting.clear()
    if answer.message is not None:
        text = answer.message.text[answer.chars_told :]
    if text:
        answer.chars_told += len(text)
        frames.append({"type": "ai_stream", "content": text, "sender": SENDER})
    if answer.message is not None or answer.dropped:
        frames.append(END)
    if answer.message is not None and answer.message.status in {Status.FAILED, Status.INTERRUPTED}:
        frames.append(_failure(answer.message))
    return frames


def _failure(message: Message) -> Json:
    """Why an answer is not whole: a frame of its own, never words in the assistant's mouth."""
    error: Mapping[str, object] = message.meta.get("error") or {}
    detail, code = error.get("detail"), error.get("code")
    if message.status is Status.INTERRUPTED:
        why = "The answer was interrupted. What came of it is kept."
    else:
        why = f"The answer failed: {detail}" if detail else "The answer failed."
    return {"type": "error", "content": why, "error_code": str(code or message.status)}
